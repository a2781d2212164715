"""Makes a failing program as small as it can be while it still fails in the same way."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

_BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try)

Fails = Callable[[str], bool]


def minimise(source: str, fails: Fails, limit: int = 600) -> str:
    """A source that still `fails`: statements are dropped or unwrapped, then expressions replaced by their parts.

    At most `limit` sources are tried. The layout of what is left stays.
    """
    left = limit
    tried = {source}
    again = True
    while again and left > 0:
        again = False
        for candidate in _smaller(source):
            if candidate in tried:
                continue
            tried.add(candidate)
            left -= 1
            if left <= 0:
                break
            if fails(candidate):
                source, again = candidate, True
                break
    return source


def _smaller(source: str) -> Iterator[str]:
    """Sources with a bit less, those with the least first."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    statements = sorted(_statements(tree), key=lambda s: _first(s) - (s.end_lineno or 0))
    for statement in statements:
        yield _without(source, statement)
    for statement in statements:
        if isinstance(statement, _BLOCKS):
            yield from _unwrapped(source, statement)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    expressions = [node for node in _expressions(tree) if id(node) not in called]
    for node in sorted(expressions, key=lambda n: -len(ast.get_source_segment(source, n) or "")):
        for part in ast.iter_child_nodes(node):
            inner = part.value if isinstance(part, (ast.keyword, ast.Starred)) else part
            if isinstance(inner, ast.expr) and hasattr(inner, "lineno"):
                text = ast.get_source_segment(source, inner)
                if text is not None:
                    yield _put(source, node, text if isinstance(inner, (ast.Name, ast.Constant)) else f"({text})")
        yield from _fewer_parts(source, node)


def _statements(tree: ast.Module) -> list[ast.stmt]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]


def _expressions(tree: ast.Module) -> list[ast.expr]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.expr) and not isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del))
    ]


def _first(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(d.lineno for d in decorators)])


def _without(source: str, statement: ast.stmt) -> str:
    lines = source.splitlines(keepends=True)
    pad = " " * statement.col_offset
    gone = [*lines[: _first(statement) - 1], *lines[statement.end_lineno or 0 :]]
    text = "".join(gone)
    if _parses(text):
        return text
    return "".join([*lines[: _first(statement) - 1], f"{pad}pass\n", *lines[statement.end_lineno or 0 :]])


def _unwrapped(source: str, statement: ast.stmt) -> Iterator[str]:
    lines = source.splitlines(keepends=True)
    for body in ("body", "orelse", "finalbody"):
        inner: list[ast.stmt] = getattr(statement, body, [])
        if not inner or inner[0].lineno == statement.lineno:
            continue
        step = inner[0].col_offset - statement.col_offset
        kept = [
            line[step:] if line[:step].isspace() else line
            for line in lines[_first(inner[0]) - 1 : inner[-1].end_lineno]
        ]
        yield "".join([*lines[: statement.lineno - 1], *kept, *lines[statement.end_lineno or 0 :]])


def _fewer_parts(source: str, node: ast.expr) -> Iterator[str]:
    """A call, list or tuple with one element less, a number in the place of a longer expression."""
    parts: list[ast.expr | ast.keyword] = []
    if isinstance(node, ast.Call):
        parts = [*node.args, *node.keywords]
    elif isinstance(node, (ast.List, ast.Tuple)):
        parts = list(node.elts)
    for gone in parts:
        kept = [ast.get_source_segment(source, p) or "" for p in parts if p is not gone]
        if isinstance(node, ast.Call):
            yield _put(source, node, f"{ast.get_source_segment(source, node.func)}({', '.join(kept)})")
        elif isinstance(node, ast.List) or kept:
            yield _put(source, node, f"[{', '.join(kept)}]" if isinstance(node, ast.List) else f"({', '.join(kept)},)")
    if not isinstance(node, (ast.Constant, ast.Name)):
        yield _put(source, node, "1")


def _put(source: str, node: ast.expr, text: str) -> str:
    lines = source.splitlines(keepends=True)
    start, end = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    head = lines[start].encode()[: node.col_offset].decode()
    tail = lines[end].encode()[node.end_col_offset :].decode()
    return "".join([*lines[:start], head + text + tail, *lines[end + 1 :]])


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True
