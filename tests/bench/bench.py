#!/usr/bin/env python3
"""make bench: what a request costs, in every chapter's server and in well-known others.

Cost: server and load share one core, so that both work in equal batches. The operating system
reports the server's CPU time. The load sends and checks the same bytes every time, so its own CPU
time per request is the control. If the control moves, there are two possible reasons. Either the
machine was slower for a while: the column "corrected" divides by the control and makes up for that.
Or the batches differed (threads, processes, 02): then the cost cannot be corrected, and differences
of a few per cent mean nothing.

Speed: server and load have a core each. The one that is busy all the time limits the other.

The rounds are interleaved (A B C, A B C): what slows the machine down for a while slows down every
server.
"""

import argparse
import time

import measure

SCENARIOS = {  # name: (options of the load, title of the table)
    "one": (dict(clients=1, requests=3_000),
            "one client that waits for each reply"),
    "few": (dict(clients=50, requests=15_000),
            "50 clients, each waiting for its reply before it sends again"),
    "thousand": (dict(clients=1000, requests=10_000),
                 "1,000 clients, all of them busy"),
    "idle": (dict(clients=10_000, busy=50, requests=10_000),
             "10,000 clients: 50 send lines, 9,950 are silent"),
    "pipelined": (dict(clients=50, lines=16, requests=80_000),
                  "50 clients, 16 lines in each message; cost per line"),
}
FOR_SPEED = ["few", "thousand"]
CLAIMS = [  # (server, other, bound): at most `bound` times the other's cost
    ("04-epoll", "bare-epoll", 1.05),
    ("08-coroutine-loop", "bare-epoll", 1.05),
    ("05-callback-loop", "04-epoll", 1.10),
    ("06-promises", "04-epoll", 1.40),
    ("08-coroutine-loop", "libuv", 1.00),
    ("08-coroutine-loop", "asio coroutines", 0.85),
]
LIMIT = 200  # milliseconds for one run, so that slow servers do not delay the rest


def reason_to_skip(server, scenario):
    clients = SCENARIOS[scenario][0]["clients"]
    if clients > server.most:
        return server.why
    if measure.alone and server.name == "node.js" and clients > 1000:
        return "its threads wait for each other without sleeping (SCHED_FIFO)"
    if clients + 20 > measure.descriptors():
        return f"needs {clients + 20:,} descriptors; the limit is {measure.descriptors():,}"
    return ""


def take_part(servers, scenario):
    return [server for server in servers if not reason_to_skip(server, scenario)]


