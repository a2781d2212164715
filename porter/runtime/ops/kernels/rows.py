"""What kernels over one sample's signal share: rows of it in registers, taps of a convolution, products.

A signal is [time, channels], time in sublanes and channels in lanes. It is worked on in parts of a few hundred rows.
Arithmetic is in float32, and rounded to the plan's dtype where torch would round.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.experimental import pallas
from jax.experimental.pallas import tpu

SUBLANES = 8
_ROWS = 512  # of 128 channels that are worked on at a time, at most: compile time grows with them
_LANES = 128


OfBatch = tuple[list[bool], list[bool]]  # of the arguments of a kernel, and of its results


class Arithmetic(Protocol):
    """What is known of the products of a kernel."""

    @property
    def dtype(self) -> str:
        """The dtype of weights, products and of what a layer gives."""

    @property
    def precise(self) -> bool:
        """Whether products of float32 are to be whole, not one pass in bfloat16."""


class Plan(Arithmetic, Protocol):
    """What is known of the signals of a kernel."""

    @property
    def time(self) -> int:
        """Rows of a signal: a multiple of SUBLANES."""

    @property
    def channels(self) -> int:
        """Lanes of a signal."""

    @property
    def halo(self) -> int:
        """Rows before and after a signal that the taps may reach: a multiple of SUBLANES."""

    @property
    def held(self) -> str:
        """The dtype of signals that are summed up: that of layers' results, or a wider one."""

    @property
    def memory(self) -> int:
        """Bytes of VMEM that the larger of two kernels, forward and backward, takes."""


