"""The crowd: eight scripted clients, on one thread, and the loop that drives them.

Each client records what it sent and when that came back, and checks each byte as it arrives. The
clients never wait for each other or for the server: a talker sends its next line on time, answered
or not. (A client that waited for the reply first would hide every stall longer than its own pause.)
"""

from __future__ import annotations

import heapq
import itertools
import random
import selectors
import socket
import struct
import time
from dataclasses import dataclass
from typing import Callable

now = time.monotonic

# More than the buffers of both sides hold together, so the server has to wait for its reader.
BLOCK_SIZE = 8 * 1024 * 1024
# Small buffers on our side: Linux's default buffers would swallow megabytes unread.
BUFFER_SIZE = 64 * 1024


class Loop:
    """An event loop: calls functions when a descriptor is ready or a time has come."""

    def __init__(self) -> None:
        self.late = 0.0  # seconds by which the worst call was late, because of the machine or of us
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()  # equal times: in the order of registration

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Calls `call` at `when`, on the clock of time.monotonic()."""
        heapq.heappush(self._timers, (when, next(self._order), call))

    def watch(self, source, events: int, call: Callable[[int], None]) -> None:
        """Calls `call(events)` whenever `source` is ready; with 0 events, stops watching it."""
        known = source in self._selector.get_map()
        if not events:
            if known:
                self._selector.unregister(source)
        elif not known:
            self._selector.register(source, events, call)
        elif self._selector.get_key(source).events != events:
            self._selector.modify(source, events, call)

    def run_while(self, wanted: Callable[[], bool]) -> None:
        """Runs until `wanted()` is false; checks at least every 50 ms."""
        while wanted():
            while self._timers and self._timers[0][0] <= now():
                when, _, call = heapq.heappop(self._timers)
                self.late = max(self.late, now() - when)
                call()
            next_timer = self._timers[0][0] - now() if self._timers else 0.05
            for key, events in self._selector.select(max(0.0, min(next_timer, 0.05))):
                key.data(events)

    def close(self) -> None:
        self._selector.close()


def reason(error: OSError) -> str:
    """Returns the error's text, like 'connection refused'."""
    return (error.strerror or str(error)).lower()


@dataclass
class Request:
    """What a client waits for: everything up to byte `end` has come back."""

    asked: float
    end: int
    answered: float | None = None

    @property
    def took(self) -> float | None:
        return None if self.answered is None else self.answered - self.asked


