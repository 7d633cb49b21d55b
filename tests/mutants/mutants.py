#!/usr/bin/env python3
"""Plants faults in the course's code, one at a time, and says which of them no test notices.

    make mutants [CH=05] [ID=05.timer-due-twice] [JOBS=2]
    python3 tests/mutants/mutants.py --check     only whether the lists fit the code

The faults stand in tests/mutants/05.txt, those of common/ in tests/mutants/common.txt:

    # A timer that is due is called a second time.
    [05.timer-due-twice] chapters/05-callback-loop/timer_queue.hpp
    ---
    old text, whole lines or a part of one, which stands once in the file
    +++
    new text

    [05.larger-array] chapters/05-callback-loop/poller.hpp
    equivalent: the kernel returns the events in several turns instead of one
    ---
    ...

A fault has to be noticed by the tests of its chapter: the unit tests, the Python tests, and the
service tests of its servers. Those in common.txt: by tests/common and by chapters 01 to 04. Below the
line with the name may stand "equivalent: WHY" (nobody can tell the difference: it is not run) or
"sanitize: thread" (it is run with that sanitizer). What no test notices is tried again with
AddressSanitizer and UndefinedBehaviorSanitizer, as `make test SANITIZE=address,undefined` would. A
fault whose old text does not stand in its file once is an error, so the lists cannot rot.

Each test file is a program of its own here, so only what includes the changed file is compiled. The
file that noticed a fault last time is asked first; the first failing test ends the search.
"""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import queue
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "exercises")]
import run as suites  # noqa: E402  (read_results: how a test program says what passed)
from course import PROGRAMS  # noqa: E402
from workshop import digest, prerequisites  # noqa: E402

FOLDER = ROOT / "build" / "mutants"
COMPILER = shlex.split(os.environ.get("CXX") or "g++")
SECONDS = 120  # for one test program
COMMON = ["01", "02", "03", "04"]  # the chapters whose tests judge a fault in common/


# --- The lists ---------------------------------------------------------------------------------


@dataclasses.dataclass
class Mutant:
    name: str
    group: str  # "05" or "common"
    path: str
    old: str
    new: str
    equivalent: str = ""
    sanitize: str = ""

    def text(self):
        """The file with the fault. Raises ValueError."""
        before = (ROOT / self.path).read_text("utf-8")
        if before.count(self.old) != 1 or self.old == self.new:
            raise ValueError(f"{self.name}: this stands in {self.path} {before.count(self.old)} times,"
                             f" not once: {self.old.strip().splitlines()[0]}")
        return before.replace(self.old, self.new)

    def line(self):
        before = (ROOT / self.path).read_text("utf-8")
        return before.count("\n", 0, before.index(self.old)) + 1


