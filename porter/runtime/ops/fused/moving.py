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
    more = [*given, *named.values()]
    if result is not None and target in _RESHAPES:
        same = math.prod(result) == math.prod(shape) and not any(isinstance(one, torch.dtype) for one in more)
        return (lambda move: move.reshaped(result)) if same else None
    if result is not None and target in _EXPANDS:
        return lambda move: move.expanded(result)
    dims = _permutation(target, len(shape), given, named)
    if dims is not None:
        return lambda move: move.permuted(dims)
    if target is operator.getitem:
        return _indexed(given[0], shape, result)
    if target is F.pad:
        return _padded(*given, **named)
    if target in _NARROWS and len(given) == 3 and all(isinstance(one, int) and one >= 0 for one in given[1:]):
        dim, start, length = given
        return lambda move: move.cut(dim % len(shape), slice(start, start + length))
    if target in _CHUNKS or target in _SPLITS:
        return _parts(target, shape, given, named)
    return None


def _permutation(target: Any, count: int, given: Sequence[Any], named: Mapping[str, Any]) -> list[int] | None:
    """The order of axes that a node asks for, of `count`."""
    if target is getattr:
        transposed = given[0] == "mT" or (given[0] == "T" and count == _MATRIX)
        return [*range(count - 2), count - 1, count - 2] if transposed and count >= _MATRIX else None
    more = [*given, *named.values()]
    if target in _TRANSPOSES and len(more) == 2 and all(isinstance(one, int) for one in more):
        dims = list(range(count))
        first, second = (one % count for one in more)
        dims[first], dims[second] = second, first
        return dims
    if target in _PERMUTES:
        axes = more[0] if len(more) == 1 and isinstance(more[0], (tuple, list)) else more
        return [one % count for one in axes] if all(isinstance(one, int) for one in axes) else None
    return None


def _indexed(index: Any, shape: Sequence[int], result: Sequence[int] | None) -> Change | None:
    """Parts by slices and numbers, and axes of one that are added."""
    index = index if isinstance(index, tuple) else (index,)
    kinds = (slice, int, type(None), type(...))
    if result is None or not all(isinstance(one, kinds) and not isinstance(one, bool) for one in index):
        return None
    there = sum(isinstance(one, (slice, int)) for one in index)
    parts: list[tuple[int, slice]] = []
    dim = 0
    for one in index:
        if one is ...:
            dim += len(shape) - there
        elif isinstance(one, (slice, int)):
            part = one if isinstance(one, slice) else slice(one, one + 1 or None)
            if not all(isinstance(end, (int, type(None))) for end in (part.start, part.stop, part.step)):
                return None
            if part != slice(None):
                parts.append((dim, part))
            dim += 1

    def change(move: Move) -> Move:
        for dim, part in parts:
            move = move.cut(dim, part)
        return move.reshaped(result)

    return change


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
    sizes: Any = values[0]
    if isinstance(sizes, int) and sizes > 0:
        step = -(-shape[dim] // sizes) if target in _CHUNKS else sizes
        sizes = [min(step, shape[dim] - start) for start in range(0, shape[dim], max(step, 1))]
    if not isinstance(sizes, (tuple, list)) or not all(isinstance(one, int) for one in sizes):
        return None
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]

    def part(start: int, end: int) -> Change:
        return lambda move: move.cut(dim, slice(start, end))

    return [part(end - size, end) for size, end in zip(sizes, ends, strict=True)]
