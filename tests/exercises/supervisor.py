"""Runs one untrusted command: supervisor.py SECONDS MEGABYTES OUTPUT -- COMMAND...

Limits its time, memory, processes and output, and afterwards kills all processes that it left,
forked and detached ones too. Prints how the command ended, as JSON. This guards against accidents,
not against attacks; it is not a sandbox: the command runs as the same user, with the same rights.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
PROCESSES = 200  # of one test, at the same time
OUTPUT = 8 << 20  # bytes in any one file that it writes
GRACE = 1.0  # seconds from the signal to the test's own watchdog until it is killed


def parents():
    """{process id: its parent's}, of all processes."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                pass
    return found


def descendants():
    """All processes below this one, orphans too: this process is their reaper."""
    children = {}
    for child, parent in parents().items():
        children.setdefault(parent, []).append(child)
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def kill_everything(group):
    """Kills until none is left: a process may fork while others are being killed."""
    for _ in range(1000):
        for kill, target in [(os.killpg, group)] + [(os.kill, pid) for pid in descendants()]:
            try:
                kill(target, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0] > 0:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def limit(seconds, megabytes):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT, OUTPUT))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 2, int(seconds) + 4))
    if megabytes:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    if os.getuid() != 0:  # the limit counts all processes of the user; root has none
        mine = sum(1 for pid in parents() if os.path.exists(f"/proc/{pid}")
                   and os.stat(f"/proc/{pid}").st_uid == os.getuid())
        soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        most = mine * 4 + 4 * PROCESSES
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NPROC, (most, hard))


def start(command, output, seconds, megabytes):
    group = os.fork()
    if group == 0:
        try:
            os.setsid()
            nothing = os.open("/dev/null", os.O_RDONLY)
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            for new, old in [(nothing, 0), (file, 1), (file, 2)]:
                os.dup2(new, old)
            os.closerange(3, 256)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these two
                signal.signal(number, signal.SIG_DFL)
            limit(seconds, megabytes)
            os.execv(command[0], command)
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        finally:
            os._exit(127)
    return group


def supervise(command, output, seconds, megabytes):
    began = time.monotonic()
    group = start(command, output, seconds, megabytes)
    ended = {"exit": None, "signal": None, "timeout": False, "swarm": False}
    try:
        watch(group, began, seconds, ended)
    finally:
        kill_everything(group)
    ended["seconds"] = round(time.monotonic() - began, 3)
    return ended


def watch(group, began, seconds, ended):
    """Waits until the command ends by itself or exceeds a limit."""
    pause, looked, asked = 0.002, began, None
    while True:
        pid, status = os.waitpid(group, os.WNOHANG)
        now = time.monotonic()
        if pid:
            if os.WIFSIGNALED(status):
                ended["signal"] = os.WTERMSIG(status)
            else:
                ended["exit"] = os.WEXITSTATUS(status)
            break
        if now - looked > 0.1:
            looked = now
            if len(descendants()) > PROCESSES:
                ended["swarm"] = True
                break
        if asked is None and now - began > seconds:
            ended["timeout"] = True
            asked = now
            os.kill(group, signal.SIGALRM)  # the watchdog in tests/support/main.cpp: one sentence
        if asked is not None and now - asked > GRACE:
            break
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def main():
    seconds, megabytes, output = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):  # when stopped, it still kills what it started
        signal.signal(number, lambda *_: sys.exit(1))
    print(json.dumps(supervise(sys.argv[5:], output, seconds, megabytes)))


if __name__ == "__main__":
    main()
