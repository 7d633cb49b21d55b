"""The wrong programs of chapter 08 are caught, and what cures them is clean.

docs/08-lifetime.md: chapters/08-coroutine-loop/wrong/*.cpp, each with AddressSanitizer
and UndefinedBehaviorSanitizer, once as it is and once with the argument "fixed".
"""

import os
import pathlib
import subprocess
import tempfile
import unittest

# COURSE: another tree of the course, with a learner's files.
ROOT = pathlib.Path(os.environ.get("COURSE") or pathlib.Path(__file__).resolve().parents[2])
WRONG = ROOT / "chapters" / "08-coroutine-loop" / "wrong"
COMPILE = [os.environ.get("CXX", "g++"), "-std=c++20", "-O1", "-g", "-I.", "-Wall", "-Wextra",
           "-Werror", "-foptimize-sibling-calls", "-fsanitize=address,undefined",
           "-fno-sanitize-recover=all"]

# What catches it: words of the sanitizer, or of the program's own output.
CAUGHT_BY = {
    "1-reference-parameter": "AddressSanitizer: ",
    "2-capturing-lambda": "AddressSanitizer: ",
    "3-temporary": "AddressSanitizer: heap-use-after-free",
    "4-never-awaited": "saved 0 times",
    "5-resumed-twice": "AddressSanitizer: heap-use-after-free",
    "6-changed-meanwhile": "if there is enough: -60",
}


class Lifetime(unittest.TestCase):
    def check(self, name):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder, name)
            subprocess.run([*COMPILE, WRONG / f"{name}.cpp", "-o", program], cwd=ROOT, check=True)

            def run(*arguments):
                return subprocess.run([program, *arguments], capture_output=True, text=True,
                                      errors="replace", timeout=60)

            wrong = run()
            said = wrong.stdout + wrong.stderr
            self.assertIn(CAUGHT_BY[name], said, f"{name} is wrong, and nothing has noticed")
            self.assertNotEqual(wrong.returncode, 0, f"{name} is wrong, and ends with 0")
            fixed = run("fixed")
            self.assertEqual((fixed.returncode, fixed.stderr), (0, ""),
                             f"the cured version of {name} should be clean")

    def test_every_wrong_program_is_known_here(self):
        """every wrong program is known to this test"""
        self.assertEqual({path.stem for path in WRONG.glob("*.cpp")}, set(CAUGHT_BY))


for _name in CAUGHT_BY:
    def _test(self, name=_name):
        self.check(name)
    _test.__doc__ = f"{_name} is caught, its cure is clean"
    setattr(Lifetime, f"test_{_name}", _test)

if __name__ == "__main__":
    unittest.main()
