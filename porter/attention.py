"""The scores of attentions: products whose softmax, through the lines of one function, is on the left of another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from .project import SourceFile
from .syntax.template import match
from .syntax.walk import dotted, own_descendants

_PRODUCTS = ("torch.matmul(__left, __right)", "__left @ __right", "__left.matmul(__right)")
_SOFTMAX = ("torch.softmax", "torch.nn.functional.softmax")
_METHODS = ("softmax", "masked_fill")  # what these give is made of what they are called on
_ARITHMETIC = (cst.Add, cst.Subtract, cst.Multiply, cst.Divide)


@dataclass(frozen=True)
class Product:
    """A matrix product."""

    node: cst.BaseExpression
    left: cst.BaseExpression
    right: cst.BaseExpression


def attention_scores(file: SourceFile, function: cst.FunctionDef) -> list[Product]:
    """Products of queries and keys in a function.

    None where anything is written to in place: what is computed later must find what it is made of as it was.
    """
    nodes = list(own_descendants(function.body))
    products = {p.node: p for n in nodes if (p := _product(file, n)) is not None}
    if len(products) < 2 or any(map(_writes, nodes)):
        return []
    assigned = _assigned(nodes)
    found: dict[cst.CSTNode, Product] = {}
    for weighing in products.values():
        for weights in _sources(file, weighing.left, assigned):
            if _is_softmax(file, weights):
                found |= {n: products[n] for n in _sources(file, weights, assigned) if n in products}
    return [product for node, product in products.items() if node in found]


def _product(file: SourceFile, node: cst.CSTNode) -> Product | None:
    if not isinstance(node, (cst.Call, cst.BinaryOperation)):
        return None
    for pattern in _PRODUCTS:
        found = match(pattern, node, file.resolve)
        if found is not None:
            left, right = found["left"], found["right"]
            if isinstance(left, cst.BaseExpression) and isinstance(right, cst.BaseExpression):
                return Product(node, left, right)
    return None


def _assigned(nodes: list[cst.CSTNode]) -> dict[str, list[cst.BaseExpression]]:
    """What is assigned to each name."""
    found = defaultdict(list)
    for node in nodes:
        if isinstance(node, (cst.Assign, cst.AnnAssign)) and node.value is not None:
            for target in [t.target for t in node.targets] if isinstance(node, cst.Assign) else [node.target]:
                if isinstance(target, cst.Name):
                    found[target.value].append(node.value)
    return found


def _sources(
    file: SourceFile, node: cst.BaseExpression, assigned: dict[str, list[cst.BaseExpression]]
) -> Iterator[cst.BaseExpression]:
    """An expression, and what it is made of, up to products."""
    waiting, seen = [node], set()
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        yield current
        if isinstance(current, cst.Name):
            waiting += assigned.get(current.value, ())
        elif current is node or _product(file, current) is None:
            waiting += _operands(file, current)


def _operands(file: SourceFile, node: cst.BaseExpression) -> list[cst.BaseExpression]:
    """What an expression passes on, changed number by number or as a softmax does."""
    if isinstance(node, cst.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, _ARITHMETIC):
        return [node.left, node.right]
    if not isinstance(node, cst.Call):
        return []
    if isinstance(node.func, cst.Attribute) and node.func.attr.value in _METHODS and file.resolve(node.func) is None:
        return [node.func.value]
    called = file.resolve(node.func) or dotted(node.func) or ""
    passes = called in _SOFTMAX or called.endswith("dropout") or called.startswith("self.")  # a module: a dropout?
    return [argument.value for argument in node.args[:1]] if passes else []


def _is_softmax(file: SourceFile, node: cst.BaseExpression) -> bool:
    if not isinstance(node, cst.Call):
        return False
    if file.resolve(node.func) in _SOFTMAX:
        return True
    return isinstance(node.func, cst.Attribute) and node.func.attr.value == "softmax"


def _writes(node: cst.CSTNode) -> bool:
    """Whether a node writes to a tensor in place, as far as one can see."""
    if isinstance(node, cst.AugAssign):
        return True
    if isinstance(node, cst.AssignTarget):
        return isinstance(node.target, cst.Subscript)
    if isinstance(node, cst.Arg):
        given = node.keyword is not None and node.keyword.value in ("inplace", "out")
        return given and dotted(node.value) not in ("False", "None")
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
        name = node.func.attr.value
        return name.endswith("_") and not name.endswith("__")
    return False
