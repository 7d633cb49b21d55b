"""For teachers: grades.

    exercises.py grade SUB=DIR|ZIP [CH=05] [FORMAT=text|junit|gradescope] [HIDDEN=DIR] [OUT=FILE]
    exercises.py grade ALL=DIR     [CH=05] [FORMAT=...] [HIDDEN=DIR] [OUT=DIR]
    exercises.py gradescope [CH=05] [HIDDEN=DIR] [OUT=FILE]

A submission is a folder or a zip with those files of the chapter that have holes: laid out as in a
learner's tree (work/05-callback-loop/timer_queue.hpp), as in that folder, or all in one place. Only
these files and headers beside them are taken from it, so edited tests and Makefiles change nothing; a
missing file counts as not written. Code that names a file it may not include, or redefines a name of
the tests, is not built. Each test runs apart from other processes, from files and from the network,
where the kernel allows that (supervisor.py). A solution still shares a process with the test that
judges it, and can forge what that test says; only a hidden test in Python (judge.run_outside) is safe
from that.
"""

import ast
import contextlib
import csv
import datetime
import io
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import sys
import tempfile
import textwrap
import xml.sax.saxutils
import zipfile
import zlib

import judge
from course import CASE, Case, Course, Problem
from handout import NOT_IN_HANDOUT, course_files
from workshop import BuildFailed, Workshop

LARGEST = 1 << 20  # bytes of a submitted file
MOST_FILES = 50  # of a chapter, beside those with holes
SOURCES = (".hpp", ".h", ".hh", ".hxx", ".ipp", ".inl", ".cpp")
PLAIN = re.compile(r"(?!\.)[\w. +()-]+")  # the name of a file or a folder
NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# --- Submissions -------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(course, submission):
    """The folder of a submission, which may be a zip, and may have one more folder around it."""
    submission = pathlib.Path(submission)
    with tempfile.TemporaryDirectory(prefix="unpacked-") as folder:
        if submission.is_dir():
            yield inner(course, submission)
        elif submission.suffix.lower() == ".zip" and submission.is_file():
            unpack(submission, pathlib.Path(folder))
            yield inner(course, pathlib.Path(folder))
        else:
            raise Problem(f"there is no folder or zip {submission}: SUB names a submission")


def inner(course, folder):
    """The folder in it, as long as that is all there is."""
    ours = {"work", "exercises", "steps", *course.chapters}
    for _ in range(4):
        inside = [path for path in folder.iterdir() if not re.match(r"\.|__MACOSX", path.name)]
        if len(inside) != 1 or inside[0].is_symlink() or not inside[0].is_dir() or inside[0].name in ours:
            break
        folder = inside[0]
    return folder


def unpack(archive, folder):
    """Unpacks the sources in a zip, up to the size that is accepted, and nothing else."""
    try:
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist()[:MOST_FILES * 20]:
                name = member.filename.replace("\\", "/")
                parts = name.split("/")
                if member.is_dir() or not name.endswith(SOURCES) or not all(map(PLAIN.fullmatch, parts)):
                    continue
                place = folder.joinpath(*parts)
                place.parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) as packed:
                    place.write_bytes(packed.read(LARGEST + 1))
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise Problem(f"{archive} cannot be unpacked: {error}") from None


def take(course, submission, chapter, folder):
    """Copies the chapter's files with holes, and the learner's own headers beside them. Returns a note
    for each file that cannot be taken."""
    notes = []
    places = [submission / "work" / chapter, submission / chapter, submission]
    for path in course.files[chapter]:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        candidates = [*(base / path for base in places), submission / pathlib.Path(path).name]
        found = next((c for c in candidates if os.path.lexists(c)), None)
        trouble, written = content(found, submission) if found else ("is missing", b"")
        if trouble:
            notes.append(f"{chapter}/{path} {trouble}: counts as not written")
            place.write_text(course.skeleton(chapter, path), encoding="utf-8")
        else:
            place.write_bytes(written)
    base = next(filter(os.path.isdir, places), submission)
    for path in own_headers(course, chapter, base)[:MOST_FILES]:
        trouble, written = content(base / path, submission)
        if trouble:
            notes.append(f"{chapter}/{path} {trouble}: not taken")
        else:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(written)
    return notes


def pack(course, chapter, out):
    """Packs a learner's work on a chapter into a zip: exactly the files that take() takes from it.
    Returns (a note for each file that cannot be taken, the names in the zip)."""
    with tempfile.TemporaryDirectory(prefix="submission-") as folder:
        folder = pathlib.Path(folder)
        notes = take(course, course.root, chapter, folder)
        files = {f"work/{chapter}/{path.relative_to(folder)}": path
                 for path in sorted(folder.rglob("*")) if path.is_file()}
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, path in files.items():
                archive.write(path, name)
    return notes, list(files)


