"""What exercises there are: read from the markers in chapters/ and the names of the test cases.

A region is what stands between two markers in a file of chapters/NN-name/:

    // EXERCISE BEGIN 05.2 cancel a timer
    // HINT The callback may cancel itself while it runs.
    // HINT A second hint tells more. What does not fit into a line
    // HINT+ goes on like this.
    ...the solution...
    // EXERCISE END 05.2

A skeleton has a call in its place that says whose turn it is and ends the process. A region must
therefore be a function body, or a part of one. Elsewhere (in a class, say) give the replacement:

    // STUB int members_that_the_rest_needs = 0;

For a repair exercise, what the learner finds there is the bug, which must compile:

    // BROKEN while (true) accept(listener);

An exercise may have several regions, in several files of its chapter. Its tests are the cases whose
names begin with its number, TEST_CASE("05.2 a timer that is cancelled ..."), in tests/*/*_test.cpp.
"""

import dataclasses
import functools
import json
import pathlib
import re

BEGIN = re.compile(r"^( *)// EXERCISE BEGIN (\d\d\.\d+) (.+)$")
END = re.compile(r"^ *// EXERCISE END (\d\d\.\d+)$")
NOTE = re.compile(r"^ *// (HINT\+?|STUB|BROKEN)(?: (.*))?$")
CASE = re.compile(r'^\s*TEST_CASE\(((?:\s*"(?:[^"\\]|\\.)*")+)', re.MULTILINE)
TODO_WORDS = "is yours to write:"


class Problem(Exception):
    """Something that a person has to change; the text says what and how."""


@dataclasses.dataclass
class Region:
    number: str
    title: str
    path: str  # in its chapter: "steps/x.hpp"
    first: int  # the line of BEGIN, from 0
    last: int  # the line of END
    indent: str
    hints: list
    stub: list  # the lines of STUB
    broken: list  # the lines of BROKEN
    body: list  # the solution


@dataclasses.dataclass
class Case:
    name: str  # with the number
    file: pathlib.Path

    @property
    def title(self):
        return self.name.split(" ", 1)[1]


@dataclasses.dataclass
class Exercise:
    number: str
    title: str
    chapter: str  # "05-callback-loop"
    regions: list
    cases: list
    points: float = 0

    @property
    def hints(self):
        return [hint for region in self.regions for hint in region.hints]

    @property
    def repair(self):
        return any(region.broken for region in self.regions)

    @property
    def test_files(self):
        return sorted({case.file for case in self.cases})

    @property
    def needs_server(self):
        headers = ("tests/support/server_process.hpp", "tests/support/behaviours.hpp")
        texts = [file.read_text() for file in self.test_files]
        return any(header in text for header in headers for text in texts)

    @property
    def todo(self):
        return f"{self.number} {TODO_WORDS} {self.title} (docs/{self.chapter}.md, Exercises)"


def read_regions(path, text):
    """The regions of a file. Raises Problem where the markers make no sense."""
    regions, region = [], None
    for number, line in enumerate(text.split("\n")):
        begin, end = BEGIN.match(line), END.match(line)
        if begin or end:
            where = f"{path}:{number + 1}"
            if bool(begin) == bool(region):
                raise Problem(f"{where}: EXERCISE BEGIN and END do not alternate")
            if end and end[1] != region.number:
                raise Problem(f"{where}: this ends {end[1]}, but {region.number} has begun")
        if begin:
            region = Region(begin[2], begin[3].strip(), path, number, -1, begin[1], [], [], [], [])
        elif end:
            region.last = number
            regions.append(region)
            region = None
        elif region:
            note = NOTE.match(line)
            if not note:
                region.body.append(line)
            elif region.body:
                raise Problem(f"{path}:{number + 1}: {note[1]} must stand before the solution")
            elif note[1] == "HINT":
                region.hints.append((note[2] or "").strip())
            elif note[1] == "HINT+" and region.hints:
                region.hints[-1] += " " + (note[2] or "").strip()
            else:
                (region.broken if note[1] == "BROKEN" else region.stub).append(note[2] or "")
    if region:
        raise Problem(f"{path}: the exercise {region.number} does not end")
    return regions


