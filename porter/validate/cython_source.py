"""Cython sources that nobody built, as Python that computes the same.

Sources of VITS search an alignment in a Cython file, and a checkout as it lies holds no extension module made of it.
Loops over typed memoryviews are all that such a file is: without the types it is Python, and arrays of numpy take the
place of memoryviews. Names that are declared as C numbers are converted at each assignment, since C rounds there.
Whatever else Cython has (structs, pointers, casts, classes, C libraries other than math) is not translated.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from tokenize import TokenInfo

_NUMBERS = {
    **dict.fromkeys(("int", "long", "short", "char", "Py_ssize_t", "size_t", "ssize_t"), "int"),
    "double": "float",
    "float": "_numpy.float32",
    "bint": "bool",
}
_HEADER = """import numpy as _numpy
def prange(*bounds, **options):
    return range(*bounds)"""
_DECLARATIONS = ("cdef", "cpdef")
_REFUSED = frozenset({"ctypedef", "class", "extern", "struct", "enum", "union", "public", "packed"})
_LAYOUT = frozenset({tokenize.INDENT, tokenize.DEDENT, tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER})
_OPENING, _CLOSING = "([{", ")]}"

Words = Sequence[str]  # the tokens of a logical line


class _UntranslatableError(ValueError):
    """More of Cython than declarations of types."""


def as_python(source: str) -> str | None:
    """A Cython module as Python source; None where it has more than declarations of types."""
    try:
        lines = [f"{' ' * indent}{_translated(words)}" for indent, words in _lines(source)]
        module = ast.parse("\n".join([_HEADER, *lines]))
    except (tokenize.TokenError, SyntaxError, _UntranslatableError):
        return None
    return ast.unparse(ast.fix_missing_locations(_Converted().visit(module))) + "\n"


# -- declarations become annotations ---------------------------------------------------------------------------------


def _lines(source: str) -> Iterator[tuple[int, Words]]:
    """Each logical line: its column, and its tokens."""
    line: list[TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NEWLINE:
            yield line[0].start[1], [one.string for one in line]
            line = []
        elif token.type not in _LAYOUT:
            line.append(token)


def _translated(words: Words) -> str:
    """A logical line as Python writes it; types of C numbers are annotations, any other type is left out."""
    if "cimport" in words:
        return _imported(words)
    if words[0] in ("@", "import", "from") and words[1] == "cython":  # directives, and prange, which is above
        return ""
    if words[:2] == ["with", "nogil"]:
        return "if True:"
    return _definition(words) if words[0] in (*_DECLARATIONS, "def") else " ".join(words)


def _definition(words: Words) -> str:
    """A function's header, or the variables of a declaration."""
    if words[0] != "def" and (words[1] in _REFUSED or words[1] == ":"):
        raise _UntranslatableError(" ".join(words))
    header = words[-1] == ":" and "(" in words
    return _function(words[1:-1]) if header else "; ".join(_declared(words[1:])) or "pass"


def _imported(words: Words) -> str:
    """What of C a module asks for: the compiler's own directives need nothing, numpy and math are there in Python."""
    if words[1] == "cython":
        return ""
    if words[:2] == ["cimport", "numpy"]:
        return " ".join(["import", *words[1:]])
    if words[:4] == ["from", "libc", ".", "math"]:
        return " ".join(["from math import", *words[5:]])
    raise _UntranslatableError(" ".join(words))


def _function(words: Words) -> str:
    """The header of a function, from its return type to the closing parenthesis and what follows it."""
    start, end = words.index("("), len(words) - 1 - list(reversed(words)).index(")")
    parameters = ", ".join(_parameter(part) for part in _parts(words[start + 1 : end]))
    result = _number(words[: start - 1])
    return f"def {words[start - 1]}({parameters})" + (f" -> {result}:" if result else ":")


def _parameter(words: Words) -> str:
    if words[0] in ("*", "**", "/"):
        return "".join(words)
    name, number, value = _variable(words)
    return name + (f": {number}" if number else "") + value


def _declared(words: Words) -> Iterator[str]:
    """The variables of a declaration, whose type is written once; what is neither a number nor set is left out."""
    first, *others = _parts(words)
    before = first[: _end_of_name(first) - 1]
    for part in (first, *([*before, *other] for other in others)):
        name, number, value = _variable(part)
        if number or value:
            yield name + (f": {number}" if number else "") + value


def _variable(words: Words) -> tuple[str, str, str]:
    """Name, annotation ("" for what is no number) and value with its `=` ("" for none) of a variable or parameter."""
    end = _end_of_name(words)
    name = words[end - 1]
    if not name.isidentifier() or {"*", "&", "**"} & set(words[:end]):
        raise _UntranslatableError(" ".join(words))
    return name, _number(words[: end - 1]), " ".join(words[end:])


def _number(words: Words) -> str:
    """What converts to the type of a number that these words declare; "" for any other type."""
    last = [word for word in words if word not in ("const", "inline", "unsigned", "signed")][-1:]
    return _NUMBERS.get(last[0], "") if last else ""


def _end_of_name(words: Words) -> int:
    """Where the name ends: before the first `=` outside brackets, or where all ends."""
    return next((place for place, word, depth in _with_depths(words) if word == "=" and depth == 0), len(words))


def _parts(words: Words) -> list[Words]:
    """What commas outside brackets separate."""
    cuts = [place for place, word, depth in _with_depths(words) if word == "," and depth == 0]
    parts = [words[start + 1 : end] for start, end in pairwise([-1, *cuts, len(words)])]
    return [part for part in parts if part]


def _with_depths(words: Words) -> Iterator[tuple[int, str, int]]:
    depth = 0
    for place, word in enumerate(words):
        depth += (word in _OPENING) - (word in _CLOSING)
        yield place, word, depth


# -- annotations become conversions ----------------------------------------------------------------------------------


class _Converted(ast.NodeTransformer):
    """Functions whose annotated names are converted wherever they are set, and who have no annotations any more."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        types = {one.arg: one.annotation for one in parameters if one.annotation is not None}
        entering = [_set(name, _converted(number, ast.Name(name, ast.Load()))) for name, number in types.items()]
        for inner in ast.walk(node):
            if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                types[inner.target.id] = inner.annotation
        convert = _Conversions(types, node.returns)
        node.body, node.returns = [*entering, *map(convert.visit, node.body)], None
        for one in parameters:
            one.annotation = None
        return node


class _Conversions(ast.NodeTransformer):
    """Assignments to names of numbers, and returns, with C's conversion."""

    def __init__(self, types: Mapping[str, ast.expr], returned: ast.expr | None) -> None:
        self._types = types
        self._returned = returned

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if node.value is None or not isinstance(node.target, ast.Name):
            return ast.Pass()
        return _set(node.target.id, _converted(node.annotation, node.value))

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        number = self._types.get(node.targets[0].id) if isinstance(node.targets[0], ast.Name) else None
        if number is not None:
            node.value = _converted(number, node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        if not isinstance(node.target, ast.Name) or node.target.id not in self._types:
            return node
        name = node.target.id
        changed = ast.BinOp(ast.Name(name, ast.Load()), node.op, node.value)
        return _set(name, _converted(self._types[name], changed))

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        if self._returned is not None and node.value is not None:
            node.value = _converted(self._returned, node.value)
        return node


def _converted(number: ast.expr, value: ast.expr) -> ast.expr:
    return ast.Call(number, [value], [])


def _set(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)
