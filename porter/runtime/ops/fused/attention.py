"""What the kernel of an attention computes, as a reference module, and running it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn

from .. import attention
from .algebra import Algebra
from .graph import Traced, is_softmax
from .numbers import ValueNumbers
from .values import Values, first_nodes

NAME = "attention"


class InSteps(NamedTuple):
    """Results that no kernel computed, and why, though they are computed in another way than the forward's."""

    results: list[torch.Tensor]
    reason: str


@dataclass(frozen=True)
class _Found:
    """An attention by the numbers of what it is made of."""

    operands: tuple[int, int, int]  # queries, keys and values
    near: tuple[int | None, int | None]  # embeddings of relative positions, of keys and of values
    masks: tuple[int, ...]
    factor: float
    near_factor: float
    filling: float
    p: float


class Attention(nn.Module):
    """Attention, maybe with embeddings of relative positions inside a window, in plain PyTorch."""

    def __init__(self, factor: float, near_factor: float, filling: float, p: float, unmasked: bool) -> None:
        super().__init__()
        self.factor, self.near_factor, self.filling, self.p = factor, near_factor, filling, p
        self.unmasked = unmasked  # whether masks say where scores stay

    def forward(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        near_keys: torch.Tensor | None = None,
        near_values: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        further_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """[B, H, T, D], [B, H, D, S], [B, H, S, E], twice [H or 1, 2w + 1, D], masks of [B, H, T, S].

        The result [B, H, T, E], the weights [B, H, T, S], and what a dropout leaves of them. H may be missing.
        """
        scores = torch.matmul(queries, keys) * self.factor
        if near_keys is not None:
            near = torch.matmul(queries, _all_offsets(near_keys, keys.shape[-1]).transpose(-2, -1))
            scores = scores + _by_position(near) * self.near_factor
        for one in (mask, further_mask):
            if one is not None:
                scores = scores.masked_fill(~one if self.unmasked else one, self.filling)
        weights = torch.softmax(scores, -1)
        dropped = F.dropout(weights, self.p)
        result = torch.matmul(dropped, values)
        if near_values is not None:
            result = result + torch.matmul(_by_offset(dropped), _all_offsets(near_values, values.shape[-2]))
        return result, weights, dropped


def _all_offsets(embeddings: torch.Tensor, length: int) -> torch.Tensor:
    """[H or 1, 2w + 1, D] -> [1, H or 1, 2 * length - 1, D]: for each distance of two positions, 0 outside of it."""
    more = length - (embeddings.shape[1] + 1) // 2
    found = F.pad(embeddings, (0, 0, more, more)) if more > 0 else embeddings
    return found[:, max(-more, 0) : max(-more, 0) + 2 * length - 1].unsqueeze(0)


def _by_position(scores: torch.Tensor) -> torch.Tensor:
    """[B, H, T, 2T - 1] by distance -> [B, H, T, T] by position."""
    *lead, length, count = scores.shape
    flat = F.pad(F.pad(scores, (0, 1)).reshape(*lead, length * (count + 1)), (0, length - 1))
    return flat.reshape(*lead, length + 1, count)[..., :length, length - 1 :]


def _by_offset(weights: torch.Tensor) -> torch.Tensor:
    """[B, H, T, T] by position -> [B, H, T, 2T - 1] by distance."""
    *lead, length, _ = weights.shape
    flat = F.pad(F.pad(weights, (0, length - 1)).reshape(*lead, length * (2 * length - 1)), (length, 0))
    return flat.reshape(*lead, length, 2 * length)[..., 1:]


def references(
    traced: Traced, numbers: ValueNumbers, found: Values
) -> Iterator[tuple[Attention, list[tuple[fx.Node | None, ...]]]]:
    """The attentions that a graph could be, and nodes that each is given."""
    if traced.sizes is None:
        return
    nodes = first_nodes(traced, found)
    algebra = Algebra(numbers)
    for number, node in list(nodes.items()):  # a product leaves axes out that its other side has
        for same in algebra.without_first_axes(number):
            nodes.setdefault(same, node)
    known = dict.fromkeys(one for one in found.values() if isinstance(one, int))
    every = dict.fromkeys(attended for number in known for attended in _read(numbers, number))
    for attended in sorted(every, key=lambda one: one.near.count(None)):  # what has most
        given = [*attended.operands, *attended.near]
        masks, unmasked = _masks(numbers, nodes, attended.masks)
        if masks is not None and all(one is None or one in nodes for one in given):
            options = (attended.factor, attended.near_factor, attended.filling, attended.p)
            bound = [None if one is None else nodes[one] for one in given]
            yield Attention(*options, unmasked), [(*bound, *masks)]


def first_doubt(traced: Traced, numbers: ValueNumbers, found: Values) -> fx.Node | None:
    """The first node that no attention has, in a graph with a softmax; None without a softmax, or if there is none."""
    nodes = first_nodes(traced, found)
    softmax = next((node for node in traced.nodes if is_softmax(node)), None)
    if softmax is None or not isinstance(number := found[softmax], int):
        return None
    key = numbers.key(number)
    if key[0] != "softmax" or key[2] != -1:
        return softmax
    summands, _, _ = _unmasked(numbers, key[1])
    strange = [one for one in summands if numbers.key(_factored(numbers, one)[0])[0] not in ("matmul", "moved")]
    return nodes.get(strange[0]) if strange else _first_other_use(softmax, numbers, found)


def _first_other_use(weights: fx.Node, numbers: ValueNumbers, found: Values) -> fx.Node | None:
    """The first node that does anything else with weights than drop some and sum values up; None if there is none."""
    while (user := next(iter(weights.users), None)) is not None and numbers.key(found[user])[0] == "dropout":
        weights = user
    sums = [user for user in weights.users if numbers.key(found[user])[:2] == ("matmul", found[weights])]
    return None if sums else user


def _masks(
    numbers: ValueNumbers, nodes: dict[int, fx.Node], masks: tuple[int, ...]
) -> tuple[tuple[fx.Node, ...] | None, bool]:
    """The nodes of masks, and whether they say where scores stay; None where there are none."""
    if all(mask in nodes for mask in masks):
        return tuple(nodes[mask] for mask in masks), False
    inverse = [numbers.key(mask)[1] for mask in masks if numbers.key(mask)[0] == "logical_not"]
    if len(inverse) == len(masks) and all(mask in nodes for mask in inverse):
        return tuple(nodes[mask] for mask in inverse), True
    return None, False


def _read(numbers: ValueNumbers, number: int) -> Iterator[_Found]:
    """The attentions whose result a value could be; those with relative positions first."""
    key = numbers.key(number)
    if key[0] == "add":
        for sums, near in (key[1:], key[:0:-1]):
            inner = numbers.key(near)
            if inner[0] == "matmul" and numbers.key(sums)[0] == "matmul":
                yield from _attended(numbers, sums, _embeddings(numbers, inner[2]))
    if key[0] == "matmul":
        yield from _attended(numbers, number, None)


def _attended(numbers: ValueNumbers, sums: int, near_values: int | None) -> Iterator[_Found]:
    """An attention by the number of its sums of values."""
    _, weights, values = numbers.key(sums)
    key, p = numbers.key(weights), 0.0
    if key[0] == "dropout":
        p, key = key[2], numbers.key(key[1])
    if key[0] != "softmax" or key[2] != -1:
        return
    summands, masks, filling = _unmasked(numbers, key[1])
    if len(masks) > 2:
        return
    for product, *others in (summands, summands[::-1]) if len(summands) > 1 else (summands,):
        inner, factor = _factored(numbers, product)
        made = numbers.key(inner)
        near_keys, near_factor = _near(numbers, *others)
        if made[0] == "matmul" and (near_keys is not None or not others):
            operands, near = (made[1], made[2], values), (near_keys, near_values)
            yield _Found(operands, near, masks, factor, near_factor, filling, p)


def _unmasked(numbers: ValueNumbers, scores: int) -> tuple[tuple[int, ...], tuple[int, ...], float]:
    """What scores are a sum of before masks fill in one number, and these masks, and the number."""
    masks, filling = list[int](), 0.0
    while (key := numbers.key(scores))[0] == "masked_fill" and (not masks or filling == key[3]):
        _, scores, mask, filling = key
        masks.insert(0, mask)
    return key[1:] if key[0] == "add" else (scores,), tuple(masks), filling


def _near(numbers: ValueNumbers, scores: int | None = None) -> tuple[int | None, float]:
    """The embeddings of keys that scores of relative positions are made of, None where they are not, and a factor."""
    if scores is None:
        return None, 1.0
    inner, factor = _factored(numbers, scores)
    moved = numbers.key(inner)
    made = numbers.key(moved[1]) if moved[0] == "moved" else moved
    return _embeddings(numbers, made[2]) if made[0] == "matmul" else None, factor


def _factored(numbers: ValueNumbers, number: int) -> tuple[int, float]:
    """A value as another one times a number."""
    key = numbers.key(number)
    return (key[1], key[2]) if key[0] == "scaled" else (number, 1.0)


def _embeddings(numbers: ValueNumbers, number: int) -> int | None:
    """What is moved, where that could be embeddings of relative positions: [H or 1, 2w + 1, D]."""
    key = numbers.key(number)
    source = key[1] if key[0] == "moved" else number
    shape = numbers.shapes.get(source, ())
    return source if len(shape) == 3 and shape[1] % 2 else None


def run(
    reference: Attention,
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    near_keys: torch.Tensor | None = None,
    near_values: torch.Tensor | None = None,
    *masks: torch.Tensor,
) -> list[torch.Tensor] | InSteps | str:
    """The results, the first computed by a kernel; or, as text, why no kernel can compute it."""
    diagonals: Any = None
    if near_keys is not None:
        diagonals = torch.matmul(queries, near_keys.transpose(-2, -1))
        diagonals = diagonals if reference.near_factor == 1 else diagonals * reference.near_factor
    mask: Any = None
    for one in masks:
        own = ~one if reference.unmasked else one
        mask = own if mask is None else mask | own
    scores = attention.Scores(queries, keys, reference.factor, diagonals, mask, reference.filling)
    found = attention.attend(scores, values, near_values, reference.p)
    if isinstance(found, str):
        return found
    results = [found.sums, found.weights, found.dropped]
    return InSteps(results, found.reason) if found.reason else results
