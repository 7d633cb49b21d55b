"""Hand-outs: the course with holes and without the answers.

    exercises.py handout OUT=DIR [FROM=06] [WHO=...] [BUILD=build]

OUT may hold an earlier hand-out: the later one takes its place, and files that did not come from it
stay, work/ and .git among them. So students get it by git pull.

What a hand-out says of itself is in its folder .handout:

    about.json          from which chapter on the code is the learner's, and who has the answers
    held.mk             the same for the Makefile: which programs cannot be compiled there
    files.txt           what came with it: a later hand-out removes what it does not have itself
    published.tar.gz    chapters/ and common/ as they were handed out, for make restore
    finished/x86_64/    with BUILD: the programs of held.mk, finished, so that a learner can see a
                        server before writing it; without symbols and line numbers
"""

import itertools
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import tarfile
import textwrap

from course import ABOUT, PROGRAMS, PUBLISHED, Problem

NOT_IN_HANDOUT = ("tests/exercises/right/", "tests/exercises/wrong/", "tests/mutants/",
                  "tests/exercises/attacks_test.py", "docs/teaching/", ".ci/", ".github/")
FILES = ".handout/files.txt"


# --- Hand-outs ---------------------------------------------------------------------------------


def course_files(root):
    """The files of the course: those that git tracks, or all files if this is no git repository."""
    git = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=False)
    if git.returncode == 0 and git.stdout:
        names = os.fsdecode(git.stdout).split("\0")
    else:
        names = [str(path.relative_to(root)) for path in root.rglob("*")]
        names = [n for n in names if not re.match(r"(build|work|\.git)(/|$)|.*__pycache__", n)]
    return sorted(name for name in set(names) if name and (root / name).is_file())


def make_handout(course, out, first, who="", build=None):
    """Writes the tree. `first` is the number of the first chapter whose answers are held back."""
    out = pathlib.Path(out)
    remove_earlier(out, first)
    who = who or "the person who made it"
    held = {chapter: files for chapter, files in course.files.items() if chapter[:2] >= first}
    holes = {f"chapters/{chapter}/{path}": (chapter, path)
             for chapter, files in held.items() for path in files}
    programs = programs_with(course.root, holes)
    secret = answer_lines(course, first)
    names = [name for name in course_files(course.root) if not name.startswith(NOT_IN_HANDOUT)]
    for name in names:
        place = out / name
        place.parent.mkdir(parents=True, exist_ok=True)
        source = course.root / name
        if name in holes:
            place.write_text(course.skeleton(*holes[name]), encoding="utf-8")
        elif name.endswith(".md"):
            text = without_answers(source.read_text("utf-8"), secret, holes)
            place.write_text(without_dead_links(text, name, names), encoding="utf-8")
        elif name == ".gitignore":
            kept = [line for line in source.read_text("utf-8").splitlines() if line != "work/"]
            place.write_text("\n".join(kept) + "\n", encoding="utf-8")
        else:
            shutil.copyfile(source, place)
        shutil.copymode(source, place)
    readme = out / "README.md"
    if readme.exists():
        text = with_words_about(course, readme.read_text("utf-8"), first, who, bool(build))
        readme.write_text(text, encoding="utf-8")
    (out / ABOUT).parent.mkdir(exist_ok=True)
    (out / ABOUT).write_text(json.dumps({"from": first, "who": who}) + "\n", encoding="utf-8")
    numbers = [chapter[:2] for chapter in course.chapters if chapter[:2] >= first]
    (out / ".handout/held.mk").write_text(
        f"from := {first}\nheld := {' '.join(numbers)}\nheld_programs := {' '.join(programs)}\n",
        encoding="utf-8")
    with tarfile.open(out / PUBLISHED, "w:gz") as archive:
        for name in names:
            if name.startswith(("chapters/", "common/")):
                archive.add(out / name, name)
    if build:
        add_finished(out, pathlib.Path(build), programs)
    made = [*names, *(str(path.relative_to(out)) for path in (out / ".handout").rglob("*")
                      if path.is_file())]
    (out / FILES).write_text("".join(f"{name}\n" for name in sorted({*made, FILES})), encoding="utf-8")


def remove_earlier(out, first):
    """Removes an earlier hand-out, as far as its files are still there. Raises Problem where the folder
    holds something else, or where that hand-out gave more answers than this one."""
    if not out.exists() or {path.name for path in out.iterdir()} <= {".git"}:
        return
    if not (out / FILES).is_file():
        raise Problem(f"{out} is not empty: a hand-out needs a folder of its own, an empty git "
                      "repository, or the folder of an earlier hand-out")
    earlier = json.loads((out / ABOUT).read_text("utf-8"))["from"]
    if earlier > first:
        raise Problem(f"{out} holds the hand-out from chapter {earlier} on, which has the answers of "
                      f"chapter {first}: choose another folder")
    for name in (out / FILES).read_text("utf-8").splitlines():
        if pathlib.PurePath(name).is_absolute() or ".." in pathlib.PurePath(name).parts:
            continue
        (out / name).unlink(missing_ok=True)
        for folder in itertools.takewhile(lambda folder: folder != out, (out / name).parents):
            if not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()


