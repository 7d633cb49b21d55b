"""Checks that the exercises can be trusted: make verify-exercises [CH=05].

  1. Every exercise has tests, two hints, points, a description on its page, and a wrong solution. No
     hint stands in the code.
  2. The reference passes.
  3. The skeleton compiles with every installed compiler, and each of its tests says TODO. If the
     exercise is to repair something, each says FAIL once the earlier exercises are done.
  4. With one hole blanked at a time, a test of that exercise fails and no test of an earlier one.
  5. Each wrong solution is caught, by a message that names the mistake.
  6. No file of a hand-out contains a line of a solution.

A wrong solution is tests/exercises/wrong/NUMBER-NAME.txt: a change of the reference that follows
from one misconception.

    # A callback never cancels its own timer.
    says: the timer was cancelled while it ran, and yet it ran again
    ---
    if (timer.cancelled) return;
    +++
    if (timer.cancelled && !timer.running) return;

A test of the exercise must fail, and its message must contain each text after "says:". The code
between --- and +++ must stand once in the exercise's holes (it may go on behind the hole's end;
comments, white space and line breaks do not count). Several such pairs may follow each other,
separated by a line "===".
"""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import tempfile

import judge
import teacher
from course import Course, Problem, pattern_of, replaced, without_comments
from workshop import BuildFailed, Workshop, compilers


@dataclasses.dataclass
class Wrong:
    name: str
    number: str
    says: list
    edits: list  # (old lines, new lines)


def read_wrong(path):
    head, _, rest = path.read_text().partition("\n---\n")
    says = re.findall(r"^says: (.+)$", head, re.MULTILINE)
    edits = []
    for edit in rest.rstrip("\n").split("\n===\n---\n"):
        old, plus, new = ("\n" + edit + "\n").partition("\n+++\n")
        if not plus:
            raise Problem(f"{path}: there is no line +++")
        edits.append((old.strip("\n").split("\n"), new.strip("\n").split("\n") if new.strip() else []))
    if not says or not head.startswith("#"):
        raise Problem(f"{path}: it must begin with the misconception (# ...), then says: TEXT")
    return Wrong(path.stem, path.stem.split("-")[0], says, edits)


def apply(wrong, course, exercise):
    """{path: text} of the files that the wrong solution changes. Raises Problem."""
    changed = {}
    for old, new in wrong.edits:
        wanted = without_comments("\n".join(old)).strip()
        places = [(region, match) for region in exercise.regions
                  for match in pattern_of(wanted).finditer(without_comments(region.text))
                  if region.start <= match.start() < region.end]
        if len(places) != 1:
            raise Problem(f"wrong/{wrong.name}.txt: this stands in the holes of {exercise.number} "
                          f"{len(places)} times, not once: {wanted.splitlines()[0]}")
        region, match = places[0]
        edits = changed.setdefault(region.path, [])
        if any(start < match.end() and match.start() < end for start, end, _ in edits):
            raise Problem(f"wrong/{wrong.name}.txt changes the same code twice: {wanted}")
        before = region.text[:match.start()].rsplit("\n", 1)[-1]
        indent = re.match(" *", before)[0]
        new_text = ("" if not before.strip() else "\n" + indent) + ("\n" + indent).join(new)
        edits.append((match.start(), match.end(), new_text + "\n"))
    return {path: replaced(course.source(exercise.chapter, path), edits)
            for path, edits in changed.items()}


def without_code(markdown):
    return re.sub(r"```.*?```|`[^`]*`", "", markdown, flags=re.DOTALL)


