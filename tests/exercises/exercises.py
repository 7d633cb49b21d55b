#!/usr/bin/env python3
"""The exercises: the commands that `make` calls. exercises.py VERB [WHERE] [NAME=VALUE]...

How to add an exercise, say 05.2:

 1. Write the solution in chapters/05-callback-loop/*.hpp, and name its functions in
    tests/exercises/holes/05.2.txt (the format is in course.py). An exercise that extends or repairs
    something has a small file of its own, chapters/05-callback-loop/exercises/NAME.hpp.
 2. Write at least two hints, from a nudge to nearly everything: tests/exercises/hints/05.2.md, in
    Markdown, with code in backticks.
 3. Write tests/05-callback-loop/05.2-NAME_test.cpp: cases named TEST_CASE("05.2 what holds"), small,
    about public behaviour only, with INFO lines that say what was done, step by step. No case may
    depend on a later exercise. Tests that start the chapter's server include
    tests/support/server_process.hpp; a fake kernel is in interposed.hpp.
 4. Keep a wrong solution for each misconception, tests/exercises/wrong/05.2-NAME.txt, and two other
    designs that are right, tests/exercises/right/05.2-NAME.txt (see verify.py).
 5. Describe the exercise on the page, in its section of exercises: what to build, where,
    `make check-05.2`, and a link to the hints: ([hints](../tests/exercises/hints/05.2.md)). The book
    shows the hints themselves there, folded.
 6. Give it points in tests/exercises/points.txt.
 7. make verify-exercises CH=05

The other files: course.py (which exercises there are), workshop.py (building), ticker.py (how far
it has come), running.py (a learner's own programs), restore.py (the published files), judge.py and
supervisor.py (running one test), handout.py (a copy for learners), teacher.py (grades), verify.py
(checks of the exercises themselves).
"""

import concurrent.futures
import difflib
import errno
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import time
import traceback

import judge
from course import Course, Problem, replaced, with_include
from restore import restore
from running import Running, say
from ticker import Ticker
from workshop import BuildFailed, Workshop, writable, write

ROOT = pathlib.Path(__file__).resolve().parents[2]


def next_command(command, why=""):
    """Prints the last line of every command."""
    say(f"\nNext: make {command}" + (f"   ({why})" if why else ""))


def unwrapped(markdown):
    """The text with each paragraph on one line; code blocks stay as they are."""
    parts = re.split(r"^(```.*?^```)$", markdown, flags=re.MULTILINE | re.DOTALL)
    for number in range(0, len(parts), 2):
        parts[number] = re.sub(r"(?<=\S)\n(?=[^\s*-])", " ", parts[number])
    return "".join(parts)


def done(results):
    """Whether all tests passed. An exercise without tests is never done."""
    return bool(results) and all(result.passed for result in results)