# --- The finished programs ---------------------------------------------------------------------


def programs_with(root, holes):
    """The programs of the course, by their names in build/, whose sources include a file of `holes`."""
    chapters = root / "chapters"
    sources = {path.parent.name: path for path in chapters.glob("*/main.cpp")}
    for name, file in PROGRAMS.items():
        sources |= {name: path for path in chapters.glob(f"{name[:2]}-*/{file}")}
    for kind in ("steps", "wrong"):
        for path in chapters.glob(f"*/{kind}/*.cpp"):
            sources[f"{kind}/{path.parts[-3][:2]}.{path.name.split('-')[0]}"] = path
    return sorted(name for name, path in sources.items()
                  if path.exists() and not holes.keys().isdisjoint(included(root, path)))


def included(root, source):
    """The names of all files of the course that are part of this one, itself among them."""
    found, todo = set(), [source.resolve()]
    while todo:
        path = todo.pop()
        name = str(path.relative_to(root.resolve()))
        if name in found:
            continue
        found.add(name)
        text = path.read_text("utf-8")
        for include in re.findall(r'^\s*#\s*include\s*"([^"]+)"', text, re.MULTILINE):
            places = [place / include for place in (path.parent, root)]
            todo += [place.resolve() for place in places if place.is_file()][:1]
    return found


def add_finished(out, build, programs):
    """Copies the programs without symbols, for machines of this one's kind."""
    folder = out / ".handout/finished" / platform.machine()
    for name in programs:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(build / name, folder / name)
        subprocess.run([os.environ.get("STRIP") or "strip", "--strip-all", str(folder / name)],
                       check=True)


def plain(line):
    return " ".join(line.split("//")[0].split())


def answer_lines(course, first):
    """The lines of code that only the solutions from that chapter on have."""
    inside, outside = set(), set()
    for name in course_files(course.root):
        if not name.endswith((".hpp", ".cpp")) or name.startswith("tests/exercises/"):
            continue
        parts = pathlib.Path(name).parts
        held = parts[0] == "chapters" and parts[1] in course.files and parts[1][:2] >= first
        regions = course.files[parts[1]].get("/".join(parts[2:]), []) if held else []
        lines = (course.root / name).read_text("utf-8").split("\n")
        taken = set()
        for region in regions:
            taken |= set(region.taken)
            inside.add(plain(region.body) if "\n" not in region.body.strip() else "")
            outside |= {plain(line) for line in region.broken + region.stub}
        for number, line in enumerate(lines):
            (inside if number in taken else outside).add(plain(line))
    long_enough = {line for line in inside if len(re.sub(r"\W", "", line)) >= 12}
    return long_enough - outside


# --- The pages ---------------------------------------------------------------------------------

YOURS = "*This code is yours to write: see the exercises below.*"
NEEDS_ANSWERS = "*This compiles code that is yours to write in this copy.*"
FOLD = re.compile(r"<details><summary>(.*?)</summary>.*?</details>\n", re.DOTALL)


def without_answers(text, secret, holes):
    """The page without code blocks that show answers, and without folds that are then empty."""
    lines, kept, at = text.split("\n"), [], 0
    while at < len(lines):
        fence = re.match(r"^ *(`{3,}|~{3,})", lines[at])
        if not fence:
            kept.append(lines[at])
            at += 1
            continue
        end = at + 1
        while end < len(lines) and not lines[end].strip().startswith(fence[1]):
            end += 1
        block = lines[at:end + 1]
        directive = kept[-1] if kept and kept[-1].startswith("<!-- code:") else ""
        shows_hole = any(name in directive for name in holes)
        if any(plain(line) in secret for line in block):
            if directive:
                kept.pop()
            kept.append(YOURS)
        elif shows_hole:  # the code differs now, or will: the page keeps what it shows
            kept[-1] = "<!-- code: [manual: part of an exercise] -->"
            kept += block
        else:
            kept += block
            if compiles(block, holes):
                kept += ["", NEEDS_ANSWERS]
        at = end + 1
    text = "\n".join("" if plain(line) in secret else line for line in kept)
    # What stands beside an answer in a fold explains it, so the fold goes with it.
    text = FOLD.sub(lambda fold: f"{YOURS}\n" if YOURS in fold[0] else fold[0], text)
    return re.sub(rf"{re.escape(YOURS)}(\n+{re.escape(YOURS)})+", YOURS, text)


