#!/usr/bin/env python3
"""Runs random plans on 07-simulated-clock and on the model and compares their output. Then bad
plans, and the other output formats.

Starting a process costs more than running a plan, so most plans share one: each begins when all
before it have ended.

    plans_test.py       BUILD=build says where the program is, SEED=7 and PLANS=2000 which plans
"""

import os
import random
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import model  # noqa: E402

PROGRAM = os.path.join(os.environ.get("BUILD", "build"), "07-simulated-clock")
SEED = int(os.environ.get("SEED", "7"))
PLANS = int(os.environ.get("PLANS", "2000"))
ALONE = 100  # so many plans have a process of their own
TOGETHER = 50  # the others share one, so many at a time
LAST = 2**63 - 1  # the last moment of the clock


def run(*arguments, stdin=b""):
    """Returns (exit status, stdout, stderr)."""
    done = subprocess.run([PROGRAM, *arguments], input=stdin, capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def random_plan(dice, name="Task", first_delays=()):
    """Few and many tasks; delays with many ties, with few, and with zeros; none at all; comments.
    Each task is called `name` and a number, and sleeps for `first_delays` first."""
    longest = dice.choice([0, 1, 2, 5, 20, 1000, 10**6, 10**16])
    lines = []
    for number in range(dice.choice([0, 1, 2, 3, 8, 30])):
        delays = [dice.randint(0, longest) for _ in range(dice.choice([0, 1, 2, 5, 12]))]
        if dice.random() < 0.2:
            delays = [dice.choice([0, delay]) for delay in delays]
        separator = dice.choice([" ", "  ", "\t", " \t "])
        line = f"{name}{number}:" + "".join(f"{separator}{delay}" for delay in [*first_delays, *delays])
        if dice.random() < 0.1:
            line = f"  {line} # {dice.randint(0, 9)}: a comment"
        lines.append(line)
        if dice.random() < 0.1:
            lines.append(dice.choice(["", "   ", "# nothing: 1 2 3", "\t"]))
    end = dice.choice(["\n", "\n", "\n", "\r\n"])
    return end.join(lines) + dice.choice(["", end])


def random_plans(dice, count):
    """So many plans as one, in which each plan begins after all before it have ended."""
    plans, time = [], 0
    for number in range(count):
        plans.append(random_plan(dice, f"Plan{number}-Task", [time]))
        time = max(time, model.run_plan(plans[-1])[1]) + dice.choice([1, 2, 1000])
    return "\n".join(plans)


class Plans(unittest.TestCase):
    maxDiff = None

    def test_random_plans(self):
        """random plans print what the model prints"""
        dice = random.Random(SEED)
        plans = [random_plan(dice) for _ in range(min(ALONE, PLANS))]
        plans += [random_plans(dice, TOGETHER) for _ in range((PLANS - len(plans)) // TOGETHER)]
        for number, plan in enumerate(plans):
            lines, time = model.run_plan(plan)
            status, output, errors = run("-", stdin=plan.encode())
            what = f"plan {number} of SEED={SEED}, which is:\n{plan}\n"
            self.assertEqual((status, errors), (0, ""), what)
            self.assertEqual(output.splitlines(), lines, what + "(+: the model)")
            if number % 20 == 0:
                wake_ups = sum("resumed" in line for line in lines)
                tasks = len(lines) - wake_ups
                _, output, _ = run("--quiet", "-", stdin=plan.encode())
                summary = f"{tasks} tasks, {wake_ups} wake-ups, clock at {time}\n"
                self.assertEqual(output, summary, what)

    def test_example(self):
        """without a plan: the example"""
        example = ("Task1 started at 0\nTask2 started at 0\n"
                   "Task2 resumed at 1\nTask1 resumed at 2\n")
        self.assertEqual(run(), (0, example, ""))
        self.assertEqual(run("--quiet"), (0, "2 tasks, 2 wake-ups, clock at 2\n", ""))
        self.assertEqual(model.run_plan("Task1: 2\nTask2: 1")[0], example.splitlines())

    def test_many_tasks(self):
        """100,000 tasks"""
        plan = "".join(f"T{i}: 3 0 {i}\n" for i in range(100_000))
        self.assertEqual(run("--quiet", "-", stdin=plan.encode())[1],
                         "100000 tasks, 300000 wake-ups, clock at 100002\n")

    def test_byte_order_mark(self):
        """a plan may begin with a byte order mark"""
        mark = b"\xef\xbb\xbf"
        self.assertEqual(run("-", stdin=mark + b"A: 1"), (0, "A started at 0\nA resumed at 1\n", ""))
        self.assertEqual(run("-", stdin=mark), (0, "", ""))

    def test_end_of_the_clock(self):
        """the last moment of the clock"""
        self.assertEqual(run("-", stdin=f"A: {LAST}".encode()),
                         (0, f"A started at 0\nA resumed at {LAST}\n", ""))


class BadPlans(unittest.TestCase):
    def test_lines(self):
        """a bad line is reported, with its number and the reason, before anything runs"""
        for plan, why in [
            ("A: 1\n\nB: 1 x 2", ':3: "x" is not a delay'),
            ("A: -1", ':1: "-1" is not a delay'),
            ("A: -0", ':1: "-0" is not a delay'),
            ("A: -99999999999999999999", ':1: "-99999999999999999999" is not a delay'),
            ("A: 1.5", ':1: "1.5" is not a delay'),
            ("A: +1", ':1: "+1" is not a delay'),
            ("A: 1\n\ufeffA 2", ':2: there is no ":" after the name'),
            ("A: 1,2", ':1: "1,2" is not a delay'),
            ("A: 1 : 2", ':1: ":" is not a delay'),
            ("A: 0x10", ':1: "0x10" is not a delay'),
            ("A: " + "y" * 100_000, ':1: "' + "y" * 40 + '..." is not a delay'),
            ("A: \x01\x1b[31m", ':1: "??[31m" is not a delay'),
            ("A: 1\x00", ':1: "1?" is not a delay'),
            (f"A: {LAST + 1}", ":1: the clock does not go as far as this task sleeps"),
            (f"A: 1 {LAST}", ":1: the clock does not go as far as this task sleeps"),
            (f"A: {LAST} 0 1", ":1: the clock does not go as far as this task sleeps"),
            ("A: 1\nB 1 2", ':2: there is no ":" after the name'),
            ("A # : 1", ':1: there is no ":" after the name'),
            ("# why?\n: 1", ':2: there is no name before the ":"'),
            ("A: 1\nB: 2\n A : 3", ':3: there is a task "A" in line 1'),
            ("A\x1b[1m: 1", ':1: the name "A?[1m" contains a control character'),
        ]:
            with tempfile.TemporaryDirectory() as folder, self.subTest(plan[:60]):
                path = os.path.join(folder, "plan.txt")
                with open(path, "w", newline="") as file:
                    file.write(plan)
                self.assertEqual(run(path), (1, "", f"07-simulated-clock: {path}{why}\n"))
        self.assertEqual(run("-", stdin=b"A: x"),
                         (1, "", '07-simulated-clock: stdin:1: "x" is not a delay\n'))

    def test_files(self):
        """a file that cannot be read"""
        for path, why in [("/no/plan", "No such file or directory"), ("/", "Is a directory"),
                          ("", "No such file or directory")]:
            self.assertEqual(run(path), (1, "", f"07-simulated-clock: cannot read {path}: {why}\n"))

    def test_command_lines(self):
        """a wrong command line"""
        for arguments, why in [(["a", "b"], 'there is no "b"'), (["--loud"], 'there is no "--loud"')]:
            status, output, errors = run(*arguments)
            self.assertEqual((status, output), (2, ""))
            self.assertTrue(errors.startswith(f"07-simulated-clock: bad argument: {why}\nusage: "))

    def test_full_disk(self):
        """the output cannot be written"""
        for arguments in [], ["--quiet"], ["--timeline"], ["--help"]:
            with open("/dev/full", "w") as full, self.subTest(arguments):
                done = subprocess.run([PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE,
                                      timeout=60)
                self.assertEqual((done.returncode, done.stderr.decode()), (
                    1, "07-simulated-clock: cannot write to stdout: No space left on device\n"))


class Timelines(unittest.TestCase):
    def test_example(self):
        """the example's timeline"""
        self.assertEqual(run("--timeline"), (0, (
            "time   0                                   1                                   2\n"
            "Task1  1-----------------------------------------------------------------------1\n"
            "Task2  1-----------------------------------1\n"), ""))

    def test_width(self):
        """never wider than 80 columns"""
        dice = random.Random(SEED)
        for _ in range(50):
            plan = random_plan(dice) + f"\nä{'x' * dice.randint(0, 60)}: 1 {dice.randint(0, LAST - 1)}"
            _, picture, _ = run("--timeline", "-", stdin=plan.encode())
            self.assertEqual([line for line in picture.splitlines() if len(line) > 80], [], plan)

    def test_golden(self):
        """wide characters, accents, names that are cut; many runs in one column"""
        plan = ("名前: 2 2\n"
                "e\u0301: 4 4\n"
                "한국어를 공부하는 사람들: 8\n"
                "x한국어를 공부하는 사람들: 8\n"
                "twenty-four characters x: 8\n"
                "nine: 0 0 0 0 0 0 0 0 8\n"
                "ten: 0 0 0 0 0 0 0 0 0 7\n"
                "eleven: 0 0 0 0 0 0 0 0 0 0 1\n"
                "one: \n"
                "\U0001F680\u200D: 7 1\n"
                "Zo\u00eb: 1 1 2\n"
                "\u0391\u03b2\u03b3-with-a-name-that-is-too-long: 8\n"
                "busy: 0 0 0 0 0 0 0 0 0 5\n"
                "quick: 0 0 0 0 0 0 0 0\n")
        self.assertEqual(run("--timeline", "-", stdin=plan.encode()), (0, (
            "time                  0                           4                            8\n"
            "名前                  1-------------1-------------1\n"
            "e\u0301                     1---------------------------1----------------------------1\n"
            "한국어를 공부하는 사  1--------------------------------------------------------1\n"
            "x한국어를 공부하는    1--------------------------------------------------------1\n"
            "twenty-four characte  1--------------------------------------------------------1\n"
            "nine                  9--------------------------------------------------------1\n"
            "ten                   +------------------------------------------------1\n"
            "eleven                +------1\n"
            "one                   1\n"
            "\U0001F680\u200D                    1------------------------------------------------1-------1\n"
            "Zo\u00eb                   1------1------1-------------1\n"
            "\u0391\u03b2\u03b3-with-a-name-that  1"
            "--------------------------------------------------------1\n"
            "busy                  +----------------------------------1\n"
            "quick                 9\n"), ""))

    def test_not_utf8(self):
        """a name in Latin-1, and one that ends in the middle of a character"""
        for name in b"M\xfcller", b"M\xc3", b"\x80\x80", b"\xff" + b"\x80" * 30:
            done = subprocess.run([PROGRAM, "--timeline", "-"], input=name + b": 1",
                                  capture_output=True, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertIn(name + b" ", done.stdout)

    def test_no_time(self):
        """no task, a clock that never moves, and one that moves once"""
        self.assertEqual(run("--timeline", "-"), (0, "time  0\n", ""))
        self.assertEqual(run("--timeline", "-", stdin=b"A: 0 0\nB:")[1],
                         "time  0\nA     3\nB     1\n")
        self.assertEqual(run("--timeline", "-", stdin=b"A: 1")[1],
                         f"time  0{' ' * 72}1\nA     1{'-' * 72}1\n")

    def test_height(self):
        """100 tasks: the first 40, and how many more there are"""
        plan = "".join(f"T{i}: 1\n" for i in range(100))
        lines = run("--timeline", "-", stdin=plan.encode())[1].splitlines()
        self.assertEqual((len(lines), lines[-1]), (1 + 40 + 1, "... and 60 more tasks"))


if __name__ == "__main__":
    unittest.main()
