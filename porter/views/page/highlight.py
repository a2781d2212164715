"""Python source as HTML, a line at a time, with the few classes of tokens that help to read it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String, _TokenType

_CLASSES: tuple[tuple[_TokenType, str], ...] = (
    (Comment, "c"),
    (String, "s"),
    (Keyword, "k"),
    (Operator.Word, "k"),
    (Number, "n"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Decorator, "d"),
)


def highlighted(lines: Sequence[str]) -> list[str]:
    """HTML of each line; a line holds no line break."""
    result: list[list[tuple[str, str]]] = [[]]
    for kind, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens("\n".join(lines)):
        first, *others = text.split("\n")
        name = _class_of(kind)
        result[-1].append((name, first))
        result += [[(name, part)] for part in others]
    if len(result) != len(lines):  # a lexer that takes something else for a line
        return [escape(line, quote=False) for line in lines]
    return [_html(parts) for parts in result]


def _class_of(kind: _TokenType) -> str:
    return next((name for known, name in _CLASSES if kind in known), "")


def _html(parts: Sequence[tuple[str, str]]) -> str:
    html = ""
    for name, group in groupby((part for part in parts if part[1]), key=lambda part: part[0]):
        text = escape("".join(text for _, text in group), quote=False)
        html += f'<span class="{name}">{text}</span>' if name else text
    return html
