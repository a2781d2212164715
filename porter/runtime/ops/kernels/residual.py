"""Kernels for a TPU: a chain of residual layers whose signals stay on the chip, and its gradients.

A layer is a leaky ReLU and a convolution of stride 1 that keeps length and channels; after each `depth` of them their
result is added to what the first of them was given. One sample of a batch is in VMEM at a time, whole: its signal is
read once and its result written once. The backward pass computes all signals again from that one.

Signals are [B, T, C]; a weight is [taps, C (out), C (in)] beside the taps' offsets in time. What it gives is multiplied
by a factor [1, C], of a weight norm for example.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax.experimental import pallas

from . import rows


@dataclass(frozen=True)
class Plan:
    """A chain of layers."""

    batch: int
    time: int
    channels: int
    offsets: tuple[tuple[int, ...], ...]  # of each layer's taps, in time
    depth: int  # layers between two sums
    slope: float
    held: str
    dtype: str
    stored: str  # the dtype of weights
    precise: bool
    sided: bool = False  # whether the sides of all leaky ReLUs are given, as one more signal a layer: 1 or 0

    @property
    def halo(self) -> int:
        """Rows before and after a signal that the taps may reach."""
        return rows.halo(self.offsets)

    @property
    def taps(self) -> int:
        """Taps of all layers."""
        return sum(map(len, self.offsets))

    def of_batch(self, *, backward: bool) -> rows.OfBatch:
        """Which arguments and results of a kernel have the batch as their first axis."""
        count = len(self.offsets)
        others = [False] * (3 * count) + [True] * (count * self.sided)
        if backward:
            return [True, True, *others], [True, *[False] * (2 * count)]
        return [True, *others], [True]

    @property
    def memory(self) -> int:
        """Bytes of VMEM that the larger of the two kernels takes."""
        layers = len(self.offsets)
        signals = 6 + layers + 1 + 2 * layers * self.sided  # those of a batch come and go while another is worked on
        held = signals * rows.stored(self.time, self.channels)
        held += 2 * rows.stored(self.time + 2 * self.halo, self.channels)
        return held + 3 * self.taps * rows.stored(self.channels, self.channels)


def misfit(plan: Plan, capacity: int) -> str:
    """Why the kernels cannot be had with `capacity` bytes of VMEM, in a clause; "" where they can."""
    return rows.misfit(plan, capacity)


def arguments(plan: Plan, *, backward: bool) -> list[Any]:
    """What a kernel is given."""
    signal = rows.array((plan.batch, plan.time, plan.channels), plan.held)
    weights = [rows.array((len(o), plan.channels, plan.channels), plan.stored) for o in plan.offsets]
    count = len(weights)
    vectors = [rows.array((1, plan.channels))] * (2 * count)
    return [*[signal] * (1 + backward), *weights, *vectors, *[signal] * (count * plan.sided)]


def forward(plan: Plan, *, interpret: bool) -> Callable[..., Any]:
    """(signal, weights..., biases [1, C]..., factors..., sides...) -> (signal,)."""
    signal, weights, biases = _blocks(plan)
    call: Callable[..., Any] = pallas.pallas_call(
        functools.partial(_forward, plan),
        grid=(plan.batch,),
        in_specs=[signal, *weights, *biases, *biases, *[signal] * (len(weights) * plan.sided)],
        out_specs=[signal],
        out_shape=[rows.array((plan.batch, plan.time, plan.channels), plan.held)],
        scratch_shapes=[rows.padded(plan), rows.signal(plan)],
        interpret=interpret,
        **_limits(plan, passes=1, signals=2, weights=1),
    )
    return rows.from_memory(call, interpret=interpret)


def backward(plan: Plan, *, interpret: bool) -> Callable[..., Any]:
    """(signal, gradient, weights..., biases..., factors..., sides...) -> gradients.

    Those of the signal, of weights times factors, and of biases; all but the first in float32.
    """
    signal, weights, biases = _blocks(plan)
    count = len(weights)
    call: Callable[..., Any] = pallas.pallas_call(
        functools.partial(_backward, plan),
        grid=(plan.batch,),
        in_specs=[signal, signal, *weights, *biases, *biases, *[signal] * (count * plan.sided)],
        out_specs=[signal, *weights, *biases],
        out_shape=[
            rows.array((plan.batch, plan.time, plan.channels), plan.held),
            *(rows.array((len(o), plan.channels, plan.channels)) for o in plan.offsets),
            *[rows.array((1, plan.channels))] * count,
        ],
        scratch_shapes=[*[rows.padded(plan)] * 2, *[rows.signal(plan)] * (count + 1)],
        interpret=interpret,
        **_limits(plan, passes=4, signals=3, weights=2),
    )
    return rows.from_memory(call, interpret=interpret)


def _forward(plan: Plan, given: Any, *others: Any) -> None:
    weights, biases, factors, sides, (result, padded, between) = _parameters(plan, others)
    rows.clear(plan, padded)
    source = given
    for i, offsets in enumerate(plan.offsets):
        last = (i + 1) % plan.depth == 0
        start = given if i < plan.depth else result
        target = result if last else between
        parameters = (weights[i], biases[i], factors[i])
        _layer(plan, source, sides[i], padded, parameters, offsets, start if last else None, target)
        source = target


def _backward(plan: Plan, given: Any, gradient: Any, *others: Any) -> None:
    count = len(plan.offsets)
    weights, biases, factors, sides, (result, *rest) = _parameters(plan, others)
    weight_sums, bias_sums = rest[:count], rest[count : 2 * count]
    bent, padded, flowing, total, *between = rest[2 * count :]
    sources = [given, *between]  # what each layer is given

    rows.start_sums((*weight_sums, *bias_sums))
    rows.clear(plan, bent)
    rows.clear(plan, padded)
    for i in range(count - 1):
        start = sources[i + 1 - plan.depth] if (i + 1) % plan.depth == 0 else None
        parameters = (weights[i], biases[i], factors[i])
        _layer(plan, sources[i], sides[i], bent, parameters, plan.offsets[i], start, sources[i + 1])
    rows.copy(plan, gradient, flowing)
    rows.copy(plan, gradient, total)  # the gradient of the sum that a layer's result is added to
    for i in reversed(range(count)):
        _bend(plan, sources[i], sides[i], bent)
        rows.copy(plan, flowing, padded, plan.halo)

        def step(at: Any, i: int = i) -> None:
            flowed = rows.rounded(plan, rows.load(plan, flowing, at))
            bias_sums[i][...] += jnp.sum(flowed, axis=0, keepdims=True)
            rows.add_weight_gradient(plan, weight_sums[i], rows.window(plan, bent, at), flowed, plan.offsets[i], 1)
            around = rows.window(plan, padded, at) * factors[i][...]
            found = rows.convolved_back(plan, around, weights[i], plan.offsets[i], 1)
            found = rows.rounded(plan, _scaled(plan, sources[i], sides[i], at, rows.rounded(plan, found)))
            if i % plan.depth == 0:
                found += rows.load(plan, total, at)
                rows.store(total, at, found)
            rows.store(flowing, at, found)

        rows.each(plan, step)
    rows.copy(plan, flowing, result)


def _layer(
    plan: Plan,
    source: Any,
    side: Any,
    padded: Any,
    parameters: tuple[Any, Any, Any],
    offsets: tuple[int, ...],
    start: Any,
    target: Any,
) -> None:
    """A leaky ReLU and a convolution by weight, bias and factor, and `start` added if there is one."""
    weight, bias, factor = parameters
    _bend(plan, source, side, padded)

    def step(at: Any) -> None:
        found = rows.convolved(plan, rows.window(plan, padded, at), weight, offsets, 1)
        found = rows.rounded(plan, found * factor[...] + bias[...])
        rows.store(target, at, found if start is None else found + rows.load(plan, start, at))

    rows.each(plan, step)


def _bend(plan: Plan, source: Any, side: Any, padded: Any) -> None:
    """Write the leaky ReLU of a signal between zeros."""

    def step(at: Any) -> None:
        value = _scaled(plan, source, side, at, rows.load(plan, source, at))
        rows.store(padded, at + plan.halo, rows.rounded(plan, value))

    rows.each(plan, step)


def _scaled(plan: Plan, source: Any, side: Any, at: Any, value: Any) -> Any:
    """`value`, times the slope where the signal is not positive."""
    decides = rows.load(plan, source if side is None else side, at)
    return jnp.where(decides > 0, value, value * plan.slope)


def _parameters(plan: Plan, others: tuple[Any, ...]) -> tuple[Any, Any, Any, Any, Any]:
    """Weights, biases, factors and sides of the layers, and what comes after; a side is None where none are given."""
    count = len(plan.offsets)
    weights, biases, factors = (others[i * count : (i + 1) * count] for i in range(3))
    others = others[3 * count :]
    if not plan.sided:
        return weights, biases, factors, (None,) * count, others
    return weights, biases, factors, others[:count], others[count:]


def _blocks(plan: Plan) -> tuple[Any, list[Any], list[Any]]:
    """Of a signal, and of the weights and biases of all layers."""
    weights = [rows.for_all(len(offsets), plan.channels, plan.channels) for offsets in plan.offsets]
    return rows.per_sample(plan.time, plan.channels), weights, [rows.for_all(1, plan.channels)] * len(weights)


def _limits(plan: Plan, *, passes: int, signals: int, weights: int) -> dict[str, Any]:
    """`passes` are convolutions in a layer, `signals` and `weights` what is read and written of them."""
    size = jnp.dtype(plan.held).itemsize
    parameters = plan.taps * plan.channels**2
    accessed = signals * plan.batch * plan.time * plan.channels * size + weights * parameters * 4
    return rows.limits(plan.memory, passes * parameters * plan.batch * plan.time, accessed)
