"""Proof that an expression multiplies with embeddings of relative positions inside a window, however it is written.

The code between the embeddings and the product is evaluated, helpers and all, on small arrays of several lengths and
windows; whatever cannot be evaluated, or gives anything else, is no such product.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import libcst as cst

from ..syntax.template import names_in
from ..syntax.walk import children, code, descendants, dotted, own_descendants, own_of_type
from .arrays import Array, ShapeError
from .interpret import Interpreter, Names, Self, UnsupportedError, Value
from .project import SourceFile

Kind = Literal["scores", "values"]

_FACTORIES = ("torch.randn", "torch.rand", "torch.zeros", "torch.ones", "torch.empty")
# length, window, heads of the embeddings: longer than the window, as long, and shorter
_TRIED = ((3, 1, 2), (1, 1, 1), (5, 1, 1), (2, 3, 2), (4, 3, 1), (5, 2, 2), (3, 2, 1))
_MISFITS = ((4, 3, 1), (3, 4, 1), (2, 3, 3), (3, 2, 4))  # length of the tensor, another that is told, window
_BATCH, _HEADS, _WIDTH = 2, 2, 2
_BINDS = (cst.AssignTarget, cst.AnnAssign, cst.AugAssign, cst.For, cst.CompFor, cst.NamedExpr, cst.AsName)
_DEEP = 3  # local names that may stand between the tensor and the product


@dataclass(frozen=True)
class Windowed:
    """A product with windowed embeddings.

    "scores": queries [b, h, l, d] times the embedding of each key's position, [b, h, l, l], 0 outside the window.
    "values": weights [b, h, l, l] times the embedding of each value's position, summed, [b, h, l, d].
    """

    node: cst.BaseExpression
    kind: Kind
    tensor: cst.BaseExpression
    table: cst.Attribute  # [h or 1, 2 * window + 1, d]


def windowed_products(file: SourceFile, function: cst.FunctionDef) -> Iterator[Windowed]:
    """Those that a method of a torch module computes; none where its class leaves room for doubt."""
    owner = file.owner(function)
    if owner is None or file.function(function) is not None or function.name.value == "__init__":
        return
    if not _has_parameters(file, owner) or not file.defines_module(owner):
        return
    read = {n.attr.value for n in own_of_type(function.body, cst.Attribute) if dotted(n.value) == "self"}
    known = _Class(file, owner)
    tables = {name: param for name in read if (param := known.window(name)) is not None}
    if not tables:
        return
    reader = _Reader(file, function, known, tables)
    for node in own_of_type(function.body, cst.Call, cst.BinaryOperation):
        if isinstance(node, cst.BinaryOperation) and not isinstance(node.operator, cst.MatrixMultiply):
            continue
        found = _read(reader, node)
        if found is not None:
            yield found


def _has_parameters(file: SourceFile, owner: cst.ClassDef) -> bool:
    inits = (m for m in owner.body.body if isinstance(m, cst.FunctionDef) and m.name.value == "__init__")
    return any(file.resolve(n.func) == "torch.nn.Parameter" for m in inits for n in own_of_type(m.body, cst.Call))


# --- the class ----------------------------------------------------------------------------------------------------


class _Class:
    """What is sure of the attributes of a class."""

    def __init__(self, file: SourceFile, node: cst.ClassDef) -> None:
        self.file = file
        self.node = node
        self._made = dict(self._set_once())
        self._objects: dict[tuple[str, int], Self] = {}

    def window(self, name: str) -> str | None:
        """The parameter of `__init__` that is the window w, where `self.name` is a parameter [., 2w + 1, .]."""
        made = self._made.get(name)
        if not isinstance(made, cst.Call) or self.file.resolve(made.func) != "torch.nn.Parameter" or not made.args:
            return None
        sizes = _sizes(self.file, made.args[0].value)
        init = self.file.function(made)
        if sizes is None or init is None:
            return None
        for param in (p.name.value for p in init.params.params[1:]):
            is_fixed = len(self.file.index.scopes[init].bindings.get(param, ())) == 1
            if is_fixed and all(self._size(sizes[1], param, w) == 2 * w + 1 for w in (1, 2, 4)):
                return param
        return None

    def made_with(self, param: str, window: int) -> Self:
        """An object made with a window: those of its attributes that are whole numbers then."""
        if (param, window) not in self._objects:
            known: Names = {}
            for name, value in self._made.items():
                try:
                    known[name] = Interpreter(self.file).evaluate(value, {param: window})
                except (UnsupportedError, ShapeError):
                    continue
            numbers = {name: value for name, value in known.items() if type(value) is int}
            self._objects[param, window] = Self(self.file, self.node, numbers)
        return self._objects[param, window]

    def _size(self, node: cst.BaseExpression, param: str, window: int) -> Value:
        try:
            return Interpreter(self.file).evaluate(node, {"self": self.made_with(param, window), param: window})
        except (UnsupportedError, ShapeError):
            return None

    def _set_once(self) -> Iterator[tuple[str, cst.BaseExpression]]:
        """Attributes of `self` that `__init__` sets, and nothing else of the class."""
        found: dict[str, list[cst.CSTNode]] = {}
        for name, node in _attributes_set(self.node):
            found.setdefault(name, []).append(node)
        for name, nodes in found.items():
            made = self.file.parent(nodes[0])
            if len(nodes) == 1 and isinstance(made, cst.Assign) and dotted(made.targets[0].target) == f"self.{name}":
                init = self.file.function(made)
                if init is not None and init.name.value == "__init__":
                    yield name, made.value


def _attributes_set(owner: cst.ClassDef) -> Iterator[tuple[str, cst.CSTNode]]:
    """The attributes of `self` that the code of a class sets, and what binds each."""
    for node in descendants(owner.body):
        if type(node) in _BINDS:
            assert isinstance(node, _BINDS)
            for part in descendants(node.name if isinstance(node, cst.AsName) else node.target):
                if type(part) is cst.Attribute and dotted(part.value) == "self":
                    yield part.attr.value, node


def _sizes(file: SourceFile, node: cst.BaseExpression) -> Sequence[cst.BaseExpression] | None:
    """The three sizes of a tensor that a factory makes, maybe multiplied with a number."""
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply | cst.Divide):
        sides = [_sizes(file, node.left), _sizes(file, node.right)]
        other = node.right if sides[0] is not None else node.left
        is_plain = not any(isinstance(n, cst.Call | cst.Subscript) for n in descendants(other))
        return (sides[0] or sides[1]) if is_plain else None
    if not isinstance(node, cst.Call) or file.resolve(node.func) not in _FACTORIES:
        return None
    given = [a.value for a in node.args if a.keyword is None and not a.star]
    if len(given) == 1 and isinstance(given[0], cst.Tuple | cst.List):
        given = [e.value for e in given[0].elements]
    return given if len(given) == 3 else None


def _is_overridden(file: SourceFile, owner: cst.ClassDef, used: Sequence[cst.CSTNode]) -> bool:
    """Whether a class of the project that derives from `owner` changes what these expressions use of it."""
    methods = {m.name.value: m for m in owner.body.body if isinstance(m, cst.FunctionDef)}
    called: set[str] = set()
    left = list(used)
    while left:
        for node in descendants(left.pop()):
            if isinstance(node, cst.Attribute) and dotted(node.value) == "self" and node.attr.value not in called:
                called.add(node.attr.value)
                left += [methods[node.attr.value].body] if node.attr.value in methods else []
    below = [owner]
    for base in below:
        for other in file.project.files.values():
            for node in other.index.nodes:
                if type(node) is not cst.ClassDef or node in below:
                    continue
                above = [other.project.definition(other.resolve(b.value)) for b in node.bases]
                if any(a is not None and a[1] is base for a in above):
                    below.append(node)
    own = {m.name.value for c in below[1:] for m in c.body.body if isinstance(m, cst.FunctionDef)}
    own |= {name for c in below[1:] for name, _ in _attributes_set(c)}
    return bool(own & called)


# --- the expression -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Chain:
    """What leads to an expression: local names in order of evaluation, and what it starts from."""

    tables: tuple[cst.Attribute, ...] = ()
    steps: tuple[tuple[str, cst.Assign], ...] = ()
    leaves: tuple[cst.BaseExpression, ...] = ()

    def after(self, other: _Chain) -> _Chain:
        """Both, `other` first."""
        steps = (*other.steps, *(s for s in self.steps if s not in other.steps))
        return _Chain((*other.tables, *self.tables), steps, (*other.leaves, *self.leaves))


@dataclass
class _Reader:
    """Reads the chains of one function."""

    file: SourceFile
    function: cst.FunctionDef
    owner: _Class
    tables: Mapping[str, str]  # the window's parameter of each
    seen: dict[cst.CSTNode, _Chain | None] = field(default_factory=dict)

    def chain(self, node: cst.CSTNode) -> _Chain | None:
        """What leads from an embedding to an expression; None if none does."""
        if node not in self.seen:
            self.seen[node] = None  # of a name that is assigned itself
            self.seen[node] = self._chain(node)
        return self.seen[node]

    def _chain(self, node: cst.CSTNode) -> _Chain | None:
        if isinstance(node, cst.Attribute) and dotted(node.value) == "self":
            return _Chain(tables=(node,)) if node.attr.value in self.tables else None
        if isinstance(node, cst.Name):
            made = self.made(node)
            found = self.chain(made.value) if made is not None else None
            if made is None or found is None:
                return None
            return replace(found, steps=(*found.steps, (node.value, made)))
        return self._joined(node, needs_table=True)

    def _joined(self, node: cst.CSTNode, *, needs_table: bool) -> _Chain | None:
        parts = [(part, self.chain(part)) for part in self._operands(node)]
        if needs_table and all(found is None for _, found in parts):
            return None
        whole = _Chain()
        for part, found in parts:
            whole = (_Chain(leaves=tuple(self._leaves(part))) if found is None else found).after(whole)
        return whole

    def deeper(self, leaf: cst.BaseExpression) -> _Chain | None:
        """What leads to a call, or to a local name that an earlier line gives the result of one."""
        made = self.made(leaf) if isinstance(leaf, cst.Name) else None
        call = leaf if made is None else made.value
        found = self._joined(call, needs_table=False) if isinstance(call, cst.Call) else None
        if found is None or made is None or not isinstance(leaf, cst.Name):
            return found
        return replace(found, steps=(*found.steps, (leaf.value, made)))

    def made(self, name: cst.Name) -> cst.Assign | None:
        """The line that surely gave a local name its value, if there is one."""
        bound = self.file.index.scopes[self.function].bindings.get(name.value, [])
        made = self.file.parent(bound[0]) if len(bound) == 1 and isinstance(bound[0], cst.AssignTarget) else None
        if not isinstance(made, cst.Assign) or len(made.targets) != 1 or dotted(made.targets[0].target) != name.value:
            return None
        line = self.file.statement(made)
        siblings = list(self.file.siblings(line))
        below = next((s for s in (name, *self.file.ancestors(name)) if s in siblings), None)
        return made if isinstance(below, cst.BaseStatement) and siblings.index(line) < siblings.index(below) else None

    def _operands(self, node: cst.CSTNode) -> list[cst.CSTNode]:
        """The parts of an expression that have values."""
        if isinstance(node, cst.Call):
            func = node.func
            is_method = isinstance(func, cst.Attribute) and self.file.resolve(func) is None
            receiver = [func.value] if is_method and dotted(func.value) != "self" else []  # type: ignore[attr-defined]
            return [*receiver, *(a.value for a in node.args)]
        return [node.value] if isinstance(node, cst.Attribute) else children(node)

    def _leaves(self, node: cst.CSTNode, parts: tuple[type[cst.CSTNode], ...] = ()) -> Iterator[cst.BaseExpression]:
        """The largest expressions in a node whose values are not known; those of classes in `parts` are taken apart."""
        if isinstance(node, cst.SubscriptElement):
            parts = (cst.BinaryOperation, cst.UnaryOperation)  # numbers, not a tensor
        if isinstance(node, cst.BaseExpression):
            try:
                Interpreter(self.file).evaluate(node, {"self": self.owner.made_with("", 0)})
                return
            except (UnsupportedError, ShapeError):
                if not isinstance(node, (cst.Tuple, cst.List, *parts)):
                    if not (isinstance(node, cst.Attribute) and dotted(node.value) == "self"):
                        yield node
                    return
        for part in children(node):
            yield from self._leaves(part, parts)


def _read(reader: _Reader, node: cst.BaseExpression) -> Windowed | None:
    first = reader.chain(node)
    if first is None or len({t.attr.value for t in first.tables}) != 1:
        return None
    tried = [first]
    for chain in tried:
        for leaf in chain.leaves:
            kind = _kind(reader, node, chain, leaf)
            if kind is not None:
                used = [node, *(made.value for _, made in chain.steps)]
                is_sure = _keeps(reader, node, chain, leaf) and not _is_overridden(reader.file, reader.owner.node, used)
                return Windowed(node, kind, leaf, first.tables[0]) if is_sure else None
        if len(chain.steps) < len(first.steps) + _DEEP:
            for leaf in chain.leaves:
                found = reader.deeper(leaf)
                if found is not None:
                    others = tuple(n for n in chain.leaves if code(n) != code(leaf))
                    further = replace(chain, leaves=others).after(found)
                    if all(_names(further) != _names(known) for known in tried):
                        tried.append(further)
    return None


def _names(chain: _Chain) -> set[str]:
    return {code(leaf) for leaf in chain.leaves}


def _kind(reader: _Reader, node: cst.BaseExpression, chain: _Chain, tensor: cst.BaseExpression) -> Kind | None:
    """What an expression computes of one of the leaves, if that is known; the others are lengths."""
    lengths = _names(chain) - {code(tensor)}
    param = reader.tables[chain.tables[0].attr.value]

    def value(x: Array, table: Array, told: Mapping[str, int], window: int) -> object:
        given: dict[cst.CSTNode, object] = {n: told.get(code(n), x) for n in chain.leaves}
        given |= dict.fromkeys(chain.tables, table)
        interpreter = Interpreter(reader.file, given)
        names: Names = {"self": reader.owner.made_with(param, window)}
        for name, made in chain.steps:
            names[name] = interpreter.evaluate(made.value, names)
        return interpreter.evaluate(node, names)

    def is_it(kind: Kind) -> bool:
        for length, window, heads in _TRIED:
            x, table = _example(kind, length, window, heads)
            if value(x, table, dict.fromkeys(lengths, length), window) != _wanted(kind, x, table):
                return False
        return all(fails(kind, name, *sizes) for name in lengths for sizes in _MISFITS)

    def fails(kind: Kind, name: str, length: int, other: int, window: int) -> bool:
        """Whether torch would raise if one of the lengths were another than the tensor's."""
        try:
            value(*_example(kind, length, window, 1), dict.fromkeys(lengths, length) | {name: other}, window)
        except ShapeError:
            return True
        return False

    kinds: tuple[Kind, ...] = ("scores", "values")
    for kind in kinds:
        try:
            if is_it(kind):
                return kind
        except (UnsupportedError, ShapeError):
            continue
    return None