def read_list(path):
    """The mutants of a file. Raises ValueError."""
    found = []
    for part in re.split(r"^(?=\[\S+\] \S+$)", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n---\n")
        old, plus, new = body.partition("\n+++\n")
        if not plus:
            raise ValueError(f"{path.name}: {part.splitlines()[0]}: there is no line --- or +++")
        new = re.sub(r"(\n\s*|\n#[^\n]*)*\Z", "", "\n" + new)[1:]  # up to the next one's comment
        first, *more = head.splitlines()
        name, file = re.fullmatch(r"\[(\S+)\] (\S+)", first).groups()
        mutant = Mutant(name, path.stem, file, old, new)
        for line in more:
            key, _, value = line.partition(": ")
            if key not in ("equivalent", "sanitize"):
                raise ValueError(f"{path.name}: {name}: what does this line mean? {line}")
            setattr(mutant, key, value)
        found.append(mutant)
    return found


def read_lists(chosen):
    """All mutants, or those of the chosen groups. Raises ValueError."""
    found = []
    for path in sorted(pathlib.Path(__file__).parent.glob("*.txt")):
        if not chosen or path.stem in chosen:
            found += read_list(path)
    names = [mutant.name for mutant in found]
    troubles = [f"{name}: this name is taken twice" for name in set(names) if names.count(name) > 1]
    for mutant in found:
        try:
            mutant.text()
        except (ValueError, OSError) as trouble:
            troubles.append(str(trouble))
    if troubles:
        raise ValueError("\n".join(troubles))
    return found


# --- Building ----------------------------------------------------------------------------------


class DoesNotCompile(Exception):
    pass


class Tree:
    """A copy of the sources in which one file at a time is changed, and what is built from it."""

    def __init__(self, name, sanitize, base=None):
        self.folder = FOLDER / f"{name}{'-' + sanitize.replace(',', '-') if sanitize else ''}"
        self.sanitize = sanitize
        self.base = base  # the tree without faults
        self.changed = ""
        self.linking = threading.Lock()
        self.linked = {}  # program -> [(object, time of its last change)]
        source = self.folder / "source"
        shutil.rmtree(source, ignore_errors=True)
        for part in ("chapters", "common", "tests"):
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns(
                "__pycache__", "node_modules", "results"))
        shutil.rmtree(self.folder / "build", ignore_errors=True)
        (self.folder / "build" / "tests").mkdir(parents=True)

    def flags(self):
        flags = ["-std=c++20", "-O0", "-g1", "-w", "-foptimize-sibling-calls", "-pthread"]
        if self.sanitize:
            flags += [f"-fsanitize={self.sanitize}", "-fno-sanitize-recover=all",
                      "-fno-sanitize=vptr"]
        return flags

    def plant(self, mutant):
        (self.folder / "source" / mutant.path).write_text(mutant.text(), "utf-8")
        self.changed = mutant.path

    def restore(self):
        if self.changed:
            shutil.copyfile(ROOT / self.changed, self.folder / "source" / self.changed)
        self.changed = ""

    def depends(self, source):
        """The files that the source includes, and itself."""
        note = self.object(source, of_base=True).with_suffix(".json")
        return json.loads(note.read_text("utf-8"))["inputs"]

    def object(self, source, of_base=False):
        tree = self.base if of_base and self.base else self
        return tree.folder / "obj" / (source.replace("/", "_") + ".o")

    def compile(self, source):
        """Returns the object file: the base's, where it does not depend on the fault."""
        if self.base and self.changed not in self.depends(source):
            return self.object(source, of_base=True)
        made = self.object(source)
        note = made.with_suffix(".json")
        command = [*COMPILER, *self.flags(), "-I.", "-MMD", "-MF", str(made) + ".d", "-c", source,
                   "-o", str(made)]
        root = self.folder / "source"
        if made.exists() and note.exists():
            known = json.loads(note.read_text("utf-8"))
            if known["command"] == command and all(
                    digest(root / path) == value for path, value in known["inputs"].items()):
                return made
        made.parent.mkdir(parents=True, exist_ok=True)
        note.unlink(missing_ok=True)
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, errors="replace",
                              check=False)
        if done.returncode != 0:
            raise DoesNotCompile(done.stderr.strip()[:1500])
        listed = prerequisites(pathlib.Path(str(made) + ".d").read_text("utf-8"))
        inputs = {path: digest(root / path) for path in listed if not path.startswith("/")}
        note.write_text(json.dumps({"command": command, "inputs": inputs}), "utf-8")
        return made

    def link(self, sources, name):
        program = self.folder / "build" / name
        objects = [str(self.compile(source)) for source in sources]
        program.parent.mkdir(parents=True, exist_ok=True)
        sanitize = [f"-fsanitize={self.sanitize}"] if self.sanitize else []
        key = [(path, os.stat(path).st_mtime_ns) for path in objects]
        with self.linking:  # several checks may need the same server
            if self.linked.get(name) != key:
                subprocess.run([*COMPILER, "-pthread", *sanitize, *objects, "-o", str(program)],
                               check=True)
                self.linked[name] = key
        return program

    def fault_library(self):
        """tests/support/faults.so, for the service tests."""
        made = self.folder / "build" / "tests" / "faults.so"
        if self.base:
            made.unlink(missing_ok=True)
            made.symlink_to(self.base.folder / "build" / "tests" / "faults.so")
        else:
            subprocess.run([*COMPILER, "-std=c++20", "-O1", "-fPIC", "-shared",
                            "tests/support/faults.cpp", "-o", str(made), "-ldl"],
                           cwd=self.folder / "source", check=True)


# --- The tests ---------------------------------------------------------------------------------

MAIN = "tests/support/main.cpp"
SERVICE = "tests/service/service_test.cpp"


def folder_of(number):
    return next(path.name for path in sorted((ROOT / "chapters").glob(f"{number}-*")))


def programs_of(number):
    """{program: source} of a chapter."""
    folder = folder_of(number)
    found = {folder: f"chapters/{folder}/main.cpp"}
    return found | {name: f"chapters/{folder}/{file}" for name, file in PROGRAMS.items()
                    if name.startswith(number)}