def compiles(block, holes):
    """Whether a command compiles, by hand, a chapter with holes."""
    text = "\n".join(block)
    names = {name.split("/")[1] for name in holes}
    return "g++ " in text and any(name in text for name in names)


def without_dead_links(text, page, names):
    """The page with words in place of links to files that are not in the hand-out."""
    there = set(names) | {str(parent) for name in names for parent in pathlib.Path(name).parents}

    def checked(link):
        if not link[2]:
            return link[0]  # code
        target = link[2].split("#")[0]
        place = os.path.normpath(os.path.join(os.path.dirname(page), target))
        known = "://" in target or not target or place in there
        return link[0] if known else f"{link[1]} (not in this copy)"
    code = r"^```.*?^```$|`[^`]*`"
    link = r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)"
    return re.sub(f"{code}|{link}", checked, text, flags=re.MULTILINE | re.DOTALL)


ABOUT_THIS_COPY = """## This copy of the course

It was made for learners, by {who}. {complete} The answers stand nowhere in this copy: {count}
exercises, from {begin} to {end}, are yours.

```sh
make start-{first}            # the files of chapter {first}, with holes, to work/: edit them there
make check               # tests your next exercise, and says what to type next
make run-{first} WORK=1       # yours against the crowd; also run, serve-, step- and test-
make restore             # puts the published files of chapters/ and common/ back
```

{finished} `make test` tests what is complete, `make test-{first} WORK=1` a chapter that you have finished.
`make solution-{begin}` has nothing to show here.

"""
FINISHED = """Each server can be seen before it is written: `make run`, `run-{first}`, `serve-{first}`, `step-` and `wrong-`
run programs that came finished with this copy, and say so. On a machine of another kind than
{machine} they say which chapter to start with."""
NOT_FINISHED = """`make run` and `make run-{first}` say which chapter to start with until you add `WORK=1` to run
what you have written."""


def with_words_about(course, readme, first, who, finished):
    """The README with a section on what this copy is."""
    exercises = [e.number for e in course.exercises if e.chapter[:2] >= first]
    before = [chapter[:2] for chapter in course.chapters if chapter[:2] < first]
    complete = (f"Chapters {before[0]} to {before[-1]} are complete." if len(before) > 1 else
                "Chapter 01 is complete." if before else "No chapter is complete.")
    words = dict(first=first, who=who, complete=complete, count=len(exercises), begin=exercises[0],
                 end=exercises[-1], machine=platform.machine())
    words["finished"] = (FINISHED if finished else NOT_FINISHED).format(**words)
    code = re.compile(r"(```.*?```)", re.DOTALL)
    parts = code.split(ABOUT_THIS_COPY.format(**words))
    fill = lambda text: "\n\n".join(textwrap.fill(paragraph, 100, break_on_hyphens=False)
                                   for paragraph in text.strip().split("\n\n"))
    paragraphs = "\n\n".join(part if code.match(part) else fill(part) for part in parts) + "\n\n"
    return re.sub(r"^## ", lambda _: paragraphs + "## ", readme, count=1, flags=re.MULTILINE)


def answers_in(course, out, first):
    """(file, line) for each line of a solution in a hand-out."""
    secret = answer_lines(course, first)
    found = []
    for path in sorted(pathlib.Path(out).rglob("*")):
        learners = path.relative_to(out).parts[0] in (".git", "work", "build")
        if not learners and path.is_file() and path.stat().st_size < 4 << 20:
            for line in path.read_text("utf-8", "replace").split("\n"):
                if plain(line) in secret:
                    found.append((str(path.relative_to(out)), plain(line)))
    return found


def handout(course, options):
    if not options.get("OUT"):
        raise Problem("a hand-out where? For example: make handout OUT=../my-course FROM=06")
    first = options.get("FROM", course.chapters[0][:2])
    course.chapter(first)
    if course.held_back_from != "99" and first >= course.held_back_from:
        raise Problem("this is a hand-out itself: it has no answers to hold back")
    again = (pathlib.Path(options["OUT"]) / FILES).is_file()
    make_handout(course, options["OUT"], first, options.get("WHO", ""), options.get("BUILD"))
    found = answers_in(course, options["OUT"], first)
    for path, line in found:
        print(f"{path}: an answer: {line}")
    if found:
        raise Problem("the hand-out contains answers: do not give it to learners")
    numbers = [e.number for e in course.exercises if e.chapter[:2] >= first]
    print(f"{options['OUT']}: chapters before {first} are complete; {len(numbers)} exercises have "
          f"holes, {numbers[0]} to {numbers[-1]}." if numbers else "There are no exercises yet.")
    print("It contains no line of their solutions, and no history: git init makes it a repository."
          if not again else "It took the place of the earlier hand-out: commit it, and students pull.")
    print(f"\nNext: make -C {options['OUT']} progress")
    return 0
