"""Lines of a backslash alone between statements, which libcst reads and does not print."""

from __future__ import annotations

import ast
import re
import warnings

_ALONE = re.compile(r"^[ \t\f]*\\[\r\n]", re.MULTILINE)


def with_blank_lines(text: str) -> str:
    """The same program with blank lines in their place; those in strings and in expressions stay."""
    if _ALONE.search(text) is None:
        return text
    lines = text.splitlines(keepends=True)
    alone = [at for at, line in enumerate(lines) if is_alone(line)]
    for together in (alone, *([at] for at in alone)):
        changed = list(lines)
        for at in together:
            changed[at] = lines[at].lstrip(" \t\f").removeprefix("\\")
        if are_alike(text, "".join(changed)):
            lines = changed
            if together is alone:
                break
    return "".join(lines)


def is_alone(line: str) -> bool:
    """Whether a line has nothing but a backslash."""
    return _ALONE.match(line) is not None


def are_alike(a: str, b: str) -> bool:
    """Whether two texts are the same program, whatever Python makes of both."""
    trees = _tree(a), _tree(b)
    return None not in trees and trees[0] == trees[1]


def _tree(text: str) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.dump(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
