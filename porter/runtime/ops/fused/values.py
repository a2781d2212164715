"""Value numbering of a graph: nodes that compute the same, however it is written, have the same number."""

import operator
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn

from ..folded_layers import FoldedConv1d, FoldedConvTranspose1d
from ..on_chip import is_unhooked
from ..recomputed import leaky_relu
from .graph import IN_PLACE, NotTraced, Traced, place

_ALL = slice(None)


class _Operation(NamedTuple):
    """What torch's functions, operators and methods of one meaning compute."""

    name: str
    parameters: tuple[str, ...]
    optional: dict[str, Any]
    in_place: bool = False


def _named(names: str, functions: Sequence[Any], *parameters: str, in_place: bool = False, **optional: Any) -> Any:
    """The same operation by its methods' names, the first of which is its own, and by functions."""
    first, *_ = methods = names.split()
    operation = _Operation(first.rstrip("_"), parameters, optional, in_place)
    return dict.fromkeys([*methods, *functions], operation)


_SLOPE: dict[str, Any] = {"negative_slope": 0.01, "inplace": False}
_DROP: dict[str, Any] = {"p": 0.5, "training": True, "inplace": False}
_OPERATIONS: dict[Any, _Operation] = {
    **_named("add", (operator.add, torch.add), "input", "other", alpha=1),
    **_named("mul multiply", (operator.mul, torch.mul, torch.multiply), "input", "other"),
    **_named("add_", (operator.iadd,), "input", "other", in_place=True, alpha=1),
    **_named("mul_ multiply_", (operator.imul,), "input", "other", in_place=True),
    **_named("tanh", (torch.tanh, F.tanh), "input"),
    **_named("tanh_", (torch.tanh_,), "input", in_place=True),
    **_named("sigmoid", (torch.sigmoid, F.sigmoid), "input"),
    **_named("sigmoid_", (torch.sigmoid_,), "input", in_place=True),
    **_named("leaky_relu", (F.leaky_relu, leaky_relu), "input", **_SLOPE),
    **_named("leaky_relu_", (F.leaky_relu_,), "input", in_place=True, negative_slope=0.01),
    **_named("relu", (F.relu, torch.relu), "input", inplace=False),
    **_named("relu_", (torch.relu_,), "input", in_place=True),
    **_named("pad", (F.pad,), "input", "pad", mode="constant", value=None),
    **_named("dropout", (F.dropout, torch.dropout), "input", **_DROP),
    **_named("zeros_like", (torch.zeros_like,), "input"),
    **_named("same contiguous clone", (torch.clone,), "input"),
    **_named("getitem", (operator.getitem,), "input", "index"),
    **_named("narrow", (torch.narrow,), "input", "dim", "start", "length"),
    **_named("chunk", (torch.chunk,), "input", "chunks", dim=0),
    **_named("split", (torch.split,), "tensor", "split_size_or_sections", dim=0),
}  # fmt: skip
_WRITES = frozenset({operator.setitem, operator.delitem, *(getattr(operator, name) for name in IN_PLACE)})
_PARTS = frozenset({"getitem", "narrow", "chunk", "split", "zeros_like"})
_VIEWS = frozenset({"getitem", "narrow", "chunk", "split", "same", "dropout"})  # they may give what they were given


