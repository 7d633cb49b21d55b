#!/usr/bin/env python3
"""make bench-growth: what more clients, timers and tasks cost.

Events: one client sends lines while 10 to 10,000 others are silent. Server and load run on one
core, as in bench.py, except for 02: it never sleeps, so the load would hardly run.
Memory: what an idle client that has sent one line costs, in the process and in the kernel.
Timers: a thousand to a million of them, in chapters 05 and 07 and with a linear search.
"""

import argparse
import json
import math
import pathlib
import subprocess
import time

import measure

SILENT = [10, 30, 100, 300, 1000, 3000, 10_000]
WAITERS = ["02-polling", "03-select", "bare-select", "bare-poll", "bare-epoll", "04-epoll",
           "08-coroutine-loop", "01-threads", "processes"]
MANY = 1000  # clients in the memory measurement
SLEEPERS = [1000, 10_000, 100_000, 1_000_000]


def events(servers, count, build, cores, progress):
    """Returns {server: {silent clients: {"server_ns": [a number for each round],
    "own_ns": [...]}}}."""
    results = {server.name: {} for server in servers}
    for _ in range(count):
        for silent in SILENT:
            for server in servers:
                progress.step(f"{silent} silent: {server.name}")
                if silent > server.most or silent + 21 > measure.descriptors():
                    continue
                if server.spins and len(cores) < 2:
                    continue
                pair = (cores[0], cores[-1]) if server.spins else (cores[-1], cores[-1])
                one = measure.run(server, build, pair, clients=silent + 1 - (silent == server.most),
                                  busy=1, requests=2000, warm_up=100, at_most=200)
                found = results[server.name].setdefault(str(silent), {})
                for name in ("server_ns", "own_ns"):
                    found.setdefault(name, []).append(one[name])
    return results


def family(pid):
    """Returns the ids of the process and of its descendants."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [member for child in children for member in family(int(child))]


def kilobytes(path, names):
    """Returns the sum of these fields of a file in /proc."""
    fields = dict(line.split(":", 1) for line in pathlib.Path(path).read_text().splitlines()
                  if ":" in line)
    return sum(int(fields[name].split()[0]) for name in names)


def memory_of_kernel():
    """Returns the kB that the kernel uses, on the whole system, for stacks, page tables and objects
    in use. Without root, objects cannot be counted. Then their pages are counted instead, including
    freed objects that the kernel keeps for reuse."""
    stacks = ["KernelStack", "PageTables"]
    try:
        lines = pathlib.Path("/proc/slabinfo").read_text().splitlines()[2:]
    except OSError:
        return kilobytes("/proc/meminfo", [*stacks, "SUnreclaim"])
    caches = (line.split() for line in lines)
    objects = sum(int(in_use) * int(size) for _, in_use, _, size, *_ in caches)
    return objects / 1024 + kilobytes("/proc/meminfo", stacks)


def memory_of(pid):
    """Returns (kB in the processes, shared pages counted once; kB in the kernel, whole system)."""
    own = sum(kilobytes(f"/proc/{member}/smaps_rollup", ["Pss"]) for member in family(pid))
    return own, memory_of_kernel()


def settle():
    """Waits, two seconds at most, until the kernel has freed the previous server's memory."""
    before = math.inf
    for _ in range(20):
        now = memory_of_kernel()
        if abs(now - before) < 20:
            return
        before = now
        time.sleep(0.1)


