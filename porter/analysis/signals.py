"""Proof that a forward only hands a signal from layer to layer, so that the layers may agree on another layout of it.

Between layers a signal may pass elementwise functions, be added to another such signal and be scaled by a number.
Whatever asks for its shape, its values or its axes ends the proof.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import libcst as cst

from ..syntax.predicates import called, is_none, of_self, only_comparison
from ..syntax.walk import own_descendants
from .project import SourceFile

_ELEMENTWISE = frozenset(
    f"{package}.{name}"
    for package in ("torch", "torch.nn.functional")
    for name in "leaky_relu relu relu6 silu gelu elu tanh sigmoid softplus mish hardtanh abs sin cos exp".split()
)


class Form(Enum):
    """What an expression is."""

    NOTHING = "None"
    PLAIN = "anything but the signal"
    SIGNAL = "the signal, in whatever layout the layers agree on"


_ORDER = tuple(Form)  # what a name may hold after two ways is the later of both


class _LooksAtSignalError(Exception):
    """Something else than a layer or an elementwise function is given the signal."""


@dataclass
class Passage:
    """The way of a signal through one forward.

    `starts` are layers (attributes of self) whose result is the signal, `ends` those that turn it into something plain;
    `through` collects the other layers that it passes. `absent` are parameters that no caller gives: None.
    """

    file: SourceFile
    starts: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    through: set[str] = field(default_factory=set)
    started: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)

    def follow(self, function: cst.FunctionDef, given: str | None = None) -> Form | None:
        """What the function returns, where parameter `given` holds the signal; None where the proof fails."""
        self._names: dict[str, Form] = {given: Form.SIGNAL} if given is not None else {}
        self._layers: dict[str, str] = {}  # loop variables that stand for a layer
        self._returned: set[Form] = set()
        try:
            self._block(function.body.body)
        except _LooksAtSignalError:
            return None
        return self._returned.pop() if len(self._returned) == 1 else None

    # -- statements -----------------------------------------------------------------------------------------------

    def _block(self, statements: object) -> None:
        assert isinstance(statements, (tuple, list))
        for statement in statements:
            if isinstance(statement, cst.SimpleStatementLine):
                for small in statement.body:
                    self._small(small)
            elif isinstance(statement, cst.If):
                self._if(statement)
            elif isinstance(statement, cst.For) and statement.orelse is None:
                self._for(statement)
            elif self._mentions(statement):
                raise _LooksAtSignalError

    def _small(self, node: cst.BaseSmallStatement) -> None:
        if isinstance(node, cst.Assign):
            form = self._form(node.value)
            for target in node.targets:
                self._assign(target.target, form)
        elif isinstance(node, cst.AugAssign):
            operator = (cst.AddAssign, cst.SubtractAssign, cst.MultiplyAssign, cst.DivideAssign)
            joined = self._joined(node.target, node.value, isinstance(node.operator, operator))
            self._assign(node.target, joined)
        elif isinstance(node, cst.Return):
            self._returned.add(Form.NOTHING if node.value is None else self._form(node.value))
        elif self._mentions(node):
            raise _LooksAtSignalError

    def _assign(self, target: cst.BaseExpression, form: Form) -> None:
        if isinstance(target, cst.Name):
            self._names[target.value] = form
        elif form is Form.SIGNAL or self._mentions(target):
            raise _LooksAtSignalError
        elif isinstance(target, cst.Tuple):
            for element in target.elements:
                self._assign(element.value, form)

    def _if(self, node: cst.If) -> None:
        if self._mentions(node.test) and not asks_for_none(node.test):
            raise _LooksAtSignalError
        taken = self._decided(node.test)
        before = dict(self._names)
        after: list[dict[str, Form]] = []
        if taken is not False:
            self._block(node.body.body)
            after.append(self._names)
        if taken is not True:
            self._names = dict(before)
            if isinstance(node.orelse, cst.If):
                self._if(node.orelse)
            elif node.orelse is not None:
                self._block(node.orelse.body.body)
            after.append(self._names)
        self._names = _united(*after)

    def _decided(self, test: cst.BaseExpression) -> bool | None:
        """The truth of `name is None` and its opposite for a parameter that is not given."""
        asked = asks_for_none(test)
        return None if asked is None or asked[0] not in self.absent else asked[1]

    def _for(self, node: cst.For) -> None:
        if self._mentions(node.iter):
            raise _LooksAtSignalError
        self._layers.update(_loop_layers(node.target, node.iter))
        for _ in range(2):  # the second time with what the first left
            before = dict(self._names)
            self._block(node.body.body)
            self._names = _united(before, self._names)

    # -- expressions ----------------------------------------------------------------------------------------------

    def _form(self, node: cst.BaseExpression) -> Form:
        match node:
            case cst.Name():
                return Form.NOTHING if is_none(node) else self._names.get(node.value, Form.PLAIN)
            case cst.Call(args=[_, *_]):
                return self._call(node)
            case cst.BinaryOperation(operator=operator):
                known = isinstance(operator, (cst.Add, cst.Subtract, cst.Multiply, cst.Divide))
                return self._joined(node.left, node.right, known)
            case cst.IfExp() if asks_for_none(node.test) or not self._mentions(node.test):
                return max(self._form(node.body), self._form(node.orelse), key=_ORDER.index)
        if self._mentions(node):
            raise _LooksAtSignalError
        return Form.PLAIN

    def _call(self, node: cst.Call) -> Form:
        first, *others = node.args
        if first.star or first.keyword is not None:
            first, others = cst.Arg(cst.Name("None")), list(node.args)
        form, layer = self._form(first.value), self._layer(node.func)
        if self._mentions(node.func) or any(self._mentions(argument) for argument in others):
            raise _LooksAtSignalError
        if layer is not None and layer in self.starts:
            self.started.add(layer)
            return Form.SIGNAL
        return Form.PLAIN if form is not Form.SIGNAL else self._passed(node, layer, alone=not others)

    def _passed(self, node: cst.Call, layer: str | None, *, alone: bool) -> Form:
        """What a call makes of the signal: one of a layer, or of a function, that is given it `alone` or with more."""
        if layer is None and self.file.resolve(node.func) in _ELEMENTWISE:
            return Form.SIGNAL
        if layer is None or not alone:
            raise _LooksAtSignalError
        ends = layer in self.ends
        (self.ended if ends else self.through).add(layer)
        return Form.PLAIN if ends else Form.SIGNAL

    def _joined(self, left: cst.BaseExpression, right: cst.BaseExpression, known: bool) -> Form:
        forms = {self._form(left), self._form(right)}
        if Form.SIGNAL not in forms:
            return Form.PLAIN
        if known and (forms <= {Form.SIGNAL, Form.NOTHING} or self._is_number(left) or self._is_number(right)):
            return Form.SIGNAL
        raise _LooksAtSignalError

    def _is_number(self, node: cst.BaseExpression) -> bool:
        """Whether an expression is a number, and so has no axes that a signal's would have to fit."""
        if isinstance(node, (cst.Integer, cst.Float)) or called(node) == "len":
            return True
        name, owner = of_self(node), self.file.owner(node)
        value = self.file.attribute_value(owner, name) if owner is not None and name is not None else None
        return value is not None and self._is_number(value)

    def _layer(self, function: cst.BaseExpression) -> str | None:
        """The attribute of self that holds a called layer: `self.a`, `self.a[i]` or a loop variable."""
        if isinstance(function, cst.Name):
            return self._layers.get(function.value)
        return of_self(function.value if isinstance(function, cst.Subscript) else function)

    def _mentions(self, node: cst.CSTNode) -> bool:
        return any(isinstance(n, cst.Name) and self._names.get(n.value) is Form.SIGNAL for n in own_descendants(node))


