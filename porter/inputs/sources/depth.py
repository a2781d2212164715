"""Where a file nests deepest, judged by its tokens alone: for text that is too deep to be parsed."""

from __future__ import annotations

import contextlib
import io
import tokenize
from collections import Counter

_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_LAYOUT = frozenset((tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT))


def deepest(text: str) -> tuple[int, int]:
    """An upper bound for the levels of the deepest statement, and the line, from 1, where that begins.

    Each token may open a level; a comma ends those that opened since the bracket around it, and each `elif` is inside
    the one before.
    """
    levels, line = 0, 1
    inside = [0]  # levels opened in each open bracket, the statement itself first
    start = indent = 0
    chains: Counter[int] = Counter()  # indentation → `elif`s so far
    begins: dict[int, int] = {}  # → line of their `if`
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in _LAYOUT:
                continue
            if not start:
                start, indent = token.start[0], token.start[1]
                if token.string == "elif":
                    chains[indent] += 1
                elif token.string != "else":
                    chains[indent], begins[indent] = 0, start
                if chains[indent] > levels:
                    levels, line = chains[indent], begins.get(indent, start)
            if token.type == tokenize.NEWLINE:
                inside, start = [0], 0
            elif token.string in _OPENING:
                inside.append(0)
            elif token.string in _CLOSING and inside[1:]:
                inside.pop()
                inside[-1] += 1
            elif token.string == ",":
                inside[-1] = 0
            else:
                inside[-1] += 1
            if sum(inside) > levels:
                levels, line = sum(inside), start
    return levels, line