class Learner:
    """The learner's commands. None of them overwrites or deletes a file in work/."""

    def __init__(self, course, options):
        self.course = course
        self.options = options
        self.work = course.root / "work"

    # --- The learner's folder -------------------------------------------------------------------

    def folder(self, chapter):
        return self.work / chapter

    def started(self, chapter):
        return self.folder(chapter).is_dir()

    def workshop(self, chapter):
        return Workshop(self.course, chapter, self.folder(chapter), "work", f"work/{chapter}")

    def need_start(self, chapter):
        if not self.course.of_chapter(chapter):
            raise Problem(f"chapter {chapter[:2]} has no exercises yet")
        if not self.started(chapter):
            raise Problem(f"you have not started chapter {chapter[:2]}: make start-{chapter[:2]}")

    def split(self, where):
        """ "05" or "05.2" -> (chapter, exercises). Raises Problem."""
        if "." in where:
            exercise = self.course.exercise(where)
            return exercise.chapter, [exercise]
        chapter = self.course.chapter(where)
        return chapter, self.course.of_chapter(chapter)

    # --- Running tests -------------------------------------------------------------------------

    def measure(self, chapter, exercises, fresh=True, tell=lambda exercise, results: None):
        """Runs their tests. Returns {number: [Result]}. With `fresh` false, the last results count
        for what has not changed since."""
        workshop = self.workshop(chapter)
        with Ticker(workshop):
            built = workshop.build(exercises)
        self.warnings = workshop.warnings
        self.built = built
        found = {}
        for exercise in exercises:
            program = built[exercise.number]
            if isinstance(program, BuildFailed):
                results = [judge.Result(case, "BUILD", str(program)) for case in exercise.cases]
            else:
                results = self.run_cases(workshop, exercise, program, fresh)
            found[exercise.number] = results
            tell(exercise, results)
        return found

    def run_cases(self, workshop, exercise, program, fresh):
        note = self.note(workshop, exercise)
        key = workshop.fingerprint(program)
        if not fresh and note.exists():
            known = json.loads(note.read_text())
            if known["key"] == key and set(known["results"]) == {c.name for c in exercise.cases}:
                return [judge.Result(case, *known["results"][case.name]) for case in exercise.cases]
        results = [judge.run(program, case, workshop) for case in exercise.cases]
        note.parent.mkdir(parents=True, exist_ok=True)
        write(note, json.dumps({"key": key, "results": {
            result.case.name: [result.verdict, result.words] for result in results}}))
        return results

    def next_unfinished(self):
        """The first exercise of a started chapter that does not pass; None if there is none. Says
        which exercises pass since they were last tested."""
        for chapter in self.course.chapters:
            if not self.started(chapter) or not self.course.of_chapter(chapter):
                continue
            for exercise in self.course.of_chapter(chapter):
                passed_before = self.remembered(exercise)
                if not done(self.measure(chapter, [exercise], fresh=False)[exercise.number]):
                    return exercise
                if not passed_before:
                    self.tell_done(exercise)
        return None

    def next_by_memory(self, after):
        """The same without building anything, by the last results. Begins behind `after`."""
        every = self.course.exercises
        at = every.index(after) + 1
        for exercise in every[at:] + every[:at]:
            if self.started(exercise.chapter) and not self.remembered(exercise):
                return exercise
        return None

    def remembered(self, exercise):
        """Whether it passed when it was last tested."""
        note = self.note(self.workshop(exercise.chapter), exercise)
        return note.exists() and all(
            verdict == "PASS" for verdict, _ in json.loads(note.read_text())["results"].values())

    @staticmethod
    def note(workshop, exercise):
        """The file with the last results of an exercise."""
        return workshop.folder / "results" / f"{exercise.number}.json"

    def next_chapter(self):
        """The next chapter to start: in a hand-out one of those that are the learner's, otherwise
        none that comes before the learner's first."""
        chapters = [chapter for chapter in self.course.chapters if self.course.of_chapter(chapter)]
        first = next(filter(self.started, chapters), "")
        for chapter in chapters:
            asked = self.course.held_back(chapter) if self.course.about else chapter >= first
            if asked and not self.started(chapter):
                return chapter
        return None

    # --- Commands ------------------------------------------------------------------------------

    def start(self, where):
        chapter = self.course.chapter(where)
        files = self.course.files.get(chapter)
        if not files:
            raise Problem(f"chapter {where} has no exercises yet")
        made, kept = [], []
        for path in files:
            place = self.folder(chapter) / path
            if place.exists():
                kept.append(path)
                continue
            writable(place.parent)
            place.write_text(self.course.skeleton(chapter, path), encoding="utf-8")
            made.append(path)
        for path in made:
            numbers = list(dict.fromkeys(region.number for region in files[path]))
            say(f"work/{chapter}/{path}   yours: {', '.join(numbers)}")
        for path in kept:
            say(f"work/{chapter}/{path}   exists: left as it is")
        say()
        for exercise in self.course.of_chapter(chapter):
            say(f"  {exercise.number}  {exercise.title}")
        say(f"\nWhat to write: docs/{chapter}.md, Exercises. Where: look for \"is yours to write\".")
        next_command(f"check-{self.course.of_chapter(chapter)[0].number}")
        return 0

    def check(self, where):
        if not where:
            return self.check_next()
        chapter, exercises = self.split(where)
        self.need_start(chapter)
        found = self.measure(chapter, exercises, tell=self.tell)
        return self.conclude(exercises, found)

    def check_next(self):
        if not any(self.started(chapter) for chapter in self.course.chapters):
            say("Nothing is started yet.")
            next_command(f"start-{self.next_chapter()[:2]}")
            return 0
        exercise = self.next_unfinished()
        if exercise is None:
            return self.all_done()
        return self.check(exercise.number)

    def all_done(self):
        say("Every exercise of the chapters that you have started passes.")
        chapter = self.next_chapter()
        if chapter:
            next_command(f"start-{chapter[:2]}", chapter[3:].replace("-", " "))
        else:
            next_command("run WORK=1", "your servers beside the course's")
        return 0

    def tell_done(self, exercise):
        """Prints that an exercise is solved, and what that was worth."""
        say(f"\nDone: {exercise.number} {exercise.title}.")
        if exercise.learned:
            say(judge.folded(f"You have learned: {exercise.learned}", "  "))

    def tell(self, exercise, results):
        """Prints a line for each test of an exercise, and the first message in full."""
        passed = sum(result.passed for result in results)
        say(f"{exercise.number} {exercise.title}: {passed} of {len(results)} tests pass")
        verdicts = {result.verdict for result in results}
        if verdicts == {"BUILD"}:
            say("  BUILD  it does not compile yet:\n")
            lines = results[0].words.splitlines()
            for line in lines[:judge.LONGEST]:
                say(judge.folded(line, "    "))
            if len(lines) > judge.LONGEST:
                say(f"    ... ({len(lines) - judge.LONGEST} more lines)")
            return
        shown = False
        for result in results:
            say(textwrap.fill(f"  {result.verdict:<9}{result.case.title}", 78,
                              subsequent_indent=" " * 11))
            if result.passed or result.verdict == "TODO" or shown:
                continue
            shown = True
            say("\n" + judge.folded(result.words, " " * 6) + "\n")
        missing = {result.words.split()[0] for result in results if result.words}
        if verdicts == {"TODO"} and missing and exercise.number not in missing:
            say(f"  It needs {' and '.join(sorted(missing))}, which comes first")
        elif verdicts == {"TODO"}:
            where = [f"work/{exercise.chapter}/{path}" for path in exercise.paths]
            say(f"  It is yours to write, in {' and '.join(where)}")
        self.tell_warnings()

    def tell_warnings(self):
        """Prints the compiler's warnings about the learner's own files."""
        lines = self.warnings.splitlines()
        mine = [line for line in lines if re.match(r"work/\S+ warning: ", line)]
        for line in list(dict.fromkeys(mine))[:5]:
            say(judge.folded(line, "  "))
        self.warnings = ""

    def conclude(self, exercises, found):
        for exercise in exercises:
            results = found[exercise.number]
            if done(results):
                continue
            verdicts = {result.verdict for result in results}
            if verdicts == {"BUILD"} and "is missing" in results[0].words:
                next_command(f"start-{exercise.number[:2]}", "copies the missing file again")
            elif verdicts == {"BUILD"}:
                next_command(f"check-{exercise.number}", "when it compiles")
            else:
                next_command(f"check-{exercise.number}",
                             f"when you have changed it; help: make hint-{exercise.number}")
            return 1
        if len(exercises) == 1:
            self.tell_done(exercises[0])
        else:
            say(f"\nDone: all {len(exercises)} exercises of chapter {exercises[0].number[:2]}.")
        following = self.next_by_memory(exercises[-1])
        if following:
            next_command(f"check-{following.number}", following.title)
        else:
            self.all_done()
        return 0

    def progress(self, _where):
        say("Measured just now; tests of code that has not changed are not run again.\n")
        following = None
        for chapter in self.course.chapters:
            exercises = self.course.of_chapter(chapter)
            if not exercises:
                continue
            title = f"{chapter[:2]} {chapter[3:].replace('-', ' ')}"
            if not self.started(chapter):
                say(f"{title:<44} not started: {len(exercises)} exercises")
                continue
            say(title)
            found = self.measure(chapter, exercises, fresh=False)
            for exercise in exercises:
                worst = self.summarise(exercise, found[exercise.number])
                if worst != "PASS" and following is None:
                    following = exercise
        if following:
            next_command(f"check-{following.number}")
        elif self.next_chapter():
            next_command(f"start-{self.next_chapter()[:2]}")
        else:
            say("\nAll done: you have built the core of every chapter that is yours.")
            next_command("run WORK=1", "your servers beside the course's")
        return 0

    def hint(self, where):
        chapter, exercises = self.split(where)
        if len(exercises) != 1:
            known = ", ".join(f"make hint-{exercise.number}" for exercise in exercises)
            raise Problem(f"a hint for which exercise? {known}")
        exercise = exercises[0]
        note = self.work / ".hints"  # the only state: how many hints of each were shown
        shown = json.loads(note.read_text()) if note.exists() else {}
        count = min(shown.get(exercise.number, 0) + 1, len(exercise.hints))
        say(f"{exercise.number} {exercise.title}\n")
        for number, hint in enumerate(exercise.hints[:count], 1):
            say(judge.folded(f"{number}. {unwrapped(hint)}", "  "))
        left = len(exercise.hints) - count
        say(f"\n  {left} more: ask again." if left else "\n  That was the last one.")
        writable(self.work)
        shown[exercise.number] = count
        note.write_text(json.dumps(shown))
        if self.started(chapter):
            next_command(f"check-{exercise.number}")
        else:
            next_command(f"start-{chapter[:2]}")
        return 0

    def submit(self, where):
        """Packs what is handed in: exactly the files that `make grade` takes."""
        chapter, _ = self.split(where)
        self.need_start(chapter)
        exercises = self.course.of_chapter(chapter)
        found = self.measure(chapter, exercises, fresh=False)
        for exercise in exercises:
            self.summarise(exercise, found[exercise.number])
        out = pathlib.Path(self.options.get("OUT") or f"build/submission-{chapter[:2]}.zip")
        writable(out.parent)
        import teacher
        notes, names = teacher.pack(self.course, chapter, out)
        say("\n" + "\n".join([*(f"note: {note}" for note in notes), *names]))
        say(f"\nHand in: {out}")
        return 0

    @staticmethod
    def summarise(exercise, results):
        """Prints a line on an exercise. Returns its worst verdict."""
        passed = sum(result.passed for result in results)
        worst = next((r.verdict for r in results if not r.passed), "PASS")
        say(f"   {exercise.number} {exercise.title:<50.50} {worst:<9}{passed} of {len(results)}")
        return worst

    def watch(self, where):
        """Checks again each time a file of the chapter is saved."""
        chapter, _ = self.split(where)
        self.need_start(chapter)
        seen = None
        try:
            while True:
                now = {path: path.stat().st_mtime_ns
                       for path in self.folder(chapter).rglob("*") if path.is_file()}
                if now != seen:
                    seen = now
                    say(f"\n--- {time.strftime('%H:%M:%S')} " + "-" * 60)
                    self.check(where)
                    say(f"Watching work/{chapter}: save a file, or stop with Ctrl-C.")
                time.sleep(0.2)
        except KeyboardInterrupt:
            next_command(f"check-{where}")
        return 0

    def debug(self, where):
        chapter, exercises = self.split(where)
        self.need_start(chapter)
        if len(exercises) != 1:
            raise Problem(f"debug which exercise? For example: make debug-{exercises[0].number}")
        if not shutil.which("gdb"):
            raise Problem("gdb is not installed (Debian, Ubuntu: sudo apt-get install gdb)")
        exercise = exercises[0]
        results = self.measure(chapter, [exercise], tell=self.tell)[exercise.number]
        program = self.built[exercise.number]
        if isinstance(program, BuildFailed):
            next_command(f"check-{exercise.number}", "when it compiles")
            return 1
        result = next((r for r in results if not r.passed), results[0])
        command = judge.command_of(program, result.case, self.workshop(chapter))
        say(f"\ngdb on the test \"{result.case.title}\": no time limit.\n"
            "  run             until it ends, crashes, or Ctrl-C; then: backtrace\n"
            "  break NAME      before run: stop in a function of yours")
        if exercise.needs_server:
            say("  The server is a separate process: set follow-fork-mode child")
        environment = {**os.environ, "PATIENCE": "100000"}
        subprocess.run(["gdb", "-q", "-ex", "set breakpoint pending on", "--args", *command],
                       env=environment, cwd=self.course.root, check=False)
        next_command(f"check-{exercise.number}")
        return 0

    def reset(self, where):
        """Moves the learner's work on a chapter aside."""
        if "." in where:
            raise Problem(f"only a whole chapter can be reset: make reset-{where.split('.')[0]}. To "
                          "start one exercise again, undo your changes in the editor, or reset the "
                          "chapter and copy your other functions back: your files are moved, not "
                          "deleted")
        chapter = self.course.chapter(where)
        if not self.started(chapter):
            raise Problem(f"there is nothing to reset: you have not started chapter {where}")
        aside = self.work / "old" / f"{chapter}-{time.strftime('%Y%m%d-%H%M%S')}"
        while aside.exists():
            aside = aside.with_name(aside.name + "+")
        aside.parent.mkdir(parents=True, exist_ok=True)
        self.folder(chapter).rename(aside)
        say(f"Your work on chapter {where} is now in {aside.relative_to(self.course.root)}")
        next_command(f"start-{where}")
        return 0

    def solution(self, where):
        chapter, exercises = self.split(where)
        if self.course.held_back(chapter):
            raise Problem(f"this is a hand-out: {self.course.about['who']} has the solutions of "
                          f"chapter {chapter[:2]}")
        self.need_start(chapter)
        if not self.options.get("FORCE"):
            found = self.measure(chapter, exercises, fresh=False)
            for exercise in exercises:
                if not done(found[exercise.number]):
                    raise Problem(f"{exercise.number} does not pass yet. Another hint: "
                                  f"make hint-{exercise.number}. To see the solution anyway: "
                                  f"make solution-{where} FORCE=1")
        numbers = {exercise.number for exercise in exercises}
        for path, regions in self.course.files[chapter].items():
            if not any(region.number in numbers for region in regions):
                continue
            place = self.folder(chapter) / path
            mine = place.read_text("utf-8", "replace") if place.exists() else ""
            # The other holes of the file stay as the learner has filled them.
            ours = self.reference_without(chapter, path, numbers, mine)
            diff = difflib.unified_diff(mine.splitlines(), ours.splitlines(),
                                        f"work/{chapter}/{path}  (yours)",
                                        f"chapters/{chapter}/{path}  (ours)", lineterm="")
            lines = list(diff)
            say("\n".join(lines) if lines else f"{path}: the same as ours.")
        say("\nOurs is one solution. If yours passes, it is another.")
        next_command("check")
        return 0

    def reference_without(self, chapter, path, numbers, mine):
        """The reference; in the holes of other exercises, what the learner has there."""
        replacements = []
        for region in self.course.files[chapter][path]:
            if region.number in numbers:
                continue
            try:
                start, end = region.hole.find(mine)
            except Problem:
                continue  # the learner has another signature there, or no such function
            replacements.append((region.start, region.end, mine[start:end]))
        text = replaced(self.course.source(chapter, path), replacements)
        return with_include(text) if '#include "common/exercise.hpp"\n' in mine else text


