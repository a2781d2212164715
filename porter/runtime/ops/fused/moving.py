"""Nodes of a graph that only move elements, and how."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from .moves import Move

Change = Callable[[Move], Move]

_RESHAPES = frozenset(
    {
        *("view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "view_as", "reshape_as"),
        *(torch.reshape, torch.flatten, torch.unflatten, torch.unsqueeze, torch.squeeze),
    }
)
_EXPANDS = frozenset({"expand", "expand_as", "broadcast_to", torch.broadcast_to})
_TRANSPOSES = frozenset({"transpose", "swapaxes", "swapdims", torch.transpose, torch.swapaxes, torch.swapdims})
_PERMUTES = frozenset({"permute", torch.permute})
_CHUNKS = frozenset({"chunk", torch.chunk})
_SPLITS = frozenset({"split", torch.split})
_NARROWS = frozenset({"narrow", torch.narrow})
_MATRIX = 2


def moved_by(node: fx.Node, sizes: Mapping[fx.Node, tuple[int, ...]]) -> Change | list[Change] | None:
    """How a node moves the elements of its first argument, in each of its results; None where it does anything else."""
    if node.op not in ("call_function", "call_method") or not node.args:
        return None
    source, *given = node.args
    if not isinstance(source, fx.Node) or source not in sizes:
        return None
    return _moved_by(node.target, sizes[source], sizes.get(node), given, node.kwargs)


def _moved_by(
    target: Any, shape: Sequence[int], result: Sequence[int] | None, given: Sequence[Any], named: Mapping[str, Any]
) -> Change | list[Change] | None:
    """How a function moves a tensor of a shape, whose result has another."""
    if result is not None and target in _RESHAPES:
        return _reshaped(shape, result, [*given, *named.values()])
    if result is not None and target in _EXPANDS:
        return lambda move: move.expanded(result)
    dims = _permutation(target, len(shape), given, named)
    if dims is not None:
        return lambda move: move.permuted(dims)
    if target is operator.getitem:
        return _indexed(given[0], shape, result)
    if target is F.pad:
        return _padded(*given, **named)
    if target in _NARROWS:
        return _narrowed(shape, given)
    return _parts(target, shape, given, named) if target in _CHUNKS | _SPLITS else None


def _reshaped(shape: Sequence[int], result: Sequence[int], given: Sequence[Any]) -> Change | None:
    """The same elements in another shape; `view` takes a dtype, too."""
    same = math.prod(result) == math.prod(shape) and not any(isinstance(one, torch.dtype) for one in given)
    return (lambda move: move.reshaped(result)) if same else None


def _narrowed(shape: Sequence[int], given: Sequence[Any]) -> Change | None:
    """A part along an axis, by where it starts and how long it is."""
    if len(given) != 3 or not all(isinstance(one, int) and one >= 0 for one in given[1:]):
        return None
    dim, start, length = given
    return lambda move: move.cut(dim % len(shape), slice(start, start + length))


def _permutation(target: Any, count: int, given: Sequence[Any], named: Mapping[str, Any]) -> list[int] | None:
    """The order of axes that a node asks for, of `count`."""
    if target is getattr:
        return _transposed(given[0], count)
    more = [*given, *named.values()]
    axes = more[0] if len(more) == 1 and isinstance(more[0], (tuple, list)) else more
    if not all(isinstance(one, int) for one in axes):
        return None
    if target in _TRANSPOSES and len(more) == 2:
        return _swapped(count, *more)
    return [one % count for one in axes] if target in _PERMUTES else None


def _transposed(attribute: str, count: int) -> list[int] | None:
    transposes = attribute == "mT" or (attribute == "T" and count == _MATRIX)
    return _swapped(count, -2, -1) if transposes and count >= _MATRIX else None


def _swapped(count: int, first: int, second: int) -> list[int]:
    dims = list(range(count))
    dims[first % count], dims[second % count] = second % count, first % count
    return dims


def _indexed(index: Any, shape: Sequence[int], result: Sequence[int] | None) -> Change | None:
    """Parts by slices and numbers, and axes of one that are added."""
    index = index if isinstance(index, tuple) else (index,)
    if result is None or not all(map(_is_basic, index)):
        return None
    cuts = [(dim, part) for dim, part in _slices(index, len(shape)) if part != slice(None)]

    def change(move: Move) -> Move:
        for dim, part in cuts:
            move = move.cut(dim, part)
        return move.reshaped(result)

    return change


def _is_basic(index: Any) -> bool:
    """Whether this is a number, a slice by numbers, a new axis or an ellipsis."""
    if isinstance(index, slice):
        return all(isinstance(end, (int, type(None))) for end in (index.start, index.stop, index.step))
    return isinstance(index, (int, type(None), type(...))) and not isinstance(index, bool)


def _slices(index: Sequence[Any], count: int) -> list[tuple[int, slice]]:
    """What is taken along which of so many axes, a number as a slice."""
    there = sum(isinstance(one, (slice, int)) for one in index)
    parts: list[tuple[int, slice]] = []
    dim = 0
    for one in index:
        if one is ...:
            dim += count - there
        elif isinstance(one, (slice, int)):
            parts.append((dim, one if isinstance(one, slice) else slice(one, one + 1 or None)))
            dim += 1
    return parts


def _padded(pad: Any, mode: Any = "constant", value: Any = None) -> Change | None:
    """Zeros at the ends of the last axes."""
    known = isinstance(pad, (tuple, list)) and all(isinstance(side, int) and side >= 0 for side in pad)
    if not known or mode != "constant" or value not in (None, 0) or not pad or len(pad) % 2:
        return None
    return lambda move: move.padded(pad)


def _parts(target: Any, shape: Sequence[int], given: Sequence[Any], named: Mapping[str, Any]) -> list[Change] | None:
    """Parts along an axis, one after the other."""
    values = [*given, *named.values()]
    dim = values[1] if len(values) > 1 else 0
    if not values or not isinstance(dim, int) or set(named) - {"dim", "chunks", "split_size_or_sections"}:
        return None
    if "dim" in named and not given:  # in any order
        return None
    dim %= len(shape)
    sizes = _sizes(values[0], shape[dim], chunks=target in _CHUNKS)
    if sizes is None:
        return None
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]

    def part(start: int, end: int) -> Change:
        return lambda move: move.cut(dim, slice(start, end))

    return [part(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _sizes(given: Any, length: int, *, chunks: bool) -> Sequence[int] | None:
    """The sizes of parts of an axis: those given, or all of one size, or so many; None where they are not known."""
    if isinstance(given, int) and given > 0:
        step = -(-length // given) if chunks else given
        return [min(step, length - start) for start in range(0, length, max(step, 1))]
    return given if isinstance(given, (tuple, list)) and all(isinstance(one, int) for one in given) else None
