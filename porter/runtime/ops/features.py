"""Chains of convolutions whose results are all wanted, in few kernels where a TPU can have that: `kernels.features`."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from torch.overrides import handle_torch_function, has_torch_function_unary

from .. import utils
from . import folding, forms, on_chip, one_channel
from .grouped import merge_groups
from .recomputed import leaky_relu
from .weight_norm import computed_weight, has_length, weight_and_length

if TYPE_CHECKING:
    from .kernels.features import Layer, Plan

_SUBLANES = 8  # rows of a TPU's registers
Results = tuple[torch.Tensor, ...]


class Convolution(NamedTuple):
    """What is known of a layer: a convolution along time."""

    given: int  # channels
    gives: int
    taps: int
    stride: int
    padding: int
    dilation: int
    groups: int

    def length(self, time: int) -> int:
        """How long a signal is after it."""
        return (time + 2 * self.padding - self.dilation * (self.taps - 1) - 1) // self.stride + 1


class Chain(NamedTuple):
    """Layers that run in one kernel, and what they are given beside the signal: weights as they are kept in HBM."""

    plan: "Plan"
    weights: Sequence[torch.Tensor]
    biases: Sequence[torch.Tensor]
    lengths: Sequence[torch.Tensor]


class Head(NamedTuple):
    """A layer of one channel before the first kernel, which takes its result folded by `factor`."""

    layer: Convolution
    weight: torch.Tensor
    bias: torch.Tensor | None
    dtype: torch.dtype
    factor: int


def features_on_chip(
    signal: torch.Tensor, layers: Sequence[nn.Module], negative_slope: float
) -> list[torch.Tensor] | str:
    """The results of convolutions, a leaky ReLU after each, in few kernels where a TPU can have that; or why it cannot.

    `signal` is [B, C, T], or [B, C, T, columns] where each column is convolved alone. Those layers from which on all
    are wide enough run in kernels, those before them one by one.
    """
    # The sign of a result has to tell that of what the leaky ReLU was given.
    if signal.dim() not in (3, 4) or negative_slope < 0 or not on_chip.wanted(signal, "features"):
        return on_chip.unwanted(signal)
    known = _known(signal, layers)
    if not known:
        return "its layers are not all convolutions along time that follow one another, without hooks"
    dtypes = {on_chip.computed_in(signal, layer) for layer in layers}
    if len(dtypes) != 1 or (dtype := dtypes.pop()) is None:
        return on_chip.DTYPES
    problems: list[str] = []
    for first in range(len(layers)):
        head = _head(layers[first - 1], known[first - 1 : first + 1], dtype) if first == 1 else None
        plans = _plans(signal, known, layers, first, head, negative_slope, dtype, problems)
        if plans:
            break
    else:
        if problems:
            on_chip.tell("features", problems[0])
        return problems[0] if problems else "its channels do not fill registers"
    problem = on_chip.misfit(signal, "features", *plans)
    if problem:
        return problem
    found: list[torch.Tensor] = []
    for layer in layers[: first if head is None else 0]:
        signal = leaky_relu(layer(signal), negative_slope)
        found.append(signal)
    shapes = _shapes(signal, known[len(found) :])
    factor = 1 if head is None else head.factor
    chains = list(_chains(plans, zip(layers[first:], known[first:], strict=True), factor))
    return [*found, *featured(signal, shapes, head, chains)]


def _chains(plans: Sequence["Plan"], layers: Iterator[tuple[nn.Module, Convolution]], factor: int) -> Iterator[Chain]:
    """The chains of plans, each with the parameters of its layers; the first layer's signal is folded by `factor`."""
    for plan in plans:
        parameters: list[Results] = []
        for own in plan.layers:
            parameters.append(_parameters(own, *next(layers), factor))
            factor = 1
        yield Chain(plan, *zip(*parameters, strict=True))


