"""Says how far a workshop has come with compiling, if that takes more than two seconds."""

import sys
import threading
import time

PATIENT = 2  # seconds
CLEAR = "\r\x1b[K"


class Ticker:
    """A context manager. On a terminal, one line that is written again and again and is gone at the
    end; otherwise one plain line."""

    def __init__(self, workshop):
        self.workshop = workshop
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.tick, daemon=True)

    def __enter__(self):
        self.workshop.compiled = 0
        self.began = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def tick(self):
        if self.ended.wait(PATIENT):
            return
        terminal = sys.stdout.isatty()
        if not terminal:
            print(self.line() + "...", flush=True)
            return
        while not self.ended.wait(0.5):
            print(f"{CLEAR}{self.line()}, {time.monotonic() - self.began:.0f} s", end="", flush=True)
        print(CLEAR, end="", flush=True)

    def line(self):
        return f"compiling: {self.workshop.compiled} of {self.workshop.files} files are ready"