class Client:
    """One connection. A subclass decides what it sends and when it leaves."""

    def __init__(self, name: str, comes: float) -> None:
        self.name = name
        self.comes = comes  # seconds after the crowd starts
        self.came: float | None = None
        self.left: float | None = None
        self.requests: list[Request] = []
        self.received = 0
        self.trouble: str | None = None  # what went wrong

    def start(self, loop: Loop, address: tuple[str, int], zero: float) -> None:
        """Connects `comes` seconds after `zero`."""
        self._loop = loop
        self._expected = bytearray()  # all that was ever sent: what has to come back
        self._sent = 0
        self._finishing = False  # half-close once all is sent
        self._half_closed = False
        loop.at(zero + self.comes, lambda: self._connect(address))

    def _connect(self, address: tuple[str, int]) -> None:
        self.came = now()
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, buffer, BUFFER_SIZE)
        # The result comes later: until then nothing can be sent, and the first recv() reports a
        # failure.
        self._socket.connect_ex(address)
        self.on_connected()
        self._update()

    # --- For the subclasses --------------------------------------------------------------------

    def on_connected(self) -> None:
        """Starts the script."""

    def on_received(self) -> None:
        """More bytes have come back; `received` is the total."""

    def wants(self) -> int:
        """Returns how many bytes the client would read now; 0: it does not read."""
        return BUFFER_SIZE

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Calls `call` `seconds` after the client came, unless it has left by then."""
        self._loop.at(self.came + seconds, lambda: self.left is None and call())

    def say(self, data: bytes) -> None:
        """Sends, as fast as the server takes it."""
        self._expected += data
        self._send()

    def say_no_more(self) -> None:
        """Half-closes when all is sent: the server sees the end of input and still owes bytes."""
        self._finishing = True
        self._send()

    def leave(self, reset: bool = False) -> None:
        """Closes the connection; with `reset`, by a reset instead of an orderly end."""
        if self.left is not None:
            return
        self.left = now()
        if self.came is None:
            return
        self._loop.watch(self._socket, 0, self._on_ready)
        if reset:  # lingering for 0 seconds: close() discards unsent bytes and sends a reset
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    # --- The connection ------------------------------------------------------------------------

    def _update(self) -> None:
        if self.left is not None:
            return
        events = selectors.EVENT_READ if self.wants() > 0 else 0
        if self._sent < len(self._expected):
            events |= selectors.EVENT_WRITE
        self._loop.watch(self._socket, events, self._on_ready)

    def _on_ready(self, events: int) -> None:
        if events & selectors.EVENT_READ:
            self._receive()
        if events & selectors.EVENT_WRITE:
            self._send()
        self._update()

    def _send(self) -> None:
        if self.left is not None:
            return
        try:
            if self._sent < len(self._expected):
                piece = self._expected[self._sent : self._sent + BUFFER_SIZE]
                self._sent += self._socket.send(piece)
            if self._finishing and not self._half_closed and self._sent == len(self._expected):
                self._socket.shutdown(socket.SHUT_WR)
                self._half_closed = True
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(reason(error))
        self._update()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(self.wants())
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(reason(error))
            return
        if not data:
            self._end_of_input()
            return
        moment = now()
        expected = self._expected[self.received : self.received + len(data)]
        if data != expected:
            self._fail(self._difference(data, expected))
            return
        self.received += len(data)
        for request in self.requests:
            if request.answered is None and request.end <= self.received:
                request.answered = moment
        self.on_received()

    def _end_of_input(self) -> None:
        missing = len(self._expected) - self.received
        if missing:
            self._fail(f"the server closed the connection and still owed {missing:,} bytes")
        elif not self._half_closed:
            self._fail("the server closed the connection first")
        else:
            self.leave()

    def _difference(self, data: bytes, expected: bytes) -> str:
        for index, byte in enumerate(data):
            if index == len(expected):
                return f"received bytes that were never sent: {data[index:][:10]!r}"
            if byte != expected[index]:
                return (
                    f"byte {self.received + index + 1} came back wrong: "
                    f"0x{byte:02x}, not 0x{expected[index]:02x}"
                )
        raise AssertionError("no difference")

    def _fail(self, trouble: str) -> None:
        if self.trouble is None:
            self.trouble = f"{self.name}: {trouble}"
        self.leave(reset=True)


class Silent(Client):
    """Sends nothing for a second, and leaves."""

    def on_connected(self) -> None:
        self.after(1.0, self.leave)


class Talker(Client):
    """Sends a line every 50 ms for a second, half-closes after the last, and reads to the end."""

    LINES = 20
    PAUSE = 0.05

    def on_connected(self) -> None:
        for number in range(self.LINES):
            self.after(number * self.PAUSE, self._say_line)

    def _say_line(self) -> None:
        number = len(self.requests) + 1
        line = f"{self.name}, line {number} of {self.LINES}\n".encode()
        # The clock is read before the line is sent, so the reply time includes the sending.
        self.requests.append(Request(now(), len(self._expected) + len(line)))
        self.say(line)
        if number == self.LINES:
            self.say_no_more()


class Leaver(Client):
    """Sends without end, reads nothing of what comes back, and resets the connection."""

    def on_connected(self) -> None:
        self.say(BLOCK)
        self.after(0.5, lambda: self.leave(reset=True))

    def wants(self) -> int:
        return 0


class Bulk(Client):
    """Sends a large block and reads it back slowly: a little every 10 ms, for a second."""

    READS = 100
    PAUSE = 0.01

    def on_connected(self) -> None:
        self._ask()
        self.say(BLOCK)
        self.say_no_more()

    def _ask(self) -> None:
        end = len(BLOCK) * (len(self.requests) + 1) // self.READS
        self.requests.append(Request(now(), end))
        self._update()

    def wants(self) -> int:
        # When all is back, one byte more, to see the end of input.
        if self._all_is_back():
            return 1
        return min(self.requests[-1].end - self.received, BUFFER_SIZE)

    def _all_is_back(self) -> bool:
        return self.received == len(BLOCK)

    def on_received(self) -> None:
        if self.received < self.requests[-1].end or self._all_is_back():
            return
        # A late reply delays all the reads after it: a slow reader does not catch up.
        answered, asked = self.requests[-1].answered, self.requests[-1].asked
        self._loop.at(max(answered, asked + self.PAUSE), lambda: self.left is None and self._ask())


# The same bytes in every run. They never repeat, so a piece in the wrong place is detected.
BLOCK = random.Random(862).randbytes(BLOCK_SIZE)


def crowd() -> list[Client]:
    """Returns the clients in the order in which they connect, the same for every server.

    The talkers connect 60 ms apart, so that their lines spread over the 50 ms between two lines.
    Bulk comes last and stays longest: it would notice what the leaver breaks.
    """
    talkers = [Talker(f"talker {n}", comes=0.05 + 0.06 * (n - 1)) for n in range(1, 6)]
    return [Silent("silent", 0.0), *talkers, Leaver("leaver", 0.3), Bulk("bulk", 0.35)]

