#!/usr/bin/env python3
"""pages.py finds what is wrong on a page, and mends what it may mend."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import pages  # noqa: E402

CODE = """\
// A counter.
class Counter {
public:
    /// One more. Returns the new value.
    int next() {
        if (value_ < 0) {  // }
            return 0;
        }
        return ++value_;
    }

    // EXERCISE 02.1
    int back() { return --value_; }
    // END 02.1

private:
    int value_ = 0;
};
"""

PAGE = """\
# A page

<!-- code: counter.hpp "int next()" -->
```cpp
int next() {
    if (value_ < 0) {  // }
        return 0;
    }
    return ++value_;
}
```

<!-- run: printf 'three clients\\nanswered in 1.5 ms\\n' -->
```console
$ printf 'three clients\\nanswered in 1.5 ms\\n'
three clients
answered in 27 ms
```

See [the other page](other.md#two-words) and [above](#a-page).
"""


class PagesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        (self.root / "docs").mkdir()
        (self.root / "counter.hpp").write_text(CODE)
        self.write("other.md", "## Two *words*\n")

    def write(self, name, text):
        (self.root / "docs" / name).write_text(text)

    def read(self, name):
        return (self.root / "docs" / name).read_text()

    def run_pages(self, action):
        """(exit status, lines that it printed without the summary)"""
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = pages.main([action], self.root)
        return status, output.getvalue().splitlines()[:-1]

    def assert_wrong(self, page, *expected):
        """Checks that the page has exactly these errors."""
        self.write("page.md", page)
        status, lines = self.run_pages("check")
        self.assertEqual(status, 1, lines)
        self.assertEqual(len(lines), len(expected), lines)
        for line, part in zip(lines, expected):
            self.assertIn(part, line)

    def filled(self, directive, language="cpp"):
        """What `fix` puts into an empty block after the directive."""
        self.write("page.md", f"<!-- {directive} -->\n```{language}\n```\n")
        status, lines = self.run_pages("fix")
        self.assertEqual(status, 0, lines)
        return self.read("page.md").split("\n")[2:-2]


class Check(PagesTest):
    def test_a_true_page_is_accepted(self):
        self.write("page.md", PAGE)
        self.assertEqual(self.run_pages("check"), (0, []))

    def test_a_broken_snippet_transcript_and_link_are_three_errors(self):
        page = PAGE.replace("return 0", "return 1").replace("#two-words", "#two")
        page = page.replace("three clients\nanswered", "four clients\nanswered")
        self.assert_wrong(page, 'docs/page.md:7: code differs from counter.hpp: "return 1;" should',
                          'docs/page.md:16: transcript differs from a run of "printf',
                          'docs/page.md:20: link to an anchor that does not exist: other.md#two')

    def test_fix_mends_the_first_two_and_reports_the_third(self):
        broken = PAGE.replace("return 0", "return 1").replace("three clients\nanswered", "four\nno")
        broken = broken.replace("other.md", "none.md")
        self.write("page.md", broken)
        status, lines = self.run_pages("fix")
        self.assertEqual(status, 1)
        self.assertEqual([line.split(": ")[0] for line in lines[:2]],
                         ["docs/page.md:4", "docs/page.md:14"])
        self.assertIn("link to what does not exist: none.md", lines[2])
        mended = PAGE.replace("27 ms", "1.5 ms").replace("other.md", "none.md")
        self.assertEqual(self.read("page.md"), mended)

    def test_fix_fills_blocks_of_any_length(self):
        self.write("page.md", '<!-- code: counter.hpp "int next" -->\n```cpp\n```\nOne.\n'
                   '<!-- run: seq 2 -->\n```console\nold\nold\nold\nold\n```\nTwo.\n')
        self.assertEqual(self.run_pages("fix")[0], 0)
        page = self.read("page.md")
        self.assertTrue(page.endswith("}\n```\nOne.\n<!-- run: seq 2 -->\n```console\n"
                                      "$ seq 2\n1\n2\n```\nTwo.\n"), page)

    def test_fix_leaves_a_true_page_as_it_is(self):
        self.write("page.md", PAGE)
        self.assertEqual(self.run_pages("fix"), (0, []))
        self.assertEqual(self.read("page.md"), PAGE)

    def test_directives_must_be_well_formed(self):
        self.assert_wrong("<!-- code: counter.hpp -->\n\n```cpp\n```\n",
                          "docs/page.md:1: no fenced block follows", "docs/page.md:3: this cpp")
        self.assert_wrong(" <!-- run: true -->\n", "docs/page.md:1: not a directive")
        self.assert_wrong("```console\n$ true\n```\n", "docs/page.md:1: this console block has no")
        self.assert_wrong("```cpp\n", "docs/page.md:1: this fenced block is never closed",
                          "docs/page.md:1: this cpp")

    def test_what_is_shown_in_a_fence_is_no_directive(self):
        self.write("page.md", "~~~text\n<!-- code: none.hpp -->\n[a](b)\n```cpp\n~~~\n")
        self.assertEqual(self.run_pages("check"), (0, []))


class Code(PagesTest):
    def test_a_construct_ends_with_its_bracket_or_semicolon(self):
        self.assertEqual(self.filled('code: counter.hpp "int value_"'), ["int value_ = 0;"])
        self.assertEqual(self.filled('code: counter.hpp "/// One more"')[1], "int next() {")
        self.assertEqual(self.filled('code: counter.hpp "class Counter"')[-1], "};")

    def test_from_and_to(self):
        self.assertEqual(self.filled('code: counter.hpp "// A counter" "public:"'),
                         ["// A counter.", "class Counter {", "public:"])

    def test_the_second_match(self):
        self.assertEqual(self.filled('code: counter.hpp "return" #2'), ["return ++value_;"])

    def test_exercise_markers_are_left_out(self):
        self.assertEqual(self.filled('code: counter.hpp "exercise 02.1"'),
                         ["int back() { return --value_; }"])
        whole = "\n".join(self.filled("code: counter.hpp"))
        self.assertNotIn("EXERCISE", whole)
        self.assertNotIn("END", whole)

    def test_the_second_part_of_an_exercise(self):
        (self.root / "counter.hpp").write_text(CODE + "// EXERCISE 02.1\nint two;\n// END 02.1\n")
        self.assertEqual(self.filled('code: counter.hpp "exercise 02.1" #2'), ["int two;"])
        block = '<!-- code: counter.hpp "exercise {}" -->\n```cpp\n```\n'
        self.assert_wrong(block.format("02.1"), 'has 2 parts // EXERCISE 02.1, not one: write "ex')
        self.assert_wrong(block.format('02.1" "#3'), "there is no #3")
        self.assert_wrong(block.format("02.7"), "has 0 parts // EXERCISE 02.7, not one")

    def test_a_text_must_match_one_line(self):
        block = '<!-- code: counter.hpp "{}" -->\n```cpp\n```\n'
        self.assert_wrong(block.format("value_ ="), 'docs/page.md:3: code differs')
        self.assert_wrong(block.format("value_"), 'contain "value_": write more of it')
        self.assert_wrong(block.format("nothing"), 'no line of counter.hpp contains "nothing"')
        self.assert_wrong('<!-- code: none.hpp -->\n```cpp\n```\n', "cannot read the code none.hpp")


class Transcripts(PagesTest):
    def test_both_outputs_and_the_status(self):
        self.assertEqual(self.filled("run: [exit 2] echo a; echo b >&2; exit 2", "console"),
                         ["$ echo a; echo b >&2; exit 2", "a", "b"])
        self.assert_wrong("<!-- run: echo no; exit 3 -->\n```console\n```\n",
                          'docs/page.md:2: "echo no; exit 3" ended with status 3, not 0: no')

    def test_a_command_of_several_lines(self):
        self.write("page.md",
                   "<!-- run: for i in 1 2; do\n    echo $i\ndone\n-->\n```console\n```\nx\n")
        self.assertEqual(self.run_pages("fix")[0], 0)
        self.assertEqual(self.read("page.md").split("\n")[5:-3],
                         ["$ for i in 1 2; do", ">     echo $i", "> done", "1", "2"])
        self.assertEqual(self.run_pages("check"), (0, []))
        self.assert_wrong("<!-- run: echo\n```console\n```\n",
                          "docs/page.md:1: this directive is never closed",
                          "docs/page.md:2: this console block has no directive")

    def test_the_command_is_compared_literally(self):
        self.assert_wrong("<!-- run: echo 3 ms -->\n```console\n$ echo 4 ms\n3 ms\n```\n",
                          'docs/page.md:3: transcript differs from a run of "echo 3 ms"')

    def test_building_is_left_out(self):
        said = "echo g++ -c x; echo compiling a/b.cpp; echo make[1]: it is up to date; echo a"
        self.assertEqual(self.filled(f"run: {said}", "console")[1:], ["a"])

    def test_parts_of_the_output(self):
        self.assertEqual(self.filled("run: [lines 2-3] seq 5", "console"),
                         ["$ seq 5", "...", "2", "3", "..."])
        self.assertEqual(self.filled("run: [grep 2|5] seq 5", "console"),
                         ["$ seq 5", "...", "2", "...", "5"])

    def test_a_server_beside_it_on_another_port(self):
        server = ("import socket; s = socket.create_server(('127.0.0.1', {})); "
                  "print('listening', flush=True); c, _ = s.accept(); c.sendall(b'hi')")
        (self.root / "serve").write_text("exec python3 -c \"" + server.format("$2") + '"')
        client = "exec 3<>/dev/tcp/localhost/7000; cat <&3; echo from port 7000"
        self.assertEqual(self.filled(f"run: [server: bash serve --port 7000] {client}", "console"),
                         ["$ " + client, "hifrom port 7000"])

    def test_no_output_is_no_line(self):
        self.assertEqual(self.filled("run: true", "console"), ["$ true"])

    def test_options_must_be_well_formed(self):
        for option in ("[exit two]", "[lines 3]", "[measure]"):
            self.assert_wrong(f"<!-- run: {option} true -->\n```console\n```\n",
                              f"docs/page.md:2: there is no such option: {option}")

    def test_a_server_that_dies_is_an_error(self):
        self.assert_wrong("<!-- run: [server: false --port 1] true -->\n```console\n```\n",
                          'the server "false --port')

    def test_manual_needs_a_reason(self):
        self.assert_wrong("<!-- run: [manual] -->\n```console\n```\n", "needs a reason")
        self.write("page.md", "<!-- run: [manual: two terminals] -->\n```console\n$ x\n```\n")
        self.assertEqual(self.run_pages("check"), (0, []))


class Normalising(unittest.TestCase):
    def assert_same(self, one, other, measured=False):
        self.assertEqual(pages.normalise(one, measured), pages.normalise(other, measured))

    def assert_different(self, one, other, measured=False):
        self.assertNotEqual(pages.normalise(one, measured), pages.normalise(other, measured))

    def test_figures_may_differ(self):
        self.assert_same("listening on 127.0.0.1:7000", "listening on 127.0.0.1:41234")
        self.assert_same("pid 12 took 3.5 s", "pid 999 took   120 ms")
        self.assert_same("real 0m2.003s", "real 1m12.5s")
        self.assert_same("user 0m0.132s", "user 0m0.097s", measured=True)
        self.assert_same("12,345 sleeps", "9.5 sleeps")
        self.assert_same("slept 17 times, sleeps 17", "slept 285 times, sleeps 2")
        self.assert_same("0x7ffe10", "0x55")
        self.assert_same("17 wake-ups, 3 late", "4 wake-ups, 0 late", measured=True)

    def test_words_may_not(self):
        self.assert_different("reply in 3 ms", "answer in 3 ms")
        self.assert_different("3 clients answered", "4 clients answered")
        self.assert_different("step 02.1", "step 02.2")
        self.assert_different("03-select: 1", "04-select: 1", measured=True)
        self.assert_different("refused", "served", measured=True)
        self.assert_different('read(5, "hello\\n", 16)', 'read(5, "hallo\\n", 16)', measured=True)

    def test_a_drawing_counts_as_a_drawing(self):
        self.assert_same("ann |..##....#| 3 ms", "ann |#......###.| 4 ms")
        self.assert_same("bob  ····██ ░ █▒▒·· 3 ms", "bob ·█ 4.5 ms")
        self.assert_different("ann |..##....#| 3 ms", "ann 3 ms")
        self.assert_different("█ answered  ░ waits", "█ answered  ░ late")


if __name__ == "__main__":
    unittest.main()
