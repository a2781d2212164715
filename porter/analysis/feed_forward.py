"""Pairs of convolutions with a ReLU between them, through the lines of one function."""

from __future__ import annotations

import libcst as cst

from ..syntax.calls import has_star
from ..syntax.walk import dotted, own_of_type
from .flows import Flows
from .layers import layer_classes
from .project import SourceFile

_RELU = ("torch.relu", "torch.nn.functional.relu")
_PASSING = ("torch.nn.functional.dropout", "torch.nn.functional.pad", "torch.dropout")
_CONVOLUTION = frozenset({"torch.nn.Conv1d"})
_DROPOUT = frozenset({"torch.nn.Dropout"})


def wide_layers(file: SourceFile, function: cst.FunctionDef) -> list[cst.Call]:
    """Calls of a convolution of `self` whose ReLU another one is given.

    None where anything is written to in place: what is computed later must find what it is made of as it was.
    """
    owner = file.owner(function)
    if owner is None or not file.defines_module(owner):
        return []
    layers = [n for n in own_of_type(function.body, cst.Call) if _is_layer(file, owner, n)]
    if len(layers) < 2:
        return []
    flows = Flows(file, function)
    if not flows.may_wait:
        return []

    def operands(node: cst.BaseExpression) -> list[cst.BaseExpression]:
        return [] if node in layers else _operands(file, owner, node)

    found: set[cst.CSTNode] = set()
    for second in layers:
        for made in flows.sources(second.args[0].value, operands):
            if _is_relu(file, made):
                found |= set(flows.sources(made, operands))
    return [layer for layer in layers if layer in found]


def _is_layer(file: SourceFile, owner: cst.ClassDef, node: cst.Call) -> bool:
    name = dotted(node.func) or ""
    if not name.startswith("self.") or name.count(".") > 1 or len(node.args) != 1 or has_star(node):
        return False
    return node.args[0].keyword is None and layer_classes(file, owner, name.removeprefix("self.")) == _CONVOLUTION


def _operands(file: SourceFile, owner: cst.ClassDef, node: cst.BaseExpression) -> list[cst.BaseExpression]:
    """What an expression passes on, but for what a mask, a dropout or padding makes of it."""
    if isinstance(node, cst.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply):
        return [node.left, node.right]
    if not isinstance(node, cst.Call):
        return []
    if isinstance(node.func, cst.Attribute) and node.func.attr.value == "relu" and file.resolve(node.func) is None:
        return [node.func.value]
    called = file.resolve(node.func) or dotted(node.func) or ""
    passes = called in (*_RELU, *_PASSING)
    if called.startswith("self."):  # a dropout, or a method that pads
        passes = layer_classes(file, owner, called.removeprefix("self.")) in (None, _DROPOUT)
    return [argument.value for argument in node.args[:1]] if passes else []


def _is_relu(file: SourceFile, node: cst.BaseExpression) -> bool:
    if not isinstance(node, cst.Call):
        return False
    if file.resolve(node.func) in _RELU:
        return True
    return isinstance(node.func, cst.Attribute) and node.func.attr.value == "relu"
