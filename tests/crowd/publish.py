#!/usr/bin/env python3
"""make timelines: one run of the crowd becomes every table, transcript and timeline on the pages.

    publish.py --build DIR

Measures each server once. From this one run it draws docs/figures/timeline-*.svg, and rewrites the
transcripts of `make run` and `make run-NN` in the README and in docs/, so that no figure contradicts
the table beside it. Best on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import subprocess
import sys
from pathlib import Path

import crowd
import picture
import timeline_svg
import trace_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "docs"))
import pages  # noqa: E402  (in another folder)

STYLE = picture.Style(colour=False, unicode=True)
LIMIT = 6.0  # seconds for a server
TRIES = 5


def measure(program: Path) -> crowd.Result:
    """A visit during which the crowd itself was not held up; after some tries, the last one."""
    for _ in range(TRIES):
        result = crowd.measure(program, LIMIT)
        if result.late < picture.LATE_CROWD / 4:
            break
    if result.failure:
        sys.exit(f"publish: {result.server}: {result.failure}")
    return result


def printed(build: Path, results: dict[str, crowd.Result], chapter: str = "") -> list[str]:
    """What `make run`, or `make run-NN` for a chapter, prints about this run."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        crowd.measure = lambda program, limit: results[program.name]
        crowd.show_clock = lambda _: print(clock(build), end="")
        if chapter:
            crowd.one_chapter(build, chapter, LIMIT, STYLE, "")
        else:
            crowd.tour(build, LIMIT, STYLE)
    return [line.rstrip() for line in output.getvalue().rstrip("\n").split("\n")]


def clock(build: Path) -> str:
    return subprocess.run([build / crowd.CLOCK], capture_output=True, text=True, check=True).stdout


def draw(results: dict[str, crowd.Result], trace: Path) -> None:
    trace_file.write(str(trace), list(results.values()))
    visits = {visit.server: visit for visit in timeline_svg.visits_in(str(trace))}
    figures = ROOT / "docs" / "figures"
    for chapter in sorted({server[:2] for server in visits}):
        chosen = [visit for server, visit in visits.items() if server.startswith(chapter)]
        (figures / f"timeline-{chapter}.svg").write_text(timeline_svg.draw(chosen), "utf-8")
    first, last = visits["01-blocking-read"], visits["08-coroutine-loop"]
    (figures / "timeline-01-alone.svg").write_text(timeline_svg.draw([first]), "utf-8")
    end = max(first.end, last.end)  # side by side on the first page: the same axis
    for name, visit in (("first", first), ("last", last)):
        drawing = timeline_svg.draw([visit], end, timeline_svg.NARROW)
        (figures / f"timeline-{name}.svg").write_text(drawing, "utf-8")


def rewrite(path: Path, build: Path, results: dict[str, crowd.Result]) -> None:
    """Puts this run into the page's transcripts of `make run` and `make run-NN`."""
    page = pages.parse_page(str(path), path.read_text("utf-8"))
    for block in reversed(page.blocks):
        if block.kind != "run":
            continue
        options, command = pages.split_options(block.argument)
        chapter = command.removeprefix("make run").removeprefix("-")
        known = chapter == "" or any(server.startswith(f"{chapter}-") for server in results)
        if command not in ("make run", f"make run-{chapter}") or not known:
            continue
        lines = pages.prompt(command) + pages.choose(printed(build, results, chapter), options)
        page.lines[block.fence + 1:block.end] = lines
        print(f"{path.relative_to(ROOT)}: {command}")
    path.write_text("\n".join(page.lines).rstrip("\n") + "\n", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="One run of the crowd for every page.")
    parser.add_argument("--build", type=Path, default=Path("build"))
    build = parser.parse_args().build
    crowd.raise_descriptor_limit()
    gc.disable()
    results = {name: measure(build / name) for name in crowd.servers_in(build)}
    print("\n".join(printed(build, results)))
    draw(results, build / "trace.json")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        rewrite(path, build, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
