"""Chains of convolutions whose results are all wanted, in one kernel where a TPU can have that: `kernels.features`."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from torch.overrides import handle_torch_function, has_torch_function_unary

from .. import utils
from . import forms, on_chip
from .recomputed import leaky_relu
from .weight_norm import computed_weight, weight_and_length

if TYPE_CHECKING:
    from .kernels.features import Layer, Plan

Results = tuple[torch.Tensor, ...]

_FEW = 16  # taps up to which a convolution of one channel is a sum of products, and no matrix


def features_on_chip(
    signal: torch.Tensor, layers: Iterable[nn.Module], negative_slope: float = 0.01
) -> tuple[torch.Tensor, Iterable[nn.Module], list[torch.Tensor]]:
    """Convolutions, a leaky ReLU after each: the last result, the layers that are left to run, and all results so far.

    `signal` is [B, C, T], or [B, C, T, columns] where each column is convolved alone. On a TPU, those layers from which
    on all are wide enough run in one kernel. Elsewhere nothing is run, and all layers are left.
    """
    if signal.dim() not in (3, 4) or not on_chip.wanted(signal):
        return signal, layers, []
    waiting = list(layers)
    first, plan = _plan(signal, waiting, negative_slope)
    if plan is None:
        return signal, waiting, []
    found: list[torch.Tensor] = []
    for layer in waiting[:first]:
        given = _spread(signal, layer) if first == 1 else None
        signal = leaky_relu(layer(signal) if given is None else given, negative_slope)
        found.append(signal)
    known = [_known(layer) for layer in waiting[first:]]
    weights, biases, lengths, normed = zip(*known, strict=True)
    found += featured(signal, weights, biases, lengths, dataclasses.replace(plan, normed=normed))
    return found[-1], (), found


def featured(
    signal: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    lengths: Sequence[torch.Tensor],
    plan: "Plan",
    sides: Sequence[torch.Tensor] = (),
) -> Results:
    """The results of a chain, laid out as `signal` is. weights are as the kernels take them, biases and lengths [C].

    `sides` may say for each leaky ReLU where its input counts as positive, 1, and where not, 0: one like each result.
    """
    if has_torch_function_unary(signal):  # whoever watches torch's functions sees this one
        given = (signal, weights, biases, lengths, plan, sides)
        watched: Results = handle_torch_function(featured, (signal,), *given)
        return watched
    plan = dataclasses.replace(plan, sided=bool(sides))
    dtype = getattr(torch, plan.dtype)
    thin = plan.thin and forms.LANES - plan.thin
    given = [F.pad(weights[0], (0, thin)).float(), *(weight.float() for weight in weights[1:])]
    given += [value.float().unsqueeze(0) for value in (*biases, *lengths)]
    given += [_to_block(side.to(dtype)) for side in sides]
    results = _Chain.apply(plan, _first_block(signal, plan), *given)  # type: ignore[no-untyped-call]
    return tuple(_from_block(result, signal.dim()) for result in results)


class _Chain(torch.autograd.Function):
    """The two kernels of a chain: of the signal, weights, biases, lengths, and sides."""

    @staticmethod
    def forward(ctx: Any, plan: "Plan", *given: torch.Tensor) -> Results:
        results = on_chip.run(on_chip.kernels("features").forward, plan, list(given))
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
        plan = dataclasses.replace(ctx.plan, flowing=tuple(gradient is not None for gradient in gradients))
        flowed = [g.to(r.dtype) for g, r in zip(gradients, results, strict=True) if g is not None]
        columns = [length.t() for length in lengths]
        given = [signal, *results, *flowed, *weights, *lengths, *columns, *sides]
        first, *found = on_chip.run(on_chip.kernels("features").backward, plan, given)
        by_length = [value.t() for value in found[2 * count :]]
        return None, first, *found[: 2 * count], *by_length, *[None] * len(sides)


def _plan(signal: torch.Tensor, layers: list[nn.Module], slope: float) -> tuple[int, "Plan | None"]:
    """From which layer on a kernel can have them, and what it has to know of those; None where there are none."""
    kernel = on_chip.kernels("features")
    flat = signal.dim() == 3
    given: list[tuple[int, int]] = [(signal.shape[1], signal.shape[2])]  # channels and time before each layer
    known: list[Layer | None] = []
    for layer in layers:
        found = _layer(layer, flat)
        if found is None or found.given != given[-1][0] or found.length(given[-1][1]) < 1:
            return 0, None
        known.append(found if layer.groups == 1 and found.gives % forms.LANES == 0 else None)  # type: ignore[operator]
        given.append((found.gives, found.length(given[-1][1])))
    for first, (channels, time) in enumerate(given[:-1]):
        chain = known[first:]
        if None in chain or (channels % forms.LANES and (channels > forms.LANES or channels % kernel.rows.SUBLANES)):
            continue
        # What comes before is of float32, or of what autocast makes of it.
        dtypes = {on_chip.computed_in(signal, layer) for layer in layers}
        if len(dtypes) != 1 or (dtype := dtypes.pop()) is None:
            return 0, None
        plan: Plan = kernel.Plan(
            batch=signal.shape[0],
            columns=1 if flat else signal.shape[3],
            time=time,
            layers=tuple(chain),
            slope=float(slope),
            held=on_chip.named(signal.dtype if first == 0 else dtype),
            dtype=on_chip.named(dtype),
            precise=utils.precise_products(),
            flat=flat,
            normed=(),
        )
        if kernel.fits(plan, forms.kernel_memory()):
            return first, plan
    return 0, None


def _layer(layer: nn.Module, flat: bool) -> "Layer | None":
    """What a kernel has to know of a layer; None where it can not be a layer of a chain."""
    kind: Any = nn.Conv1d if flat else nn.Conv2d
    if not isinstance(layer, kind) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    if not on_chip.is_unhooked(layer):
        return None
    across = [values[1:] for values in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)]
    if not flat and across != [(1,), (1,), (0,), (1,)]:
        return None
    found: Layer = on_chip.kernels("features").Layer(
        given=layer.in_channels,
        gives=layer.out_channels,
        taps=layer.kernel_size[0],
        stride=layer.stride[0],
        padding=int(layer.padding[0]),
        dilation=layer.dilation[0],
    )
    return found


def _spread(signal: torch.Tensor, layer: Any) -> torch.Tensor | None:
    """What a convolution of one channel gives, time in a TPU's lanes: no product of matrices, but sums of products."""
    taps, stride, dilation, padding = layer.kernel_size[0], layer.stride[0], layer.dilation[0], int(layer.padding[0])
    dtype = on_chip.computed_in(signal, layer)
    if layer.in_channels != 1 or taps > _FEW or dtype is None:
        return None
    weight = computed_weight(layer)
    assert weight is not None
    weight = weight.flatten(1).to(dtype).float()
    columns = (signal if signal.dim() == 4 else signal.unsqueeze(3)).squeeze(1).transpose(1, 2)  # [B, columns, T]
    padded = F.pad(columns.to(dtype).float(), (padding, padding)).unsqueeze(2)
    last = stride * ((padded.shape[3] - dilation * (taps - 1) - 1) // stride) + 1
    parts = [padded[..., at : at + last : stride] for at in range(0, dilation * taps, dilation)]
    found = sum(part * weight[:, tap].unsqueeze(1) for tap, part in enumerate(parts))
    if layer.bias is not None:
        found = found + layer.bias.to(dtype).float().unsqueeze(1)
    assert isinstance(found, torch.Tensor)
    return _from_block(found.to(dtype).transpose(2, 3), signal.dim())


def _known(layer: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, bool]:
    """The weight of a layer as a TPU keeps it, its bias, its length or factor [C], and whether it is a length."""
    weight, length = weight_and_length(layer)
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias
    kept = weight.permute(2, 0, 1) if weight.dim() == 3 else weight.permute(0, 2, 3, 1)
    return kept, bias, weight.new_ones(len(weight)) if length is None else length.flatten(), length is not None


def _first_block(signal: torch.Tensor, plan: "Plan") -> torch.Tensor:
    """What a chain is given, as its kernels take it."""
    block = _to_block(signal)
    if not plan.thin:
        return block
    return F.pad(block.transpose(2, 3), (0, plan.blocks[0][2] - plan.time))


def _to_block(signal: torch.Tensor) -> torch.Tensor:
    """[B, C, T, columns], or without columns, -> [B, columns, T, C]."""
    return (signal if signal.dim() == 4 else signal.unsqueeze(3)).permute(0, 3, 2, 1)


def _from_block(block: torch.Tensor, dim: int) -> torch.Tensor:
    """[B, columns, T, C] -> [B, C, T, columns], or without columns."""
    found = block.permute(0, 3, 2, 1)
    return found if dim == 4 else found.squeeze(3)
