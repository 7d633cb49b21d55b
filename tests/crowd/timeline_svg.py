#!/usr/bin/env python3
"""Draws the trace of a visit of the crowd as an SVG.

    timeline_svg.py TRACE FIGURE [SERVER]

TRACE is what `make run-01 TRACE=file` has written; with SERVER, only that one is drawn.

One panel for each server, one row for each client: when it was there, when it was answered at once,
and when it had to wait. Light or dark, as the reader's system asks for.
"""

from __future__ import annotations

import html
import json
import re
import sys

WIDTH = 760
LEFT, RIGHT = 84, 16
ROW, HEAD, FOOT = 19, 58, 30
AT_ONCE = 100_000  # microseconds: a wait that nobody notices
FEW_SLEEPS = 20  # a server that waits goes to sleep hundreds of times during a visit

STYLE = """
    .card { fill: #ffffff }
    text { font: 12px system-ui, sans-serif; fill: #52525b }
    .title { font-weight: 600; font-size: 15px; fill: #18181b }
    .grid { stroke: #e4e4e7 }
    .there { stroke: #a1a1aa; stroke-width: 2 }
    .answered { fill: #0d9488 }
    .waits { fill: #ea580c }
    @media (prefers-color-scheme: dark) {
      .card { fill: #202127 }
      text { fill: #b4b4bb }
      .title { fill: #f4f4f5 }
      .grid { stroke: #3f3f46 }
      .there { stroke: #71717a }
      .answered { fill: #2dd4bf }
      .waits { fill: #fb923c }
    }
"""


class Visit:
    """One server's part of the trace. Times are microseconds."""

    def __init__(self, events: list[dict], pid: int):
        mine = [event for event in events if event["pid"] == pid]
        facts = {e["name"]: e["args"] for e in mine if e["ph"] == "M" and e["tid"] == 0}
        self.server = facts["process_name"]["name"]
        self.labels = facts.get("process_labels", {}).get("labels", "")
        names = {e["tid"]: e["args"]["name"] for e in mine if e["name"] == "thread_name"}
        slices = [e for e in mine if e["ph"] == "X"]
        self.clients = []  # (name, visit, waits)
        for tid, name in names.items():
            own = [e for e in slices if e["tid"] == tid]
            self.clients.append((name, own[0], own[1:]))
        self.end = max(e["ts"] + e["dur"] for e in slices)

    def worst(self) -> int:
        return max(
            (w["dur"] for name, _, waits in self.clients if name.startswith("talker") for w in waits)
        )

    def finding(self) -> str:
        if self.worst() > 250_000:
            return "no client is answered until the silent one leaves"
        if 0 <= self.sleeps() < FEW_SLEEPS:
            return "answers every client but never sleeps"
        return "answers every client and sleeps in between"

    def sleeps(self) -> int:
        """How often the server went to sleep; -1 where the trace does not say."""
        found = re.search(r"([\d,]+) sleeps?\b", self.labels)
        return int(found[1].replace(",", "")) if found else -1

    def figures(self) -> str:
        worst = self.worst() / 1000
        waited = f"{worst:.0f}" if worst >= 10 else f"{worst:.1f}"
        return f"longest wait for a reply: {waited} ms" + (f"; {self.labels}" if self.labels else "")


def draw(visits: list[Visit]) -> str:
    end = max(visit.end for visit in visits)
    heights = [HEAD + ROW * len(visit.clients) + FOOT for visit in visits]
    height = sum(heights)
    title = "; ".join(f"{visit.server} {visit.finding()}" for visit in visits)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"  <title>{html.escape(title)}</title>",
        f"  <style>{STYLE}  </style>",
        f'  <rect class="card" width="{WIDTH}" height="{height}" rx="10"/>',
    ]
    top = 0
    for visit, panel in zip(visits, heights):
        parts += draw_visit(visit, top, end)
        top += panel
    return "\n".join(parts + ["</svg>", ""])


def draw_visit(visit: Visit, top: int, end: int) -> list[str]:
    scale = (WIDTH - LEFT - RIGHT) / end

    def x(time: float) -> float:
        return round(LEFT + time * scale, 1)

    rows_top = top + HEAD
    rows_end = rows_top + ROW * len(visit.clients)
    parts = [
        f'  <text class="title" x="16" y="{top + 24}">{visit.server}: {visit.finding()}</text>',
        f'  <text x="16" y="{top + 42}">{html.escape(visit.figures())}</text>',
    ]
    for half in range(int(end / 500_000) + 1):
        time = half * 500_000
        parts.append(
            f'  <path class="grid" d="M{x(time)} {rows_top}V{rows_end}"/>'
            f'<text x="{x(time) - 4}" y="{rows_end + 15}">{half / 2:g} s</text>'
        )
    for number, (name, there, waits) in enumerate(visit.clients):
        middle = rows_top + ROW * number + ROW / 2
        begin, leave = there["ts"], there["ts"] + there["dur"]
        parts.append(
            f'  <text x="16" y="{middle + 4}">{name}</text>'
            f'<path class="there" d="M{x(begin)} {middle}H{x(leave)}"/>'
        )
        for wait in waits:
            kind = "answered" if wait["dur"] < AT_ONCE else "waits"
            width = max(round(wait["dur"] * scale, 1), 3)
            parts.append(
                f'  <rect class="{kind}" x="{x(wait["ts"])}" y="{middle - 6}" width="{width}" '
                'height="12" rx="1.5"/>'
            )
    right, line = WIDTH - 16, top + 42
    legend = (
        f'  <rect class="answered" x="{right - 264}" y="{line - 9}" width="10" height="10" rx="1.5"/>'
        f'<text x="{right - 250}" y="{line}">within 0.1 s</text>'
        f'<rect class="waits" x="{right - 172}" y="{line - 9}" width="10" height="10" rx="1.5"/>'
        f'<text x="{right - 158}" y="{line}">later</text>'
        f'<path class="there" d="M{right - 118} {line - 4}h14"/>'
        f'<text x="{right - 98}" y="{line}">idle</text>'
    )
    return parts + [legend]


def main() -> int:
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    wanted = sys.argv[3:]
    with open(sys.argv[1], encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    pids = sorted({event["pid"] for event in events})
    visits = [Visit(events, pid) for pid in pids]
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(draw([visit for visit in visits if not wanted or visit.server in wanted]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
