"""Which exercises there are. Three sources say it, all named by the exercise's number:

tests/exercises/holes/05.2.txt names what the learner writes, in the files of chapter 05:

    title: a turn of the loop
    learned: a loop that asks the kernel once a turn can serve everything that is ready

    hole: event_loop.hpp: void turn()
    hole: socket.hpp: bool transfer() #2
    hole: event_loop.hpp

`learned:` is one sentence, shown after a success: what solving the exercise was worth.

`hole: FILE: TEXT` is the body of one function: the definition whose signature contains TEXT. White
space does not count. If several signatures contain TEXT, write more of it, or "#2" for the second.
`hole: FILE` is the part of that file between two marker lines. The first such hole of an exercise
is the first pair of its markers in that file, and so on:

    // EXERCISE 05.2
    ...the solution...
    // END 05.2

The skeleton has a call there that prints which exercise is missing and ends the process. A hole must
therefore be a function body, or a part of one. For other places (the members of a class), and for
what the learner is to repair, the lines below the hole say what the skeleton has instead:

    stub| int members_that_the_rest_needs = 0;
    broken| while (true) accept(listener);

tests/exercises/hints/05.2.md has the hints: Markdown, each below a heading "## Hint 1".

The tests of an exercise are the cases whose names begin with its number,
TEST_CASE("05.2 a timer that is cancelled ..."), in tests/*/*_test.cpp.
"""

import dataclasses
import functools
import json
import pathlib
import re
import textwrap

MARKER = re.compile(r"^ *// (EXERCISE|END) (\d\d\.\d+)$", re.MULTILINE)
CASE = re.compile(r'^\s*TEST_CASE\(((?:\s*"(?:[^"\\]|\\.)*")+)', re.MULTILINE)
HINT = re.compile(r"^## Hint (\d+)$", re.MULTILINE)
TODO_WORDS = "is yours to write:"
SCREEN = 80  # columns
# What a hand-out says of itself, and the published files of chapters/ and common/ (handout.py).
ABOUT = ".handout/about.json"
PUBLISHED = ".handout/published.tar.gz"


# A chapter's other programs, beside the one of its main.cpp: the files in the chapter.
PROGRAMS = {"01-threads": "threads.cpp", "08-chat": "exercises/chat.cpp"}


class Problem(Exception):
    """Something that the user has to change; the text says what and how."""


# --- Reading C++, as far as it is needed -------------------------------------------------------

COMMENT = r"//[^\n]*|/\*.*?\*/"
STRING = r'R"(?P<raw>\w*)\(.*?\)(?P=raw)"|"(?:\\.|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])*\''
COMMENT_OR_STRING = re.compile(f"(?P<comment>{COMMENT})|{STRING}", re.DOTALL)


def blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def without_comments(text):
    """The text with comments replaced by spaces: every character stays at its position."""
    return COMMENT_OR_STRING.sub(lambda m: blank(m) if m["comment"] else m[0], text)


def without_comments_and_strings(text):
    return COMMENT_OR_STRING.sub(blank, text)


def pattern_of(code):
    """A regular expression for this piece of code that ignores how its white space is laid out."""
    words = re.findall(r'"(?:\\.|[^"\\])*"|\w+|\S', code)
    is_name = lambda word: bool(re.match(r"\w", word))
    pattern = r"(?<!\w)" if words and is_name(words[0]) else ""
    for number, word in enumerate(words):
        if number:
            pattern += r"\s+" if is_name(words[number - 1]) and is_name(word) else r"\s*"
        pattern += re.escape(word)
    return re.compile(pattern + (r"(?!\w)" if words and is_name(words[-1]) else ""))


def closing(code, opening):
    """The position of the bracket that closes the one at `opening`, or -1."""
    depth = 0
    for at in range(opening, len(code)):
        if code[at] in "([{":
            depth += 1
        elif code[at] in ")]}":
            depth -= 1
            if depth == 0:
                return at
    return -1


