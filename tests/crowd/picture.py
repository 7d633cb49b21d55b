"""Prints the table of the tour and the timeline of one server, 80 columns wide."""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass

from clients import BLOCK_SIZE, Client, Leaver, Silent, Talker

# What is bad enough to be marked: far from what good servers show, even on a busy machine.
SLOW_REPLY = 0.25  # seconds
BUSY = 0.15  # of a core
LATE_CROWD = 0.02  # seconds: the crowd itself was delayed, so reply times mean less

WIDTH = 80
CELL = 0.05  # seconds in one column of the timeline, the same for every server
CELLS = 60
AT_ONCE = CELL / 2


@dataclass(frozen=True)
class Style:
    """What the terminal can show."""

    colour: bool
    unicode: bool

    @staticmethod
    def of(stream) -> Style:
        colour = stream.isatty() and not os.environ.get("NO_COLOR")
        # Python treats the C locale as UTF-8; but LC_ALL=C asks for plain characters.
        names = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
        plain = next(filter(None, names), "") in ("C", "POSIX")
        try:
            "█▒░·".encode(stream.encoding or "ascii")
        except UnicodeEncodeError:
            plain = True
        return Style(colour and os.environ.get("TERM") != "dumb", not plain)

    def paint(self, text: str, codes: str) -> str:
        return f"\x1b[{codes}m{text}\x1b[0m" if self.colour and text.strip() else text

    def bad(self, text: str) -> str:
        return self.paint(text, "1;31")

    def good(self, text: str) -> str:
        return self.paint(text, "32")

    def late(self, text: str) -> str:
        return self.paint(text, "33")

    def dim(self, text: str) -> str:
        return self.paint(text, "2")


def duration(seconds: float) -> str:
    """Returns '0.12 ms', '3.4 ms', '951 ms' or '2.10 s': three digits at most."""
    ms = seconds * 1000
    if ms < 0.995:
        return f"{ms:.2f} ms"
    if ms < 9.95:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 999.5 else f"{seconds:.2f} s "


def cpu(result) -> str:
    """Returns a text like '1.38 s  99%'."""
    return f"{result.cost.cpu:.2f} s {100 * result.share_of_core:3.0f}%"


def megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def mark(style: Style, text: str, bad: bool) -> str:
    """Returns the text with a mark or a space behind it; the mark does not depend on colours."""
    return style.bad(text + "!") if bad else text + " "


# --- The table of the tour ---------------------------------------------------------------------

NAME, HOW, REPLY, CPU, SLEEPS, BYTES = 18, 19, 8, 12, 7, 6


def table_header(style: Style, clients: list[Client]) -> str:
    talkers = sum(isinstance(client, Talker) for client in clients)
    story = (
        f"The crowd: the same {len(clients)} clients for every server. "
        "The first connects and sends\n"
        f"nothing for a second, {talkers} send a line every 50 ms, one sends "
        f"{megabytes(BLOCK_SIZE)} and reads\n"
        "it back slowly, and one disconnects in the middle."
    )
    above = (
        f"{'':{NAME + HOW}}{'reply time':^{2 * REPLY}}"
        f"{'CPU time,':>{CPU}} {'times':>{SLEEPS}}{'bytes':>{BYTES}}"
    )
    below = (
        f"{'server':{NAME}}{'how it waits':{HOW}}{'median':>{REPLY - 1}} {'worst':>{REPLY - 1}} "
        f"{'of a core':>{CPU}} {'asleep':>{SLEEPS}}{'back':>{BYTES}}"
    )
    ruler = ("─" if style.unicode else "-") * (WIDTH - 1)
    return "\n".join([story, "", above, below, style.dim(ruler)])


def row_begin(server: str, how: str) -> str:
    return f"{server:{NAME}}{how:{HOW}}"


def row_end(style: Style, result) -> str:
    """Returns the figures, or the reason why there are none."""
    if result.failure:
        room = WIDTH - 1 - NAME - HOW
        lines = textwrap.wrap(result.failure, room)
        return f"\n{'':{NAME + HOW}}".join(style.bad(line) for line in lines)
    median = mark(style, f"{duration(result.median):>{REPLY - 1}}", result.median > SLOW_REPLY)
    worst = mark(style, f"{duration(result.worst):>{REPLY - 1}}", result.worst > SLOW_REPLY)
    busy = mark(style, f"{cpu(result):>{CPU}}", result.share_of_core > BUSY)
    return f"{median}{worst}{busy}{result.cost.sleeps:>{SLEEPS},}{'all':>{BYTES}}"


def closing(style: Style, results: list) -> str:
    """Returns what is worth noticing in these results, and the command to type next."""
    good = [result for result in results if not result.failure]
    marked = [result for result in good if result.worst > SLOW_REPLY or is_busy(result)]
    lines = [f"{style.bad('!')} {result.server}: {meaning(result)}" for result in marked]
    lines += late_crowd(good)
    worth_seeing = (marked or results)[0].server[:2]
    lines.append(f"Next: make run-{worth_seeing}   (drawn: when each client was answered)")
    return "\n".join(["", *lines])


def is_busy(result) -> bool:
    return result.share_of_core > BUSY


