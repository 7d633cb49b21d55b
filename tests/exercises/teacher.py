"""For teachers: grades.

    exercises.py grade SUB=DIR [CH=05] [FORMAT=text|junit|gradescope] [HIDDEN=DIR] [OUT=FILE]
    exercises.py gradescope [CH=05] [OUT=FILE]

A submission is a folder with those files of the chapter that have holes: laid out as in a learner's
tree (work/05-callback-loop/timer_queue.hpp), as in that folder, or all in one place. Only these files
are taken from it, so edited tests and Makefiles change nothing; a missing file counts as not written.
Code that names a file it may not include, or redefines a name of the tests, is not built. Each test
runs apart from other processes and files, where the kernel allows that (supervisor.py). A solution
still shares a process with the test that judges it, and can forge what that test says.
"""

import datetime
import json
import os
import pathlib
import re
import shutil
import stat
import tempfile
import textwrap
import xml.sax.saxutils
import zipfile

import judge
from course import Course, Problem
from handout import NOT_IN_HANDOUT, course_files
from workshop import BuildFailed, Workshop

LARGEST = 1 << 20  # bytes of a submitted file
NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# --- Grading -----------------------------------------------------------------------------------


def take(course, submission, chapter, folder):
    """Copies the chapter's files with holes from a submission. Returns a note for each that it
    cannot take."""
    notes = []
    for path in course.files[chapter]:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        candidates = [submission / "work" / chapter / path, submission / chapter / path,
                      submission / path, submission / pathlib.Path(path).name]
        found = next((c for c in candidates if os.path.lexists(c)), None)
        try:
            trouble = refusal(found, submission) if found else "is missing"
            written = b"" if trouble else found.read_bytes()
        except OSError as error:
            trouble = f"cannot be read ({error.strerror})"
        if trouble:
            notes.append(f"{chapter}/{path} {trouble}: counts as not written")
            place.write_text(course.skeleton(chapter, path))
        else:
            place.write_bytes(written)
    return notes


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
    """The results so far, in order. Every test is in it from the beginning, as not run."""

    def __init__(self, exercises):
        self.entries = []  # [exercise, case, share of the points, Result or None]
        for exercise in exercises:
            for case in exercise.cases:
                share = exercise.points / len(exercise.cases)
                self.entries.append([exercise, case, share, None])
        self.notes = []
        self.began = datetime.datetime.now(datetime.timezone.utc)

    def score(self, entries=None):
        chosen = self.entries if entries is None else entries
        return sum(share for _, _, share, result in chosen if result and result.passed)

    def of(self, exercise):
        return [entry for entry in self.entries if entry[0] is exercise]

    @property
    def best(self):
        return sum(share for _, _, share, _ in self.entries)


def number(value):
    return f"{value:.2f}".rstrip("0").rstrip(".")


def brief(words):
    """The core of a message: what was done and what is wrong, without expressions."""
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
        for _, case, _, result in entries:
            verdict = result.verdict if result else "NOT RUN"
            lines.append(textwrap.fill(f"     {verdict:<9}{case.title}", 78,
                                       subsequent_indent=" " * 14))
            if result and result.verdict not in ("PASS", "TODO"):
                lines.append(judge.folded(brief(result.words), " " * 14))
    lines += [f"note: {note}" for note in grade.notes]
    lines.append(f"{number(grade.score())} of {number(grade.best)} points")
    return "\n".join(lines) + "\n"


def as_gradescope(grade):
    """https://gradescope-autograders.readthedocs.io/en/latest/specs/ (Output format)"""
    tests = []
    for exercise, case, share, result in grade.entries:
        passed = bool(result and result.passed)
        said = f"{result.verdict}\n{result.words}".strip() if result else "not run: grading was stopped"
        tests.append({
            "name": case.name, "number": exercise.number, "max_score": round(share, 4),
            "score": round(share, 4) if passed else 0, "status": "passed" if passed else "failed",
            "output": said, "output_format": "text", "visibility": "visible",
            "tags": [exercise.chapter]})
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
                   "    </properties>", *cases, "    <system-out></system-out>",
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
    new.write_text(text)
    new.replace(path)


