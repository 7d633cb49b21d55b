#!/usr/bin/env python3
"""The crowd: the same eight scripted clients against every server of the course.

    crowd.py --build DIR       the tour: every server that is in DIR, one table
    crowd.py --build DIR 03    chapter 03's server, with its timeline

Always ends by itself, whatever a server does; the server's row says what went wrong.
Exit status: 0, or 1 if a row failed, 2 for a wrong command line, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import picture
import trace_file
from clients import Client, Loop, Talker, crowd
from server import Cost, Hung, Server, ServerFailed, raise_descriptor_limit

# Every server of the course in the order of the tour, and how it waits.
SERVERS = {
    "01-blocking-read": "sleeps in read()",
    "01-threads": "thread per client",
    "02-polling": "polls in a loop",
    "03-select": "sleeps in select()",
    "04-epoll": "sleeps in epoll",
    "05-callback-loop": "epoll + callbacks",
    "06-promises": "epoll + promises",
    "08-coroutine-loop": "epoll + coroutines",
}
CLOCK = "07-simulated-clock"  # not a server: it prints a log, on a clock that jumps

ENOUGH_DESCRIPTORS = 32  # Python's own, two for the server, one for each client


class UserError(Exception):
    """The command line cannot be carried out."""


@dataclass
class Result:
    """One visit of the crowd to a server. Times are of time.monotonic(), durations in seconds."""

    server: str
    zero: float
    clients: list[Client] = field(default_factory=list)
    failure: str | None = None
    elapsed: float = 0.0
    late: float = 0.0
    cost: Cost = Cost(0.0, 0)

    @property
    def reply_times(self) -> list[float]:
        """The reply time of every line that was answered."""
        lines = [r for c in self.clients if isinstance(c, Talker) for r in c.requests]
        return [line.took for line in lines if line.answered is not None]

    @property
    def median(self) -> float:
        return statistics.median(self.reply_times)

    @property
    def worst(self) -> float:
        return max(self.reply_times)

    @property
    def share_of_core(self) -> float:
        """CPU time divided by elapsed time: 1.0 is one core, busy all the time."""
        return self.cost.cpu / self.elapsed

    @property
    def bytes_back(self) -> int:
        return sum(client.received for client in self.clients)


def measure(program: Path, limit: float) -> Result:
    """Starts the server, sends it the crowd and ends it, in little more than `limit` seconds."""
    started = time.monotonic()
    result = Result(program.name, zero=started)
    loop = Loop()
    try:
        with Server(str(program), loop) as server:
            try:
                visit(server, loop, result, deadline=started + limit)
                result.cost = server.stop()
            finally:
                result.elapsed = time.monotonic() - started
    except Hung as failure:
        result.failure = f"HUNG after {limit:g} s: {failure}"
    except ServerFailed as failure:
        result.failure = str(failure)
    finally:
        for client in result.clients:
            client.leave(reset=True)
        result.late = loop.late
        loop.close()
    return result


def visit(server: Server, loop: Loop, result: Result, deadline: float) -> None:
    """Runs the crowd until every client has left. Raises ServerFailed, Hung."""
    address = server.address(deadline)
    result.zero = time.monotonic()
    result.clients = crowd()
    for client in result.clients:
        client.start(loop, address, result.zero)

    def clients_are_left() -> bool:
        return any(client.left is None for client in result.clients)

    loop.run_while(
        lambda: clients_are_left() and not server.has_ended() and time.monotonic() < deadline
    )
    if server.has_ended():
        raise ServerFailed(server.how_it_ended())
    troubles = [client.trouble for client in result.clients if client.trouble]
    if troubles:
        others = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
        raise ServerFailed(f"WRONG: {troubles[0]}{others}")
    if clients_are_left():
        waiting = [client.name for client in result.clients if client.left is None]
        raise Hung(f"{len(waiting)} of {len(result.clients)} clients were still waiting")


# --- What is printed ---------------------------------------------------------------------------


def servers_in(build: Path) -> list[str]:
    return [name for name in SERVERS if (build / name).exists()]


def tour(build: Path, limit: float, style: picture.Style, yours_from: str) -> int:
    """Measures every server in `build` and prints its row at once. Returns the exit status.

    In a hand-out, the chapters from `yours_from` on are the learner's; otherwise it is empty.
    """
    yours = {name for name in SERVERS if yours_from and name[:2] >= yours_from}
    names = servers_in(build)
    if not names and not yours:
        raise UserError(f'there is no server in {build}: build them with "make all"')
    say(picture.table_header(style, crowd()))
    results = []
    for name in [name for name in SERVERS if name in [*names, *yours]]:
        say(picture.row_begin(name, SERVERS[name]), end="")  # shows which server is being measured
        if name not in names:
            say(f"not written yet: make start-{name[:2]}")
            continue
        results.append(measure(build / name, limit))
        say(picture.row_end(style, results[-1]))
    if results:
        say(picture.closing(style, results))
    if yours_from:
        say(f"\nThe servers from {yours_from} on are yours to write; to run yours: make run WORK=1")
        if not yours.isdisjoint(names):
            say("Until then, these figures are those of programs that came finished.")
    if (build / CLOCK).exists():
        say(f"\n{CLOCK} is not a server and never waits: its clock jumps.\n")
        show_clock(build)
    return exit_status(results)


def one_chapter(build: Path, chapter: str, limit: float, style: picture.Style, trace: str) -> int:
    """Prints the timeline of the chapter's server or servers. Returns the exit status."""
    if CLOCK.startswith(f"{chapter}-") or CLOCK == chapter:
        return show_clock(build)
    names = [name for name in SERVERS if name == chapter or name.startswith(f"{chapter}-")]
    if not names:
        known = sorted({name[:2] for name in [*SERVERS, CLOCK]})
        raise UserError(f"there is no chapter {chapter}; there are: {' '.join(known)}")
    for name in names:
        if not (build / name).exists():
            raise UserError(f'there is no {build / name}: build it with "make all"')
    say(picture.timeline_header())
    results = []
    for name in names:
        results.append(measure(build / name, limit))
        say(picture.timeline(style, results[-1], SERVERS[name]))
    if trace:
        trace_file.write(trace, results)
        say(f"\nThe trace is in {trace}: open it at https://ui.perfetto.dev")
    return exit_status(results)