def meaning(result) -> str:
    """Returns the meaning of the figures in a few words."""
    share = f"{result.cost.cpu:.2f} s of CPU in {result.elapsed:.2f} s"
    if all_wait_for_silent(result):
        return "no client is answered until the silent one leaves."
    if result.worst > SLOW_REPLY:
        return f"a client waited {duration(result.worst).strip()} for a reply."
    if is_busy(result):
        return f"answers all, but never sleeps: {share}."
    return f"answers all and sleeps in between: {share}."


def all_wait_for_silent(result) -> bool:
    silent_left = max(client.left for client in result.clients if isinstance(client, Silent))
    answers = (request.answered for client in result.clients for request in client.requests)
    return all(answered > silent_left for answered in answers if answered is not None)


def late_crowd(results: list) -> list[str]:
    """Returns a warning if the crowd itself was delayed."""
    worst = max((result.late for result in results), default=0.0)
    if worst < LATE_CROWD:
        return []
    late = duration(worst).strip()
    return [f"Busy machine: the crowd itself ran {late} late, so the worst times mean little."]


# --- The timeline of one server ----------------------------------------------------------------


@dataclass(frozen=True)
class Glyphs:
    """The characters of the timeline, one for each column."""

    at_once: str
    late: str
    waiting: str
    quiet: str
    sending: str = ">"
    leaves: str = "x"


BLOCKS = Glyphs("█", "▒", "░", "·")
LETTERS = Glyphs("#", "o", "-", ".")

LABEL = 9


def timeline_header() -> str:
    return (
        "The crowd: silent sends nothing for a second. Each talker sends a line every\n"
        "50 ms, answered or not. leaver sends, never reads, and disconnects. bulk sends\n"
        f"{megabytes(BLOCK_SIZE)} and reads it back slowly."
    )


def timeline(style: Style, result, how: str) -> str:
    """Returns the picture of one visit, with its figures or with what went wrong."""
    lines = ["", f"{style.paint(result.server, '1')}: {how}", ""]
    if result.clients:
        lines += [axis(), *(client_row(style, result, client) for client in result.clients)]
        lines += [legend(style), ""]
    if result.failure:
        lines += [style.bad(line) for line in textwrap.wrap(result.failure, WIDTH - 1)]
    else:
        lines += figures(style, result)
    return "\n".join(lines)


def axis() -> str:
    """Returns the seconds, each number above the column at which it begins."""
    numbers = [" "] * (CELLS + 3)
    for half in range(7):
        text = f"{half / 2:g}" if half % 2 else f"{half // 2} s"
        column = int(half / 2 / CELL)
        numbers[column : column + len(text)] = text
    return f"{'':{LABEL}}{''.join(numbers)}  worst"


def client_row(style: Style, result, client: Client) -> str:
    glyphs = BLOCKS if style.unicode else LETTERS
    cells = "".join(
        cell(style, glyphs, client, result.zero + index * CELL) for index in range(CELLS)
    )
    return f"{client.name:{LABEL}}{cells}  {worst_reply(client)}".rstrip()


def worst_reply(client: Client) -> str:
    if not isinstance(client, Talker) or client.came is None:
        return ""
    times = [request.took for request in client.requests if request.answered is not None]
    return f"{duration(max(times)):>8}" if times else "   never"


def cell(style: Style, glyphs: Glyphs, client: Client, begin: float) -> str:
    """Returns what happened to the client in these 50 ms; of several things, the worst."""
    end = begin + CELL
    if client.came is None or client.came >= end or not is_there(client, begin):
        return " "
    if isinstance(client, Leaver):
        return glyphs.sending if is_there(client, end) else glyphs.leaves
    asked = [r for r in client.requests if r.asked < end]
    answers = [r.took for r in asked if r.answered is not None and begin <= r.answered < end]
    if answers:
        return style.good(glyphs.at_once) if max(answers) < AT_ONCE else style.late(glyphs.late)
    if any(r.answered is None or r.answered >= end for r in asked):
        return style.bad(glyphs.waiting)
    return glyphs.quiet if is_there(client, begin + CELL / 2) else " "


def is_there(client: Client, moment: float) -> bool:
    """Returns true if the client has not left by then, or has never left."""
    return client.left is None or client.left >= moment


def legend(style: Style) -> str:
    glyphs = BLOCKS if style.unicode else LETTERS
    return (
        f"{'':{LABEL}}{style.good(glyphs.at_once)} answered at once  "
        f"{style.late(glyphs.late)} answered late  "
        f"{style.bad(glyphs.waiting)} waiting for a reply  {glyphs.quiet} idle"
    )


def figures(style: Style, result) -> list[str]:
    """Returns a line of figures, and a sentence that says what they mean."""
    line = (
        f"median {duration(result.median).strip()}, worst {duration(result.worst).strip()}, "
        f"CPU {result.cost.cpu:.2f} s, sleeps {result.cost.sleeps:,}, "
        f"all {megabytes(result.bytes_back)} came back"
    )
    sentence = f"{result.server}: {meaning(result)}"
    marked = result.worst > SLOW_REPLY or is_busy(result)
    return [line, style.bad(sentence) if marked else sentence, *late_crowd([result])]