def own_headers(course, chapter, base):
    """The headers that the learner has added, by their names in the chapter: those in a folder that
    the chapter has too."""
    reference = course.root / "chapters" / chapter
    found = []
    for place in [reference, *sorted(path for path in reference.iterdir() if path.is_dir())]:
        inside = place.relative_to(reference)
        with contextlib.suppress(OSError):
            for path in sorted((base / inside).iterdir()):
                if path.name.endswith(SOURCES) and PLAIN.fullmatch(path.name) \
                        and not (place / path.name).exists():
                    found.append(inside / path.name)
    return found


def content(path, submission):
    """(why it cannot be taken or "", its bytes)"""
    try:
        trouble = refusal(path, submission)
        return trouble, b"" if trouble else path.read_bytes()
    except OSError as error:
        return f"cannot be read ({error.strerror})", b""


def refusal(path, submission):
    """Why this file cannot be taken; empty if it can."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return "is not a plain file"
    if not path.resolve().is_relative_to(submission.resolve()):
        return "lies outside the submission"
    if path.stat().st_size > LARGEST:
        return f"is larger than {LARGEST >> 20} MB"
    return ""


class Grade:
    """The results so far, in order. Every test is in it from the beginning, as not run. `outside` has
    an exercise's hidden tests in Python, by its number."""

    def __init__(self, exercises, outside=None, hidden=()):
        self.hidden = frozenset(hidden)  # the names of cases that students do not see
        self.entries = []  # [exercise, case, share of the points, Result or None]
        for exercise in exercises:
            cases = exercise.cases + (outside or {}).get(exercise.number, [])
            for case in cases:
                self.entries.append([exercise, case, exercise.points / len(cases), None])
        self.notes = []
        self.began = datetime.datetime.now(datetime.timezone.utc)

    def score(self, entries=None):
        return sum(map(self.earned, self.entries if entries is None else entries))

    def earned(self, entry):
        """The points for one test: its share if it passed. An exercise earns nothing while no more
        than a quarter of its tests pass. As much passes with empty functions, because some tests say
        what must not happen."""
        exercise, _, share, result = entry
        return share if result and result.passed and not self.too_few(exercise) else 0

    def too_few(self, exercise):
        passed = [bool(result and result.passed) for _, _, _, result in self.of(exercise)]
        return 4 * sum(passed) <= len(passed)

    def of(self, exercise):
        return [entry for entry in self.entries if entry[0] is exercise]

    @property
    def best(self):
        return sum(share for _, _, share, _ in self.entries)


def number(value):
    return f"{value:.2f}".rstrip("0").rstrip(".")


def brief(result):
    """The core of a message: what was done and what is wrong, without expressions. What does not
    compile is named by its errors, and by where the author's own file comes in."""
    words = result.words
    if result.verdict == "BUILD":
        lines = [line.strip() for line in words.splitlines()]
        mine = [line for line in lines if re.match(r"\d\d-\S+?:\d", line)]
        wrong = [line for line in lines if re.search(r"\berror: |undefined reference", line)]
        chosen = list(dict.fromkeys([*[line for line in wrong if line in mine], *wrong, *mine])) or lines
        return "\n".join(line[:300] for line in chosen[:4])
    logged = words.partition("  logged: ")[2]
    lines = (logged.partition("\ntests/")[0] if logged else words).splitlines()
    kept = [line.strip()[:300] for line in lines if line.strip()]
    return "\n".join(kept[:4])


def as_text(grade):
    lines = []
    for exercise in dict.fromkeys(id(entry[0]) for entry in grade.entries):
        entries = [entry for entry in grade.entries if id(entry[0]) == exercise]
        one = entries[0][0]
        lines.append(f"{one.number} {one.title:<50.50} {number(grade.score(entries)):>6} of "
                     f"{number(one.points)}")
        if any(entry[3] and entry[3].passed for entry in entries) and grade.too_few(one):
            lines.append("     too few tests pass to earn points: more than a quarter is needed")
        for _, case, _, result in entries:
            verdict = result.verdict if result else "NOT RUN"
            lines.append(textwrap.fill(f"     {verdict:<9}{case.title}", 78,
                                       subsequent_indent=" " * 14))
            missing = result.words.split()[:1] if result and result.verdict == "TODO" else []
            if missing and missing != [one.number]:
                lines.append(f"{'':14}stands on {missing[0]}, which is not written")
            elif result and result.verdict not in ("PASS", "TODO"):
                lines.append(judge.folded(brief(result), " " * 14))
    return "".join(f"{line}\n" for line in lines) + summary(grade)


