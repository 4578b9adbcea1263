# SPDX-License-Identifier: MIT
"""Real programs, 1 to 5 s each: CPU time, wall time and peak RSS against glibc's malloc."""

import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from common import (
    ROUNDS, environment_with, find_peers, geometric_mean, interleaved, print_noise, skipped, with_again,
)

# The inputs, made once from a seed ----------------------------------------------------------


def words(count, seed=1):
    chance = random.Random(seed)
    stems = ["".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(chance.randrange(3, 11))) for _ in range(20000)]
    return (chance.choice(stems) for _ in range(count))


def write_text(path):
    with open(path, "w") as file:
        line = []
        for word in words(1_200_000):
            line.append(word)
            if len(line) == 12:
                file.write(" ".join(line) + "\n")
                line.clear()


def write_json(path):
    chance = random.Random(2)
    with open(path, "w") as file:
        file.write("[")
        for i in range(60_000):
            tags = ",".join(f'"{word}"' for word in words(4, i))if i < 500 else f'"{chance.random()}","b"'
            file.write(("," if i else "") + f'{{"id":{i},"name":"user {i}","score":{chance.random()},"tags":[{tags}]}}\n')
        file.write("]")


def write_xml(path):
    chance = random.Random(3)
    with open(path, "w") as file:
        file.write("<all>")
        for i in range(250_000):
            file.write(f'<item id="{i}"><name>thing {i}</name><price>{chance.random()}</price></item>\n')
        file.write("</all>")


def write_cpp(path):
    types = "\n".join(
        f"struct T{i} {{ std::map<std::string, std::vector<std::tuple<int, T{i - 1}*>>> m; std::function<int(T{i}&)> f; }};"
        f" int use{i}(T{i}& t) {{ t.m[\"k\"].emplace_back({i}, nullptr); std::variant<int, std::string, T{i}*> v = &t;"
        f" return std::visit([](auto&& x) {{ return (int)sizeof x; }}, v) + (t.f ? t.f(t) : 0); }}"
        for i in range(1, 8)
    )
    path.write_text(
        "#include <algorithm>\n#include <functional>\n#include <map>\n#include <regex>\n#include <string>\n"
        f"#include <tuple>\n#include <variant>\n#include <vector>\nstruct T0 {{}};\n{types}\n"
        "int main() { std::regex r(\"a+b\"); return std::regex_match(\"aab\", r); }\n"
    )


def write_sql(path):
    path.write_text(
        "create table t(id integer primary key, name text, value real);\n"
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 400000)\n"
        "insert into t select i, 'name ' || (i * 7919 % 100003), i * 0.5 from n;\n"
        "create index by_name on t(name);\n"
        "select count(*), sum(length(name)) from t a where exists (select 1 from t b where b.name = a.name and b.id > a.id);\n"
        "select name, group_concat(id) from t group by name order by 2 desc limit 3;\n"
    )


def make_repository(folder):
    def git(*arguments):
        subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)

    folder.mkdir()
    git("init", "-q")
    git("config", "user.email", "bench@example.org")
    git("config", "user.name", "bench")
    chance = random.Random(4)
    for i in range(12):
        for j in range(60):
            (folder / f"file{j}").write_text(" \n".join(words(1500 if chance.random() < 0.5 else 300, i * 100 + j)))
        git("add", "-A")
        git("commit", "-qm", f"change {i}")
    git("repack", "-adfq")  # so that the first run finds what all others find


