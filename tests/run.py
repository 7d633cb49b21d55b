#!/usr/bin/env python3
"""Runs the test suites: python3 tests/run.py --build DIR [CHAPTER] [--table]

Judges each test case by the line that it writes into a file of results (tests/support/main.cpp),
not by the exit status: a run that crashed, hung, or ran no test at all is a failure, too.
"""

import argparse
import concurrent.futures
import dataclasses
import importlib.util
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

TESTS = pathlib.Path(__file__).resolve().parent
PARALLEL = 2 * (os.cpu_count() or 1)  # most suites wait most of the time
TODO_STATUS = 97  # common/exercise.hpp
TIME_LIMIT = 300  # seconds for one suite; multiplied by PATIENCE, like every wait of a test


@dataclasses.dataclass
class Suite:
    name: str
    command: list
    server: str = ""
    environment: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Outcome:
    suite: Suite
    cases: dict  # test case -> (result, words)
    trouble: str  # what went wrong with the run as a whole; empty if nothing did
    output: str
    seconds: float

    def count(self, result):
        return sum(1 for found, _ in self.cases.values() if found == result)

    @property
    def failed(self):
        # An incomplete run counts as a failure, even if every case that it reached passed.
        return self.count("failed") or (1 if self.trouble else 0)


# --- Finding the suites -----------------------------------------------------------------------


def servers(build):
    """The servers of tests/service/servers.hpp that have been built, in that order."""
    text = (TESTS / "service" / "servers.hpp").read_text("utf-8")
    names = re.findall(r'\.server = "([^"]+)"', text)
    return [name for name in names if (build / name.split()[0]).exists()]


def find_suites(build, chapter, yours_from=""):
    """All suites, or those of one chapter ("03"). In a hand-out, without those of the chapters that
    are the learner's to write."""
    waits = lambda name: bool(yours_from) and name[:2].isdigit() and name[:2] >= yours_from
    found = []
    chosen = [s for s in servers(build) if not chapter or s.startswith(chapter)]
    chosen = [s for s in chosen if not waits(s)]
    programs = list(dict.fromkeys(s.split()[0] for s in chosen))

    # Python suites first: they take longest, mostly waiting.
    for path in sorted(TESTS.glob("*/*_test.py")):
        name = path.parent.name
        if waits(name):
            continue
        asked = name == "command-line" and programs  # chapter 07 has no server to ask
        if not chapter or name.startswith(chapter + "-") or asked:
            about = {"BUILD": str(build), "SERVERS": ",".join(programs), "CHAPTER": chapter}
            found.append(Suite(name, [sys.executable, __file__, "--python", path], "", about))
    for folder in sorted({path.parent for path in TESTS.glob("*/*_test.cpp")}):
        if folder.name == "service" or waits(folder.name):
            continue
        if not chapter or folder.name.startswith(chapter + "-"):
            program = build / "tests" / folder.name  # a chapter's suite may start its server
            found.append(
                Suite(folder.name, [program, f"--build={build}", f"--server={folder.name}"]))
    for server in chosen:
        command = [build / "tests" / "service", f"--build={build}", f"--server={server}"]
        found.append(Suite(f"service {server}", command, server))
    return found


# --- Running a suite --------------------------------------------------------------------------


def run(suite):
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        results = pathlib.Path(folder, "results")
        command = [*map(str, suite.command), f"--results={results}"]
        limit = TIME_LIMIT * float(os.environ.get("PATIENCE") or "1")
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
                env={**os.environ, **suite.environment})
        except OSError as error:
            return Outcome(suite, {}, f"the suite cannot be started: {error}", "", 0)
        trouble = ""
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            trouble = f"the suite was killed after {limit:g} s"
        cases, complete = read_results(results)
    if not trouble and not complete:
        status = process.returncode
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        trouble = f"the suite ended before all its test cases had run ({how})"
        if status == TODO_STATUS:
            trouble = f"a test reached a hole: {output.strip().splitlines()[-1]}"
    elif not trouble and not cases:
        trouble = "the suite ran no test case at all"
    return Outcome(suite, cases, trouble, output, time.monotonic() - began)


def read_results(path):
    """Reads lines "RESULT <tab> test case <tab> words". Returns (cases, whether all have run)."""
    cases, complete = {}, False
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        result, case, words = (line.split("\t") + ["", ""])[:3]
        if result == "complete":
            complete = True
        elif result == "started":
            cases[case] = ("failed", "the test case did not end")
        else:
            cases[case] = (result, words)
    return cases, complete


# --- Python suites ----------------------------------------------------------------------------