def _example(kind: Kind, length: int, window: int, heads: int) -> tuple[Array, Array]:
    """A tensor and embeddings, whose numbers follow no pattern."""
    shape = (_BATCH, _HEADS, length, _WIDTH if kind == "scores" else length)
    return _random(*shape), _random(heads, 2 * window + 1, _WIDTH)


def _random(*shape: int) -> Array:
    draw = random.Random(repr(shape))
    return Array.of(shape, lambda place: draw.randint(-99, 99))


def _wanted(kind: Kind, x: Array, table: Array) -> Array:
    """The product by its definition."""
    batch, heads, length, _ = x.shape
    window, width = table.shape[1] // 2, table.shape[2]
    positions = range(length)

    def embedding(head: int, offset: int, k: int) -> int:
        return table.index([head % table.shape[0], offset + window, k]).data[0] if abs(offset) <= window else 0

    def score(place: tuple[int, ...]) -> int:
        b, h, t, s = place
        return sum(x.index([b, h, t, k]).data[0] * embedding(h, s - t, k) for k in range(width))

    def summed(place: tuple[int, ...]) -> int:
        b, h, t, k = place
        return sum(x.index([b, h, t, s]).data[0] * embedding(h, s - t, k) for s in positions)

    if kind == "scores":
        return Array.of((batch, heads, length, length), score)
    return Array.of((batch, heads, length, width), summed)


