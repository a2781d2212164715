"""Training loops: where a step begins and ends, and what only looks at its results."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

import libcst as cst

from ..syntax.calls import method_call
from ..syntax.predicates import bound_names, called, is_text, only_small
from ..syntax.scopes import Imported
from ..syntax.values import Kind, is_tensor
from ..syntax.walk import children, descendants, dotted, own_descendants, own_of_type, spelled
from .project import SourceFile

Loop = cst.For | cst.While

_COPIES = ("item", "tolist", "numpy", "cpu")
_WRITES = ("add_scalar", "add_scalars", "add_image", "add_images", "add_audio", "add_figure", "add_histogram")
# Methods that change nothing which a trainer reads.
_VIEWS = ("detach", "format", "join", "keys", "values", "items", "get", "size", "state_dict", "parameters")
_LOOKS = frozenset((*_COPIES, *_WRITES, *_VIEWS, "debug", "info", "warning", "error", "log"))
_MAKES_NUMBER = ("float", "int", "bool", "str", "repr", "print")


@dataclass(frozen=True, slots=True)
class Step:
    """The body of a loop over batches, cut where the step's last computation is."""

    loop: Loop
    after: tuple[cst.BaseStatement, ...]  # statements of the loop's body behind the last optimizer step
    last: cst.BaseStatement  # the statement of that step


def training_loop(file: SourceFile, node: cst.CSTNode) -> Loop | None:
    """The loop over batches whose body `node` is part of, if there is one."""
    for around, child in file.steps_out(node):
        if isinstance(around, (cst.For, cst.While)) and child is around.body and is_training_loop(around):
            return around
    return None


def training_loops(node: cst.CSTNode) -> Iterator[Loop]:
    """The loops over batches in some code, functions inside it included."""
    return (n for n in descendants(node) if isinstance(n, (cst.For, cst.While)) and is_training_loop(n))


def is_training_loop(node: Loop) -> bool:
    """Whether a loop's body has both a backward pass and an optimizer step, and not in further loops that train.

    One over batches may hold one of several steps of a discriminator, beside the generator's own.
    """
    if not _trains(own_of_type(node.body, cst.Call)):
        return False
    inner = [loop for loop in own_of_type(node.body, cst.For, cst.While) if _trains(own_of_type(loop.body, cst.Call))]
    within = {call for loop in inner for call in own_of_type(loop.body, cst.Call)}
    return not inner or _trains(call for call in own_of_type(node.body, cst.Call) if call not in within)


def _trains(calls: Iterable[cst.Call]) -> bool:
    nodes = list(calls)
    return any(method_call(n, "backward") for n in nodes) and any(_is_step(n) for n in nodes)


def _is_step(call: cst.Call) -> bool:
    """`optimizer.step()`, `scaler.step(optimizer)`, or the runtime's `optimizer_step(optimizer)`."""
    return method_call(call, "step", "optimizer_step") is not None


def read_step(file: SourceFile, loop: Loop) -> Step | None:
    """The step of a training loop; None where an iteration may be left before its end."""
    if not isinstance(loop.body, cst.IndentedBlock) or loop.orelse is not None:
        return None
    found = (method_call(call, "scale", "unscale_") for call in own_of_type(loop.body, cst.Call))
    scalers = {dotted(made[0]) for made in found if made is not None} - {None}
    statements = loop.body.body
    at = max((i for i, s in enumerate(statements) if _steps(s, scalers)), default=-1)
    if at < 0 or any(map(_goes_on, statements[: at + 1])):
        return None
    return Step(loop, tuple(statements[at + 1 :]), statements[at])


def _steps(statement: cst.CSTNode, scalers: Container[str | None]) -> bool:
    """Whether a statement computes gradients, steps an optimizer or updates one of some scalers."""
    for call in own_of_type(statement, cst.Call):
        if _is_step(call) or method_call(call, "backward") is not None:
            return True
        updated = method_call(call, "update")
        if updated is not None and dotted(updated[0]) in scalers:
            return True
    return False


def _goes_on(statement: cst.CSTNode) -> bool:
    """Whether a statement of a loop's body may begin the next iteration."""
    if isinstance(statement, cst.Continue):
        return True
    if isinstance(statement, (cst.For, cst.While, cst.FunctionDef, cst.ClassDef, cst.BaseExpression)):
        return isinstance(statement, (cst.For, cst.While)) and _goes_on_in_else(statement)
    return any(_goes_on(child) for child in children(statement))