def featured(
    signal: torch.Tensor,
    shapes: Sequence[tuple[int, ...]],
    head: Head | None,
    chains: Sequence[Chain],
    sides: Sequence[torch.Tensor] = (),
) -> Results:
    """The results, of these shapes, of a head, if any, and of chains.

    `sides` may say for each leaky ReLU where its input counts as positive, 1, and where not, 0: one like each result.
    """
    if has_torch_function_unary(signal):  # whoever watches torch's functions sees this one
        watched: Results = handle_torch_function(featured, (signal,), signal, shapes, head, chains, sides)
        return watched
    waiting = list(sides)
    found: list[torch.Tensor] = []
    block = None
    if head is not None:
        feature, block = _run_head(signal, head, chains[0].plan.slope, waiting.pop(0) if sides else None)
        if chains[0].plan.widths[0] >= forms.LANES:
            block = block.transpose(2, 3)
        found.append(feature)
        signal = feature
    for chain in chains:
        plan = dataclasses.replace(chain.plan, sided=bool(sides))
        own, waiting = waiting[: len(plan.layers)], waiting[len(plan.layers) :]
        dtype = getattr(torch, plan.dtype)
        given = [
            _padded(_to_block(signal, plan.widths[0]) if block is None else block, plan.blocks[0]),
            *(weight.float() for weight in chain.weights),
            *(value.float().unsqueeze(0) for value in (*chain.biases, *chain.lengths)),
        ]
        for side, stage in zip(own, range(1, len(own) + 1), strict=True):
            given.append(_padded(_to_block(side.to(dtype), plan.widths[stage]), plan.blocks[stage]))
        results: Results = _Chain.apply(plan, *given)  # type: ignore[no-untyped-call]
        found += [_from_block(result, plan, stage, signal.dim()) for stage, result in enumerate(results, 1)]
        signal, block = found[-1], None
    return tuple(found)


class _Chain(torch.autograd.Function):
    """The two kernels of a chain: of the signal, weights, biases, lengths, and sides."""

    @staticmethod
    def forward(ctx: Any, plan: "Plan", *given: torch.Tensor) -> Results:
        results = on_chip.run("features", plan, given)
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*given, *results)
        return tuple(results)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        count = len(ctx.plan.layers)
        signal, *others = ctx.saved_tensors
        weights, lengths = others[:count], others[2 * count : 3 * count]
        sides, results = others[3 * count : -count], others[-count:]
        there = tuple(gradient is not None for gradient in gradients)
        if not any(there):
            return (None,) * (2 + len(others) - count)
        last = max(i for i, flows in enumerate(there) if flows)
        plan = dataclasses.replace(ctx.plan, flowing=() if all(there) else there)
        if on_chip.problem(signal, "features", plan, (True,)):  # the kernel of all gradients was tried before
            gradients = tuple(torch.zeros_like(r) if g is None else g for g, r in zip(gradients, results, strict=True))
            plan = ctx.plan
        flowed = [g.to(r.dtype) for g, r in zip(gradients, results, strict=True) if g is not None]
        columns = [length.t() for length in lengths]
        given = [signal, *results, *flowed, *weights, *lengths, *columns, *sides]
        first, *found = on_chip.run("features", plan, given, backward=True)
        by_length = [value.t() for value in found[2 * count :]]
        # Layers after the last result with a gradient have none, as in torch.
        known = [value if i % count <= last else None for i, value in enumerate([*found[: 2 * count], *by_length])]
        return None, first, *known, *[None] * len(sides)


def _known(signal: torch.Tensor, layers: Sequence[nn.Module]) -> list[Convolution]:
    """The layers; none where one is not a convolution that can follow the one before."""
    found: list[Convolution] = []
    channels, time = signal.shape[1], signal.shape[2]
    for layer in layers:
        one = _convolution(layer, flat=signal.dim() == 3)
        if one is None or one.given != channels or one.length(time) < 1:
            return []
        channels, time = one.gives, one.length(time)
        found.append(one)
    return found


