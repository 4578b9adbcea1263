# SPDX-License-Identifier: MIT
"""What a firmware's build takes of this repository: its package managers' files, the figures of
ports/README.md, and one list of flags for all builds of the library."""

import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import support
from support import BUILD, SOURCE, TestCase, need

sys.path.insert(0, str(SOURCE / "bench"))
import footprint

MAIN = """
#include <ffalloc/regions.h>
static unsigned char memory[4096];
static struct ffalloc_regions heap;
static struct ffalloc_region region;
int main(void)
{
    return !ffalloc_regions_add(&heap, &region, memory, sizeof memory, 0) || !ffalloc_regions_malloc(&heap, 100);
}
"""
# What the two build systems have of functions, as far as the files here use them.
ESP_IDF = """
set(ESP_PLATFORM 1)
function(idf_component_register)
  cmake_parse_arguments(HIS "" "" "SRCS;INCLUDE_DIRS" ${ARGN})
  add_library(fetched STATIC ${HIS_SRCS})
  target_include_directories(fetched PUBLIC ${HIS_INCLUDE_DIRS})
endfunction()
add_subdirectory(fetched)
"""
ZEPHYR = """
set(CONFIG_FFALLOC y)
function(zephyr_include_directories)
  include_directories(${ARGN})
  set_property(GLOBAL PROPERTY HIS_INCLUDES ${ARGN})
endfunction()
macro(zephyr_library_named name)
  set(ZEPHYR_CURRENT_LIBRARY ${name})
  add_library(${name} STATIC "")
endmacro()
function(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()
add_subdirectory(fetched/%s module)
add_library(fetched INTERFACE)
get_property(INCLUDES GLOBAL PROPERTY HIS_INCLUDES)
target_include_directories(fetched INTERFACE ${INCLUDES})
target_link_libraries(fetched INTERFACE ffalloc)
"""
FETCH_CONTENT = "add_subdirectory(fetched)\nadd_library(his ALIAS ffalloc-core)\n"
# Instruction sets with pointers of 16 bits, as the two managers name what has them.
OF_16_BITS = {"avr", "megaavr", "atmelavr", "atmelmegaavr", "timsp430", "intel_mcs51", "ststm8", "pic", "*"}