def _goes_on_in_else(loop: Loop) -> bool:
    return loop.orelse is not None and _goes_on(loop.orelse)


def ends_step(file: SourceFile, statement: cst.CSTNode) -> bool:
    """Whether a statement is the runtime's `mark_step()`."""
    match only_small(statement):
        case cst.Expr(value=cst.Call(func=func, args=[])):
            return file.full_name(func).endswith("utils.mark_step")
    return False


# --- blocks that only look ----------------------------------------------------------------------------------------


def log_blocks(file: SourceFile, step: Step) -> list[cst.If]:
    """The `if` blocks behind a step that read its results, now and then, and may do so when the step has run.

    Such a block changes nothing that is used elsewhere, and nothing between it and the step's end asks for what it
    does, or changes what it reads.
    """
    found = [
        (at, block)
        for at, statement in enumerate(step.after)
        if isinstance(statement, cst.If)
        for block in _log_blocks(file, step.loop, statement, False)
    ]
    while found != (kept := _independent(file, step, found)):
        found = kept
    return [block for _, block in found]


def _independent(file: SourceFile, step: Step, found: list[tuple[int, cst.If]]) -> list[tuple[int, cst.If]]:
    """Those of some blocks, each with its place behind the step, on which nothing up to the step's end depends."""
    ends = [at for at, statement in enumerate(step.after) if ends_step(file, statement)]
    last = ends[0] if ends else max((at for at, _ in found), default=0)
    blocks = {block.body for _, block in found}
    return [
        (at, block)
        for at, block in found
        if not _depends(file, block, _between(file, block, step.after[at : last + 1], blocks))
    ]


def _between(
    file: SourceFile, block: cst.If, statements: Sequence[cst.BaseStatement], deferred: Collection[cst.CSTNode]
) -> list[cst.CSTNode]:
    """The nodes that run after a block and before the end of `statements`, of which it is part of the first."""
    later: list[cst.CSTNode] = list(statements[1:])
    child: cst.CSTNode = block
    for around in file.ancestors(block):
        if child is statements[0]:
            break
        if isinstance(around, cst.IndentedBlock):
            later += around.body[around.body.index(child) + 1 :]
        child = around
    nodes: list[cst.CSTNode] = []
    while later:
        node = later.pop()
        if node not in deferred:
            nodes.append(node)
            later += children(node)
    return nodes


def _depends(file: SourceFile, block: cst.If, later: Sequence[cst.CSTNode]) -> bool:
    """Whether what runs `later` reads what a block may change, or changes what it reads."""
    if not later:
        return False
    inside = list(descendants(block.body))
    changed = {name for node in inside for name in _changed_by(file, node)}
    rebound = {name for node in later for name in (bound_by(file, node) | _changed_by(file, node) | _stored_by(node))}
    return not (_values(file, inside).isdisjoint(rebound) and _values(file, later).isdisjoint(changed))


def _values(file: SourceFile, nodes: Iterable[cst.CSTNode]) -> set[str]:
    """The names among nodes that stand for values."""
    return {n.value for n in nodes if isinstance(n, cst.Name) and not file.is_label(n)}


def _changed_by(file: SourceFile, node: cst.CSTNode) -> set[str]:
    """Names of objects that a call may change: whose method it is, and what a function of the project is given."""
    if not isinstance(node, cst.Call) or method_call(node, *_LOOKS) is not None:
        return set()
    objects: list[cst.BaseExpression] = []
    if isinstance(node.func, cst.Attribute) and not file.full_name(node.func).startswith("torch."):
        objects.append(node.func.value)
    if file.project.function(file.resolve(node.func)) is not None:
        objects += [arg.value for arg in node.args if file.kind(arg.value) is not Kind.HOST]
    return {name for name in filter(None, map(_root, objects)) if not _is_import(file, name)}


def _stored_by(node: cst.CSTNode) -> set[str]:
    """The name of the object that an assignment stores into."""
    if isinstance(node, (cst.AssignTarget, cst.AugAssign, cst.AnnAssign)) and not isinstance(node.target, cst.Name):
        name = _root(node.target)
        return {name} if name is not None else set()
    return set()


def _root(node: cst.BaseExpression) -> str | None:
    """The name at the beginning of a chain of attributes and items."""
    while isinstance(node, (cst.Attribute, cst.Subscript)):
        node = node.value
    return node.value if isinstance(node, cst.Name) else None


def _is_import(file: SourceFile, name: str) -> bool:
    bound = file.index.root.bindings.get(name, ())
    return bool(bound) and all(isinstance(b, Imported) for b in bound)


