"""Two convolutions with a wide signal between them that never leaves the chip: see `kernels.feed_forward`.

What the first one gives is not computed until somebody looks at it, nor is what a ReLU, a dropout, a mask and padding
make of that. The second convolution does not look: it has all of it computed in a kernel.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from torch.overrides import handle_torch_function, has_torch_function_unary

from .. import utils
from . import dropout, on_chip
from .deferred import Deferred
from .weight_norm import computed_weight

if TYPE_CHECKING:
    from .kernels.feed_forward import Plan


def wide(layer: nn.Module, signal: torch.Tensor) -> torch.Tensor:
    """`layer(signal)`, for a ReLU and another convolution.

    `signal` is [B, C, T]. Where a TPU may run both convolutions in one kernel, the result computes itself when it is
    looked at.
    """
    if isinstance(layer, nn.Conv1d) and isinstance(signal, torch.Tensor) and _may_wait(layer, signal):
        return _Wide(_Steps(layer, signal))  # type: ignore[return-value]
    found: torch.Tensor = layer(signal)
    return found


@dataclasses.dataclass(frozen=True)
class _Steps:
    """What was made of a signal, in this order."""

    layer: nn.Conv1d
    signal: torch.Tensor
    rectified: bool = False
    kept: torch.Tensor | None = None
    scale: float = 1.0
    mask: torch.Tensor | None = None
    padding: tuple[int, int] = (0, 0)


class _Wide(Deferred):
    """What a convolution gives, and what was made of it."""

    def __init__(self, steps: _Steps) -> None:
        super().__init__(steps.signal.device, steps.signal, steps.kept, steps.mask, *steps.layer.parameters())
        self.steps = steps
        time = steps.signal.shape[2] + 2 * int(steps.layer.padding[0]) - steps.layer.kernel_size[0] + 1
        self.shape = torch.Size((len(steps.signal), steps.layer.out_channels, time + sum(steps.padding)))

    def _compute(self) -> torch.Tensor:
        steps = self.steps
        found: torch.Tensor = steps.layer(steps.signal)
        found = torch.relu(found) if steps.rectified else found
        found = found if steps.kept is None else dropout.dropped(found, steps.kept, steps.scale)
        found = found if steps.mask is None else found * steps.mask
        return F.pad(found, steps.padding) if any(steps.padding) else found


def _relu(given: Any, inplace: bool = False) -> _Wide | None:
    if not isinstance(given, _Wide) or not given.current or given.steps.rectified or inplace:
        return None
    return _Wide(dataclasses.replace(given.steps, rectified=True))


def _dropout(given: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> _Wide | None:
    if not isinstance(given, _Wide) or not given.current or inplace:
        return None
    steps = given.steps
    if not training or p == 0:
        return given
    if not steps.rectified or steps.kept is not None or steps.mask is not None or any(steps.padding) or not 0 < p < 1:
        return None
    kept = dropout.kept(torch.ones(given.shape, device=given.device), p)
    return _Wide(dataclasses.replace(steps, kept=kept, scale=1 / (1 - p)))


def _multiply(given: Any, mask: Any) -> _Wide | None:
    """The product with a mask [B, 1, T]."""
    if isinstance(mask, _Wide):
        given, mask = mask, given
    if not isinstance(given, _Wide) or not given.current or not isinstance(mask, torch.Tensor):
        return None
    steps = given.steps
    if not steps.rectified or steps.mask is not None or any(steps.padding) or mask.requires_grad:
        return None
    if mask.shape != (given.shape[0], 1, given.shape[2]) or not mask.is_floating_point():
        return None
    return _Wide(dataclasses.replace(steps, mask=mask))


def _pad(given: Any, pad: Any, mode: str = "constant", value: float | None = None) -> _Wide | None:
    """Zeros before and after."""
    if not isinstance(given, _Wide) or not given.current or mode != "constant" or value not in (None, 0):
        return None
    steps, sides = given.steps, [int(side) for side in pad]
    if not steps.rectified or any(sides[2:]) or len(sides) < 2 or min(sides) < 0:
        return None
    padding = (steps.padding[0] + sides[0], steps.padding[1] + sides[1])
    return _Wide(dataclasses.replace(steps, padding=padding))


def _conv1d(
    given: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> torch.Tensor | None:
    """The second convolution."""
    if not isinstance(given, _Wide) or not given.current or not given.steps.rectified:
        return None
    if isinstance(padding, str) or (_one(stride), _one(dilation), groups) != (1, 1, 1):
        return None
    steps, around = given.steps, _one(padding)
    first = computed_weight(steps.layer)
    assert first is not None
    weights = first, weight.read() if isinstance(weight, Deferred) else weight
    steps = dataclasses.replace(steps, padding=(steps.padding[0] + around, steps.padding[1] + around))
    plan = _plan(steps, weights[1])
    if plan is None:
        return None
    given_biases = zip(weights, (steps.layer.bias, bias), strict=True)
    biases = [own.new_zeros(len(own)) if bias is None else bias for own, bias in given_biases]
    return fed(steps.signal, weights, biases, steps.mask, steps.kept, plan)


_Wide.known = {
    **dict.fromkeys((torch.relu, F.relu, torch.Tensor.relu), _relu),
    F.dropout: _dropout,
    **dict.fromkeys((torch.mul, torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__rmul__), _multiply),
    F.pad: _pad,
    F.conv1d: _conv1d,
}


def fed(
    signal: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    kept: torch.Tensor | None,
    plan: "Plan",
    sides: torch.Tensor | None = None,
) -> torch.Tensor:
    """What both convolutions make of a signal [B, C, T], with weights as torch has them.

    `sides` may say where the ReLU's input [B, C (inner), T] counts as positive, 1, and where not, 0.
    """
    if has_torch_function_unary(signal):  # whoever watches torch's functions sees this one
        given = (signal, weights, biases, mask, kept, plan, sides)
        watched: torch.Tensor = handle_torch_function(fed, (signal,), *given)
        return watched
    plan = dataclasses.replace(plan, sided=sides is not None)
    # The wide axis comes last: what fills a TPU's lanes is how it keeps such weights.
    rows = [weights[0].permute(2, 1, 0).float(), weights[1].permute(2, 0, 1).float()]
    rows += [bias.float().unsqueeze(0) for bias in biases]
    if mask is not None:
        rows.append(mask.float().transpose(1, 2))
    rows += [flag.to(torch.int8).transpose(1, 2) for flag in (kept, sides) if flag is not None]
    signal = signal.to(getattr(torch, plan.dtype))
    result: torch.Tensor = _FeedForward.apply(plan, signal.transpose(1, 2), *rows)  # type: ignore[no-untyped-call]
    return result.transpose(1, 2)


class _FeedForward(torch.autograd.Function):
    """The two kernels of two convolutions."""

    @staticmethod
    def forward(ctx: Any, plan: "Plan", *given: torch.Tensor) -> torch.Tensor:
        ctx.plan = plan
        ctx.save_for_backward(*given)
        return on_chip.run("feed_forward", plan, given)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        signal, *others = ctx.saved_tensors
        found = on_chip.run("feed_forward", ctx.plan, [signal, gradients[0], *others], backward=True)
        return None, *found, *[None] * (1 + len(others) - len(found))


def _plan(steps: _Steps, weight: torch.Tensor) -> "Plan | None":
    """What the kernels have to know; None where they cannot be had."""
    layer, signal = steps.layer, steps.signal
    dtype = on_chip.computed_in(signal, layer)
    if dtype is None or weight.dtype != layer.weight.dtype or weight.shape[1] != layer.out_channels:
        return None
    plan: Plan = on_chip.kernels("feed_forward").Plan(
        batch=signal.shape[0],
        time=signal.shape[2],
        given=layer.in_channels,
        inner=layer.out_channels,
        gives=weight.shape[0],
        taps=(layer.kernel_size[0], weight.shape[2]),
        padding=((int(layer.padding[0]),) * 2, steps.padding),
        masked=steps.mask is not None,
        dropped=steps.kept is not None,
        scale=steps.scale,
        dtype=on_chip.named(dtype),
        precise=utils.precise_products(),
    )
    return plan if on_chip.available(signal, "feed_forward", plan) else None


def _may_wait(layer: nn.Conv1d, signal: torch.Tensor) -> bool:
    """Whether calling a layer is a convolution of stride 1 without groups, and it fits a signal [B, C, T]."""
    if signal.dim() != 3 or not on_chip.wanted(signal, "feed_forward") or torch.is_inference_mode_enabled():
        return False
    if isinstance(layer.padding, str):
        return False
    if (layer.groups, layer.stride, layer.dilation, layer.padding_mode) != (1, (1,), (1,), "zeros"):
        return False
    fits = signal.shape[1] == layer.in_channels and signal.shape[2] + 2 * layer.padding[0] >= layer.kernel_size[0]
    return fits and on_chip.is_unhooked(layer) and on_chip.computed_in(signal, layer) is not None


def _one(value: Any) -> int:
    """A number that torch takes alone or in a tuple."""
    return int(value[0]) if isinstance(value, (tuple, list)) else int(value)
