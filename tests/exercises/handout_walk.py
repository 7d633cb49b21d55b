#!/usr/bin/env python3
"""Types every command of the README and the pages in a hand-out, as a learner would.

    handout_walk.py [FROM=01,05,08]     makes these hand-outs and walks through each
    handout_walk.py DIR=../my-course    walks through one that exists

For each command one line of a log: the verdict, the time, the command, and the last line that it
printed. A command is right if it ends with the status that the page expects, and prints neither an
error of make nor a traceback; a server must answer a line instead of saying that it is yours to write;
a command of the exercises ends with the next command to type. Then chapter FROM is started, with holes
and with our solutions, and the commands of the learner's own work are typed.
"""

import concurrent.futures
import dataclasses
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/docs"), str(ROOT / "tests/exercises")]
import pages  # noqa: E402
from handout import NEEDS_ANSWERS  # noqa: E402

# Not typed, and why. The first that matches counts.
LEFT_OUT = [
    (r"\bNN\b|\.\.\.", "stands for several commands"),
    (r"^make (watch|debug)-", "for a person at a terminal"),
    (r"^nc\b", "a line is sent to every server that is started"),
    (r"^make (bench|bench-growth|mutants)\b|tests/bench/bench.py(?!.*--show)", "measures for minutes"),
    (r"^make (book|conformance|recordings|figures)\b", "needs npm or gnuplot, or is for authors"),
    (r"^make -B all", "compiles everything again"),
    (r"^make (handout|grade|gradescope|verify-exercises)\b", "for teachers"),
    (r"tests/run.py .*--table", "minutes, and the service tests are typed as make test-NN"),
    (r"^make step-07.3 SANITIZE", "ends with the report of a leak, as its page says"),
    (r"^(ss|strace -r) ", "beside a server in another terminal"),
]
SERVER = re.compile(r"^(make serve-\S+|build/(?!07)\d\d-[\w-]+)( [^|;&>]*)?$")
EXERCISES = re.compile(r"^make (check|progress|start|hint|reset|solution|run WORK|run-\S+ WORK|test-\S+ WORK)")
WRONG = [(r"^make(\[\d+\])?: \*\*\*", "an error of make"), (r"^Traceback ", "a traceback"),
         (r"No rule to make target", "no such command")]
UNWRITTEN = re.compile(r"\d\d\.\d+ is yours to write:")
SHARED = re.compile(r"/tmp/|--port 7\d\d\d|strace")  # files and ports that other hand-outs use, too
pages.TIME_LIMIT = 900  # seconds for one command; make test compiles most of the course
one_at_a_time = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Command:
    text: str
    server: str = ""  # runs beside it
    status: int = 0


def commands_of(name, text):
    """The commands of a page in order: those of its transcripts, of its sh blocks, and in its text."""
    page = pages.parse_page(name, text)
    found = []
    for block in page.blocks:
        options, command = {}, ""
        if block.kind == "run":
            options, command = pages.split_options(block.argument)
        if block.kind == "code" or block.language not in ("console", "sh", "bash"):
            continue
        if NEEDS_ANSWERS in page.lines[block.end:block.end + 3]:
            continue
        if "manual" in options or not block.kind:
            shown = "\n".join(block.body)
            if block.language == "console":
                lines = re.findall(r"^\$ (.*)", shown, re.MULTILINE)
            elif "kill $!" in shown:  # one script
                lines = [shown]
            else:
                lines = shown.replace("\\\n", " ").split("\n")
            found += [(block.fence, Command(line.split("  #")[0].strip(" &"))) for line in lines
                      if re.match(r"(make|nc|build/)", line)]
        else:
            found.append((block.fence, Command(command, options.get("server", ""),
                                               int(options.get("exit", "0")))))
    for number, line in enumerate(page.prose()):
        for code in re.findall(r"`((?:make|nc|build/\d\d)\b[^`]*)`", line):
            found.append((number, Command(code.strip())))
    return [command for _, command in sorted(found, key=lambda pair: pair[0])]


