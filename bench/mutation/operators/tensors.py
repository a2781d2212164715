"""What only tensors have: gradients and types."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from bench.mutation.change import Edit
from bench.mutation.operators.writing import instead
from bench.mutation.source import Source

_WITHOUT = frozenset({"no_grad", "inference_mode"})
_NOTHING = '__import__("contextlib").nullcontext()'
_DTYPES: Mapping[str, tuple[str, ...]] = {
    "float32": ("float64", "bfloat16"),
    "float": ("double", "half"),
    "float64": ("float32",),
    "double": ("float",),
    "float16": ("float32",),
    "bfloat16": ("float32",),
    "int64": ("int32", "float32"),
    "long": ("int", "float"),
    "int32": ("int64",),
    "int": ("long",),
    "bool": ("int64",),
    "complex64": ("complex128",),
}
_METHODS = frozenset({"float", "double", "long", "int", "bool"})
_OWNERS = frozenset({"torch", "jnp", "np", "numpy"})


def gradient_kept(source: Source, node: ast.AST) -> Iterator[Edit]:
    """No `detach`, no `no_grad`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "detach":
        yield instead(source, "gradient kept", node, node.func.value)
    if isinstance(node, (ast.With, ast.AsyncWith)):
        for item in node.items:
            if _name(item.context_expr) in _WITHOUT:
                yield instead(source, "gradient kept", item.context_expr, _NOTHING)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        for mark in node.decorator_list:
            if _name(mark) in _WITHOUT:
                yield instead(source, "gradient kept", mark, "(lambda function: function)")


def dtype_changed(source: Source, node: ast.AST) -> Iterator[Edit]:
    """Another type of a tensor's values."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in _OWNERS:
        for other in _DTYPES.get(node.attr, ()):
            yield instead(source, "dtype", node, f"{node.value.id}.{other}")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args and not node.keywords:
        for other in _DTYPES[node.func.attr] if node.func.attr in _METHODS else ():
            called = ast.Call(ast.Attribute(node.func.value, other, ast.Load()), [], [])
            yield instead(source, "dtype", node, called)


def _name(node: ast.expr) -> str:
    """The last part of the name of what is called."""
    called = node.func if isinstance(node, ast.Call) else node
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