def grade_chapters(course, submission, chapters, report):
    """Grades; `report(grade)` is called at the beginning and after every test."""
    submission = pathlib.Path(submission)
    if not submission.is_dir():
        raise Problem(f"there is no folder {submission}: SUB names the folder of a submission")
    exercises = [e for chapter in chapters for e in course.of_chapter(chapter) if e.cases]
    if not exercises:
        raise Problem("there is not one test to grade with: is this course complete?")
    grade = Grade(exercises)
    report(grade)
    for chapter in chapters:
        with tempfile.TemporaryDirectory(prefix="submission-") as folder:
            folder = pathlib.Path(folder)
            grade.notes += take(course, submission, chapter, folder)
            workshop = Workshop(course, chapter, folder, f"grade-{os.getpid()}/{chapter}", chapter,
                                strict=True)
            try:
                built = workshop.build([e for e in exercises if e.chapter == chapter])
                for entry in grade.entries:
                    exercise, case = entry[:2]
                    if exercise.chapter != chapter:
                        continue
                    program = built[exercise.number]
                    if isinstance(program, BuildFailed):
                        entry[3] = judge.Result(case, "BUILD", str(program)[:4000])
                    else:
                        entry[3] = judge.run(program, case, workshop, apart=True)
                    report(grade)
            finally:
                shutil.rmtree(workshop.tree.parent.parent, ignore_errors=True)
    ran = [entry[3] for entry in grade.entries if entry[3].verdict != "BUILD"]
    if not all(result.apart for result in ran):
        grade.notes.append("this kernel or container does not let tests run apart from other processes "
                           "and files: see Grading in docs/teaching/README.md")
    report(grade)
    return grade


def grade(course, options):
    form = options.get("FORMAT", "text")
    if form not in FORMATS:
        raise Problem(f"there is no format {form}; there are: {' '.join(FORMATS)}")
    if not options.get("SUB"):
        raise Problem("grade what? make grade SUB=DIR, where DIR is a learner's folder")
    course = Course(course.root, options.get("HIDDEN"))
    numbers = options.get("CH", "").replace(",", " ").split()
    chapters = [course.chapter(n) for n in numbers] or list(course.files)
    for chapter in chapters:
        if course.held_back(chapter):
            raise Problem(f"this is a hand-out: chapter {chapter[:2]} can only be graded in the "
                          "complete course")
    out = options.get("OUT")
    told = set()

    def report(current):
        if out:
            write(out, FORMATS[form](current))
        if form == "text" and not out:
            tell(current, told)

    result = grade_chapters(course, options["SUB"], chapters, report)
    if out:
        print(f"{number(result.score())} of {number(result.best)} points: {out}")
    elif form != "text":
        print(FORMATS[form](result), end="")
    return 0


def tell(grade, told):
    """Prints each exercise as soon as its last test has run."""
    for exercise in dict.fromkeys(entry[0].number for entry in grade.entries):
        entries = [entry for entry in grade.entries if entry[0].number == exercise]
        if exercise not in told and all(entry[3] for entry in entries):
            told.add(exercise)
            part = Grade([])
            part.entries = entries
            print("".join(as_text(part).splitlines(keepends=True)[:-1]), end="", flush=True)
            if len(told) == len({entry[0].number for entry in grade.entries}):
                for note in grade.notes:
                    print(f"note: {note}")
                print(f"{number(grade.score())} of {number(grade.best)} points", flush=True)


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
python3 tests/exercises/exercises.py grade SUB=/autograder/submission FORMAT=gradescope \\
    OUT=/autograder/results/results.json{chapters}
"""


def gradescope(course, options):
    numbers = options.get("CH", "").replace(",", " ").split()
    for one in numbers:
        course.chapter(one)
    name = "-".join(numbers) or "all"
    out = pathlib.Path(options.get("OUT") or f"build/exercises/gradescope-{name}.zip")
    out.parent.mkdir(parents=True, exist_ok=True)
    chapters = f" CH={','.join(numbers)}" if numbers else ""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        def add(path, text, mode):
            info = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text)

        add("setup.sh", SETUP, 0o755)
        add("run_autograder", RUN.format(chapters=chapters), 0o755)
        for path in course_files(course.root):
            if path.startswith(("docs/", *NOT_IN_HANDOUT)):
                continue
            source = course.root / path
            add(path, source.read_bytes(), stat.S_IMODE(source.stat().st_mode))
    print(f"{out}: upload it as the autograder; setup.sh and run_autograder are at its root.")
    return 0


def main(course, verb, options):
    verbs = {"grade": grade, "gradescope": gradescope}
    if verb not in verbs:
        raise Problem(f"there is no command {verb}: see make help-all")
    return verbs[verb](course, options)