PYTHON = """
import json, collections
class Node:
    def __init__(self, name, parent): self.name, self.parent, self.children = name, parent, []
nodes = [Node("root", None)]
for i in range(1, 120000):
    parent = nodes[(i * 7919) % i]
    nodes.append(Node("node %d" % i, parent)); parent.children.append(nodes[-1])
count = collections.Counter(len(n.children) for n in nodes)
text = json.dumps([{"name": n.name, "children": [c.name for c in n.children]} for n in nodes])
print(len(text), sum(len(x["children"]) for x in json.loads(text)), sorted(count.items())[:3])
"""
PERL = r"""
my %%words; for my $round (1 .. 3) { open my $f, "<", "%s" or die; while (<$f>) { $words{$_}++ for split; push @{$lines{length $_}}, $_ if $. %% 3 == 0 } }
my @top = sort { $words{$b} <=> $words{$a} || $a cmp $b } keys %%words; print "$top[0] ", scalar(@top), "\n";
my %%by; push @{$by{substr $_, 0, 2}}, { word => $_, count => $words{$_} } for @top; print scalar(keys %%by), "\n";
"""
GAWK = '{ for (i = 1; i <= NF; i++) { n[$i]++; last[$i] = $0 } gsub(/a/, "b"); s[NR % 50000] = $0 } END { for (w in n) if (n[w] > m) m = n[w]; print m, length(n) }'
LUA = """
local t = {} for i = 1, 600000 do t[i % 100000 + 1] = { name = "n" .. i, value = i * 0.5, f = function() return i end } end
local s = 0 for _, v in pairs(t) do s = s + v.f() + #v.name end
local parts = {} for i = 1, 300000 do parts[#parts + 1] = ("%d:%s"):format(i, ("x"):rep(i % 40)) end
print(s, #table.concat(parts))
"""
NODE = """
const m = new Map(); for (let i = 0; i < 1200000; i++) m.set('k' + (i * 7919 % 300007), { i, s: 'v' + i, a: [i, i + 1] });
let n = 0; for (const v of m.values()) n += v.a.length + v.s.length;
const b = []; for (let i = 0; i < 60000; i++) { b.push(Buffer.alloc(100 + i % 9000)); if (b.length > 2000) b.splice(0, 1000); }
console.log(n, JSON.stringify([...m.values()].slice(0, 200000)).length, b.length);
"""
Z3 = "(declare-fun x (Int) Int)\n" + "".join(
    f"(declare-const a{i} Int)(declare-const b{i} (_ BitVec 24))\n"
    f"(assert (and (> a{i} {i}) (< a{i} {i * 3 + 40}) (= (x a{i}) (+ a{i} {i % 7}))))\n"
    f"(assert (= (bvmul b{i} b{i}) (bvadd b{max(i - 1, 0)} #x{(i * 7919) % 4096:06x})))\n"
    if i < 3 else
    f"(declare-const a{i} Int)(assert (and (> a{i} a{i - 1}) (< a{i} (+ a{i - 1} {i % 5 + 3})) (distinct (x a{i}) (x a{i - 2}))))\n"
    for i in range(2500)
) + "(check-sat)\n"


