#!/usr/bin/env python3
"""A minimal model of chapter 07's event loop: what every plan must print.

    model.py [PLAN]     runs the plan (or the example), as 07-simulated-clock does
"""

import sys


class Task:
    """A generator that yields how long it wants to sleep."""

    def __init__(self, generator):
        self.generator = generator

    def run(self):
        return next(self.generator)


class EventLoop:
    def __init__(self):
        self.ready_tasks = []
        self.sleeping_tasks = {}  # wake time -> tasks
        self.current_time = 0

    def add_task(self, task):
        self.ready_tasks.append(task)

    def run(self):
        while self.ready_tasks or self.sleeping_tasks:
            while self.ready_tasks:
                task = self.ready_tasks.pop(0)
                try:
                    delay = task.run()
                except StopIteration:
                    continue
                wake_time = self.current_time + delay
                self.sleeping_tasks.setdefault(wake_time, []).append(task)
            if self.sleeping_tasks:
                self.current_time = min(self.sleeping_tasks)
                self.ready_tasks.extend(self.sleeping_tasks.pop(self.current_time))


def planned(loop, name, delays, output):
    output.append(f"{name} started at {loop.current_time}")
    for delay in delays:
        yield delay
        output.append(f"{name} resumed at {loop.current_time}")


def run_plan(text):
    """Returns the lines that the plan prints, and the time at its end."""
    loop, output = EventLoop(), []
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if line:
            name, delays = line.split(":", 1)
            delays = [int(delay) for delay in delays.split()]
            loop.add_task(Task(planned(loop, name.strip(), delays, output)))
    loop.run()
    return output, loop.current_time


if __name__ == "__main__":
    plan = open(sys.argv[1], encoding="utf-8").read() if len(sys.argv) > 1 else "Task1: 2\nTask2: 1\n"
    print("\n".join(run_plan(plan)[0]))
