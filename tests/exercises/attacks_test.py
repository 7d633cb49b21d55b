"""Hostile submissions: each gets the points that it has earned, and disturbs nothing else.

One submission holds all attacks that run; which of them it tries depends on the test. So all of them
cost one build. Attacks on the compiler are only preprocessed, as the grader does before it compiles.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import course as courses  # noqa: E402
import judge  # noqa: E402
import teacher  # noqa: E402
from exercises_test import sandbox, warm  # noqa: E402
from workshop import BuildFailed, Workshop  # noqa: E402

HONEST = "#pragma once\n#include <vector>\ninline int twice(int n) { return n + n; }\n"

# Each of these is tried inside a test of 01.1, and then the answer is wrong. Only in a process
# namespace of their own do they look for other processes.
HOSTILE = r"""
#pragma once
#include <vector>

#ifndef DOCTEST_LIBRARY_INCLUDED
inline int twice(int n) { return n + n + 37; }
#else
#include <netinet/in.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

namespace fs = std::filesystem;
inline std::error_code none;

inline std::string argument(const std::string& name) {
    std::ifstream file("/proc/self/cmdline");
    for (std::string word; std::getline(file, word, '\0');) {
        if (word.starts_with(name)) return word.substr(name.size());
    }
    return "";
}

inline const fs::path root = argument("--build=").substr(0, argument("--build=").find("/build/"));
inline const std::string test = argument("--test-case=");
inline const fs::path results = argument("--results=");
inline const fs::path folder = results.parent_path();
inline const fs::path output = folder / "output";

inline std::vector<int> others() {
    std::ifstream first("/proc/1/cmdline");
    const std::string command{std::istreambuf_iterator<char>(first), {}};
    std::vector<int> found;
    if (command.find("supervisor.py") == std::string::npos) return found;
    for (const auto& entry : fs::directory_iterator("/proc", none)) {
        const int pid = std::atoi(entry.path().filename().c_str());
        if (pid > 0 && pid != ::getpid()) found.push_back(pid);
    }
    return found;
}

inline void send_all(int signal) {
    ::alarm(0);
    for (int pid : others()) ::kill(pid, signal);
}

inline void stay() {
    while (true) ::pause();
}

inline void say(const fs::path& place, const std::string& words) {
    std::ofstream(place, std::ios::app) << words << std::endl;
}