def rounds(servers, scenarios, count, build, cores, limit, progress):
    """Returns {scenario: {server: {"server_ns": [a number for each round], ...}}}."""
    results = {scenario: {} for scenario in scenarios}
    for scenario in scenarios:
        options = SCENARIOS[scenario][0]
        for _ in range(count):
            for server in take_part(servers, scenario):
                progress.step(f"{scenario}: {server.name}")
                one = measure.run(server, build, cores, at_most=limit,
                                  warm_up=options["requests"] // 10, **options)
                found = results[scenario].setdefault(server.name, {})
                for name, value in one.items():
                    found.setdefault(name, []).append(value)
    return results


def bottleneck(result):
    """Returns (the server's share of a core, the load's share, and which of them was the limit)."""
    def busy(name):
        return measure.median([ns * requests / seconds / 1e9 for ns, requests, seconds in
                               zip(result[name], result["requests"], result["seconds"])])

    server, load = busy("server_ns"), busy("own_ns")
    if max(server, load) < 0.85:
        return server, load, "waiting"
    return server, load, "both" if abs(server - load) < 0.05 else \
        "server" if server > load else "load"


def cost_table(results, servers, scenario):
    lines = [f"{scenario}: {SCENARIOS[scenario][1]}", "",
             "                     CPU/request   spread  bare = 1   control  corrected"]
    of = results[scenario]
    baseline = of.get(measure.BASELINE)
    for server in servers:
        if server.name not in of:
            if reason_to_skip(server, scenario):
                lines.append(f"  {server.name:18}  SKIPPED: {reason_to_skip(server, scenario)}")
            continue
        mine = of[server.name]
        line = f"  {server.name:18}{measure.median(mine['server_ns']) / 1000:9.2f} µs" \
               f"  {measure.spread(mine['server_ns']) * 100:5.1f} %"
        if baseline:
            control = measure.ratio(mine["own_ns"], baseline["own_ns"])
            line += f"{measure.ratio(mine['server_ns'], baseline['server_ns']):9.2f}" \
                    f"{(control - 1) * 100:+9.0f} %"
            if not server.batches:
                line += "        -  single"
            else:
                line += f"{measure.corrected_ratio(mine, baseline):9.2f}"
                if abs(control - 1) > 0.05:
                    line += "  off"
        lines.append(line)
    return "\n".join(lines) + "\n"


def speed_table(results, servers, scenario):
    lines = [f"{scenario}: {SCENARIOS[scenario][1]}", "",
             "                     replies            median    99 %    busy   busy",
             "                  per second   spread       µs      µs  server   load  limit"]
    for server in servers:
        if server.name not in results[scenario]:
            continue
        mine = results[scenario][server.name]
        rate = [requests / seconds for requests, seconds in zip(mine["requests"], mine["seconds"])]
        busy, load, limit = bottleneck(mine)
        lines.append(f"  {server.name:18}{measure.median(rate):8,.0f}"
                     f"{measure.spread(rate) * 100:7.1f} %"
                     f"{measure.median(mine['p50_us']):9,.0f}"
                     f"{measure.median(mine['p99_us']):8,.0f}"
                     f"{busy * 100:6.0f} %{load * 100:5.0f} %  {limit}")
    return "\n".join(lines) + "\n"


def claims(results):
    """Returns the lines that compare what the course claims with what was measured."""
    lines = []
    for name, other, bound in CLAIMS:
        if name in results and other in results:
            found = measure.corrected_ratio(results[name], results[other])
            lines.append(f"  {name:18}at most {bound:4.2f} x {other:16}: {found:4.2f}  "
                         f"{'holds' if found <= bound else 'MISSED'}")
    return "\n".join(["The claims of the course, for 50 clients (corrected):", *lines, ""])


def print_report(record, servers):
    if record["cost"]:
        print("\nCOST: the server's CPU time per request, on one core. Differences below 5 % mean\n"
              "nothing. \"off\": the load's own cost (control) moved by more, so do not compare.\n"
              "\"single\": the server answers one request at a time, so the load costs more.\n")
        for scenario in record["cost"]:
            print(cost_table(record["cost"], servers, scenario))
        if "few" in record["cost"]:
            print(claims(record["cost"]["few"]))
    if record["speed"]:
        print("SPEED: on two cores. Differences below 10 % mean nothing. If the limit is the\n"
              "load, the row measures the load and not the server.\n")
        for scenario in record["speed"]:
            print(speed_table(record["speed"], servers, scenario))


def show(options):
    """Prints the recorded results that the pages show."""
    record = measure.recorded("bench")
    measure.alone = record["circumstances"]["scheduler"] == "SCHED_FIFO"
    for part in ("cost", "speed"):
        if options.scenarios:
            record[part] = {scenario: record[part][scenario] for scenario in record[part]
                            if scenario in options.scenarios.split(",")}
    if options.no_speed:
        record["speed"] = {}
    print_report(record, measure.SERVERS)
    print(measure.how_taken(record))


def main():
    parser = argparse.ArgumentParser(description="Measures echo servers.")
    parser.add_argument("--limit", type=int, default=LIMIT, help="milliseconds for one run")
    parser.add_argument("--scenarios", help="for the cost, separated by commas; - for none")
    parser.add_argument("--servers", help="separated by commas")
    parser.add_argument("--no-speed", action="store_true", help="only the cost")
    options = measure.parse(parser)

    if options.show:
        return show(options)
    measure.alone = options.alone
    names = options.servers.split(",") if options.servers else [s.name for s in measure.SERVERS]
    servers = []
    for server in map(measure.by_name, names):
        problem = measure.missing(server, options.build)
        if problem:
            print(problem)
        else:
            servers.append(server)
    scenarios = options.scenarios.split(",") if options.scenarios else list(SCENARIOS)
    scenarios = [scenario for scenario in scenarios if scenario in SCENARIOS]
    cores = measure.cores()
    for_speed = [] if options.no_speed or len(cores) < 2 else FOR_SPEED

    runs = options.rounds * sum(len(take_part(servers, s)) for s in scenarios + for_speed)
    minutes = runs * (options.limit + 150) / 60_000
    print(f"{len(servers)} servers, {options.rounds} rounds, {runs} runs: about {minutes:.1f} "
          "minutes. Leave the machine alone meanwhile.", flush=True)
    record = {"circumstances": measure.circumstances(options.compiler), "rounds": options.rounds}
    progress = measure.Progress(runs)
    start = time.monotonic()
    record["cost"] = rounds(servers, scenarios, options.rounds, options.build,
                            (cores[-1], cores[-1]), options.limit, progress)
    record["speed"] = rounds(servers, for_speed, options.rounds, options.build,
                             (cores[0], cores[-1]), options.limit, progress)
    progress.end()
    print_report(record, servers)
    measure.conclude(record, start, options.record)


if __name__ == "__main__":
    measure.call(main, "bench")
