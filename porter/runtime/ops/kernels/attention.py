"""Kernels for a TPU: attention whose weights stay on the chip, and its gradients.

Scores are products of queries and keys, scaled, to which a few diagonals may be added; where a mask is set they are
replaced by a number. Their softmax may be dropped in part, and sums up the values (Vaswani et al. 2017,
arXiv:1706.03762), and the diagonals of it may be wanted too (Shaw et al. 2018, arXiv:1803.02155). The backward pass
computes the weights again.

Queries are [B, H, T, D], keys [B, H, D, S], values [B, H, S, E], diagonals [B, H, T, N], where number i of a row t
belongs to column t + i - N // 2; the mask is [B or 1, H or 1, T, S] and what is kept [B, H, T, S], zero or not.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas

from . import rows

_ROWS = 1024  # of scores, and columns, at most: they are worked on whole
_DIAGONALS = 64  # one is worked on after the other


@dataclass(frozen=True)
class Plan:
    """An attention."""

    batch: int
    heads: int
    queries: int
    keys: int
    width: int  # of queries and keys
    values: int  # width of the values
    factor: float  # of scores
    diagonals: int  # how many are added to the scores; 0 for none
    mask: tuple[bool, bool] | None  # whether each sample, and each head, has its own
    filling: float  # what stands where the mask is set
    dropped: bool  # whether it is told what is kept of the weights
    scale: float  # of what is kept
    held: str  # the dtype of weights
    dtype: str  # the dtype of products
    precise: bool

    def of_batch(self, *, backward: bool) -> rows.OfBatch:
        """Which arguments and results of a kernel have the batch as their first axis."""
        given = [True] * (3 + bool(self.diagonals))
        given += [] if self.mask is None else [self.mask[0]]
        given += [True] * self.dropped
        results = [True] * (1 + bool(self.diagonals))
        return ([*given, *results], [True] * (3 + bool(self.diagonals))) if backward else (given, results)

    @property
    def memory(self) -> int:
        """Bytes of VMEM that the larger of the two kernels takes."""
        inner = 8 * rows.stored(self.queries, self.keys)
        given = rows.stored(self.queries, self.width) + rows.stored(self.width, self.keys)
        return inner + 4 * (given + rows.stored(self.keys, self.values) + rows.stored(self.queries, self.values))


def misfit(plan: Plan, capacity: int) -> str:
    """Why the kernels cannot be had with `capacity` bytes of VMEM, in a clause; "" where they can."""
    if max(plan.queries, plan.keys) > _ROWS:
        return f"it has {plan.queries} queries and {plan.keys} keys, where {_ROWS} are worked on at most"
    if plan.diagonals > _DIAGONALS:
        return f"it has {plan.diagonals} diagonals, where {_DIAGONALS} are worked on at most"
    return rows.too_large(plan.memory, capacity * 3 // 4)


def arguments(plan: Plan, *, backward: bool) -> list[Any]:
    """What a kernel is given."""
    lead = (plan.batch, plan.heads)
    square = (plan.queries, plan.keys)
    shapes = [(plan.queries, plan.width), (plan.width, plan.keys), (plan.keys, plan.values)]
    diagonals = [(*lead, plan.queries, plan.diagonals)] * bool(plan.diagonals)
    found = [rows.array((*lead, *shape), plan.dtype) for shape in shapes]
    found += [rows.array(shape, plan.dtype) for shape in diagonals]
    if plan.mask is not None:
        of_sample, of_head = plan.mask
        own = (plan.batch if of_sample else 1, plan.heads if of_head else 1)
        found.append(rows.array((*own, *square), jnp.int8))
    found += [rows.array((*lead, *square), jnp.int8)] * plan.dropped
    if backward:
        found.append(rows.array((*lead, plan.queries, plan.values), plan.dtype))
        found += [rows.array(shape, plan.held) for shape in diagonals]
    return found


def forward(plan: Plan, *, interpret: bool) -> Callable[..., Any]:
    """(queries, keys, values, diagonals, mask, kept: those that there are) -> (sums of values, diagonals)."""
    lead = (plan.batch, plan.heads)
    shapes = [(plan.queries, plan.values), *[(plan.queries, plan.diagonals)] * bool(plan.diagonals)]
    dtypes = [plan.dtype, plan.held]
    call: Callable[..., Any] = pallas.pallas_call(
        functools.partial(_forward, plan),
        grid=lead,
        in_specs=_given(plan),
        out_specs=[_block(*shape) for shape in shapes],
        out_shape=[rows.array((*lead, *shape), dtype) for shape, dtype in zip(shapes, dtypes, strict=False)],
        interpret=interpret,
        **_limits(plan, products=1, signals=(1, 1)),
    )
    return rows.from_memory(call, interpret=interpret)


def backward(plan: Plan, *, interpret: bool) -> Callable[..., Any]:
    """(as `forward`, and the gradients of its results) -> those of queries, keys, values and diagonals."""
    lead = (plan.batch, plan.heads)
    flowed = [_block(plan.queries, plan.values), *[_block(plan.queries, plan.diagonals)] * bool(plan.diagonals)]
    shapes = [(plan.queries, plan.width), (plan.width, plan.keys), (plan.keys, plan.values)]
    shapes += [(plan.queries, plan.diagonals)] * bool(plan.diagonals)
    call: Callable[..., Any] = pallas.pallas_call(
        functools.partial(_backward, plan),
        grid=lead,
        in_specs=[*_given(plan), *flowed],
        out_specs=[_block(*shape) for shape in shapes],
        out_shape=[rows.array((*lead, *shape), plan.dtype) for shape in shapes],
        interpret=interpret,
        **_limits(plan, products=3, signals=(2, 2)),
    )
    return rows.from_memory(call, interpret=interpret)


def _block(height: int, width: int) -> Any:
    """A block of one head [B, H, height, width]."""
    return pallas.BlockSpec((1, 1, height, width), lambda sample, head: (sample, head, 0, 0))


def _given(plan: Plan) -> list[Any]:
    found = [_block(plan.queries, plan.width), _block(plan.width, plan.keys), _block(plan.keys, plan.values)]
    if plan.diagonals:
        found.append(_block(plan.queries, plan.diagonals))
    if plan.mask is not None:
        of_sample, of_head = plan.mask

        def place(sample: Any, head: Any) -> Any:
            return sample if of_sample else 0, head if of_head else 0, 0, 0

        found.append(pallas.BlockSpec((1, 1, plan.queries, plan.keys), place))
    if plan.dropped:
        found.append(_block(plan.queries, plan.keys))
    return found


def _weights(plan: Plan, given: Any) -> tuple[Any, Any, Any]:
    """The softmax of the scores [T, S], where the mask is set, and where weights are kept; None for no such."""
    queries, keys, _, *others = given
    scores = rows.rounded(plan, rows.rounded(plan, rows.product(plan, queries[0, 0], keys[0, 0], 1, 0)) * plan.factor)
    if plan.diagonals:
        scores = rows.rounded(plan, scores + _spread(plan, others.pop(0)[0, 0].astype(jnp.float32)))
    masked = others.pop(0)[0, 0].astype(jnp.int32) != 0 if plan.mask is not None else None
    if masked is not None:
        scores = jnp.where(masked, plan.filling, scores)
    kept = others.pop(0)[0, 0].astype(jnp.int32) != 0 if plan.dropped else None
    raised = jnp.exp(scores - jnp.max(scores, axis=1, keepdims=True))
    weights = raised / jnp.sum(raised, axis=1, keepdims=True)
    return weights.astype(plan.held).astype(jnp.float32), masked, kept


def _dropped(plan: Plan, weights: Any, kept: Any) -> Any:
    return weights if kept is None else jnp.where(kept, weights * plan.scale, 0)


def _forward(plan: Plan, *refs: Any) -> None:
    given, results = refs[: len(_given(plan))], refs[len(_given(plan)) :]
    weights, _, kept = _weights(plan, given)
    weights = _dropped(plan, weights, kept)
    results[0][0, 0] = rows.product(plan, weights, given[2][0, 0], 1, 0).astype(plan.dtype)
    if plan.diagonals:
        results[1][0, 0] = _diagonals(plan, weights).astype(plan.held)


def _backward(plan: Plan, *refs: Any) -> None:
    given, rest = refs[: len(_given(plan))], refs[len(_given(plan)) :]
    queries, keys, values = (one[0, 0] for one in given[:3])
    flowed = rest[0][0, 0]
    results = rest[1 + bool(plan.diagonals) :]
    weights, masked, kept = _weights(plan, given)
    dropped = _dropped(plan, weights, kept)
    results[2][0, 0] = rows.product(plan, dropped, flowed, 0, 0).astype(plan.dtype)
    back = rows.rounded(plan, rows.product(plan, flowed, values, 1, 1))
    if plan.diagonals:
        back += _spread(plan, rest[1][0, 0].astype(jnp.float32))
    back = _dropped(plan, back, kept)
    back = weights * (back - jnp.sum(back * weights, axis=1, keepdims=True))
    if masked is not None:
        back = jnp.where(masked, 0, back)
    back = rows.rounded(plan, back)
    added = back  # before the factor
    back = rows.rounded(plan, back * plan.factor)
    results[0][0, 0] = rows.product(plan, back, keys, 1, 1).astype(plan.dtype)
    results[1][0, 0] = rows.product(plan, queries, back, 0, 0).astype(plan.dtype)
    if plan.diagonals:
        results[3][0, 0] = _diagonals(plan, added).astype(plan.dtype)


def _offsets(plan: Plan) -> Any:
    """How far each column is behind the one of its row's number, [T, S], counted from the first diagonal."""
    shape = (plan.queries, plan.keys)
    rows_, columns = (jax.lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (0, 1))
    return columns - rows_ + plan.diagonals // 2