def summary(grade):
    """The last lines of a report."""
    return ("".join(f"note: {note}\n" for note in grade.notes)
            + f"{number(grade.score())} of {number(grade.best)} points\n")


def as_gradescope(grade):
    """https://gradescope-autograders.readthedocs.io/en/latest/specs/ (Output format)"""
    tests = []
    for entry in grade.entries:
        exercise, case, share, result = entry
        passed = bool(result and result.passed)
        said = f"{result.verdict}\n{result.words}".strip() if result else "not run: grading was stopped"
        tests.append({
            "name": case.name, "number": exercise.number, "max_score": round(share, 4),
            "score": round(grade.earned(entry), 4), "status": "passed" if passed else "failed",
            "output": said, "output_format": "text",
            "visibility": "after_published" if case.name in grade.hidden else "visible", "tags": [exercise.chapter]})
    elapsed = datetime.datetime.now(datetime.timezone.utc) - grade.began
    return json.dumps({
        "score": round(grade.score(), 2), "execution_time": round(elapsed.total_seconds()),
        "output": "\n".join(grade.notes) or "All files of the exercises were there.",
        "output_format": "text", "visibility": "visible", "stdout_visibility": "hidden",
        "tests": tests}, indent=1) + "\n"


def as_junit(grade):
    """The elements and attributes of the schema of Ant's reports, which CI services read:
    https://raw.githubusercontent.com/windyroad/JUnit-Schema/master/JUnit.xsd"""
    quote = lambda text: xml.sax.saxutils.quoteattr(NOT_XML.sub("", text))
    body = lambda text: xml.sax.saxutils.escape(NOT_XML.sub("", text))
    suites = []
    for position, exercise in enumerate(dict.fromkeys(e[0].number for e in grade.entries)):
        entries = [entry for entry in grade.entries if entry[0].number == exercise]
        one, cases, failures, errors, seconds = entries[0][0], [], 0, 0, 0.0
        for _, case, share, result in entries:
            took = result.seconds if result else 0.0
            seconds += took
            start = (f'    <testcase name={quote(case.name)} classname={quote(one.chapter)} '
                     f'time="{took:.3f}"')
            if result and result.passed:
                cases.append(start + "/>")
                continue
            verdict = result.verdict if result else "NOTRUN"
            kind = "failure" if verdict in ("FAIL", "TODO") else "error"
            failures += kind == "failure"
            errors += kind == "error"
            words = result.words if result else "grading was stopped before this test"
            first = next((line.strip() for line in words.splitlines() if line.strip()), verdict)
            cases += [start + ">", f'      <{kind} type={quote(verdict)} message={quote(first)}>'
                      f"{body(words)}</{kind}>", "    </testcase>"]
        suites += [f'  <testsuite id="{position}" package={quote(one.chapter)} '
                   f'name={quote(one.number + " " + one.title)} tests="{len(entries)}" '
                   f'failures="{failures}" errors="{errors}" time="{seconds:.3f}" '
                   f'timestamp="{grade.began:%Y-%m-%dT%H:%M:%S}" hostname="localhost">',
                   "    <properties>",
                   f'      <property name="score" value="{number(grade.score(entries))}"/>',
                   f'      <property name="max_score" value="{number(one.points)}"/>',
                   "    </properties>", *cases,
                   f"    <system-out>{body(chr(10).join(grade.notes))}</system-out>",
                   "    <system-err></system-err>", "  </testsuite>"]
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", *suites,
                      "</testsuites>"]) + "\n"


FORMATS = {"text": as_text, "gradescope": as_gradescope, "junit": as_junit}


