#!/usr/bin/env python3
"""What the programs print for invalid command lines, errors at start-up, and wrong make targets.

BUILD names the folder of the programs, SERVERS the programs (default: all programs in build/).
"""

import os
import pathlib
import resource
import select
import shutil
import socket
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
SERVERS = (
    [name for name in os.environ["SERVERS"].split(",") if name] if "SERVERS" in os.environ
    else sorted(path.name for path in BUILD.glob("0*-*") if path.is_file() and path.name[:2] != "07")
)
PATIENCE = 10 * float(os.environ.get("PATIENCE") or "1")  # seconds until a wait has failed


def run(server, *arguments):
    """Runs a server that should end by itself. Returns (exit status, stdout, stderr)."""
    try:
        done = subprocess.run(
            [BUILD / server, *arguments], capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{server} {' '.join(arguments)} should end at once") from None
    return done.returncode, done.stdout, done.stderr


class EveryServer(unittest.TestCase):
    def expect_usage_error(self, server, arguments, line):
        status, out, err = run(server, *arguments)
        first, _, usage = err.partition("\n")
        self.assertEqual(first, f"{server}: {line}", f"the first line after {arguments}")
        self.assertTrue(usage.startswith(f"usage: {server} [--port N]"), f"then the usage: {err}")
        self.assertEqual((status, out), (2, ""), "exit status and stdout")

    def test_help(self):
        """--help goes to stdout and is no error"""
        for server in SERVERS:
            with self.subTest(server):
                for option in ("--help", "-h"):
                    status, out, err = run(server, option)
                    self.assertEqual((status, err), (0, ""))
                    self.assertTrue(out.startswith(f"usage: {server} [--port N]"), out)
                    self.assertIn("default 7000", out)
                    self.assertLessEqual(max(map(len, out.splitlines())), 80, out)

    def test_help_is_lost(self):
        """--help to a full disk is an error"""
        for server in SERVERS:
            with self.subTest(server), open("/dev/full", "w") as full:
                done = subprocess.run([BUILD / server, "--help"], stdout=full, text=True,
                                      stderr=subprocess.PIPE, timeout=PATIENCE)
                line = f"{server}: cannot write to stdout: No space left on device\n"
                self.assertEqual((done.returncode, done.stderr), (1, line))

    def test_default_port(self):
        """without --port a server listens on 7000, or says that 7000 is taken"""
        for server in SERVERS:
            if server.startswith("07"):
                continue  # not a server
            with self.subTest(server):
                with subprocess.Popen([BUILD / server], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True) as process:
                    try:
                        ready, _, _ = select.select([process.stdout, process.stderr], [], [],
                                                    PATIENCE)
                        self.assertTrue(ready, "the first line should come at once")
                        line = ready[0].readline() or process.stderr.readline()
                        self.assertIn(line, (
                            "listening on 127.0.0.1:7000\n",
                            f"{server}: cannot listen on 127.0.0.1:7000: Address already in use\n"))
                    finally:
                        process.kill()

    def test_bad_port(self):
        """an invalid port"""
        for server in SERVERS:
            with self.subTest(server):
                for port in ("65536", "abc", "-1", "", "70 00", "99999999999999999999"):
                    line = f'bad port: "{port}" is not a number from 0 to 65535'
                    self.expect_usage_error(server, ["--port", port], line)
                    self.expect_usage_error(server, [f"--port={port}"], line)

    def test_missing_value(self):
        """--port without a value"""
        for server in SERVERS:
            with self.subTest(server):
                line = "bad option: --port needs a value (N)"
                self.expect_usage_error(server, ["--port"], line)

    def test_unknown(self):
        """an unknown option, or one argument too many"""
        for server in SERVERS:
            with self.subTest(server):
                for word in ("--prot", "-p", "7000", "--", "now"):
                    line = f'bad argument: there is no "{word}"'
                    self.expect_usage_error(server, [word], line)
                    self.expect_usage_error(server, ["--port", "0", word], line)

    def test_edge_is_a_switch(self):
        """--edge takes no value, and only 04 has it"""
        for server in SERVERS:
            with self.subTest(server):
                if server == "04-epoll":
                    line = "bad option: --edge takes no value"
                    self.expect_usage_error(server, ["--edge=1"], line)
                else:
                    self.expect_usage_error(server, ["--edge"], 'bad argument: there is no "--edge"')

    def test_port_in_use(self):
        """the port is in use"""
        for server in SERVERS:
            with self.subTest(server):
                with socket.create_server(("127.0.0.1", 0)) as taken:
                    port = taken.getsockname()[1]
                    line = f"{server}: cannot listen on 127.0.0.1:{port}: Address already in use\n"
                    self.assertEqual(run(server, "--port", str(port)), (1, "", line))

    def test_two_servers(self):
        """two servers do not share a port; they listen on 127.0.0.1 only"""
        for server in SERVERS:
            with self.subTest(server):
                with subprocess.Popen(
                    [BUILD / server, "--port", "0"], stdout=subprocess.PIPE, text=True
                ) as first:
                    try:
                        ready, _, _ = select.select([first.stdout], [], [], PATIENCE)
                        self.assertTrue(ready, "the first line should come at once (is it flushed?)")
                        line = first.stdout.readline()
                        self.assertRegex(line, r"^listening on 127\.0\.0\.1:\d+\n$")
                        port = line.strip().rpartition(":")[2]
                        why = f"cannot listen on 127.0.0.1:{port}: Address already in use"
                        self.assertEqual(run(server, "--port", port), (1, "", f"{server}: {why}\n"))
                        with self.assertRaises(OSError, msg="it should not listen on 127.0.0.2"):
                            socket.create_connection(("127.0.0.2", int(port)), PATIENCE)
                    finally:
                        first.kill()

    def test_privileged_port(self):
        """a privileged port"""
        if os.geteuid() == 0:
            self.skipTest("root may listen on any port")
        first = int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
        if first < 2:
            self.skipTest("this system lets every user listen on any port")
        for server in SERVERS:
            with self.subTest(server):
                line = f"{server}: cannot listen on 127.0.0.1:1: Permission denied\n"
                self.assertEqual(run(server, "--port", "1"), (1, "", line))

    def test_no_descriptor(self):
        """no descriptor left at start-up"""
        for server in SERVERS:
            if server == "01-blocking-read":
                continue  # the one descriptor is enough to listen with
            with self.subTest(server):
                # One more than stdin, stdout and stderr: loading the program's libraries needs it.
                command = f'ulimit -n 4; exec "{BUILD / server}" --port 0'
                done = subprocess.run(
                    ["sh", "-c", command], capture_output=True, text=True, timeout=PATIENCE
                )
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertRegex(done.stderr, rf"^{server}: cannot .*: Too many open files\n$")


@unittest.skipUnless("03-select" in SERVERS, "03-select is not being tested")
class Select(unittest.TestCase):
    def test_listener_beyond_1023(self):
        """03-select does not start if select cannot watch its listener"""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 1200:
            self.skipTest("this test needs 1200 descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
        taken = []
        try:
            while not taken or taken[-1] < 1023:
                taken.append(os.open(os.devnull, os.O_RDONLY))
                os.set_inheritable(taken[-1], True)
            done = subprocess.run([BUILD / "03-select", "--port", "0"], close_fds=False,
                                  capture_output=True, text=True, timeout=PATIENCE)
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        line = "03-select: cannot watch the listener: select takes no descriptor above 1023\n"
        self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", line))


@unittest.skipIf(os.environ.get("CHAPTER"), "only one chapter is being tested")
class Make(unittest.TestCase):
    def make(self, target):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        return subprocess.run(
            ["make", "-C", ROOT, f"B={BUILD}", target],
            capture_output=True, text=True, env={**environment, "MAKEFLAGS": "-s"},
        )

    def expect_one_line(self, target, line):
        done = self.make(target)
        said = done.stderr.splitlines()
        self.assertEqual(len(said), 1, f"make {target} should say why in one line:\n{done.stderr}")
        self.assertRegex(said[0], line)
        self.assertNotEqual(done.returncode, 0)

    def copied(self, fake):
        """Returns a folder with what make needs for chapter 07, and the environment in which the
        programs of `fake`, {name: shell script}, stand for the real ones."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="a course's copy "))
        self.addCleanup(shutil.rmtree, folder)
        for name in ("Makefile", "tests/bench/bench.mk", "chapters/07-simulated-clock/main.cpp"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        for name, script in fake.items():
            program = folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
            program.chmod(0o755)
        hidden = ("MAKE", "CXX", "SANITIZE", "WORK")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        environment["PATH"] = f"{folder}/bin:{environment['PATH']}"
        return folder, environment

    def test_goals_in_order(self):
        """make clean build/07-simulated-clock: first the one, then the other"""
        compiler = 'while [ "$1" != -o ]; do shift; done; sleep 0.1; echo made > "$2"'
        folder, environment = self.copied({"g++": compiler})
        for _ in range(3):
            done = subprocess.run(["make", "clean", "build/07-simulated-clock"], cwd=folder,
                                  env=environment, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertTrue((folder / "build/07-simulated-clock").exists(),
                            f"the program should be there at the end:\n{done.stdout}")

    def test_verbs_together(self):
        """make start-07 reset-07: both are done, in order"""
        python = 'case "$1" in -c) ;; *) shift; echo "$1 $2" ;; esac'
        folder, environment = self.copied({"python3": python})
        done = subprocess.run(["make", "-s", "start-07", "check-07", "reset-07"], cwd=folder,
                              env=environment, capture_output=True, text=True)
        self.assertEqual(done.stdout.splitlines(), ["start 07", "check 07", "reset 07"],
                         done.stderr)

    def test_old_python(self):
        """Python 3.8 is too old, which is said in one line"""
        python = 'case "$1" in --version) echo Python 3.8.1 ;; *) exit 1 ;; esac'
        folder, environment = self.copied({"python3": python})
        done = subprocess.run(["make", "-s", "check"], cwd=folder, env=environment,
                              capture_output=True, text=True)
        self.assertIn("make: this needs Python 3.9 or newer; python3 is Python 3.8.1\n",
                      done.stderr)
        self.assertEqual(done.returncode, 2)

    def test_no_such_chapter(self):
        """make serve-99, run-99, test-99"""
        for verb in ("serve", "run", "test"):
            with self.subTest(verb):
                self.expect_one_line(f"{verb}-99", r"^make: there is no chapter 99; there are: 01 ")

    def test_no_server(self):
        """make serve-07"""
        self.expect_one_line("serve-07", r"^make: chapter 07 is not a server: .*make run-07$")

    def test_no_such_exercise(self):
        """make start-99, check-01.9"""
        self.expect_one_line("start-99", r"^make: there is no chapter 99; there are: 01 ")
        self.expect_one_line("check-01.9", r"^make: there is no exercise 01\.9; there are: 01\.1 ")

    def test_no_such_step(self):
        """make step-99.9"""
        self.expect_one_line("step-99.9", r"^make: there is no step 99\.9; there are: 02\.1 ")

    def test_help(self):
        """make alone prints the commands, on one screen"""
        done = self.make("help")
        self.assertEqual(done.returncode, 0, done.stderr)
        for command in ("make run", "make serve-03", "make test"):
            self.assertIn(command, done.stdout)
        self.assertLessEqual(len(done.stdout.splitlines()), 24)


if __name__ == "__main__":
    unittest.main()
