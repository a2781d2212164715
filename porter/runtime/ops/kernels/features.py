"""Kernels for a TPU: a chain of convolutions, each followed by a leaky ReLU, all of whose results are wanted.

One sample of a batch is in VMEM at a time, and so are all weights: a result is written once, and read once in the
backward pass. A sample may have several columns, each convolved alone. In VMEM they stand one after the other in time,
with room between them, where all signals are zero; convolutions may have a stride, and groups.

Signals are [B, columns, T, C]; where channels do not fill the lanes, they are [B, columns, C, T], and T is then as many
whole registers. What a weight gives is multiplied by a factor [C], or, with a weight norm (Salimans and Kingma 2016,
arXiv:1602.07868), by a length over that of the weight.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas
from jax.experimental.pallas import tpu

from . import rows
from .chains import WIDTH, Layer, Plan, misfit, strips
from .weights import LANES, apply_length, chunks, fetch, store_weight, times

__all__ = ["Layer", "Plan", "arguments", "backward", "forward", "misfit"]

_COPIED = 256  # rows of a column that are copied at a time


def arguments(plan: Plan, *, backward: bool) -> list[Any]:
    """What a kernel is given."""
    signal = rows.array((plan.batch, *plan.blocks[0]), plan.held)
    results = [rows.array((plan.batch, *block), plan.dtype) for block in plan.blocks[1:]]
    weights = [rows.array(layer.stored) for layer in plan.layers]
    vectors = [rows.array((1, layer.lanes[1])) for layer in plan.layers]
    sides = results * plan.sided
    if not backward:
        return [signal, *weights, *vectors, *vectors, *sides]
    flowed = [result for result, flows in zip(results, plan.flows, strict=True) if flows]
    columns = [rows.array((layer.lanes[1], 1)) for layer in plan.layers]
    return [signal, *results, *flowed, *weights, *vectors, *columns, *sides]


def forward(plan: Plan, *, interpret: bool) -> Callable[..., Any]:
    """(signal, weights..., biases [1, C]..., lengths [1, C]..., sides...) -> results..."""
    signal, *results = _signals(plan)
    count = len(plan.layers)
    call: Callable[..., Any] = pallas.pallas_call(
        functools.partial(_forward, plan),
        grid=(plan.batch,),
        in_specs=[signal, *_stored(plan), *_vectors(plan) * 2, *results * plan.sided],
        out_specs=results,
        out_shape=[rows.array((plan.batch, *block), plan.dtype) for block in plan.blocks[1:]],
        scratch_shapes=[*_weights(plan), *_rows(plan), *(tpu.VMEM(shape, jnp.float32) for shape in strips(plan))],
        interpret=interpret,
        **_limits(plan, passes=1, signals=1, results=count, weights=1),
    )
    return rows.from_memory(call, interpret=interpret)


def backward(plan: Plan, *, interpret: bool) -> Callable[..., Any]:
    """(signal, results..., gradients..., weights..., lengths [1, C]..., lengths [C, 1]..., sides...) -> gradients.

    Of results that have a gradient (`plan.flows`), that is given. What is found are those of the signal, weights,
    biases [1, C] and lengths [C, 1]; all but the first in float32.
    """
    signal, *results = _signals(plan)
    flowed = [block for block, flows in zip(results, plan.flows, strict=True) if flows]
    count = len(plan.layers)
    columns = [rows.for_all(layer.lanes[1], 1) for layer in plan.layers]
    scratch = [*strips(plan)[:-1], *strips(plan)[1:]]
    call: Callable[..., Any] = pallas.pallas_call(
        functools.partial(_backward, plan),
        grid=(plan.batch,),
        in_specs=[
            signal,
            *results,
            *flowed,
            *_stored(plan),
            *_vectors(plan),
            *columns,
            *results * plan.sided,
        ],
        out_specs=[signal, *_stored(plan), *_vectors(plan), *columns],
        out_shape=[
            rows.array((plan.batch, *plan.blocks[0]), plan.held),
            *(rows.array(layer.stored) for layer in plan.layers),
            *(rows.array((1, layer.lanes[1])) for layer in plan.layers),
            *(rows.array((layer.lanes[1], 1)) for layer in plan.layers),
        ],
        scratch_shapes=[*_weights(plan) * 2, *_rows(plan), *(tpu.VMEM(shape, jnp.float32) for shape in scratch)],
        interpret=interpret,
        **_limits(plan, passes=2, signals=2, results=count + len(flowed), weights=2),
    )
    return rows.from_memory(call, interpret=interpret)


def _forward(plan: Plan, given: Any, *others: Any) -> None:
    count = len(plan.layers)
    stored, biases, lengths, sides, results, weights, factors, padded = _taken(
        others, (count, count, count, count * plan.sided, count, count, count, count + 1)
    )

    def start() -> None:
        fetch(plan, stored, weights, lengths, factors)
        _clear(padded)

    _at_first(start)
    _fill(plan, 0, given, padded[0])
    for i, layer in enumerate(plan.layers):
        if plan.sided:  # each part is read where the result is written then
            _fill(plan, i + 1, sides[i], padded[i + 1])

        def step(at: Any, i: int = i, layer: Layer = layer) -> None:
            def of_block(given: Any, lanes: Any) -> None:
                def add(tap: Any, total: Any) -> Any:
                    window = _window(plan, layer, padded[i], at, tap, given)
                    return total + rows.product(plan, window, weights[i][tap, lanes, :], 1, 1)

                nothing = jnp.zeros((plan.part, lanes.size), jnp.float32)
                found = jax.lax.fori_loop(0, len(layer.offsets), add, nothing)
                found = rows.rounded(plan, found * factors[i][:, lanes] + biases[i][:, lanes])
                target = padded[i + 1]
                decides = _joined(target, at + plan.halo, plan.part, lanes) if plan.sided else found
                found = rows.rounded(plan, jnp.where(decides > 0, found, found * plan.slope))
                _split(target, at + plan.halo, _valid(plan, i + 1, at, found), lanes)

            _each_block(layer, of_block)

        _each(plan, i + 1, step)
        _emit(plan, i + 1, padded[i + 1], results[i])


def _backward(plan: Plan, given: Any, *others: Any) -> None:
    count = len(plan.layers)
    sizes = (count, sum(plan.flows), count, count, count, count * plan.sided, 1, *[count] * 8)
    (results, flowed, stored, lengths, columns, sides, (target,), sums, biases, by_length, *scratch) = _taken(
        others, sizes
    )
    weights, inner, factors, padded, flowing = scratch
    own = iter(flowed)
    gradients = [next(own) if flows else None for flows in plan.flows]

    def start() -> None:
        fetch(plan, stored, weights, lengths, factors)
        _clear((*inner, *padded, *flowing, *biases, *by_length))

    _at_first(start)
    for i in reversed(range(count)):
        layer = plan.layers[i]
        _fill(plan, i, given if i == 0 else results[i - 1], padded[i])
        onward = padded[i + 1] if i + 1 < count else None  # by now the gradient of what the next layer was given
        _bend(plan, i + 1, gradients[i], onward, (sides if plan.sided else results)[i], flowing[i], biases[i])

        def add(at: Any, i: int = i, layer: Layer = layer) -> None:
            def of_block(given: Any, lanes: Any) -> None:
                middle = _joined(flowing[i], at + plan.halo, plan.part, lanes)

                def of_tap(tap: Any) -> None:
                    window = _window(plan, layer, padded[i], at, tap, given)
                    inner[i][tap, lanes, :] += rows.product(plan, middle, window, 0, 0)

                times(len(layer.offsets), of_tap)

            _each_block(layer, of_block)

        def scale(at: Any, i: int = i, layer: Layer = layer) -> None:
            for lanes in chunks(layer.lanes[1]):
                scaled = _joined(flowing[i], at + plan.halo, plan.part, lanes) * factors[i][:, lanes]
                _split(flowing[i], at + plan.halo, scaled, lanes)

        def pass_on(at: Any, i: int = i, layer: Layer = layer) -> None:
            def of_block(given: Any, part: Any, out: Any) -> None:
                for phase in range(layer.stride):
                    taps = _taps_of_phase(layer, phase)

                    def add(number: Any, total: Any, taps: _Taps = taps) -> Any:
                        first = at + plan.halo - taps.shift - number * taps.further
                        shifted = _joined(flowing[i], first, plan.part, out)
                        weight = weights[i][taps.first + number * taps.step, out, part]
                        return total + rows.product(plan, shifted, weight, 1, 0)

                    found = jax.lax.fori_loop(0, taps.total, add, jnp.zeros((plan.part, part.size), jnp.float32))
                    _split(padded[i], at * layer.stride + plan.halo + phase, found, given, layer.stride)

            _each_block_back(layer, of_block)

        _each(plan, i + 1, add)
        _each(plan, i + 1, scale)
        _each(plan, i + 1, pass_on)
    _emit(plan, 0, padded[0], target)

    def finish() -> None:
        for i in range(count):
            apply_length(plan, i, inner[i], weights[i], columns[i], by_length[i])
            store_weight(plan.layers[i], inner[i], sums[i])

    pallas.when(pallas.program_id(0) == plan.batch - 1)(finish)


def _bend(plan: Plan, stage: int, gradient: Any, onward: Any, decides: Any, target: Any, bias: Any) -> None:
    """The gradient of what a leaky ReLU was given, from its result's own gradient and that of the next layer."""

    def of_column(column: Any) -> None:
        first = column * plan.room[stage] + plan.halo

        def of_piece(start: Any, size: int) -> None:
            for lanes in chunks(plan.channels[stage]):
                found = jnp.zeros((size, lanes.size), jnp.float32)
                if gradient is not None:
                    found += _piece(plan, stage, gradient, column, start, size, lanes)
                if onward is not None:
                    found += rows.rounded(plan, _joined(onward, first + start, size, lanes))
                upper = _piece(plan, stage, decides, column, start, size, lanes) > 0
                found = rows.rounded(plan, jnp.where(upper, found, found * plan.slope))
                bias[:, lanes] += jnp.sum(found, axis=0, keepdims=True)
                _split(target, first + start, found, lanes)

        _each_piece(plan, stage, of_piece)

    times(plan.columns, of_column)