@dataclasses.dataclass
class Check:
    """Some tests that run together, and the files that they are built from."""

    name: str
    sources: list  # of the test program
    programs: dict  # the servers that it starts: {name: source}
    command: list  # "PROGRAM" stands for the test program
    environment: dict = dataclasses.field(default_factory=dict)

    def every_source(self):
        return [*self.sources, *self.programs.values()]


def checks_of(number):
    """The tests of a chapter, or of common/: quick ones first."""
    if number == "common":
        found = unit_checks("common", {})
        for chapter in COMMON:
            found += checks_of(chapter)
        return sorted(found, key=lambda check: check.name.startswith("service"))
    programs = programs_of(number)
    found = unit_checks(folder_of(number), programs)
    # Python tests and service tests, of each server of the chapter
    text = (ROOT / "tests/service/servers.hpp").read_text("utf-8")
    servers = [s for s in re.findall(r'\.server = "([^"]+)"', text) if s.startswith(number)]
    python = sorted((ROOT / "tests" / folder_of(number)).glob("*_test.py"))
    if servers:
        python.append(ROOT / "tests/command-line/command_line_test.py")
    for path in python:
        names = ",".join(dict.fromkeys(s.split()[0] for s in servers))
        inside = str(path.relative_to(ROOT))
        found.append(Check(inside, [], programs, [sys.executable, "tests/run.py", "--python", inside],
                           {"SERVERS": names, "CHAPTER": number}))
    for server in servers:
        program = server.split()[0]
        found.append(Check(f"service {server}", [SERVICE, MAIN], {program: programs[program]},
                           ["PROGRAM", f"--server={server}", "--abort-after=1"]))
    return found


def unit_checks(folder, programs):
    found = []
    for path in sorted((ROOT / "tests" / folder).glob("*_test.cpp")):
        starts_server = any(header in path.read_text("utf-8") for header in
                            ("server_process.hpp", "behaviours.hpp"))
        found.append(Check(str(path.relative_to(ROOT)), [str(path.relative_to(ROOT)), MAIN],
                           programs if starts_server else {},
                           ["PROGRAM", f"--server={folder}", "--abort-after=1"]))
    return found


def limits():
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 20, 256 << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def failure(tree, check):
    """The name of the first test that fails; "" if all pass. Raises DoesNotCompile."""
    for name, source in check.programs.items():
        tree.link([source], name)
    command = list(check.command)
    if check.sources:
        name = "tests/" + check.sources[0].replace("/", "_").removesuffix(".cpp")
        command[0] = str(tree.link(check.sources, name))
    build = tree.folder / "build"
    with tempfile.TemporaryDirectory() as folder:
        results = pathlib.Path(folder, "results")
        command += [f"--results={results}", f"--build={build}"]
        environment = {"PATIENCE": "1", **os.environ, **check.environment, "BUILD": str(build)}
        with open(pathlib.Path(folder, "output"), "wb") as output:
            process = subprocess.Popen(command, cwd=tree.folder / "source", stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=output, start_new_session=True,
                                       preexec_fn=limits, env=environment)
            try:
                status = process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                status = None
            try:
                os.killpg(process.pid, signal.SIGKILL)  # the test, and servers that it left behind
            except ProcessLookupError:
                pass
            process.wait()
        cases, _ = suites.read_results(results)
    failed = [case for case, (result, _) in cases.items() if result == "failed"]
    if failed:
        return f"{check.name}: {failed[0]}"
    if status != 0 or not cases:
        return f"{check.name}: " + ("it did not end" if status is None else f"status {status}")
    return ""


# --- Trying all of them ------------------------------------------------------------------------


