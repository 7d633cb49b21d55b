"""The exercise tool: holes, skeletons, verdicts, limits, grades, and that no work is ever lost."""

import atexit
import concurrent.futures
import csv
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
import xml.etree.ElementTree
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import course as courses  # noqa: E402
import handout  # noqa: E402
import judge  # noqa: E402
import supervisor  # noqa: E402
import teacher  # noqa: E402
import verify  # noqa: E402
from workshop import BuildFailed, Workshop  # noqa: E402

ROOT = HERE.parents[1]

HEADER = """\
#pragma once
#include <vector>

int twice(int n);  // twice( in a comment, and in a declaration

inline int
twice(int n) {
    const int doubled_number = n + n;
    return doubled_number;
}

inline int thrice(int n) { return twice(n) + n; }

inline bool all_positive(const std::vector<int>& some) {
    // EXERCISE 01.2
    for (int every_one : some) {
        if (every_one <= 0) return false;
    }
    return true;
    // END 01.2
}
"""

HOLES = {"01.1": """\
title: double a number
learned: two is a pair

hole: small.hpp: inline int twice(int n)

hole: small.hpp: thrice(
""", "01.2": """\
title: repair the comparison

hole: small.hpp
broken| for (int one : some) if (one < 0) return false;
broken| return true;
"""}

HINTS = """\
# 01.1 double a number

## Hint 1

It is easier than it looks.

## Hint 2

Addition
is enough:

```cpp
n + something
```
"""

TESTS = """\
#include <doctest/doctest.h>
#include "chapters/01-small/small.hpp"
TEST_CASE("01.1 four, and more") { CHECK_MESSAGE(twice(2) == 4, "two and two, that is four"); }
TEST_CASE("01.2 zero is not positive") { CHECK(!all_positive({0})); }
"""


def sandbox(folder):
    """A course with one small chapter, and the real tool."""
    root = pathlib.Path(folder, "course")
    (root / "chapters/01-small").mkdir(parents=True)
    (root / "chapters/01-small/small.hpp").write_text(HEADER)
    (root / "chapters/01-small/main.cpp").write_text(
        '#include "chapters/01-small/small.hpp"\nint main() { return twice(3); }\n')
    (root / "chapters/01-small/steps").mkdir()
    (root / "chapters/01-small/steps/1-six.cpp").write_text(
        '#include <cstdio>\n#include "../small.hpp"\nint main() { std::printf("%d\\n", twice(3)); }\n')
    (root / "chapters/01-small/steps/2-plain.cpp").write_text("int main() {}\n")
    (root / "tests/01-small").mkdir(parents=True)
    (root / "tests/01-small/small_test.cpp").write_text(TESTS)
    shutil.copytree(ROOT / "tests/support", root / "tests/support")
    for name in ("holes", "hints"):
        (root / "tests/exercises" / name).mkdir(parents=True)
    for number, text in HOLES.items():
        (root / f"tests/exercises/holes/{number}.txt").write_text(text)
        (root / f"tests/exercises/hints/{number}.md").write_text(HINTS.replace("01.1", number))
    (root / "tests/exercises/points.txt").write_text("01.1 10\n01.2 5\n")
    (root / "docs").mkdir()
    (root / "docs/01-small.md").write_text(
        "# Small\n\n<details><summary>Try exercise 01.1 first, then open this</summary>\n\n"
        "```cpp\nconst int doubled_number = n + n;\n```\n\nIt adds.\n</details>\n\n"
        "```cpp\nconst int doubled_number = n + n;\n```\n\n```cpp\nf([](int) {});\n```\n\nMore, for [teachers](teaching/x.md).\n\n"
        "```console\n$ g++ chapters/01-small/main.cpp\n```\n")
    (root / "README.md").write_text("# Course\n\nWords.\n\n## How\n\nMore words.\n")
    shutil.copytree(ROOT / "common", root / "common")
    return root


@functools.cache
def built_once():
    """A sandbox in which what all exercises share has been compiled."""
    folder = tempfile.mkdtemp(prefix="exercises-test-")
    atexit.register(shutil.rmtree, folder)
    root = sandbox(folder)
    workshop = Workshop(courses.Course(root), "01-small", root / "chapters/01-small", "once")
    workshop.compile(root / "tests/support/main.cpp", workshop.shared / "obj", root)
    workshop.build_faults()
    return root


def warm(root):
    """Gives a sandbox that was never built in the same, for the path that it has. Returns it."""
    if not (root / "build").exists():
        shared = "build/exercises/shared"
        shutil.copytree(built_once() / shared, root / shared)
        for note in (root / shared).rglob("*.json"):
            note.write_text(note.read_text().replace(str(built_once()), str(root)))
    return root


class InTemporaryFolder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="exercises-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def tool(self, root, *words, **environment):
        if words[0] in ("check", "grade", "progress", "submit", "solution"):
            warm(root)
        done = subprocess.run(
            [sys.executable, HERE / "exercises.py", *words, f"ROOT={root}"], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            env={**os.environ, **environment})
        return done.returncode, done.stdout


