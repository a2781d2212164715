"""Value numbering of a graph: nodes that compute the same, however it is written, have the same number."""

import operator
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn

from ..dropout import matmul
from ..folded_layers import FoldedConv1d, FoldedConvTranspose1d
from ..on_chip import is_unhooked
from ..recomputed import leaky_relu
from .algebra import Algebra
from .graph import IN_PLACE, NotTraced, Traced, held_name, place
from .moving import moved_by
from .numbers import ValueNumbers

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
    **_named("div true_divide", (operator.truediv, torch.div, torch.true_divide), "input", "other", rounding_mode=None),
    **_named("div_ true_divide_", (operator.itruediv,), "input", "other", in_place=True, rounding_mode=None),
    **_named("matmul", (operator.matmul, torch.matmul, matmul), "input", "other"),
    **_named("bmm", (torch.bmm,), "input", "mat2"),
    **_named("softmax", (torch.softmax,), "input", "dim", dtype=None),
    F.softmax: _Operation("softmax_layer", ("input",), {"dim": None, "_stacklevel": 3, "dtype": None}),
    torch.where: _Operation("where", ("condition", "input", "other"), {}),
    **_named("masked_fill", (torch.masked_fill,), "input", "mask", "value"),
    **_named("masked_fill_", (), "input", "mask", "value", in_place=True),
    **_named("logical_not bitwise_not", (operator.invert, torch.logical_not, torch.bitwise_not), "input"),
}  # fmt: skip
_WRITES = frozenset({operator.setitem, operator.delitem, *(getattr(operator, name) for name in IN_PLACE)})
_CASTS = frozenset({getattr, *"float half bfloat16 double bool int long type type_as".split()})  # and attributes
_PARTS = frozenset({"getitem", "narrow", "chunk", "split", "zeros_like"})
_VIEWS = frozenset({"getitem", "narrow", "chunk", "split", "same", "dropout"})  # they may give what they were given


Values = dict[fx.Node, Any]  # the number of each node, in order; several where it gives several tensors


def values(numbers: ValueNumbers, traced: Traced, given: Sequence[int]) -> Values:
    """The values of a graph whose arguments have the numbers `given`. Raises NotTraced for a write that others read."""
    reader = _Reader(numbers, traced, given)
    sizes = traced.sizes or {}
    for node in (*traced.tensors, *traced.nodes):
        if node not in reader.numbers:
            reader.numbers[node] = reader.read(node)
        number = reader.numbers[node]
        if isinstance(number, int) and node in sizes:
            numbers.shapes.setdefault(number, sizes[node])
    _refuse_writes(traced, reader.written)
    return reader.numbers


def first_nodes(traced: Traced, found: Values) -> dict[int, fx.Node]:
    """The first node that gives each value."""
    by_number: dict[int, fx.Node] = {}
    for node in (*traced.tensors, *traced.nodes):
        if isinstance(found[node], int):
            by_number.setdefault(found[node], node)
    return by_number


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
        is_product = isinstance(layer, nn.Linear) and _is_unhooked_product(layer)
        return is_product or (isinstance(layer, (nn.Conv1d, nn.Conv2d)) and is_unhooked(layer))
    if node.op == "get_attr" or node.target in _CASTS:
        return True
    if node.op not in ("call_function", "call_method"):
        return False
    operation = _OPERATIONS.get(node.target)
    if operation is not None:
        return operation.name != "dropout"
    name = getattr(node.target, "__name__", str(node.target))
    if getattr(node.target, "__module__", "") == "_operator":
        return node.target not in _WRITES
    packet = getattr(torch.ops.aten, name, None)
    overloads = [getattr(packet, one) for one in packet.overloads()] if packet is not None else []
    return bool(overloads) and not any(torch.Tag.nondeterministic_seeded in one.tags for one in overloads)


