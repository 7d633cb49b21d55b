"""Builds the programs of an exercise, from a tree of links in which one chapter is the learner's.

    build/exercises/NAME/tree/common          -> common
                              tests           -> tests
                              chapters/04-... -> the reference
                              chapters/05-callback-loop/timer_queue.hpp -> work/05-callback-loop/...

The tree is the only include path. So a file that is missing in work/ is an error, and the reference
never silently takes its place; check_files() reports it before anything is built.
"""

import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import threading

from course import Problem

COMPILE_SECONDS = 120
COMPILE_MEMORY = 4 << 30
FLAGS = ["-std=c++20", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Wno-unused",
         "-Wno-unused-parameter", "-foptimize-sibling-calls", "-pthread"]
JOBS = max(2, os.cpu_count() or 1)
PRECOMPILING = threading.Lock()
DIRECTIVE = re.compile(r'# (\d+) "((?:[^"\\]|\\.)*)"([ \d]*)$|#(?:define|undef) (\w+)')
HOSTILE_INCLUDE = re.compile(r'^\s*#\s*(?:include|embed)\w*\s*[<"](?:/|[^>"]*\.\.)', re.MULTILINE)


def prerequisites(text):
    """The files that a .d file names. It is in make's syntax: a blank in a name is written as "\\ "."""
    text = text.replace("\\\n", " ").replace("$$", "$").partition(": ")[2]
    return [re.sub(r"\\([ #:])", r"\1", name) for name in re.findall(r"(?:\\.|\S)+", text)]


class BuildFailed(Exception):
    """The text is for the author of the code: the compiler's output, or which file is missing."""


def digest(path):
    try:
        return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""


def compilers():
    return [name for name in ("g++", "clang++-19", "clang++") if shutil.which(name)][:2]


@functools.cache
def undefined_behaviour(compiler):
    """The options that make a program stop at undefined arithmetic (overflow, shifts, bounds...) with
    a line that says where; none, if the compiler lacks them. The rest of -fsanitize=undefined, above
    all null pointers, would make compiling take 40 % longer; this costs nothing that can be measured."""
    kinds = "signed-integer-overflow,shift,integer-divide-by-zero,bounds,return,unreachable,bool,enum"
    flags = [f"-fsanitize={kinds}", "-fno-sanitize-recover=all"]
    tried = subprocess.run([compiler, *flags, "-x", "c++", "-", "-o", "/dev/null"], check=False,
                           input="int main() {}", text=True, capture_output=True)
    return flags if tried.returncode == 0 else []


