"""Kernels for a TPU: two convolutions with a ReLU between, whose wide signal stays on the chip, and their gradients.

What the ReLU gives may be dropped in part and masked, and is padded by zeros. One sample of a batch is in VMEM at a
time; the backward pass computes the signal between the convolutions again.

Signals are [B, T, C], the mask [B, T, 1], what is kept [B, T, C], zero or not; a weight is [taps, C, C (inner)].
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax.experimental import pallas
from jax.experimental.pallas import tpu

from . import rows

_ROWS = 1024  # of a signal, at most: it is worked on whole
_LANES = 256  # of the wide signal that are worked on at a time


@dataclass(frozen=True)
class Plan:
    """Two convolutions."""

    batch: int
    time: int  # rows that are given
    given: int  # channels
    inner: int
    gives: int
    taps: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]  # before and after the signals of both
    masked: bool
    dropped: bool
    scale: float  # of what is kept
    dtype: str  # of signals and results
    precise: bool
    sided: bool = False  # whether the sides of the ReLU are given, as another wide signal: one or zero

    @property
    def times(self) -> tuple[int, int, int]:
        """Rows that are given, of the wide signal, and of the result."""
        found = [self.time]
        for taps, padding in zip(self.taps, self.padding, strict=True):
            found.append(found[-1] + sum(padding) - taps + 1)
        return found[0], found[1], found[2]

    @property
    def lead(self) -> int:
        """Rows of zeros before and after all signals: as many as any taps reach."""
        most = max(*self.taps, *map(max, self.padding))
        return -(-most // rows.SUBLANES) * rows.SUBLANES

    def of_batch(self, *, backward: bool) -> rows.OfBatch:
        """Which arguments and results of a kernel have the batch as their first axis."""
        others = [*[False] * 4, *[True] * (self.masked + self.dropped + self.sided)]
        if backward:
            return [True, True, *others], [True, *[False] * 4]
        return [True, *others], [True]

    @property
    def memory(self) -> int:
        """Bytes of VMEM that the larger of the two kernels takes."""
        given, inner, gives = map(self._stored, self.times, (self.given, self.inner, self.gives))
        widths = ((self.given, self.inner), (self.gives, self.inner))
        weights = sum(taps * rows.stored(*width) for taps, width in zip(self.taps, widths, strict=True))
        return 6 * given + (4 + 2 * self.sided + self.dropped) * inner + 4 * gives + 4 * weights

    def _stored(self, time: int, channels: int) -> int:
        return rows.stored(time + 2 * self.lead, channels)


def misfit(plan: Plan, capacity: int) -> str:
    """Why the kernels cannot be had with `capacity` bytes of VMEM, in a clause; "" where they can."""
    if plan.inner > _LANES and plan.inner % (_LANES // 2):  # it would be worked on in many narrow strips
        return f"its wide signal has {plan.inner} channels, no multiple of {_LANES // 2}"
    if max(plan.times) > _ROWS or min(plan.times) < 1:
        return f"its signals have {', '.join(map(str, plan.times))} rows, where 1 to {_ROWS} are worked on"
    return rows.too_large(plan.memory, capacity * 3 // 4)


def arguments(plan: Plan, *, backward: bool) -> list[Any]:
    """What a kernel is given."""
    given, inner, gives = plan.times
    found = [rows.array((plan.batch, given, plan.given), plan.dtype)]
    found += [rows.array((plan.batch, gives, plan.gives), plan.dtype)] * backward
    found += map(rows.array, _shapes(plan))
    found += [rows.array((plan.batch, inner, 1))] * plan.masked
    return found + [rows.array((plan.batch, inner, plan.inner), jnp.int8)] * (plan.dropped + plan.sided)


def forward(plan: Plan, *, interpret: bool) -> Callable[..., Any]:
    """(signal, weights (2), biases [1, C] (2), mask, kept, sides: those that there are) -> (result,)."""
    given, inner, gives = plan.times
    call: Callable[..., Any] = pallas.pallas_call(
        functools.partial(_forward, plan),
        grid=(plan.batch,),
        in_specs=[rows.per_sample(given, plan.given), *_parameters(plan), *_others(plan)],
        out_specs=[rows.per_sample(gives, plan.gives)],
        out_shape=[rows.array((plan.batch, gives, plan.gives), plan.dtype)],
        scratch_shapes=[_memory(plan, given, plan.given), _memory(plan, inner, plan.inner)],
        interpret=interpret,
        **_limits(plan, passes=1, signals=(1, 1), weights=1),
    )
    return rows.from_memory(call, interpret=interpret)


def backward(plan: Plan, *, interpret: bool) -> Callable[..., Any]:
    """(signal, gradient of the result, and as `forward`) -> gradients of signal, weights and biases.

    Those of weights and biases are in float32.
    """
    given, inner, gives = plan.times
    signal = rows.per_sample(given, plan.given)
    call: Callable[..., Any] = pallas.pallas_call(
        functools.partial(_backward, plan),
        grid=(plan.batch,),
        in_specs=[signal, rows.per_sample(gives, plan.gives), *_parameters(plan), *_others(plan)],
        out_specs=[signal, *_parameters(plan)],
        out_shape=[
            rows.array((plan.batch, given, plan.given), plan.dtype),
            *map(rows.array, _shapes(plan)),
        ],
        scratch_shapes=[
            _memory(plan, given, plan.given),
            _memory(plan, inner, plan.inner),
            _memory(plan, inner, plan.inner),
            _memory(plan, gives, plan.gives),
        ],
        interpret=interpret,
        **_limits(plan, passes=3, signals=(2, 1), weights=2),
    )
    return rows.from_memory(call, interpret=interpret)


def _forward(plan: Plan, given: Any, *refs: Any) -> None:
    weights, biases, others, (result, padded, wide) = refs[:2], refs[2:4], refs[4:-3], refs[-3:]
    _pad(plan, padded, rows.rounded(plan, given[0].astype(jnp.float32)))
    _widen(plan, padded, weights[0], biases[0], others, wide)
    found = jnp.zeros(result.shape[1:], jnp.float32)
    for tap in range(plan.taps[1]):
        found += rows.product(plan, _tap(plan, 1, wide, tap, slice(None)), weights[1][tap], 1, 1)
    result[0] = rows.rounded(plan, found + biases[1][...]).astype(result.dtype)


def _backward(plan: Plan, given: Any, gradient: Any, *refs: Any) -> None:
    weights, biases, others = refs[:2], refs[2:4], refs[4:-9]
    result, *sums, padded, wide, flowing, flowed = refs[-9:]
    rows.start_sums(sums)
    _pad(plan, padded, rows.rounded(plan, given[0].astype(jnp.float32)))
    _widen(plan, padded, weights[0], biases[0], others, wide)
    last = rows.rounded(plan, gradient[0].astype(jnp.float32))
    _pad(plan, flowed, last)
    sums[3][...] += jnp.sum(last, axis=0, keepdims=True)
    _pad(plan, flowing, None)
    for lanes in _lanes(plan):
        for tap in range(plan.taps[1]):
            sums[1][tap, :, lanes] += rows.product(plan, last, _tap(plan, 1, wide, tap, lanes), 0, 0)
        found = jnp.zeros((plan.times[1], lanes.stop - lanes.start), jnp.float32)
        for tap in range(plan.taps[1]):
            found += rows.product(plan, _untap(plan, 1, flowed, tap), weights[1][tap, :, lanes], 1, 0)
        found = _kept(plan, others, lanes, rows.rounded(plan, found))
        # What is left of the wide signal says which side of the ReLU it was on: what is not left has no gradient.
        found = rows.rounded(plan, jnp.where(_upper(plan, others, lanes, wide), found, 0))
        flowing[plan.lead : plan.lead + plan.times[1], lanes] = found
        sums[2][:, lanes] += jnp.sum(found, axis=0, keepdims=True)
        for tap in range(plan.taps[0]):
            sums[0][tap, :, lanes] += rows.product(plan, _tap(plan, 0, padded, tap, slice(None)), found, 0, 0)
    back = jnp.zeros((plan.times[0], plan.given), jnp.float32)
    for tap in range(plan.taps[0]):
        back += rows.product(plan, _untap(plan, 0, flowing, tap), weights[0][tap], 1, 1)
    result[0] = rows.rounded(plan, back).astype(result.dtype)


def _widen(plan: Plan, padded: Any, weight: Any, bias: Any, others: Any, wide: Any) -> None:
    """Write the signal between the convolutions, between zeros."""
    _pad(plan, wide, None)
    for lanes in _lanes(plan):
        found = jnp.zeros((plan.times[1], lanes.stop - lanes.start), jnp.float32)
        for tap in range(plan.taps[0]):
            found += rows.product(plan, _tap(plan, 0, padded, tap, slice(None)), weight[tap, :, lanes], 1, 0)
        found = rows.rounded(plan, found + bias[:, lanes])
        upper = found > 0 if not plan.sided else others[-1][0, :, lanes].astype(jnp.int32) != 0
        found = _kept(plan, others, lanes, jnp.where(upper, found, 0))
        wide[plan.lead : plan.lead + plan.times[1], lanes] = rows.rounded(plan, found)


def _upper(plan: Plan, others: Any, lanes: slice, wide: Any) -> Any:
    if plan.sided:
        return others[-1][0, :, lanes].astype(jnp.int32) != 0
    return wide[plan.lead : plan.lead + plan.times[1], lanes] != 0


def _kept(plan: Plan, others: Any, lanes: slice, value: Any) -> Any:
    """What dropout and mask leave of the wide signal, or of its gradient."""
    if plan.dropped:
        kept = others[int(plan.masked)][0, :, lanes].astype(jnp.int32) != 0
        value = rows.rounded(plan, jnp.where(kept, value * plan.scale, 0))
    return value * others[0][0].astype(jnp.float32) if plan.masked else value


def _pad(plan: Plan, target: Any, value: Any) -> None:
    """Write zeros, and a signal among them."""
    target[...] = jnp.zeros_like(target)
    if value is not None:
        target[plan.lead : plan.lead + value.shape[0], :] = value


def _tap(plan: Plan, which: int, padded: Any, tap: int, lanes: slice) -> Any:
    """What a tap of a convolution takes of the signal that it is given."""
    first = plan.lead - plan.padding[which][0] + tap
    return padded[first : first + plan.times[which + 1], lanes]


def _untap(plan: Plan, which: int, padded: Any, tap: int) -> Any:
    """What comes back through a tap, for all that the convolution was given."""
    first = plan.lead + plan.padding[which][0] - tap
    return padded[first : first + plan.times[which], :]


def _lanes(plan: Plan) -> list[slice]:
    size = math.gcd(plan.inner, _LANES) if plan.inner > _LANES else plan.inner
    return [slice(start, start + size) for start in range(0, plan.inner, size)]


def _memory(plan: Plan, time: int, channels: int) -> Any:
    """Memory for a signal between zeros."""
    return tpu.VMEM((time + 2 * plan.lead, channels), jnp.float32)


def _shapes(plan: Plan) -> list[tuple[int, ...]]:
    """Of weights and biases."""
    weights = [(plan.taps[0], plan.given, plan.inner), (plan.taps[1], plan.gives, plan.inner)]
    return [*weights, (1, plan.inner), (1, plan.gives)]


def _parameters(plan: Plan) -> list[Any]:
    return [rows.for_all(*shape) for shape in _shapes(plan)]


def _others(plan: Plan) -> list[Any]:
    """Blocks of mask, kept and sides, of those that there are."""
    inner = rows.per_sample(plan.times[1], plan.inner)
    mask = rows.per_sample(plan.times[1], 1)
    return [*[mask] * plan.masked, *[inner] * plan.dropped, *[inner] * plan.sided]


def _limits(plan: Plan, *, passes: int, signals: tuple[int, int], weights: int) -> dict[str, Any]:
    """`passes` are convolutions, the others say how often what is given and the result are read or written."""
    given, inner, gives = plan.times
    matrices = [math.prod(shape) for shape in _shapes(plan)[:2]]
    accessed = signals[0] * given * plan.given * jnp.dtype(plan.dtype).itemsize
    accessed += signals[1] * gives * plan.gives * jnp.dtype(plan.dtype).itemsize
    accessed += inner * (4 * plan.masked + plan.inner * (plan.dropped + plan.sided))
    products = matrices[0] * inner + matrices[1] * gives
    return rows.limits(plan.memory, passes * plan.batch * products, plan.batch * accessed + weights * sum(matrices) * 4)