def show_clock(build: Path) -> int:
    program = build / CLOCK
    if not program.exists():
        raise UserError(f'there is no {program}: build it with "make all"')
    sys.stdout.flush()
    try:
        return 0 if subprocess.run([program], timeout=6).returncode == 0 else 1
    except subprocess.TimeoutExpired:
        say(f"{CLOCK}: HUNG after 6 s")
        return 1


def exit_status(results: list[Result]) -> int:
    return 1 if any(result.failure for result in results) else 0


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="crowd", description="The same scripted clients against every server."
    )
    parser.add_argument("chapter", nargs="?", help="a number like 03; without it, the tour")
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder of the servers")
    parser.add_argument(
        "--yours-from", metavar="NN", default="", help="a hand-out: these chapters are the learner's"
    )
    parser.add_argument("--trace", metavar="FILE", help="also write the timeline for Perfetto")
    parser.add_argument(
        "--deadline", type=float, default=6.0, metavar="SECONDS", help="for a server (default 6)"
    )
    return parser.parse_args()


def end_in_order(number: int, _frame) -> None:
    """Ends through the context managers on a signal, so that no server is left running."""
    raise SystemExit(128 + number)


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, end_in_order)
    options = arguments()
    descriptors = raise_descriptor_limit()
    if descriptors < ENOUGH_DESCRIPTORS:
        say(f"SKIPPED: needs {ENOUGH_DESCRIPTORS} descriptors, and the limit is {descriptors}")
        return 0
    gc.disable()  # a pause of the crowd would look like one of the server
    style = picture.Style.of(sys.stdout)
    try:
        if options.chapter:
            return one_chapter(
                options.build, options.chapter, options.deadline, style, options.trace
            )
        return tour(options.build, options.deadline, style, options.yours_from)
    except UserError as error:
        print(f"crowd: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has left: print no more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