class Workshop:
    """`sources` is the folder with the learner's files; `shown` is its name in messages. With
    `precompiled`, the headers that tests include most are compiled once: quick, but a file that
    forgets one of them compiles too. `strict` is for code that may want to cheat: inspect()."""

    def __init__(self, course, chapter, sources, name, shown=None, compiler=None, optimise="-O0",
                 werror=False, precompiled=False, strict=False):
        self.course = course
        self.chapter = chapter
        self.sources = pathlib.Path(sources)
        self.shown = shown or str(self.sources)
        self.compiler = compiler or os.environ.get("CXX") or "g++"
        self.sanitize = os.environ.get("SANITIZE", "")
        self.flags = [optimise, *FLAGS] + (["-Werror"] if werror else [])
        if self.sanitize:
            self.flags += [f"-fsanitize={self.sanitize}", "-fno-sanitize-recover=all",
                           "-fno-omit-frame-pointer"]
        elif optimise == "-O0":
            self.flags += undefined_behaviour(self.compiler)
        variant = "-".join([pathlib.Path(self.compiler).name, optimise[1:]]
                           + ([self.sanitize.replace(",", "-")] if self.sanitize else []))
        base = course.root / "build" / "exercises"
        self.folder = base / name / variant
        self.shared = base / "shared" / variant
        self.tree = base / name / "tree"
        self.strict = strict
        self.precompiled = self.precompile() if precompiled else []
        self.warnings = ""
        self.files = self.compiled = 0  # how many there are, and how many are ready (ticker.py)

    # --- The tree ------------------------------------------------------------------------------

    def missing(self):
        """The files with holes that are not there."""
        return [path for path in self.course.files.get(self.chapter, {})
                if not (self.sources / path).is_file()]

    def lay_out(self):
        """Makes the tree from scratch each time; links are cheap."""
        shutil.rmtree(self.tree, ignore_errors=True)
        root = self.course.root
        (self.tree / "chapters").mkdir(parents=True)
        for name in ("common", "tests"):
            (self.tree / name).symlink_to(root / name)
        for chapter in self.course.chapters:
            target = root / "chapters" / chapter
            own = root / "work" / chapter
            if chapter == self.chapter:
                self.link(target, self.sources)
            elif self.course.held_back(chapter) and own.is_dir():
                self.link(target, own)  # a hand-out has no reference: the learner's own files
            else:
                (self.tree / "chapters" / chapter).symlink_to(target)

    def link(self, reference, sources):
        """Links the files with holes, and files that the learner has added, from `sources`."""
        folder = self.tree / "chapters" / reference.name
        marked = self.course.files.get(reference.name, {})
        found = {}
        for path in reference.rglob("*"):
            inside = str(path.relative_to(reference))
            if path.is_file() and inside not in marked:
                found[inside] = path
        for path in sources.rglob("*"):
            inside = str(path.relative_to(sources))
            if path.is_file() and (inside in marked or inside not in found):
                found[inside] = path
        for inside, path in found.items():
            place = folder / inside
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.resolve())

    # --- Compiling -----------------------------------------------------------------------------

    def precompile(self):
        """The option that includes tests/exercises/precompiled.hpp, compiled. Raises BuildFailed."""
        clang = "clang" in self.compiler
        source = self.course.root / "tests/exercises/precompiled.hpp"
        key = hashlib.sha256((digest(source) + " ".join(self.flags)).encode()).hexdigest()[:16]
        header = self.shared / f"precompiled-{key}.hpp"
        made = header.with_suffix(".hpp.pch" if clang else ".hpp.gch")
        with PRECOMPILING:
            if not made.exists():
                made.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, header)
                self.run([self.compiler, *self.flags, "-x", "c++-header", str(header),
                          "-o", str(made)])
        return ["-include-pch", str(made)] if clang else ["-include", str(header)]

    def run(self, command, translate=True):
        """Returns the compiler's output. Raises BuildFailed."""
        def limits():
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]  # a limit is only lowered
            most = COMPILE_MEMORY if hard == resource.RLIM_INFINITY else min(COMPILE_MEMORY, hard)
            resource.setrlimit(resource.RLIMIT_AS, (most, most))

        process = subprocess.Popen(
            command, cwd=self.course.root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
            preexec_fn=None if self.sanitize else limits)
        try:
            said, _ = process.communicate(timeout=COMPILE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise BuildFailed(f"the compiler was stopped after {COMPILE_SECONDS} s") from None
        said = self.translate(said) if translate or process.returncode != 0 else said
        if process.returncode != 0:
            raise BuildFailed(said.strip() or f"{command[0]} failed: status {process.returncode}")
        return said

    def translate(self, said):
        """Replaces the names of links in the tree by the names that the author knows."""
        said = said.replace(f"{self.tree}/chapters/{self.chapter}/", f"{self.shown}/")
        said = said.replace(f"{self.tree}/", "")
        return said.replace(f"{self.course.root}/", "")

    def compile(self, source, folder, include, options=()):
        """Compiles, if `source` or a file that it includes has changed. Returns the object file."""
        source = pathlib.Path(source)
        if self.strict and include == self.tree:
            self.inspect(source)
        name = re.sub(r"[^\w.-]", "_", str(source).replace(str(self.course.root), "").strip("/"))
        made = folder / (name + ".o")
        note = folder / (name + ".json")
        command = [self.compiler, *self.flags, *options, f"-I{include}", "-c", str(source)]
        if made.exists() and note.exists():
            known = json.loads(note.read_text())
            if known["command"] == command and all(
                    digest(path) == value for path, value in known["inputs"].items()):
                self.warnings += known["warnings"]
                self.compiled += 1
                return made
        folder.mkdir(parents=True, exist_ok=True)
        mark = f"{os.getpid()}-{threading.get_ident()}"  # another run may compile the same file
        new, depends = folder / f"{name}.{mark}.o", folder / f"{name}.{mark}.d"
        note.unlink(missing_ok=True)
        maps = [f"-ffile-prefix-map={self.course.root}/=",  # the last one that fits is taken
                f"-ffile-prefix-map={self.tree}/=",
                f"-ffile-prefix-map={self.tree}/chapters/{self.chapter}={self.shown}"]
        try:
            said = self.run([*command, "-o", str(new), *maps, "-MMD", "-MF", str(depends)])
            listed = prerequisites(depends.read_text())
            new.replace(made)
        finally:
            new.unlink(missing_ok=True)
            depends.unlink(missing_ok=True)
        note.write_text(json.dumps({"command": command, "warnings": said,
                                    "inputs": {path: digest(path) for path in listed}}))
        self.warnings += said
        self.compiled += 1
        return made

    def inspect(self, source):
        """Preprocesses a test together with the code that it includes, and refuses the code if it
        includes a file that is not for it, or defines a macro with a name that the tests use. Only
        what the preprocessor says counts: an #include may name a macro. Raises BuildFailed."""
        no_quotes = ("-fno-caret-diagnostics" if "clang" in self.compiler
                     else "-fno-diagnostics-show-caret")
        said = self.run([self.compiler, *self.flags, "-pedantic-errors", no_quotes,
                         f"-I{self.tree}", "-E", "-dD", str(source)], translate=False)
        root, own = self.course.root.resolve(), self.sources.resolve()
        answers = {root / "chapters" / self.chapter / path
                   for path in self.course.files.get(self.chapter, {})}
        allowed = [own, root / "common", root / "chapters", root / "tests", pathlib.Path("/usr"),
                   pathlib.Path("/opt")]
        stack, files, macros = [], {pathlib.Path(source).resolve()}, set()
        for line in said.splitlines():
            found = DIRECTIVE.match(line)
            if found is None:
                continue
            _, name, flags, macro = found.groups()
            if macro:
                if stack and stack[-1].is_relative_to(own):
                    macros.add(macro)
            elif name.startswith("<"):
                continue
            elif "1" in flags.split():
                stack.append((self.course.root / re.sub(r"\\(.)", r"\1", name)).resolve())
                files.add(stack[-1])
            elif "2" in flags.split() and stack:
                stack.pop()
        for path in files - {pathlib.Path(source).resolve()}:
            inside = any(path.is_relative_to(folder) for folder in allowed)
            if path in answers or not inside or path.is_relative_to(root / "tests/exercises"):
                raise BuildFailed(f"{self.shown}: an #include names a file that is not for a "
                                  f"solution: {path.name}")
        theirs = [path for path in files if not path.is_relative_to(own)
                  and (path.is_relative_to(root / "tests") or path.name == "doctest.h"
                       or path == pathlib.Path(source).resolve())]
        for path in theirs:
            names = macros & set(re.findall(r"\w+", path.read_text(errors="replace")))
            if names:
                raise BuildFailed(f"{self.shown}: it defines the macro {min(names)}, a name that the "
                                  "tests use: choose another")

    def link_program(self, objects, program):
        program.parent.mkdir(parents=True, exist_ok=True)
        key = json.dumps({str(path): digest(path) for path in objects})
        note = program.with_suffix(".key")
        if not (program.exists() and note.exists() and note.read_text() == key):
            note.unlink(missing_ok=True)
            self.run([self.compiler, "-pthread", *self.sanitizer_library(), *map(str, objects),
                      "-o", str(program)])
            note.write_text(key)
        return program

    def sanitizer_library(self):
        """Links clang++'s as a shared library, as g++ does: a test that replaces system calls must
        come before it."""
        if not self.sanitize:
            return [flag for flag in self.flags if flag.startswith("-fsanitize=")]
        if "clang" not in self.compiler:
            return [f"-fsanitize={self.sanitize}"]
        folder = subprocess.run([self.compiler, "-print-resource-dir"], capture_output=True,
                                text=True, check=True).stdout.strip()
        return [f"-fsanitize={self.sanitize}", "-shared-libsan", f"-Wl,-rpath,{folder}/lib/linux"]

    def check_files(self):
        gone = self.missing()
        if gone:
            raise BuildFailed(f"{self.shown}/{gone[0]} is missing"
                              + (f", and {len(gone) - 1} more" if len(gone) > 1 else ""))
        for path in self.course.files.get(self.chapter, {}):
            text = (self.sources / path).read_text(errors="replace")
            if HOSTILE_INCLUDE.search(text):
                raise BuildFailed(f'{self.shown}/{path}: an #include names files from the root of '
                                  'the course ("common/error.hpp"), never with ".." or "/"')

    def build(self, exercises):
        """Builds the tests of these exercises of the chapter, and its server if they need it.

        Returns {number: program or BuildFailed}.
        """
        self.warnings = ""
        if not exercises:
            return {}
        try:
            self.check_files()
        except BuildFailed as failure:
            return {exercise.number: failure for exercise in exercises}
        self.lay_out()
        root = self.course.root
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            main = pool.submit(self.compile, root / "tests/support/main.cpp",
                               self.shared / "obj", root)
            faults = pool.submit(self.build_faults)
            server = None
            if any(exercise.needs_server for exercise in exercises):
                server = pool.submit(self.build_server)
            tests = {}
            for exercise in exercises:
                for file in exercise.test_files:
                    if file not in tests:
                        tests[file] = pool.submit(self.compile, file, self.folder / "obj", self.tree,
                                                  self.precompiled)
            self.files = len(tests) + 1 + bool(server)
            built = {}
            for exercise in exercises:
                try:
                    objects = [tests[file].result() for file in exercise.test_files]
                    program = self.folder / "tests" / exercise.number
                    built[exercise.number] = self.link_program([*objects, main.result()], program)
                    faults.result()
                    if exercise.needs_server:
                        server.result()
                except BuildFailed as failure:
                    built[exercise.number] = failure
        return built

    def build_server(self, source="main.cpp", name=None):
        """The chapter's server, or another program of the chapter."""
        objects = [self.compile(self.tree / "chapters" / self.chapter / source,
                                self.folder / "obj", self.tree)]
        return self.link_program(objects, self.folder / (name or self.chapter))

    def build_faults(self):
        """Builds tests/support/faults.so, which server processes are started with."""
        source = self.course.root / "tests/support/faults.cpp"
        made = self.shared / "faults.so"
        note = made.with_suffix(".key")
        key = digest(source) + digest(source.with_suffix(".hpp"))
        if not (made.exists() and note.exists() and note.read_text() == key):
            made.parent.mkdir(parents=True, exist_ok=True)
            new = made.with_name(f"faults-{os.getpid()}-{threading.get_ident()}.so")
            self.run([self.compiler, "-std=c++20", "-O1", "-fPIC", "-shared", str(source), "-o",
                      str(new), "-ldl"])
            new.replace(made)
            note.write_text(key)
        place = self.folder / "tests" / "faults.so"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(made)

    def fingerprint(self, program):
        """A hash of everything that a result depends on: the last result counts while it stays."""
        server = self.folder / self.chapter
        faults = self.folder / "tests" / "faults.so"
        return hashlib.sha256("".join(map(digest, (program, server, faults))).encode()).hexdigest()


def writable(folder):
    """Creates the folder. Raises Problem if that fails."""
    try:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"cannot write to {folder}: {error.strerror}") from None