class Holes(InTemporaryFolder):
    def read(self, holes, header=HEADER, hints=HINTS):
        """The course of a sandbox in which these files are different. Reading it may raise Problem."""
        root = sandbox(tempfile.mkdtemp(dir=self.folder))
        (root / "chapters/01-small/small.hpp").write_text(header)
        (root / "tests/exercises/holes/01.1.txt").write_text(holes)
        (root / "tests/exercises/hints/01.1.md").write_text(hints)
        return courses.Course(root).exercises

    def test_skeleton(self):
        """a skeleton has the stub, the bug, and nothing of the solutions"""
        course = courses.Course(sandbox(self.folder))
        text = course.skeleton("01-small", "small.hpp")
        self.assertIn('"01.1 is yours to write: double a number "', text)
        self.assertIn("inline int thrice(int n) {\n    common::exercise_todo(\n", text)
        self.assertIn("    // EXERCISE 01.2\n    for (int one : some) if (one < 0)", text)
        self.assertIn("    return true;\n    // END 01.2\n}\n", text)
        self.assertIn('#include "common/exercise.hpp"', text)
        for gone in ("doubled", "twice(n) + n", "every_one"):
            self.assertNotIn(gone, text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)

    def test_skeleton_has_the_same_holes(self):
        """the holes are found in the skeleton too: a hand-out has nothing else"""
        root = sandbox(self.folder)
        course = courses.Course(root)
        text = course.skeleton("01-small", "small.hpp")
        (root / "chapters/01-small/small.hpp").write_text(text)
        self.assertEqual(courses.Course(root).skeleton("01-small", "small.hpp"), text)

    def test_hints(self):
        """hints are the parts of a Markdown file"""
        hints = courses.Course(sandbox(self.folder)).exercise("01.1").hints
        self.assertEqual(hints, ["It is easier than it looks.",
                                 "Addition\nis enough:\n\n```cpp\nn + something\n```"])
        with self.assertRaisesRegex(courses.Problem, "hints/01.1.md: .*Hint 1, Hint 2"):
            self.read(HOLES["01.1"], hints=HINTS.replace("Hint 2", "Hint 3"))

    def test_functions(self):
        """a body is found whatever the signature has in it"""
        for text, signature, body in [
                ("int f ( int a,\n   int b) const noexcept { return 1; }", "int f(int a, int b)", "return 1;"),
                ("A(int b) : b_{b}, c_(b) { set(); }", "A(int b)", "set();"),
                ("A(int b) : b_{b} {}", "A(int b) : b_{b}", ""),
                ("auto f() -> T<int> { g({1}); } int g() {}", "f()", "g({1});"),
                ("void f(); void g() { if (f()) { f(); } } void X::f() { '}'; \"}\"; }", "f()", "'}'; \"}\";"),
                ("void f() { 1; } void f() { 2; }", "void f() #2", "2;"),
                ("// void f() {}\nvoid f() { /* } */ }", "f()", "/* } */")]:
            hole, = courses.read_holes("01.1", "h.txt", f"title: t\nhole: f.hpp: {signature}\n")
            start, end = hole.find(text)
            self.assertEqual(text[start:end].strip(), body)

    def test_bad_holes(self):
        """a hole that cannot be found is named with its file and line"""
        for text, said in [
                ("title: t\nhole: none.hpp: f()", "holes/01.1.txt:2: there is no file .*none.hpp"),
                ("title: t\n\nhole: small.hpp: int half(", r"01.1.txt:3: .*does not define .*int half\("),
                ("title: t\nhole: small.hpp: inline", "01.1.txt:2: .*defines 3 functions"),
                ("title: t\nhole: small.hpp: inline #4", "01.1.txt:2: .*there is no #4"),
                ("title: t\nhole: small.hpp", "01.1.txt:2: .*has 0 parts"),
                ("title: t\nhole: small.hpp: twice(\nhole: small.hpp: int twice(", "overlap"),
                ("hole: small.hpp: twice(", "01.1.txt:1: the title comes first"),
                ("title: t\nhint: h", "01.1.txt:2: not a line of"),
                ("title: t", "names no hole")]:
            with self.assertRaisesRegex(courses.Problem, said):
                self.read(text)

    def test_bad_markers(self):
        """markers that do not fit are named with their line"""
        for text, said in [
                ("// EXERCISE 01.1\n// EXERCISE 01.2\n", "small.hpp:2: .*alternate"),
                ("// EXERCISE 01.1\n// END 01.2\n", "small.hpp:2: .*01.1 has begun"),
                ("\n// EXERCISE 01.3\n// END 01.3\n", "small.hpp:.*01.3.txt has no line for it")]:
            with self.assertRaisesRegex(courses.Problem, said):
                self.read(HOLES["01.1"], text + HEADER)
        with self.assertRaisesRegex(courses.Problem, "01.1 has no line // END"):
            self.read(HOLES["01.1"], HEADER + "// EXERCISE 01.1\n")


