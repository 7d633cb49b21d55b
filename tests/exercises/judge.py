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
import time

from course import TODO_WORDS, Problem

HERE = pathlib.Path(__file__).resolve().parent
TODO_STATUS, WATCHDOG_STATUS = 97, 3
MEGABYTES = 2048
SUPERVISOR_SECONDS = 15  # more than the test itself, until its supervisor is given up
LONGEST = 40  # lines of a message that are shown


def seconds():
    """The time limit of one test. Raises Problem."""
    patience = os.environ.get("PATIENCE") or "1"
    try:
        factor = float(patience)
    except ValueError:
        factor = 0
    if not 0 < factor < 1e6:
        raise Problem(f"PATIENCE={patience} is not a factor for the time limits, like 4 or 0.5")
    return 10 * factor


@dataclasses.dataclass
class Result:
    case: object
    verdict: str
    words: str = ""  # the message, ready to be shown
    seconds: float = 0.0
    apart: bool = False  # whether the test was kept from other processes and files, if that is known

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
    room = pathlib.Path(folder, "room")
    os.mkfifo(results)
    os.mkdir(room)
    # A test may run as another user (supervisor.py). None other knows the folder's name.
    for path, mode in [(folder, 0o711), (results, 0o622), (room, 0o777)]:
        os.chmod(path, mode)
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


def supervisor(output, limit, workshop, command, apart, network=False):
    """The command line of a supervisor. Apart, a test does not see the files that tell the answers."""
    options = []
    if apart:
        root, others = workshop.course.root.resolve(), workshop.course.extra_tests
        hidden = [root / name for name in ("chapters", "tests", "docs", ".git", "work")]
        hidden += [pathlib.Path(others).resolve()] if others else []
        options = ["--apart", *(["--network"] if network else []),
                   *(f"--hide={folder}" for folder in hidden if folder.is_dir())]
    memory = 0 if workshop.sanitize else MEGABYTES
    return [sys.executable, "-I", "-S", str(HERE / "supervisor.py"), *options, str(limit), str(memory),
            str(output), "--", *command]


def environment(apart, variables):
    """The environment of a test. Apart, it has nothing that could be a secret."""
    kept = re.compile(r"PATH|LD_LIBRARY_PATH|LANG|LC_\w+|TZ|\w+SAN_OPTIONS" if apart else "(?!MAKEFLAGS).*")
    found = {key: value for key, value in os.environ.items() if kept.fullmatch(key)} | variables
    # A wait inside a test gives up before the test's time limit: its message says more.
    return {**found, "PATIENCE": str(0.04 * seconds())}


def run(program, case, workshop, apart=False, **variables):
    """`variables` are added to the test's environment. With `apart`, the test is kept from other
    processes, from the network and from files, where the kernel allows that (supervisor.py)."""
    folder = tempfile.mkdtemp(prefix="test-")
    results, pipe, output, file = opened(folder)
    try:
        command = [*command_of(program, case, workshop), f"--results={results}"]
        done = subprocess.run(
            supervisor(output, seconds(), workshop, command, apart), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, cwd=pathlib.Path(folder, "room"),
            env=environment(apart, variables), timeout=seconds() + SUPERVISOR_SECONDS, check=False)
        ended = json.loads(done.stdout)
        said, lines = read_some(file, 1 << 20), read_some(pipe, 1 << 16).splitlines()
    except (ValueError, subprocess.TimeoutExpired):
        return Result(case, "CRASH", "the test could not be supervised: it stopped or ended its "
                      "supervisor", apart=apart)
    finally:
        os.close(pipe)
        os.close(file)
        remove(folder)
    result = judge(case, ended, lines, said)
    if not result.passed:
        result.words = workshop.translate(result.words)
    result.seconds, result.apart = ended["seconds"], ended["apart"]
    return result


# --- Tests that share nothing with what they test ----------------------------------------------


def run_outside(server, case, workshop):
    """Runs a test that is a program of its own: `python3 CASE PORT`. It passes with status 0. The
    chapter's server runs apart, and nothing connects the two but that port."""
    folder = tempfile.mkdtemp(prefix="test-")
    _, pipe, output, file = opened(folder)
    began, limit = time.monotonic(), seconds()
    supervised = subprocess.Popen(
        supervisor(output, 2 * limit, workshop, [str(server), "--port", "0"], True, network=True),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=pathlib.Path(folder, "room"),
        env=environment(True, {}))
    try:
        port = wait_for_port(file, supervised, began + limit)
        if port is None:
            verdict, words = "TIMEOUT", "the server did not say on which port it listens"
        else:
            asked = subprocess.run([sys.executable, str(case.file), port], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit,
                                   check=False)
            verdict = "PASS" if asked.returncode == 0 else "FAIL"
            words = asked.stdout[:1 << 16].decode("utf-8", errors="replace").strip()
            if words.startswith("Traceback (most recent call last)"):
                words = words.splitlines()[-1]
    except subprocess.TimeoutExpired:
        verdict, words = "TIMEOUT", f"the server did not do within {limit:g} s what it was asked for"
    finally:
        over = supervised.poll() is not None
        supervised.terminate()
        try:
            report, _ = supervised.communicate(timeout=SUPERVISOR_SECONDS)
        except subprocess.TimeoutExpired:
            supervised.kill()
            report, _ = supervised.communicate()
        os.lseek(file, 0, os.SEEK_SET)
        said = read_some(file, 1 << 20)
        os.close(pipe)
        os.close(file)
        remove(folder)
    result = Result(case, verdict, words)
    if verdict != "PASS" and over and report:  # it was not asked to end
        result = judge(case, json.loads(report), [], said)
    result.words = "" if result.passed else workshop.translate(result.words)
    result.seconds, result.apart = round(time.monotonic() - began, 3), True
    return result


def wait_for_port(output, supervised, end):
    """The port that the server names in its first line; None if it does not in time."""
    while time.monotonic() < end and supervised.poll() is None:
        os.lseek(output, 0, os.SEEK_SET)
        found = re.match(r"listening on 127\.0\.0\.1:(\d+)\n", read_some(output, 1 << 10))
        if found:
            return found[1]
        time.sleep(0.005)
    return None


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
