"""The scores of attentions: products whose softmax, through the lines of one function, is on the left of another."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst

from ..syntax.template import match
from ..syntax.walk import dotted, own_of_type
from .flows import Flows
from .layers import layer_classes
from .project import SourceFile

_PRODUCTS = (
    *("torch.matmul(__left, __right)", "torch.bmm(__left, __right)", "__left @ __right"),
    *("__left.matmul(__right)", "__left.bmm(__right)"),
)
_SOFTMAX = ("torch.softmax", "torch.nn.functional.softmax")
_SOFTMAX_LAYER = frozenset({"torch.nn.Softmax"})
_NO_METHOD = ("torch.", "self.softmax")
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
    operations = own_of_type(function.body, cst.Call, cst.BinaryOperation)
    products = {p.node: p for n in operations if (p := _product(file, n)) is not None}
    if len(products) < 2:
        return []
    flows = Flows(file, function)
    if not flows.may_wait:
        return []

    def operands(node: cst.BaseExpression) -> list[cst.BaseExpression]:
        return [] if node in products else _operands(file, node)

    found: set[cst.CSTNode] = set()
    for weighing in products.values():
        for weights in flows.sources(weighing.left, operands):
            if _is_softmax(file, function, weights):
                found |= products.keys() & set(flows.sources(weights, operands))
    return [product for node, product in products.items() if node in found]


def _product(file: SourceFile, node: cst.BaseExpression) -> Product | None:
    for pattern in _PRODUCTS:
        found = match(pattern, node, file.resolve)
        if found is not None:
            left, right = found["left"], found["right"]
            if isinstance(left, cst.BaseExpression) and isinstance(right, cst.BaseExpression):
                return Product(node, left, right)
    return None


def _operands(file: SourceFile, node: cst.BaseExpression) -> list[cst.BaseExpression]:
    """What an expression passes on, changed number by number or as a softmax does."""
    if isinstance(node, cst.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, _ARITHMETIC):
        return [node.left, node.right]
    if not isinstance(node, cst.Call):
        return []
    called = file.resolve(node.func) or dotted(node.func) or ""
    if isinstance(node.func, cst.Attribute) and node.func.attr.value in _METHODS and not called.startswith(_NO_METHOD):
        return [node.func.value]
    passes = called in _SOFTMAX or called.endswith("dropout") or called.startswith("self.")  # a module: a dropout?
    return [argument.value for argument in node.args[:1]] if passes else []


def _is_softmax(file: SourceFile, function: cst.FunctionDef, node: cst.BaseExpression) -> bool:
    if not isinstance(node, cst.Call):
        return False
    if file.resolve(node.func) in _SOFTMAX:
        return True
    owner, name = file.owner(function), dotted(node.func) or ""
    if owner is not None and name.startswith("self."):
        return layer_classes(file, owner, name.removeprefix("self.")) == _SOFTMAX_LAYER
    return isinstance(node.func, cst.Attribute) and node.func.attr.value == "softmax"