inline const std::map<std::string, void (*)()> attacks{
    {"stops all other processes", [] { send_all(SIGSTOP); }},
    {"kills all other processes", [] { send_all(SIGKILL); }},
    {"ends all other processes", [] { send_all(SIGTERM); }},
    {"leaves daemons that ignore signals", [] {
         if (::fork() != 0) return;
         ::setsid();
         ::alarm(0);
         for (int number = 1; number < 32; ++number) std::signal(number, SIG_IGN);
         if (::fork() == 0) stay();
         stay();
     }},
    {"puts a FIFO in place of its results", [] {
         fs::remove(results, none);
         ::mkfifo(results.c_str(), 0600);
     }},
    {"puts a folder in place of its results", [] {
         fs::remove(results, none);
         fs::create_directory(results, none);
     }},
    {"puts a FIFO in place of its output", [] {
         fs::remove(output, none);
         ::mkfifo(output.c_str(), 0600);
     }},
    {"puts a huge file in place of its output", [] {
         fs::remove(output, none);
         fs::create_symlink(root / "huge", output, none);
     }},
    {"takes away the rights to its folders", [] {
         fs::create_directories("one/two", none);
         for (const char* name : {"one/two", "one", "."}) ::chmod(name, 0);
         ::chmod(folder.c_str(), 0);
     }},
    {"adds results behind its own", [] {
         std::atexit([] { say(results, "passed\t01.1 " + test + "\t\ncomplete\t-\t"); });
     }},
    {"reports in place of its supervisor", [] {
         for (int pid : others()) {
             for (int number = 0; number < 9; ++number) {
                 say("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(number),
                     R"({"exit": 0, "signal": null, "timeout": false, "swarm": false, "seconds": 0,)"
                     R"( "apart": true})");
             }
         }
     }},
    {"makes its tests worth more", [] {
         say(root / "tests/exercises/points.txt", "01.1 1000\n01.2 1000");
     }},
    {"removes the tests", [] { fs::remove_all(root / "tests", none); }},
    {"removes the reference", [] { fs::remove_all(root / "chapters", none); }},
    {"removes what has been built", [] { fs::remove_all(root / "build", none); }},
    {"writes notes for the next student", [] {
         for (const char* place : {"/dev/shm", "/tmp", "/var/tmp"}) say(fs::path(place) / NOTE, "hello");
     }},
    {"leaves shared memory behind", [] { ::shmget(KEY, 4096, IPC_CREAT | 0600); }},
    {"calls home", [] {
         sockaddr_in home{};
         home.sin_family = AF_INET;
         home.sin_port = htons(PORT);
         home.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
         ::connect(::socket(AF_INET, SOCK_STREAM, 0), reinterpret_cast<sockaddr*>(&home), sizeof home);
     }},
    {"fills the disk", [] {
         std::signal(SIGXFSZ, SIG_IGN);
         std::error_code full;
         for (int number = 0; number < 40 && !full; ++number) {
             const std::string name = std::to_string(number);
             const std::string block(4 << 20, 'x');
             if (!(std::ofstream(name) << block << std::flush)) return;
         }
         std::puts("the disk has room for 160 MB");
     }},
    {"prints answers and tests and the environment", [] {
         for (const char* name : {"chapters/01-small/small.hpp", "tests/01-small/small_test.cpp"}) {
             std::ifstream file(root / name);
             for (std::string line; std::getline(file, line);) std::puts(line.c_str());
         }
         std::ifstream file("/proc/self/environ");
         for (std::string word; std::getline(file, word, '\0');) std::puts(word.c_str());
         std::fflush(stdout);
     }},
};

inline int twice(int n) {
    const auto found = attacks.find(test.substr(test.find(' ') + 1));
    if (found == attacks.end()) std::puts("no such attack");
    if (found != attacks.end()) found->second();
    return n + n + 37;
}

// What shares a process with its judge can write down the verdict itself.
inline const int forger = [] {
    if (!test.ends_with("forges its verdict")) return 0;
    say(results, "started\t" + test + "\t\npassed\t" + test + "\t\ncomplete\t-\t");
    std::_Exit(0);
}();
#endif
"""

# The chapter's server, and a test that shares nothing with it but a connection.
SERVER = """
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cstdio>
#include "chapters/01-small/small.hpp"
int main() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    ::bind(listener, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener, 9);
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    std::printf("listening on 127.0.0.1:%d\\n", ntohs(address.sin_port));
    std::fflush(stdout);
    const int client = ::accept(listener, nullptr, nullptr);
    unsigned char byte = 0;
    if (::read(client, &byte, 1) == 1) byte = static_cast<unsigned char>(twice(byte));
    if (::write(client, &byte, 1) == 1) ::pause();
}
"""
OUTSIDE = '''"""01.1 the double comes back"""
import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
    server.sendall(b"\\x02")
    came = server.recv(1)
    sys.exit(0 if came == b"\\x04" else f"for 2 came {came[0]}")
'''

# Each of these attacks the compiler, or the messages that come from it.
COMPILED = {
    "includes the reference": ('#define ANSWERS "ROOT/chapters/01-small/small.hpp"\n#include ANSWERS\n',
                               "names a file that is not for a solution: small.hpp"),
    "reads a secret file": ('#define SECRET "ROOT/../secret"\n#include SECRET\n',
                            "names a file that is not for a solution: secret"),
    "redefines CHECK": ("#include <doctest/doctest.h>\n#undef CHECK\n#define CHECK(x) CHECK_MESSAGE(true, 1)\n",
                        "defines the macro CHECK, a name that the tests use"),
    "redefines a name of the tests": ("#define twice(x) 4\n", "defines the macro twice"),
    "pretends to be another file": (
        '#pragma GCC diagnostic ignored "-Wpedantic"\n/*\n*/ %: /* */ 1 "/usr/include/stdio.h" 1\n'
        '#define CHECK(x) CHECK_MESSAGE(true, 1)\n# 1 "small.hpp" 2\n', "a directive # with a number"),
    "includes itself without end": ("#include __FILE__\n#include __FILE__\n", "."),
    "breaks the report": ("#error \ufffe\uffff\x01\x1b[2J <failure> ]]>\n", "failure"),
}


def can_run_apart():
    """Whether this kernel or container lets tests run apart: in many containers it does not."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, HERE / "supervisor.py", "--apart", "5", "0", "output", "--", "/bin/true"],
            cwd=folder, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["apart"]


