"""Runs one test case and judges it: TODO, PASS, FAIL, TIMEOUT, CRASH, NORESULT or BUILD.

A case has passed only if the program was run for it alone, ended with status 0, and left a complete
result: this case and no other, passed, with at least one assertion (see tests/support/main.cpp).
Every other way to end has its own verdict.
"""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap

from course import TODO_WORDS

HERE = pathlib.Path(__file__).resolve().parent
TODO_STATUS, WATCHDOG_STATUS = 97, 3
MEGABYTES = 2048
SUPERVISOR_SECONDS = 15  # more than the test itself, until its supervisor is given up
LONGEST = 40  # lines of a message that are shown


def seconds():
    """The time limit of one test."""
    return 10 * float(os.environ.get("PATIENCE") or "1")


@dataclasses.dataclass
class Result:
    case: object
    verdict: str
    words: str = ""  # the message, ready to be shown
    seconds: float = 0.0
    apart: bool = False  # whether the test was kept from other processes and files

    @property
    def passed(self):
        return self.verdict == "PASS"


def command_of(program, case, workshop):
    """The command for one case. doctest's filters have wildcards and commas: "?" replaces them."""
    name = re.sub(r'[,\\*"\[\]]', "?", case.name)
    return [str(program), f"--test-case={name}", f"--build={workshop.folder}",
            f"--server={workshop.chapter}", "--no-colors=true"]


def opened(folder):
    """Creates the results, a pipe in which nothing can be changed afterwards, the output, and a
    folder for the test. Both are read through these descriptors: where a test does not run apart, it
    may replace the names by whatever it wants."""
    results, output = pathlib.Path(folder, "results"), pathlib.Path(folder, "output")
    os.mkfifo(results, 0o600)
    os.mkdir(pathlib.Path(folder, "room"))
    return (results, os.open(results, os.O_RDWR | os.O_NONBLOCK),
            output, os.open(output, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o600))


def read_some(descriptor, most):
    try:
        return os.read(descriptor, most).decode(errors="replace")
    except BlockingIOError:  # an empty pipe
        return ""


