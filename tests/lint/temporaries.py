#!/usr/bin/env python3
"""Looks for temporaries that g++ 12 destroys twice: temporaries.py [FILE...]

Inside a co_await expression g++ 12 destroys some temporaries twice: an aggregate that is awaited
(`co_await Aggregate{...}`), an argument in braces (`co_await f({...})`, `co_await f(A{...})`), and
a lambda with captures as an argument. Whatever such an object owns is freed twice. The cure: give it
a name first. This is not a compiler: it takes every pair of braces that is not a function's body for
a temporary, whether or not it would do harm.

Without FILE: all sources of the course. Exit status 1 if it finds one.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Ignored: comments, strings, characters.
SILENT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
                    re.DOTALL)
LAMBDA = re.compile(r"\[([^\[\]]*)\]\s*(?:<[^{;]*?>)?\s*(?:\(|\{|mutable)")


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def expressions(text):
    """Yields (offset, expression) for each co_await, to the end of its statement or bracket."""
    for found in re.finditer(r"(?<!operator )\bco_await\b", text):
        depth = 0
        for end in range(found.end(), len(text)):
            char = text[end]
            if char in "([{":
                depth += 1
            elif char in ")]}":
                depth -= 1
            if depth < 0 or (depth == 0 and char == ";"):
                break
        yield found.start(), text[found.end():end]


def without_bodies(expression):
    """Blanks the bodies of lambdas: the co_awaits inside them are checked separately."""
    pieces, at = [], 0
    for found in LAMBDA.finditer(expression):
        if found.start() < at:
            continue
        body = expression.find("{", found.end() - 1)
        if body < 0:
            break
        depth, end = 0, body
        while end < len(expression):
            depth += {"{": 1, "}": -1}.get(expression[end], 0)
            end += 1
            if depth == 0:
                break
        pieces += [expression[at:body], " " * (end - body)]
        at = end
    return "".join(pieces) + expression[at:]


def complaints(text):
    """Yields (line, what is wrong) for each suspicious co_await."""
    text = SILENT.sub(blank, text)
    for start, expression in expressions(text):
        line = text.count("\n", 0, start) + 1
        for found in LAMBDA.finditer(expression):
            if found.group(1).strip():
                yield line, "a lambda with captures"
        if "{" in without_bodies(expression):
            yield line, "a temporary made with braces"


def main(arguments):
    files = [pathlib.Path(name) for name in arguments] or sorted(
        path for folder in ("chapters", "common", "tests") for path in (ROOT / folder).rglob("*.?pp"))
    wrong = 0
    for file in files:
        for line, what in complaints(file.read_text("utf-8")):
            print(f"{file}:{line}: {what} inside a co_await expression: g++ 12 may destroy it "
                  "twice. Name it first.")
            wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