class Walk:
    def __init__(self, folder, first):
        self.folder, self.first = folder, first
        self.lines, self.failed, self.left_out = [], 0, 0

    def log(self, verdict, seconds, command, words):
        shown = " ".join(command.split())[:44]
        self.lines.append(f"{self.first} {verdict:<4} {seconds:5.1f} s  {shown:<44}  {words[:90]}")
        print(self.lines[-1], flush=True)

    def type(self, command):
        why = next((why for pattern, why in LEFT_OUT if re.search(pattern, command.text)), "")
        chapter = re.match(r"make test-(\d\d)( SANITIZE=\S+)?$", command.text)
        if chapter and chapter[1] < self.first and (chapter[2] or int(chapter[1]) + 1 < int(self.first)):
            why = "a part of make test, or of it with a sanitizer"
        if command.text.split("#")[0].strip() == "make test" and self.first > "05":
            why = "typed in earlier hand-outs; here it would be nearly all tests of the course"
        if why:
            self.left_out += 1
            return self.log("-", 0, command.text, f"not typed: {why}")
        began = time.monotonic()
        shared = one_at_a_time if SHARED.search(command.text) else threading.Lock()
        with shared:
            try:
                if SERVER.match(command.text):
                    trouble, output = self.serve(command.text)
                else:
                    pages.run.cache_clear()  # the same words may do something else by now
                    status, output = pages.run(self.folder, command.text, command.server or None)
                    trouble = self.trouble(command, status, output)
            except pages.Problem as problem:
                trouble, output = str(problem), []
        last = next((line for line in reversed(output) if line.strip()), "")
        self.failed += bool(trouble)
        self.log("BAD" if trouble else "ok", time.monotonic() - began, command.text,
                 f"{trouble}: {last}" if trouble else last)

    def trouble(self, command, status, output):
        """What is wrong with the way in which it ended; empty if nothing is."""
        for pattern, what in WRONG:
            if any(re.search(pattern, line) for line in output):
                return what
        if any(map(UNWRITTEN.search, output)) and not EXERCISES.search(command.text):
            return "it reached a hole"
        last = next((line for line in reversed(output) if line.strip()), "")
        if EXERCISES.search(command.text) and not re.match(r"Next: make |make: ", last):
            return "the last line is not the next command"
        if status != command.status:
            return f"status {status}, not {command.status}"
        return ""

    def serve(self, text):
        """Starts a server, and sends it a line. A refusal in one line is right, too."""
        port = str(pages.free_port())
        if text.startswith("make"):
            text = re.sub(r" PORT=\d+", "", text) + f" PORT={port}"
        else:
            text = re.sub(r" --port \d+", "", text) + f" --port {port}"
        process = pages.start(self.folder, text, stderr=subprocess.STDOUT)
        watchdog = threading.Timer(pages.TIME_LIMIT, pages.kill, [process])
        watchdog.start()
        try:
            output = []
            for line in process.stdout:
                output.append(line.decode(errors="replace").rstrip())
                if "listening on" in output[-1]:
                    break
            else:  # it has ended
                return self.trouble(Command(text), process.wait(), output), output
            with socket.create_connection(("127.0.0.1", int(port)), 30) as client:
                client.settimeout(30)
                client.sendall(b"hello\n")
                answer = client.recv(100)
            output.append(f"answers {answer!r}")
            fine = answer == b"hello\n" or "chat" in text and answer
            if fine:
                process.send_signal(signal.SIGTERM)
            return ("" if fine else "it does not answer"), output
        except OSError as error:
            return f"it does not answer ({error})", output
        finally:
            watchdog.cancel()
            pages.stop(process)

    def pages(self):
        """Every command of every page once; first those that build, last those that start work."""
        names = ["README.md", *sorted(str(path.relative_to(self.folder))
                                      for path in self.folder.glob("docs/*.md"))]
        found = []
        for name in names:
            complete = re.match(r"docs/\d\d", name) and name[5:7] < self.first
            # Scripts that measure a complete chapter measure the same as in the complete course,
            # where `make docs-check` runs them.
            found += [command for command in commands_of(name, (self.folder / name).read_text())
                      if not complete or re.match(r"(make|build/)[^\n]*$", command.text)]
        found = list(dict.fromkeys([Command("make run"), Command("make"), Command("make serve-chat"),
                                    *found]))
        starts = [command for command in found if re.match("make (start|reset)-", command.text)]
        for command in [c for c in found if c not in starts] + starts:
            self.type(command)

    def own_work(self):
        """The commands for chapter FROM with holes, then with our solutions."""
        f, chapter = self.first, next(path.name for path in (ROOT / "chapters").iterdir()
                                      if path.name.startswith(self.first))
        holes = [f"start-{f}", f"check-{f}.1", "check", "progress", f"hint-{f}.1", f"run-{f} WORK=1",
                 "run WORK=1", f"test-{f} WORK=1", "test WORK=1", f"test-{f}", f"solution-{f}.1",
                 f"solution-{f}.1 FORCE=1", "restore"]
        solved = [f"check-{f}.1", f"run-{f} WORK=1", f"serve-{f} WORK=1", f"test-{f} WORK=1",
                  f"reset-{f}"]
        steps = sorted((ROOT / "chapters" / chapter / "steps").glob("[1-9]-*.cpp"))
        solved[3:3] = [f"step-{f}.{path.name[0]} WORK=1" for path in steps[-1:]]
        solved[3:3] = [f"wrong-{f}.1 WORK=1"] if (ROOT / "chapters" / chapter / "wrong").exists() else []
        for text in holes:
            self.type(Command(f"make {text}"))
        for path in (self.folder / "work" / chapter).rglob("*.[hc]pp"):
            shutil.copyfile(ROOT / "chapters" / chapter / path.relative_to(
                self.folder / "work" / chapter), path)
        for text in solved:
            self.type(Command(f"make {text}"))