def _is_unhooked_product(layer: nn.Linear) -> bool:
    """Whether calling a linear layer is a product, and nothing else."""
    hooked = layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks
    return not hooked and type(layer).forward is nn.Linear.forward


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
        self._algebra, self._sizes = Algebra(numbers), traced.sizes
        self._draws: Counter[tuple[int, float]] = Counter()

    def read(self, node: fx.Node) -> Any:
        """The number of a node, or several where it gives several tensors."""
        if node.op == "call_module":
            return self._layer(node, self._traced.layers[str(node.target)])
        if node.op == "get_attr":
            return self._of.of("held", held_name(node))
        moved = self._moved(node)
        if moved is not None:
            return moved
        operation = _OPERATIONS.get(node.target)
        bound = None if operation is None else _bound(operation, node)
        if operation is None or bound is None:
            return self._unknown(node)
        if operation.in_place or bound.pop("inplace", False):
            self.written.add(node)
        if self._sizes is not None:
            found = self._with_shapes(operation.name, list(bound.values()))
            if found is not None:
                return found
        source, *others = bound.values()
        number = self._number(source)
        if isinstance(number, list):
            return number[others[0]] if operation.name == "getitem" and isinstance(others[0], int) else self._own(node)
        found = getattr(self, f"_{operation.name}", self._plain)(operation.name, number, *others)
        return self._own(node) if found is None else found

    def _moved(self, node: fx.Node) -> int | list[int] | None:
        """The numbers of a node that only moves elements whose shapes are known."""
        if self._sizes is None:
            return None
        if node.target is torch.einsum and len(node.args) == 3 and isinstance(node.args[0], str):
            known = [self._shaped(one) for one in node.args[1:]]
            if known[0] is not None and known[1] is not None:
                return self._algebra.einsum(node.args[0], known[0], known[1])
        changes = moved_by(node, self._sizes)
        number = None if changes is None else self._shaped(node.args[0])
        if changes is None or number is None:
            return None
        if isinstance(changes, list):
            return [self._algebra.moved(number, change) for change in changes]
        return self._algebra.moved(number, changes)

    def _shaped(self, value: Any) -> int | None:
        """The number of a tensor whose shape is known."""
        number = self.numbers.get(value) if isinstance(value, fx.Node) else None
        return number if isinstance(number, int) and number in self._of.shapes else None

    def _with_shapes(self, name: str, given: list[Any]) -> int | None:
        """The number of what shapes help to tell: a product, a sum, a multiple, or a tensor that is filled in parts."""
        if len(given) < 2:
            return None
        first, second = self._shaped(given[0]), self._shaped(given[1])
        others = given[2:]
        if name == "where":
            return self._filled(given)
        if first is None:
            multiple = second if name == "mul" and _is_factor(given[0]) else None
            return None if multiple is None else self._algebra.scaled(multiple, float(given[0]))
        if name in ("mul", "div") and _is_factor(given[1]) and not any(others):
            factor = float(given[1])
            if name == "mul" or factor:
                return self._algebra.scaled(first, factor if name == "mul" else 1 / factor)
        if name in ("softmax", "softmax_layer"):
            return self._along(first, given[1], given[-1])
        if second is None:
            return None
        if name == "add" and others == [1]:
            return self._algebra.added(first, second)
        if name == "masked_fill" and _is_factor(others[0]):
            return self._of.of(name, first, second, float(others[0]))
        return self._algebra.product(first, second) if name in ("matmul", "bmm") else None

    def _along(self, number: int, dim: Any, dtype: Any) -> int | None:
        """A softmax along an axis, counted from the last one."""
        if dtype is not None or not isinstance(dim, int):
            return None
        return self._of.of("softmax", number, dim % len(self._of.shapes[number]) - len(self._of.shapes[number]))

    def _filled(self, given: Sequence[Any]) -> int | None:
        """A choice between a tensor and a number, as `masked_fill` has it."""
        mask, *both = given
        condition, (first, second) = self._shaped(mask), (self._shaped(one) for one in both)
        if condition is None:
            return None
        if second is not None and _is_factor(both[0]):
            return self._of.of("masked_fill", second, condition, float(both[0]))
        if first is not None and _is_factor(both[1]):
            key = self._of.key(condition)
            inverse = key[1] if key[0] == "logical_not" else self._of.of("logical_not", condition)
            return self._of.of("masked_fill", first, inverse, float(both[1]))
        return None

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

    def _softmax(self, *_: Any) -> None:
        return None

    _softmax_layer = _where = _softmax  # told by shapes only

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


def _is_factor(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


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


def _sources(traced: Traced, written: set[fx.Node]) -> dict[fx.Node, frozenset[fx.Node]]:
    """The nodes whose memory each node's result may be."""
    sources = {node: frozenset({node}) for node in traced.tensors}
    for node in traced.nodes:
        given = [sources[one] for one in node.all_input_nodes]
        if node in written:
            sources[node] = given[0]
        elif given and not _is_fresh(traced, node):
            sources[node] = frozenset().union(*given)
        else:
            sources[node] = frozenset({node})
    return sources


def _is_fresh(traced: Traced, node: fx.Node) -> bool:
    """Whether a node's result is known to be memory of its own."""
    operation, layer = _OPERATIONS.get(node.target), traced.layer(node)
    if operation is not None and operation.name not in _VIEWS:
        return True
    return layer is not None and not isinstance(layer, nn.Dropout)


def _refuse_writes(traced: Traced, written: set[fx.Node]) -> None:
    """NotTraced where a node writes to a tensor that anybody else reads, before or after."""
    if not written:
        return
    sources = _sources(traced, written)
    for node in written:
        target = sources[node.all_input_nodes[0]]
        same = {one for one, source in sources.items() if source & target}
        after = {node}  # what the write gives, and parts of that
        for one in traced.nodes:
            if one in same and after.intersection(one.all_input_nodes):
                after.add(one)
        readers = {user for one in same - after for user in one.users} - same
        readers |= (same - after).intersection(traced.ends)
        if target.intersection(traced.tensors) or readers or any(one.op == "get_attr" for one in target):
            raise NotTraced(f"it writes to a tensor that is read elsewhere: {place(node)}")
