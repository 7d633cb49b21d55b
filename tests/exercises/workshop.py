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
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading

from course import Problem

COMPILE_SECONDS = 120
COMPILE_MEMORY = 4 << 30
COMPILE_FILE = 512 << 20  # bytes in a file that the compiler writes
PREPROCESSED = 64 << 20  # of a test with all that it includes; 4 MB are usual
MESSAGES = 1 << 20  # of the compiler, as far as they are read
FLAGS = ["-std=c++20", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Wno-unused",
         "-Wno-unused-parameter", "-foptimize-sibling-calls", "-pthread"]
JOBS = max(2, os.cpu_count() or 1)
PRECOMPILING = threading.Lock()
DIRECTIVE = re.compile(r'# (\d+) "((?:[^"\\]|\\.)*)"([ \d]*)$|#(?:define|undef) (\w+)')
# In a solution: "# 1 "file.hpp" 1", by which the compiler believes that another file begins here.
LINE_MARKER = re.compile(r"^(?:[^\n]*\*/)?[ \t\v\f]*#(?:[ \t\v\f]|/\*.*?\*/)*(?:\d|embed)",
                         re.MULTILINE | re.DOTALL)
HOSTILE_INCLUDE = re.compile(r'^\s*#\s*(?:include|embed)\w*\s*[<"](?:/|[^>"]*\.\.)', re.MULTILINE)


def prerequisites(text):
    """The files that a .d file names. It is in make's syntax: a blank in a name is written as "\\ "."""
    text = text.replace("\\\n", " ").replace("$$", "$").partition(": ")[2]
    return [re.sub(r"\\([ #:])", r"\1", name) for name in re.findall(r"(?:\\.|\S)+", text)]


def lower(kind, most):
    """Limits are only lowered: a user may already have stricter ones."""
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def mark():
    """A word for the name of a new file that no other command uses."""
    return f"{os.getpid()}-{threading.get_ident()}"