def memory(servers, count, build, cores, progress):
    """Returns {server: {"process": [kB per client, a number for each round], "kernel": [...]}}."""
    results = {}
    for _ in range(count):
        for server in servers:
            progress.step(f"memory: {server.name}")
            if server.most < MANY:
                continue
            found = results.setdefault(server.name, {"process": [], "kernel": []})
            settle()
            with measure.running(server, build, cores[-1]) as (pid, port):
                before = memory_of(pid)
                command = measure.load_command(build, pid, port, {"clients": MANY})
                load = subprocess.Popen([*command, "--hold"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
                if load.stdout.readline() != "connected\n":
                    raise measure.Failed(f"{server.name}: the clients cannot connect")
                after = memory_of(pid)
                load.communicate("")
            found["process"].append(round((after[0] - before[0]) / MANY, 2))
            found["kernel"].append(round((after[1] - before[1]) / MANY, 2))
    return results


def sleepers(count, build, core, progress):
    """Returns {what: {how many: [ns per wake-up, a number for each round]}}."""
    results = {}
    for _ in range(count):
        for number in SLEEPERS:
            progress.step(f"{number} timers and tasks")
            done = subprocess.run([pathlib.Path(build) / "bench" / "timers", str(number)],
                                  capture_output=True, text=True,
                                  preexec_fn=measure.pinned(core))
            if done.returncode != 0:
                raise measure.Failed(f"timers: {done.stderr.strip()}")
            for name, value in json.loads(done.stdout).items():
                results.setdefault(name, {}).setdefault(str(number), []).append(value)
    return results


def table(title, columns, results, value):
    """Prints one row for each key of `results`; value(cell) formats a cell. Each column is as wide
    as its contents, so that the table fits into 80 columns."""
    rows = {"": columns}
    for name, cells in results.items():
        rows[name] = [value(cells[column]) if column in cells else "-"
                      for column in (key.replace(",", "") for key in columns)]
    widths = [max(map(len, column)) + 3 for column in zip(*rows.values())]
    names = max(map(len, rows))
    print(f"\n{title}\n")
    for name, row in rows.items():
        print(f"  {name:{names}}" + "".join(f"{cell:>{width}}" for cell, width in zip(row, widths)))


def print_report(record):
    if record.get("events"):
        table("EVENTS: the server's CPU per line, in microseconds, by number of silent clients",
              [f"{n:,}" for n in SILENT], record["events"],
              lambda cell: f"{measure.median(cell['server_ns']) / 1000:,.1f}")
    if record.get("memory"):
        table(f"MEMORY: kB per idle client ({MANY:,} clients; the kernel's part counts both "
              "ends of\nthe connection, and whatever else the machine did meanwhile)",
              ["process", "kernel"], record["memory"], lambda cell: f"{measure.median(cell):.1f}")
    if record.get("sleepers"):
        table("TIMERS: nanoseconds per wake-up, by number of waiting timers or tasks",
              [f"{n:,}" for n in SLEEPERS], record["sleepers"],
              lambda cell: f"{measure.median(cell):,.0f}")


def main():
    parser = argparse.ArgumentParser(
        description="Measures what more clients, timers and tasks cost.")
    parser.add_argument("--parts", default="events,memory,sleepers", help="separated by commas")
    options = measure.parse(parser)
    parts = options.parts.split(",")
    if options.show:
        record = measure.recorded("growth")
        print_report({part: record[part] for part in parts})
        print(f"\n{measure.how_taken(record)}")
        return
    measure.alone = options.alone

    there = [s for s in measure.SERVERS if not measure.missing(s, options.build)]
    waiters = [server for server in there if server.name in WAITERS]
    waiters.sort(key=lambda server: WAITERS.index(server.name))
    steps = {"events": len(SILENT) * len(waiters), "memory": len(there), "sleepers": len(SLEEPERS)}
    seconds = {"events": 0.4, "memory": 0.4, "sleepers": 4}
    total = sum(steps[part] for part in parts) * options.rounds
    minutes = sum(steps[part] * seconds[part] for part in parts) * options.rounds / 60
    print(f"{options.rounds} rounds: about {minutes:.1f} minutes. Leave the machine alone "
          "meanwhile.", flush=True)

    record = {"circumstances": measure.circumstances(options.compiler), "rounds": options.rounds}
    progress = measure.Progress(total)
    start = time.monotonic()
    cores = measure.cores()
    if "events" in parts:
        record["events"] = events(waiters, options.rounds, options.build, cores, progress)
    if "memory" in parts:
        record["memory"] = memory(there, options.rounds, options.build, cores, progress)
    if "sleepers" in parts:
        record["sleepers"] = sleepers(options.rounds, options.build, cores[-1], progress)
    progress.end()
    print_report(record)
    print()
    measure.conclude(record, start, options.record)


if __name__ == "__main__":
    measure.call(main, "bench-growth")
