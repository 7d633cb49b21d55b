"""Runs a server as a process: starts it, reads its output, always ends it, and reports its cost."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import selectors
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass

from clients import Loop


class ServerFailed(Exception):
    """The server did something wrong; the text says what, for its row."""


class Hung(ServerFailed):
    """The server was not done by the deadline."""


@dataclass(frozen=True)
class Cost:
    """What the operating system charged to the server process with all its threads."""

    cpu: float  # seconds, user and system
    sleeps: int  # voluntary context switches: how often a thread gave up the CPU to wait


def raise_descriptor_limit() -> int:
    """Raises the soft limit on descriptors to the hard limit, and returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Server:
    """A running server program. A context manager: at its end, the process is gone."""

    TIME_TO_END = 2.0  # seconds after SIGTERM

    def __init__(self, program: str, loop: Loop) -> None:
        """Starts `program --port 0`. Raises ServerFailed."""
        self._loop = loop
        self._output = b""
        self._complaints = tempfile.TemporaryFile()  # stderr; an unread pipe could fill up
        self._ended: tuple[int, Cost] | None = None
        try:
            self._process = subprocess.Popen(
                [program, "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                start_new_session=True,  # so that its children can be killed with it
            )
        except OSError as error:
            self._complaints.close()
            raise ServerFailed(f"cannot be started: {error.strerror}") from None
        loop.watch(self._process.stdout, selectors.EVENT_READ, self._read_output)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_) -> None:
        """Kills what is still running: nothing outlives the crowd."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._ended is None:
            self._reap(0)
        self._loop.watch(self._process.stdout, 0, self._read_output)
        self._process.stdout.close()
        self._complaints.close()

    def address(self, deadline: float) -> tuple[str, int]:
        """Waits for the first line of output, with the address. Raises ServerFailed, Hung."""
        self._loop.run_while(
            lambda: b"\n" not in self._output
            and not self.has_ended()
            and time.monotonic() < deadline
        )
        if self.has_ended():
            raise ServerFailed(self.how_it_ended())
        if b"\n" not in self._output:
            raise Hung("it never printed its first line")
        first = self._output.split(b"\n")[0].decode(errors="replace")
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)", first)
        if not match:
            raise ServerFailed(
                f'WRONG FIRST LINE: "{first[:40]}", not "listening on 127.0.0.1:PORT"'
            )
        return "127.0.0.1", int(match[1])

    def has_ended(self) -> bool:
        """Returns true if the server has ended by itself."""
        if self._ended is None:
            self._reap(os.WNOHANG)
        return self._ended is not None

    def how_it_ended(self) -> str:
        """Returns 'DIED: killed by SIGSEGV' or 'exited with status 1: its first line on stderr'."""
        status, _ = self._ended
        how = f"exited with status {status}"
        if status < 0:
            how = f"DIED: killed by {signal.Signals(-status).name}"
        complaint = self._first_complaint()
        return f"{how}: {complaint}" if complaint else how

    def stop(self) -> Cost:
        """Ends the server with SIGTERM and returns what it cost. Raises ServerFailed."""
        if self.has_ended():
            raise ServerFailed(self.how_it_ended())
        os.kill(self._process.pid, signal.SIGTERM)
        deadline = time.monotonic() + self.TIME_TO_END
        self._loop.run_while(lambda: not self.has_ended() and time.monotonic() < deadline)
        if not self.has_ended():
            raise ServerFailed(f"DID NOT END within {self.TIME_TO_END:g} s of SIGTERM")
        status, cost = self._ended
        if status not in (0, -signal.SIGTERM):
            raise ServerFailed(self.how_it_ended())
        return cost

    def _read_output(self, _events: int) -> None:
        data = os.read(self._process.stdout.fileno(), 4096)
        if len(self._output) < 4096:
            self._output += data
        if not data:  # closed: the server may have ended, or only closed its output
            self._loop.watch(self._process.stdout, 0, self._read_output)

    def _reap(self, options: int) -> None:
        pid, status, usage = os.wait4(self._process.pid, options)
        if pid != 0:
            self._process.returncode = os.waitstatus_to_exitcode(status)
            cost = Cost(usage.ru_utime + usage.ru_stime, usage.ru_nvcsw)
            self._ended = (self._process.returncode, cost)

    def _first_complaint(self) -> str:
        """Returns the first line on stderr that has letters: sanitizers begin with a ruler."""
        self._complaints.seek(0)
        for line in self._complaints.read(65536).decode(errors="replace").splitlines():
            if re.search("[A-Za-z]", line):
                return line.strip()[:200]
        return ""
