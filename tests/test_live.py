# SPDX-License-Identifier: MIT
"""Traces of programs that go on: snapshots, one after the other, of processes that ran before."""

import glob
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

from support import BUILD, SOURCE, environment, need
from tool import ToolCase

# Makes calls for each line that it is given, and says when it has made them.
PROGRAM = """
import sys
print("ready", flush=True)
kept = []
for line in sys.stdin:
    for _ in range(int(line)):
        kept.append(bytearray(1000))
    del kept[::2]
    print("done", flush=True)
"""


class Live(ToolCase):
    def start(self, command):
        """A process that is told what to do by a pipe."""
        process = subprocess.Popen(command, text=True, env=environment(), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def record(self, trace, *options, program=PROGRAM):
        """`ffalloc record` of the program, and the program's number."""
        recorder = self.start([BUILD / "ffalloc", "record", "-o", trace, *options, "--", sys.executable, "-c",
                               program])
        self.assertEqual(recorder.stdout.readline(), "ready\n")
        return recorder, self.child_of(recorder.pid)

    def record_whole(self, *words, **settings):
        return ToolCase.record(self, *words, name="whole", **settings)

    def child_of(self, process):
        with open(f"/proc/{process}/task/{process}/children") as file:
            return int(file.read().split()[0])

    def call(self, process, count):
        print(count, file=process.stdin, flush=True)
        self.assertEqual(process.stdout.readline(), "done\n")

    def finish(self, recorder, status=0):
        _, stderr = recorder.communicate(timeout=60)
        self.assertEqual(recorder.returncode, status, stderr)
        return stderr


class Snapshot(Live):
    def assert_begins_as(self, trace, snapshot):
        whole, part = self.events(trace), self.events(snapshot)
        self.assertEqual(part, whole[:len(part)])
        return len(part)

    def test_is_a_whole_trace_of_what_was_recorded_so_far(self):
        trace = self.folder / "trace"
        recorder, program = self.record(trace)
        kept = []
        for number, asked in enumerate((program, recorder.pid, program)):
            self.call(recorder, 3000)
            done = self.tool("snapshot", f"{asked}")
            self.assertEqual(done.stdout, f"{trace}.snapshot\n")
            kept.append(self.folder / f"kept{number}")
            os.rename(f"{trace}.snapshot", kept[-1])
            self.assertEqual(self.tool("size", kept[-1]).stderr, "")
            self.assertEqual(self.object("replay", "--json", kept[-1])["as_recorded"], "yes")
        self.finish(recorder)
        counts = [self.assert_begins_as(trace, path) for path in kept]
        for count, more in zip(counts, counts[1:]):
            self.assertGreater(more, count + 3000)
        self.assertEqual(self.object("replay", "--json", trace)["as_recorded"], "yes")

    def test_comes_by_sigusr2_to_the_recorder(self):
        trace = self.folder / "trace"
        recorder, _ = self.record(trace)
        self.call(recorder, 500)
        recorder.send_signal(signal.SIGUSR2)
        end = time.monotonic() + 30
        while not os.path.exists(f"{trace}.snapshot") and time.monotonic() < end:
            time.sleep(0.01)
        self.call(recorder, 10)
        self.assertIn(f"{trace}.snapshot: ", self.finish(recorder))
        self.assertGreater(self.assert_begins_as(trace, f"{trace}.snapshot"), 500)

    def test_stays_whole_if_all_is_killed(self):
        trace = self.folder / "trace"
        recorder, program = self.record(trace)
        self.call(recorder, 1000)
        self.tool("snapshot", f"{program}")
        self.call(recorder, 1000)
        recorder.kill()
        os.kill(program, signal.SIGKILL)
        recorder.communicate(timeout=30)
        self.assertEqual(self.tool("size", f"{trace}.snapshot").stderr, "")
        self.assertGreater(len(self.events(f"{trace}.snapshot")), 1000)
        self.assert_begins_as(f"{trace}.unfinished", f"{trace}.snapshot")

    def test_of_each_process(self):
        program = PROGRAM.replace('print("ready"', """
import os
if os.fork() == 0:
    kept = [bytearray(1000) for _ in range(100)]
    sys.stdin.close()
    import time
    time.sleep(60)
print("ready\"""")
        recorder, first = self.record(self.folder / "t.%p", program=program)
        self.call(recorder, 200)
        second = self.child_of(first)
        self.addCleanup(os.kill, second, signal.SIGKILL)
        end = time.monotonic() + 30
        while self.tool("snapshot", f"{second}", status=None).returncode and time.monotonic() < end:
            time.sleep(0.05)
        for process in (first, second):
            self.assertGreater(len(self.events(self.folder / f"t.{process}.snapshot")), 100)

    def test_a_pipe_has_none(self):
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        recorder, program = self.record(pipe)
        done = self.tool("snapshot", f"{program}", status=125)
        self.assertIn("could not write the snapshot", done.stderr)
        os.set_blocking(reader, True)
        recorder.stdin.close()
        recorder.stdin = None
        with open(reader, "rb") as file:
            self.assertGreater(len(file.read()), 100)
        self.assertIn("is no file", self.finish(recorder))

    def test_a_file_that_cannot_be_written(self):
        trace = self.folder / "trace"
        recorder, program = self.record(trace)
        (self.folder / "trace.snapshot.unfinished").mkdir()
        self.assertIn("could not write", self.tool("snapshot", f"{program}", status=125).stderr)
        self.call(recorder, 10)
        self.finish(recorder)
        self.assertGreater(len(self.events(trace)), 10)

    def test_the_program_keeps_its_sigusr2(self):
        trace = self.folder / "trace"
        program = 'import signal; print(signal.getsignal(signal.SIGUSR2)); print("ready", flush=True); input()'
        recorder = self.start([BUILD / "ffalloc", "record", "-o", trace, "--", sys.executable, "-c", program])
        self.assertEqual(recorder.stdout.readline(), "0\n")
        self.assertEqual(recorder.stdout.readline(), "ready\n")
        os.kill(self.child_of(recorder.pid), signal.SIGUSR2)
        self.finish(recorder, status=128 + signal.SIGUSR2)

    def test_bad_input(self):
        self.assert_one_line(self.tool("snapshot", status=2), "no process")
        for text in ("0", "-1", "x", "", "99999999999"):
            self.assert_one_line(self.tool("snapshot", "--", text, status=2), "is no process's number")
        self.assert_one_line(self.tool("snapshot", "1", "2", status=2), "one process")
        self.assert_one_line(self.tool("snapshot", f"{os.getpid()}", status=125), "is not being recorded")


# Its blocks differ much in size and age, so that there are holes, and grow.
CHURN = """
import random
draw, kept = random.Random(1), []
for i in range(40000):
    kept.append(bytearray(draw.randrange(600, 9000)))
    if i % 3 == 0:
        kept[-1].extend(bytes(draw.randrange(9000)))
    if len(kept) > 100:
        kept[draw.randrange(100)] = kept.pop()
"""


class Rotation(Live):
    def rotate(self, *options):
        trace = self.folder / "trace"
        done = self.tool("record", "-o", trace, "--rotate", "64K", *options, "--", sys.executable, "-c", CHURN,
                         PYTHONHASHSEED="0", LC_ALL="C")
        parts = sorted(self.folder.glob("trace.part*"), key=lambda path: int(path.suffix[5:]))
        self.assertEqual([path.name for path in parts], [f"trace.part{i + 1}" for i in range(len(parts))])
        for path in parts:
            self.assertIn(f"ffalloc: {path}: ", done.stderr)
        return [*parts, trace]

    def test_each_part_is_a_whole_trace(self):
        parts = self.rotate("--backtrace", "fp")
        self.assertGreater(len(parts), 3)
        for path in parts:
            with self.subTest(path=path.name):
                self.assertLess(path.stat().st_size, 400 << 10)
                self.assertEqual(self.object("replay", "--json", path)["as_recorded"], "yes")
                size = self.tool("size", path)
                self.assertEqual(size.stderr, "")
                self.assertIn("holes", self.tool("why", path).stdout)
        self.assertFalse(list(self.folder.glob("*.unfinished")))

    def test_parts_need_together_what_the_whole_needs(self):
        parts = self.rotate()
        whole = self.record_whole(sys.executable, "-c", CHURN, PYTHONHASHSEED="0", LC_ALL="C")
        sizes = [self.object("size", "--json", path) for path in [*parts, whole]]
        self.assertEqual(max(size["mark_pool"] for size in sizes[:-1]), sizes[-1]["mark_pool"])
        self.assertEqual(max(size["payload_peak"] for size in sizes[:-1]), sizes[-1]["payload_peak"])
        self.assertEqual({size["threads"] for size in sizes}, {1})
        asked = [[event for event in self.events(path) if event["thread"] != "65535" and event["call"] != "free"]
                 for path in [*parts, whole]]
        live = [self.object("data", "--columns=1", "--rows=1", "--at=end", path)["moment"] for path in parts]
        self.assertEqual(sum(map(len, asked[:-1])) - sum(moment["blocks"] for moment in live[:-1]), len(asked[-1]))
        own = asked[-2][live[-2]["blocks"]:]  # a part begins with what lives
        last, whole = ([event["size"] for event in events if event["site"]] for events in (own, asked[-1]))
        self.assertEqual(last, whole[len(whole) - len(last):])

    def test_a_part_that_cannot_be_written_ends_the_recording_alone(self):
        (self.folder / "trace.part2").mkdir()
        done = self.tool("record", "-o", self.folder / "trace", "--rotate", "64K", "--", sys.executable, "-c",
                         CHURN + "print('done')", status=125)
        self.assertEqual(done.stdout, "done\n")
        self.assertRegex(done.stderr, "trace.part2 cannot be written: .*directory")
        self.assertEqual(self.tool("size", self.folder / "trace.part1").stderr, "")

    def test_only_files_are_rotated(self):
        for output in ("-", "/dev/null"):
            done = self.tool("record", "-o", output, "--rotate=64K", "--", "true", status=2)
            self.assert_one_line(done, "--rotate: .* is no file")

    def test_killed_the_last_part_is_whole(self):
        trace = self.folder / "trace"
        self.tool("record", "-o", trace, "--rotate", "64K", "--", sys.executable, "-c",
                  CHURN + "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", status=128 + signal.SIGKILL)
        for path in (trace, self.folder / "trace.part1"):
            self.assertEqual(self.object("replay", "--json", path)["as_recorded"], "yes")


# Four threads that hand blocks on to each other, for so many seconds.
THREADS = """
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static char *slots[512];
static volatile int is_over;
static void *work(void *seed)
{
    unsigned state = (unsigned)(size_t)seed;
    while (!is_over) {
        state = state * 1103515245u + 12345u;
        char *block = malloc(state / 65536 % 3000 + 1);
        block = __atomic_exchange_n(&slots[state / 7 % 512], block, __ATOMIC_ACQ_REL);
        free(block);
        if (state / 65536 % 16 == 0)
            usleep(50);
    }
    return NULL;
}
int main(int argc, char **argv)
{
    pthread_t threads[4];
    char *kept[300];
    for (size_t i = 0; i < 300; i++)
        kept[i] = malloc(i * 7 + 1);
    for (size_t i = 0; i < 300; i += 2)
        free(kept[i]);
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    puts("ready");
    fflush(stdout);
    struct pollfd input = {0, POLLIN, 0};
    poll(&input, 1, (int)(atof(argv[1]) * 1e3));
    if (argc > 2 && strcmp(argv[2], "exec") == 0)
        execl(argv[0], argv[0], "0.5", NULL);
    is_over = 1;
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
"""


def control_of(process):
    return f"/dev/shm/ffalloc-live.{process}"


class Programs(Live):
    def compile(self, text=THREADS, *options):
        source, program = self.folder / "program.c", self.folder / "program"
        source.write_text(text)
        subprocess.run([need("gcc"), "-g", "-O1", "-pthread", "-I", SOURCE / "include", *options, source, "-o",
                        program], check=True)
        return program

    def run_live(self, *words):
        process = self.start([BUILD / "ffalloc", "run", "--live", *words])
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def attach(self, process, name="trace", *options):
        return self.start([BUILD / "ffalloc", "record", "-o", self.folder / name, "--pid", f"{process}", *options])

    def interrupt(self, recorder, seconds, number=signal.SIGINT):
        time.sleep(seconds)
        recorder.send_signal(number)
        return self.finish(recorder)

    def assert_whole(self, name, is_one_pool=True):
        trace = self.folder / name
        self.assertEqual(self.tool("size", trace).stderr, "")
        if is_one_pool:
            self.assertEqual(self.object("replay", "--json", trace)["as_recorded"], "yes")
        return trace


class Attached(Programs):
    def test_what_lives_is_there_and_where_it_lies(self):
        server = self.run_live("--", sys.executable, "-c", PROGRAM)
        self.assertTrue(os.path.exists(control_of(server.pid)))
        self.call(server, 1000)
        for name in ("first", "second"):
            recorder = self.attach(server.pid, name)
            time.sleep(0.3)
            self.call(server, 500)
            self.interrupt(recorder, 0.2)
            events = self.events(self.assert_whole(name))
            self.assertGreater(len([event for event in events if not event["site"] and event["thread"] == "0"]), 500)
            self.assertGreater(len([event for event in events if event["site"] and event["call"] != "free"]), 400)
        self.call(server, 10)
        self.finish(server)
        self.assertFalse(os.path.exists(control_of(server.pid)))

    def test_threads_go_on_meanwhile(self):
        program = self.compile()
        for pool in ([], ["--pool=1M"]):
            server = self.run_live(*pool, "--", program, "30")
            for round, options in enumerate(([], ["--backtrace=fp"], [])):
                self.interrupt(self.attach(server.pid, f"trace{round}", *options), 0.4,
                               (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[round])
                trace = self.assert_whole(f"trace{round}", bool(pool))
                self.assertGreater(self.object("size", "--json", trace)["events"], 500)
            self.finish(server)

    def test_until_the_end_of_the_process_and_exec(self):
        program = self.compile()
        for more in ([], ["exec"]):
            server = self.run_live("--pool=1M", "--", program, "0.7", *more)
            self.finish(self.attach(server.pid))
            self.assert_whole("trace")
            self.finish(server)

    def test_either_is_killed_at_any_moment(self):
        program = self.compile()
        for i in range(8):
            server = self.run_live("--pool=1M", "--", program, "5")
            recorder = self.attach(server.pid)
            time.sleep(i * 0.015)
            if i % 2:
                server.kill()
                recorder.communicate(timeout=30)
                if recorder.returncode == 0:
                    self.assert_whole("trace")
            else:
                recorder.kill()
                recorder.communicate()
                self.interrupt(self.attach(server.pid, "next"), 0.3)
                self.assert_whole("next", is_one_pool=False)
            server.kill()
            server.wait()
        self.tool("run", "--live", "--", "true")
        self.assertFalse(os.path.exists(control_of(server.pid)), "swept")

    def test_a_child_may_be_recorded_too(self):
        program = self.compile("""
            #include <stdio.h>
            #include <stdlib.h>
            #include <sys/wait.h>
            #include <unistd.h>
            int main(void) {
                char *volatile kept = malloc(12345);
                pid_t child = fork();
                for (int i = 0; i < 100; i++) { usleep(20000); for (int j = 0; j < 100; j++) { void *volatile block = malloc(i + 1); free(block); } if (i == 1 && child) { puts("ready"); fflush(stdout); } }
                free(kept);
                return child ? wait(NULL) < 0 : 0;
            }
        """)
        server = self.run_live("--", program)
        child = self.child_of(server.pid)
        end = time.monotonic() + 30
        while not os.path.exists(control_of(child)) and time.monotonic() < end:
            time.sleep(0.01)
        self.finish(self.attach(child))
        sizes = [event["size"] for event in self.events(self.assert_whole("trace"))]
        self.assertIn("12352", sizes)
        self.finish(server)
        self.assertFalse(os.path.exists(control_of(child)))

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "only root may do that")
    def test_of_another_user_by_root(self):
        server = self.start(["setpriv", "--reuid=65534", "--clear-groups", "--", BUILD / "ffalloc", "run", "--live",
                             "--", "/usr/bin/python3", "-c", PROGRAM])
        self.assertEqual(server.stdout.readline(), "ready\n")
        recorder = self.attach(server.pid)
        time.sleep(0.3)
        self.call(server, 500)
        self.interrupt(recorder, 0.3)
        self.assertGreater(len(self.events(self.assert_whole("trace"))), 1000)

    def test_a_ring_that_cannot_be_made(self):
        program = self.compile("""
            #include <stdio.h>
            #include <stdlib.h>
            #include <sys/resource.h>
            #include <unistd.h>
            int main(void) {
                struct rlimit limit = {1 << 20, 1 << 20};
                setrlimit(RLIMIT_FSIZE, &limit);
                puts("ready"); fflush(stdout);
                for (int i = 0; i < 500; i++) { void *volatile block = malloc(10); free(block); usleep(10000); }
                return 0;
            }
        """)
        server = self.run_live("--", "sh", "-c", f"trap '' XFSZ; exec {program}")
        recorder = self.attach(server.pid)
        self.assertIn("cannot make a ring", self.finish(recorder, status=125))

    def test_children_that_end_soon_leave_nothing(self):
        """While it forks, with threads, and recorders come and go."""
        program = self.compile("""
            #include <pthread.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <sys/wait.h>
            #include <unistd.h>
            static volatile int is_over;
            static void call(size_t size) { void *volatile block = malloc(size); free(block); }
            static void *work(void *size) { while (!is_over) { call((size_t)size); usleep(20); } return NULL; }
            int main(void) {
                pthread_t threads[3];
                for (size_t i = 0; i < 3; i++) pthread_create(&threads[i], NULL, work, (void *)(100 * i));
                puts("ready"); fflush(stdout);
                for (int i = 0; i < 200; i++) {
                    pid_t child = fork();
                    if (child == 0) { call(10); _exit(0); }
                    waitpid(child, NULL, 0);
                    usleep(5000);
                }
                is_over = 1;
                for (size_t i = 0; i < 3; i++) pthread_join(threads[i], NULL);
                return 0;
            }
        """)
        before = set(glob.glob("/dev/shm/ffalloc-live.*"))
        server = self.run_live("--pool=1M", "--", program)
        for i in range(3):
            self.interrupt(self.attach(server.pid, f"trace{i}"), 0.25)
            self.assert_whole(f"trace{i}")
        left = set(glob.glob("/dev/shm/ffalloc-live.*")) - before
        self.assertLess(len(left), 20, "others' tests have theirs")
        self.finish(server)

    def test_a_guarded_process_is_told_by_what_was_asked_for(self):
        peaks = []
        for options in ((), ("--guard", "--quarantine=64K")):
            server = self.run_live(*options, "--", sys.executable, "-c", PROGRAM)
            recorder = self.attach(server.pid)
            time.sleep(0.5)
            self.call(server, 100)
            self.interrupt(recorder, 0)
            peaks.append(self.object("size", "--json", self.folder / "trace")["payload_peak"])
        self.assertLess(abs(peaks[1] - peaks[0]), peaks[0] / 50)

    def test_says_that_it_waits(self):
        server = self.run_live("--", sys.executable, "-c", PROGRAM)
        recorder = self.attach(server.pid)
        self.assertIn("waiting for its next call", recorder.stderr.readline())
        self.call(server, 100)
        self.interrupt(recorder, 0.2)
        self.assert_whole("trace")

    def test_one_recorder_at_a_time(self):
        """Also before the process, which makes no call meanwhile, has noticed the first."""
        server = self.run_live("--", sys.executable, "-c", PROGRAM)
        recorder = self.attach(server.pid)
        self.assertIn("waiting", recorder.stderr.readline())
        done = self.tool("record", "-o", self.folder / "t", "--pid", f"{server.pid}", status=125, timeout=30)
        self.assert_one_line(done, f"recorded already, by process {recorder.pid}")
        recorder.kill()
        recorder.wait()
        recorder = self.attach(server.pid, "next")
        self.assertIn("waiting", recorder.stderr.readline())
        self.call(server, 100)
        self.interrupt(recorder, 0.3)
        self.assert_whole("next")

    def test_what_cannot_be(self):
        server = self.run_live("--", sys.executable, "-c", PROGRAM)
        trace = self.folder / "t"
        for words, status, text in (
            (["--pid", "x"], 2, "is no process's number"), (["--pid", f"{os.getpid()}"], 125, "ffalloc run --live"),
            (["--pid", f"{server.pid}", "true"], 2, "takes no program"),
            (["--pid", f"{server.pid}", "--pool=64K"], 2, "no option for one"),
            (["--pid", f"{server.pid}", "--backtrace=unwind"], 2, "caller or fp"),
        ):
            self.assert_one_line(self.tool("record", "-o", trace, *words, status=status), text)
        recorder = self.attach(server.pid)
        end = time.monotonic() + 30
        while not (self.folder / "trace.unfinished").exists() and time.monotonic() < end:
            self.call(server, 10)
            time.sleep(0.02)
        done = self.tool("record", "-o", trace, "--pid", f"{server.pid}", status=125, timeout=30)
        self.assert_one_line(done, "already")
        self.assertEqual(self.tool("snapshot", f"{server.pid}").stdout, f"{self.folder / 'trace'}.snapshot\n")
        self.interrupt(recorder, 0)
        with open(control_of(os.getpid()), "wb") as file:
            self.addCleanup(os.unlink, file.name)
            file.write(bytes(4096))
        self.assert_one_line(self.tool("record", "-o", trace, "--pid", f"{os.getpid()}", status=125), "run --live")


class Header(Programs):
    PAUSES = """
        #include <stdlib.h>
        #include <ffalloc/record.h>
        int main(void) {
            void *volatile a[10];
            ffalloc_record_stop(); ffalloc_record_stop();
            for (int i = 0; i < 10; i++) a[i] = malloc((size_t)(1000 + i));
            ffalloc_record_start(); ffalloc_record_start();
            for (int i = 0; i < 10; i += 2) free(a[i]);
            a[0] = malloc(2000);
            ffalloc_record_stop();
            a[2] = malloc(500); a[4] = malloc(3000); free(a[1]);
            ffalloc_record_start();
            a[1] = malloc(700); a[6] = malloc(4000);
            return 0;
        }
    """

    def test_what_is_not_recorded_is_where_it_lies(self):
        for options in ((), ("-no-pie",), ("-O2", "-fpic")):
            program = self.compile(self.PAUSES, *options)
            self.assertEqual(subprocess.run([program]).returncode, 0, "without the library")
            for paused in ([], ["--paused"]):
                self.record_whole(program, options=paused)
                events = self.events(self.assert_whole("whole"))
                with_site = [int(event["size"]) for event in events if event["site"] and event["call"] == "malloc"]
                self.assertEqual(with_site, [2000, 700, 4000])
                told = [int(event["size"]) for event in events
                        if not event["site"] and event["call"] == "malloc" and event["thread"] == "0"]
                self.assertIn(512, told)
                self.assertIn(3008, told)
                self.assertNotIn(1000, told)

    def test_compiled_as_cxx(self):
        source = self.folder / "a.cpp"
        source.write_text("#include <ffalloc/record.h>\nint main() { ffalloc_record_stop(); ffalloc_record_start(); }")
        subprocess.run([need("g++"), "-Wall", "-Wextra", "-Werror", "-I", SOURCE / "include", source, "-o",
                        self.folder / "a"], check=True)
        self.tool("run", "--", self.folder / "a")

    def test_a_program_that_never_starts(self):
        done = self.tool("record", "-o", self.folder / "t", "--paused", "--", "true")
        self.assertIn(": 0 events", done.stderr)


if __name__ == "__main__":
    unittest.main()