class Trial:
    """All mutants with one sanitizer, or none."""

    def __init__(self, sanitize, jobs):
        self.sanitize = sanitize
        self.base = Tree("base", sanitize)
        self.base.fault_library()
        self.trees = queue.Queue()
        for number in range(jobs):
            tree = Tree(f"tree-{number}", sanitize, self.base)
            tree.fault_library()
            self.trees.put(tree)
        self.jobs = jobs
        self.print_lock = threading.Lock()
        self.note = FOLDER / "noticed.json"  # mutant -> the check that noticed it last time
        self.known = json.loads(self.note.read_text("utf-8")) if self.note.exists() else {}

    def all_of(self, jobs):
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            return [future.result() for future in [pool.submit(*job) for job in jobs]]

    def can_notice(self, check, mutant):
        return any(mutant.path in self.base.depends(source) for source in check.every_source())

    def reference(self, mutants):
        """Builds everything without a fault, and runs what may notice one. Returns what fails."""
        self.checks = {mutant.group: checks_of(mutant.group) for mutant in mutants}
        checks = {check.name: check for group in self.checks.values() for check in group}
        sources = dict.fromkeys(s for check in checks.values() for s in check.every_source())
        self.all_of([(self.base.compile, source) for source in sources])
        needed = [check for check in checks.values()
                  if any(self.can_notice(check, mutant) for mutant in mutants)]
        failed = self.all_of([(failure, self.base, check) for check in needed])
        again = [check for check, found in zip(needed, failed) if found]
        return [found for check in again if (found := failure(self.base, check))]

    def noticed(self, mutant):
        """(mutant, which test notices it, or ""). Raises DoesNotCompile."""
        tree = self.trees.get()
        try:
            tree.plant(mutant)
            checks = [c for c in self.checks[mutant.group] if self.can_notice(c, mutant)]
            checks.sort(key=lambda check: check.name != self.known.get(mutant.name))
            for check in checks:
                # Twice: on a busy machine a test may fail for want of time.
                found = failure(tree, check) and failure(tree, check)
                if found:
                    self.known[mutant.name] = check.name
                    return self.tell(mutant, found)
            return self.tell(mutant, "")
        except DoesNotCompile as trouble:
            return self.tell(mutant, f"ERROR: it does not compile: {trouble}")
        finally:
            tree.restore()
            self.trees.put(tree)

    def tell(self, mutant, found):
        with self.print_lock:
            print(f"{'noticed ' if found else 'SURVIVES'} {mutant.name}   "
                  f"{found or f'{mutant.path}:{mutant.line()}'}", flush=True)
        return mutant, found

    def run(self, mutants):
        """[(mutant, which test notices it)]. Raises ValueError if the reference fails."""
        if not mutants:
            return []
        print(f"\nWith {self.sanitize or 'no sanitizer'}: {len(mutants)} faults, "
              f"{self.jobs} at a time", flush=True)
        failed = self.reference(mutants)
        if failed:
            raise ValueError("without a fault, this fails already: " + "; ".join(failed))
        found = self.all_of([(self.noticed, mutant) for mutant in mutants])
        self.note.write_text(json.dumps(self.known, indent=1), "utf-8")
        return found


def score(mutants, found):
    """Prints a line for each list, and the survivors. Returns how many there are."""
    troubles = 0
    for group in dict.fromkeys(mutant.group for mutant in mutants):
        mine = [mutant for mutant in mutants if mutant.group == group]
        same = [mutant for mutant in mine if mutant.equivalent]
        tried = [mutant for mutant in mine if not mutant.equivalent]
        caught = [mutant for mutant in tried if found.get(mutant.name)]
        share = 100 * len(caught) / len(tried) if tried else 100
        print(f"{group:<7} {len(caught):>3} of {len(tried):>3} noticed, {share:.0f} %"
              + (f"   ({len(same)} more make no difference)" if same else ""))
        for mutant in tried:
            words = found.get(mutant.name, "")
            if not words or words.startswith("ERROR"):
                troubles += 1
                print(f"        {mutant.name}   {words or f'{mutant.path}:{mutant.line()}'}")
    return troubles


def main():
    options = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    chosen = [word for word in options.get("CH", "").split(",") if word]
    jobs = int(options.get("JOBS") or os.cpu_count() or 1)
    try:
        mutants = read_lists(chosen)
        if options.get("ID"):
            mutants = [mutant for mutant in mutants if mutant.name in options["ID"].split(",")]
        if not mutants:
            raise ValueError("there are no such faults in tests/mutants/")
        if "--check" in sys.argv:
            print(f"{len(mutants)} faults, each of which can be planted")
            return 0
        found = {}
        plain = [m for m in mutants if not m.equivalent and not m.sanitize]
        rounds = dict.fromkeys(["", "address,undefined", *(m.sanitize for m in mutants if m.sanitize)])
        for sanitize in rounds:
            left = ([m for m in plain if not found.get(m.name)] if sanitize in ("", "address,undefined")
                    else [m for m in mutants if m.sanitize == sanitize and not m.equivalent])
            if left:
                found |= {m.name: words for m, words in Trial(sanitize, jobs).run(left)}
    except ValueError as trouble:
        print(f"mutants: {trouble}", file=sys.stderr)
        return 2
    print()
    return 1 if score(mutants, found) else 0


if __name__ == "__main__":
    sys.exit(main())
