#!/usr/bin/env python3
"""Counts what a request costs. Unlike times, counts do not depend on what else the machine does.

    count.py [--build DIR] [--record FILE]

For each server it counts system calls per request by name (perf stat, as root), instructions per
request in user space (valgrind --tool=callgrind) and allocations per request (valgrind). With perf
the kernel counts the calls. strace would stop the server at each call, and the load would run in
between. Everything is counted in two runs of different lengths. Their difference is what the
requests cost, without startup and shutdown. 50 clients, on one core. Takes some minutes.
"""

import argparse
import contextlib
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import measure

SERVERS = ["bare-epoll", "01-threads", "03-select", "04-epoll", "04-epoll --edge",
           "05-callback-loop", "06-promises", "08-coroutine-loop", "libuv", "libevent",
           "asio callbacks", "asio coroutines", "node.js", "asyncio"]
SHORT, LONG = 5_000, 15_000  # requests
CALLS = ["read", "readv", "recvfrom", "recvmsg", "write", "writev", "sendto", "sendmsg", "ioctl",
         "select", "pselect6", "poll", "ppoll", "epoll_wait", "epoll_pwait", "epoll_ctl", "futex",
         "mmap", "mremap", "munmap", "brk"]
COUNTERS = ",".join(["raw_syscalls:sys_enter", *(f"syscalls:sys_enter_{call}" for call in CALLS)])
INTERPRETED = ["node.js", "asyncio"]  # not under valgrind


def watched(tool, server, build, core, requests, report):
    """Runs the server under `tool`, a command line, and puts the load on it. The tool writes
    into `report` and ends when the server does."""
    process = subprocess.Popen([*tool, *measure.command_of(server, build)],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               preexec_fn=measure.pinned(core), start_new_session=True)
    try:
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        command = measure.load_command(build, 0, port, {"requests": requests,
                                                        "at_most": 100_000})
        done = subprocess.run(command, preexec_fn=measure.pinned(core), capture_output=True,
                              text=True)
        if done.returncode != 0:
            raise measure.Failed(f"{server.name}: {done.stderr.strip()}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            child = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            target = int(child.split()[0]) if tool[0] == "perf" else process.pid
            subprocess.run(["kill", f"-{signal.SIGTERM.value}", str(target)], check=False)
        process.wait()
        process.stdout.close()
    return pathlib.Path(report).read_text()


def system_calls(table):
    """Returns {name: calls} from the output of `perf stat -x,` for COUNTERS."""
    calls = {name: int(number) for number, name in
             re.findall(r"^(\d+),,\w+:sys_enter_?(\w*),", table, re.MULTILINE)}
    total = calls.pop("")
    return calls | {"others": total - sum(calls.values())}


def one_number(pattern, text):
    return int(re.search(pattern, text)[1].replace(",", ""))


def difference(long, short):
    return round((long - short) / (LONG - SHORT), 3)


def count(server, build, core):
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        report = f"{folder}/report"

        def both(*tool):
            return [watched(tool, server, build, core, n, report) for n in (LONG, SHORT)]

        long, short = map(system_calls,
                          both("perf", "stat", "-x,", "-o", report, "-e", COUNTERS, "--"))
        each = {name: difference(calls, short.get(name, 0)) for name, calls in long.items()}
        found["calls"] = {name: calls for name, calls in each.items() if calls >= 0.005}
        if server.name in INTERPRETED:
            return found
        found["instructions"] = difference(*(
            one_number(r"Collected : (\d+)", text) for text in
            both("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                 f"--log-file={report}")))
        found["allocations"] = difference(*(
            one_number(r"total heap usage: ([\d,]+) allocs", text) for text in
            both("valgrind", "--tool=memcheck", "--undef-value-errors=no",
                 f"--log-file={report}")))
    return found


HEADER = f"{'':20}{'instructions':>12}{'allocs':>7}{'calls':>6}  which"


def row(name, found):
    calls = sorted(found["calls"].items(), key=lambda item: -item[1])
    own = f"{round(found['instructions']):12,}{round(found['allocations']):7}" \
        if "instructions" in found else f"{'-':>12}{'-':>7}"
    return f"  {name:18}{own}{sum(found['calls'].values()):6.2f}  " + \
        ", ".join(call if 0.95 < number < 1.05 else f"{number:.3g} {call}"
                  for call, number in calls if number >= 0.1)


def main():
    parser = argparse.ArgumentParser(description="Counts what a request costs.")
    parser.add_argument("--build", default="build")
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--record", help="write all numbers into this file, as JSON")
    parser.add_argument("--show", action="store_true", help="count nothing, print the record")
    parser.add_argument("--compiler", default="g++")
    options = parser.parse_args()
    if options.show:
        record = measure.recorded("counts")
        rows = [row(name, found) for name, found in record["counts"].items()]
        print("\n".join([HEADER, *rows]), end=f"\n\n{measure.how_taken(record)}\n")
        return
    for tool, package in (("perf", "linux-perf"), ("valgrind", "valgrind")):
        if shutil.which(tool) is None:
            sys.exit(f"count: this needs {tool} (Debian: apt-get install {package})")

    record = {"circumstances": measure.circumstances(options.compiler), "counts": {}}
    print(HEADER)
    for name in options.servers.split(","):
        server = measure.by_name(name)
        if measure.missing(server, options.build):
            print(measure.missing(server, options.build))
            continue
        record["counts"][name] = count(server, options.build, measure.cores()[-1])
        print(row(name, record["counts"][name]), flush=True)
    if options.record:
        measure.write_record(options.record, record)


if __name__ == "__main__":
    measure.call(main, "count")
