#!/usr/bin/env python3
"""Draws the trace of a visit of the crowd as an SVG.

    timeline_svg.py TRACE FIGURE [SERVER]

TRACE is what `make run-01 TRACE=file` has written; with SERVER, only that one is drawn.

One panel for each server, one row for each client: when it was connected, when it was answered at
once, and when it had to wait. Light or dark, following the reader's system.
"""

from __future__ import annotations

import html
import json
import re
import sys
from dataclasses import dataclass

LEFT, RIGHT = 84, 16
ROW, FOOT = 19, 30
AT_ONCE = 100_000  # microseconds: a wait too short to notice
FEW_SLEEPS = 20  # a server that waits goes to sleep hundreds of times during a visit


@dataclass(frozen=True)
class Layout:
    """The size of a drawing, in units that are pixels where it is shown at its full width."""

    width: int
    head: int  # height above the rows
    title: int  # font size
    legend_below: bool  # in a line of its own, below the figures


WIDE = Layout(width=760, head=58, title=15, legend_below=False)
NARROW = Layout(width=560, head=76, title=14, legend_below=True)

STYLE = """
    .card { fill: #ffffff }
    text { font: 13px system-ui, sans-serif; fill: #52525b }
    .title { font-weight: 600; fill: #18181b }
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
        """How often the server went to sleep; -1 if the trace does not say."""
        found = re.search(r"([\d,]+) sleeps?\b", self.labels)
        return int(found[1].replace(",", "")) if found else -1

    def figures(self) -> str:
        worst = self.worst() / 1000
        waited = f"{worst:.0f}" if worst >= 10 else f"{worst:.1f}"
        return f"longest wait for a reply: {waited} ms" + (f"; {self.labels}" if self.labels else "")


def draw(visits: list[Visit], end: int = 0, layout: Layout = WIDE) -> str:
    """The drawing of some visits. `end` is where the time axis ends, in microseconds; by default
    when the last client leaves."""
    end = end or max(visit.end for visit in visits)
    heights = [layout.head + ROW * len(visit.clients) + FOOT for visit in visits]
    height = sum(heights)
    title = "; ".join(f"{visit.server} {visit.finding()}" for visit in visits)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.width} {height}" role="img">',
        f"  <title>{html.escape(title)}</title>",
        f"  <style>{STYLE}  </style>",
        f'  <rect class="card" width="{layout.width}" height="{height}" rx="10"/>',
    ]
    top = 0
    for visit, panel in zip(visits, heights):
        parts += draw_visit(visit, top, end, layout)
        top += panel
    return "\n".join(parts + ["</svg>", ""])


def draw_visit(visit: Visit, top: int, end: int, layout: Layout) -> list[str]:
    scale = (layout.width - LEFT - RIGHT) / end

    def x(time: float) -> float:
        return round(LEFT + time * scale, 1)

    rows_top = top + layout.head
    rows_end = rows_top + ROW * len(visit.clients)
    parts = [
        f'  <text class="title" style="font-size: {layout.title}px" x="16" y="{top + 24}">'
        f"{visit.server}: {visit.finding()}</text>",
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
    left, line = (16, top + 62) if layout.legend_below else (layout.width - 292, top + 42)
    legend = (
        f'  <rect class="answered" x="{left}" y="{line - 10}" width="10" height="10" rx="1.5"/>'
        f'<text x="{left + 15}" y="{line}">reply within 0.1 s</text>'
        f'<rect class="waits" x="{left + 136}" y="{line - 10}" width="10" height="10" rx="1.5"/>'
        f'<text x="{left + 151}" y="{line}">later reply</text>'
        f'<path class="there" d="M{left + 226} {line - 5}h14"/>'
        f'<text x="{left + 246}" y="{line}">idle</text>'
    )
    return parts + [legend]


def visits_in(trace: str) -> list[Visit]:
    """All the servers of a trace file."""
    with open(trace, encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    return [Visit(events, pid) for pid in sorted({event["pid"] for event in events})]


def main() -> int:
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    wanted = sys.argv[3:]
    visits = visits_in(sys.argv[1])
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(draw([visit for visit in visits if not wanted or visit.server in wanted]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
