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
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas
from jax.experimental.pallas import tpu

from . import rows

_ROWS = 128  # of a result that are worked on at a time, at most
_LANES = 256  # and lanes
_WIDTH = 128  # lanes of a register; only rows of that width can be read with a stride
_COPIED = 256  # rows of a column that are copied at a time

# How a weight lies in HBM: [taps, C (out), C (in)]; [C (out), taps, 1, C (in)], as a TPU keeps that of columns; or that
# of groups [taps, C (in) of a group, C (out)], the second in whole registers.
Form = Literal["taps", "columns", "groups"]


@dataclass(frozen=True)
class Layer:
    """A convolution of columns."""

    given: int  # channels
    gives: int
    time: int  # of a column of its result
    offsets: tuple[int, ...]  # where the taps are, from `stride` times a result's row
    stride: int
    groups: int
    form: Form
    normed: bool  # whether the weight has a norm

    @property
    def dilation(self) -> int:
        """How far apart taps are: all alike."""
        return self.offsets[1] - self.offsets[0] if len(self.offsets) > 1 else 1

    @property
    def blocks(self) -> int:
        """Registers of channels that are convolved alone, since no group reaches into another."""
        return 1 if self.groups == 1 else _lanes(self.given) // _WIDTH

    @property
    def lanes(self) -> tuple[int, int]:
        """Channels that it is given, and gives, in whole registers."""
        return _lanes(self.given), _lanes(self.gives)

    @property
    def matrix(self) -> tuple[int, int, int]:
        """The shape of its weight in VMEM: [taps, C (out), C (in) of a block]."""
        given, gives = self.lanes
        return len(self.offsets), gives, given // self.blocks

    @property
    def stored(self) -> tuple[int, ...]:
        """The same in HBM."""
        taps, out, given = self.matrix
        if self.form == "groups":
            return taps, -(-self.given // self.groups // rows.SUBLANES) * rows.SUBLANES, out
        return (taps, out, given) if self.form == "taps" else (out, taps, 1, given)


@dataclass(frozen=True)
class Plan:
    """A chain of layers."""

    batch: int
    columns: int
    time: int  # of a column
    layers: tuple[Layer, ...]
    slope: float
    held: str  # the dtype of the signal that is given
    dtype: str  # of products and results
    precise: bool
    sided: bool = False  # whether the sides of all leaky ReLUs are given, as one more signal a layer: 1 or 0
    flowing: tuple[bool, ...] = ()  # whether each result has a gradient of its own; () where all have one

    @property
    def times(self) -> tuple[int, ...]:
        """How long a column is before each layer, and at the end."""
        return (self.time, *(layer.time for layer in self.layers))

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels before each layer, and at the end."""
        return (self.layers[0].given, *(layer.gives for layer in self.layers))

    @property
    def channels(self) -> tuple[int, ...]:
        """The same in whole registers."""
        return tuple(map(_lanes, self.widths))

    @property
    def blocks(self) -> tuple[tuple[int, int, int], ...]:
        """What each signal of one sample is in HBM."""
        return tuple(
            (self.columns, width, -(-time // _WIDTH) * _WIDTH) if width < _WIDTH else (self.columns, time, width)
            for time, width in zip(self.times, self.widths, strict=True)
        )

    @property
    def strides(self) -> tuple[int, ...]:
        """How many rows there are before each layer, and at the end, for one row at the end."""
        found = [1]
        for layer in reversed(self.layers):
            found.append(found[-1] * layer.stride)
        return tuple(reversed(found))

    @property
    def room(self) -> tuple[int, ...]:
        """Rows of a column and the zeros after it, before each layer, and at the end."""
        reach = [*map(_reach, self.layers, self.times), 0]
        last = max(-(-(t + r) // s) for t, r, s in zip(self.times, reach, self.strides, strict=True))
        return tuple(last * stride for stride in self.strides)

    @property
    def part(self) -> int:
        """Rows of a result that are worked on at a time."""
        last = self.columns * self.room[-1]
        parts = -(-last // _ROWS)
        return -(-last // (parts * rows.SUBLANES)) * rows.SUBLANES

    @property
    def lengths(self) -> tuple[int, ...]:
        """Rows of all columns, before each layer, and at the end."""
        last = -(-self.columns * self.room[-1] // self.part) * self.part
        return tuple(last * stride for stride in self.strides)

    @property
    def halo(self) -> int:
        """Rows of zeros before and after a signal: as many as any taps reach, and a part of their result does."""
        most = max(abs(offset) for layer in self.layers for offset in layer.offsets)
        return -(-(most + 1) // rows.SUBLANES) * rows.SUBLANES

    @property
    def flows(self) -> tuple[bool, ...]:
        """Whether each result has a gradient of its own."""
        return self.flowing or (True,) * len(self.layers)

    @property
    def memory(self) -> int:
        """Bytes of VMEM that the larger of the two kernels takes."""
        blocks = [columns * rows.stored(*shape) for columns, *shape in self.blocks]
        # Those of a batch come and go while another is worked on: signal and gradient; results, gradients, sides.
        held = 4 * blocks[0] + (4 + 2 * self.sided) * sum(blocks[1:])
        held += sum(_size(shape) for shape in (*_strips(self)[:-1], *_strips(self)[1:]))
        for layer in self.layers:
            taps, *matrix = layer.matrix
            held += 2 * taps * rows.stored(*matrix) + 4 * rows.stored(matrix[0], 1)
            if layer.form == "groups":
                held += 4 * _size(layer.stored)
        return held

    def of_batch(self, *, backward: bool) -> rows.OfBatch:
        """Which arguments and results of a kernel have the batch as their first axis."""
        count = len(self.layers)
        sides = [True] * (count * self.sided)
        if backward:
            given = [True] * (1 + count + sum(self.flows)) + [False] * 3 * count
            return [*given, *sides], [True] + [False] * 3 * count
        return [True, *[False] * 3 * count, *sides], [True] * count


def fits(plan: Plan, capacity: int) -> bool:
    """Whether kernels can be had with `capacity` bytes of VMEM."""
    return plan.memory <= capacity * 7 // 8


def _lanes(channels: int) -> int:
    """Lanes of whole registers."""
    return -(-channels // _WIDTH) * _WIDTH


def _reach(layer: Layer, time: int) -> int:
    """How many rows before or after a column of `time` rows a layer reads."""
    return max(0, -min(layer.offsets), (layer.time - 1) * layer.stride + max(layer.offsets) - (time - 1))


def forward(plan: Plan, *, interpret: bool) -> Callable[..., Any]:
    """(signal, weights..., biases [1, C]..., lengths [1, C]..., sides...) -> results..."""
    signal, *results = _signals(plan)
    count = len(plan.layers)
    call: Callable[..., Any] = pallas.pallas_call(
        functools.partial(_forward, plan),
        grid=(plan.batch,),
        in_specs=[signal, *_stored(plan), *_vectors(plan) * 2, *results * plan.sided],
        out_specs=results,
        out_shape=[rows.result((plan.batch, *block), plan.dtype) for block in plan.blocks[1:]],
        scratch_shapes=[*_weights(plan), *_rows(plan), *(tpu.VMEM(shape, jnp.float32) for shape in _strips(plan))],
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
    scratch = [*_strips(plan)[:-1], *_strips(plan)[1:]]
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
            rows.result((plan.batch, *plan.blocks[0]), plan.held),
            *(rows.result(layer.stored) for layer in plan.layers),
            *(rows.result((1, layer.lanes[1])) for layer in plan.layers),
            *(rows.result((layer.lanes[1], 1)) for layer in plan.layers),
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
        _fetch(plan, stored, weights, lengths, factors)
        _clear(padded)

    _at_first(start)
    _fill(plan, 0, given.at[0], padded[0])
    for i, layer in enumerate(plan.layers):
        if plan.sided:  # each part is read where the result is written then
            _fill(plan, i + 1, sides[i].at[0], padded[i + 1])

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
        _emit(plan, i + 1, padded[i + 1], results[i].at[0])


def _backward(plan: Plan, given: Any, *others: Any) -> None:
    count = len(plan.layers)
    sizes = (count, sum(plan.flows), count, count, count, count * plan.sided, 1, *[count] * 8)
    (results, flowed, stored, lengths, columns, sides, (target,), sums, biases, by_length, *scratch) = _taken(
        others, sizes
    )
    weights, inner, factors, padded, flowing = scratch
    own = iter(flowed)
    gradients = [next(own).at[0] if flows else None for flows in plan.flows]

    def start() -> None:
        _fetch(plan, stored, weights, lengths, factors)
        _clear((*inner, *padded, *flowing, *biases, *by_length))

    _at_first(start)
    for i in reversed(range(count)):
        layer = plan.layers[i]
        _fill(plan, i, given.at[0] if i == 0 else results[i - 1].at[0], padded[i])
        onward = padded[i + 1] if i + 1 < count else None  # by now the gradient of what the next layer was given
        _bend(plan, i + 1, gradients[i], onward, (sides if plan.sided else results)[i].at[0], flowing[i], biases[i])

        def add(at: Any, i: int = i, layer: Layer = layer) -> None:
            def of_block(given: Any, lanes: Any) -> None:
                middle = _joined(flowing[i], at + plan.halo, plan.part, lanes)

                def of_tap(tap: Any) -> None:
                    window = _window(plan, layer, padded[i], at, tap, given)
                    inner[i][tap, lanes, :] += rows.product(plan, middle, window, 0, 0)

                _times(len(layer.offsets), of_tap)

            _each_block(layer, of_block)

        def scale(at: Any, i: int = i, layer: Layer = layer) -> None:
            for lanes in _chunks(layer.lanes[1]):
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
    _emit(plan, 0, padded[0], target.at[0])

    def finish() -> None:
        for i in range(count):
            _apply_length(plan, i, inner[i], weights[i], columns[i], by_length[i])
            _store_weight(plan.layers[i], inner[i], sums[i])

    pallas.when(pallas.program_id(0) == plan.batch - 1)(finish)


def _bend(plan: Plan, stage: int, gradient: Any, onward: Any, decides: Any, target: Any, bias: Any) -> None:
    """The gradient of what a leaky ReLU was given, from its result's own gradient and that of the next layer."""

    def of_column(column: Any) -> None:
        first = column * plan.room[stage] + plan.halo

        def of_piece(start: Any, size: int) -> None:
            for lanes in _chunks(plan.channels[stage]):
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

    _times(plan.columns, of_column)


def _apply_length(plan: Plan, i: int, sums: Any, weight: Any, length: Any, by_length: Any) -> None:
    """From the gradient of a weight times its factor, those of the weight and the length."""
    layer, size = plan.layers[i], _WIDTH
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

        _times(taps, apply)

    _times(layer.lanes[1] // size, step)


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


def _fetch(
    plan: Plan, stored: Sequence[Any], weights: Sequence[Any], lengths: Sequence[Any], factors: Sequence[Any]
) -> None:
    """Copy weights into VMEM, and find their factors [1, C]."""
    for i, layer in enumerate(plan.layers):
        _load_weight(layer, stored[i], weights[i])
        for lanes in _chunks(layer.lanes[1], _WIDTH):
            factors[i][:, lanes] = lengths[i][:, lanes]
            if layer.normed:

                def add(tap: Any, found: Any, i: int = i, lanes: Any = lanes) -> Any:
                    return found + weights[i][tap, lanes, :] ** 2

                nothing = jnp.zeros((lanes.size, layer.matrix[2]), jnp.float32)
                squares = jax.lax.fori_loop(0, len(layer.offsets), add, nothing)
                factors[i][:, lanes] /= jnp.sqrt(_row_sums(squares))


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

            _times(len(layer.offsets), of_tap)

        _each_group(layer, step)


def _store_weight(layer: Layer, source: Any, target: Any) -> None:
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

            _times(len(layer.offsets), of_tap)

        _each_group(layer, step)


def _each_group(layer: Layer, work: Callable[[Any, Any, Any], None]) -> None:
    """Do `work` for every 128 channels of a grouped weight: which they are, what is their groups', and where it is.

    The second [128 (out), 128 (in)] is true where both are of one group; the third [C (in) of a group, 128] is one
    where a channel in a group is that of a lane.
    """
    given, gives = layer.given // layer.groups, layer.gives // layer.groups
    shape = (layer.stored[1], _WIDTH)
    row, lane = (jax.lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (0, 1))
    spread = jnp.where(_remainder(lane, given) == row, 1.0, 0.0)
    out, lane = (jax.lax.broadcasted_iota(jnp.int32, (_WIDTH, _WIDTH), axis) for axis in (0, 1))
    per_block = layer.lanes[1] // layer.blocks

    def step(index: Any) -> None:
        first = pallas.multiple_of(index * _WIDTH, _WIDTH)
        own = _quotient(out + jax.lax.rem(first, jnp.int32(per_block)), gives) == _quotient(lane, given)
        work(pallas.ds(first, _WIDTH), own, spread)

    _times(layer.lanes[1] // _WIDTH, step)


def _quotient(value: Any, by: int) -> Any:
    """Whole division of small numbers that are not negative, which is exact in float32."""
    return jnp.floor((value.astype(jnp.float32) + 0.5) * (1 / by))


def _remainder(value: Any, by: int) -> Any:
    return value - by * _quotient(value, by).astype(jnp.int32)


def _clear(memory: Sequence[Any]) -> None:
    for one in memory:
        if len(one.shape) == 3:

            def body(index: Any, one: Any = one) -> None:
                one[index] = jnp.zeros(one.shape[1:], jnp.float32)

            _times(one.shape[0], body)
        else:
            one[...] = jnp.zeros(one.shape, jnp.float32)


def _times(count: int, work: Callable[[Any], None]) -> None:
    """Do `work` for every number below `count`."""

    def body(index: Any, carry: Any) -> Any:
        work(index)
        return carry

    jax.lax.fori_loop(0, count, body, 0)


def _each(plan: Plan, stage: int, work: Callable[[Any], None]) -> None:
    """Do `work` at the first row of every part of a signal."""
    _times(plan.lengths[stage] // plan.part, lambda index: work(pallas.multiple_of(index * plan.part, rows.SUBLANES)))


def _each_piece(plan: Plan, stage: int, work: Callable[[Any, int], None]) -> None:
    """Do `work` for rows of a column that are copied at a time: where they start, and how many they are."""
    time, size = plan.times[stage], _COPIED if plan.widths[stage] >= _WIDTH else _WIDTH
    whole = time // size
    if whole > 1:
        _times(whole, lambda index: work(pallas.multiple_of(index * size, _WIDTH), size))
    elif whole:
        work(0, size)
    if time % size:
        work(whole * size, time % size)


def _piece(plan: Plan, stage: int, block: Any, column: Any, start: Any, size: int, lanes: Any) -> Any:
    """Rows of a column in HBM's layout, whole registers of channels."""
    width = plan.widths[stage]
    if width >= _WIDTH:
        return block[column, pallas.ds(start, size), lanes].astype(jnp.float32)
    found = block[column, :, pallas.ds(start, _WIDTH)].astype(jnp.float32)
    return jnp.concatenate([found, jnp.zeros((_WIDTH - width, _WIDTH), jnp.float32)], axis=0).T[:size]


def _chunks(channels: int, most: int = _LANES) -> list[Any]:
    """The channels in parts."""
    size = math.gcd(channels, most)
    return [pallas.ds(start, size) for start in range(0, channels, size)]


def _each_block(layer: Layer, work: Callable[[Any, Any], None]) -> None:
    """Do `work` for channels that a layer gives, and those that they are made of."""
    given, gives = layer.lanes
    per_block = gives // layer.blocks
    size = math.gcd(per_block, _LANES)

    def body(index: Any) -> None:
        lanes = pallas.ds(pallas.multiple_of(index * size, _WIDTH), size)
        block = jax.lax.div(index, jnp.int32(per_block // size))
        first = pallas.multiple_of(block * _WIDTH, _WIDTH)
        work(pallas.ds(0, given) if layer.blocks == 1 else pallas.ds(first, _WIDTH), lanes)

    _times(gives // size, body)


def _each_block_back(layer: Layer, work: Callable[[Any, Any, Any], None]) -> None:
    """Do `work` for channels that a layer is given, where they are in its matrix, and those that are made of them."""
    given, gives = layer.lanes
    size = math.gcd(given, _LANES) if layer.blocks == 1 else _WIDTH

    def body(index: Any) -> None:
        lanes = pallas.ds(pallas.multiple_of(index * size, _WIDTH), size)
        if layer.blocks == 1:
            work(lanes, lanes, pallas.ds(0, gives))
        else:
            per_block = gives // layer.blocks
            out = pallas.ds(pallas.multiple_of(index * per_block, _WIDTH), per_block)
            work(lanes, pallas.ds(0, _WIDTH), out)

    _times(given // size, body)


def _joined(split: Any, at: Any, count: int, lanes: Any, stride: int = 1) -> Any:
    """Rows of a signal that is kept in strips of one register's width: [C / 128, rows, 128]."""
    taken = pallas.ds(at, count, stride=stride) if stride > 1 else pallas.ds(at, count)
    return jnp.concatenate([split.at[strip][taken, :] for strip in _strips_of(lanes)], axis=1)


def _split(split: Any, at: Any, value: Any, lanes: Any, stride: int = 1) -> None:
    """Write rows of a signal in strips."""
    taken = pallas.ds(at, value.shape[0], stride=stride) if stride > 1 else pallas.ds(at, value.shape[0])
    for i, strip in enumerate(_strips_of(lanes)):
        split.at[strip][taken, :] = value[:, i * _WIDTH : (i + 1) * _WIDTH]


def _strips_of(lanes: Any) -> list[Any]:
    first = lanes.start // _WIDTH if isinstance(lanes.start, int) else jax.lax.div(lanes.start, jnp.int32(_WIDTH))
    return [first + i for i in range(lanes.size // _WIDTH)]


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

    _times(plan.columns, of_column)
    if plan.lengths[stage] > plan.columns * room:
        after = jnp.zeros((plan.lengths[stage] - plan.columns * room, lanes.size), jnp.float32)
        _split(padded, plan.columns * room + plan.halo, after, lanes)


def _emit(plan: Plan, stage: int, padded: Any, block: Any) -> None:
    """Write a signal's columns to where they leave the chip from."""
    width = plan.widths[stage]

    def of_column(column: Any) -> None:
        first = column * plan.room[stage] + plan.halo

        def of_piece(start: Any, size: int) -> None:
            if width < _WIDTH:  # what comes after the column nobody reads
                turned = padded.at[0][pallas.ds(first + start, _WIDTH), :].T[:width]
                block[column, :, pallas.ds(start, _WIDTH)] = turned.astype(block.dtype)
                return
            for lanes in _chunks(width):
                found = _joined(padded, first + start, size, lanes)
                block[column, pallas.ds(start, size), lanes] = found.astype(block.dtype)

        _each_piece(plan, stage, of_piece)

    _times(plan.columns, of_column)


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


def _strips(plan: Plan) -> list[tuple[int, int, int]]:
    """Shapes of all signals between zeros, in strips; those of few channels are read beyond their end."""
    return [
        (lanes // _WIDTH, count + 2 * plan.halo + _WIDTH * (width < _WIDTH), _WIDTH)
        for count, lanes, width in zip(plan.lengths, plan.channels, plan.widths, strict=True)
    ]


def _size(shape: tuple[int, ...]) -> int:
    """Bytes of whole registers of float32."""
    return 4 * math.prod(shape)


def _limits(plan: Plan, *, passes: int, signals: int, results: int, weights: int) -> dict[str, Any]:
    """`passes` are products with each matrix; the others say how many are read and written, or how often."""
    first, *others = (math.prod(block) for block in plan.blocks)
    accessed = signals * first * jnp.dtype(plan.held).itemsize
    accessed += results * sum(others) // len(others) * jnp.dtype(plan.dtype).itemsize
    stored = 4 * sum(math.prod(layer.stored) for layer in plan.layers)
    products = sum(math.prod(layer.matrix) * n for layer, n in zip(plan.layers, plan.lengths[1:], strict=True))
    return rows.limits(plan.memory, passes * plan.batch * products, plan.batch * accessed + weights * stored)