def body_of(code, at):
    """(position after "{", position of "}") of the function whose signature begins at or before
    `at`, or None where it is a declaration or a call."""
    in_initialisers = False
    while 0 <= at < len(code):
        sign = code[at]
        if sign in "([":
            at = closing(code, at)
            if at < 0:
                return None
        elif sign in ")]};":
            return None
        elif sign == ":" and code[at - 1] != ":" and code[at + 1:at + 2] != ":":
            in_initialisers = True
        elif sign == "{":
            before = code[:at].rstrip()[-1:]
            end = closing(code, at)
            if end < 0:
                return None
            if not (in_initialisers and re.match(r"[\w>]", before)):  # else: member_{value}
                return at + 1, end
            at = end
        at += 1
    return None


# --- Holes -------------------------------------------------------------------------------------


@dataclasses.dataclass
class Hole:
    """What a file in tests/exercises/holes says of one hole."""

    number: str
    title: str
    where: str  # "tests/exercises/holes/05.2.txt:3", for messages
    path: str  # in its chapter: "steps/x.hpp"
    signature: str  # or "": between markers
    which: int  # which of several, from 1; 0: the only one
    learned: str = ""
    stub: list = dataclasses.field(default_factory=list)
    broken: list = dataclasses.field(default_factory=list)

    def find(self, text):
        """(start, end) of what stands there in this version of the file. Raises Problem."""
        return (self.find_function if self.signature else self.find_marked)(text)

    def find_function(self, text):
        code = without_comments_and_strings(text)
        found = []
        for match in pattern_of(self.signature).finditer(code):
            body = body_of(code, match.start())
            if body and body not in found:
                found.append(body)
        if not found:
            raise Problem(f'{self.where}: {self.path} does not define a function "{self.signature}"')
        if self.which == 0 and len(found) > 1:
            raise Problem(f'{self.where}: {self.path} defines {len(found)} functions '
                          f'"{self.signature}": write more of it, or add #2')
        if self.which > len(found):
            raise Problem(f'{self.where}: {self.path} defines only {len(found)} functions '
                          f'"{self.signature}": there is no #{self.which}')
        return found[max(self.which, 1) - 1]

    def find_marked(self, text):
        pairs = marked(self.path, text).get(self.number, [])
        if self.which > len(pairs):
            raise Problem(f"{self.where}: {self.path} has {len(pairs)} parts between the lines "
                          f'"// EXERCISE {self.number}" and "// END {self.number}"; '
                          f"this is part {self.which}")
        return pairs[self.which - 1]


def marked(path, text):
    """{number: [(start, end)]}, the parts of a file between markers. Raises Problem."""
    found, begun = {}, None
    for match in MARKER.finditer(text):
        kind, number = match.groups()
        where = f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
        if (kind == "END") != bool(begun):
            raise Problem(f"{where}: // EXERCISE and // END do not alternate")
        if kind == "EXERCISE":
            begun = number, match.end() + 1
        elif begun[0] != number:
            raise Problem(f"{where}: this ends {number}, but {begun[0]} has begun")
        else:
            found.setdefault(number, []).append((begun[1], match.start()))
            begun = None
    if begun:
        raise Problem(f"{path}: // EXERCISE {begun[0]} has no line // END {begun[0]}")
    return found


def read_holes(number, name, text):
    """The holes that a file names. Raises Problem."""
    title, learned, holes, marked_parts = "", "", [], {}
    for line_number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{line_number}"
        key, sign, rest = re.match(r"(\w*)([:|]?) ?(.*)", line).groups()
        if not line.strip():
            continue
        if (key, sign) == ("title", ":"):
            title = rest.strip()
        elif (key, sign) == ("learned", ":"):
            learned = rest.strip()
        elif (key, sign) == ("hole", ":"):
            path, _, signature = (part.strip() for part in rest.partition(": "))
            if not title:
                raise Problem(f"{where}: the title comes first: title: a turn of the loop")
            match = re.fullmatch(r"(.*\S)\s+#([1-9]\d*)", signature)
            signature, which = (match[1], int(match[2])) if match else (signature, 0)
            if not signature:
                which = marked_parts[path] = marked_parts.get(path, 0) + 1
            holes.append(Hole(number, title, where, path, signature, which, learned))
        elif sign == "|" and key in ("stub", "broken") and holes:
            getattr(holes[-1], key).append(rest)
        else:
            raise Problem(f"{where}: not a line of a file of holes (title:, learned:, hole:, and "
                          f"below a hole stub| or broken|): {line}")
    if not holes:
        raise Problem(f"{name} names no hole")
    return holes


