"""Where a file nests deepest, judged by its tokens alone: for text that is too deep to be parsed."""

from __future__ import annotations

import contextlib
import io
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import itemgetter

_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_LAYOUT = frozenset((tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT))


def deepest(text: str) -> tuple[int, int]:
    """An upper bound for the levels of the deepest statement, and the line, from 1, where that begins.

    Each token may open a level; a comma ends those that opened since the bracket around it, and each `elif` is inside
    the one before.
    """
    most = (0, 1)
    chains: Counter[int] = Counter()  # indentation → `elif`s so far
    begins: dict[int, int] = {}  # → line of their `if`
    for tokens in _statements(text):
        start, indent = tokens[0].start
        if tokens[0].string == "elif":
            chains[indent] += 1
        elif tokens[0].string != "else":
            chains[indent], begins[indent] = 0, start
        chain = (chains[indent], begins.get(indent, start))
        most = max(most, chain, (_opened(tokens), start), key=itemgetter(0))
    return most


def _statements(text: str) -> Iterator[list[tokenize.TokenInfo]]:
    """The tokens of each statement, of the last one as far as the text can be split into tokens."""
    tokens: list[tokenize.TokenInfo] = []
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in _LAYOUT:
                tokens.append(token)
            elif token.type == tokenize.NEWLINE and tokens:
                yield tokens
                tokens = []
    if tokens:
        yield tokens


def _opened(tokens: Iterable[tokenize.TokenInfo]) -> int:
    """The most levels that are open at once in a statement."""
    inside = [0]  # levels opened in each open bracket, the statement itself first
    most = 0
    for token in tokens:
        if token.string in _OPENING:
            inside.append(0)
        elif token.string in _CLOSING and inside[1:]:
            inside.pop()
            inside[-1] += 1
        elif token.string == ",":
            inside[-1] = 0
        else:
            inside[-1] += 1
        most = max(most, sum(inside))
    return most
