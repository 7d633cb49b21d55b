"""Starts servers, puts load on them, and evaluates the numbers that come back."""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
BASELINE = "bare-epoll"


@dataclasses.dataclass
class Server:
    """A server to measure. `command` is relative to the build folder. `most` is how many clients it
    can serve, and `why` is the reason for that limit."""

    name: str
    command: list
    most: int = 10_000
    why: str = ""
    spins: bool = False  # waits without sleeping
    batches: bool = True  # answers every ready client before the load runs again
    package: str = ""  # the Debian package that it needs


CHAPTERS = [
    Server("01-blocking-read", ["01-blocking-read"], 1, "one client at a time"),
    Server("01-threads", ["01-threads"], batches=False),
    Server("02-polling", ["02-polling"], 3000, "accepting 10,000 clients takes a minute",
           spins=True, batches=False),
    Server("03-select", ["03-select"], 1000, "select takes no descriptor above 1023"),
    Server("04-epoll", ["04-epoll"]),
    Server("04-epoll --edge", ["04-epoll", "--edge"]),
    Server("05-callback-loop", ["05-callback-loop"]),
    Server("06-promises", ["06-promises"]),
    Server("08-coroutine-loop", ["08-coroutine-loop"]),
]

PEERS = [
    Server("bare-epoll", ["bench/bare-epoll"]),
    Server("bare-poll", ["bench/bare-poll"]),
    Server("bare-select", ["bench/bare-select"], 1000, "select takes no descriptor above 1023"),
    Server("processes", ["bench/processes"], 1000, "10,000 processes are too many for this machine",
           batches=False),
    Server("libuv", ["bench/libuv"], package="libuv1-dev"),
    Server("libevent", ["bench/libevent"], package="libevent-dev"),
    Server("asio callbacks", ["bench/asio-callbacks"], package="libasio-dev"),
    Server("asio coroutines", ["bench/asio-coroutines"], package="libasio-dev"),
    Server("node.js", ["node", HERE / "peers" / "node.js"], package="nodejs"),
    Server("asyncio", [sys.executable, HERE / "peers" / "asyncio_echo.py"], package="python3"),
]

SERVERS = PEERS[:1] + CHAPTERS + PEERS[1:]


def by_name(name):
    return next(server for server in SERVERS if server.name == name)


def command_of(server, build):
    """Returns the whole command line, or None if the program is missing."""
    program, *rest = server.command
    if server.package in ("nodejs", "python3"):
        return [program, *rest] if shutil.which(program) else None
    path = pathlib.Path(build) / program
    if not path.exists():
        return None
    return [path, *rest, *(["--port", "0"] if server in CHAPTERS else [])]


class Failed(Exception):
    """A run gave no numbers; the text says why."""


def cores():
    return sorted(os.sched_getaffinity(0))


alone = False  # True needs root: no other process interrupts the server and the load


def pinned(core, spins=False):
    """Returns a preexec_fn that pins a child process to this core. With SCHED_BATCH, a process that
    wakes up there waits until the other one sleeps or has used up its time slice, so both work in
    equal batches (sched(7)). SCHED_FIFO does the same and keeps other processes out on a busy
    machine. It is not for a server that spins, which would never leave the core."""

    def prepare():
        os.sched_setaffinity(0, {core})
        if alone and not spins:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        else:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    return prepare


@contextlib.contextmanager
def running(server, build, core):
    """Starts the server and yields (process id, port); kills it afterwards."""
    process = subprocess.Popen(
        command_of(server, build), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        preexec_fn=pinned(core, server.spins), start_new_session=True, text=True)
    try:
        line = process.stdout.readline()
        found = re.match(r"listening on 127\.0\.0\.1:(\d+)$", line)
        if not found:
            raise Failed(f"{server.name} does not listen: {line!r}")
        yield process.pid, int(found[1])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its children too
        process.wait()
        process.stdout.close()


def load_command(build, pid, port, options):
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return [pathlib.Path(build) / "bench" / "load", f"--server={pid}", f"--port={port}", *words]


