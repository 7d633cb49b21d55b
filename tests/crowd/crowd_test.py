#!/usr/bin/env python3
"""Tests of the crowd: a row says what its server does wrong, and the crowd always ends by itself.

Run: python3 tests/crowd/crowd_test.py

The servers are small scripts that are wrong in one way each. Nothing else is needed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

CROWD = Path(__file__).resolve().parent / "crowd.py"

# A correct server, as short as possible; the code in `wrong` makes it a wrong one.
ECHO = """#!{python}
import os, signal, socket, sys, threading, time

spoil = lambda data: data

{wrong}

def echo(client):
    try:
        while data := client.recv(65536):
            client.sendall(spoil(data))
    except OSError:
        pass
    client.close()

listener = socket.create_server(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
"""

SHELL = "#!/bin/sh\n{wrong}\n"


class Crowd(unittest.TestCase):
    """Each test puts a server into a build directory of its own and sends it the crowd."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = Path(folder.name)

    def server(self, wrong: str, body: str = ECHO, name: str = "03-select") -> None:
        program = self.build / name
        program.write_text(body.format(python=sys.executable, wrong=wrong))
        program.chmod(0o755)

    def crowd(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Runs the crowd. The time limit is a watchdog: the crowd must end by itself."""
        return subprocess.run(
            [sys.executable, str(CROWD), "--build", str(self.build), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        )

    def expect_failed_row(self, words: str, *arguments: str) -> None:
        """The server's row contains `words`, stderr is empty, and the exit status is 1."""
        run = self.crowd(*arguments)
        said = " ".join(run.stdout.split())  # long texts continue in the next line
        self.assertIn(words, said, "the row does not say what was wrong")
        self.assertEqual(run.stderr, "", "a server's failure belongs into its row")
        self.assertEqual(run.returncode, 1, "a row failed: the exit status must say so")
        self.expect_width(run.stdout)

    def expect_width(self, output: str) -> None:
        for line in output.splitlines():
            self.assertLess(len(line), 80, f'too wide for a terminal: "{line}"')


class RightServer(Crowd):
    def test_gets_a_row_of_figures(self) -> None:
        self.server("")
        run = self.crowd()
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        # On a busy machine a figure may be marked ("!").
        self.assertRegex(run.stdout, r"(?m)^03-select .* m?s[ !].* m?s[ !].* s +\d+%.* all$")
        self.assertNotIn("\x1b", run.stdout, "colours are for terminals only")
        self.expect_width(run.stdout)

    def test_gets_a_timeline_also_in_plain_characters(self) -> None:
        self.server("")
        run = self.crowd("03", LC_ALL="C", PYTHONIOENCODING="ascii")
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        # On a busy machine the crowd itself may miss a column (".").
        self.assertRegex(run.stdout, r"(?m)^talker 5 +[#o-][#o.-]{9}")
        self.assertTrue(run.stdout.isascii(), run.stdout)
        self.expect_width(run.stdout)

    def test_gets_a_trace_whose_slices_of_one_client_do_not_overlap(self) -> None:
        self.server("")
        trace = self.build / "trace.json"
        run = self.crowd("03", "--trace", str(trace))
        self.assertEqual(run.returncode, 0, run.stdout)
        events = json.loads(trace.read_text())["traceEvents"]
        names = [e["args"]["name"] for e in events if e["name"] == "thread_name"]
        self.assertEqual(len(names), 8, names)
        for tid in range(1, len(names) + 1):
            waits = [e for e in events if e["ph"] == "X" and e["tid"] == tid][1:]
            for before, after in zip(waits, waits[1:]):
                self.assertLessEqual(before["ts"] + before["dur"], after["ts"] + 1)


class WrongServer(Crowd):
    def test_never_answers(self) -> None:
        self.server("spoil = lambda data: time.sleep(100)")
        self.expect_failed_row("HUNG after 2 s: 6 of 8 clients", "--deadline", "2")

    def test_never_accepts(self) -> None:
        self.server("threading.Thread = lambda **_: time.sleep(100)")
        self.expect_failed_row("HUNG after 2 s: 6 of 8 clients", "--deadline", "2")

    def test_is_drawn_up_to_the_deadline(self) -> None:
        self.server("spoil = lambda data: time.sleep(100)")
        self.expect_failed_row("HUNG after 2 s: 6 of 8 clients", "03", "--deadline", "2")

    def test_never_prints_its_first_line(self) -> None:
        self.server("sleep 100", SHELL)
        self.expect_failed_row("HUNG after 1 s: it never printed", "--deadline", "1")

    def test_prints_another_first_line(self) -> None:
        self.server("echo hello; sleep 100", SHELL)
        self.expect_failed_row('WRONG FIRST LINE: "hello", not "listening on')

    def test_dies_before_its_first_line(self) -> None:
        self.server("kill -SEGV $$", SHELL)
        self.expect_failed_row("DIED: killed by SIGSEGV")

    def test_dies_in_the_middle(self) -> None:
        self.server("spoil = lambda data: os.kill(os.getpid(), signal.SIGSEGV)")
        self.expect_failed_row("DIED: killed by SIGSEGV")

    def test_exits_with_a_message(self) -> None:
        self.server("echo '03-select: cannot listen: Address already in use' >&2; exit 1", SHELL)
        self.expect_failed_row(
            "exited with status 1: 03-select: cannot listen: Address already in use"
        )

    def test_exits_in_the_middle(self) -> None:
        self.server("spoil = lambda data: os._exit(0)")
        self.expect_failed_row("exited with status 0")

    def test_corrupts_one_byte(self) -> None:
        self.server("spoil = lambda data: data.replace(b'line 7 of', b'line 8 of')")
        self.expect_failed_row("WRONG: talker 1: byte 154 came back wrong: 0x38, not 0x37")

    def test_adds_a_byte(self) -> None:
        self.server("spoil = lambda data: data + b'!' if b'line 1 of' in data else data")
        self.expect_failed_row("WRONG: talker 1: received bytes that were never sent: b'!'")

    def test_swaps_two_pieces_of_the_block(self) -> None:
        self.server("spoil = lambda data: data[4096:8192] + data[:4096] + data[8192:]")
        self.expect_failed_row("WRONG: bulk: byte 1 came back wrong")

    def test_closes_and_still_owes_bytes(self) -> None:
        self.server("spoil = lambda data: data[:-3] if b'line 20' in data else data")
        self.expect_failed_row("the server closed the connection and still owed 3 bytes")

    def test_does_not_end_on_sigterm(self) -> None:
        self.server("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
        self.expect_failed_row("DID NOT END within 2 s of SIGTERM")

    def test_cannot_be_started(self) -> None:
        self.server("", body="no program\n")
        self.expect_failed_row("cannot be started: Exec format error")

    def test_does_not_affect_the_next_row(self) -> None:
        self.server("exit 7", SHELL, name="02-polling")
        self.server("")
        run = self.crowd()
        self.assertEqual(run.returncode, 1)
        self.assertRegex(run.stdout, r"(?m)^02-polling .* exited with status 7$")
        self.assertRegex(run.stdout, r"(?m)^03-select .* all$")


class CommandLine(Crowd):
    def test_names_the_missing_program(self) -> None:
        run = self.crowd("03")
        self.assertEqual((run.returncode, run.stdout), (2, ""))
        self.assertIn("03-select: build it with", run.stderr)

    def test_reports_an_empty_build_folder(self) -> None:
        run = self.crowd()
        self.assertEqual((run.returncode, run.stdout), (2, ""))
        self.assertIn("there is no server in", run.stderr)

    def test_lists_the_chapters(self) -> None:
        run = self.crowd("42")
        self.assertEqual((run.returncode, run.stdout), (2, ""))
        self.assertIn("no chapter 42; there are: 01 02 03", run.stderr)


class Clock(Crowd):
    """Chapter 07's program is not a server: it is only run."""

    def test_closes_the_tour(self) -> None:
        self.server("")
        self.server("echo Task1 started at 0", SHELL, name="07-simulated-clock")
        run = self.crowd()
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        self.assertEqual(run.stdout.splitlines()[-1], "Task1 started at 0")

    def test_is_a_chapter_of_its_own(self) -> None:
        self.server("echo Task1 started at 0", SHELL, name="07-simulated-clock")
        run = self.crowd("07")
        self.assertEqual((run.returncode, run.stdout), (0, "Task1 started at 0\n"))


class Interrupted(Crowd):
    def test_ends_quietly_and_leaves_no_server_behind(self) -> None:
        pid_file = self.build / "pid"
        # Written under another name first, so the file is complete as soon as it exists.
        self.server(
            f"open({str(pid_file)!r} + '.new', 'w').write(str(os.getpid()))\n"
            f"os.rename({str(pid_file)!r} + '.new', {str(pid_file)!r})\n"
            "time.sleep(100)"
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number.name):
                crowd = subprocess.Popen(
                    [sys.executable, str(CROWD), "--build", str(self.build)],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                while not pid_file.exists():
                    self.assertIsNone(crowd.poll(), "ended before it came to the server")
                    time.sleep(0.01)
                crowd.send_signal(number)
                _, complaints = crowd.communicate(timeout=60)
                self.assertEqual((crowd.returncode, complaints), (128 + number, ""))
                with self.assertRaises(ProcessLookupError, msg="the server is still there"):
                    os.kill(int(pid_file.read_text()), 0)
                pid_file.unlink()


if __name__ == "__main__":
    unittest.main()