def _keeps(reader: _Reader, node: cst.BaseExpression, chain: _Chain, tensor: cst.BaseExpression) -> bool:
    """Whether a tensor is still the same where the product is computed, and what was made of it too."""
    end = reader.file.statement(node)
    lines = list(own_descendants(reader.function.body))
    until = lines.index(end)

    def is_kept(names: set[str], start: cst.CSTNode, *, itself: bool) -> bool:
        first = lines.index(start)
        inside = set() if itself else set(descendants(start))
        return first <= until and not any(names & _changed(n) for n in lines[first:until] if n not in inside)

    for leaf in chain.leaves:
        start = reader.file.statement(leaf)
        if code(leaf) == code(tensor) and start is not end and not is_kept(names_in(leaf), start, itself=True):
            return False
    return all(is_kept({name}, reader.file.statement(made), itself=False) for name, made in chain.steps)


def _changed(node: cst.CSTNode) -> set[str]:
    """The names that a node binds, or whose tensors it may change."""
    if isinstance(node, cst.Del):
        return names_in(node.target)
    if isinstance(node, _BINDS):
        return names_in(node.name if isinstance(node, cst.AsName) else node.target)
    if isinstance(node, cst.Call):
        name = (dotted(node.func) or "").rpartition(".")[2] or getattr(getattr(node.func, "attr", None), "value", "")
        keywords = {a.keyword.value for a in node.args if a.keyword is not None}
        if name.endswith("_") or keywords & {"out", "inplace"}:
            return names_in(node)
    return set()
