"""Which names of a script are torch's optimizers: what it makes, and what it hands to its own functions."""

from __future__ import annotations

import libcst as cst

from ..syntax.predicates import bound_names, last_part, targets
from ..syntax.walk import dotted, own_descendants, own_of_type
from .project import SourceFile

_NAMES = (
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD",
    "SparseAdam",
)  # fmt: skip


def is_optimizer(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether a name, or an attribute of `self`, is surely one of torch's optimizers.

    Some function of the file binds that name to one, and nothing in the function around binds it to anything else: it
    may be a parameter there, or come out of one.
    """
    name = dotted(node)
    if name is None:
        return False
    assigns = (assign for assign in file.index.of_type(cst.Assign) if name in map(dotted, targets(assign)))
    made = [makes_optimizer(file, assign.value) for assign in assigns]
    if isinstance(node, cst.Attribute) or not any(made):
        return bool(made) and all(made)
    function = file.function(node)
    return all(_may_be(file, function, part, name) for part in own_descendants(file.space(node)))


def makes_optimizer(file: SourceFile, value: cst.BaseExpression | None, depth: int = 3) -> bool:
    """Whether an expression makes one of torch's optimizers, itself or in a function that it calls."""
    if not isinstance(value, cst.Call):
        return False
    target = file.full_name(value.func)
    if target.startswith("torch.optim.") and last_part(target) in _NAMES:
        return "lr_scheduler" not in target
    found = file.project.function(target) or _local_function(file, value.func)
    if found is None or depth == 0:
        return False
    other, function = found
    returned = [r.value for r in own_of_type(function.body, cst.Return)]
    return bool(returned) and all(makes_optimizer(other, r, depth - 1) for r in returned)


def _local_function(file: SourceFile, name: cst.BaseExpression) -> tuple[SourceFile, cst.FunctionDef] | None:
    """A function inside a function, by its only definition in scope."""
    match file.bindings(name) if isinstance(name, cst.Name) else ():
        case [cst.FunctionDef() as function]:
            return file, function
    return None


def _may_be(file: SourceFile, function: cst.FunctionDef | None, node: cst.CSTNode, name: str) -> bool:
    """Whether a node leaves a name what it may be: it binds another, or an optimizer, or a part of a parameter."""
    if isinstance(node, cst.Assign):
        for target in node.targets:
            if dotted(target.target) == name and not makes_optimizer(file, node.value):
                return False
            unpacked = isinstance(target.target, (cst.Tuple, cst.List)) and name in bound_names(target.target)
            if unpacked and not _is_parameter(function, node.value):
                return False
        return True
    if isinstance(node, (cst.For, cst.NamedExpr, cst.AugAssign, cst.AnnAssign)):
        return name not in bound_names(node.target)
    return not (isinstance(node, cst.AsName) and name in bound_names(node.name))


def _is_parameter(function: cst.FunctionDef | None, value: cst.BaseExpression) -> bool:
    params = function.params.params if function is not None else ()
    return isinstance(value, cst.Name) and any(param.name.value == value.value for param in params)
