// SPDX-License-Identifier: MIT
// Threads that make, exchange and free strings, lists and maps; prints what must come out.
#include <condition_variable>
#include <cstdio>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <queue>
#include <string>
#include <thread>
#include <vector>

static std::mutex mutex;
static std::condition_variable arrived;
static std::queue<std::unique_ptr<std::string>> parcels;

static unsigned long churn(unsigned seed)
{
    std::map<unsigned, std::string> map;
    std::list<std::vector<unsigned>> lists;
    unsigned long sum = 0;
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        map[seed >> 22] = std::string(seed >> 24, 'x');
        if (lists.size() < 50)
            lists.emplace_back(seed >> 25, i);
        else
            lists.pop_front();
        sum += map.size() + lists.size();
    }
    return sum;
}

static void produce(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        auto parcel = std::make_unique<std::string>(i % 500, 'p');
        std::lock_guard<std::mutex> guard(mutex);
        parcels.push(std::move(parcel));
        arrived.notify_one();
    }
}

static unsigned long consume(unsigned count)
{
    unsigned long length = 0;
    for (unsigned i = 0; i < count; i++) {
        std::unique_lock<std::mutex> guard(mutex);
        arrived.wait(guard, [] { return !parcels.empty(); });
        auto parcel = std::move(parcels.front());
        parcels.pop();
        guard.unlock();
        length += parcel->size();
    }
    return length;
}

int main()
{
    unsigned long sums[8];
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 8; i++)
        threads.emplace_back([i, &sums] { sums[i] = churn(i); });
    threads.emplace_back(produce, 30000);
    threads.emplace_back(produce, 30000);
    unsigned long length = consume(60000);
    for (auto &thread : threads)
        thread.join();
    for (unsigned long sum : sums)
        std::printf("%lu ", sum);
    std::printf("%lu\n", length);
    for (int round = 0; round < 100; round++) {
        std::string *made = nullptr;
        std::thread([&made] { made = new std::string(1000, 'y'); }).join();
        delete made;
    }
    return 0;
}