class ValueNumbers:
    """ValueNumbers of values, by what computes them."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._channels: dict[int, int] = {}

    def of(self, *key: Any, channels: int | None = None) -> int:
        """The number of what a key names; `channels` is how long its second axis is, if that is known."""
        found = self._numbers.setdefault(key, len(self._numbers))
        if channels is not None:
            self._channels[found] = channels
        return found

    def channels(self, number: Any) -> int | None:
        """How long the second axis of a value is, if that is known."""
        return self._channels.get(number)

    def slice(self, number: int, dim: int, start: int, end: int | None) -> int:
        """A part along an axis, in steps of one."""
        length = self.channels(number) if dim == 1 else None
        if length is not None:
            start, end, _ = slice(start, end).indices(length)
            if (start, end) == (0, length):
                return number
            return self.of("slice", number, dim, start, None if end == length else end, channels=max(end - start, 0))
        return self.of("slice", number, dim, start, end)


Values = dict[fx.Node, Any]  # the number of each node, in order; several where it gives several tensors


def values(numbers: ValueNumbers, traced: Traced, given: Sequence[int]) -> Values:
    """The values of a graph whose arguments have the numbers `given`. Raises NotTraced for a write that others read."""
    reader = _Reader(numbers, traced, given)
    for node in traced.nodes:
        reader.numbers[node] = reader.read(node)
    _refuse_writes(traced, reader.written)
    return reader.numbers


def first_difference(traced: Traced, found: Values, wanted: Values) -> fx.Node:
    """The first node of a graph that another one does not compute.

    Parts of tensors, and zeros, are no difference of their own.
    """
    known = {number for number in wanted.values() if isinstance(number, int)}
    computed = [node for node in traced.nodes if not _is_part(node) and isinstance(found[node], int)]
    return next((node for node in computed if found[node] not in known), (computed or traced.nodes)[-1])


def _is_part(node: fx.Node) -> bool:
    operation = _OPERATIONS.get(node.target)
    return operation is not None and operation.name in _PARTS


def is_repeatable(traced: Traced, node: fx.Node) -> bool:
    """Whether a node may be computed twice: it draws nothing, and no hook of its layer notes that it was called."""
    layer = traced.layer(node)
    if layer is not None:
        return isinstance(layer, (nn.Conv1d, nn.Conv2d)) and is_unhooked(layer)
    if node.op not in ("call_function", "call_method"):
        return False
    operation = _OPERATIONS.get(node.target)
    if operation is not None:
        return operation.name != "dropout"
    name = getattr(node.target, "__name__", str(node.target))
    packet = getattr(torch.ops.aten, name, None)
    overloads = [getattr(packet, one) for one in packet.overloads()] if packet is not None else []
    return bool(overloads) and not any(torch.Tag.nondeterministic_seeded in one.tags for one in overloads)


def operation_name(node: fx.Node) -> str:
    """What a node computes, "" where that is nothing known."""
    operation = _OPERATIONS.get(node.target) if node.op in ("call_function", "call_method") else None
    return "" if operation is None else operation.name


def arguments_of(node: fx.Node) -> dict[str, Any]:
    """The arguments of a node by their names in torch, where it computes something known."""
    return _bound(_OPERATIONS[node.target], node) or {}


def slopes(traced: Traced) -> list[float]:
    """The negative slopes of a graph's leaky ReLUs, in order."""
    found = []
    for node in traced.nodes:
        layer = traced.layer(node)
        operation = _OPERATIONS.get(node.target) if node.op in ("call_function", "call_method") else None
        if isinstance(layer, nn.LeakyReLU):
            found.append(float(layer.negative_slope))
        elif operation is not None and operation.name == "leaky_relu":
            slope = (_bound(operation, node) or {}).get("negative_slope")
            found += [float(slope)] if isinstance(slope, (int, float)) else []
    return found


