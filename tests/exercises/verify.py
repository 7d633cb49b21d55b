"""Checks that the exercises can be trusted: make verify-exercises [CH=05] [CH=05.2].

  1. Every exercise has tests, two hints, points, a description on its page, and a wrong solution. No
     hint stands in the code.
  2. The reference passes.
  3. The skeleton compiles with every installed compiler, and each of its tests says TODO. If the
     exercise is to repair something, each says FAIL once the earlier exercises are done.
  4. With one hole blanked at a time, a test of that exercise fails and no test of an earlier one.
  5. Each wrong solution is caught, by a message that names the mistake; each right one passes.
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
comments, white space and line breaks do not count). Instead of ---, the lines may name a hole as
tests/exercises/holes does: its whole content is replaced ("hole: FILE #2" is the second part of the
file between markers). Several such changes may follow each other,
separated by a line "===". A line "include: FILE: <deque>" before them adds an #include to that file.

A right solution is tests/exercises/right/NUMBER-NAME.txt: another design, which every test must
accept. It has the same form, without "says:". Every exercise has two at least.

    # The timers stand in a heap, and a cancelled one is skipped.
    include: timer_queue.hpp: <queue>
    hole: timer_queue.hpp: bool cancel(const TimerHandle& timer)
    +++
    return cancelled_.insert(timer.id).second;
"""

import concurrent.futures
import dataclasses
import functools
import json
import os
import pathlib
import re
import shutil
import tempfile

import handout
import judge
from course import Course, Problem, pattern_of, read_holes, replaced, without_comments
from workshop import BuildFailed, Workshop, compilers


@dataclasses.dataclass
class Variant:
    """Another solution of an exercise, right or wrong, as changes of the reference."""

    name: str  # "right/05.1-heap"
    number: str
    says: list
    includes: list  # (path in the chapter, "<deque>")
    edits: list  # ("---", old lines, new lines) or ("hole: ...", [], new lines)


EDIT = re.compile(r"(?P<old>---\n.*?|hole: [^\n]*)\n\+\+\+(?P<new>.*?)(?:\n===\n|\Z)", re.DOTALL)


def read_variant(path):
    text = path.read_text().rstrip("\n")
    begin = re.search(r"^(---$|hole: )", text, re.MULTILINE)
    if not begin or not text.startswith("# "):
        raise Problem(f"{path}: it begins with a comment (# ...) and has a line --- or hole: FILE: TEXT")
    head, at, edits = text[:begin.start()], begin.start(), []
    while at < len(text):
        edit = EDIT.match(text, at)
        if not edit:
            raise Problem(f"{path}: this is no change (---, +++): {text[at:].splitlines()[0]}")
        kind, _, old = edit["old"].partition("\n")
        edits.append((kind, old.split("\n"), edit["new"].strip("\n").split("\n")))
        at = edit.end()
    says = re.findall(r"^says: (.+)$", head, re.MULTILINE)
    if bool(says) != (path.parent.name == "wrong"):
        raise Problem(f"{path}: a wrong solution has a line says: TEXT, a right one has none")
    return Variant(f"{path.parent.name}/{path.stem}", path.stem.split("-")[0], says,
                   re.findall(r"^include: (.+?): (.+)$", head, re.MULTILINE), edits)


def apply(variant, course, exercise):
    """{path: text} of the files that the variant changes. Raises Problem."""
    changed = {}
    for kind, old, new in variant.edits:
        path, start, end, text = (place_of_code(variant, exercise, old, new) if kind == "---"
                                  else place_of_hole(variant, exercise, kind, new))
        edits = changed.setdefault(path, [])
        if any(begin < end and start < finish for begin, finish, _ in edits):
            raise Problem(f"{variant.name}.txt changes the same code twice: {(old or new)[0]}")
        edits.append((start, end, text))
    texts = {path: replaced(course.source(exercise.chapter, path), edits)
             for path, edits in changed.items()}
    for path, header in variant.includes:
        text = texts.get(path) or course.source(exercise.chapter, path)
        texts[path] = re.sub(r"^#include", f"#include {header}\n#include", text, count=1,
                             flags=re.MULTILINE)
    return texts


