// SPDX-License-Identifier: MIT
//! The collections of std, and the test harness itself, in a pool of two megabytes.

use ffalloc::FfAlloc;
use std::collections::BTreeMap;

#[global_allocator]
static HEAP: FfAlloc<{ 2 * 1024 * 1024 }> = FfAlloc::new();

#[test]
fn collections_live_in_the_pool() {
    let mut map: BTreeMap<String, Box<[u64]>> = BTreeMap::new();
    for i in 0..500u64 {
        map.insert(format!("key {}", i), vec![i; (i % 40) as usize].into_boxed_slice());
    }
    for i in (0..500).step_by(3) {
        map.remove(&format!("key {}", i));
    }
    assert_eq!(map.len(), 333);
    assert!(map.values().all(|values| values.windows(2).all(|pair| pair[0] == pair[1])));
    let stats = HEAP.stats();
    assert!(stats.block_count > 600 && stats.used_size > 30_000, "{:?}", stats);
    assert!(HEAP.is_sound());
}

#[test]
fn growth_ends_with_an_error_and_loses_nothing() {
    let mut numbers: Vec<u64> = Vec::new();
    let mut pushed = 0u64;
    while numbers.try_reserve(1000).is_ok() {
        numbers.extend(pushed..pushed + 1000);
        pushed += 1000;
    }
    assert!(pushed > 10_000);
    assert!(numbers.iter().copied().eq(0..pushed));
    drop(numbers);
    assert!(Vec::<u8>::new().try_reserve_exact(1 << 40).is_err());
    assert!(vec![1u8; 100_000].len() == 100_000);
}

#[test]
fn threads_share_it() {
    let threads: Vec<_> = (0..4)
        .map(|t| {
            std::thread::spawn(move || {
                for i in 0..2000usize {
                    let text = "x".repeat((i * 7 + t) % 300);
                    assert_eq!(text.len(), (i * 7 + t) % 300);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(HEAP.is_sound());
}
