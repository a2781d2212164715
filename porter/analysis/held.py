"""Parameters that `.to("xla")` leaves behind: held by plain objects, or tied.

On the CPU and on CUDA `Module.to` keeps parameter objects and changes what is in them. For XLA it puts new ones in
their place, and whatever else held an old one goes on holding a tensor of the host; two modules that shared one have
one each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from ..syntax.calls import method_call
from ..syntax.predicates import called, is_name, last_part, of_self, targets
from ..syntax.values import Kind, is_tensor
from ..syntax.walk import brief, descendants, dotted, same, spelled
from .project import SourceFile

KEPT = "ops.keep_in_place"  # the runtime's function that keeps what it is given the same object

_VIEWS = ("detach", "expand", "permute", "requires_grad_", "reshape", "squeeze", "t", "transpose", "unsqueeze", "view")
_PARTS = ("data", "T", "mT")
_ALL = ("parameters", "named_parameters", "buffers", "named_buffers", "state_dict")
_CONTAINERS = ("dict", "frozenset", "iter", "list", "set", "tuple", "zip", "enumerate", "functools.partial")
_LITERALS = (cst.List, cst.Tuple, cst.Set, cst.Dict, cst.ListComp, cst.SetComp, cst.DictComp, cst.GeneratorExp)
_VALUES = (cst.Attribute, cst.Name, cst.Call)
_BETWEEN = (cst.Arg, cst.Element, cst.DictElement, cst.StarredElement, cst.IfExp)


@dataclass(frozen=True, slots=True)
class Hold:
    """A parameter that a constructor of a module gives to something that is no module."""

    node: cst.BaseExpression  # the parameter, or the call that gives several
    whole: cst.BaseExpression  # that with what only views it
    told: str


def holds(file: SourceFile, constructor: cst.FunctionDef) -> Iterator[Hold]:
    """Where a constructor of a module does so, without the runtime keeping the parameter in place."""
    owner = file.owner(constructor)
    if constructor.name.value != "__init__" or owner is None or not file.defines_module(owner):
        return
    for part in descendants(constructor.body):
        if isinstance(part, _VALUES) and not file.is_label(part) and _is_parameter(file, part):
            yield from _held(file, constructor, part)


def statement_of(file: SourceFile, constructor: cst.FunctionDef, node: cst.CSTNode) -> cst.BaseStatement:
    """The statement of a constructor itself, and of no function in it, that a node is part of."""
    statement = file.statement(node)
    while (inner := file.function(statement)) is not constructor and inner is not None:
        statement = inner
    return statement


def _held(file: SourceFile, constructor: cst.FunctionDef, node: cst.Attribute | cst.Name | cst.Call) -> Iterator[Hold]:
    parent = file.parent(node)
    if isinstance(parent, cst.Attribute) and parent.attr.value not in (*_PARTS, *_VIEWS):
        return
    if isinstance(node, cst.Name) and _in_closure(file, constructor, node):
        whole: cst.BaseExpression = node
        told = f"a function keeps {node.value}, which .to() replaces on XLA"
    else:
        whole = _whole(file, node)
        told = _told(file, node, whole)
    if told and not (whole is node and _is_kept(file, constructor, node)):
        yield Hold(node, whole, told)


def _told(file: SourceFile, node: cst.BaseExpression, whole: cst.BaseExpression) -> str:
    """What is wrong with where a parameter goes, together with what only views it."""
    holder, outer = _holder(file, whole)
    stored = any(isinstance(t, (cst.Attribute, cst.Subscript)) for t in targets(file.parent(outer)))
    if holder and (stored or holder == "object"):
        return f"{brief(outer)} holds {brief(whole)}, which .to() replaces on XLA"
    if not holder and stored and isinstance(whole, cst.Attribute) and whole is node:
        return f"{brief(whole)} is shared by two modules, which have one each on XLA"
    return ""


def _is_kept(file: SourceFile, constructor: cst.FunctionDef, node: cst.BaseExpression) -> bool:
    """Whether the statement before keeps a parameter in place."""
    statement = statement_of(file, constructor, node)
    around = file.siblings(statement)
    before = around[around.index(statement) - 1] if statement in around[1:] else None
    smalls = before.body if isinstance(before, cst.SimpleStatementLine) else ()
    calls = (small.value for small in smalls if isinstance(small, cst.Expr) and isinstance(small.value, cst.Call))
    kept = (call for call in calls if last_part(called(call)) == last_part(KEPT))
    return any(same(given.value, node) for call in kept for given in call.args)


def _is_parameter(file: SourceFile, node: cst.CSTNode, depth: int = 0) -> bool:
    """Whether an expression is a module's parameter or buffer, or all of them."""
    match node:
        case cst.Attribute():
            if file.kind(node.value) is Kind.MODULE:
                return is_tensor(file.kind(node))
            owner, name = file.owner(node), of_self(node)
            return owner is not None and name is not None and _registers(file, owner, name)
        case cst.Call():
            found = method_call(node, *_ALL)
            return found is not None and (dotted(found[0]) == "self" or file.kind(found[0]) is Kind.MODULE)
        case cst.Name() if depth < 3:
            return _names_parameter(file, node, depth)
    return False