def place_of_code(variant, exercise, old, new):
    """(path, start, end, new text) of code that stands once in the exercise's holes."""
    wanted = without_comments("\n".join(old)).strip()
    places = [(region, match) for region in exercise.regions
              for match in pattern_of(wanted).finditer(without_comments(region.text))
              if region.start <= match.start() < region.end]
    if len(places) != 1:
        raise Problem(f"{variant.name}.txt: this stands in the holes of {exercise.number} "
                      f"{len(places)} times, not once: {wanted.splitlines()[0]}")
    region, match = places[0]
    before = region.text[:match.start()].rsplit("\n", 1)[-1]
    indent = re.match(" *", before)[0]
    text = ("" if not before.strip() else "\n" + indent) + ("\n" + indent).join(new) + "\n"
    return region.path, match.start(), match.end(), text


def place_of_hole(variant, exercise, line, new):
    """(path, start, end, new text) of a whole hole, named as in tests/exercises/holes."""
    between_markers = re.fullmatch(r"(hole: \S+) #(\d+)", line)
    hole = read_holes(exercise.number, f"{variant.name}.txt",
                      f"title: -\n{between_markers[1] if between_markers else line}")[0]
    if between_markers:
        hole.which = int(between_markers[2])
    found = [region for region in exercise.regions if region.path == hole.path
             and (region.start, region.end) == hole.find(region.text)]
    if not found:
        raise Problem(f"{variant.name}.txt: {exercise.number} has no such hole: {line}")
    return hole.path, found[0].start, found[0].end, found[0].replacement(new)


def without_code(markdown):
    return re.sub(r"```.*?```|`[^`]*`", "", markdown, flags=re.DOTALL)