def write(path, text):
    """Writes all or nothing: a program that reads it meanwhile, or after a crash, finds a complete
    report."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8", errors="backslashreplace")
    new.replace(path)


# --- Hidden tests ------------------------------------------------------------------------------


class Hidden:
    """The tests in a teacher's folder: *_test.cpp, with names like those of the course, and
    *_test.py, whose first line says the name: \"""01.2 a line comes back\""". Raises Problem."""

    def __init__(self, course, folder):
        self.names, self.outside = set(), {}
        if not folder:
            return
        folder = pathlib.Path(folder)
        known = {exercise.number for exercise in course.exercises}
        taken = {case.name for case in course.cases}
        for path in sorted(path for kind in ("cpp", "py") for inside in ("", "*/")
                           for path in folder.glob(f"{inside}*_test.{kind}")):
            names = self.in_program(path) if path.suffix == ".py" else self.in_source(path)
            for name in names:
                number = name.split(" ")[0]
                if number not in known or name == number:
                    raise Problem(f'{path}: "{name}" belongs to no exercise: a name begins with a '
                                  f"number, as in \"{min(known)} what holds\"")
                if name in self.names | taken:
                    raise Problem(f'{path}: there are two tests "{name}"')
                self.names.add(name)
                if path.suffix == ".py":
                    self.outside.setdefault(number, []).append(Case(name, path.resolve()))
        if not self.names:
            raise Problem(f"there is no test in {folder}: HIDDEN names a folder with *_test.cpp or "
                          "*_test.py")

    @staticmethod
    def in_source(path):
        names = ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match[1]))
                 for match in CASE.finditer(path.read_text("utf-8"))]
        return [re.sub(r"\\(.)", r"\1", name) for name in names]

    @staticmethod
    def in_program(path):
        try:
            said = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        except SyntaxError as error:
            raise Problem(f"{path}:{error.lineno}: {error.msg}") from None
        return [said.strip().split("\n")[0].strip().rstrip(".")]


# --- Grading -----------------------------------------------------------------------------------


def grade_chapters(course, submission, chapters, report, hidden=None):
    """Grades; `report(grade)` is called at the beginning and after every test."""
    outside = hidden.outside if hidden else {}
    exercises = [e for chapter in chapters for e in course.of_chapter(chapter)]
    without = [exercise.number for exercise in exercises if not exercise.cases]
    if without or not exercises:
        raise Problem(f"there is not one test of {without[0] if without else 'these chapters'}: is "
                      "this course complete?")
    grade = Grade(exercises, outside, hidden.names if hidden else ())
    report(grade)
    with opened(course, submission) as unpacked:
        for chapter in chapters:
            grade_chapter(course, unpacked, chapter, grade, outside, report)
    ran = [entry[3] for entry in grade.entries if entry[3].verdict != "BUILD"]
    if not all(result.apart for result in ran):
        grade.notes.append("this kernel or container does not let tests run apart from other processes "
                           "and files: see Grading in docs/teaching/README.md")
    report(grade)
    return grade


def grade_chapter(course, submission, chapter, grade, outside, report):
    with tempfile.TemporaryDirectory(prefix="submission-") as folder:
        folder = pathlib.Path(folder)
        grade.notes += take(course, submission, chapter, folder)
        workshop = Workshop(course, chapter, folder, f"grade-{os.getpid()}/{chapter}", chapter,
                            strict=True)
        entries = [entry for entry in grade.entries if entry[0].chapter == chapter]
        try:
            built = workshop.build(course.of_chapter(chapter))
            server = None
            if any(entry[0].number in outside for entry in entries):
                server = server_of(workshop)
            for entry in entries:
                exercise, case = entry[:2]
                alone = case in outside.get(exercise.number, [])
                program = server if alone else built[exercise.number]
                if isinstance(program, BuildFailed):
                    entry[3] = judge.Result(case, "BUILD", str(program)[:4000])
                elif alone:
                    entry[3] = judge.run_outside(program, case, workshop)
                else:
                    entry[3] = judge.run(program, case, workshop, apart=True)
                report(grade)
        finally:
            shutil.rmtree(workshop.tree.parent.parent, ignore_errors=True)


def server_of(workshop):
    """The chapter's server, or why there is none."""
    try:
        workshop.check_files()
        return workshop.build_server()
    except BuildFailed as failure:
        return failure


def grade(course, options):
    form = options.get("FORMAT", "text")
    if form not in FORMATS:
        raise Problem(f"there is no format {form}; there are: {' '.join(FORMATS)}")
    if bool(options.get("SUB")) == bool(options.get("ALL")):
        raise Problem("grade what? make grade SUB=DIR, where DIR is a learner's folder, or ALL=DIR, "
                      "a folder of such folders")
    hidden = Hidden(course, options.get("HIDDEN"))
    course = Course(course.root, options.get("HIDDEN"))
    numbers = options.get("CH", "").replace(",", " ").split()
    chapters = [course.chapter(n) for n in numbers] or list(course.files)
    for chapter in chapters:
        if course.held_back(chapter):
            raise Problem(f"this is a hand-out: chapter {chapter[:2]} can only be graded in the "
                          "complete course")
    # Stopped by a signal, it still removes what it has made.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    out = options.get("OUT")
    if options.get("ALL"):
        return grade_all(course, pathlib.Path(options["ALL"]), chapters, form, hidden,
                         pathlib.Path(out or "build/grades"))
    told = set()

    def report(current):
        if out:
            write(out, FORMATS[form](current))
        if form == "text" and not out:
            tell(current, told)

    result = grade_chapters(course, options["SUB"], chapters, report, hidden)
    if out:
        print(f"{number(result.score())} of {number(result.best)} points: {out}")
    else:
        print(FORMATS[form](result) if form != "text" else summary(result), end="")
    return 0