class Managers(TestCase):
    """Each gets what git has, in a folder of its own, and nothing beside it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.project = pathlib.Path(folder.name)
        fetched = self.project / "fetched"
        fetched.mkdir()
        names = subprocess.run(["git", "-C", SOURCE, "ls-files", "-z"], capture_output=True, check=True).stdout
        tree = subprocess.run(["tar", "-C", SOURCE, "-c", "--null", "-T", "-"], input=names,
                              capture_output=True, check=True).stdout
        subprocess.run(["tar", "-C", fetched, "-x"], input=tree, check=True)
        self.fetched = fetched

    def assert_builds(self, how, library):
        cmake = need("cmake")
        (self.project / "main.c").write_text(MAIN)
        (self.project / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.16)\nproject(his C)\n" + how +
            f"add_executable(his-main main.c)\ntarget_link_libraries(his-main {library})\n")
        for words in ((cmake, "-S", self.project, "-B", self.project / "b"),
                      (cmake, "--build", self.project / "b"), (self.project / "b/his-main",)):
            done = subprocess.run(words, capture_output=True, text=True, env=support.environment())
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_esp_idf_finds_a_component(self):
        self.assertIn("version:", (self.fetched / "idf_component.yml").read_text())
        self.assert_builds(ESP_IDF, "fetched")

    def test_zephyr_finds_a_module(self):
        module = (self.fetched / "zephyr/module.yml").read_text()
        folder = re.search(r"^  cmake: (\S+)$", module, re.M).group(1)
        kconfig = self.fetched / re.search(r"^  kconfig: (\S+)$", module, re.M).group(1)
        self.assertIn("config FFALLOC", kconfig.read_text())
        self.assert_builds(ZEPHYR % folder, "fetched")

    def test_cmake_finds_the_core(self):
        self.assert_builds(FETCH_CONTENT, "ffalloc::core")

    def test_platformio_finds_sources_and_names_what_they_run_on(self):
        library = json.loads((self.fetched / "library.json").read_text())
        folder = self.fetched / library["build"]["srcDir"]
        for words in library["build"]["srcFilter"]:
            pattern = re.fullmatch(r"\+<(.*)>", words).group(1)
            self.assertTrue(list(folder.glob(pattern)), pattern)
        self.assertTrue((self.fetched / library["build"]["includeDir"] / library["headers"]).exists())
        self.assertGreater(len(library["platforms"]), 5)
        self.assertFalse(OF_16_BITS & {*library["platforms"], *library["frameworks"]})

    def test_arduino_names_what_it_runs_on(self):
        text = (self.fetched / "ports/arduino/library.properties").read_text()
        architectures = re.search(r"^architectures=(.*)$", text, re.M).group(1).split(",")
        self.assertGreater(len(architectures), 5)
        self.assertFalse(OF_16_BITS & set(architectures))

    def test_all_have_the_version(self):
        version = re.search(r"version: '([\d.]+)'", (SOURCE / "meson.build").read_text()).group(1)
        for name in ("idf_component.yml", "library.json", "ports/arduino/library.properties",
                     "bindings/rust/Cargo.toml", "include/ffalloc/ffalloc.h"):
            self.assertIn(version, (self.fetched / name).read_text(), name)


class Examples(TestCase):
    def test_the_programs_of_the_readme_run(self):
        """Each that has a main, as it stands, over the core and the regions."""
        texts = re.findall(r"(?:^(?:    .*)?\n)+", (SOURCE / "README.md").read_text(), re.M)
        programs = [text for text in texts if "int main(void)" in text]
        self.assertGreater(len(programs), 1)
        sources = [*SOURCE.glob("src/core/*.c"), *SOURCE.glob("src/regions/*.c")]
        with tempfile.TemporaryDirectory() as folder:
            for number, text in enumerate(programs):
                program = pathlib.Path(folder) / f"program-{number}"
                done = subprocess.run([need("gcc"), "-O1", "-Wall", "-Wextra", "-Werror", "-I", SOURCE / "include",
                                       "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-xc", "-",
                                       *sources, "-o", program], input=text, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, text + done.stderr)
                self.assertEqual(subprocess.run([program]).returncode, 0, text)


class Rust(TestCase):
    TARGET = "thumbv7m-none-eabi"
    CRATES = {"core": "core/src/lib.rs", "alloc": "alloc/src/lib.rs",
              "compiler_builtins": "compiler-builtins/compiler-builtins/src/lib.rs"}

    def debian_s(self, folder):
        """What makes cargo build for the target by Debian's Rust, which has its core as source alone."""
        rustc = "/usr/bin/rustc"
        if not pathlib.Path(rustc).exists():
            self.skipTest(f"no core for {self.TARGET} (rustup target add, or Debian's rustc-web and rust-web-src)")
        version = subprocess.run([rustc, "--version"], capture_output=True, text=True).stdout.split()[1]
        library = folder / "sysroot/lib/rustlib" / self.TARGET / "lib"
        library.mkdir(parents=True)
        for name in ("core", "compiler_builtins", "alloc"):
            subprocess.run([rustc, "--target", self.TARGET, "--edition=2024", "--crate-type=rlib", "-Copt-level=s",
                            "-Cpanic=abort", "--cap-lints=allow", "-L", library, "--out-dir", library,
                            "--crate-name", name, "--cfg", 'feature="compiler-builtins"', "--cfg", 'feature="mem"',
                            f"/usr/src/rustc-{version}/library/{self.CRATES[name]}"],
                           check=True, env=support.environment(RUSTC_BOOTSTRAP="1"))
        flags = f"--sysroot={folder}/sysroot -Clinker=arm-none-eabi-ld -Clinker-flavor=ld -Clink-arg=-Tlink.ld"
        return {"RUSTC": rustc, "RUSTFLAGS": f"{flags} -Dwarnings"}

    def test_its_firmware_runs(self):
        """By Rust's own core for the target, or that of Debian's rust-web-src."""
        cargo, qemu = need("cargo"), need("qemu-system-arm")
        installed = subprocess.run([need("rustc"), "--print=target-libdir", f"--target={self.TARGET}"],
                                   capture_output=True, text=True).stdout.strip()
        with tempfile.TemporaryDirectory() as name:
            made = pathlib.Path(name)
            settings = {} if pathlib.Path(installed).exists() else self.debian_s(made)
            done = subprocess.run([cargo, "build", "--release", "--offline"], cwd=SOURCE / "examples/rust-firmware",
                                  capture_output=True, text=True,
                                  env=support.environment(CARGO_TARGET_DIR=str(made / "target"), **settings))
            self.assertEqual(done.returncode, 0, done.stderr)
            done = subprocess.run([qemu, "-M", "mps2-an385", "-nographic", "-semihosting", "-kernel",
                                   made / "target" / self.TARGET / "release/rust-firmware"], capture_output=True,
                                  text=True, timeout=60, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout + done.stderr, r"blocks 27\s+high water \d+")

    def test_its_figures_are_those_of_the_core(self):
        """Of Cargo.toml and of choices.h."""
        said = (SOURCE / "bindings/rust/Cargo.toml").read_text()
        small, all_ = re.search(r"in ([\d.]+) KB of .* in place of ([\d.]+):", said).groups()
        core = (SOURCE / "src/core/choices.h").read_text().replace("\n * ", " ")
        self.assertIn(f"everything {small} KB and not", core)
        self.assertLess(abs(float(all_) - float(re.search(r"everything [\d.]+ KB and not (\d+\.\d+)", core).group(1))), 0.5)
        self.assertIn("takes 3 times the instructions", core)
        self.assertIn("3 times the instructions", said)