class Verification:
    def __init__(self, course, chosen):
        self.course = course
        self.chosen = [exercise for exercise in course.exercises
                       if not chosen or {exercise.number, exercise.chapter[:2]} & {*chosen.split(",")}]
        self.chapters = list(dict.fromkeys(exercise.chapter for exercise in self.chosen))
        self.troubles = []
        # The fastest there is: clang++ takes half the time of g++, with precompiled headers.
        self.compiler = os.environ.get("CXX") or compilers()[-1]
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="exercises-"))
        self.depends = {}  # exercise -> the files with holes that its tests and its server include

    def of_chapter(self, chapter):
        return [exercise for exercise in self.chosen if exercise.chapter == chapter]

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
        quick = {} if name == "reference" else {"compiler": self.compiler, "precompiled": True}
        workshop = Workshop(self.course, chapter, folder, f"verify/{chapter}/{name}", name, **quick)
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
        exercises = self.chosen
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
        self.step(f"{sum(len(e.regions) for e in exercises)} holes, each blanked alone")
        self.many([(self.entered, chapter) for chapter in self.chapters])
        regions = [(e.chapter, region) for e in exercises for region in e.regions if region.replaced]
        self.many([(self.hole, *one) for one in regions])
        chosen = {exercise.number for exercise in exercises}
        wrong = [variant for variant in self.variants("wrong") if variant.number in chosen]
        self.step(f"{len(wrong)} wrong solutions, each caught")
        self.many([(self.caught, one) for one in wrong])
        right = [variant for variant in self.variants("right") if variant.number in chosen]
        self.step(f"{len(right)} other right solutions, each accepted")
        self.many([(self.accepted, one) for one in right])
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
        for kind, wanted in (("wrong", 1), ("right", 2)):
            count = sum(v.number == exercise.number for v in self.variants(kind))
            if count < wanted:
                self.trouble(f"{exercise.number} has {count} solutions in tests/exercises/{kind}/: "
                             f"write {wanted} at least")
        if not exercise.learned:
            self.trouble(f"tests/exercises/holes/{exercise.number}.txt has no line learned: ...")
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

    @functools.cache
    def variants(self, kind):
        """The solutions in tests/exercises/wrong, or in right."""
        folder = self.course.root / "tests/exercises" / kind
        return [read_variant(path) for path in sorted(folder.glob("*.txt"))]

    def reference(self, chapter):
        exercises = self.of_chapter(chapter)
        text = lambda path: self.course.source(chapter, path)
        for number, results in self.results(chapter, "reference", text, exercises).items():
            for result in results:
                if not result.passed:
                    self.trouble(f"{number} the reference: {result.verdict} {result.case.title}\n"
                                 + judge.folded(result.words, "      "))

    def skeleton(self, chapter):
        exercises = self.of_chapter(chapter)
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
            built = workshop.build(self.of_chapter(chapter))
            for number, program in built.items():
                if isinstance(program, BuildFailed):
                    self.trouble(f"{number} the skeleton, with {compiler}: {str(program)[:2000]}")
            shutil.rmtree(workshop.folder.parent, ignore_errors=True)

    def entered(self, chapter):
        """Blanks the holes of function bodies: the reference notes which hole a test enters, since
        a test that enters a blank hole ends there. So one build does for all of them."""
        exercises = self.of_chapter(chapter)
        holes = [region for exercise in exercises for region in exercise.regions
                 if not region.replaced]
        name = lambda region: f"{region.path}:{region.line}"

        def text(path):
            notes = [(r.start, r.start, f'\nstatic const bool entered_{r.line} = exercises::entered('
                      f'"{name(r)}\\n");\nstatic_cast<void>(entered_{r.line});\n')
                     for r in holes if r.path == path]
            whole = replaced(self.course.source(chapter, path), notes)
            return re.sub(r"^#include", '#include "tests/exercises/entered.hpp"\n#include', whole,
                          count=1, flags=re.MULTILINE)

        folder = self.variant(chapter, "entered", text)
        workshop = Workshop(self.course, chapter, folder, f"verify/{chapter}/entered", "entered",
                            self.compiler, precompiled=True)
        built = workshop.build(exercises)
        by_test = {}  # (exercise, test) -> the holes that it enters
        for exercise in exercises:
            if isinstance(built[exercise.number], BuildFailed):
                return self.trouble(f"{exercise.number}: {built[exercise.number]}")
            for case in exercise.cases:
                note = self.scratch / f"{chapter}-{len(by_test)}"
                judge.run(built[exercise.number], case, workshop, ENTERED=str(note))
                found = set(note.read_text().split()) if note.exists() else set()
                by_test[exercise.number, case.title] = found
        order = [exercise.number for exercise in self.course.of_chapter(chapter)]
        for region in holes:
            users = [test for test, found in by_test.items() if name(region) in found]
            where = f"{name(region)} (exercise {region.number}) blanked"
            if not any(number == region.number for number, _ in users):
                self.trouble(f"{where}: no test of {region.number} notices")
            for number, title in users:
                if order.index(number) < order.index(region.number):
                    self.trouble(f"{where}: a test of {number} needs it: {title}")

    def hole(self, chapter, region):
        order = [e.number for e in self.course.of_chapter(chapter)]
        at = order.index(region.number)
        # A test that does not include the file cannot tell the difference.
        exercises = [e for e in self.of_chapter(chapter)
                     if e.number == region.number
                     or e.number in order[:at] and region.path in self.depends[e.number]]
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

    def results_of(self, variant):
        """The results of the variant's exercise."""
        exercise = self.course.exercise(variant.number)
        changed = apply(variant, self.course, exercise)
        text = lambda path: changed.get(path) or self.course.source(exercise.chapter, path)
        name = variant.name.replace("/", "-")
        return self.results(exercise.chapter, name, text, [exercise])[variant.number]

    def caught(self, wrong):
        failed = [result for result in self.results_of(wrong) if not result.passed]
        flat = [" ".join(r.words.split()) for r in failed]
        if not failed:
            self.trouble(f"{wrong.name}.txt passes every test of {wrong.number}")
        elif failed[0].verdict == "BUILD":
            self.trouble(f"{wrong.name}.txt does not compile:\n{failed[0].words[:1500]}")
        elif not any(all(said in words for said in wrong.says) for words in flat):
            told = "\n".join(judge.folded(f"{r.verdict} {r.case.title}\n{r.words}", "      ")
                             for r in failed)
            self.trouble(f"{wrong.name}.txt is caught, but no test says \"{wrong.says[0]}\":\n"
                         + told)

    def accepted(self, right):
        for result in self.results_of(right):
            if not result.passed:
                words = result.words[:1500] if result.verdict == "BUILD" else result.words
                self.trouble(f"{right.name}.txt is refused: {result.verdict} {result.case.title}\n"
                             + judge.folded(words, "      "))
                return

    def no_answers(self, chapter):
        out = self.scratch / f"handout-{chapter}"
        handout.make_handout(self.course, out, chapter.split("-")[0])
        for path, line in handout.answers_in(self.course, out, chapter.split("-")[0]):
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