def run(server, build, cores_, **options):
    """Starts the server and puts the load on it, once. `cores_`: the server's and the load's."""
    with running(server, build, cores_[0]) as (pid, port):
        done = subprocess.run(load_command(build, pid, port, options), text=True,
                              preexec_fn=pinned(cores_[1], server.spins),
                              capture_output=True)
    if done.returncode != 0:
        raise Failed(f"{server.name}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def descriptors():
    """Returns how many descriptors a process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def missing(server, build):
    """Returns a line that says why this server cannot be measured, or "" if it can be."""
    if command_of(server, build) is not None:
        return ""
    where = f" (Debian: {server.package})" if server.package else ""
    return f"SKIPPED {server.name}: not installed{where}"


# --- Numbers ------------------------------------------------------------------------------------


def median(values):
    return statistics.median(values)


def spread(values):
    """Returns half the distance between the quartiles, as a fraction of the median: half of all
    rounds are that close to it."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / statistics.median(values)


def ratio(values, baseline):
    """Returns the cost as a multiple of the baseline's: the median over the rounds. Each round is
    compared with the same round of the baseline, so whatever slowed a whole round down cancels
    out."""
    return statistics.median(a / b for a, b in zip(values, baseline))


def corrected_ratio(result, baseline):
    """Like ratio(), with each cost divided by the load's cost in the same run. The load does the
    same work every time, so whatever slowed one run down cancels out, too."""
    def by_control(of):
        return [server / own for server, own in zip(of["server_ns"], of["own_ns"])]

    return ratio(by_control(result), by_control(baseline))


def best_ratio(server, result, baseline):
    """Returns the corrected ratio, or the plain one for a server that answers one request at a
    time, because such a server changes what the load costs."""
    if server.batches:
        return corrected_ratio(result, baseline)
    return ratio(result["server_ns"], baseline["server_ns"])


# --- Where and when -----------------------------------------------------------------------------


def processor():
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0]
    except OSError:
        return "not there"


def circumstances(compiler):
    """Returns what one must know to compare other numbers with these later."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{processor()}, {len(cores())} cores",
        "system": f"Linux {platform.release()}",
        "compiler": first_line(compiler, "--version"),
        "load average": [round(os.getloadavg()[0], 2)],
        "scheduler": "SCHED_FIFO" if alone else "SCHED_BATCH",
    }


def write_record(path, record):
    """Writes JSON with each list of numbers on one line."""
    record["circumstances"]["load average"].append(round(os.getloadavg()[0], 2))
    text = json.dumps(record, indent=1)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)
    pathlib.Path(path).write_text(text + "\n", "utf-8")


def recorded(name):
    """Returns the results that the pages show. `name`: bench, growth or counts."""
    return json.loads((HERE / "results" / f"{name}.json").read_text("utf-8"))


def how_taken(record):
    """Returns three lines that say how the numbers of a record were taken."""
    about = record["circumstances"]
    busy = about["load average"]
    rounds = f"{record['rounds']} rounds, " if "rounds" in record else ""
    return (f"{about['date']}, {rounds}{about['scheduler']}, "
            f"load average {busy[0]} to {busy[-1]}\n"
            f"{about['machine']}, {about['system']}\n{about['compiler']}")


class Progress:
    """Reports progress: on a terminal in one line that is rewritten, otherwise every 10 %."""

    def __init__(self, total):
        self.total = total
        self.done = 0
        self.told = 0
        self.live = sys.stderr.isatty()

    def step(self, what):
        self.done += 1
        if self.live:
            sys.stderr.write(f"\r\033[K{self.done:5} of {self.total}  {what}")
            sys.stderr.flush()
        elif self.done * 10 // self.total > self.told:
            self.told = self.done * 10 // self.total
            print(f"... {self.told * 10} %", file=sys.stderr, flush=True)

    def end(self):
        if self.live:
            sys.stderr.write("\r\033[K")


# --- The command line ---------------------------------------------------------------------------


def parse(parser):
    """Adds the common options of bench and bench-growth, and reads the command line."""
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", help="write all numbers into this file, as JSON")
    parser.add_argument("--show", action="store_true", help="measure nothing, print the record")
    parser.add_argument("--alone", action="store_true",
                        help="keep other processes from interrupting (SCHED_FIFO; needs root)")
    parser.add_argument("--compiler", default="g++")
    return parser.parse_args()


def conclude(record, start, path):
    """Prints how long it took and the circumstances; writes the record if asked to."""
    print(f"{time.monotonic() - start:.0f} seconds. {how_taken(record)}")
    if path:
        write_record(path, record)


def call(main, name):
    """Runs `main`; a failure becomes one line on stderr."""
    try:
        main()
    except (Failed, OSError) as problem:
        sys.exit(f"{name}: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
