"""Writes the timeline in the Trace Event Format, for Perfetto and chrome://tracing."""

from __future__ import annotations

import json

from clients import Client


def write(path: str, results: list) -> None:
    """Writes one process for each server, with one thread for each client."""
    events = []
    for pid, result in enumerate(results, 1):
        events.append(named("process_name", result.server, pid, 0))
        sleeps = f"{result.cost.sleeps:,} sleep{'' if result.cost.sleeps == 1 else 's'}"
        cost = f"CPU {result.cost.cpu:.2f} s, {sleeps}"
        labels = {"ph": "M", "name": "process_labels", "pid": pid, "tid": 0}
        events.append(labels | {"args": {"labels": cost}})
        for tid, client in enumerate(result.clients, 1):
            events.append(named("thread_name", client.name, pid, tid))
            events += client_events(client, result.zero, pid, tid)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"traceEvents": events, "displayTimeUnit": "ms"}, file, indent=1)


def named(what: str, name: str, pid: int, tid: int) -> dict:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}


def client_events(client: Client, zero: float, pid: int, tid: int) -> list[dict]:
    """Returns a slice for the visit, and in it one for each stretch of waiting for a reply."""
    if client.came is None:
        return []

    def slice_of(name: str, begin: float, end: float, **args) -> dict:
        ts, dur = round((begin - zero) * 1e6), round((end - begin) * 1e6)
        return {"ph": "X", "name": name, "ts": ts, "dur": dur, "pid": pid, "tid": tid, "args": args}

    visit = slice_of(client.name, client.came, client.left, received=client.received)
    return [visit] + [
        slice_of("waits for a reply", begin, end, requests=count)
        for begin, end, count in waits(client)
    ]


def waits(client: Client) -> list[tuple[float, float, int]]:
    """Returns the times when a reply was pending: begin, end, number of requests.

    Requests overlap when a server stalls, but slices of one thread must not, so they are merged.
    """
    merged: list[tuple[float, float, int]] = []
    for request in client.requests:  # in the order in which they were sent
        end = request.answered or client.left
        if merged and request.asked <= merged[-1][1]:
            begin, last, count = merged.pop()
            merged.append((begin, max(last, end), count + 1))
        else:
            merged.append((request.asked, end, 1))
    return merged