def grade_all(course, folder, chapters, form, hidden, out):
    """Grades each folder or zip in a folder: a report for each, and all points in grades.csv."""
    if not folder.is_dir():
        raise Problem(f"there is no folder {folder}: ALL names a folder of submissions")
    submissions = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")
                   and (path.is_dir() or path.suffix.lower() == ".zip")]
    if not submissions:
        raise Problem(f"there is no submission in {folder}: neither a folder nor a zip")
    exercises = [e for chapter in chapters for e in course.of_chapter(chapter)]
    rows = [["submission", "points", "of", *(e.number for e in exercises), "notes"]]
    for submission in submissions:
        name = submission.stem if submission.is_file() else submission.name
        place = out / (name + {"text": ".txt", "junit": ".xml", "gradescope": ".json"}[form])
        try:
            grade = grade_chapters(course, submission, chapters,
                                   lambda current: write(place, FORMATS[form](current)), hidden)
            row = [name, number(grade.score()), number(grade.best),
                   *(number(grade.score(grade.of(e))) for e in exercises), "; ".join(grade.notes)]
        except (Problem, OSError) as problem:
            row = [name, "", "", *("" for _ in exercises), f"not graded: {problem}"]
        rows.append(row)
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows(rows)
        write(out / "grades.csv", table.getvalue())
        print(f"{name:<40} {row[1] or '-':>7} of {row[2] or '-'}", flush=True)
    print(f"{out / 'grades.csv'}: {len(submissions)} submissions; a report of each is beside it.")
    return 0


def tell(grade, told):
    """Prints each exercise as soon as its last test has run."""
    for exercise in dict.fromkeys(entry[0].number for entry in grade.entries):
        entries = [entry for entry in grade.entries if entry[0].number == exercise]
        if exercise not in told and all(entry[3] for entry in entries):
            told.add(exercise)
            part = Grade([])
            part.entries = entries
            print(as_text(part).removesuffix(summary(part)), end="", flush=True)


# --- Gradescope --------------------------------------------------------------------------------

SETUP = """#!/usr/bin/env bash
# Runs once, as root, when the image is built.
set -e
apt-get update
apt-get install -y --no-install-recommends g++ make python3 doctest-dev
g++ --version
"""

RUN = """#!/usr/bin/env bash
# Runs for each submission. results.json is written after every test, so it exists in any case.
cd /autograder/source
PYTHONUTF8=1 python3 tests/exercises/exercises.py grade SUB=/autograder/submission FORMAT=gradescope \\
    OUT=/autograder/results/results.json{options}
"""


def gradescope(course, options):
    numbers = options.get("CH", "").replace(",", " ").split()
    for one in numbers:
        course.chapter(one)
    name = "-".join(numbers) or "all"
    out = pathlib.Path(options.get("OUT") or f"build/exercises/gradescope-{name}.zip")
    out.parent.mkdir(parents=True, exist_ok=True)
    words = f" CH={','.join(numbers)}" if numbers else ""
    hidden = options.get("HIDDEN")
    if hidden:
        Hidden(course, hidden)
        words += " HIDDEN=/autograder/source/hidden"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        def add(path, text, mode):
            info = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text)

        add("setup.sh", SETUP, 0o755)
        add("run_autograder", RUN.format(options=words), 0o755)
        for path in course_files(course.root):
            if path.startswith(("docs/", *NOT_IN_HANDOUT)):
                continue
            source = course.root / path
            add(path, source.read_bytes(), stat.S_IMODE(source.stat().st_mode))
        for source in sorted(pathlib.Path(hidden).rglob("*")) if hidden else []:
            if source.is_file() and "__pycache__" not in source.parts:
                add(f"hidden/{source.relative_to(hidden)}", source.read_bytes(), 0o644)
    print(f"{out}: upload it as the autograder; setup.sh and run_autograder are at its root.")
    return 0


def main(course, verb, options):
    verbs = {"grade": grade, "gradescope": gradescope}
    if verb not in verbs:
        raise Problem(f"there is no command {verb}: see make help-all")
    return verbs[verb](course, options)