def _names_parameter(file: SourceFile, name: cst.Name, depth: int) -> bool:
    """The same for a local name, by the only value that it is given."""
    found = file.index.scope_of(name).lookup(name.value)
    local = found is not None and isinstance(found[0].node, cst.FunctionDef)
    once = file.assigned_once(found[1]) if found is not None and local else None
    if once is None or once[0] is name:
        return False
    if isinstance(once[1], cst.Call):
        return file.resolve(once[1].func) == "torch.nn.Parameter"
    return is_name(once[1]) and _is_parameter(file, once[1], depth + 1)


def _registers(file: SourceFile, owner: cst.ClassDef, name: str) -> bool:
    made = file.attribute_value(owner, name)
    parameter = isinstance(made, cst.Call) and file.resolve(made.func) == "torch.nn.Parameter"
    return parameter or name in file.buffers(owner)


def _whole(file: SourceFile, node: cst.BaseExpression) -> cst.BaseExpression:
    """A parameter with what only views it: `weight.data`, `weight.t()`."""
    while True:
        parent = file.parent(node)
        if isinstance(parent, cst.Attribute) and parent.attr.value in _PARTS:
            node = parent
        elif isinstance(parent, cst.Attribute) and parent.attr.value in _VIEWS:
            call = file.parent(parent)
            if not isinstance(call, cst.Call):
                return node
            node = call
        else:
            return node


def _holder(file: SourceFile, node: cst.CSTNode) -> tuple[str, cst.CSTNode]:
    """What an expression is put into: "object" (an instance of a plain class), "container" or nothing; and its node."""
    holder = ""
    for parent in file.ancestors(node):
        if isinstance(parent, (*_LITERALS, cst.CompFor)):
            holder = holder or "container"
        elif isinstance(parent, cst.Call):
            kept = _keeps(file, parent)
            if not kept:
                return "", node
            holder = kept if holder != "object" else holder
        elif not isinstance(parent, _BETWEEN):
            break
        node = parent
    return holder, node


def _keeps(file: SourceFile, call: cst.Call) -> str:
    """Whether a call makes something that keeps its arguments."""
    name = file.resolve(call.func) or spelled(call.func)
    if name in _CONTAINERS:
        return "container"
    found = file.project.class_definition(name)
    return "object" if found is not None and not found[0].defines_module(found[1]) else ""


def _in_closure(file: SourceFile, constructor: cst.FunctionDef, node: cst.Name) -> bool:
    """Whether a name of a constructor is read in a function that is made there."""
    inner = next((a for a in file.ancestors(node) if isinstance(a, (cst.Lambda, cst.FunctionDef))), None)
    found = file.index.scope_of(node).lookup(node.value)
    return inner is not constructor and found is not None and found[0].node is constructor