FAULT = 70  # the status for what is no answer to the request: sysexits.h's EX_SOFTWARE
VERBS = {"start": True, "check": False, "progress": False, "hint": True, "watch": True,
         "debug": True, "reset": True, "solution": True, "submit": True}  # whether a verb needs a number
WITH_WORK = {"run": False, "serve": True, "step": True, "wrong": True, "test": False}


def main():
    words = [word for word in sys.argv[1:] if "=" not in word]
    options = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    options = {name: value for name, value in options.items() if value}
    verb, where = (words + ["", ""])[:2]
    for stream in (sys.stdout, sys.stderr):  # a locale may lack a character of a message
        stream.reconfigure(errors="backslashreplace")
    try:
        course = Course(options.get("ROOT", ROOT))
        if {**VERBS, **WITH_WORK}.get(verb) and not where:
            raise Problem(f"{verb} what? For example: make {verb}-{course.exercises[0].number}")
        if verb in VERBS:
            return getattr(Learner(course, options), verb)(where)
        if verb in WITH_WORK:
            return getattr(Running(Learner(course, options)), verb)(where)
        if verb == "restore":
            return restore(course.root)
        if verb == "verify":
            import verify
            return verify.main(course, options)
        if verb == "handout":
            import handout
            return handout.handout(course, options)
        import teacher
        return teacher.main(course, verb, options)
    except Problem as problem:
        print(f"make: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:  # a folder that cannot be written, a full disk, a limit of the user
        name = os.path.relpath(error.filename) if error.filename else ""
        print(f"make: {name + ': ' if name else ''}{error.strerror or error}{reason(error)}",
              file=sys.stderr)
        return 2
    except (MemoryError, RecursionError) as error:
        print(f"make: not enough memory for the exercise tool ({type(error).__name__})", file=sys.stderr)
        return FAULT
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        print("make: this is a fault of the exercise tool, not of your code", file=sys.stderr)
        return FAULT


def reason(error):
    """What is probably meant by an error of the system."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return " (it belongs to another user, or is read-only)"
    if error.errno in (errno.EAGAIN, errno.EMFILE, errno.ENOMEM):
        return " (a limit of this user: see ulimit -a)"
    return ""


if __name__ == "__main__":
    sys.exit(main())