class Judging(unittest.TestCase):
    """What the program left behind, and which verdict follows from it."""

    case = courses.Case("01.1 a case", pathlib.Path("x_test.cpp"))
    fine = ["started\t01.1 a case\t", "passed\t01.1 a case\t", "complete\t-\t"]

    def verdict(self, lines, said="", **ended):
        base = {"exit": 0, "signal": None, "timeout": False, "swarm": False, "seconds": 0.1}
        return judge.judge(self.case, {**base, **ended}, lines, said).verdict

    def test_verdicts(self):
        """each way in which a test can end has its verdict"""
        failed = ["started\t01.1 a case\t", "failed\t01.1 a case\t", "complete\t-\t"]
        self.assertEqual(self.verdict(self.fine), "PASS")
        self.assertEqual(self.verdict(failed, exit=1), "FAIL")
        self.assertEqual(self.verdict(failed, exit=0), "FAIL")
        self.assertEqual(self.verdict(self.fine, exit=1), "FAIL")
        self.assertEqual(self.verdict(self.fine[:1], exit=0), "NORESULT")
        self.assertEqual(self.verdict([], exit=0), "NORESULT")
        self.assertEqual(self.verdict(["complete\t-\t"]), "NORESULT")
        self.assertEqual(self.verdict(self.fine[:1], exit=97), "TODO")
        self.assertEqual(self.verdict(failed, "It said: 01.1 is yours to write: x", exit=1), "TODO")
        self.assertEqual(self.verdict(self.fine[:1], exit=None, signal=signal.SIGSEGV), "CRASH")
        self.assertEqual(self.verdict(self.fine[:1], exit=3), "TIMEOUT")
        self.assertEqual(self.verdict(self.fine, timeout=True), "TIMEOUT")
        self.assertEqual(self.verdict(self.fine, swarm=True), "CRASH")

    def test_forgeries(self):
        """another case, two cases, and a case that ran twice are no result"""
        other = [line.replace("a case", "another") for line in self.fine]
        self.assertEqual(self.verdict(other), "NORESULT")
        self.assertEqual(self.verdict(self.fine[:2] + self.fine), "NORESULT")

    def test_message(self):
        """the lines of doctest's frame are left out, its messages stay"""
        said = textwrap.dedent("""\
            [doctest] doctest version is "2.4.9"
            ===============================================================================
            tests/x_test.cpp:3:
            TEST CASE:  01.1 a case

            tests/x_test.cpp:4: ERROR: CHECK( a == b ) is NOT correct!
              values: CHECK( 1 == 2 )
            """)
        self.assertEqual(judge.message(said), "tests/x_test.cpp:4: CHECK( a == b ) does not hold\n"
                                              "  values: CHECK( 1 == 2 )")