class Verification:
    def __init__(self, course, chosen):
        self.course = course
        self.chapters = [chapter for chapter in course.files
                         if not chosen or chapter.split("-")[0] in chosen.split(",")]
        self.troubles = []
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="exercises-"))
        self.depends = {}  # exercise -> the files with holes that its tests and its server include

    def trouble(self, text):
        self.troubles.append(text)
        print(f"  WRONG  {text}", flush=True)

    def step(self, text):
        print(text, flush=True)

    # --- Variants of a chapter -----------------------------------------------------------------

    def variant(self, chapter, name, text_of):
        """A folder with the chapter's files that have holes; `text_of(path)` is their content."""
        folder = self.scratch / name / chapter
        for path in self.course.files[chapter]:
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text_of(path))
        return folder

    def results(self, chapter, name, text_of, exercises):
        """{number: [Result]} of a variant."""
        folder = self.variant(chapter, name, text_of)
        workshop = Workshop(self.course, chapter, folder, f"verify/{chapter}/{name}", name)
        built = workshop.build(exercises)
        if name == "reference":
            self.remember(chapter, workshop, exercises)
        found = {}
        for exercise in exercises:
            program = built[exercise.number]
            if isinstance(program, BuildFailed):
                found[exercise.number] = [judge.Result(c, "BUILD", str(program))
                                          for c in exercise.cases]
            else:
                found[exercise.number] = [judge.run(program, c, workshop) for c in exercise.cases]
        shutil.rmtree(workshop.folder.parent, ignore_errors=True)
        return found

    def remember(self, chapter, workshop, exercises):
        """Notes which files with holes each exercise's programs include."""
        folder = f"{workshop.tree}/chapters/{chapter}/"
        inside = {}
        for note in (workshop.folder / "obj").glob("*.json"):
            inputs = json.loads(note.read_text())["inputs"]
            inside[next(iter(inputs))] = {path[len(folder):] for path in inputs
                                          if path.startswith(folder)}
        server = inside.get(folder + "main.cpp", set())
        for exercise in exercises:
            files = set().union(*(inside.get(str(file), set()) for file in exercise.test_files))
            self.depends[exercise.number] = files | (server if exercise.needs_server else set())

    def many(self, jobs):
        """Runs (function, arguments...) two at a time: compiling takes longest."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(*job) for job in jobs]:
                try:
                    future.result()
                except Problem as problem:
                    self.trouble(str(problem))

    # --- The checks ----------------------------------------------------------------------------

    def run(self):
        exercises = [e for chapter in self.chapters for e in self.course.of_chapter(chapter)]
        self.step(f"{len(exercises)} exercises, {sum(len(e.cases) for e in exercises)} tests")
        for exercise in exercises:
            self.complete(exercise)
        for chapter in self.chapters:
            self.no_hints_in_code(chapter)
        self.step("the reference passes")
        self.many([(self.reference, chapter) for chapter in self.chapters])
        self.step("the skeleton compiles (" + ", ".join(compilers()) + "), and each test says TODO")
        self.many([(self.skeleton, chapter) for chapter in self.chapters])
        self.many([(self.other_compilers, chapter) for chapter in self.chapters])
        regions = [(chapter, region) for chapter in self.chapters
                   for regions in self.course.files[chapter].values() for region in regions]
        self.step(f"{len(regions)} holes, each blanked alone")
        self.many([(self.hole, *one) for one in regions])
        wrong = [w for w in self.wrong_solutions() if w.number in {e.number for e in exercises}]
        self.step(f"{len(wrong)} wrong solutions, each caught")
        self.many([(self.caught, one) for one in wrong])
        self.step("a hand-out has no answers")
        for chapter in self.chapters:
            self.no_answers(chapter)

    def complete(self, exercise):
        if not exercise.cases:
            self.trouble(f"{exercise.number} has no tests: TEST_CASE(\"{exercise.number} ...\")")
        hints = f"tests/exercises/hints/{exercise.number}.md"
        path = self.course.root / hints
        title = f"# {exercise.number} {exercise.title}"
        if path.exists() and not path.read_text().startswith(title + "\n"):
            self.trouble(f"{hints} does not begin with its title in holes/: {title}")
        if len(exercise.hints) < 2:
            self.trouble(f"{hints} has {len(exercise.hints)} hints: write two at least")
        for hint in exercise.hints:
            for code in re.findall(r"\w+<[^<>\n]*>|\{\{", without_code(hint)):
                self.trouble(f"{hints}: Markdown swallows {code} where it is not in backticks")
        if exercise.number not in self.course.points:
            self.trouble(f"{exercise.number} has no line in tests/exercises/points.txt")
        if not any(w.number == exercise.number for w in self.wrong_solutions()):
            self.trouble(f"{exercise.number} has no wrong solution in tests/exercises/wrong/")
        page = self.course.root / "docs" / f"{exercise.chapter}.md"
        text = page.read_text() if page.exists() else ""
        if f"check-{exercise.number}" not in text:
            self.trouble(f"{exercise.number} is not on its page, docs/{exercise.chapter}.md")
        elif f"([hints](../{hints}))" not in text:
            self.trouble(f"docs/{exercise.chapter}.md has no link to the hints of {exercise.number}: "
                         f"([hints](../{hints}))")

    def no_hints_in_code(self, chapter):
        for path in sorted((self.course.root / "chapters" / chapter).rglob("*.[hc]pp")):
            for number, line in enumerate(path.read_text().split("\n"), 1):
                if re.search(r"// *(HINT|STUB|BROKEN|EXERCISE (BEGIN|END))\b", line):
                    self.trouble(f"{path.relative_to(self.course.root)}:{number}: hints and stubs stand "
                                 f"in tests/exercises/hints and holes, not in the code:{line}")

    def wrong_solutions(self):
        folder = self.course.root / "tests/exercises/wrong"
        return [read_wrong(path) for path in sorted(folder.glob("*.txt"))]

    def reference(self, chapter):
        exercises = self.course.of_chapter(chapter)
        text = lambda path: self.course.source(chapter, path)
        for number, results in self.results(chapter, "reference", text, exercises).items():
            for result in results:
                if not result.passed:
                    self.trouble(f"{number} the reference: {result.verdict} {result.case.title}\n"
                                 + judge.folded(result.words, "      "))

    def skeleton(self, chapter):
        exercises = self.course.of_chapter(chapter)
        text = lambda path: self.course.skeleton(chapter, path)
        found = self.results(chapter, "skeleton", text, [e for e in exercises if not e.repair])
        # Code to repair may use what earlier exercises build: for these tests that is complete.
        bugs = lambda path: self.course.skeleton(chapter, path, lambda region: region.broken)
        found |= self.results(chapter, "bugs", bugs, [e for e in exercises if e.repair])
        for exercise in exercises:
            expected = "FAIL" if exercise.repair else "TODO"
            for result in found[exercise.number]:
                if result.verdict != expected:
                    self.trouble(f"{exercise.number} the skeleton: {result.verdict}, not {expected}:"
                                 f" {result.case.title}\n" + judge.folded(result.words, "      "))

    def other_compilers(self, chapter):
        folder = self.variant(chapter, "compilers", lambda path: self.course.skeleton(chapter, path))
        for compiler in compilers():
            workshop = Workshop(self.course, chapter, folder, f"verify/{chapter}/{compiler}",
                                "skeleton", compiler, werror=True)
            built = workshop.build(self.course.of_chapter(chapter))
            for number, program in built.items():
                if isinstance(program, BuildFailed):
                    self.trouble(f"{number} the skeleton, with {compiler}: {str(program)[:2000]}")
            shutil.rmtree(workshop.folder.parent, ignore_errors=True)

    def hole(self, chapter, region):
        order = [e.number for e in self.course.of_chapter(chapter)]
        at = order.index(region.number)
        # A test that does not include the file cannot tell the difference.
        exercises = [e for e in self.course.of_chapter(chapter)[:at + 1]
                     if e.number == region.number or region.path in self.depends[e.number]]
        blanked = lambda other: other is region
        text = lambda path: self.course.skeleton(chapter, path, blanked)
        name = f"hole-{region.number}-{pathlib.Path(region.path).stem}-{region.line}"
        found = self.results(chapter, name, text, exercises)
        where = f"{region.path}:{region.line} (exercise {region.number}) blanked"
        if all(result.passed for result in found[region.number]):
            self.trouble(f"{where}: no test of {region.number} notices")
        for number in order[:at]:
            for result in found.get(number, []):
                if not result.passed:
                    self.trouble(f"{where}: a test of {number} needs it: {result.case.title}")

    def caught(self, wrong):
        exercise = self.course.exercise(wrong.number)
        changed = apply(wrong, self.course, exercise)
        text = lambda path: changed.get(path) or self.course.source(exercise.chapter, path)
        results = self.results(exercise.chapter, f"wrong-{wrong.name}", text, [exercise])
        failed = [r for r in results[exercise.number] if not r.passed]
        flat = [" ".join(r.words.split()) for r in failed]
        if not failed:
            self.trouble(f"wrong/{wrong.name}.txt passes every test of {wrong.number}")
        elif failed[0].verdict == "BUILD":
            self.trouble(f"wrong/{wrong.name}.txt does not compile:\n{failed[0].words[:1500]}")
        elif not any(all(said in words for said in wrong.says) for words in flat):
            told = "\n".join(judge.folded(f"{r.verdict} {r.case.title}\n{r.words}", "      ")
                             for r in failed)
            self.trouble(f"wrong/{wrong.name}.txt is caught, but no test says \"{wrong.says[0]}\":\n"
                         + told)

    def no_answers(self, chapter):
        out = self.scratch / f"handout-{chapter}"
        teacher.make_handout(self.course, out, chapter.split("-")[0])
        for path, line in teacher.answers_in(self.course, out, chapter.split("-")[0]):
            self.trouble(f"a hand-out from {chapter[:2]} on has an answer: {path}: {line}")
        for exercise in self.course.of_chapter(chapter):
            if Course(out).hints(exercise.number) != exercise.hints:
                self.trouble(f"tests/exercises/hints/{exercise.number}.md shows a line of the solution")


def main(course, options):
    if course.held_back_from != "99":
        raise Problem("this is a hand-out: exercises can only be verified in the complete course")
    os.environ.setdefault("PATIENCE", "3")  # a busy machine must not look like a wrong solution
    verification = Verification(course, options.get("CH", ""))
    try:
        verification.run()
    finally:
        shutil.rmtree(verification.scratch, ignore_errors=True)
        shutil.rmtree(course.root / "build/exercises/verify", ignore_errors=True)
    count = len(verification.troubles)
    print(f"\n{count} wrong" if count else "\nThe exercises can be trusted.")
    return 1 if count else 0