class SingleFile(TestCase):
    CHOICES = ([], ["-m32"], ["-DFFALLOC_SMALL=1"], ["-DFFALLOC_HINTS=0"], ["-m32", "-DFFALLOC_SMALL=1"],
               ["-m32", "-DFFALLOC_HINTS=1"])

    def test_no_choice_brings_a_warning(self):
        """Not of gcc, not of clang, as C and as C++, here and with 32 bits: what a firmware's own build sees."""
        for compiler, standard, choice in itertools.product(("gcc", "clang"), ("c11", "c++17"), self.CHOICES):
            words = [need(compiler), "-x", standard.rstrip("1237"), f"-std={standard}", "-pedantic", "-Wall", "-Wextra",
                     "-fsyntax-only", "-ffreestanding", *choice, BUILD / "ffalloc.c"]
            done = subprocess.run(words, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""), words)


class SixteenBits(TestCase):
    def test_the_first_error_says_so(self):
        clang = need("clang")
        for target in ("avr", "msp430"):
            done = subprocess.run([clang, f"--target={target}", "-ffreestanding", "-fsyntax-only", BUILD / "ffalloc.c"],
                                  capture_output=True, text=True)
            self.assertNotEqual(done.returncode, 0)
            first = next(line for line in done.stderr.splitlines() if "error:" in line)
            self.assertIn("ffalloc needs pointers of 32 or 64 bits", first)


class Stack(TestCase):
    def test_no_call_takes_more_than_stated(self):
        need("arm-none-eabi-gcc")
        need("riscv64-unknown-elf-gcc")
        text = (SOURCE / "ports/README.md").read_text()
        for label, measured in footprint.all_stack_depths().items():
            row = re.search(rf"^\| {re.escape(label)} \|([\d |]+)\|$", text, re.M).group(1)
            for name, stated, needed in zip(footprint.STACK_CALLS, map(int, row.split("|")), measured):
                self.assertLessEqual(needed, stated, f"{label} {name}")
                self.assertLess(stated, needed + 64, f"{label} {name}: state less")


class Flags(TestCase):
    """libffalloc.so is built for 64 and for 32 bits by the same flags."""

    def flags(self, part):
        """By source, the flags but for the machine's and the names of files made."""
        flags = {}
        for command in json.loads((BUILD / "compile_commands.json").read_text()):
            words = command["command"].split()
            output = words[words.index("-o") + 1]
            if output.startswith(part):
                source = command["file"].split("src/")[-1]
                flags[source] = [word for word in words if word.startswith("-") and
                                 not word.startswith(("-m32", "-DFFALLOC_GROWTH", "-MF", "-MQ", "-o", "-I"))]
        return flags

    def test_of_both_are_one_list(self):
        library = {**self.flags("libffalloc-preload-core.a.p"), **self.flags("libffalloc.so.")}
        self.assertGreater(len(library), 20)
        other = self.flags("ports/lib32/")
        if not other:
            self.skipTest("no library of 32 bits here")
        self.assertEqual(other, library)
