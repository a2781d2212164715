"""Weights of a chain in VMEM, their norms, and the gradients of both: parts of the kernels in `features`.

In VMEM a weight is [taps, C (out), C (in) of a block], in HBM it has a `Form` of its own.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas
from jax.experimental.pallas import tpu

from . import rows
from .chains import WIDTH, Layer, Plan

LANES = 256  # of a result that are worked on at a time, at most


def fetch(
    plan: Plan, stored: Sequence[Any], weights: Sequence[Any], lengths: Sequence[Any], factors: Sequence[Any]
) -> None:
    """Copy weights into VMEM, and find their factors [1, C]."""
    for i, layer in enumerate(plan.layers):
        _load_weight(layer, stored[i], weights[i])
        for lanes in chunks(layer.lanes[1], WIDTH):
            factors[i][:, lanes] = lengths[i][:, lanes]
            if layer.normed:

                def add(tap: Any, found: Any, i: int = i, lanes: Any = lanes) -> Any:
                    return found + weights[i][tap, lanes, :] ** 2

                nothing = jnp.zeros((lanes.size, layer.matrix[2]), jnp.float32)
                squares = jax.lax.fori_loop(0, len(layer.offsets), add, nothing)
                factors[i][:, lanes] /= jnp.sqrt(_row_sums(squares))


def apply_length(plan: Plan, i: int, sums: Any, weight: Any, length: Any, by_length: Any) -> None:
    """From the gradient of a weight times its factor, those of the weight and the length."""
    layer, size = plan.layers[i], WIDTH
    taps = len(layer.offsets)

    def step(index: Any) -> None:
        out = pallas.ds(pallas.multiple_of(index * size, rows.SUBLANES), size)

        def total(first: Any, second: Any) -> Any:
            """The sum of products over taps and channels that go in, [C (out), 1]."""

            def add(tap: Any, found: Any) -> Any:
                return found + jnp.sum(first[tap, out, :] * second[tap, out, :], axis=1, keepdims=True)

            return jax.lax.fori_loop(0, taps, add, jnp.zeros((size, 1), jnp.float32))

        products = total(sums, weight)
        factor, by_norm = length[out, :], jnp.zeros((size, 1), jnp.float32)
        if layer.normed:
            squares = total(weight, weight)
            norm = jnp.sqrt(squares)
            factor, by_norm = factor / norm, products * factor / (norm * squares)
            products = products / norm
        by_length[out, :] = products

        def apply(tap: Any) -> None:
            sums[tap, out, :] = sums[tap, out, :] * factor - weight[tap, out, :] * by_norm

        times(taps, apply)

    times(layer.lanes[1] // size, step)


def _load_weight(layer: Layer, source: Any, target: Any) -> None:
    """Bring a weight into VMEM, as [taps, C (out), C (in) of a block], zeros between groups."""
    if layer.form == "taps":
        tpu.sync_copy(source, target)
    elif layer.form == "columns":
        for tap in range(len(layer.offsets)):
            tpu.sync_copy(source.at[:, tap, 0, :], target.at[tap])
    else:

        def step(out: Any, own: Any, spread: Any) -> None:
            def of_tap(tap: Any) -> None:
                target[tap, out, :] = jnp.where(own, _whole_product(source[tap, :, out], spread, 0, 0), 0)

            times(len(layer.offsets), of_tap)

        _each_group(layer, step)


def store_weight(layer: Layer, source: Any, target: Any) -> None:
    """The other way round."""
    if layer.form == "taps":
        tpu.sync_copy(source, target)
    elif layer.form == "columns":
        for tap in range(len(layer.offsets)):
            tpu.sync_copy(source.at[tap], target.at[:, tap, 0, :])
    else:

        def step(out: Any, own: Any, spread: Any) -> None:
            def of_tap(tap: Any) -> None:
                target[tap, :, out] = _whole_product(spread, jnp.where(own, source[tap, out, :], 0), 1, 1)

            times(len(layer.offsets), of_tap)

        _each_group(layer, step)


def _each_group(layer: Layer, work: Callable[[Any, Any, Any], None]) -> None:
    """Do `work` for every 128 channels of a grouped weight: which they are, what is their groups', and where it is.

    The second [128 (out), 128 (in)] is true where both are of one group; the third [C (in) of a group, 128] is one
    where a channel in a group is that of a lane.
    """
    given, gives = layer.given // layer.groups, layer.gives // layer.groups
    shape = (layer.stored[1], WIDTH)
    row, lane = (jax.lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (0, 1))
    spread = jnp.where(_remainder(lane, given) == row, 1.0, 0.0)
    out, lane = (jax.lax.broadcasted_iota(jnp.int32, (WIDTH, WIDTH), axis) for axis in (0, 1))
    per_block = layer.lanes[1] // layer.blocks

    def step(index: Any) -> None:
        first = pallas.multiple_of(index * WIDTH, WIDTH)
        own = _quotient(out + jax.lax.rem(first, jnp.int32(per_block)), gives) == _quotient(lane, given)
        work(pallas.ds(first, WIDTH), own, spread)

    times(layer.lanes[1] // WIDTH, step)


def _row_sums(value: Any) -> Any:
    """The sum of each row, [1, rows]: as a product, that has them in the lanes."""
    return _whole_product(jnp.ones((rows.SUBLANES, value.shape[1]), jnp.float32), value, 1, 1)[:1]


def _whole_product(left: Any, right: Any, left_axis: int, right_axis: int) -> Any:
    """The sum over an axis of each, in float32 whatever the plan says."""
    return jax.lax.dot_general(
        left,
        right,
        (((left_axis,), (right_axis,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )


def _quotient(value: Any, by: int) -> Any:
    """Whole division of small numbers that are not negative, which is exact in float32."""
    return jnp.floor((value.astype(jnp.float32) + 0.5) * (1 / by))


def _remainder(value: Any, by: int) -> Any:
    return value - by * _quotient(value, by).astype(jnp.int32)


def chunks(channels: int, most: int = LANES) -> list[Any]:
    """The channels in parts."""
    size = math.gcd(channels, most)
    return [pallas.ds(start, size) for start in range(0, channels, size)]


def times(count: int, work: Callable[[Any], None]) -> None:
    """Do `work` for every number below `count`."""

    def body(index: Any, carry: Any) -> Any:
        work(index)
        return carry

    jax.lax.fori_loop(0, count, body, 0)
