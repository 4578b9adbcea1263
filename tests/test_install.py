# SPDX-License-Identifier: MIT
"""What `meson install` puts in place, and a consumer built each way: pkg-config, CMake, the single file."""

import os
import pathlib
import subprocess
import tempfile
import unittest

from support import BUILD, TestCase, need
import support

CONSUMER = """
#include <ffalloc/ffalloc.h>
static _Alignas(16) unsigned char memory[4096];
int main(void)
{
    struct ffalloc_pool *pool = ffalloc_init(memory, sizeof memory);
    return ffalloc_malloc(pool, 100) && ffalloc_check(pool, 0) ? 0 : 1;
}
"""


class Install(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        cls.destination = cls.root / "destination"
        meson = need("meson")
        subprocess.run([meson, "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir",
                        cls.destination], check=True, capture_output=True)
        cls.prefix = next(path.parent.parent for path in cls.destination.rglob("include/ffalloc"))
        cls.source = cls.root / "consumer.c"
        cls.source.write_text(CONSUMER)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_words(self, *words, **settings):
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                              env=support.environment(**settings))
        self.assertEqual(done.returncode, 0, f"{words}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def test_pkg_config(self):
        folder = next(self.prefix.rglob("pkgconfig"))
        flags = self.run_words(need("pkg-config"), "--cflags", "--libs", "ffalloc-core",
                               PKG_CONFIG_PATH=str(folder),
                               PKG_CONFIG_SYSROOT_DIR=str(self.destination)).split()
        self.run_words("cc", self.source, *flags, "-o", self.root / "by-pkg-config")
        self.run_words(self.root / "by-pkg-config")

    def test_cmake(self):
        project = self.root / "project"
        project.mkdir()
        (project / "CMakeLists.txt").write_text(f"""
            cmake_minimum_required(VERSION 3.13)
            project(consumer C)
            find_package(ffalloc 0.1 REQUIRED CONFIG)
            add_executable(consumer {self.source})
            target_link_libraries(consumer ffalloc::core)
            """)
        cmake = need("cmake")
        self.run_words(cmake, "-S", project, "-B", project / "build",
                       f"-DCMAKE_PREFIX_PATH={self.prefix}")
        self.run_words(cmake, "--build", project / "build")
        self.run_words(project / "build/consumer")

    def test_single_file(self):
        source = self.root / "single.c"
        source.write_text(CONSUMER.replace("<ffalloc/ffalloc.h>", '"ffalloc.h"'))
        self.run_words("cc", "-I", BUILD, source, BUILD / "ffalloc.c", "-o", self.root / "single")
        self.run_words(self.root / "single")

    def unpacked(self, folder, name):
        """The root folder in which the packages of these names alone are."""
        root = self.root / name
        for package in name.split("+"):
            [file] = folder.glob(f"{package}_*.deb")
            self.run_words("dpkg-deb", "-x", file, root)
        return root

    def test_debian_packages(self):
        """They build, lintian finds no error, and each works with no other than it depends on."""
        need("dpkg-buildpackage")
        need("dh")
        tree = self.root / "packages" / "ffalloc"
        tree.mkdir(parents=True)
        names = self.run_words("git", "-C", support.SOURCE, "ls-files", "-z").split("\0")
        subprocess.run(["tar", "-C", support.SOURCE, "-cf", self.root / "tree.tar", "--null", "-T", "-"],
                       input="\0".join(filter(None, names)), text=True, check=True)
        self.run_words("tar", "-C", tree, "-xf", self.root / "tree.tar")
        done = subprocess.run(["dpkg-buildpackage", "-us", "-uc", "-b"], cwd=tree, capture_output=True,
                              text=True, env=support.environment())
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr[-2000:])
        [changes] = tree.parent.glob("*.changes")
        errors = subprocess.run([need("lintian"), "--fail-on", "error", changes], capture_output=True,
                                text=True)
        self.assertEqual(errors.returncode, 0, errors.stdout)
        headers = self.unpacked(tree.parent, "libffalloc0+libffalloc-dev")
        library = next(headers.rglob("libffalloc-core.a"))
        self.run_words("cc", "-I", headers / "usr/include", self.source, library, "-o",
                       self.root / "by-package")
        self.run_words(self.root / "by-package")
        self.assertEqual([path for path in headers.rglob("*.so") if not path.exists()], [])
        tools = self.unpacked(tree.parent, "libffalloc0+ffalloc-tools")
        self.try_the_command(tools / "usr/bin/ffalloc")
        for name in ("libffalloc0", "ffalloc-tools"):
            self.assertTrue((tools / "usr/share/doc" / name / "README.md.gz").exists(), name)

    def try_the_command(self, command):
        done = support.run([command, "run", "--stats=json", "--", "ls", "/"], preload=None)
        self.assertGreater(self.stats_of(done)["alloc_count"], 10)
        trace, views = self.root / "trace", self.root / "views"
        self.run_words(command, "record", "-o", trace, "--backtrace=unwind", "--", "ls", "/")
        self.assertIn("bytes used", self.run_words(command, "map", "--ascii", trace))
        self.run_words(command, "map", "--png", views, trace)
        self.run_words(command, "report", "-o", views, trace)

    def test_the_command_finds_its_parts_where_it_is_installed(self):
        command = self.prefix / "bin/ffalloc"
        if not command.exists():
            self.skipTest("the command was not built")
        self.try_the_command(command)

    def test_gdb_loads_its_commands_from_a_prefix(self):
        [script] = self.prefix.glob("share/ffalloc/gdb_commands.py")
        self.assertIn("`PREFIX/share/ffalloc/gdb_commands.py`", (support.SOURCE / "README.md").read_text())
        text = self.run_words(need("gdb"), "-q", "-batch", "-ex", f"source {script}", "-ex", "help ff")
        self.assertIn("ff heap", text)

    def test_what_is_there(self):
        names = {str(path.relative_to(self.prefix)) for path in self.prefix.rglob("*") if path.is_file()}
        for ending in ("include/ffalloc/ffalloc.h", "include/ffalloc/arena.h", "include/ffalloc/pmr.hpp",
                       "include/ffalloc/regions.h",
                       "libffalloc-core.a", "libffalloc-arena.a", "man1/ffalloc.1", "man3/ffalloc.3",
                       "man7/libffalloc.7", "ffallocConfig.cmake", "ffalloc-core.pc"):
            self.assertTrue(any(name.endswith(ending) for name in names), ending)
        if (BUILD / "ports/lib32/libffalloc.so").exists():
            self.assertTrue(os.path.exists(self.prefix / "lib32/libffalloc.so"))
