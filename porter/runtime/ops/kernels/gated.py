"""Kernels for a TPU: a chain of gated layers whose signals stay on the chip, and its gradients.

Each layer convolves its signal twice, once for a tanh and once for a sigmoid, and adds a condition to both; their
product goes through two more products, to the signal and to the total of all layers (van den Oord et al. 2016,
arXiv:1609.03499). The signal is masked after each layer. The last layer of a network leaves the signal alone.

Signals are [B, T, C], the mask [B, T, 1], conditions [B, layers, C] for each gate, biases included. A weight is
[taps, C (in), 2 * C (out)] for both gates of a layer, and [C, 2 * C] after them, to the signal and to the total. What
it gives is multiplied by factors [layers, C], of a weight norm for example.
"""

import functools
from collections.abc import Callable, Sequence
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

    @property
    def memory(self) -> int:
        """Bytes of VMEM that the larger of the two kernels takes."""
        signals = 14 + 3 * self.layers
        held = signals * rows.stored(self.time, self.channels)
        held += 3 * rows.stored(self.time + 2 * self.halo, self.channels)
        return held + 3 * self.matrices * rows.stored(self.channels, self.channels)


def forward(plan: Plan, *, interpret: bool) -> Callable[..., Any]:
    """(signal, total, mask, conditions (2), weights..., biases (2), factors (4)) -> (signal, total).

    Weights come by layer, for the gates and after them; biases to total and signal; factors of both gates, to total and
    to signal.
    """
    signal = rows.per_sample(plan.time, plan.channels)
    whole = rows.result((plan.batch, plan.time, plan.channels), plan.held)
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

    Those of the signal, of the conditions (2), of weights times factors, and of the biases (2); all but the first in
    float32.
    That of the total that was given is that of the total itself.
    """
    signal = rows.per_sample(plan.time, plan.channels)
    float32 = rows.result
    conditions = (plan.batch, plan.layers, plan.channels)
    biases = (plan.layers, plan.channels)
    call: Callable[..., Any] = pallas.pallas_call(
        functools.partial(_backward, plan),
        grid=(plan.batch,),
        in_specs=[signal, signal, signal, *_given(plan)],
        out_specs=[signal, *_given(plan)[1:-4]],
        out_shape=[
            rows.result((plan.batch, plan.time, plan.channels), plan.held),
            *[float32(conditions)] * 2,
            *map(float32, _weights(plan)),
            *[float32(biases)] * 2,
        ],
        scratch_shapes=[*[rows.padded(plan)] * 3, *[rows.signal(plan)] * (3 * plan.layers + 1)],
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
    conditions = rows.per_sample(plan.layers, plan.channels)
    by_layer = rows.for_all(plan.layers, plan.channels)
    weights = [rows.for_all(*shape) for shape in _weights(plan)]
    return [rows.per_sample(plan.time, 1), conditions, conditions, *weights, *[by_layer] * 6]


def _by_layer(plan: Plan, weights: Sequence[Any]) -> list[list[Any]]:
    """The weights of each layer for both gates, to the total, and to the signal: None where that is left alone."""
    found = []
    for i in range(plan.layers):
        gates, after = weights[2 * i : 2 * i + 2]
        upper, lower = pallas.ds(0, plan.channels), pallas.ds(plan.channels, plan.channels)
        passed = [after.at[:, lower], after.at[:, upper]] if i < plan.onward else [after, None]
        found.append([gates.at[:, :, upper], gates.at[:, :, lower], *passed])
    return found


def _forward(plan: Plan, given: Any, total: Any, mask: Any, *others: Any) -> None:
    count = len(_weights(plan))
    conditions, weights, biases = others[:2], _by_layer(plan, others[2 : 2 + count]), others[2 + count : 8 + count]
    result, sum_, padded = others[8 + count :]
    rows.clear(plan, padded)
    rows.copy(plan, given.at[0], result.at[0])
    rows.copy(plan, total.at[0], sum_.at[0])
    for i in range(plan.layers):
        _layer(plan, i, result.at[0], sum_.at[0], mask, conditions, weights[i], biases, padded, result.at[0])


def _layer(
    plan: Plan,
    i: int,
    source: Any,
    total: Any,
    mask: Any,
    conditions: Any,
    weights: Any,
    biases: Any,
    padded: Any,
    target: Any,
    gates: Any = (None, None),
) -> None:
    """Layer `i` of a chain; `total` may be None, and what the gates give is kept in `gates`."""
    rows.copy(plan, source, padded, plan.halo)
    to_total, to_signal = weights[2:]
    factors = [factor[i : i + 1, :] for factor in biases[2:]]

    def step(at: Any) -> None:
        window = rows.window(plan, padded, at)
        found = []
        for gate, bend in enumerate((jnp.tanh, jax.nn.sigmoid)):
            sum_ = rows.convolved(plan, window, weights[gate], plan.offsets[i], 0)
            sum_ = rows.rounded(plan, sum_ * factors[gate] + conditions[gate][0, i : i + 1, :])
            found.append(rows.rounded(plan, bend(sum_)))
            if gates[gate] is not None:
                rows.store(gates[gate], at, found[-1])
        gated = rows.rounded(plan, found[0] * found[1])
        if total is not None:
            added = rows.product(plan, gated, to_total[...], 1, 0) * factors[2]
            added = rows.rounded(plan, added + biases[0][i : i + 1, :])
            rows.store(total, at, rows.load(plan, total, at) + added)
        if to_signal is not None:
            added = rows.product(plan, gated, to_signal[...], 1, 0) * factors[3]
            added = rows.rounded(plan, added + biases[1][i : i + 1, :])
            passed = (rows.load(plan, source, at) + added) * rows.load(plan, mask.at[0], at)
            rows.store(target, at, passed)

    rows.each(plan, step)


def _backward(plan: Plan, given: Any, flowed: Any, total: Any, mask: Any, *others: Any) -> None:
    count, layers = len(_weights(plan)), plan.layers
    conditions, weights, biases = others[:2], _by_layer(plan, others[2 : 2 + count]), others[2 + count : 8 + count]
    result, *rest = others[8 + count :]
    condition_sums, weight_list, bias_sums = rest[:2], rest[2 : 2 + count], rest[2 + count : 4 + count]
    weight_sums = _by_layer(plan, weight_list)
    padded, first, second, flowing, *kept = rest[4 + count :]
    between, tanhs, sigmoids = kept[:layers], kept[layers : 2 * layers], kept[2 * layers :]
    sources = [given.at[0], *between]  # what each layer is given

    rows.start_sums((*weight_list, *bias_sums))
    for sums in condition_sums:
        sums[...] = jnp.zeros_like(sums)
    for one in (padded, first, second):
        rows.clear(plan, one)
    for i in range(layers):
        gates = (tanhs[i], sigmoids[i])
        _layer(plan, i, sources[i], None, mask, conditions, weights[i], biases, padded, between[i], gates)
    rows.copy(plan, flowed.at[0], flowing)
    for i in reversed(range(layers)):
        rows.copy(plan, sources[i], padded, plan.halo)
        to_total, to_signal = weights[i][2:]
        factors = [factor[i : i + 1, :] for factor in biases[2:]]

        def gate(at: Any, i: int = i, to_total: Any = to_total, to_signal: Any = to_signal, by: Any = factors) -> None:
            tanh, sigmoid = rows.load(plan, tanhs[i], at), rows.load(plan, sigmoids[i], at)
            gated = rows.rounded(plan, tanh * sigmoid)
            totals = rows.rounded(plan, rows.load(plan, total.at[0], at))
            found = rows.product(plan, totals * by[2], to_total[...], 1, 1)
            weight_sums[i][2][...] += rows.product(plan, gated, totals, 0, 0)
            bias_sums[0][i : i + 1, :] += jnp.sum(totals, axis=0, keepdims=True)
            if to_signal is not None:
                masked = rows.load(plan, flowing, at) * rows.load(plan, mask.at[0], at)
                rows.store(flowing, at, masked)
                masked = rows.rounded(plan, masked)
                found += rows.product(plan, masked * by[3], to_signal[...], 1, 1)
                weight_sums[i][3][...] += rows.product(plan, gated, masked, 0, 0)
                bias_sums[1][i : i + 1, :] += jnp.sum(masked, axis=0, keepdims=True)
            found = rows.rounded(plan, found)
            bent = (found * sigmoid * (1 - tanh * tanh), found * tanh * sigmoid * (1 - sigmoid))
            for side, value, sums in zip((first, second), bent, condition_sums, strict=True):
                value = rows.rounded(plan, value)
                rows.store(side, at + plan.halo, value)
                sums[0, i : i + 1, :] += jnp.sum(value, axis=0, keepdims=True)

        rows.each(plan, gate)

        def step(at: Any, i: int = i, by: Any = factors) -> None:
            window = rows.window(plan, padded, at)
            found = jnp.zeros_like(rows.load(plan, flowing, at))
            for side, factor, weight, sums in zip((first, second), by, weights[i], weight_sums[i], strict=False):
                middle = side[pallas.ds(at + plan.halo, found.shape[0]), :]
                rows.add_weight_gradient(plan, sums, window, middle, plan.offsets[i], 0)
                around = rows.window(plan, side, at) * factor
                found += rows.convolved_back(plan, around, weight, plan.offsets[i], 0)
            rows.store(flowing, at, rows.load(plan, flowing, at) + rows.rounded(plan, found))

        rows.each(plan, step)
    rows.copy(plan, flowing, result.at[0])


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