class Course:
    """A tree of the course: this one, or a hand-out of it."""

    def __init__(self, root, extra_tests=None):
        self.root = pathlib.Path(root)
        self.extra_tests = extra_tests  # a teacher's hidden test folder
        note = self.root / ".handout"
        self.held_back_from = json.loads(note.read_text())["from"] if note.exists() else "99"

    @functools.cached_property
    def chapters(self):
        return sorted(path.parent.name for path in self.root.glob("chapters/[0-9]*-*/main.cpp"))

    def chapter(self, number):
        """05 -> 05-callback-loop. Raises Problem."""
        for chapter in self.chapters:
            if chapter.split("-")[0] == number:
                return chapter
        known = " ".join(chapter.split("-")[0] for chapter in self.chapters)
        raise Problem(f"there is no chapter {number}; there are: {known}")

    def held_back(self, chapter):
        """In a hand-out: are the answers of this chapter somewhere else?"""
        return chapter.split("-")[0] >= self.held_back_from

    @functools.cached_property
    def files(self):
        """The marked files: chapter -> {path in the chapter: regions}."""
        found = {}
        for chapter in self.chapters:
            folder = self.root / "chapters" / chapter
            for path in sorted(folder.rglob("*.[hc]pp")):
                inside = str(path.relative_to(folder))
                regions = read_regions(inside, path.read_text())
                for region in regions:
                    if region.number[:2] != chapter[:2]:
                        raise Problem(f"{path}: {region.number} belongs to another chapter")
                if regions:
                    found.setdefault(chapter, {})[inside] = regions
        return found

    @functools.cached_property
    def cases(self):
        found = []
        folders = [self.root / "tests"] + ([pathlib.Path(self.extra_tests)] if self.extra_tests else [])
        files = [file for folder in folders
                 for file in sorted([*folder.glob("*_test.cpp"), *folder.glob("*/*_test.cpp")])]
        for file in files:
            for match in CASE.finditer(file.read_text()):
                name = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match[1]))
                name = re.sub(r"\\(.)", r"\1", name)
                if re.match(r"\d\d\.\d+ ", name):
                    found.append(Case(name, file))
        return found

    @functools.cached_property
    def points(self):
        """tests/exercises/points.txt: "05.2 10" a line; what has no line is worth 10."""
        path = self.root / "tests/exercises/points.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        pairs = [line.split("#")[0].split() for line in lines]
        return {pair[0]: float(pair[1]) for pair in pairs if len(pair) >= 2}

    @functools.cached_property
    def exercises(self):
        """All of them, in order."""
        found = {}
        for chapter, files in self.files.items():
            for regions in files.values():
                for region in regions:
                    exercise = found.setdefault(
                        region.number, Exercise(region.number, region.title, chapter, [], []))
                    exercise.regions.append(region)
        for case in self.cases:
            number = case.name.split()[0]
            if number in found:
                found[number].cases.append(case)
        for exercise in found.values():
            exercise.points = self.points.get(exercise.number, 10)
        by_number = lambda e: tuple(map(int, e.number.split(".")))
        return sorted(found.values(), key=by_number)

    def of_chapter(self, chapter):
        return [exercise for exercise in self.exercises if exercise.chapter == chapter]

    def exercise(self, number):
        """Raises Problem."""
        for exercise in self.exercises:
            if exercise.number == number:
                return exercise
        chapter = self.chapter(number.split(".")[0])
        known = " ".join(e.number for e in self.of_chapter(chapter)) or "none yet"
        raise Problem(f"there is no exercise {number}; chapter {chapter[:2]} has: {known}")

    def source(self, chapter, path):
        return (self.root / "chapters" / chapter / path).read_text()

    def skeleton(self, chapter, path, blank=lambda region: True, hints=False):
        """A marked file with its regions (those for which `blank` says so) left to the learner."""
        lines = self.source(chapter, path).split("\n")
        needs_include = False
        for region in reversed(self.files[chapter][path]):
            before, after = lines[:region.first + 1], lines[region.last:]
            notes = lines[region.first + 1:region.last - len(region.body)]
            if not blank(region) or self.held_back(chapter):
                body = region.body
            elif region.broken or region.stub:
                body = [(region.indent + line).rstrip() for line in region.broken or region.stub]
            else:
                body = stub_call(region, self.exercise(region.number).todo)
                needs_include = True
            notes = [line for line in notes if hints and not re.match(r"^ *// (STUB|BROKEN)", line)]
            lines = before + notes + body + after
        if needs_include and not any("common/exercise.hpp" in line for line in lines):
            at = next(n for n, line in enumerate(lines) if line.startswith("#include"))
            lines.insert(at, '#include "common/exercise.hpp"')
        return "\n".join(lines)


def stub_call(region, words):
    """The call that stands for a missing solution, in lines that a screen can hold."""
    inner = region.indent
    quoted = '"' + words.replace("\\", "\\\\").replace('"', '\\"') + '"'
    head, tail = words.split(TODO_WORDS)
    if len(inner) + len(quoted) + 25 <= 96:
        return [f"{inner}common::exercise_todo({quoted});"]
    return [f"{inner}common::exercise_todo(", f'{inner}    "{head}{TODO_WORDS}"',
            f'{inner}    "{tail}");']