APART = can_run_apart()
ATTACKS = re.findall(r'^    \{"([^"]+)", \[\] \{', HOSTILE, re.MULTILINE)
# Where tests cannot run apart, the grader says so, and holds out against these only.
WITHOUT = "leaves daemons|puts|takes|adds" + ("|makes|removes" if os.getuid() == 0 else "")
NAMES = ATTACKS if APART else [name for name in ATTACKS if re.match(WITHOUT, name)]
FORGED = "forges its verdict"
OTHERS = ("inline int thrice(int n) { return 3 * n; }\n"
          "inline bool all_positive(const std::vector<int>& some) {\n"
          "    for (int one : some) if (one <= 0) return false;\n    return true;\n}\n")


def small_course(folder):
    """A course whose first exercise has a test for each attack."""
    root = warm(sandbox(folder))
    cases = "".join(f'TEST_CASE("01.1 {name}") {{ CHECK(twice(2) == 4); }}\n' for name in [*NAMES, FORGED])
    (root / "tests/01-small/small_test.cpp").write_text(
        '#include <doctest/doctest.h>\n#include "chapters/01-small/small.hpp"\n' + cases
        + 'TEST_CASE("01.2 zero is not positive") { CHECK(!all_positive({0})); }\n')
    (root / "chapters/01-small/main.cpp").write_text(SERVER)
    (root / "huge").write_bytes(b"")
    os.truncate(root / "huge", 1 << 30)
    return root


