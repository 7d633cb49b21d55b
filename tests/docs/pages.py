#!/usr/bin/env python3
"""Keeps the code and the console transcripts on the pages true.

    pages.py check [PAGE...]    compares them with the sources and with real runs; checks links
    pages.py check-code [PAGE]  the same without the runs: the same answer on every machine
    pages.py fix-code [PAGE...] writes the code that differs again, and runs nothing
    pages.py fix [PAGE...]      rewrites the blocks that differ, then checks

Without PAGE: README.md and every page below docs/. Exit status 1 if anything is wrong.

A directive is an HTML comment on a line of its own; the fenced block on the next line is its
content. Nothing outside such a block is ever changed. An empty block is filled by `fix`.

Code
    <!-- code: FILE -->                  the whole file
    <!-- code: FILE "TEXT" -->           from the line that contains TEXT to the end of what starts
                                         there: its closing brace, or the line that ends in ";"
    <!-- code: FILE "FROM" "TO" -->      to the next line that contains TO
    <!-- code: FILE "TEXT" #2 -->        where several lines contain TEXT: the second
    <!-- code: FILE "exercise 05.2" -->  between the lines // EXERCISE 05.2 and // END 05.2; if
                                         there are several such parts, add #2 for the second
    <!-- code: [manual: WHY] -->         not taken from a file: never compared

    FILE counts from the root of the repository. A TEXT may start in a comment: comment lines lead
    to the code below them. "\\"" stands for a quotation mark. The markers of exercises are left out.

Transcripts
    <!-- run: COMMAND -->                a console block: "$ COMMAND", then stdout and stderr
    <!-- run: [OPTION]... COMMAND -->
    A long COMMAND may go on over several lines, before a line "-->"; the block shows "> " as bash
    does.

    COMMAND is run by bash in the root of the repository, without input, for at most 180 seconds.
    [exit 2]            the expected exit status (the default is 0)
    [lines 1-12]        show only these lines; "..." stands for those left out
    [grep REGEX]        show only the lines that match
    [measured]          every number may differ; words and the number of lines may not
    [server: COMMAND]   starts this first, waits until it prints "listening", and stops it at the
                        end. A free port takes the place of the one in its "--port N".
    [manual: WHY]       never run, never compared (two terminals); needs no COMMAND

    Left out: the lines in which make shows what it builds, and the crowd's warning that the machine
    was busy.
    Always free to differ: ports, process ids, addresses in memory, numbers with decimals,
    thousands commas or a unit, spacing, and drawings (see normalise).
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import pathlib
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIME_LIMIT = 180  # seconds for one command
PAGES_AT_ONCE = 4
CROWD = re.compile(r"make run(-\d\d)?\b")  # one at a time: they measure how busy the machine is


class Problem(Exception):
    """What is wrong with a block, as the end of an error line. `line` counts from its first."""

    def __init__(self, text, line=0):
        super().__init__(text)
        self.line = line


@dataclasses.dataclass
class Block:
    """A fenced block and the directive above it, if there is one. Lines count from 0."""

    language: str
    fence: int  # the line of the opening fence
    end: int  # the line of the closing fence
    body: list
    kind: str = ""  # "code", "run" or ""
    argument: str = ""


@dataclasses.dataclass
class Page:
    name: str
    lines: list
    blocks: list
    errors: list  # (line, text)

    def prose(self):
        """The lines with everything inside fences blanked."""
        lines = list(self.lines)
        for block in self.blocks:
            for number in range(block.fence, min(block.end + 1, len(lines))):
                lines[number] = ""
        return lines


# --- Reading a page ----------------------------------------------------------------------------

FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*([\w+-]*)")
DIRECTIVE = re.compile(r"^<!-- (code|run): (.*?)( -->)?$")
LOOKS_LIKE_DIRECTIVE = re.compile(r"^\s*<!--\s*(code|run)\b")


def parse_page(name, text):
    page = Page(name, text.split("\n"), [], [])
    directive = None
    number = 0
    while number < len(page.lines):
        line = page.lines[number]
        fence = FENCE.match(line)
        if fence:
            block = read_block(page, number, fence)
            if directive:
                block.kind, block.argument = directive
            page.blocks.append(block)
            number = block.end
        elif directive:
            page.errors.append((number - 1, "no fenced block follows this directive"))
        directive = None
        match = DIRECTIVE.match(line)
        if match:
            directive, number = read_directive(page, number, match)
        elif not fence and LOOKS_LIKE_DIRECTIVE.match(line):
            page.errors.append((number, "not a directive: <!-- code: ... --> or <!-- run: ... -->, "
                                "on a line of its own, not indented"))
        number += 1
    return page


def read_directive(page, start, match):
    """((kind, argument), its last line): one line, or several up to a line "-->"."""
    kind, argument, closed = match.groups()
    if closed:
        return (kind, argument), start
    for end in range(start + 1, len(page.lines)):
        if page.lines[end] == "-->":
            return (kind, "\n".join([argument, *page.lines[start + 1:end]])), end
    page.errors.append((start, "this directive is never closed"))
    return None, start


def read_block(page, start, fence):
    indent, marks, language = fence.groups()
    for end in range(start + 1, len(page.lines)):
        stripped = page.lines[end].strip()
        if stripped.startswith(marks) and set(stripped) == {marks[0]}:
            break
    else:
        page.errors.append((start, "this fenced block is never closed"))
        end = len(page.lines)
    return Block(language, start, end, page.lines[start + 1:end])


OPTION = re.compile(r"\[(exit(?= \d+\])|lines(?= \d+-\d+\])|grep|measured|server|manual)\b"
                    r":?\s*([^\]]*)\]\s*")


def split_options(argument):
    """'[exit 2] make x' -> ({'exit': '2'}, 'make x')."""
    options = {}
    while match := OPTION.match(argument):
        options[match[1]] = match[2].strip()
        argument = argument[match.end():]
    if argument.startswith("["):
        raise Problem(f"there is no such option: {argument}")
    return options, argument.strip()


# --- Code --------------------------------------------------------------------------------------

MARKER = re.compile(r"^\s*// (EXERCISE|END) \d\d\.\d+$")


def snippet(root, argument):
    """The lines of code that a directive names."""
    try:
        file, *words = shlex.split(argument)
        lines = (root / file).read_text("utf-8").rstrip("\n").split("\n")
    except (ValueError, OSError) as error:
        raise Problem(f"cannot read the code {argument}: {getattr(error, 'strerror', error)}")
    first, last = 0, len(lines) - 1
    if words:
        first, last = find_range(file, lines, words)
    chosen = [line for line in lines[first:last + 1] if not MARKER.match(line)]
    return textwrap.dedent("\n".join(chosen)).strip("\n").split("\n")


def find_range(file, lines, words):
    text, *rest = words
    which = None
    if rest and re.fullmatch(r"#\d+", rest[0]):
        which = int(rest.pop(0)[1:])
    if text.startswith("exercise "):
        return find_exercise(file, lines, text.split()[1], which)
    first = find_start(file, lines, text, which)
    if not rest:
        return first, end_of_construct(file, lines, first)
    if len(rest) > 1:
        raise Problem(f"too many texts for {file}: a FROM and a TO at most")
    for last in range(first + 1, len(lines)):
        if rest[0] in lines[last]:
            return first, last
    raise Problem(f'no line of {file} contains "{rest[0]}" after "{text}"')


def find_start(file, lines, text, which):
    found = [number for number, line in enumerate(lines) if text in line]
    if not found:
        raise Problem(f'no line of {file} contains "{text}"')
    if which is None and len(found) > 1:
        raise Problem(f'{len(found)} lines of {file} contain "{text}": '
                      f'write more of it, or "{text}" #2')
    if which is not None and not 1 <= which <= len(found):
        raise Problem(f'{file} contains "{text}" {len(found)} times: there is no #{which}')
    return found[(which or 1) - 1]


def find_exercise(file, lines, number, which):
    begins, ends = ([i for i, line in enumerate(lines) if line.strip() == f"// {word} {number}"]
                    for word in ("EXERCISE", "END"))
    if len(begins) != len(ends):
        raise Problem(f"{file} has {len(begins)} lines // EXERCISE {number} "
                      f"and {len(ends)} lines // END {number}")
    if which is None and len(begins) != 1:
        raise Problem(f"{file} has {len(begins)} parts // EXERCISE {number}, not one"
                      + (f': write "exercise {number}" #2' if begins else ""))
    if which is not None and not 1 <= which <= len(begins):
        raise Problem(f"{file} has {len(begins)} parts // EXERCISE {number}: there is no #{which}")
    return begins[(which or 1) - 1], ends[(which or 1) - 1]


LITERAL = re.compile(r'"(\\.|[^"\\])*"|(?<!\w)\'(\\.|[^\'\\])*\'')


def end_of_construct(file, lines, first):
    """The line on which all brackets opened since `first` are closed and a statement ends."""
    depth = 0
    for number in range(first, len(lines)):
        code = LITERAL.sub('""', lines[number]).split("//")[0].rstrip()
        depth += sum(map(code.count, "({[")) - sum(map(code.count, ")}]"))
        if depth <= 0 and (code.endswith((";", "}")) or code.lstrip().startswith("#")):
            return number
    raise Problem(f"what starts in line {first + 1} of {file} does not end: name its last line too")


# --- Transcripts -------------------------------------------------------------------------------


def transcript(root, argument):
    """The lines that a console block must show: the command and what it prints."""
    options, command = split_options(argument)
    if not command:
        raise Problem("this directive names no command")
    status, output = run(root, command, options.get("server"))
    expected = int(options.get("exit", "0"))
    if status != expected:
        last = output[-1] if output else "nothing was printed"
        raise Problem(f'{show(command)} ended with status {status}, not {expected}: {last}')
    return prompt(command) + choose(output, options)


def prompt(command):
    return ("$ " + command.replace("\n", "\n> ")).split("\n")


@functools.lru_cache(maxsize=None)  # many pages show the same tour
def run(root, command, server):
    """Runs it, with the server beside it where one is named. Returns (status, lines)."""
    if not server:
        return run_alone(root, command)
    match = re.search(r"--port[ =](\d+)", server)
    if not match:
        raise Problem(f'the server "{server}" has no --port N')
    shown, real = match[1], str(free_port())

    def swap(text, old, new):
        return re.sub(rf"\b{old}\b", new, text)

    with Server(root, swap(server, shown, real)):
        status, output = run_alone(root, swap(command, shown, real))
    return status, [swap(line, real, shown) for line in output]


def run_alone(root, command):
    with crowd_lock if CROWD.match(command) else contextlib.nullcontext():
        return run_now(root, command)


def run_now(root, command):
    process = start(root, command, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        raise Problem(f'{show(command)} did not end within {TIME_LIMIT} seconds')
    finally:
        stop(process)
    text = BUILDING.sub("", ANSI.sub("", output.decode("utf-8", "replace")))
    lines = text.rstrip("\n").split("\n") if text else []
    return process.returncode, [line.rstrip() for line in lines]


class Server:
    """A server that listens while the `with` block runs."""

    def __init__(self, root, command):
        self.process = start(root, command, stderr=subprocess.DEVNULL)
        # If the server never prints a line, only its end makes readline() return.
        watchdog = threading.Timer(TIME_LIMIT, kill, [self.process])
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        if b"listening" not in line:
            stop(self.process)
            raise Problem(f'the server "{command}" does not listen')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)


def start(root, command, stderr):
    # A command on a page is typed by a reader: not from inside another make, on a plain terminal.
    hidden = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "ARGS", "WORK", "PORT")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment.update(LC_ALL="C.UTF-8", TERM="dumb", COLUMNS="80")
    return subprocess.Popen(["bash", "-c", command], cwd=root, env=environment,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                            start_new_session=True)


def kill(process):
    """Ends it and everything that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def stop(process):
    kill(process)
    process.wait()
    process.stdout.close()