def prepare(folder):
    """Writes all inputs; returns {name: (command, the variables it needs)}."""
    text, json, xml, cpp, sql = (folder / name for name in ("text", "data.json", "data.xml", "heavy.cpp", "work.sql"))
    write_text(text)
    write_json(json)
    write_xml(xml)
    write_cpp(cpp)
    write_sql(sql)
    make_repository(folder / "repository")
    (folder / "work.lua").write_text(LUA)
    (folder / "work.smt2").write_text(Z3)
    (folder / "work.py").write_text(PYTHON)
    compiled = folder / "debugged"
    if shutil.which("g++"):
        subprocess.run(["g++", "-std=c++17", "-g", cpp, "-o", compiled], check=True)
    return {
        "python3": (["python3", folder / "work.py"], {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}),
        "perl": (["perl", "-e", PERL % text], {"PERL_HASH_SEED": "0"}),
        "gawk": (["gawk", GAWK, text], {}),
        "lua": (["lua5.4", folder / "work.lua"], {}),
        "sqlite3": (["sqlite3", ":memory:", f".read {sql}"], {}),
        "g++": (["g++", "-std=c++17", "-O1", "-c", cpp, "-o", "/dev/null"], {}),
        "clang++": (["clang++", "-std=c++17", "-O1", "-c", cpp, "-o", "/dev/null"], {}),
        "git repack": (["git", "-C", folder / "repository", "repack", "-adfq", "--threads=1", "--depth=50", "--window=120"], {}),
        "jq": (["jq", "map({id, n: (.name | ascii_upcase), t: (.tags | length)}) | group_by(.t) | map(length)", json], {}),
        "xmllint": (["xmllint", "--format", "--output", "/dev/null", xml], {}),
        "node": (["node", "-e", NODE], {}),
        "gdb": (["gdb", "-nx", "-batch", "-readnow", "-ex", "info types Rb_tree", "-ex", "info functions visit", compiled], {}),
        "convert": (["convert", "-size", "1400x1400", "plasma:red-blue", "-seed", "1", "-blur", "0x3", "-resize", "60%", "-colors", "64", "png:/dev/null"], {"MAGICK_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "1"}),
        "z3": (["z3", folder / "work.smt2"], {}),
        "redis-server": (["redis-server"], {}),
    }


# Running ------------------------------------------------------------------------------------


class Usage:
    """What a finished process took, its children included; `rss` in KiB."""

    def __init__(self, usage, wall, rss):
        self.cpu = usage.ru_utime + usage.ru_stime
        self.wall = wall
        self.rss = rss


class Run:
    """A process under time(1), which tells its peak RSS: a child of ours would begin with what this
    one has, 14 MiB, more than git takes."""

    def __init__(self, name, command, environment):
        self.name = name
        self.told = tempfile.NamedTemporaryFile("r")
        self.start = time.monotonic()
        self.process = subprocess.Popen(
            ["time", "-f", "%M", "-o", self.told.name, *command],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )

    def finish(self):
        _, status, usage = os.wait4(self.process.pid, 0)
        wall = time.monotonic() - self.start
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0:
            sys.exit(f"{self.name} ended with {self.process.returncode}")
        with self.told:
            return Usage(usage, wall, int(self.told.read()))


def run_command(name, command, environment):
    return Run(name, command, environment).finish()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run_redis(name, command, environment):
    """The server's own usage under a bounded load from redis-benchmark."""
    port = str(free_port())
    with tempfile.TemporaryDirectory() as folder:
        server = Run(name, [*command, "--port", port, "--save", "", "--appendonly", "no", "--dir", folder], environment)
        for _ in range(200):
            if subprocess.run(["redis-cli", "-p", port, "ping"], capture_output=True).returncode == 0:
                break
            time.sleep(0.02)
        subprocess.run(
            ["redis-benchmark", "-q", "-p", port, "-P", "16", "-n", "250000", "-r", "100000", "-d", "60",
             "-t", "set,lpush,sadd,hset,zadd,rpop"],
            check=True, capture_output=True,
        )
        subprocess.run(["redis-cli", "-p", port, "shutdown", "nosave"], capture_output=True)
        return server.finish()


WHATS = ("cpu", "wall", "rss")


def measure(name, command, variables, peers):
    """The least CPU time, wall time and peak RSS with each allocator: {peer: {what: least}}."""
    run = run_redis if name == "redis-server" else run_command
    words = [str(word) for word in command]
    taken = interleaved({
        peer: lambda library=library: run(name, words, environment_with(library, **variables))
        for peer, library in peers.items()})
    return {peer: {what: min(getattr(usage, what) for usage in usages) for what in WHATS}
            for peer, usages in taken.items()}


def print_head(others):
    print(f"real programs: with glibc CPU seconds, wall seconds and peak RSS, the least of {ROUNDS} runs; then\n"
          "the ratios of the others' least to these")
    print(f"{'program':14}{'CPU s':>7}{'wall s':>7}{'MiB':>6}" + "".join(f"{peer:>10} CPU wall  RSS" for peer in others))


def ratio_text(ratio):
    return f"{ratio['cpu']:14.2f} {ratio['wall']:.2f} {ratio['rss']:.2f}"


def print_row(name, least, others):
    glibc = least["glibc"]
    row = f"{name:14}{glibc['cpu']:7.2f}{glibc['wall']:7.2f}{glibc['rss'] / 1024:6.0f}"
    row += "".join(ratio_text({what: least[peer][what] / glibc[what] for what in WHATS}) for peer in others)
    print(row, flush=True)


def print_means(results, others):
    for label, mean in (("geometric mean", geometric_mean), ("highest", max)):
        print(f"{label:34}" + "".join(ratio_text({
            what: mean([least[peer][what] / least["glibc"][what] for least in results]) for what in WHATS})
            for peer in others))


def main(wanted):
    if not shutil.which("time"):
        skipped("programs: GNU time is not installed")
        return
    peers = with_again(find_peers())
    others = [peer for peer in peers if peer != "glibc"]
    results = []
    print_head(others)
    with tempfile.TemporaryDirectory() as folder:
        for name, (command, variables) in prepare(pathlib.Path(folder)).items():
            if wanted and name not in wanted:
                continue
            if not shutil.which(command[0]):
                skipped(f"{name}: not installed")
                continue
            results.append(measure(name, command, variables, peers))
            print_row(name, results[-1], others)
    if results:
        print_means(results, others)
    for what in WHATS:
        print_noise(f"ffalloc against itself, {what}", [{peer: least[peer][what] for peer in least} for least in results])