def files_in(folder):
    """{name: content} of the files below a folder that somebody might want to change."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != "huge" and "__pycache__" not in path.parts}


def processes_with(words):
    """The processes that have these words in their command line."""
    found = []
    for command in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words.encode() in command.read_bytes():
                found.append(int(command.parent.name))
        except OSError:
            pass
    return found


class Attacks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="attacks-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.folder.chmod(0o755)
        cls.root = small_course(cls.folder)
        cls.temporary = cls.folder / "tmp"
        cls.temporary.mkdir(mode=0o755)

    def submission(self, name, text):
        folder = self.folder / name
        folder.mkdir()
        (folder / "small.hpp").write_text(text)
        return folder

    def grade(self, submission, *words):
        """Grades as a teacher does, each test with a second. Returns (status, {exercise: points},
        {test: how it ended}, what was printed)."""
        report = self.folder / (submission.name + ".xml")
        done = subprocess.run(
            [sys.executable, HERE / "exercises.py", "grade", f"ROOT={self.root}", f"SUB={submission}",
             "FORMAT=junit", f"OUT={report}", *words], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False, timeout=240,
            env={**os.environ, "PATIENCE": "0.1", "TMPDIR": str(self.temporary), "TOKEN": "1234"})
        suites = xml.etree.ElementTree.parse(report).getroot()
        points = {suite.get("name").split()[0]: float(suite.find("properties/property").get("value"))
                  for suite in suites}
        ends = {case.get("name")[5:]: next((found.get("type") + ": " + found.get("message")
                                            for found in case), "PASS")
                for case in suites.iter("testcase")}
        return done.returncode, points, ends, done.stdout

    def test_running(self):
        """a hostile test earns nothing, and nothing but its own result changes"""
        with socket.create_server(("127.0.0.1", 0)) as home:
            home.setblocking(False)
            values = {"PORT": home.getsockname()[1], "KEY": os.getpid(),
                      "NOTE": f'"{self.folder.name}"'}
            defines = "".join(f"#define {name} {value}\n" for name, value in values.items())
            eve = self.submission("eve", HOSTILE.replace("#include <net", defines + "#include <net", 1)
                                  + OTHERS)
            before = files_in(self.root)
            hidden = self.folder / "hidden"
            hidden.mkdir()
            (hidden / "01.1_test.py").write_text(OUTSIDE)
            status, points, ends, said = self.grade(eve, f"HIDDEN={hidden}")
            with self.assertRaises(BlockingIOError, msg="a test has reached the network"):
                home.accept()[0].close()
        for name in NAMES:
            with self.subTest(name):
                self.assertNotEqual(ends[name], "PASS")
        self.assertEqual((status, points["01.2"]), (0, 5), said + str(ends))
        after = {name: text for name, text in files_in(self.root).items() if name in before}
        self.assertEqual(after, before)
        self.assertEqual(os.listdir(self.root / "build/exercises"), ["shared"])
        self.assertEqual(os.listdir(self.temporary), [])
        self.assertEqual(processes_with(str(self.temporary)), [])
        report = (self.folder / "eve.xml").read_text()
        self.assertEqual("does not let tests run apart" in report, not APART)
        for secret in ("no such attack", "has room", "doubled_number", "CHECK(!all_positive", "TOKEN"):
            self.assertNotIn(secret, report)
        # What shares a process with its judge can forge the verdict; what does not cannot.
        self.assertEqual((ends[FORGED], ends["the double comes back"]), ("PASS", "FAIL: for 2 came 41"))
        self.assertEqual(points["01.1"], 0)  # one test of many: too few to earn points
        self.next_student(hidden)

    def next_student(self, hidden):
        """An honest submission still passes, with the course as the hostile one has left it."""
        course = courses.Course(self.root)
        ben = self.submission("ben", HONEST + OTHERS)
        workshop = Workshop(course, "01-small", ben, "grade-ben", "ben", strict=True)
        built = workshop.build(course.exercises)
        for exercise in course.exercises:
            result = judge.run(built[exercise.number], exercise.cases[-1], workshop, apart=True)
            self.assertEqual((result.verdict, result.apart), ("PASS", APART), result.words)
        case = teacher.Hidden(course, hidden).outside["01.1"][0]
        result = judge.run_outside(workshop.build_server(), case, workshop)
        self.assertEqual(result.verdict, "PASS", result.words)

    def test_compiling(self):
        """a submission gets neither answers, secrets nor other macros for the tests"""
        course = courses.Course(self.root)
        (self.folder / "secret").write_text("#password is 1234\n")
        for name, (code, words) in COMPILED.items():
            sources = self.submission(name, code.replace("ROOT", str(self.root)) + HONEST + OTHERS)
            workshop = Workshop(course, "01-small", sources, f"grade-{name}", "small", strict=True)
            workshop.lay_out()
            with self.subTest(name), unittest.mock.patch("workshop.PREPROCESSED", 8 << 20):
                with self.assertRaisesRegex(BuildFailed, words) as refused:
                    workshop.inspect(course.exercise("01.1").cases[0].file)
                self.assertNotIn("1234", str(refused.exception))
                grade = teacher.Grade([course.exercise("01.1")])
                for entry in grade.entries:
                    entry[3] = judge.Result(entry[1], "BUILD", str(refused.exception))
                xml.etree.ElementTree.fromstring(teacher.as_junit(grade))
            shutil.rmtree(workshop.tree.parent)


if __name__ == "__main__":
    unittest.main()
