"""What a trainer reads of its configuration: which keys, and which of them as numbers."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ..syntax.calls import keywords, parameter_of, positional
from ..syntax.predicates import is_none, positional_parameters, targets
from ..syntax.walk import code, descendants, dotted, own_of_type, spelled
from .project import Definition, Project, SourceFile
from .reachability import Reachability


def longest(keys: set[str]) -> list[str]:
    """Keys in order, but those that are the beginning of another."""
    return sorted(k for k in keys if k and not any(o.startswith(f"{k}.") for o in keys))


def listing(keys: list[str]) -> str:
    """The keys as a tuple, one line or more for each of their first parts."""
    lines: list[str] = []
    for i, key in enumerate(keys):
        item = f'"{key}",'
        new = i == 0 or (key.split(".")[0] != keys[i - 1].split(".")[0] and "." in key)
        if new or len(lines[-1]) + len(item) + 1 > 112:
            lines.append(f"        {item}")
        else:
            lines[-1] += f" {item}"
    return "(\n" + "\n".join(lines) + "\n    )"


class ConfigUse:
    """What code does with the parts of a configuration; remembers what it has looked at. A fact of a project."""

    def __init__(self, _: Project) -> None:
        """Nothing is looked at yet."""
        self._chains: dict[tuple[cst.CSTNode, str], list[tuple[cst.CSTNode, str]]] = {}
        self._numbers: dict[tuple[cst.CSTNode, str, int], set[str]] = {}

    def keys(self, file: SourceFile, space: cst.CSTNode, name: str, depth: int) -> set[str]:
        """The chains of attributes that code reads of a name, and that functions read which are given it or a part.

        Calls are followed so many deep.
        """
        found: set[str] = set()
        assigned: set[str] = set()
        for node, chain in self._of(file, space, name):
            if _guarded(file, node, name) or _is_for_cuda(file, node) or _is_uncalled(file, node):
                continue
            parent = file.parent(node)
            if isinstance(parent, (cst.AssignTarget, cst.AugAssign)):
                assigned.add(chain)
                continue
            if isinstance(parent, cst.Call) and parent.func is node:  # a method of the value
                chain = chain.rpartition(".")[0]
            found.add(chain)
            if isinstance(parent, cst.Arg) and depth > 0:
                found |= self._handed_on(file, parent, chain, depth)
        return found - assigned

    def _handed_on(self, file: SourceFile, arg: cst.Arg, chain: str, depth: int) -> set[str]:
        """What functions read of a value, which `chain` names, that is handed to them."""
        call = file.parent(arg)
        if not isinstance(call, cst.Call):
            return set()
        found: set[str] = set()
        for other, function in callees(file, call.func):
            method = other.owner(function) is not None
            if arg.star == "**":
                found |= {f"{chain}.{key}" for key, needed in _open(function, call, method) if needed}
                continue
            given = parameter_of(function, call, arg, method)
            if given is not None:
                inner = self.keys(other, function.body, given.name.value, depth - 1)
                found |= {f"{chain}.{key}" if chain else key for key in inner if key}
        return found

    def numbers(self, file: SourceFile, space: cst.CSTNode, name: str, depth: int) -> set[str]:
        """Those chains of attributes of a name that code computes with, or hands to others that do; "" for itself.

        What a class does with the attribute that it keeps a value in counts too.
        """
        asked = (space, name, depth)
        if asked in self._numbers:
            return self._numbers[asked]
        found = self._numbers[asked] = set()  # recursion: nothing, unless something else says so
        for node, chain in self._of(file, space, name):
            if _computes(file, node) or (depth > 0 and self._is_kept(file, node, depth)):
                found.add(chain)
            if depth > 0:
                found |= {f"{chain}.{key}".strip(".") for key in self._numbers_behind(file, node, depth)}
        return found

    def _numbers_behind(self, file: SourceFile, node: cst.CSTNode, depth: int) -> Iterator[str]:
        """The same for the parts of a value that is handed to functions."""
        arg, call = file.parent(node), file.call_with(node)
        for other, function in callees(file, call.func) if call is not None else ():
            assert isinstance(arg, cst.Arg) and call is not None
            method = other.owner(function) is not None
            if arg.star == "**":
                names = [parameter for parameter, _ in _open(function, call, method)]
                yield from (n for n in names if "" in self.numbers(other, function.body, n, depth - 1))
            elif not arg.star and (given := parameter_of(function, call, arg, method)) is not None:
                yield from self.numbers(other, function.body, given.name.value, depth - 1)

    def _is_kept(self, file: SourceFile, node: cst.CSTNode, depth: int) -> bool:
        """Whether a value is put in `self.x`, and the class computes with that."""
        owner, assign = file.owner(node), file.parent(node)
        kept = [name for target in targets(assign) if (name := spelled(target)).startswith("self.")]
        if owner is None or not kept or not isinstance(assign, cst.Assign):
            return False
        return not self.numbers(file, owner.body, "self", depth - 1).isdisjoint(k.removeprefix("self.") for k in kept)

    def _of(self, file: SourceFile, space: cst.CSTNode, name: str) -> list[tuple[cst.CSTNode, str]]:
        """The whole chains `name.a.b` in a part of a file, each with `a.b`; with "" for the name alone."""
        if (space, name) not in self._chains:
            nodes = file.index.nodes if space is file.module else descendants(space)
            chains = [file.chain(node) for node in nodes if type(node) is cst.Name and node.value == name]
            found = [(chain, spelled(chain).partition(".")[2]) for chain in chains if _is_value(file, chain)]
            self._chains[space, name] = found
        return self._chains[space, name]


_TAKE_NUMBERS = ("torch.optim.", "librosa.filters.", "math.")
_TAKES_NUMBERS = ("torch.manual_seed", "random.seed", "numpy.random.seed")
_ARITHMETIC = (cst.Subtract, cst.Multiply, cst.Divide, cst.FloorDivide, cst.Power)
_NUMBERS = (cst.Integer, cst.Float)


def _computes(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether an expression has to be a number, where it stands."""
    parent = file.parent(node)
    match parent:
        case cst.BinaryOperation():
            return _operand_is_number(file, parent, node)
        case cst.Comparison(comparisons=[part]):
            return isinstance(part.comparator if parent.left is node else parent.left, _NUMBERS)
        case cst.ComparisonTarget():
            around = file.parent(parent)
            return type(around) is cst.Comparison and isinstance(around.left, _NUMBERS)
        case cst.UnaryOperation():
            return type(parent.operator) is cst.Minus
        case cst.Arg(star=""):
            call = file.parent(parent)
            return type(call) is cst.Call and _takes_numbers(file, call)
    return False