def _spread(plan: Plan, diagonals: Any) -> Any:
    """[T, N] -> [T, S], zero but for the diagonals."""
    offsets = _offsets(plan)
    found = jnp.zeros(offsets.shape, jnp.float32)
    for i in range(plan.diagonals):
        found = jnp.where(offsets == i, diagonals[:, i : i + 1], found)
    return found


def _diagonals(plan: Plan, matrix: Any) -> Any:
    """[T, S] -> [T, N]."""
    offsets = _offsets(plan)
    lanes = jax.lax.broadcasted_iota(jnp.int32, (plan.queries, plan.diagonals), 1)
    found = jnp.zeros(lanes.shape, jnp.float32)
    for i in range(plan.diagonals):
        one = jnp.sum(jnp.where(offsets == i, matrix, 0), axis=1, keepdims=True)
        found = jnp.where(lanes == i, one, found)
    return found


def _limits(plan: Plan, *, products: int, signals: tuple[int, int]) -> dict[str, Any]:
    """`products` pairs of [T, S] products, and how often signals of queries and of keys are read or written."""
    heads = plan.batch * plan.heads
    size = jnp.dtype(plan.dtype).itemsize
    widths = plan.width + plan.values
    square = plan.queries * plan.keys
    accessed = heads * size * widths * (signals[0] * plan.queries + signals[1] * plan.keys)
    accessed += heads * plan.queries * plan.diagonals * 4 * 2 * signals[0]
    accessed += heads * square * plan.dropped
    if plan.mask is not None:
        accessed += (plan.batch if plan.mask[0] else 1) * (plan.heads if plan.mask[1] else 1) * square
    return rows.limits(
        plan.memory, products * heads * square * widths, accessed, transcendentals=heads * square, dimensions=2
    )