class _Reader:
    """Gives numbers to nodes, one after the other."""

    def __init__(self, numbers: ValueNumbers, traced: Traced, given: Sequence[int]) -> None:
        self.numbers: dict[fx.Node, Any] = dict(zip(traced.tensors, given, strict=True))
        self.written: set[fx.Node] = set()  # nodes that write to what they are given
        self._of, self._traced = numbers, traced
        self._draws: Counter[tuple[int, float]] = Counter()

    def read(self, node: fx.Node) -> Any:
        """The number of a node, or several where it gives several tensors."""
        if node.op == "call_module":
            return self._layer(node, self._traced.layers[str(node.target)])
        operation = _OPERATIONS.get(node.target) if node.op != "get_attr" else None
        bound = None if operation is None else _bound(operation, node)
        if operation is None or bound is None:
            return self._unknown(node)
        if operation.in_place or bound.pop("inplace", False):
            self.written.add(node)
        source, *others = bound.values()
        number = self._number(source)
        if isinstance(number, list):
            return number[others[0]] if operation.name == "getitem" and isinstance(others[0], int) else self._own(node)
        found = getattr(self, f"_{operation.name}", self._plain)(operation.name, number, *others)
        return self._own(node) if found is None else found

    def _number(self, value: Any) -> Any:
        if isinstance(value, fx.Node):
            return self.numbers[value]
        return self._of.of("constant", type(value), value if isinstance(value, Hashable) else id(value))

    def _own(self, node: fx.Node) -> int:
        """The number of what no other graph computes."""
        return self._of.of("node", node)

    def _unknown(self, node: fx.Node) -> int:
        name = getattr(node.target, "__name__", str(node.target))
        writes = (name.endswith("_") and not name.endswith("__")) or node.target in _WRITES
        if node.op != "get_attr" and (writes or node.kwargs.get("out") is not None or node.kwargs.get("inplace")):
            raise NotTraced(f"it writes to a tensor: {place(node)}")
        return self._own(node)

    def _layer(self, node: fx.Node, layer: nn.Module) -> int:
        if len(node.args) != 1 or node.kwargs or not isinstance(node.args[0], fx.Node):
            return self._own(node)
        number = self._number(node.args[0])
        if not isinstance(number, int):
            return self._own(node)
        if getattr(layer, "inplace", False):
            self.written.add(node)
        if isinstance(layer, nn.Dropout):
            return self._dropout("dropout", number, layer.p, layer.training)
        if isinstance(layer, nn.ReLU):
            return self._of.of("relu", number, channels=self._of.channels(number))
        if isinstance(layer, nn.LeakyReLU):
            return self._of.of("leaky_relu", number, float(layer.negative_slope))
        folds = isinstance(layer, (FoldedConv1d, FoldedConvTranspose1d))  # its channels may be there several times
        channels = None if folds else getattr(layer, "out_channels", None)
        return self._of.of("layer", id(layer), number, channels=channels)

    def _plain(self, name: str, number: int, *others: Any) -> int:
        return self._of.of(name, number, *others, channels=self._of.channels(number))

    def _same(self, name: str, number: int) -> int:
        return number

    def _add(self, name: str, number: int, other: Any, alpha: Any) -> int | None:
        if alpha != 1:
            return None
        second = self._number(other)
        zeros = [self._of.of("zeros_like", one) for one in (number, second) if isinstance(one, int)]
        if second == zeros[0]:
            return number
        return second if number == zeros[-1] else self._pair(name, number, second)

    def _mul(self, name: str, number: int, other: Any) -> int | None:
        return self._pair(name, number, self._number(other))

    def _pair(self, name: str, one: int, other: Any) -> int | None:
        """What does not depend on the order of two."""
        if not isinstance(other, int):
            return None
        # Broadcasting: an axis longer than 1 is as long as the other's, or the other's is 1.
        known = [n for n in (self._of.channels(one), self._of.channels(other)) if n is not None and n > 1]
        return self._of.of(name, *sorted((one, other)), channels=known[0] if known else None)

    def _leaky_relu(self, name: str, number: int, slope: Any) -> int:
        return self._of.of(name, number, float(slope), channels=self._of.channels(number))

    def _dropout(self, name: str, number: int, p: Any, training: Any) -> int:
        if training is False or p == 0:
            return number
        self._draws[number, p] += 1  # each draws numbers of its own
        return self._of.of(name, number, float(p), self._draws[number, p], channels=self._of.channels(number))

    def _pad(self, name: str, number: int, sides: Any, mode: Any, value: Any) -> int | None:
        """Zeros before and after; only those of the last axis, which any tensor has."""
        known = isinstance(sides, (list, tuple)) and all(isinstance(side, int) for side in sides)
        if not known or mode != "constant" or value not in (None, 0) or any(sides[2:]) or len(sides) < 2:
            return None
        first, last = sides[:2]
        return self._of.of(name, number, first, last, channels=self._of.channels(number)) if first or last else number

    def _getitem(self, name: str, number: int, index: Any) -> int | None:
        index = index if isinstance(index, tuple) else (index,)
        found = number
        for dim, part in enumerate(index):
            if not isinstance(part, slice) or part.step not in (None, 1):
                return None
            if not all(isinstance(end, (int, type(None))) for end in (part.start, part.stop)):
                return None
            if part != _ALL:
                found = self._of.slice(found, dim, part.start or 0, part.stop)
        return found

    def _narrow(self, name: str, number: int, dim: Any, start: Any, length: Any) -> int | None:
        if not all(isinstance(value, int) and value >= 0 for value in (dim, start, length)):
            return None
        return self._of.slice(number, dim, start, start + length)

    def _chunk(self, name: str, number: int, chunks: Any, dim: Any) -> list[int] | None:
        length = self._of.channels(number)
        if length is None or dim != 1 or not isinstance(chunks, int) or chunks < 1:
            return None
        return self._split(name, number, -(-length // chunks), dim)

    def _split(self, name: str, number: int, sizes: Any, dim: Any) -> list[int] | None:
        length = self._of.channels(number)
        if length is None or dim != 1:
            return None
        if isinstance(sizes, int):
            sizes = [min(sizes, length - start) for start in range(0, length, sizes)] if sizes > 0 else []
        if not isinstance(sizes, (list, tuple)) or not all(isinstance(n, int) for n in sizes) or sum(sizes) != length:
            return None
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        return [self._of.slice(number, dim, end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _bound(operation: _Operation, node: fx.Node) -> dict[str, Any] | None:
    """The arguments of a node by the operation's names, defaults included; None where it is given others."""
    names = (*operation.parameters, *operation.optional)
    if len(node.args) > len(names):
        return None
    found = {**operation.optional, **dict(zip(names, node.args, strict=False))}
    for name, value in node.kwargs.items():
        if name not in names:
            return None
        found[name] = value
    return {name: found[name] for name in names} if all(name in found for name in names) else None


def _refuse_writes(traced: Traced, written: set[fx.Node]) -> None:
    """NotTraced where a node writes to a tensor that anybody else reads, before or after."""
    if not written:
        return
    sources = {node: frozenset({node}) for node in traced.tensors}
    for node in traced.nodes:
        operation = _OPERATIONS.get(node.target)
        layer = traced.layer(node)
        fresh = operation is not None and operation.name not in _VIEWS
        fresh = fresh or (layer is not None and not isinstance(layer, nn.Dropout))
        given = [sources[one] for one in node.all_input_nodes]
        if node in written or (not fresh and given):
            sources[node] = frozenset().union(*given)
        else:
            sources[node] = frozenset({node})
    for node in written:
        target = sources[node.all_input_nodes[0]]
        same = {one for one, source in sources.items() if source & target}
        after = {node}  # what the write gives, and parts of that
        after |= {one for one in same if after.intersection(one.all_input_nodes)}
        readers = {user for one in same - after for user in one.users} - same
        if target.intersection(traced.tensors) or readers or any(one.op == "get_attr" for one in target):
            raise NotTraced(f"it writes to a tensor that is read elsewhere: {place(node)}")