def text_of(path):
    """A file's text; empty if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def write(path, text):
    """All or nothing: another command may read it now."""
    new = path.with_name(f"{path.name}.{mark()}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def point(link, target):
    """Makes the link, and its folder, if they are not there yet."""
    if link.is_symlink() and os.readlink(link) == str(target):
        return
    if link.is_dir() and not link.is_symlink():  # before, there were files of the learner in it
        shutil.rmtree(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    new = link.with_name(f"{link.name}.{mark()}.new")
    new.symlink_to(target)
    new.replace(link)


def beginning(file):
    """What was written to the file, as text, up to a limit."""
    file.seek(0)
    return file.read(MESSAGES).decode("utf-8", errors="replace")


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
    try:
        tried = subprocess.run([*compiler, *flags, "-x", "c++", "-", "-o", "/dev/null"], check=False,
                               input="int main() {}", text=True, capture_output=True)
    except OSError as error:
        raise Problem(f"cannot run the compiler, {compiler[0]}: {error.strerror}") from None
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
        self.compiler = tuple(shlex.split(compiler or os.environ.get("CXX") or "g++"))
        self.sanitize = os.environ.get("SANITIZE", "")
        self.flags = [optimise, *FLAGS] + (["-Werror"] if werror else [])
        if self.sanitize:
            self.flags += [f"-fsanitize={self.sanitize}", "-fno-sanitize-recover=all",
                           "-fno-omit-frame-pointer"]
        elif optimise == "-O0":
            self.flags += undefined_behaviour(self.compiler)
        words = [word for word in self.compiler if not word.startswith("-")]  # "ccache g++ -m32"
        self.clang = "clang" in pathlib.Path(words[-1]).name
        variant = "-".join([pathlib.Path(words[-1]).name, optimise[1:]]
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
        """Makes the tree as it should be. Only what differs is changed: another command may be building
        in it."""
        root = self.course.root
        wanted = {name: root / name for name in ("common", "tests")}
        for chapter in self.course.chapters:
            target = root / "chapters" / chapter
            own = root / "work" / chapter
            if chapter == self.chapter:
                wanted |= self.links(target, self.sources)
            elif self.course.held_back(chapter) and own.is_dir():
                wanted |= self.links(target, own)  # a hand-out has no reference: the learner's own files
            else:
                wanted[f"chapters/{chapter}"] = target
        for folder, folders, files in os.walk(self.tree):
            for path in (pathlib.Path(folder, name) for name in folders + files):
                if path.is_symlink() and str(path.relative_to(self.tree)) not in wanted:
                    path.unlink(missing_ok=True)
        for name, target in wanted.items():
            point(self.tree / name, target.resolve())

    def links(self, reference, sources):
        """{name in the tree: file}: the files with holes, and those that the learner has added, come from
        `sources`."""
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
        return {f"chapters/{reference.name}/{inside}": path for inside, path in found.items()}

    # --- Compiling -----------------------------------------------------------------------------

    def precompile(self):
        """The option that includes tests/exercises/precompiled.hpp, compiled. Raises BuildFailed."""
        source = self.course.root / "tests/exercises/precompiled.hpp"
        key = hashlib.sha256((digest(source) + " ".join(self.flags)).encode()).hexdigest()[:16]
        header = self.shared / f"precompiled-{key}.hpp"
        made = header.with_suffix(".hpp.pch" if self.clang else ".hpp.gch")
        with PRECOMPILING:
            if not made.exists():
                made.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, header)
                self.run([*self.compiler, *self.flags, "-x", "c++-header", str(header),
                          "-o", str(made)])
        return ["-include-pch", str(made)] if self.clang else ["-include", str(header)]

    def run(self, command):
        """Returns the compiler's output. Raises BuildFailed."""
        with tempfile.TemporaryFile() as output:
            status = self.execute(command, output, COMPILE_FILE)
            said = self.translate(beginning(output))
        if status != 0:
            raise BuildFailed(said.strip() or f"{command[0]} failed: status {status}")
        return said

    def execute(self, command, output, most, messages=subprocess.STDOUT):
        """Runs the compiler with limits. Returns its status. Raises BuildFailed."""
        def limits():
            lower(resource.RLIMIT_FSIZE, most)
            if not self.sanitize:
                lower(resource.RLIMIT_AS, COMPILE_MEMORY)

        try:
            process = subprocess.Popen(command, cwd=self.course.root, stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=messages, start_new_session=True,
                                       preexec_fn=limits)
        except OSError as error:
            raise Problem(f"cannot run the compiler, {command[0]}: {error.strerror}") from None
        try:
            return process.wait(timeout=COMPILE_SECONDS)
        except subprocess.TimeoutExpired:
            raise BuildFailed(f"the compiler was stopped after {COMPILE_SECONDS} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

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
        command = [*self.compiler, *self.flags, *options, f"-I{include}", "-c", str(source)]
        known = json.loads(text_of(note) or "{}")
        if made.exists() and known.get("command") == command and all(
                digest(path) == value for path, value in known["inputs"].items()):
            self.warnings += known["warnings"]
            self.compiled += 1
            return made
        folder.mkdir(parents=True, exist_ok=True)
        new, depends = folder / f"{name}.{mark()}.o", folder / f"{name}.{mark()}.d"
        maps = [f"-ffile-prefix-map={self.course.root}/=",  # the last one that fits is taken
                f"-ffile-prefix-map={self.tree}/=",
                f"-ffile-prefix-map={self.tree}/chapters/{self.chapter}={self.shown}"]
        try:
            said = self.run([*command, "-o", str(new), *maps, "-MMD", "-MF", str(depends)])
            listed = prerequisites(text_of(depends))
            note.unlink(missing_ok=True)
            new.replace(made)
        finally:
            new.unlink(missing_ok=True)
            depends.unlink(missing_ok=True)
        write(note, json.dumps({"command": command, "warnings": said,
                                "inputs": {path: digest(path) for path in listed}}))
        self.warnings += said
        self.compiled += 1
        return made

    def inspect(self, source):
        """Preprocesses a test together with the code that it includes, and refuses the code if it
        includes a file that is not for it, or defines a macro with a name that the tests use. Only
        what the preprocessor says counts: an #include may name a macro. Raises BuildFailed."""
        source, own = pathlib.Path(source).resolve(), self.sources.resolve()
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages:
            status = self.execute([*self.compiler, *self.flags, f"-I{self.tree}", "-E", "-dD", str(source)],
                                  output, PREPROCESSED, messages)
            includes, macros = self.directives(output)
            said = self.translate(beginning(messages)).strip()
        files = {path for pair in includes for path in pair}
        for includer, path in includes:
            # Before anything that the compiler says: it may quote a file that is none of theirs.
            if not self.may_include(path, own in includer.parents):
                raise BuildFailed(f"{self.shown}: an #include names a file that is not for a "
                                  f"solution: {path.name}")
        for path in files:
            text = path.read_text("utf-8", "replace") if own in path.parents else ""
            text = text.replace("\\\n", "").replace("\r", "\n").replace("%:", "#")
            if LINE_MARKER.search(text):
                raise BuildFailed(f'{self.shown}/{path.relative_to(own)}: a directive # with a number, '
                                  "or #embed, is not for a solution")
        if status != 0:
            raise BuildFailed(said or f"{self.compiler[0]} failed: status {status}")
        for path in files | {source}:
            if path == source or self.course.root.resolve() / "tests" in path.parents \
                    or path.name == "doctest.h":
                names = macros & set(re.findall(r"\w+", path.read_text("utf-8", "replace")))
                if names:
                    raise BuildFailed(f"{self.shown}: it defines the macro {min(names)}, a name that "
                                      "the tests use: choose another")

    def directives(self, preprocessed):
        """What a preprocessed test includes, [(which file, which other file)], and the macros that
        the solution in it defines."""
        own = self.sources.resolve()
        includes, macros, stack = [], set(), [pathlib.Path("/")]
        preprocessed.seek(0)
        for line in preprocessed:
            found = DIRECTIVE.match(line.decode("utf-8", errors="replace"))
            if found is None:
                continue
            _, name, flags, macro = found.groups()
            if macro and own in stack[-1].parents:
                macros.add(macro)
            elif not macro and "1" in flags.split() and not name.startswith("<"):
                path = (self.course.root / re.sub(r"\\(.)", r"\1", name)).resolve()
                includes.append((stack[-1], path))
                stack.append(path)
            elif not macro and "2" in flags.split() and len(stack) > 1:
                stack.pop()
        return includes, macros

    def may_include(self, path, solution):
        """Whether this file may be part of a test; `solution` says that the solution includes it."""
        root = self.course.root.resolve()
        answers = {root / "chapters" / self.chapter / path
                   for path in self.course.files.get(self.chapter, {})}
        if path in answers or not solution:
            return path not in answers
        allowed = [self.sources.resolve(), root / "common", root / "chapters", root / "tests",
                   pathlib.Path("/usr"), pathlib.Path("/opt")]
        return (root / "tests/exercises" not in path.parents
                and any(folder in path.parents for folder in allowed))

    def link_program(self, objects, program):
        program.parent.mkdir(parents=True, exist_ok=True)
        key = json.dumps({str(path): digest(path) for path in objects})
        note = program.with_suffix(".key")
        if not program.exists() or text_of(note) != key:
            new = program.with_name(f"{program.name}.{mark()}.new")
            self.run([*self.compiler, "-pthread", *self.sanitizer_library(), *map(str, objects),
                      "-o", str(new)])
            note.unlink(missing_ok=True)
            new.replace(program)
            write(note, key)
        return program

    def sanitizer_library(self):
        """Links clang++'s as a shared library, as g++ does: a test that replaces system calls must
        come before it."""
        if not self.sanitize:
            return [flag for flag in self.flags if flag.startswith("-fsanitize=")]
        if not self.clang:
            return [f"-fsanitize={self.sanitize}"]
        folder = subprocess.run([*self.compiler, "-print-resource-dir"], capture_output=True,
                                text=True, check=True).stdout.strip()
        return [f"-fsanitize={self.sanitize}", "-shared-libsan", f"-Wl,-rpath,{folder}/lib/linux"]

    def check_files(self):
        gone = self.missing()
        if gone:
            raise BuildFailed(f"{self.shown}/{gone[0]} is missing"
                              + (f", and {len(gone) - 1} more" if len(gone) > 1 else ""))
        for path in self.course.files.get(self.chapter, {}):
            text = (self.sources / path).read_text("utf-8", "replace")
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
        if not made.exists() or text_of(note) != key:
            made.parent.mkdir(parents=True, exist_ok=True)
            new = made.with_name(f"faults-{mark()}.so")
            self.run([*self.compiler, "-std=c++20", "-O1", "-fPIC", "-shared", str(source), "-o",
                      str(new), "-ldl"])
            new.replace(made)
            write(note, key)
        point(self.folder / "tests" / "faults.so", made)

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