def walk(folder, first):
    one = Walk(folder, first)
    one.pages()
    one.own_work()
    return one


def make(out, first):
    done = subprocess.run(["make", "-s", "-C", str(ROOT), "handout", f"OUT={out}", f"FROM={first}"],
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout)
    seed(out, first)


def seed(out, first):
    """Takes over what does not depend on holes and is compiled already: compiling it again would be
    most of the walk."""
    old = ROOT / "build"
    kept = [path for path in (old / "obj").rglob("*") if path.is_file()
            and not re.search(r"/(\d\d)-", str(path)[len(str(old)):])
            or (found := re.search(r"/(\d\d)-", str(path)[len(str(old)):])) and found[1] < first]
    for path in [*kept, old / "tests/faults.so"]:
        if path.is_file():
            place = out / "build" / path.relative_to(old)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def main():
    options = dict(word.split("=", 1) for word in sys.argv[1:])
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="handout-walk-") as temporary:
        if "DIR" in options:
            folder = pathlib.Path(options["DIR"]).resolve()
            note = folder / ".handout"
            about = json.loads((note / "about.json" if note.is_dir() else note).read_text())
            todo = [(folder, about["from"])]
        else:
            todo = [(pathlib.Path(temporary, first), first)
                    for first in options.get("FROM", "01,05,08").split(",")]
            for folder, first in todo:
                make(folder, first)
        with concurrent.futures.ThreadPoolExecutor(len(todo)) as pool:
            walks = list(pool.map(lambda pair: walk(*pair), todo))
    bad = [line for one in walks for line in one.lines if line[3:6] == "BAD"]
    print("\n" + "\n".join(bad) if bad else "")
    typed = sum(len(one.lines) - one.left_out for one in walks)
    print(f"{typed} commands typed in {len(walks)} hand-outs, {len(bad)} wrong, "
          f"{sum(one.left_out for one in walks)} not typed, {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