def misfit(plan: Plan, capacity: int) -> str:
    """Why kernels cannot be had with `capacity` bytes of VMEM, in a clause; "" where they can."""
    if plan.time % SUBLANES:
        return f"its signal has {plan.time} rows, no multiple of {SUBLANES}"
    return too_large(plan.memory, capacity * 3 // 4)


def too_large(memory: int, capacity: int) -> str:
    """What is amiss where a kernel takes `memory` bytes of VMEM, and `capacity` can be had; "" where nothing is."""
    if memory <= capacity:
        return ""
    return f"it takes {memory / 2**20:.1f} MiB of VMEM, where {capacity / 2**20:.1f} can be had"


def halo(taps: tuple[tuple[int, ...], ...]) -> int:
    """Rows that taps at these offsets may reach, in whole registers."""
    most = max(abs(offset) for offsets in taps for offset in offsets)
    return -(-most // SUBLANES) * SUBLANES


def part(plan: Plan) -> int:
    """Rows of a signal that are worked on at a time."""
    most = max(_ROWS // -(-plan.channels // _LANES), SUBLANES)
    return max(n for n in range(SUBLANES, most + 1, SUBLANES) if plan.time % n == 0)


def stored(rows: int, channels: int) -> int:
    """Bytes that float32 of this shape takes in VMEM."""
    return rows * -(-channels // _LANES) * _LANES * 4


def each(plan: Plan, work: Callable[[Any], None]) -> None:
    """Do `work` at the first row of every part of a signal."""
    rows = part(plan)

    def body(index: Any, carry: Any) -> Any:
        work(pallas.multiple_of(index * rows, SUBLANES))
        return carry

    jax.lax.fori_loop(0, plan.time // rows, body, 0)


def _from_row(signal: Any, at: Any, count: int) -> tuple[Any, ...]:
    """The index of `count` rows from `at` on: a multiple of SUBLANES.

    It is said to be one since Mosaic, as of libtpu 0.0.21, does not see that in a sum; and a block is indexed, not
    viewed as [T, C] first, since that Mosaic takes no view of memory whose rows or lanes are no whole registers.
    """
    first = at if isinstance(at, int) else pallas.multiple_of(at, SUBLANES)
    return (*(0,) * (len(signal.shape) - 2), pallas.ds(first, count), slice(None))


def load(plan: Plan, signal: Any, at: Any) -> Any:
    """One part of a signal [T, C], or of a block of it [1, T, C], from row `at` on: a multiple of SUBLANES."""
    return signal[_from_row(signal, at, part(plan))].astype(jnp.float32)


def store(signal: Any, at: Any, value: Any) -> None:
    """Write a part of a signal [T, C], or of a block of it [1, T, C], from row `at` on: a multiple of SUBLANES."""
    signal[_from_row(signal, at, value.shape[0])] = value.astype(signal.dtype)


def copy(plan: Plan, source: Any, target: Any, skipped: int = 0) -> None:
    """Write a signal to another, after `skipped` rows."""
    each(plan, lambda at: store(target, at + skipped, load(plan, source, at)))


def clear(plan: Plan, padded: Any, channels: int = 0) -> None:
    """Write the zeros around a padded signal, of other channels than the plan's for example."""
    nothing = jnp.zeros((plan.halo, channels or plan.channels), jnp.float32)
    if plan.halo:
        store(padded, 0, nothing)
        store(padded, plan.halo + plan.time, nothing)


def window(plan: Plan, padded: Any, at: Any) -> Any:
    """One part of a padded signal, and what its taps may reach."""
    return padded[_from_row(padded, at, part(plan) + 2 * plan.halo)]


def shifted(plan: Plan, window: Any, offset: int) -> Any:
    """The part of a window that is `offset` rows later than its middle."""
    return window[plan.halo + offset : plan.halo + offset + part(plan)]


def convolved(plan: Plan, window: Any, weight: Any, offsets: tuple[int, ...], axis: int) -> Any:
    """The sum of a window's taps times their weights: [taps, C, C], of which `axis`, 0 or 1, is what
    goes in."""
    taps = [product(plan, shifted(plan, window, o), weight[tap], 1, axis) for tap, o in enumerate(offsets)]
    return functools.reduce(operator.add, taps)


def convolved_back(plan: Plan, window: Any, weight: Any, offsets: tuple[int, ...], axis: int) -> Any:
    """The gradient of what `convolved` was given, from a window of that of its result."""
    taps = [product(plan, shifted(plan, window, -o), weight[tap], 1, 1 - axis) for tap, o in enumerate(offsets)]
    return functools.reduce(operator.add, taps)


def add_weight_gradient(plan: Plan, sums: Any, window: Any, flowed: Any, offsets: tuple[int, ...], axis: int) -> None:
    """Add what a part gives to the gradient of a weight, from what was convolved and the result's gradient."""
    for tap, offset in enumerate(offsets):
        pair = (shifted(plan, window, offset), flowed)
        sums[tap] += product(plan, pair[axis], pair[1 - axis], 0, 0)


def product(plan: Arithmetic, left: Any, right: Any, left_axis: int, right_axis: int) -> Any:
    """The sum over an axis of each, in float32."""
    return jax.lax.dot_general(
        left.astype(plan.dtype),
        right.astype(plan.dtype),
        (((left_axis,), (right_axis,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST if plan.precise else jax.lax.Precision.DEFAULT,
        preferred_element_type=jnp.float32,
    )


def rounded(plan: Arithmetic, value: Any) -> Any:
    """`value`, in float32, as a layer would give it."""
    return value.astype(plan.dtype).astype(jnp.float32)


def start_sums(sums: Any) -> None:
    """Zero what is summed up over the samples of a batch, before the first of them."""

    def zero() -> None:
        for one in sums:
            one[...] = jnp.zeros_like(one)

    pallas.when(pallas.program_id(0) == 0)(zero)


def per_sample(*shape: int) -> Any:
    """A block of one sample of a batch [B, *shape]."""
    return pallas.BlockSpec((1, *shape), lambda sample: (sample, *(0,) * len(shape)))


def for_all(*shape: int) -> Any:
    """A block that is the same for all samples: [*shape]."""
    return pallas.BlockSpec(shape, lambda sample: (0,) * len(shape))


def padded(plan: Plan, channels: int = 0) -> Any:
    """Memory for a signal between zeros, of other channels than the plan's for example."""
    return tpu.VMEM((plan.time + 2 * plan.halo, channels or plan.channels), jnp.float32)


def signal(plan: Plan) -> Any:
    """Memory for a signal."""
    return tpu.VMEM((plan.time, plan.channels), plan.held)


def from_memory(call: Callable[..., Any], *, interpret: bool) -> Callable[..., Any]:
    """A kernel whose arguments lie in HBM, from where it fetches them itself: XLA need not do so before."""
    if interpret:
        return call

    def placed(*given: Any) -> Any:
        return call(*(tpu.with_memory_space_constraint(value, tpu.MemorySpace.HBM) for value in given))

    return placed


def array(shape: tuple[int, ...], dtype: Any = jnp.float32) -> Any:
    """Shape and dtype of what a kernel is given, or gives."""
    return jax.ShapeDtypeStruct(shape, dtype)


def limits(memory: int, products: int, accessed: int, transcendentals: int = 0, dimensions: int = 1) -> dict[str, Any]:
    """What `pallas_call` is told of a kernel: VMEM in bytes, and, since no compiler looks into it, what it costs.

    `products` are multiplications with an addition, `accessed` bytes of HBM read and written; `dimensions`
    are those of the grid.
    """
    return {
        "compiler_params": tpu.CompilerParams(
            dimension_semantics=("arbitrary",) * dimensions, vmem_limit_bytes=memory * 5 // 4 + (4 << 20)
        ),
        "cost_estimate": pallas.CostEstimate(
            flops=2 * products, transcendentals=transcendentals, bytes_accessed=accessed
        ),
    }
