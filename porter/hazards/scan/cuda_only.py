"""Code that runs only where there is CUDA, and questions for CUDA whose answer "no" is right for another device."""

from __future__ import annotations

import libcst as cst

from ...analysis.contexts import Contexts
from ...analysis.cuda import asks_for_cuda, bound_once, implies_cuda, is_cuda_text, is_other_device, uses
from ...analysis.project import SourceFile
from ...syntax.calls import method_call
from ...syntax.predicates import is_name, leaves, only_target, targets
from ...syntax.walk import descendants

_COUNT = "torch.cuda.device_count"
_KINDS = ("torch.cuda.get_device_name", "torch.cuda.get_device_capability", "torch.cuda.get_device_properties")


def cuda_only(file: SourceFile, node: cst.CSTNode, seen: frozenset[cst.CSTNode] = frozenset()) -> str | None:
    """Why code never runs on a machine without CUDA: a condition around it, an exit before it, or its callers'."""
    for around, child in file.steps_out(node):
        asked = _condition(file, around, child)
        if asked is not None:
            return f"runs only where there is CUDA (asked at {file.path}:{file.span(asked).line})"
        reason = _called(file, around, seen) if type(around) is cst.FunctionDef else None
        if reason is not None:
            return reason
    return None


def _called(file: SourceFile, function: cst.FunctionDef, seen: frozenset[cst.CSTNode]) -> str | None:
    """The same for a function, of which every use in the project is a call that runs only with CUDA."""
    if function in seen or function.decorators or file.function(function) is not None or file.owner(function):
        return None
    found: str | None = None
    for other, use in file.project.fact(Contexts).references(function):
        reason = cuda_only(other, use, seen | {function}) if other.call_of(use) is not None else None
        if reason is None:
            return None
        found = found or f"{reason}, as {function.name.value} is called only at {other.path}:{other.span(use).line}"
    return found


def _condition(file: SourceFile, around: cst.CSTNode, child: cst.CSTNode) -> cst.CSTNode | None:
    """What asks for CUDA before `child`, a part of `around`, is run."""
    match around:
        case cst.If() | cst.IfExp():
            run: dict[bool | None, cst.CSTNode | None] = {True: around.body, False: around.orelse}
            return around.test if child is run.get(implies_cuda(file, around.test)) else None
        case cst.BooleanOperation() if child is around.right:
            return around.left if implies_cuda(file, around.left) is (type(around.operator) is cst.And) else None
        case cst.IndentedBlock():
            return _left_before(file, around, child)
        case cst.For() if child is around.body:
            return around.iter if _counts(file, around.iter) else None
        case cst.ListComp() | cst.SetComp() | cst.GeneratorExp() | cst.DictComp() if child is not around.for_in:
            return _comprehended(file, around.for_in)
    return None


def _left_before(file: SourceFile, block: cst.IndentedBlock, child: cst.CSTNode) -> cst.CSTNode | None:
    """The condition of an exit without CUDA that comes before a statement of its block."""
    for statement in block.body:
        if statement is child:
            return None
        if type(statement) is cst.If and _leaves(statement.body) and implies_cuda(file, statement.test) is False:
            return statement.test
    return None


def _leaves(block: cst.BaseSuite) -> bool:
    return leaves(block, cst.Return, cst.Raise, cst.Continue)


def _comprehended(file: SourceFile, turns: cst.CompFor) -> cst.CSTNode | None:
    """What lets a comprehension make an element with CUDA only."""
    for condition in turns.ifs:
        if implies_cuda(file, condition.test) is True:
            return condition.test
    if _counts(file, turns.iter):
        return turns.iter
    return _comprehended(file, turns.inner_for_in) if turns.inner_for_in is not None else None


def _counts(file: SourceFile, turns: cst.BaseExpression) -> bool:
    """`range(n)` of the number of CUDA's devices."""
    match turns:
        case cst.Call(func=cst.Name(value="range"), args=[cst.Arg(value=count)]):
            return _is_count(file, count)
    return False


def _is_count(file: SourceFile, node: cst.BaseExpression) -> bool:
    if isinstance(node, cst.IfExp):
        none = isinstance(node.orelse, cst.Integer) and node.orelse.evaluated_value == 0
        return none and implies_cuda(file, node.test) is True
    if isinstance(node, cst.Call):
        return file.resolve(node.func) == _COUNT
    value = bound_once(file, node)
    return value is not None and _is_count(file, value)


