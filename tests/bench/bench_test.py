"""Tests the benchmarks' arithmetic (medians, spreads, ratios) and the parsing of tools' output."""

import io
import json
import pathlib
import sys
import tempfile
import unittest
from contextlib import redirect_stdout

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import bench
import count
import growth
import measure


def result(server, own, requests=1000, seconds=0.01):
    rounds = len(server)
    return {"server_ns": server, "own_ns": own, "requests": [requests] * rounds,
            "seconds": [seconds] * rounds, "p50_us": [1.0] * rounds, "p99_us": [2.0] * rounds}


class Numbers(unittest.TestCase):
    def test_the_spread_is_half_the_distance_of_the_quartiles(self):
        self.assertAlmostEqual(measure.spread([90, 95, 100, 105, 110]), 0.05)
        self.assertEqual(measure.spread([100]), 0, "one round has no spread")

    def test_one_wild_round_moves_neither_median_nor_spread(self):
        self.assertEqual(measure.median([100, 101, 99, 100, 9000]), 100)
        self.assertLess(measure.spread([100, 101, 99, 100, 9000]), 0.02)

    def test_rounds_are_compared_one_by_one(self):
        # The second round was twice as slow for both, which says nothing about either.
        self.assertAlmostEqual(measure.ratio([110, 220, 110], [100, 200, 100]), 1.1)

    def test_a_slow_run_is_corrected_by_its_control(self):
        slowed = result([220.0], [200.0])
        self.assertAlmostEqual(measure.corrected_ratio(slowed, result([100.0], [100.0])), 1.1)

    def test_the_bottleneck_is_the_side_that_is_busy_all_the_time(self):
        self.assertEqual(bench.bottleneck(result([9900], [5000]))[2], "server")
        self.assertEqual(bench.bottleneck(result([5000], [9900]))[2], "load")
        self.assertEqual(bench.bottleneck(result([9900], [9800]))[2], "both")
        self.assertEqual(bench.bottleneck(result([100], [100]))[2], "waiting")


class Tables(unittest.TestCase):
    def table(self, others_control):
        servers = [measure.by_name("bare-epoll"), measure.by_name("04-epoll")]
        found = {"few": {"bare-epoll": result([2000.0] * 3, [2000.0] * 3),
                         "04-epoll": result([2100.0] * 3, [others_control] * 3)}}
        return bench.cost_table(found, servers, "few")

    def test_a_control_that_moved_is_marked(self):
        self.assertNotIn("off", self.table(2050.0))
        self.assertIn("off", self.table(2200.0))

    def test_cost_is_shown_in_microseconds_beside_the_baseline(self):
        row = self.table(2000.0).splitlines()[-1].split()
        self.assertEqual(row[:2], ["04-epoll", "2.10"])
        self.assertIn("1.05", row)

    def test_a_server_that_cannot_take_part_is_listed_with_the_reason(self):
        servers = [measure.by_name("01-blocking-read")]
        self.assertIn("SKIPPED: one client at a time", bench.cost_table({"few": {}}, servers, "few"))

    def test_growth_shows_what_is_missing_as_a_dash(self):
        text = io.StringIO()
        with redirect_stdout(text):
            growth.table("T", ["10", "1,000"], {"a": {"10": [1]}}, lambda cell: f"{cell[0]}")
        self.assertEqual(text.getvalue().splitlines()[-1].split(), ["a", "1", "-"])


class Reading(unittest.TestCase):
    def test_perf(self):
        table = ("# started on Wed Nov 25 00:26:50 2026\n\n"
                 "20115,,raw_syscalls:sys_enter,1285240,100.00,,\n"
                 "10061,,syscalls:sys_enter_read,1285240,100.00,,\n"
                 "10050,,syscalls:sys_enter_write,1285240,100.00,,\n")
        self.assertEqual(count.system_calls(table), {"read": 10061, "write": 10050, "others": 4})

    def test_valgrind(self):
        self.assertEqual(count.one_number(r"heap usage: ([\d,]+) allocs",
                                          "==1==   total heap usage: 1,234 allocs, 3 frees"), 1234)

    def test_a_record_comes_back_as_it_was(self):
        record = {"circumstances": measure.circumstances("g++"), "cost": {"a b": [1.5, 2.5]}}
        with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
            measure.write_record(file.name, record)
            text = file.read()
        self.assertEqual(json.loads(text), record)
        self.assertIn('"a b": [1.5, 2.5]', text)


if __name__ == "__main__":
    unittest.main()