def _log_blocks(file: SourceFile, loop: Loop, node: cst.If, sometimes: bool) -> Iterator[cst.If]:
    here = sometimes or asks_interval(node.test)
    if here and any(reads_device(file, s) for s in node.body.body if not isinstance(s, cst.If)):
        if only_looks(file, loop, node.body):
            yield node
    else:
        for block in node.body.body:
            if isinstance(block, cst.If):
                yield from _log_blocks(file, loop, block, here)
    if isinstance(node.orelse, cst.If):
        yield from _log_blocks(file, loop, node.orelse, sometimes)


def asks_interval(test: cst.BaseExpression) -> bool:
    """Whether a condition holds every so many steps: `step % interval == 0`."""
    return any(
        isinstance(n, cst.BinaryOperation) and isinstance(n.operator, cst.Modulo) and not is_text(n.left)
        for n in own_descendants(test)
    )


def reads_device(file: SourceFile, node: cst.CSTNode, seen: frozenset[cst.CSTNode] = frozenset()) -> bool:
    """Whether code asks for values that are on the device, itself or in the functions of the project that it calls."""
    return any(_reads_tensor(file, part) or _calls_reader(file, part, seen) for part in descendants(node))


def _reads_tensor(file: SourceFile, part: cst.CSTNode) -> bool:
    if isinstance(part, cst.FormattedStringExpression):
        return is_tensor(file.kind(part.expression))
    if not isinstance(part, cst.Call):
        return False
    target, copied = file.resolve(part.func), method_call(part, *_COPIES)
    if copied is not None and target is None and file.kind(copied[0]) is not Kind.HOST:
        return True
    if method_call(part, *_WRITES) is not None or target == "torch.save":
        return True
    return called(part) in _MAKES_NUMBER and any(is_tensor(file.kind(a.value)) for a in part.args)


def _calls_reader(file: SourceFile, part: cst.CSTNode, seen: frozenset[cst.CSTNode]) -> bool:
    found = file.project.function(file.resolve(part.func)) if isinstance(part, cst.Call) else None
    return found is not None and found[1] not in seen and reads_device(found[0], found[1].body, seen | {found[1]})


def only_looks(file: SourceFile, loop: Loop, body: cst.BaseSuite) -> bool:
    """Whether a block may run a little later in the same iteration: it binds no name that is used outside of it,
    stores into nothing that it was given, computes no gradients and does not leave.
    """
    bound = {name for part in own_descendants(body) for name in bound_by(file, part)}
    if any(_acts(file, part, body) or not _stored_by(part) <= bound for part in own_descendants(body)):
        return False
    function = file.function(loop)
    space = function if function is not None else file.module
    inside = set(descendants(body))
    return bound.isdisjoint(_values(file, (node for node in descendants(space) if node not in inside)))


def _acts(file: SourceFile, part: cst.CSTNode, body: cst.BaseSuite) -> bool:
    """Whether a part of a block leaves it, changes where names live, or computes or applies gradients."""
    match part:
        case cst.Return() | cst.Yield() | cst.Await() | cst.Global() | cst.Nonlocal() | cst.Del():
            return True
        case cst.Break() | cst.Continue():
            return not _leaves_inner_loop(file, part, body)
        case cst.Call():
            return method_call(part, "backward") is not None or _is_step(part)
    return False


def _leaves_inner_loop(file: SourceFile, node: cst.CSTNode, body: cst.BaseSuite) -> bool:
    """Whether a break or continue belongs to a loop inside `body`."""
    for around in file.ancestors(node):
        if around is body:
            return False
        if isinstance(around, (cst.For, cst.While)):
            return True
    return False


def bound_by(file: SourceFile, node: cst.CSTNode) -> set[str]:
    """The names that a node binds in the scope it stands in."""
    match node:
        case cst.FunctionDef() | cst.ClassDef():
            return {node.name.value}
        case cst.Import(names=[*aliases]) | cst.ImportFrom(names=[*aliases]):
            return {_import_name(alias) for alias in aliases}
        case cst.AsName():
            return set() if isinstance(file.parent(node), cst.ImportAlias) else bound_names(node.name)
        case cst.AssignTarget() | cst.AnnAssign() | cst.AugAssign() | cst.For() | cst.NamedExpr():
            return bound_names(node.target)
    return set()


def _import_name(alias: cst.ImportAlias) -> str:
    name = alias.asname.name if alias.asname is not None else alias.name
    return spelled(name).split(".")[0]