def _operand_is_number(file: SourceFile, around: cst.BinaryOperation, node: cst.CSTNode) -> bool:
    other = around.right if around.left is node else around.left
    if type(around.operator) is cst.Modulo:
        outer = file.parent(around)
        compared = type(outer) is cst.Comparison and isinstance(outer.comparisons[0].comparator, _NUMBERS)
        return compared or (around.left is node and not isinstance(other, (cst.Tuple, cst.Dict)))
    is_sum = type(around.operator) is cst.Add and isinstance(other, _NUMBERS)
    texts = (cst.SimpleString, cst.FormattedString, cst.ConcatenatedString, cst.List, cst.Tuple)
    return is_sum or (isinstance(around.operator, _ARITHMETIC) and not isinstance(other, texts))


def _takes_numbers(file: SourceFile, call: cst.Call) -> bool:
    called = file.resolve(call.func) or ""
    is_range = type(call.func) is cst.Name and call.func.value == "range"
    return is_range or called in _TAKES_NUMBERS or called.startswith(_TAKE_NUMBERS)


def _is_value(file: SourceFile, chain: cst.CSTNode) -> bool:
    """Whether a whole chain of names stands for a value."""
    parent = file.parent(chain)
    if type(parent) is cst.Attribute or type(parent) is cst.Param:
        return False
    return type(parent) is not cst.Arg or parent.keyword is not chain