@dataclasses.dataclass
class Region:
    """A hole in the reference: text[start:end] is the solution."""

    hole: Hole
    text: str  # of the whole file
    start: int
    end: int

    number = property(lambda self: self.hole.number)
    title = property(lambda self: self.hole.title)
    learned = property(lambda self: self.hole.learned)
    path = property(lambda self: self.hole.path)
    stub = property(lambda self: self.hole.stub)
    broken = property(lambda self: self.hole.broken)

    @property
    def replaced(self):
        """Whether the skeleton has something else here than a call that ends the process."""
        return bool(self.stub or self.broken)

    @property
    def body(self):
        return self.text[self.start:self.end]

    @property
    def line(self):
        """The number of the line on which it starts, from 1."""
        return self.text.count("\n", 0, self.start) + 1

    @property
    def taken(self):
        """The numbers, from 0, of the lines on which something of the solution stands."""
        if not self.body.strip():
            return range(0)
        first = self.start + len(self.body) - len(self.body.lstrip())
        last = self.start + len(self.body.rstrip())
        return range(self.text.count("\n", 0, first), self.text.count("\n", 0, last) + 1)

    def outer_indent(self):
        """Of the marker, or of the function."""
        before = self.text[:self.start]
        if not self.hole.signature:
            return re.match(" *", before.rstrip("\n").rsplit("\n", 1)[-1])[0]
        last_line = self.body.rsplit("\n", 1)
        if len(last_line) == 2:  # the brace that closes it has a line of its own
            return last_line[1]
        code = without_comments_and_strings(self.text)
        for match in pattern_of(self.hole.signature).finditer(code):
            if body_of(code, match.start()) == (self.start, self.end):
                return re.match(" *", before[:match.start()].rsplit("\n", 1)[-1])[0]
        return ""

    def indent(self):
        return self.outer_indent() + ("    " if self.hole.signature else "")

    def replacement(self, lines):
        """What stands between the braces, or the markers, if these lines do."""
        indented = [(self.indent() + line).rstrip() for line in lines]
        if not self.hole.signature:
            return "".join(line + "\n" for line in indented)
        return "\n" + "".join(line + "\n" for line in indented) + self.outer_indent()