def _taken(others: Sequence[Any], sizes: Sequence[int]) -> list[Any]:
    """Groups of these sizes."""
    found, start = [], 0
    for size in sizes:
        found.append(others[start : start + size])
        start += size
    return found


def _at_first(work: Callable[[], None]) -> None:
    """Do something before the first sample of a batch."""
    pallas.when(pallas.program_id(0) == 0)(work)


def _clear(memory: Sequence[Any]) -> None:
    for one in memory:
        if len(one.shape) == 3:

            def body(index: Any, one: Any = one) -> None:
                one[index] = jnp.zeros(one.shape[1:], jnp.float32)

            times(one.shape[0], body)
        else:
            one[...] = jnp.zeros(one.shape, jnp.float32)


def _each(plan: Plan, stage: int, work: Callable[[Any], None]) -> None:
    """Do `work` at the first row of every part of a signal."""
    times(plan.lengths[stage] // plan.part, lambda index: work(pallas.multiple_of(index * plan.part, rows.SUBLANES)))


def _each_piece(plan: Plan, stage: int, work: Callable[[Any, int], None]) -> None:
    """Do `work` for rows of a column that are copied at a time: where they start, and how many they are."""
    time, size = plan.times[stage], _COPIED if plan.widths[stage] >= WIDTH else WIDTH
    whole = time // size
    if whole > 1:
        times(whole, lambda index: work(pallas.multiple_of(index * size, WIDTH), size))
    elif whole:
        work(0, size)
    if time % size:
        work(whole * size, time % size)


def _piece(plan: Plan, stage: int, block: Any, column: Any, start: Any, size: int, lanes: Any) -> Any:
    """Rows of a column in HBM's layout, whole registers of channels."""
    width = plan.widths[stage]
    if width >= WIDTH:
        return block[0, column, pallas.ds(start, size), lanes].astype(jnp.float32)
    found = block[0, column, :, pallas.ds(start, WIDTH)].astype(jnp.float32)
    return jnp.concatenate([found, jnp.zeros((WIDTH - width, WIDTH), jnp.float32)], axis=0).T[:size]


def _each_block(layer: Layer, work: Callable[[Any, Any], None]) -> None:
    """Do `work` for channels that a layer gives, and those that they are made of."""
    given, gives = layer.lanes
    per_block = gives // layer.blocks
    size = math.gcd(per_block, LANES)

    def body(index: Any) -> None:
        lanes = pallas.ds(pallas.multiple_of(index * size, WIDTH), size)
        block = jax.lax.div(index, jnp.int32(per_block // size))
        first = pallas.multiple_of(block * WIDTH, WIDTH)
        work(pallas.ds(0, given) if layer.blocks == 1 else pallas.ds(first, WIDTH), lanes)

    times(gives // size, body)


def _each_block_back(layer: Layer, work: Callable[[Any, Any, Any], None]) -> None:
    """Do `work` for channels that a layer is given, where they are in its matrix, and those that are made of them."""
    given, gives = layer.lanes
    size = math.gcd(given, LANES) if layer.blocks == 1 else WIDTH

    def body(index: Any) -> None:
        lanes = pallas.ds(pallas.multiple_of(index * size, WIDTH), size)
        if layer.blocks == 1:
            work(lanes, lanes, pallas.ds(0, gives))
        else:
            per_block = gives // layer.blocks
            out = pallas.ds(pallas.multiple_of(index * per_block, WIDTH), per_block)
            work(lanes, pallas.ds(0, WIDTH), out)

    times(given // size, body)


def _joined(split: Any, at: Any, count: int, lanes: Any, stride: int = 1) -> Any:
    """Rows of a signal that is kept in strips of one register's width: [C / 128, rows, 128]."""
    taken = pallas.ds(at, count, stride=stride) if stride > 1 else pallas.ds(at, count)
    return jnp.concatenate([split.at[strip][taken, :] for strip in _strips_of(lanes)], axis=1)


def _split(split: Any, at: Any, value: Any, lanes: Any, stride: int = 1) -> None:
    """Write rows of a signal in strips."""
    taken = pallas.ds(at, value.shape[0], stride=stride) if stride > 1 else pallas.ds(at, value.shape[0])
    for i, strip in enumerate(_strips_of(lanes)):
        split.at[strip][taken, :] = value[:, i * WIDTH : (i + 1) * WIDTH]


def _strips_of(lanes: Any) -> list[Any]:
    first = lanes.start // WIDTH if isinstance(lanes.start, int) else jax.lax.div(lanes.start, jnp.int32(WIDTH))
    return [first + i for i in range(lanes.size // WIDTH)]


def _fill(plan: Plan, stage: int, block: Any, padded: Any) -> None:
    """Write a signal's columns one after the other, in strips, with zeros between them."""
    time, room, lanes = plan.times[stage], plan.room[stage], pallas.ds(0, plan.channels[stage])

    def of_column(column: Any) -> None:
        first = column * room + plan.halo

        def of_piece(start: Any, size: int) -> None:
            found = _piece(plan, stage, block, column, start, size, lanes)
            _split(padded, first + start, rows.rounded(plan, found), lanes)

        _each_piece(plan, stage, of_piece)
        if room > time:
            _split(padded, first + time, jnp.zeros((room - time, lanes.size), jnp.float32), lanes)

    times(plan.columns, of_column)
    if plan.lengths[stage] > plan.columns * room:
        after = jnp.zeros((plan.lengths[stage] - plan.columns * room, lanes.size), jnp.float32)
        _split(padded, plan.columns * room + plan.halo, after, lanes)


def _emit(plan: Plan, stage: int, padded: Any, block: Any) -> None:
    """Write a signal's columns to where they leave the chip from."""
    width = plan.widths[stage]

    def of_column(column: Any) -> None:
        first = column * plan.room[stage] + plan.halo

        def of_piece(start: Any, size: int) -> None:
            if width < WIDTH:  # what comes after the column nobody reads
                turned = padded.at[0][pallas.ds(first + start, WIDTH), :].T[:width]
                block[0, column, :, pallas.ds(start, WIDTH)] = turned.astype(block.dtype)
                return
            for lanes in chunks(width):
                found = _joined(padded, first + start, size, lanes)
                block[0, column, pallas.ds(start, size), lanes] = found.astype(block.dtype)

        _each_piece(plan, stage, of_piece)

    times(plan.columns, of_column)


def _window(plan: Plan, layer: Layer, padded: Any, at: Any, tap: Any, lanes: Any) -> Any:
    """Every row of what a layer is given that a tap takes for one part of its result."""
    start = at * layer.stride + plan.halo + layer.offsets[0] + tap * layer.dilation
    return _joined(padded, start, plan.part, lanes, layer.stride)


class _Taps(NamedTuple):
    """The taps that read the rows of one phase: `first`, `first + step`, ..., `total` of them.

    The first reads for a result's row that is `shift` earlier, the next for one that is `further` earlier still.
    """

    first: int
    step: int
    total: int
    shift: int
    further: int


def _taps_of_phase(layer: Layer, phase: int) -> _Taps:
    taps = [tap for tap, offset in enumerate(layer.offsets) if (offset - phase) % layer.stride == 0]
    if not taps:
        return _Taps(0, 0, 0, 0, 0)
    step = taps[1] - taps[0] if len(taps) > 1 else 0
    shift = (layer.offsets[taps[0]] - phase) // layer.stride
    return _Taps(taps[0], step, len(taps), shift, step * layer.dilation // layer.stride)


def _valid(plan: Plan, stage: int, at: Any, value: Any) -> Any:
    """Zero where no column is."""
    row = (jax.lax.broadcasted_iota(jnp.int32, value.shape, 0) + at).astype(jnp.float32)
    column = jnp.floor((row + 0.5) * (1 / plan.room[stage]))  # exact: far fewer rows than float32 can count
    inside = (row - column * plan.room[stage] < plan.times[stage]) & (column < plan.columns)
    return jnp.where(inside, value, 0)


def _signals(plan: Plan) -> list[Any]:
    """Blocks of the signal and of all results."""
    return [rows.per_sample(*block) for block in plan.blocks]


def _stored(plan: Plan) -> list[Any]:
    """Where weights are read from and written to."""
    return [
        rows.for_all(*layer.stored) if layer.form == "groups" else pallas.BlockSpec(memory_space=pallas.ANY)
        for layer in plan.layers
    ]


def _vectors(plan: Plan) -> list[Any]:
    """Blocks of one number a channel of each result."""
    return [rows.for_all(1, layer.lanes[1]) for layer in plan.layers]


def _weights(plan: Plan) -> list[Any]:
    """Memory for all weights, or their gradients."""
    return [tpu.VMEM(layer.matrix, jnp.float32) for layer in plan.layers]


def _rows(plan: Plan) -> list[Any]:
    """Memory for one number a channel of each result."""
    return [tpu.VMEM((1, layer.lanes[1]), jnp.float32) for layer in plan.layers]


def _limits(plan: Plan, *, passes: int, signals: int, results: int, weights: int) -> dict[str, Any]:
    """`passes` are products with each matrix; the others say how many are read and written, or how often."""
    first, *others = (math.prod(block) for block in plan.blocks)
    accessed = signals * first * jnp.dtype(plan.held).itemsize
    accessed += results * sum(others) // len(others) * jnp.dtype(plan.dtype).itemsize
    stored = 4 * sum(math.prod(layer.stored) for layer in plan.layers)
    products = sum(math.prod(layer.matrix) * n for layer, n in zip(plan.layers, plan.lengths[1:], strict=True))
    return rows.limits(plan.memory, passes * plan.batch * products, plan.batch * accessed + weights * stored)
