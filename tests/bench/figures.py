#!/usr/bin/env python3
"""make figures: draws docs/figures/*.svg from the recorded results, with gnuplot.

The background is transparent and the colours are of medium brightness, so that the figures can be
read on a light page and on a dark one.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import measure

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "tests" / "bench" / "results"
FIGURES = ROOT / "docs" / "figures"

TEXT, GRID = "#7b828c", "#a0a6ae"
OURS, WORLD, BARE = "#14a08f", "#e0793a", "#7b828c"  # the colours of the timelines, and grey
COLOURS = ["#d0564a", "#e0793a", "#a05fc4", "#14a08f", "#3f8fd6", "#7b828c"]


def load(name):
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def draw(name, title, height, commands):
    """Writes docs/figures/NAME.svg; `commands`: gnuplot's, with the data in them."""
    script = f"""
set terminal svg size 760,{height} dynamic font "Helvetica,Arial,sans-serif,14" linewidth 1.3
set output "{FIGURES / name}.svg"
set title "{title}" font ",16" textcolor rgb "{TEXT}"
set border 3 linecolor rgb "{TEXT}"
set tics textcolor rgb "{TEXT}" nomirror
set grid linecolor rgb "{GRID}" linetype 1 linewidth 0.3
set xlabel textcolor rgb "{TEXT}"
set ylabel textcolor rgb "{TEXT}"
unset key
{commands}
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
    # Without gnuplot's version in it, a figure changes only if its data do.
    path = FIGURES / f"{name}.svg"
    text = re.sub(r"<desc>.*?</desc>", "<desc>drawn by make figures</desc>", path.read_text("utf-8"),
                  flags=re.DOTALL)
    path.write_text(text, "utf-8")
    print(path.relative_to(ROOT))


def block(name, rows):
    return f"${name} << EOD\n" + "\n".join(" ".join(str(c) for c in row) for row in rows) + "\nEOD\n"


def lines(series, end):
    """`series`: (label, colour, [(x, y)], by how much the label is moved up). Each label stands at
    the right end of its line. `end`: where the axis ends."""
    commands, plots = "", []
    for i, (label, colour, points, up) in enumerate(series):
        commands += block(f"s{i}", points)
        x, y = points[-1]
        commands += f'set label "{label}" at {x},{y} offset 0.8,{up} textcolor rgb "{colour}"\n'
        plots.append(f'$s{i} with linespoints linecolor rgb "{colour}" linewidth 2 pointtype 7 '
                     "pointsize 0.5")
    return commands + f"set xrange [{series[0][2][0][0]}:{end}]\nplot " + ", ".join(plots)


def bars(rows, labels):
    """Horizontal bars from top to bottom. `rows`: (name, [(length, colour), ...]), the parts of a bar
    from left to right; `labels`: the text at the end of each bar."""
    commands, data, ticks = "", [], []
    for i, (name, parts) in enumerate(rows):
        y, start = len(rows) - i, 0
        ticks.append(f'"{name}" {y}')
        for length, colour in parts:
            data.append((start, y, start, start + length, y - 0.34, y + 0.34,
                         int(colour[1:], 16)))
            start += length
        commands += f'set label "{labels[i]}" at {start},{y} offset 0.7,0 textcolor rgb "{TEXT}"\n'
    return (block("bars", data) + commands + f"set ytics ({', '.join(ticks)}) scale 0\n"
            f"set yrange [0.3:{len(rows) + 0.7}]\nset grid noytics\nset style fill solid 0.9\n"
            "plot $bars using 1:2:3:4:5:6:7 with boxxyerror linecolor rgb variable linewidth 0.1")


def growth():
    found = load("growth")["events"]
    wanted = [("02-polling", "02: polling", -1.7), ("bare-poll", "poll", 0),
              ("03-select", "03: select (its limit)", -0.6), ("04-epoll", "04: epoll", 0)]
    series = []
    for (name, label, up), colour in zip(wanted, COLOURS):
        points = [(int(n), measure.median(cell["server_ns"]) / 1000)
                  for n, cell in found[name].items()]
        series.append((label, colour, points, up))
    draw("growth", "epoll pays for each event, the others for each watched client", 430,
         'set logscale xy\nset xlabel "silent clients"\n'
         'set ylabel "CPU per reply, microseconds"\nset format x "%.0f"\nset format y "%.0f"\n'
         "set yrange [1:20000]\nset rmargin 14\n" + lines(series, 12_000))


def price():
    results = load("bench")["cost"]["few"]
    baseline = results[measure.BASELINE]
    chapters = [server.name for server in measure.CHAPTERS]
    left_out = ["02-polling", "01-blocking-read"]
    rows = sorted((measure.best_ratio(measure.by_name(name), found, baseline), name)
                  for name, found in results.items() if name not in left_out)
    shown = [(name, [(value, BARE if name.startswith("bare") else
                      OURS if name in chapters else WORLD)]) for value, name in rows]
    draw("price", "A coroutine loop costs what the bare epoll loop costs", 440,
         'set xlabel "server CPU per request; the barest epoll loop = 1"\nset xrange [0:*]\n'
         "set rmargin 7\n" + bars(shown, [f"{value:.2f}" for value, _ in rows]))


def memory():
    found = load("growth")["memory"]
    rows = []
    for name, of in found.items():
        rows.append((max(measure.median(of["process"]), 0), max(measure.median(of["kernel"]), 0),
                     name))
    rows.sort(key=lambda row: row[0] + row[1])
    shown = [(name, [(own, OURS), (kernel, WORLD)]) for own, kernel, name in rows]
    draw("memory", "An idle client: 12 kB in a loop, 44 kB with a thread, 122 kB with a process", 460,
         'set xlabel "kB for an idle client: teal in the process, orange in the kernel"\n'
         "set xrange [0:130]\nset rmargin 5\n" + bars(shown, [f"{a + b:.1f}" for a, b, _ in rows]))


def timers():
    found = load("growth")["sleepers"]
    wanted = [("linear search, sparse", "linear search", 0), ("05 timers, sparse", "05: timers", 0.3),
              ("07 tasks, sparse", "07: tasks", -0.2), ("07 tasks, dense", "07: 100 at a time", -0.3)]
    series = []
    for (name, label, up), colour in zip(wanted, COLOURS):
        points = [(int(n), measure.median(values)) for n, values in found[name].items()]
        series.append((label, colour, points, up))
    draw("timers", "A linear search visits every sleeper, a queue almost none", 430,
         'set logscale xy\nset xlabel "sleeping timers or tasks"\n'
         'set ylabel "one wake-up, nanoseconds"\nset format x "%.0f"\nset format y "%.0f"\n'
         "set rmargin 20\n" + lines(series, 1_100_000))


def main():
    if shutil.which("gnuplot") is None:
        sys.exit("figures: this needs gnuplot (Debian, Ubuntu: apt-get install gnuplot-nox)")
    FIGURES.mkdir(exist_ok=True)
    for figure in (growth, price, memory, timers):
        figure()


if __name__ == "__main__":
    main()