def replaced(text, replacements):
    """The text with [(start, end, new)] replaced."""
    for start, end, new in sorted(replacements, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def with_include(text):
    """The text with the header that a stub needs."""
    include = '#include "common/exercise.hpp"\n'
    if include in text:
        return text
    return re.sub(r"^#include", include + "#include", text, count=1, flags=re.MULTILINE)


def stub_call(words, columns):
    """The call that stands for a missing solution, as lines of at most `columns`."""
    quote = lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    call = f"common::exercise_todo({quote(words)});"
    if len(call) <= columns:
        return [call]
    what, sign, where = words.rpartition(" (")
    *parts, last = [part for text in (what, sign.strip() + where) for part in textwrap.wrap(
        text, columns - len('    " ");'), break_on_hyphens=False)]
    return ["common::exercise_todo(", *(f"    {quote(part + ' ')}" for part in parts),
            f"    {quote(last)});"]


# --- The course --------------------------------------------------------------------------------


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
    hints: list
    cases: list
    points: float = 0

    @property
    def learned(self):
        """What solving it was worth, in one sentence; or ""."""
        return self.regions[0].learned

    @property
    def repair(self):
        return any(region.broken for region in self.regions)

    @property
    def paths(self):
        """The files that have a hole of it."""
        return list(dict.fromkeys(region.path for region in self.regions))

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


def by_number(number):
    return tuple(map(int, number.split(".")))


class Course:
    """A tree of the course: this one, or a hand-out of it."""

    def __init__(self, root, extra_tests=None):
        self.root = pathlib.Path(root)
        self.extra_tests = extra_tests  # a teacher's hidden test folder
        note = self.root / ABOUT
        self.about = json.loads(note.read_text()) if note.exists() else {}
        self.held_back_from = self.about.get("from", "99")

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
        """Whether this is a hand-out without the answers of this chapter."""
        return chapter.split("-")[0] >= self.held_back_from

    @functools.cached_property
    def files(self):
        """The files with holes: chapter -> {path in the chapter: regions in order}."""
        found = {}
        for path in sorted(self.root.glob("tests/exercises/holes/*.txt"),
                           key=lambda path: by_number(path.stem)):
            name = str(path.relative_to(self.root))
            try:
                chapter = self.chapter(path.stem.split(".")[0])
            except Problem as problem:
                raise Problem(f"{name}: {problem}") from None
            for hole in read_holes(path.stem, name, path.read_text()):
                file = self.root / "chapters" / chapter / hole.path
                if not file.is_file():
                    raise Problem(f"{hole.where}: there is no file chapters/{chapter}/{hole.path}")
                text = file.read_text()
                try:
                    region = Region(hole, text, *hole.find(text))
                except Problem as problem:
                    known = str(problem).startswith(hole.where)
                    raise Problem(problem if known else f"chapters/{chapter}/{problem}") from None
                found.setdefault(chapter, {}).setdefault(hole.path, []).append(region)
        for chapter, regions_of in found.items():
            for regions in regions_of.values():
                regions.sort(key=lambda region: region.start)
                for one, two in zip(regions, regions[1:]):
                    if two.start < one.end:
                        raise Problem(f"{one.hole.where} and {two.hole.where} overlap")
            self.check_markers(chapter, regions_of)
        order = lambda regions_of: dict(sorted(regions_of.items()))
        return {chapter: order(found[chapter]) for chapter in self.chapters if chapter in found}

    def check_markers(self, chapter, regions_of):
        """Raises Problem where a marker has no hole that it belongs to."""
        folder = self.root / "chapters" / chapter
        for path in sorted(folder.rglob("*.[hc]pp")):
            inside = str(path.relative_to(folder))
            known = {(region.start, region.end) for region in regions_of.get(inside, [])}
            text = path.read_text()
            for number, pairs in marked(f"chapters/{chapter}/{inside}", text).items():
                for start, end in pairs:
                    if (start, end) not in known:
                        line = text.count("\n", 0, start)
                        raise Problem(f"chapters/{chapter}/{inside}:{line}: tests/exercises/holes/"
                                      f"{number}.txt has no line for it: hole: {inside}")

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
        """tests/exercises/points.txt: "05.2 10" on a line; an exercise without a line is worth 10."""
        path = self.root / "tests/exercises/points.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        pairs = [line.split("#")[0].split() for line in lines]
        return {pair[0]: float(pair[1]) for pair in pairs if len(pair) >= 2}

    def hints(self, number):
        """The hints of an exercise, as Markdown. Raises Problem."""
        path = self.root / "tests/exercises/hints" / f"{number}.md"
        parts = HINT.split(path.read_text()) if path.exists() else [""]
        if parts[1::2] != [str(n + 1) for n in range(len(parts) // 2)]:
            raise Problem(f"{path.relative_to(self.root)}: its headings are not Hint 1, Hint 2, ...")
        return [part.strip() for part in parts[2::2]]

    @functools.cached_property
    def exercises(self):
        """All of them, in order."""
        found = {}
        for chapter, files in self.files.items():
            for regions in files.values():
                for region in regions:
                    number = region.number
                    exercise = found.get(number) or found.setdefault(number, Exercise(
                        number, region.title, chapter, [], self.hints(number), [],
                        self.points.get(number, 10)))
                    exercise.regions.append(region)
        for case in self.cases:
            number = case.name.split()[0]
            if number in found:
                found[number].cases.append(case)
        return sorted(found.values(), key=lambda exercise: by_number(exercise.number))

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

    def skeleton(self, chapter, path, blanked=lambda region: True):
        """A file with its holes (those for which `blanked` returns true) left to the learner."""
        replacements, calls = [], False
        for region in self.files[chapter][path]:
            if not blanked(region) or self.held_back(chapter):
                continue
            lines = region.broken or region.stub
            if not lines:
                todo = self.exercise(region.number).todo
                lines = stub_call(todo, SCREEN - len(region.indent()))
                calls = True
            replacements.append((region.start, region.end, region.replacement(lines)))
        text = replaced(self.source(chapter, path), replacements)
        return with_include(text) if calls else text
