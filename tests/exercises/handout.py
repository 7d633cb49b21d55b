"""Hand-outs: the course with holes and without the answers.

    exercises.py handout OUT=DIR [FROM=06] [WHO=...]
"""

import json
import pathlib
import re
import shutil
import subprocess

from course import Problem

NOT_IN_HANDOUT = ("tests/exercises/right/", "tests/exercises/wrong/", "tests/mutants/",
                  "docs/teaching/", ".ci/", ".github/")


# --- Hand-outs ---------------------------------------------------------------------------------


def course_files(root):
    """The files of the course: those that git knows, or all files if this is no git repository."""
    git = subprocess.run(["git", "-C", str(root), "ls-files", "-z", "--cached", "--others",
                          "--exclude-standard"], capture_output=True, check=False)
    if git.returncode == 0 and git.stdout:
        names = git.stdout.decode().split("\0")
    else:
        names = [str(path.relative_to(root)) for path in root.rglob("*")]
        names = [n for n in names if not re.match(r"(build|work|\.git)(/|$)|.*__pycache__", n)]
    return sorted(name for name in set(names) if name and (root / name).is_file())


def make_handout(course, out, first, who=""):
    """Writes the tree. `first` is the number of the first chapter whose answers are held back."""
    out = pathlib.Path(out)
    if out.exists() and any(out.iterdir()):
        raise Problem(f"{out} is not empty: a hand-out needs a folder of its own")
    held = {chapter: files for chapter, files in course.files.items() if chapter[:2] >= first}
    holes = {f"chapters/{chapter}/{path}": (chapter, path)
             for chapter, files in held.items() for path in files}
    secret = answer_lines(course, first)
    for name in course_files(course.root):
        if name.startswith(NOT_IN_HANDOUT):
            continue
        place = out / name
        place.parent.mkdir(parents=True, exist_ok=True)
        source = course.root / name
        if name in holes:
            place.write_text(course.skeleton(*holes[name]))
        elif name.endswith(".md"):
            place.write_text(without_answers(source.read_text(), secret, holes))
        elif name == ".gitignore":
            kept = [line for line in source.read_text().splitlines() if line != "work/"]
            place.write_text("\n".join(kept) + "\n")
        else:
            shutil.copyfile(source, place)
        shutil.copymode(source, place)
    note = {"from": first, "who": who or "the person who made it"}
    (out / ".handout").write_text(json.dumps(note) + "\n")


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
        lines = (course.root / name).read_text().split("\n")
        taken = set()
        for region in regions:
            taken |= set(region.taken)
            inside.add(plain(region.body) if "\n" not in region.body.strip() else "")
            outside |= {plain(line) for line in region.broken + region.stub}
        for number, line in enumerate(lines):
            (inside if number in taken else outside).add(plain(line))
    long_enough = {line for line in inside if len(re.sub(r"\W", "", line)) >= 12}
    return long_enough - outside


YOURS = "*This code is yours to write: see the exercises below.*"
# A fold with nothing else in it.
EMPTY_FOLD = re.compile(r"<details><summary>[^\n]*</summary>\n+"
                        rf"({re.escape(YOURS)}\n)\n*(?:{re.escape(YOURS)}\n+)*</details>\n")


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
        at = end + 1
    text = "\n".join("" if plain(line) in secret else line for line in kept)
    return EMPTY_FOLD.sub(r"\1", text)


def answers_in(course, out, first):
    """(file, line) for each line of a solution in a hand-out."""
    secret = answer_lines(course, first)
    found = []
    for path in sorted(pathlib.Path(out).rglob("*")):
        if path.is_file() and path.stat().st_size < 4 << 20:
            for line in path.read_text(errors="replace").split("\n"):
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
    make_handout(course, options["OUT"], first, options.get("WHO", ""))
    found = answers_in(course, options["OUT"], first)
    for path, line in found:
        print(f"{path}: an answer: {line}")
    if found:
        raise Problem("the hand-out contains answers: do not give it to learners")
    numbers = [e.number for e in course.exercises if e.chapter[:2] >= first]
    print(f"{options['OUT']}: chapters before {first} are complete; {len(numbers)} exercises have "
          f"holes, {numbers[0]} to {numbers[-1]}." if numbers else "There are no exercises yet.")
    print("It contains no line of their solutions, and no history: git init makes it a repository.")
    print(f"\nNext: make -C {options['OUT']} progress")
    return 0