def _is_for_cuda(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether a value only says which GPUs to use."""
    assign = next((a for a in file.ancestors(node) if isinstance(a, cst.Assign)), None)
    return assign is not None and "CUDA_VISIBLE_DEVICES" in code(assign.targets[0].target)


def _guarded(file: SourceFile, node: cst.CSTNode, name: str) -> bool:
    """Whether code is reached only where somebody asked if the key is there."""
    return any(_guards(around, child, name) for around, child in file.steps_out(node))


def _guards(around: cst.CSTNode, child: cst.CSTNode, name: str) -> bool:
    match around:
        case cst.If() | cst.IfExp():
            return child is not around.test and _asks_for_key(around.test, name)
        case cst.BooleanOperation():
            return child is around.right and _asks_for_key(around.left, name)
        case cst.Try():
            taken = [handler.type for handler in around.handlers if handler.type is not None]
            return child is around.body and any(dotted(t) in ("AttributeError", "KeyError") for t in taken)
    return False


def _asks_for_key(test: cst.BaseExpression, name: str) -> bool:
    """`hasattr(hps.train, "x")`, `getattr(hps, "x", None)` or `"x" in hps.train`."""
    return any(spelled(asked).split(".")[0] == name for part in descendants(test) for asked in _asked(part))


def _asked(part: cst.CSTNode) -> list[cst.BaseExpression]:
    """What a part of a condition asks whether it has something."""
    match part:
        case cst.Call(func=cst.Name(value="hasattr" | "getattr"), args=[first, *_]):
            return [first.value]
        case cst.Comparison(left=cst.SimpleString()):
            return [c.comparator for c in part.comparisons if isinstance(c.operator, (cst.In, cst.NotIn))]
    return []


def callees(file: SourceFile, func: cst.BaseExpression) -> Iterator[tuple[SourceFile, cst.FunctionDef]]:
    """The functions, or constructors of classes, that a call may reach."""
    for other, definition in _definitions(file, func):
        if isinstance(definition, cst.FunctionDef):
            yield other, definition
        else:
            for item in definition.body.body:
                if isinstance(item, cst.FunctionDef) and item.name.value == "__init__":
                    yield other, item


def _definitions(file: SourceFile, func: cst.BaseExpression) -> Iterator[Definition]:
    """What a name means in the project; a local name that was given one of several classes means all of them."""
    if isinstance(func, cst.IfExp):
        yield from _definitions(file, func.body)
        yield from _definitions(file, func.orelse)
        return
    found = file.project.definition(file.resolve(func))
    if found is not None:
        yield found
        return
    function = file.function(func)
    if isinstance(func, cst.Name) and function is not None:
        for assign in own_of_type(function.body, cst.Assign):
            named = any(dotted(t.target) == func.value for t in assign.targets)
            if named and isinstance(assign.value, cst.IfExp):
                yield from _definitions(file, assign.value)


def _open(function: cst.FunctionDef, call: cst.Call, method: bool) -> list[tuple[str, bool]]:
    """The parameters that a call fills by `**`, and whether they have to be there."""
    if any(arg.star == "*" for arg in call.args):
        return []
    filled, named = len(positional(call)) + method, keywords(call)
    left = [*positional_parameters(function)[filled:], *function.params.kwonly_params]
    asserted = {n.value for check in own_of_type(function.body, cst.Assert) for n in own_of_type(check.test, cst.Name)}
    return [
        (p.name.value, p.default is None or (is_none(p.default) and p.name.value in asserted))
        for p in left
        if p.name.value not in named
    ]


def _is_uncalled(file: SourceFile, node: cst.CSTNode) -> bool:
    return file.project.fact(Reachability).uncalled(file, node) is not None
