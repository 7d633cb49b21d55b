"""Runs one untrusted command: supervisor.py [OPTION]... SECONDS MEGABYTES OUTPUT -- COMMAND...

Limits its time, memory, processes and output, and afterwards kills all processes that it left,
forked and detached ones too. Prints how the command ended, as JSON.

Options:
    --apart       The command sees no process but its own, has no network but a loopback of its own,
                  and can write only into the current folder: a file system in memory, which ends with
                  it. The report says whether the kernel allows this user to do that.
                  If it does not, and this is root, the command runs as a user without rights.
    --network     ...but leave the network to it.
    --hide=DIR    ...and make this folder empty.

The command can still read other files, and change everything inside its own process.
"""

import ctypes
import fcntl
import itertools
import json
import os
import resource
import signal
import socket
import struct
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER = 0x00020000, 0x08000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_RDONLY, MS_REC, MS_PRIVATE = 1, 0x4000, 1 << 18
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_RDONLY = 442, -100, 0x8000, 1
PROCESSES = 200  # of one test, at the same time
OUTPUT = 8 << 20  # bytes in any one file that it writes
ROOM = b"size=64m,nr_inodes=4k,mode=700"  # of the folder that it can write into
NOBODY = 65534  # the number of a user and a group that own nothing
NOT_ALLOWED = 125  # the status of a process that could not be set apart
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


def lower(kind, most, more=0):
    """Limits are only lowered: a user may already have stricter ones."""
    hard = resource.getrlimit(kind)[1]
    known = (most + more, hard) if hard != resource.RLIM_INFINITY else (most + more,)
    resource.setrlimit(kind, (min(most, *known), min(known)))


def limit(seconds, megabytes):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lower(resource.RLIMIT_FSIZE, OUTPUT)
    lower(resource.RLIMIT_CPU, int(seconds) + 2, 2)
    if megabytes:
        lower(resource.RLIMIT_AS, megabytes << 20)
    if os.getuid() != 0:  # the limit counts all processes of the user; root has none
        mine = sum(1 for pid in parents() if os.path.exists(f"/proc/{pid}")
                   and os.stat(f"/proc/{pid}").st_uid == os.getuid())
        soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        most = mine * 4 + 4 * PROCESSES
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NPROC, (most, hard))


def checked(status):
    if status != 0:
        raise OSError(ctypes.get_errno(), "not allowed")


def set_readonly(libc, path, flags, add, remove):
    attributes = (ctypes.c_uint64 * 4)(add, remove, 0, 0)
    checked(libc.syscall(MOUNT_SETATTR, AT_FDCWD, path, flags, ctypes.byref(attributes), 32))


def separate(libc, network, hidden):
    """Gives this process namespaces of its own, with one writable folder. Its next child is the
    first process that is apart. Inside, the user is never root, which could mount again."""
    user, group, folder = os.getuid(), os.getgid(), os.getcwd().encode()
    checked(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC
                         | (0 if network else CLONE_NEWNET)))
    for name, words in (("setgroups", "deny"), ("uid_map", f"{user or 1000} {user} 1"),
                        ("gid_map", f"{group or 1000} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(words)
    if not network:
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    checked(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    set_readonly(libc, b"/", AT_RECURSIVE, MOUNT_RDONLY, 0)
    for path in hidden:
        checked(libc.mount(b"nothing", os.fsencode(path), b"tmpfs", MS_RDONLY, b"size=4k"))
    checked(libc.mount(b"room", folder, b"tmpfs", 0, ROOM))
    os.chdir(folder)


def apart(libc, work, network, hidden):
    """Runs work(True) in a process that is apart; work(False) right here if that is not allowed."""
    inside = os.fork()
    if inside == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        try:
            separate(libc, network, hidden)
            first = os.fork()
            if first == 0:
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                checked(libc.mount(b"proc", b"/proc", b"proc", 0, None))
                work(True)
                sys.stdout.flush()
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) & 255)
        except OSError:
            os._exit(NOT_ALLOWED)
    if os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1]) == NOT_ALLOWED:
        work(False)


def drop_rights():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def nobody_can_run(program):
    """Whether a user without rights reaches the program: not if it is in root's own folder."""
    asked = os.fork()
    if asked == 0:
        try:
            drop_rights()
            os._exit(0 if os.access(program, os.X_OK) and os.access(".", os.W_OK) else 1)
        finally:
            os._exit(1)
    return os.waitpid(asked, 0)[1] == 0


def start(command, output, seconds, megabytes, lowly):
    group = os.fork()
    if group == 0:
        try:
            os.setsid()
            nothing = os.open("/dev/null", os.O_RDONLY)
            for new, old in [(nothing, 0), (output, 1), (output, 2)]:
                os.dup2(new, old)
            os.closerange(3, 256)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these two
                signal.signal(number, signal.SIG_DFL)
            if lowly:
                drop_rights()
            limit(seconds, megabytes)
            os.execv(command[0], command)
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        finally:
            os._exit(127)
    return group


def supervise(command, output, seconds, megabytes, lowly):
    began = time.monotonic()
    group = start(command, output, seconds, megabytes, lowly)
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
    words = sys.argv[1:]
    options = list(itertools.takewhile(lambda word: word.startswith("--"), words))
    words = words[len(options):]
    seconds, megabytes = float(words[0]), int(words[1])
    output = os.open(words[2], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):  # when stopped, it still kills what it started
        signal.signal(number, lambda *_: sys.exit(1))

    def work(is_apart):
        command = words[4:]
        lowly = "--apart" in options and not is_apart and os.getuid() == 0 and nobody_can_run(command[0])
        ended = supervise(command, output, seconds, megabytes, lowly)
        print(json.dumps({**ended, "apart": is_apart}), flush=True)

    if "--apart" in options:
        hidden = [word.partition("=")[2] for word in options if word.startswith("--hide=")]
        apart(libc, work, "--network" in options, hidden)
    else:
        work(False)


if __name__ == "__main__":
    main()
