"""Kernels for a TPU: a chain of gated layers whose signals stay on the chip, and its gradients.

Each layer convolves its signal twice, once for a tanh and once for a sigmoid, and adds a condition to both; their
product goes through two more products, to the signal and to the total of all layers (van den Oord et al. 2016,
arXiv:1609.03499). The signal is masked after each layer. The last layer of a network leaves the signal alone.

Signals are [B, T, C], the mask [B, T, 1], conditions [B, layers, 2 * C] for both gates, biases included. A weight is
[taps, C (in), 2 * C (out)] for both gates of a layer, and [C, 2 * C] after them, to the signal and to the total. What
it gives is multiplied by factors [layers, 2 * C], of a weight norm for example.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
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
    last: bool  # whether the last layer leaves the signal alone
    held: str
    dtype: str
    stored: str  # the dtype of weights
    precise: bool

    @property
    def halo(self) -> int:
        """Rows before and after a signal that the taps may reach."""
        return rows.halo(self.offsets)

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return len(self.offsets)

    @property
    def onward(self) -> int:
        """How many of them pass the signal on."""
        return self.layers - self.last

    @property
    def matrices(self) -> int:
        """Square matrices of weights, of all layers."""
        return 2 * sum(map(len, self.offsets)) + self.layers + self.onward

    def of_batch(self, *, backward: bool) -> rows.OfBatch:
        """Which arguments and results of a kernel have the batch as their first axis."""
        weights = [False] * (2 * self.layers)
        others = [True, True, *weights, *[False] * 3]
        if backward:
            return [True, True, True, *others], [True, True, *weights, False]
        return [True, True, *others], [True, True]

    @property
    def memory(self) -> int:
        """Bytes of VMEM that the larger of the two kernels takes."""
        signals = 14 + 3 * self.layers
        held = signals * rows.stored(self.time, self.channels)
        held += rows.stored(self.time + 2 * self.halo, self.channels)
        held += rows.stored(self.time + 2 * self.halo, 2 * self.channels)
        return held + 3 * self.matrices * rows.stored(self.channels, self.channels)


def misfit(plan: Plan, capacity: int) -> str:
    """Why the kernels cannot be had with `capacity` bytes of VMEM, in a clause; "" where they can."""
    return rows.misfit(plan, capacity)


def arguments(plan: Plan, *, backward: bool) -> list[Any]:
    """What a kernel is given."""
    signal = rows.array((plan.batch, plan.time, plan.channels), plan.held)
    mask = rows.array((plan.batch, plan.time, 1), plan.held)
    conditions = rows.array((plan.batch, plan.layers, 2 * plan.channels))
    weights = [rows.array(shape, plan.stored) for shape in _weights(plan)]
    by_layer = [rows.array((plan.layers, 2 * plan.channels))] * 3
    return [*[signal] * (2 + backward), mask, conditions, *weights, *by_layer]


def forward(plan: Plan, *, interpret: bool) -> Callable[..., Any]:
    """(signal, total, mask, conditions, weights..., biases, factors (2)) -> (signal, total).

    Weights come by layer, for the gates and after them; biases [layers, 2 * C] are those after them, as are the second
    factors.
    """
    signal = rows.per_sample(plan.time, plan.channels)
    whole = rows.array((plan.batch, plan.time, plan.channels), plan.held)
    call: Callable[..., Any] = pallas.pallas_call(
        functools.partial(_forward, plan),
        grid=(plan.batch,),
        in_specs=[signal, signal, *_given(plan)],
        out_specs=[signal, signal],
        out_shape=[whole, whole],
        scratch_shapes=[rows.padded(plan)],
        interpret=interpret,
        **_limits(plan, passes=1, signals=4, weights=1),
    )
    return rows.from_memory(call, interpret=interpret)


def backward(plan: Plan, *, interpret: bool) -> Callable[..., Any]:
    """(signal, gradients of signal and total, mask, conditions, weights..., biases, factors) -> gradients.

    Those of the signal, of the conditions, of weights times factors, and of the biases; all but the first in float32.
    That of the total that was given is that of the total itself.
    """
    signal = rows.per_sample(plan.time, plan.channels)
    conditions = (plan.batch, plan.layers, 2 * plan.channels)
    call: Callable[..., Any] = pallas.pallas_call(
        functools.partial(_backward, plan),
        grid=(plan.batch,),
        in_specs=[signal, signal, signal, *_given(plan)],
        out_specs=[signal, *_given(plan)[1:-2]],
        out_shape=[
            rows.array((plan.batch, plan.time, plan.channels), plan.held),
            *map(rows.array, (conditions, *_weights(plan), (plan.layers, 2 * plan.channels))),
        ],
        scratch_shapes=[
            rows.padded(plan),
            rows.padded(plan, 2 * plan.channels),
            *[rows.signal(plan)] * (3 * plan.layers + 1),
        ],
        interpret=interpret,
        **_limits(plan, passes=4, signals=4, weights=2),
    )
    return rows.from_memory(call, interpret=interpret)


def _weights(plan: Plan) -> list[tuple[int, ...]]:
    """Shapes of all weights."""
    found: list[tuple[int, ...]] = []
    for i, offsets in enumerate(plan.offsets):
        found.append((len(offsets), plan.channels, 2 * plan.channels))
        found.append((plan.channels, (1 + (i < plan.onward)) * plan.channels))
    return found


def _given(plan: Plan) -> list[Any]:
    """Blocks of mask, conditions, weights, biases and factors."""
    by_layer = rows.for_all(plan.layers, 2 * plan.channels)
    weights = [rows.for_all(*shape) for shape in _weights(plan)]
    conditions = rows.per_sample(plan.layers, 2 * plan.channels)
    return [rows.per_sample(plan.time, 1), conditions, *weights, *[by_layer] * 3]


def _forward(plan: Plan, given: Any, total: Any, mask: Any, conditions: Any, *others: Any) -> None:
    weights, others = others[: 2 * plan.layers], others[2 * plan.layers :]
    *after, result, sum_, padded = others
    rows.clear(plan, padded)
    rows.copy(plan, given, result)
    rows.copy(plan, total, sum_)
    for i in range(plan.layers):
        known = (mask, conditions, *weights[2 * i : 2 * i + 2], *after)
        _layer(plan, i, result, sum_, known, padded, result)


def _layer(
    plan: Plan,
    i: int,
    source: Any,
    total: Any,
    known: tuple[Any, ...],
    padded: Any,
    target: Any,
    gates: Any = (),
) -> None:
    """Layer `i` of a chain; `total` may be None, and what the gates give is kept in `gates`."""
    mask, conditions, weight, onward, biases, by_gates, by_onward = known
    rows.copy(plan, source, padded, plan.halo)
    width = plan.channels

    def step(at: Any) -> None:
        both = rows.convolved(plan, rows.window(plan, padded, at), weight, plan.offsets[i], 0)
        both = rows.rounded(plan, both * by_gates[i : i + 1, :] + conditions[0, i : i + 1, :])
        found = [rows.rounded(plan, value) for value in (jnp.tanh(both[:, :width]), jax.nn.sigmoid(both[:, width:]))]
        for gate, value in zip(gates, found, strict=False):
            rows.store(gate, at, value)
        if total is None and i >= plan.onward:
            return
        gated = rows.rounded(plan, found[0] * found[1])
        passed = rows.product(plan, gated, onward[...], 1, 0)
        own = pallas.ds(2 * width - passed.shape[1], passed.shape[1])
        passed = rows.rounded(plan, passed * by_onward[i : i + 1, own] + biases[i : i + 1, own])
        if total is not None:
            rows.store(total, at, rows.load(plan, total, at) + passed[:, -width:])
        if i < plan.onward:
            summed = rows.load(plan, source, at) + passed[:, :width]
            rows.store(target, at, summed * rows.load(plan, mask, at))

    rows.each(plan, step)


def _backward(plan: Plan, given: Any, flowed: Any, total: Any, mask: Any, conditions: Any, *others: Any) -> None:
    layers, width = plan.layers, plan.channels
    weights, others = others[: 2 * layers], others[2 * layers :]
    after, (result, condition_sums), others = others[:3], others[3:5], others[5:]
    weight_sums, bias_sums, (padded, bent, flowing, *kept) = (
        others[: 2 * layers],
        others[2 * layers],
        others[1 + 2 * layers :],
    )
    between, tanhs, sigmoids = kept[:layers], kept[layers : 2 * layers], kept[2 * layers :]
    sources = [given, *between]  # what each layer is given

    rows.start_sums((*weight_sums, bias_sums))
    condition_sums[...] = jnp.zeros_like(condition_sums)
    for one, channels in ((padded, width), (bent, 2 * width)):
        rows.clear(plan, one, channels)
    for i in range(layers):
        known = (mask, conditions, *weights[2 * i : 2 * i + 2], *after)
        _layer(plan, i, sources[i], None, known, padded, between[i], (tanhs[i], sigmoids[i]))
    rows.copy(plan, flowed, flowing)
    for i in reversed(range(layers)):
        rows.copy(plan, sources[i], padded, plan.halo)
        onward = i < plan.onward

        def gate(at: Any, i: int = i, onward: bool = onward) -> None:
            tanh, sigmoid = rows.load(plan, tanhs[i], at), rows.load(plan, sigmoids[i], at)
            gated = rows.rounded(plan, tanh * sigmoid)
            passed = rows.rounded(plan, rows.load(plan, total, at))
            if onward:
                masked = rows.load(plan, flowing, at) * rows.load(plan, mask, at)
                rows.store(flowing, at, masked)
                passed = jnp.concatenate([rows.rounded(plan, masked), passed], axis=1)
            own = pallas.ds(2 * width - passed.shape[1], passed.shape[1])
            found = rows.product(plan, passed * after[2][i : i + 1, own], weights[2 * i + 1][...], 1, 1)
            weight_sums[2 * i + 1][...] += rows.product(plan, gated, passed, 0, 0)
            bias_sums[i : i + 1, own] += jnp.sum(passed, axis=0, keepdims=True)
            found = rows.rounded(plan, found)
            gates = [found * sigmoid * (1 - tanh * tanh), found * tanh * sigmoid * (1 - sigmoid)]
            both = rows.rounded(plan, jnp.concatenate(gates, axis=1))
            rows.store(bent, at + plan.halo, both)
            condition_sums[0, i : i + 1, :] += jnp.sum(both, axis=0, keepdims=True)

        rows.each(plan, gate)

        def step(at: Any, i: int = i) -> None:
            middle = rows.load(plan, bent, at + plan.halo)
            window = rows.window(plan, padded, at)
            rows.add_weight_gradient(plan, weight_sums[2 * i], window, middle, plan.offsets[i], 0)
            around = rows.window(plan, bent, at) * after[1][i : i + 1, :]
            found = rows.convolved_back(plan, around, weights[2 * i], plan.offsets[i], 0)
            rows.store(flowing, at, rows.load(plan, flowing, at) + rows.rounded(plan, found))

        rows.each(plan, step)
    rows.copy(plan, flowing, result)


def _limits(plan: Plan, *, passes: int, signals: int, weights: int) -> dict[str, Any]:
    """`passes` are products with each matrix, `signals` and `weights` what is read and written of them."""
    size = jnp.dtype(plan.held).itemsize
    signal = plan.batch * plan.time * plan.channels
    parameters = plan.matrices * plan.channels**2
    return rows.limits(
        plan.memory,
        passes * parameters * plan.batch * plan.time,
        signals * signal * size + weights * parameters * 4,
        transcendentals=2 * plan.layers * signal,
    )
