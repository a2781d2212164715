"""Rules that are wrong, told in a sentence: which rule, of which file, and the line of upstream that it was at."""

from __future__ import annotations

import ast
import inspect
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path

import libcst as cst

from ..analysis.project import SourceFile
from ..errors import PortError
from .requests import Replacement, RuleHeader

Visitors = tuple[tuple[type[cst.CSTNode], str], ...]


def visitors(rule: type[RuleHeader]) -> Visitors:
    """The node types that a rule asks for, each with the name of its method. PortError where one is none."""
    found = []
    for name in dir(rule):
        if name.startswith("visit_"):
            kind = getattr(cst, name.removeprefix("visit_"), None)
            if not (isinstance(kind, type) and issubclass(kind, cst.CSTNode)):
                raise PortError(f"{_named(rule)} has a method {name}, which names no node of libcst")
            found.append((kind, name))
    return tuple(found)


def failed(rule: type[RuleHeader], file: SourceFile, node: cst.CSTNode | None, error: Exception) -> PortError:
    """What to say of a rule that raised while it looked at a file, or at a node of it."""
    if isinstance(error, PortError):
        return error
    place = file.path if node is None else f"{file.path}:{_line(file, node)}"
    return PortError(f"{_named(rule, _raised_at(rule, error))} failed at {place}: {_told(error)}")


def broken(file: SourceFile, edits: Mapping[cst.CSTNode, Replacement], error: Exception) -> PortError:
    """What to say where rules of a user asked for edits that make no tree."""
    return PortError(f"{_blamed(file, edits)} put something there that is no syntax: {_told(error)}")


def refuse_other_than_python(file: SourceFile, edits: Mapping[cst.CSTNode, Replacement], text: str) -> None:
    """PortError where a file that rules of a user edited is not Python any more."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in strings, which are upstream's own
            ast.parse(text)
    except (SyntaxError, ValueError) as error:
        told = f"{error.msg} (line {error.lineno} then)" if isinstance(error, SyntaxError) else str(error)
        raise PortError(f"{_blamed(file, edits)} left a file that is not Python: {told}") from None


def _blamed(file: SourceFile, edits: Mapping[cst.CSTNode, Replacement]) -> str:
    """The rules at work, each where it was first."""
    first: dict[type[RuleHeader], int] = {}
    for node, edit in edits.items():
        first[edit.rule] = min(_line(file, node), first.get(edit.rule, 10**9))
    return " and ".join(f"{_named(rule)} at {file.path}:{line}" for rule, line in sorted(first.items(), key=_by_code))


def _by_code(item: tuple[type[RuleHeader], int]) -> tuple[str, int]:
    return item[0].code, item[1]


def _line(file: SourceFile, node: cst.CSTNode) -> int:
    """The line of a node, or of the first one around it that has a place."""
    current: cst.CSTNode | None = node
    while current is not None and current not in file.rendering:
        current = file.parent(current)
    return 1 if current is None else file.span(current).line


def _raised_at(rule: type[RuleHeader], error: Exception) -> str:
    """`:LINE`, the last line of a rule's own file that an error passed through; empty where there is none."""
    try:
        own = inspect.getfile(rule)
    except (OSError, TypeError):  # made at a prompt
        return ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    return f":{lines[-1]}" if lines else ""


def _named(rule: type[RuleHeader], line: str = "") -> str:
    try:
        return f"the rule {rule.code} ({Path(inspect.getfile(rule)).name}{line})"
    except (OSError, TypeError):  # made at a prompt
        return f"the rule {rule.code}"


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
