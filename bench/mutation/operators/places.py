"""Constants with a meaning: bounds of slices and ranges, dimensions, defaults of parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from bench.mutation.change import Edit
from bench.mutation.operators.writing import instead, number, others
from bench.mutation.source import Source

# What takes a dimension by place: which arguments of a tensor's method; of a function, the tensor comes before them.
_BY_PLACE: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("unsqueeze", "squeeze", "size", "softmax", "log_softmax", "cumsum", "cumprod", "flip"), (0,)),
    **dict.fromkeys(("sum", "mean", "amax", "amin", "argmax", "argmin", "max", "min", "norm", "std", "var"), (0,)),
    **dict.fromkeys(("transpose", "swapaxes"), (0, 1)),
    **dict.fromkeys(("narrow", "select", "gather", "index_select", "scatter", "unbind", "unfold"), (0,)),
    **dict.fromkeys(("chunk", "split", "repeat_interleave", "cat", "stack", "concat"), (1,)),
    "permute": (0, 1, 2, 3),
}
_OF_LISTS = frozenset({"cat", "stack", "concat"})
_KEYWORDS = frozenset({"dim", "axis", "dim0", "dim1", "dims", "axes", "start_dim", "end_dim"})
_MODULES = frozenset({"torch", "F", "functional", "jnp", "np", "numpy", "lax"})


def dimension_changed(source: Source, node: ast.AST) -> Iterator[Edit]:
    """The dimension beside."""
    if not isinstance(node, ast.Call):
        return
    found = [keyword.value for keyword in node.keywords if keyword.arg in _KEYWORDS]
    if isinstance(node.func, ast.Attribute) and node.func.attr in _BY_PLACE:
        owner = node.func.value
        function = (isinstance(owner, ast.Name) and owner.id in _MODULES) or isinstance(owner, ast.Attribute)
        shift = 1 if function and node.func.attr not in _OF_LISTS and _is_module(owner) else 0
        places = [index + shift for index in _BY_PLACE[node.func.attr]]
        found += [node.args[index] for index in places if index < len(node.args)]
    for value in found:
        old = number(value)
        if isinstance(old, int):
            for new in (old + 1, old - 1):
                yield instead(source, "dimension", value, repr(new))


def bound_moved(source: Source, node: ast.AST) -> Iterator[Edit]:
    """A slice or a range that begins or ends one place elsewhere."""
    if isinstance(node, ast.Slice) and _is_wanted(source, node):
        yield from _moved(source, node.lower, node)
        yield from _moved(source, node.upper, node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        for argument in node.args[:2]:
            if not isinstance(argument, ast.Starred):
                yield from _moved(source, argument, node)


def default_changed(source: Source, node: ast.AST) -> Iterator[Edit]:
    """Another default of a parameter."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            value = default.value if isinstance(default, ast.Constant) else number(default)
            for new in others(value):
                yield instead(source, "default", default, repr(new))
            if isinstance(default, ast.Constant) and value is None:
                yield instead(source, "default", default, "0")


def _moved(source: Source, bound: ast.expr | None, node: ast.Slice | ast.Call) -> Iterator[Edit]:
    if bound is None:
        return
    old = number(bound)
    for step, kind in ((1, ast.Add), (-1, ast.Sub)):
        if isinstance(old, int):
            yield instead(source, "bound", bound, repr(old + step))
        else:
            yield instead(source, "bound", bound, ast.unparse(ast.BinOp(bound, kind(), ast.Constant(1))))


def _is_wanted(source: Source, node: ast.Slice) -> bool:
    """Whether a slice has a bound at all."""
    return node.lower is not None or node.upper is not None


def _is_module(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id in _MODULES) or (
        isinstance(node, ast.Attribute) and node.attr in _MODULES
    )