def _united(*states: dict[str, Form]) -> dict[str, Form]:
    """What names may hold after one of several ways: the signal, where one way leaves it there."""
    found: dict[str, Form] = {}
    for state in states:
        for name, form in state.items():
            found[name] = max(form, found.get(name, form), key=_ORDER.index)
    return found


def asks_for_none(test: cst.BaseExpression) -> tuple[str, bool] | None:
    """The name in `name is None` or `name is not None`, and the answer if it is None."""
    match only_comparison(test):
        case cst.Name(value=name), (cst.Is() | cst.IsNot()) as operator, cst.Name(value="None"):
            return name, isinstance(operator, cst.Is)
    return None


def _loop_layers(target: cst.BaseExpression, iterated: cst.BaseExpression) -> dict[str, str]:
    """Loop variable → attribute of self, for loops over self.a, enumerate(self.a) and zip(self.a, self.b)."""
    match target, iterated:
        case cst.Name(value=name), _ if (layer := of_self(iterated)) is not None:
            return {name: layer}
        case cst.Tuple(elements=[_, one]), cst.Call(func=cst.Name(value="enumerate"), args=[over, *_]):
            return _loop_layers(one.value, over.value)
        case cst.Tuple(elements=parts), cst.Call(func=cst.Name(value="zip"), args=args) if len(parts) == len(args):
            pairs = (_loop_layers(one.value, over.value) for one, over in zip(parts, args, strict=True))
            return {name: layer for pair in pairs for name, layer in pair.items()}
    return {}