def _shapes(signal: torch.Tensor, known: Iterable[Convolution]) -> list[tuple[int, ...]]:
    """What layers make of a signal."""
    batch, _, time, *columns = signal.shape
    found = []
    for one in known:
        time = one.length(time)
        found.append((batch, one.gives, time, *columns))
    return found


def _convolution(layer: nn.Module, *, flat: bool) -> Convolution | None:
    """What is known of a layer; None where it is no convolution along time, or something watches it."""
    kind: Any = nn.Conv1d if flat else nn.Conv2d
    if not isinstance(layer, kind) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    if not on_chip.is_unhooked(layer):
        return None
    sizes = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    if not flat and [size[1:] for size in sizes] != [(1,), (1,), (0,), (1,)]:
        return None
    taps, stride, padding, dilation = (int(size[0]) for size in sizes)
    return Convolution(layer.in_channels, layer.out_channels, taps, stride, padding, dilation, layer.groups)


def _head(layer: nn.Module, pair: Sequence[Convolution], dtype: torch.dtype) -> Head | None:
    """The first layer, if it is of one channel and another follows it."""
    first, second = pair
    if not one_channel.known(first.given, first.taps):
        return None
    # Folded, the next layer has fewer taps, each as costly as one of few channels is, and its groups are merged.
    pays = second.groups > 1 or second.taps >= 3 * -(-second.taps // second.stride)
    factor = second.stride if pays and first.gives * second.stride <= forms.LANES else 1
    weight = computed_weight(layer)
    assert weight is not None
    return Head(first, weight.flatten(1), layer.bias, dtype, factor)  # type: ignore[arg-type]


def _plans(
    signal: torch.Tensor,
    known: list[Convolution],
    layers: Sequence[nn.Module],
    first: int,
    head: Head | None,
    slope: float,
    dtype: torch.dtype,
    problems: list[str],
) -> list["Plan"]:
    """The layers from `first` on in as few kernels as the chip's memory takes.

    None where it does not take one, or no kernel knows one; why the first is so is added to `problems`.
    """
    kernel = on_chip.kernels("features")
    times = [signal.shape[2]]
    for one in known:
        times.append(one.length(times[-1]))
    own: list[Layer | None] = []
    for i in range(first, len(known)):
        folded = head.factor if head is not None and i == first else 0
        own.append(_layer(known[i], times[i + 1], layers[i], folded))
    if None in own:
        return []

    def plan(start: int, end: int) -> "Plan":
        folds = head.factor if head is not None and start == 0 else 1
        before = signal.dtype if start + first == 0 else dtype
        found: Plan = kernel.Plan(
            batch=signal.shape[0],
            columns=1 if signal.dim() == 3 else signal.shape[3],
            time=-(-times[first + start] // folds),
            layers=tuple(own[start:end]),
            slope=float(slope),
            held=on_chip.named(before),
            dtype=on_chip.named(dtype),
            precise=utils.precise_products(),
        )
        return found

    return _cut(plan, len(own), problems)


def _cut(plan: Callable[[int, int], "Plan"], end: int, problems: list[str]) -> list["Plan"]:
    """The layers before `end` in plans that fit, as many as possible in the last; none where one does not fit."""
    misfit = ""
    for start in range(end):
        last = plan(start, end)
        misfit = on_chip.kernels("features").misfit(last, forms.kernel_memory())
        if not misfit:
            before = _cut(plan, start, problems)
            return [*before, last] if before or not start else []
    if misfit:
        problems.append(misfit)
    return []


def _layer(known: Convolution, time: int, layer: nn.Module, folded: int) -> "Layer | None":
    """A layer as kernels know it, of a signal that is folded by `folded`; None where it is none."""
    make = on_chip.kernels("features").Layer
    lanes, sublanes = forms.LANES, _SUBLANES
    given = known.given * max(folded, 1)
    if any(width % (lanes if width > lanes else sublanes) for width in (given, known.gives)):
        return None
    thin = min(given, known.gives) < lanes
    offsets = tuple(tap * known.dilation - known.padding for tap in range(known.taps))
    if folded > 1:
        last = known.dilation * (known.taps - 1) - known.padding
        offsets = tuple(range(-known.padding // folded, last // folded + 1))
        return make(given, known.gives, time, offsets, 1, 1, "taps", False)  # type: ignore[no-any-return]
    normed = has_length(layer)
    if known.groups == 1:
        form = "taps" if thin or isinstance(layer, nn.Conv1d) else "columns"
        found: Layer = make(given, known.gives, time, offsets, known.stride, 1, form, normed and not thin)
        return found
    blocks = -(-given // lanes)
    if known.gives % (blocks * lanes) or lanes % (given // known.groups):
        return None
    grouped: Layer = make(given, known.gives, time, offsets, known.stride, known.groups, "groups", normed)
    return grouped


def _parameters(
    own: "Layer", layer: Any, known: Convolution, factor: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The weight of a layer as its kernel takes it, its bias, and its length or factor, in whole registers."""
    if own.normed:
        weight, length = weight_and_length(layer)
    else:
        computed = computed_weight(layer)
        assert computed is not None
        weight, length = computed, None
    if own.form == "columns":
        kept = weight.permute(0, 2, 3, 1)
    elif own.form == "groups":
        kept = weight.flatten(2).permute(2, 1, 0)
    elif factor > 1:
        wide = merge_groups(weight.flatten(2), known.groups, 1)
        sizes = {"stride": known.stride, "padding": known.padding, "dilation": known.dilation}
        kept = folding.folded_weight(wide, **sizes, factor=1)[0].permute(2, 0, 1)
    else:
        kept = weight.flatten(2).permute(2, 0, 1)
    out = (0, own.lanes[1] - own.gives)
    bias = weight.new_zeros(own.gives) if layer.bias is None else layer.bias
    scale = weight.new_ones(own.gives) if length is None else length.flatten()
    return _padded(kept, own.stored), F.pad(bias, out), F.pad(scale, out)


def _run_head(
    signal: torch.Tensor, head: Head, slope: float, side: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The result of a head, and the same as the first kernel takes it: [B, columns, factor * C, T / factor]."""
    columns = (signal if signal.dim() == 4 else signal.unsqueeze(3)).squeeze(1).transpose(1, 2)
    layer = head.layer
    found = []
    for factor in dict.fromkeys((1, head.factor)):
        sums = one_channel.convolved(
            columns,
            head.weight,
            head.bias,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            factor=factor,
            dtype=head.dtype,
        )
        upper = sums > 0 if side is None else one_channel.folded(_to_block(side, 1), factor) > 0
        found.append(torch.where(upper, sums, sums * slope))
    feature = found[0].permute(0, 2, 3, 1)
    return feature if signal.dim() == 4 else feature.squeeze(3), found[-1]


def _to_block(signal: torch.Tensor, width: int) -> torch.Tensor:
    """[B, C, T, columns], or without columns, as kernels take it: channels in the lanes, or time where they are few."""
    whole = signal if signal.dim() == 4 else signal.unsqueeze(3)
    return whole.permute(0, 3, 2, 1) if width >= forms.LANES else whole.permute(0, 3, 1, 2)


def _from_block(block: torch.Tensor, plan: "Plan", stage: int, dim: int) -> torch.Tensor:
    """What kernels give as [B, C, T, columns], or without columns."""
    if plan.widths[stage] >= forms.LANES:
        found = block.permute(0, 3, 2, 1)
    else:
        found = block[..., : plan.times[stage]].permute(0, 2, 3, 1)
    return found if dim == 4 else found.squeeze(3)


def _padded(value: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """With zeros after its last axes, up to `shape`."""
    missing = [n - m for n, m in zip(reversed(shape), reversed(value.shape), strict=False)]
    return (
        F.pad(value, [n for pair in zip([0] * len(missing), missing, strict=True) for n in pair])
        if any(missing)
        else value
    )