def goes_on_without(file: SourceFile, node: cst.CSTNode) -> str | None:
    """Why it is right that a question for CUDA, by its name, is answered "no": nothing is placed by the answer.

    A branch that moves tensors or networks, or names a device, decides where the program computes.
    """
    call = file.call_of(node)
    if call is None or asks_for_cuda(file, call) is not True:
        return None
    if file.is_trainer:
        return None  # which trains on the device that it asks for
    if _asks_more(file, call):
        return "it asks for one kind of CUDA's devices, and for that alone is what follows"
    regions = _decided(file, call)
    if not regions or any(_places(file, part) for region in regions for part in region):
        return None
    return "without CUDA it goes on, and what it leaves out only asks about CUDA or sets that up"


def _asks_more(file: SourceFile, call: cst.Call) -> bool:
    """Whether a question for CUDA is followed by one for its device's name or abilities, which both have to hold."""
    match file.parent(call):
        case cst.BooleanOperation(operator=cst.And(), left=left, right=right) if left is call:
            return any(file.full_name(part).startswith(_KINDS) for part in descendants(right) if is_name(part))
    return False


def _decided(file: SourceFile, node: cst.BaseExpression) -> list[tuple[cst.CSTNode, ...]]:
    """What a condition lets run or not: for each `if` that it is in, both branches, and what stands behind one that
    leaves. None where it is used otherwise.
    """
    parent = file.parent(node)
    match parent:
        case cst.BooleanOperation() | cst.UnaryOperation():
            return _decided(file, parent)
        case cst.IfExp() if parent.test is node:
            return [(parent.body, parent.orelse)]
        case cst.If() if parent.test is node:
            return [_decided_by(file, parent)]
    target = only_target(parent)
    if not isinstance(target, cst.Name) or bound_once(file, target) is not node:
        return []
    decided = [_decided(file, use) for use in uses(file, target)]
    return [region for regions in decided for region in regions] if all(decided) else []


def _decided_by(file: SourceFile, node: cst.If) -> tuple[cst.CSTNode, ...]:
    """Both branches of an `if`, and what stands behind it where its body leaves."""
    beside = file.siblings(node) if isinstance(file.parent(node), (cst.IndentedBlock, cst.Module)) else ()
    behind = beside[beside.index(node) + 1 :] if _leaves(node.body) and node in beside else ()
    return (node.body, *([node.orelse] if node.orelse is not None else []), *behind)


def _places(file: SourceFile, region: cst.CSTNode) -> bool:
    """Whether code moves something, or hands on a device: one that it names by text, or makes and does not keep."""
    for part in descendants(region):
        if _names_device(file, part) and not isinstance(file.parent(part), cst.ComparisonTarget):
            return True
        if _escapes(file, part) and any(_is_device(file, one) for one in descendants(part)):
            return True
    return _moves(file, region, set())


def _escapes(file: SourceFile, part: cst.CSTNode) -> bool:
    """Whether a statement hands on what it computes: a return, or an assignment to more than local names."""
    if not isinstance(part, cst.Assign):
        return isinstance(part, cst.Return)
    return file.function(part) is None or not all(type(target) is cst.Name for target in targets(part))


def _names_device(file: SourceFile, node: cst.CSTNode) -> bool:
    return is_cuda_text(node) or (type(node) is cst.SimpleString and is_other_device(file, node))


def _is_device(file: SourceFile, node: cst.CSTNode) -> bool:
    if type(node) is cst.Call:
        return file.resolve(node.func) == "torch.device"
    value = bound_once(file, node)
    return value is not None and any(_is_device(file, one) or _names_device(file, one) for one in descendants(value))


def _moves(file: SourceFile, region: cst.CSTNode, seen: set[cst.CSTNode]) -> bool:
    """Whether code moves something, or a function of the project that it calls does."""
    for part in descendants(region):
        if method_call(part, "to", "cuda") is not None:
            return True
        called = file.project.function(file.resolve(part.func)) if type(part) is cst.Call else None
        if called is not None and called[1] not in seen:
            seen.add(called[1])
            if _moves(called[0], called[1].body, seen):
                return True
    return False