class Supervising(InTemporaryFolder):
    def run_it(self, script, seconds=1.0, memory=512):
        """The supervisor's report on a shell script, and the script's output."""
        output = pathlib.Path(self.folder, "output")
        done = subprocess.run(
            [sys.executable, HERE / "supervisor.py", str(seconds), str(memory), str(output), "--",
             "/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout), output.read_text(errors="replace")

    def test_status(self):
        """an exit status and a signal are reported as such"""
        self.assertEqual(self.run_it("echo hello; exit 7")[0]["exit"], 7)
        self.assertEqual(self.run_it("kill -9 $$")[0]["signal"], 9)

    def test_time(self):
        """a program that does not end is killed, whichever signals it ignores"""
        ended, _ = self.run_it("trap '' ALRM TERM INT; while :; do :; done", seconds=0.2)
        self.assertTrue(ended["timeout"])

    def test_output(self):
        """a program that prints without end is killed before it fills the disk"""
        ended, said = self.run_it("yes", seconds=5)
        self.assertEqual(ended["signal"], signal.SIGXFSZ)
        self.assertLessEqual(len(said), supervisor.OUTPUT)

    def test_memory(self):
        """a program cannot allocate more memory than its limit"""
        code = "x = bytearray(1 << 30); print('got it')"
        _, said = self.run_it(f"{sys.executable} -S -c \"{code}\"")
        self.assertNotIn("got it", said)

    def test_children(self):
        """processes that a program leaves behind are killed, detached ones too"""
        note = pathlib.Path(self.folder, "pid")
        self.run_it(f"setsid sh -c 'echo $$ > {note}; exec sleep 1000' & "
                    f"while [ ! -s {note} ]; do sleep 0.01; done")
        with self.assertRaises(ProcessLookupError):
            os.kill(int(note.read_text()), 0)

    def test_swarm(self):
        """a program that starts too many processes is killed"""
        ended, _ = self.run_it("i=0; while [ $i -lt 230 ]; do sleep 100 & i=$((i+1)); done; wait",
                               seconds=10)
        self.assertTrue(ended["swarm"] or ended["exit"], ended)


class Learning(InTemporaryFolder):
    """A learner's evening, with one small chapter."""

    def test_an_evening(self):
        """from start to solution; nothing is ever overwritten or lost"""
        root = sandbox(self.folder)
        mine = root / "work/01-small/small.hpp"

        self.assertIn("Next: make start-01", self.tool(root, "check")[1])
        self.assertIn("you have not started", self.tool(root, "check", "01")[1])
        status, said = self.tool(root, "start", "01")
        self.assertTrue(status == 0 and said.endswith("Next: make check-01.1\n"), said)

        status, said = self.tool(root, "check", "01")
        self.assertEqual(status, 1)
        self.assertIn("TODO     four, and more", said)
        self.assertIn("FAIL     zero is not positive", said)
        self.assertTrue(said.splitlines()[-1].startswith("Next: make check-01.1"), said)

        text = mine.read_text().replace("    common::exercise_todo(", "    return n * 3; (void)(")
        mine.write_text(text)
        said = self.tool(root, "start", "01")[1]
        self.assertIn("left as it is", said)
        self.assertEqual(mine.read_text(), text)
        said = self.tool(root, "check")[1]
        self.assertIn("two and two, that is four", said)
        self.assertIn("make solution-01.1 FORCE=1", self.tool(root, "solution", "01.1")[1])

        mine.write_text(text.replace("return n * 3;", "return n * 2"))
        said = self.tool(root, "check", "01.1")[1]
        self.assertIn("BUILD", said)
        self.assertIn("work/01-small/small.hpp:", said)

        mine.write_text(text.replace("return n * 3;", "return n * 2;"))
        status, said = self.tool(root, "check", "01.1")
        self.assertTrue(status == 0 and "Next: make check-01.2" in said, said)
        self.assertIn("Done: 01.1 double a number.\n  You have learned: two is a pair\n", said)
        self.assertIn("PASS", self.tool(root, "progress")[1])
        self.assertIn("+    const int doubled_number", self.tool(root, "solution", "01.1")[1])

        said = [self.tool(root, "hint", "01.1")[1] for _ in range(3)]
        self.assertNotIn("Addition", said[0])
        self.assertIn("Addition", said[1])
        self.assertIn("the last one", said[2])

        mine.unlink()
        said = self.tool(root, "check", "01")[1]
        self.assertIn("work/01-small/small.hpp is missing", said)
        mine.write_text(text)
        self.tool(root, "reset", "01")
        kept = list((root / "work/old").glob("01-small-*/small.hpp"))
        self.assertEqual([path.read_text() for path in kept], [text])

    def test_done_is_said_once(self):
        """an exercise that passes since the last check is named before the next one is checked"""
        root = sandbox(self.folder)
        mine = root / "work/01-small/small.hpp"
        self.tool(root, "start", "01")
        self.assertNotIn("Done", self.tool(root, "check")[1])
        shutil.copy(root / "chapters/01-small/small.hpp", mine)
        said = self.tool(root, "check")[1]
        self.assertLess(said.index("Done: 01.1"), said.index("Done: 01.2"), said)
        self.assertTrue(said.endswith("Next: make run WORK=1   (your servers beside the course's)\n"))
        self.assertNotIn("Done", self.tool(root, "check")[1])

        # In several windows at once, from nothing built: no command disturbs another.
        shutil.rmtree(root / "build/exercises/work")
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            windows = [pool.submit(self.tool, root, "check", "01") for _ in range(3)]
        for status, said in [window.result() for window in windows]:
            self.assertTrue(status == 0 and "Done: all 2 exercises" in said, said)

    def test_own_step(self):
        """with WORK=1, a step is built with the learner's files, and says what is not written"""
        root = sandbox(self.folder)
        self.assertIn("make start-01", self.tool(root, "step", "01.1")[1])
        self.tool(root, "start", "01")
        self.assertIn("01.1 is yours to write", self.tool(root, "step", "01.1")[1])
        mine = root / "work/01-small/small.hpp"
        mine.write_text(HEADER.replace("n + n", "n + n + 1"))
        self.assertEqual(self.tool(root, "step", "01.1")[1].splitlines()[-1], "7")

    def test_own_tests_wait_for_the_last_exercise(self):
        """the tests of the whole chapter do not run while it has a hole"""
        root = sandbox(self.folder)
        self.tool(root, "start", "01")
        status, said = self.tool(root, "test", "01")
        self.assertEqual((status, said.count("\n")), (2, 1), said)
        self.assertIn("01.1 is not written yet", said)

    def test_restore(self):
        """published files come back, from git or from a hand-out; what was there is kept"""
        root = sandbox(self.folder)
        self.assertIn("no published copy", self.tool(root, "restore")[1])
        git = ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.org"]
        for words in (["init", "-q"], ["add", "chapters", "common"], ["commit", "-qm", "x"]):
            subprocess.run([*git, *words], check=True)
        out = pathlib.Path(self.folder, "out")
        handout.make_handout(courses.Course(sandbox(pathlib.Path(self.folder, "2"))), out, "01")
        for course in (root, out):
            with self.subTest(course.name):
                self.assertIn("Nothing to restore", self.tool(course, "restore")[1])
                changed = course / "chapters/01-small/small.hpp"
                gone = course / "common/exercise.hpp"
                before, text = changed.read_text(), gone.read_text()
                changed.write_text("mine\n")
                gone.unlink()
                status, said = self.tool(course, "restore")
                self.assertTrue(status == 0 and said.endswith("2 of the published files are back.\n"), said)
                self.assertEqual((changed.read_text(), gone.read_text()), (before, text))
                kept = list((course / "work/old").glob("restore-*/chapters/01-small/small.hpp"))
                self.assertEqual([path.read_text() for path in kept], ["mine\n"])
                self.assertIn("Nothing to restore", self.tool(course, "restore")[1])

    def test_refusals(self):
        """a request that makes no sense is answered by one line that says what there is"""
        root = sandbox(self.folder)
        for words, said in [(("check", "09"), "there is no chapter 09; there are: 01"),
                            (("check", "01.7"), "chapter 01 has: 01.1 01.2"),
                            (("reset", "01"), "nothing to reset"),
                            (("grade",), "grade what?"),
                            (("handout",), "a hand-out where?"),
                            (("nonsense",), "there is no command nonsense")]:
            status, text = self.tool(root, *words)
            self.assertEqual((status, said in text), (2, True), text)

    def test_trouble(self):
        """what the system refuses is one line; a fault of the tool itself has a status of its own"""
        root = sandbox(self.folder)
        self.tool(root, "start", "01")
        self.assertEqual(self.tool(root, "check", "01")[0], 1)
        built, aside = root / "build", root / "aside"
        built.rename(aside)
        built.write_text("not a folder")
        for environment, said in [
                ({}, ": Not a directory"),
                ({"CXX": "no-such-compiler -m32"}, "cannot run the compiler, no-such-compiler: "),
                ({"PATIENCE": "many"}, "PATIENCE=many is not a factor")]:
            status, text = self.tool(root, "check", "01", **environment)
            text = text.replace("compiling: 0 of 2 files are ready...\n", "")
            self.assertEqual((status, said in text, text.count("\n")), (2, True, 1), text)
            if built.is_file():
                built.unlink()
                aside.rename(built)
        (root / "work/.hints").write_text("{")
        status, text = self.tool(root, "hint", "01.1")
        self.assertEqual((status, "a fault of the exercise tool" in text), (70, True), text)


class Teaching(InTemporaryFolder):
    def test_handout(self):
        """a hand-out has holes, hints, and no line of a solution"""
        root = sandbox(self.folder)
        course = courses.Course(root)
        out = pathlib.Path(self.folder, "out")
        status, said = self.tool(root, "handout", f"OUT={out}", "WHO=Ada")
        self.assertEqual(status, 0, said)
        self.assertEqual(handout.answers_in(course, out, "01"), [])
        self.assertEqual((out / "tests/exercises/hints/01.1.md").read_text(), HINTS)
        page = (out / "docs/01-small.md").read_text()
        self.assertIn("yours to write", page)
        self.assertNotIn("<details>", page, "a fold that explains an answer")
        self.assertEqual(page.count("yours to write: see"), 1, "said once where it was said twice")
        self.assertIn("teachers (not in this copy).", page)
        self.assertIn("f([](int) {});", page, "code that only looks like a link")
        self.assertIn(handout.NEEDS_ANSWERS, page)
        self.assertIn("by Ada", (out / "README.md").read_text())
        self.assertIn("is not empty", self.tool(root, "handout", f"OUT={self.folder}")[1])
        self.tool(out, "start", "01")
        self.assertEqual((out / "work/01-small/small.hpp").read_text(),
                         course.skeleton("01-small", "small.hpp"))
        self.assertIn("Ada has the solutions", self.tool(out, "solution", "01.1")[1])
        held = (out / ".handout/held.mk").read_text()
        self.assertIn("held_programs := 01-small steps/01.1\n", held, "02 needs no hole")

    def test_finished_programs(self):
        """a hand-out carries finished programs without symbols, and none where they are left out"""
        root = sandbox(self.folder)
        build = pathlib.Path(self.folder, "build")
        (build / "steps").mkdir(parents=True)
        for name, source in [("01-small", "main.cpp"), ("steps/01.1", "steps/1-six.cpp")]:
            subprocess.run(["g++", "-std=c++20", "-g", f"-I{root}", "-o", build / name,
                            root / "chapters/01-small" / source], check=True)
        out = pathlib.Path(self.folder, "out")
        self.assertEqual(self.tool(root, "handout", f"OUT={out}", f"BUILD={build}")[0], 0)
        finished = next((out / ".handout/finished").iterdir())
        self.assertEqual(subprocess.run([finished / "01-small"], check=False).returncode, 6)
        program = (finished / "01-small").read_bytes()
        for secret in (b"doubled_number", b"twice", b"small.hpp"):
            self.assertNotIn(secret, program)
        self.assertIn("came finished", " ".join((out / "README.md").read_text().split()))
        out = pathlib.Path(self.folder, "without")
        self.tool(root, "handout", f"OUT={out}")
        self.assertFalse((out / ".handout/finished").exists())

    def test_answers_are_found(self):
        """an answer in a hand-out is found, on a line of its own or behind its signature"""
        root = sandbox(self.folder)
        out = pathlib.Path(self.folder, "out")
        self.tool(root, "handout", f"OUT={out}")
        (out / "notes.txt").write_text("  const int doubled_number = n + n;  // look!\n"
                                       "return twice(n) + n;\n"
                                       "inline int thrice(int n) { return twice(n) + n; }\n")
        found = handout.answers_in(courses.Course(root), out, "01")
        self.assertEqual(found, [("notes.txt", "const int doubled_number = n + n;"),
                                 ("notes.txt", "return twice(n) + n;"),
                                 ("notes.txt", "inline int thrice(int n) { return twice(n) + n; }")])

    def test_grades(self):
        """partial credit; only files with holes count; reports are complete in every format"""
        root = sandbox(self.folder)
        submission = pathlib.Path(self.folder, "ada")
        submission.mkdir()
        text = courses.Course(root).skeleton("01-small", "small.hpp")
        half = text.replace("    common::exercise_todo(", "    return n * 2; (void)(")
        (submission / "small.hpp").write_text(half)
        (submission / "small_test.cpp").write_text("int main() {}\n")
        for form in ("text", "junit", "gradescope"):
            self.tool(root, "grade", f"SUB={submission}", f"FORMAT={form}",
                      f"OUT={self.folder}/report.{form}")
        report = {form: pathlib.Path(self.folder, f"report.{form}").read_text()
                  for form in ("text", "junit", "gradescope")}
        self.assertIn("10 of 15 points", report["text"])
        scores = json.loads(report["gradescope"])
        self.assertEqual([test["score"] for test in scores["tests"]], [10, 0])
        self.assertEqual([test["status"] for test in scores["tests"]], ["passed", "failed"])
        said = self.tool(root, "grade", f"SUB={submission / 'nothing.zip'}")[1]
        self.assertIn("there is no folder or zip", said)
        (submission / "small.hpp").unlink()
        lines = self.tool(root, "grade", f"SUB={submission}")[1].splitlines()
        self.assertIn("01.1 double a number", lines[0])
        self.assertEqual(lines[-2:], ["note: 01-small/small.hpp is missing: counts as not written",
                                      "0 of 15 points"])
        suites = xml.etree.ElementTree.fromstring(report["junit"])
        self.assertEqual([suite.get("failures") for suite in suites], ["0", "1"])

    def test_a_later_handout(self):
        """a later hand-out takes the place of the earlier one, and students merge it with their work"""
        root = sandbox(self.folder)
        course = courses.Course(root)
        teachers, students = (pathlib.Path(self.folder, name) for name in ("teachers", "students"))
        git = lambda where, *words: subprocess.run(
            ["git", "-C", str(where), "-c", "user.name=x", "-c", "user.email=x@example.org",
             "-c", "commit.gpgsign=false", *words], check=True, capture_output=True)
        teachers.mkdir()
        git(teachers, "init", "-q")
        handout.make_handout(course, teachers, "01", "Ada")
        (teachers / "syllabus.txt").write_text("week 1\n")
        git(teachers, "add", "-A")
        git(teachers, "commit", "-qm", "one")
        git(self.folder, "clone", "-q", str(teachers), str(students))
        self.tool(students, "start", "01")
        mine = students / "work/01-small/small.hpp"
        mine.write_text(HEADER)
        git(students, "add", "-A")
        git(students, "commit", "-qm", "mine")

        (root / "docs/01-small.md").write_text("# Small, revised\n")
        (root / "chapters/01-small/steps/2-plain.cpp").unlink()
        status, said = self.tool(root, "handout", f"OUT={teachers}", "FROM=01")
        self.assertTrue(status == 0 and "took the place" in said, said)
        git(teachers, "add", "-A")
        git(teachers, "commit", "-qm", "two")
        git(students, "pull", "-q", "--no-rebase", "--no-edit")
        self.assertEqual((students / "docs/01-small.md").read_text(), "# Small, revised\n")
        self.assertFalse((students / "chapters/01-small/steps/2-plain.cpp").exists())
        self.assertEqual(mine.read_text(), HEADER)
        self.assertEqual((teachers / "syllabus.txt").read_text(), "week 1\n")

        (teachers / ".handout/about.json").write_text('{"from": "02", "who": "x"}')
        self.assertIn("has the answers of chapter 01", self.tool(root, "handout", f"OUT={teachers}")[1])

    def test_own_headers(self):
        """a header of the learner's own is taken by grade, from a folder, and from a zip with a folder"""
        root = sandbox(self.folder)
        course = courses.Course(root)
        ada = pathlib.Path(self.folder, "ada/work/01-small")
        ada.mkdir(parents=True)
        (ada / "small.hpp").write_text('#include "mine.hpp"\n')
        (ada / "mine.hpp").write_text("// mine\n")
        (ada / "main.cpp").write_text("int main() { return 1; }\n")
        (ada / "common").mkdir()
        (ada / "common/error.hpp").write_text("// instead of the course's\n")
        packed = shutil.make_archive(os.path.join(self.folder, "packed"), "zip", self.folder, "ada")
        for number, submission in enumerate([ada.parents[1], ada.parent, ada, packed]):
            taken = pathlib.Path(self.folder, f"taken-{number}")
            with teacher.opened(course, submission) as folder:
                self.assertEqual(teacher.take(course, folder, "01-small", taken), [])
            self.assertEqual(sorted(path.name for path in taken.rglob("*")), ["mine.hpp", "small.hpp"])

    def test_submit(self):
        """submit packs what grade takes, and nothing else"""
        root = sandbox(self.folder)
        self.tool(root, "start", "01")
        mine = root / "work/01-small"
        (mine / "mine.hpp").write_text("")
        (mine / "notes.txt").write_text("a diary")
        out = pathlib.Path(self.folder, "ada.zip")
        status, said = self.tool(root, "submit", "01", f"OUT={out}")
        self.assertTrue(status == 0 and said.endswith(f"Hand in: {out}\n"), said)
        self.assertIn("01.1 double a number                                    TODO     0 of 1", said)
        with zipfile.ZipFile(out) as archive:
            self.assertEqual(sorted(archive.namelist()),
                             ["work/01-small/mine.hpp", "work/01-small/small.hpp"])

    def test_many_submissions(self):
        """a folder of submissions is graded into a table; one that is damaged does not stop the others"""
        root = sandbox(self.folder)
        submissions = pathlib.Path(self.folder, "all")
        (submissions / "ada").mkdir(parents=True)
        (submissions / "ada/small.hpp").write_text(HEADER)
        (submissions / "bob.zip").write_text("no zip")
        (submissions / "readme.txt").write_text("no submission")
        out = pathlib.Path(self.folder, "grades")
        status, said = self.tool(root, "grade", f"ALL={submissions}", f"OUT={out}")
        self.assertEqual(status, 0, said)
        rows = list(csv.reader((out / "grades.csv").read_text().splitlines()))
        self.assertEqual(rows[:2], [["submission", "points", "of", "01.1", "01.2", "notes"],
                                    ["ada", "15", "15", "10", "5", ""]])
        self.assertEqual((rows[2][:2], "cannot be unpacked" in rows[2][5]), (["bob", ""], True))
        self.assertIn("15 of 15 points", (out / "ada.txt").read_text())

    def test_hidden(self):
        """hidden tests that belong to no exercise are refused; others are part of the zip"""
        root = sandbox(self.folder)
        hidden = pathlib.Path(self.folder, "hidden")
        for name, text, said in [
                (None, "", "there is no test in"),
                ("a_test.cpp", 'TEST_CASE("01.3 x") {}\n', 'a_test.cpp: "01.3 x" belongs to no exercise'),
                ("a_test.cpp", 'TEST_CASE("all is well") {}\n', '"all is well" belongs to no exercise'),
                ("a_test.cpp", 'TEST_CASE("01.1 four, and more") {}\n', "there are two tests"),
                ("a_test.py", '"""No number."""\n', '"No number" belongs to no exercise'),
                ("a_test.py", "1 +", "a_test.py:1: invalid syntax")]:
            shutil.rmtree(hidden, ignore_errors=True)
            hidden.mkdir()
            if name:
                (hidden / name).write_text(text)
            with self.subTest(text), self.assertRaisesRegex(courses.Problem, said):
                teacher.Hidden(courses.Course(root), hidden)
        for verb in ("grade", "gradescope"):
            self.assertIn("invalid syntax", self.tool(root, verb, f"SUB={root}", f"HIDDEN={hidden}")[1])
        shutil.rmtree(hidden)
        hidden.mkdir()
        (hidden / "a_test.cpp").write_text('TEST_CASE("01.1 hidden") {}\n')
        self.assertEqual(self.tool(root, "gradescope", f"HIDDEN={hidden}", f"OUT={self.folder}/out")[0], 0)
        with zipfile.ZipFile(os.path.join(self.folder, "out")) as archive:
            self.assertIn("hidden/a_test.cpp", archive.namelist())
            self.assertIn("HIDDEN=/autograder/source/hidden", archive.read("run_autograder").decode())

    def test_too_few(self):
        """an exercise earns points for each test that passes, from more than a quarter of them on"""
        exercise = courses.Course(sandbox(self.folder)).exercise("01.1")
        exercise.cases = [courses.Case(f"01.1 {number}", exercise.cases[0].file) for number in range(8)]
        grade = teacher.Grade([exercise])
        for number, points in enumerate([0, 0, 3.75, 5]):
            entry = grade.entries[number]
            entry[3] = judge.Result(entry[1], "PASS")
            self.assertEqual(grade.score(), points)
            scores = json.loads(teacher.as_gradescope(grade))["tests"]
            self.assertEqual(sum(test["score"] for test in scores), points)
            self.assertEqual("too few" in teacher.as_text(grade), number < 2)

    def test_text(self):
        """a report says which exercise is missing below another, and which file does not compile"""
        course = courses.Course(sandbox(self.folder))
        grade = teacher.Grade([course.exercise("01.1")])
        entry = grade.entries[0]
        entry[3] = judge.Result(entry[1], "TODO", "01.2 is yours to write: x")
        self.assertIn("stands on 01.2, which is not written", teacher.as_text(grade))
        entry[3] = judge.Result(entry[1], "BUILD", textwrap.dedent("""\
            In file included from tests/01-small/small_test.cpp:2:
            01-small/small.hpp: In function 'int twice(int)':
            01-small/small.hpp:9:3: warning: one
            01-small/small.hpp:9:3: note: two
            01-small/small.hpp:9:3: note: three
            01-small/small.hpp:10:4: error: expected ';'
            """))
        self.assertIn("01-small/small.hpp:10:4: error: expected ';'", teacher.as_text(grade))

    def test_hostile_files(self):
        """links, includes of other places and huge files are not taken"""
        root = sandbox(self.folder)
        course = courses.Course(root)
        submission = pathlib.Path(self.folder, "eve")
        submission.mkdir()
        taken = pathlib.Path(self.folder, "taken")
        (submission / "small.hpp").symlink_to(root / "chapters/01-small/small.hpp")
        self.assertIn("is not a plain file", teacher.take(course, submission, "01-small", taken)[0])
        self.assertEqual((taken / "small.hpp").read_text(), course.skeleton("01-small", "small.hpp"))
        (submission / "small.hpp").unlink()
        (submission / "small.hpp").mkdir()
        self.assertIn("is not a plain file", teacher.take(course, submission, "01-small", taken)[0])
        if os.getuid() != 0:  # root may read everything
            (submission / "work/01-small").mkdir(parents=True)
            (submission / "work").chmod(0)
            self.assertEqual(len(teacher.take(course, submission, "01-small", taken)), 1)
            (submission / "work").chmod(0o700)
            (submission / "work/01-small/small.hpp").touch(0)
            self.assertIn("cannot be read", teacher.take(course, submission, "01-small", taken)[0])
        (taken / "small.hpp").write_text(f'#include "{root}/chapters/01-small/small.hpp"\n')
        with self.assertRaisesRegex(BuildFailed, "never with"):
            Workshop(course, "01-small", taken, "eve").check_files()


class WrongSolutions(InTemporaryFolder):
    def test_line_breaks(self):
        """neither line breaks nor comments in the reference matter to a wrong solution"""
        course = courses.Course(sandbox(self.folder))
        for number, old, new in [("01.2", "for (int every_one :\n     some) { if (every_one\n<= 0)", "if (a)"),
                                 ("01.1", "return twice( n ) + n;  // or so", "return 7;  // no")]:
            wrong = verify.Variant("x", number, ["x"], [], [("---", old.split("\n"), [new])])
            text = verify.apply(wrong, course, course.exercise(number))["small.hpp"]
            self.assertIn(new, text)
            self.assertNotIn("twice(n)" if number == "01.1" else "every_one :", text)
        for old in ("return false;  // not", "return n;", "twice(int n)"):
            wrong = verify.Variant("x", "01.1", ["x"], [], [("---", [old], [""])])
            with self.assertRaisesRegex(courses.Problem, "0 times, not once"):
                verify.apply(wrong, course, course.exercise("01.1"))

    def test_whole_hole(self):
        """another design may replace a whole hole, and add an #include"""
        course = courses.Course(sandbox(self.folder))
        right = verify.Variant("x", "01.1", [], [("small.hpp", "<deque>")],
                               [("hole: small.hpp: thrice", [], ["return 3 * n;"])])
        text = verify.apply(right, course, course.exercise("01.1"))["small.hpp"]
        self.assertIn("#include <deque>\n#include", text)
        self.assertIn("    return 3 * n;\n}", text)
        right.edits = [("hole: small.hpp: bool all_positive(", [], ["return true;"])]
        with self.assertRaisesRegex(courses.Problem, "has no such hole"):
            verify.apply(right, course, course.exercise("01.1"))

    def test_kept(self):
        """each kept solution, wrong or right, still fits the reference"""
        course = courses.Course(ROOT)
        for path in sorted([*HERE.glob("wrong/*.txt"), *HERE.glob("right/*.txt")]):
            with self.subTest(path.name):
                kept = verify.read_variant(path)
                self.assertTrue(verify.apply(kept, course, course.exercise(kept.number)))


if __name__ == "__main__":
    unittest.main()