def remove(folder):
    """Removes a test's folder, also if the test took away its own rights to it."""
    os.chmod(folder, stat.S_IRWXU)
    for path, folders, _ in os.walk(folder):  # from above: it looks into each after this
        for inside in (os.path.join(path, name) for name in folders):
            if not os.path.islink(inside):
                os.chmod(inside, stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def run(program, case, workshop, apart=False, **variables):
    """`variables` are added to the test's environment. With `apart`, the test sees no other process
    and can write only into its own folder, where the kernel allows that (supervisor.py)."""
    folder = tempfile.mkdtemp(prefix="test-")
    results, pipe, output, file = opened(folder)
    try:
        command = [*command_of(program, case, workshop), f"--results={results}"]
        memory = 0 if workshop.sanitize else MEGABYTES
        environment = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"} | variables
        # A wait inside a test gives up before the test's time limit: its message says more.
        environment["PATIENCE"] = str(0.04 * seconds())
        supervisor = subprocess.run(
            [sys.executable, "-I", "-S", str(HERE / "supervisor.py"), *(["--apart"] if apart else []),
             str(seconds()), str(memory), str(output), "--", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=pathlib.Path(folder, "room"), env=environment,
            timeout=seconds() + SUPERVISOR_SECONDS, check=False)
        ended = json.loads(supervisor.stdout)
        said, lines = read_some(file, 1 << 20), read_some(pipe, 1 << 16).splitlines()
    except (ValueError, subprocess.TimeoutExpired):
        return Result(case, "CRASH", "the test could not be supervised: it stopped or ended its "
                      "supervisor")
    finally:
        os.close(pipe)
        os.close(file)
        remove(folder)
    result = judge(case, ended, lines, said)
    if not result.passed:
        result.words = workshop.translate(result.words)
    result.seconds, result.apart = ended["seconds"], ended["apart"]
    return result


def judge(case, ended, lines, said):
    """The verdict. `ended` is the supervisor's report, `lines` are those of the results file, and
    `said` is the output."""
    records = [(line.split("\t") + ["", ""])[:3] for line in lines]
    cases = [record for record in records if record[0] in ("passed", "failed", "skipped")]
    started = [name for result, name, _ in records if result == "started"]
    complete = bool(records) and records[-1][0] == "complete"
    told = message(said)

    if ended["swarm"]:
        return Result(case, "CRASH", "it started more processes than any test needs, and was killed")
    if ended["timeout"] or ended["signal"] == signal.SIGXCPU:
        words = f"it was stopped after {seconds():g} s: it hangs, or loops forever"
        return Result(case, "TIMEOUT", f"{told}\n{words}".strip())
    if ended["exit"] == TODO_STATUS or (TODO_WORDS in said and not passes(cases, ended)):
        line = next((l for l in said.splitlines() if TODO_WORDS in l), "")
        found = re.search(r"\d\d\.\d+ " + TODO_WORDS + r"[^\"']*", line)
        return Result(case, "TODO", found[0].strip() if found else "")
    undefined = re.search(r"^(\S+:\d+):\d+: runtime error: (.*)$", said, re.MULTILINE)
    if undefined:
        return Result(case, "CRASH", f"{undefined[1]}: undefined behaviour: {undefined[2]}\n"
                      f"{message(said.replace(undefined[0], ''))}".strip())
    if ended["signal"] == signal.SIGXFSZ:
        return Result(case, "CRASH", "it printed without end, and was killed")
    if ended["signal"] is not None:
        name = signal.Signals(ended["signal"]).name
        why = {"SIGSEGV": "an access to an invalid address",
               "SIGABRT": "abort, terminate or an assertion",
               "SIGPIPE": "a write to a closed connection or pipe", "SIGFPE": "a division by zero"}
        return Result(case, "CRASH", f"{told}\nkilled by {name}: {why.get(name, 'a signal')}".strip())
    if ended["exit"] == WATCHDOG_STATUS and not complete:
        return Result(case, "TIMEOUT", told)
    if not complete or len(started) > 1 or len(cases) > 1:
        status = f"the program ended (status {ended['exit']}) before the test did"
        return Result(case, "NORESULT", f"{told}\n{status}".strip())
    if not cases or started != [case.name]:
        return Result(case, "NORESULT", "the test program has no such test case, or ran another")
    if passes(cases, ended):
        return Result(case, "PASS", f"skipped: {cases[0][2]}" if cases[0][0] == "skipped" else "")
    return Result(case, "FAIL", told or cases[0][2])


def passes(cases, ended):
    return ended["exit"] == 0 and len(cases) == 1 and cases[0][0] in ("passed", "skipped")


def message(said):
    """The output without doctest's frame: where, what, and the steps before."""
    kept = []
    for line in said.replace("\r", "").splitlines():
        text = "".join(c for c in line if c.isprintable()).rstrip()
        if re.match(r"\[doctest\]|={10}|TEST (CASE|SUITE): |\S+_test\.cpp:\d+:$|DEEPEST|  \d\d\.\d+ ",
                    text):
            continue
        text = text.replace(" is NOT correct!", " does not hold")
        text = text.replace("FATAL ERROR: ", "").replace("ERROR: ", "")
        if text or (kept and kept[-1]):
            kept.append(text)
    while kept and not kept[-1]:
        kept.pop()
    if len(kept) > LONGEST:
        kept[LONGEST:] = [f"... ({len(kept) - LONGEST} more lines)"]
    return "\n".join(line[:1000] for line in kept)


def folded(text, indent, width=78):
    """Wraps the text for a screen of 80 columns; indented lines stay indented."""
    lines = []
    for line in text.splitlines():
        own = indent + " " * (len(line) - len(line.lstrip()))
        lines += textwrap.wrap(line.strip(), width, initial_indent=own, subsequent_indent=own,
                               break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join(lines)