class LineForEachCase(unittest.TextTestResult):
    """Writes the same results as the C++ suites do."""

    file = None

    def note(self, result, test, words=""):
        name = test.shortDescription() or test.id().split(".")[-1]
        print(result, name, words, sep="\t", file=self.file, flush=True)

    def startTest(self, test):
        super().startTest(test)
        self.note("started", test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note("passed", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note("failed", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.note("failed", test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note("failed", test, str(subtest))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note("skipped", test, reason)


def run_python_suite(path, results):
    path = pathlib.Path(path)
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    with open(results, "a", encoding="utf-8") as LineForEachCase.file:
        runner = unittest.TextTestRunner(resultclass=LineForEachCase)
        runner.run(unittest.defaultTestLoader.loadTestsFromModule(module))
        print("complete", "-", sep="\t", file=LineForEachCase.file)


# --- Reporting --------------------------------------------------------------------------------


def tell(outcome):
    count = len(outcome.cases)
    verdict = "FAIL" if outcome.failed else "ok"
    tests = f"{count} test{'' if count == 1 else 's'}"
    print(f"{verdict:<5} {outcome.suite.name:<28} {tests:>10} {outcome.seconds:6.1f} s", flush=True)
    for case, (result, words) in outcome.cases.items():
        if result == "skipped":
            print(f"      skipped: {case}: {words}")
    if outcome.failed:
        print(outcome.output.rstrip())
        again = " ".join(f"'{part}'" if " " in str(part) else str(part)
                         for part in outcome.suite.command)
        if outcome.trouble:
            print(f"{outcome.suite.name}: {outcome.trouble}")
        for case, (result, words) in outcome.cases.items():
            if result == "failed":
                print(f"failed: {case}" + (f": {words}" if words else ""))
        print(f"to run it again: {again}\n", flush=True)


def print_table(outcomes):
    """Prints what every server does as a table for the docs, 80 columns wide."""
    columns = [outcome for outcome in outcomes
               if outcome.suite.server and "--idle-timeout" not in outcome.suite.server]
    cases = list(dict.fromkeys(case for outcome in columns for case in outcome.cases))
    limits = {}  # words -> letter
    width = 79 - 4 * len(columns)
    names = [column_name(outcome.suite.server) for outcome in columns]
    print(" " * width + "".join(f"{name:>4}" for name in names))
    for case in cases:
        cells = [cell(*outcome.cases.get(case, ("", "")), limits) for outcome in columns]
        *before, last = textwrap.wrap(case, width - 1, subsequent_indent="  ")
        print("".join(f"{line}\n" for line in before) + f"{last:<{width}}"
              + "".join(f"{cell:>4}" for cell in cells))
    print("\nyes: the test passes. -: does not apply. A letter: a measured limit:")
    for words, letter in limits.items():
        print(f"  {letter}  {words}")


def column_name(server):
    """04-epoll --edge -> 04e, 01-threads -> 01t: the chapter and a letter for the variant."""
    variant = re.search(r"--(\w)|-(t)hreads", server)
    return server[:2] + (variant[1] or variant[2] if variant else "")


def cell(result, words, limits):
    if result == "passed" and words:
        return limits.setdefault(words, chr(ord("a") + len(limits)))
    return {"passed": "yes", "failed": "NO", "skipped": "-"}.get(result, "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", nargs="?", default="", help="only this chapter, like 03")
    parser.add_argument("--build", default="build", help="where the programs are")
    parser.add_argument("--yours-from", default="", help="a hand-out: leave these chapters out")
    parser.add_argument("--table", action="store_true",
                        help="only the service tests; prints behaviours and servers as a table")
    parser.add_argument("--python", help=argparse.SUPPRESS)
    parser.add_argument("--results", default=os.devnull, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.python:
        return run_python_suite(options.python, options.results)

    suites = find_suites(pathlib.Path(options.build), options.chapter, options.yours_from)
    if options.table:
        suites = [suite for suite in suites if suite.server]
    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run, s) for s in suites]):
            outcomes.append(future.result())
            if not options.table or outcomes[-1].failed:
                tell(outcomes[-1])

    passed, failed, skipped = (sum(numbers) for numbers in zip(
        (0, 0, 0), *((o.count("passed"), o.failed, o.count("skipped")) for o in outcomes)))
    if options.table and not failed:
        print_table(sorted(outcomes, key=lambda outcome: suites.index(outcome.suite)))
        return 0
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    for chapter in sorted(path.name for path in TESTS.glob("[0-9]*-*")):
        if options.yours_from and chapter[:2] >= options.yours_from:
            print(f"{chapter}: yours to write; its tests: make check-{chapter[:2]}, then "
                  f"make test-{chapter[:2]} WORK=1")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
