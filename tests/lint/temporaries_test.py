"""No source of the course has a temporary that g++ 12 destroys twice."""

import contextlib
import io
import unittest

import temporaries


class Temporaries(unittest.TestCase):
    def what(self, code):
        return [what for _, what in temporaries.complaints(code)]

    def test_sources(self):
        """the sources of the course have no temporary that g++ 12 destroys twice"""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = temporaries.main([])
        self.assertEqual(status, 0, said.getvalue())

    def test_found(self):
        """each kind of harmful temporary is found"""
        for code in ("co_await Pair{1, name};", "co_await f({name});", "co_await f(Pair{name});",
                     "auto x = co_await\n  g(h(Pair{1}));", "co_await (co_await f({name}));"):
            self.assertIn("a temporary made with braces", self.what(code), code)
        for code in ("co_await f([x] { return x; });", "co_await f([&]() -> Task<> { co_return; }());"):
            self.assertIn("a lambda with captures", self.what(code), code)

    def test_line(self):
        """the line of a harmful temporary is reported"""
        self.assertEqual(list(temporaries.complaints("\n// co_await f({})\nco_await f({});\n")),
                         [(3, "a temporary made with braces")])

    def test_harmless(self):
        """harmless expressions are not reported"""
        for code in ("co_await f(x);", "while (co_await f()) { g({1}); }", "// co_await f({1});",
                     'co_await f("{");', "co_await f([](int x) { return Pair{x}; });",
                     "co_await f('{');", "co_await f(1'000, a[i], b);", "Pair p{1}; co_await f(p);",
                     "if (co_await a) { b({1}); }"):
            self.assertEqual(self.what(code), [], code)


if __name__ == "__main__":
    unittest.main()