def free_port():
    """Of four digits, as those on the pages: then their lines have the same length."""
    for port in random.sample(range(7100, 10_000), 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("a hundred ports between 7100 and 10000 are taken")


def choose(lines, options):
    """Only the lines that the options ask for; "..." stands for the others."""
    first, last = 1, len(lines)
    if "lines" in options:
        first, last = map(int, options["lines"].split("-"))
    pattern = re.compile(options.get("grep", ""))
    chosen = []
    for number, line in enumerate(lines, 1):
        if first <= number <= last and pattern.search(line):
            chosen.append(line)
        elif chosen[-1:] != ["..."]:
            chosen.append("...")
    return chosen


ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
BUILDING = re.compile(r"^(?:(?:g|clang)\+\+\S* -.*|(?:compiling|building) \S+/\S+"
                      r"|make\[\d+\]: (?!\*\*\*).*|Busy machine: .*)\n?", re.MULTILINE)
ADDRESS = re.compile(r"\b(127\.0\.0\.1|localhost)([: ]\d+)?\b")
NAMED = re.compile(r"\b(pid|sleeps)\b[ =:]*\d+(?!\.?\d)")
HEXADECIMAL = re.compile(r"\b0x[0-9a-fA-F]+")
# "05.2" is the number of an exercise, never a figure.
NUMBER = r"(?<![\w.])(?!0\d)\d+(?:,\d{3})*"
UNIT = r"(?:ns|us|µs|ms|s|sec|seconds?|min|times|%|x|B|bytes|[kKMG]i?B|/s|Hz|k|M)(?!\w)"
FIGURE = re.compile(rf"{NUMBER}(?:\.\d+(?: ?{UNIT})?| ?{UNIT})"
                    r"|(?<![\w.])(?:\d{1,3}(?:,\d{3})+(?![\w.])|\d+m\d+\.\d+s)")  # 0m1.5s: time
# But the number in a name, as in "03-select", is part of the name.
ANY_NUMBER = re.compile(r"(?<![\w.])(?!0\d\b)\d(?:[\d,.']*\d)?")
# Box and block characters with what lies between them, or four other signs in a row.
DRAWING = re.compile(r"""[\u2500-\u25ff·>](?:\s*[\u2500-\u25ff·>])+|[^\w\s"'()$]{4,}""")


def normalise(line, measured=False):
    """The line without the parts that may differ from run to run."""
    line = ADDRESS.sub("ADDRESS", line)
    line = NAMED.sub(r"\1 N", line)
    line = HEXADECIMAL.sub("N", line)
    line = FIGURE.sub("N", line)
    if measured:
        line = ANY_NUMBER.sub("N", line)
    line = DRAWING.sub("~", line)
    return " ".join(line.split())


# --- Comparing and mending ---------------------------------------------------------------------


def is_manual(block):
    options, _ = split_options(block.argument)
    if options.get("manual") == "":
        raise Problem("[manual: WHY] needs a reason")
    return "manual" in options


crowd_lock = threading.Lock()
with_runs = True  # whether transcripts are compared, too


def wanted(root, block):
    """What the block must contain; None if it is not to be compared."""
    if not block.kind:
        if block.language in ("cpp", "console"):
            kind = "code" if block.language == "cpp" else "run"
            raise Problem(f"this {block.language} block has no directive <!-- {kind}: ... -->")
        return None
    if is_manual(block) or (block.kind == "run" and not with_runs):
        return None
    if block.kind == "run" and block.language != "console":
        raise Problem("a run directive needs a console block")
    lines = (snippet if block.kind == "code" else transcript)(root, block.argument)
    if any(FENCE.match(line) for line in lines):
        raise Problem("the new content has a fence in it")
    return lines


def compare(block, lines):
    """Raises Problem at the first line that differs."""
    if block.kind == "code":
        source = f"code differs from {shlex.split(block.argument)[0]}"
        same = str.__eq__
    else:
        options, command = split_options(block.argument)
        source = f"transcript differs from a run of {show(command)}"
        measured = "measured" in options
        literal = prompt(command)

        def same(old, new):
            if new in literal:
                return old == new
            return normalise(old, measured) == normalise(new, measured)

    for number in range(max(len(block.body), len(lines))):
        old, new = (part[number] if number < len(part) else None for part in (block.body, lines))
        if old is None or new is None or not same(old, new):
            raise Problem(f"{source}: {show(old)} should be {show(new)}", number + 1)


def show(line):
    return "the end" if line is None else '"' + textwrap.shorten(line, 80, placeholder="...") + '"'


def check_blocks(root, page):
    for block in page.blocks:
        try:
            lines = wanted(root, block)
            if lines is not None:
                compare(block, lines)
        except Problem as problem:
            page.errors.append((block.fence + problem.line, str(problem)))


def mend_blocks(root, page):
    """Rewrites the blocks that differ. Returns (line, text) of each."""
    mended = []
    for block in reversed(page.blocks):  # from the end: a new length moves no block still to come
        lines = None
        try:
            lines = wanted(root, block)
            if lines is not None:
                compare(block, lines)
        except Problem:
            if lines is not None:  # it differs; the check reports all other problems
                page.lines[block.fence + 1:block.end] = lines
                mended.append((block.fence, f"rewritten: {' '.join(block.argument.split())}"))
    return mended


# --- Links -------------------------------------------------------------------------------------

INLINE_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
LINK = re.compile(r"""\]\(\s*<?([^)>\s]+)>?(?:\s+["'][^)]*)?\)    # [text](target "title")
                    | ^\s{0,3}\[[^\]^]+\]:\s*<?([^>\s]+)          # [label]: target
                    | (?:href|src)=["']([^"']+)["']""", re.VERBOSE)
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*$")
EXPLICIT_ANCHOR = re.compile(r"""<\w+[^>]*\s(?:id|name)=["']([^"']+)["']""")


def links(page):
    """(line, target) of every link."""
    for number, line in enumerate(page.prose()):
        for match in LINK.finditer(INLINE_CODE.sub("", line)):
            yield number, next(filter(None, match.groups()))


def anchors(page):
    """The anchors that GitHub gives the page's headings, and those that it names itself."""
    found = set()
    for line in page.prose():
        found.update(EXPLICIT_ANCHOR.findall(line))
        heading = HEADING.match(line)
        if heading:
            name = base = anchor(heading[1])
            count = 0
            while name in found:
                count += 1
                name = f"{base}-{count}"
            found.add(name)
    return found


def anchor(heading):
    """GitHub: lower case, spaces become hyphens, other punctuation goes."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    text = re.sub(r"<[^>]+>", "", text)
    text = re.sub(r"(?<!\w)_(.+?)_(?!\w)", r"\1", text)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def check_links(root, page):
    for number, target in links(page):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):  # https:, mailto:
            continue
        path, _, fragment = urllib.parse.unquote(target).partition("#")
        file = (root / page.name).parent / path if path else root / page.name
        if path.startswith("/") or not file.resolve().is_relative_to(root.resolve()):
            page.errors.append((number, f"link leaves the repository: {target}"))
        elif not file.exists():
            page.errors.append((number, f"link to what does not exist: {target}"))
        elif fragment and file.suffix == ".md":
            if fragment not in anchors(parse_page(path, file.read_text("utf-8"))):
                page.errors.append((number, f"link to an anchor that does not exist: {target}"))


# --- The command -------------------------------------------------------------------------------


def all_pages(root):
    pages = sorted((root / "docs").rglob("*.md")) + [root / "README.md"]
    return [str(page.relative_to(root)) for page in pages if page.exists()]


def work_on(root, name, fix):
    """Checks one page, mended first with `fix`. Returns the lines to print: (mended, wrong)."""
    file = root / name
    page = parse_page(name, file.read_text("utf-8"))
    mended = mend_blocks(root, page) if fix and not page.errors else []
    if mended:
        file.write_text("\n".join(page.lines), "utf-8")
        page = parse_page(name, file.read_text("utf-8"))
    check_blocks(root, page)
    check_links(root, page)

    def lines(found):
        return [f"{name}:{line + 1}: {text}" for line, text in sorted(found, key=lambda f: f[0])]

    return lines(mended), lines(page.errors)


def main(arguments=None, root=ROOT):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("check", "check-code", "fix", "fix-code"))
    parser.add_argument("pages", nargs="*", metavar="PAGE")
    options = parser.parse_args(arguments)
    run.cache_clear()
    global with_runs
    with_runs = options.action in ("check", "fix")

    names = options.pages or all_pages(root)
    for name in names:
        if not (root / name).is_file():
            parser.error(f"there is no page {name} in {root}")
    wrong = 0
    # The commands of one page run in order, since some use what an earlier one has written. Most of
    # them wait most of the time, so several pages are checked side by side.
    with concurrent.futures.ThreadPoolExecutor(PAGES_AT_ONCE) as pool:
        fix = options.action in ("fix", "fix-code")
        for done in pool.map(lambda name: work_on(root, name, fix), names):
            mended, errors = done
            print(*mended, *errors, sep="\n", end="\n" if mended or errors else "", flush=True)
            wrong += len(errors)
    print(f"{wrong} wrong; code and transcripts are mended by: make docs-fix" if wrong
          else f"pages checked: {len(names)}, all true")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
