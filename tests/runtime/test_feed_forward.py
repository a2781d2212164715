"""Two convolutions in a kernel, against the same computed step by step: values and gradients."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("jax", reason="kernels are written with jax")

import torch
import torch.nn.functional as F
from torch import nn

from porter.runtime import ops
from porter.runtime.ops import feed_forward, forms

from .graphs import assert_stays_on_device, decibels, device

pytestmark = pytest.mark.xla


class Forward(nn.Module):
    """Two convolutions, with all that may stand between them."""

    def __init__(
        self, kernel: int = 3, dropout: float = 0.0, causal: bool = False, padding: int = 0, bias: bool = True
    ) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Conv1d(6, 24, kernel, padding=padding, bias=bias)
        self.second = ops.weight_norm(nn.Conv1d(24, 10, kernel, padding=padding, bias=bias))
        self.drop = ops.Dropout(dropout)
        around = kernel - 1 - 2 * padding
        self.around = (around, 0) if causal else (around // 2, around - around // 2)

    @ops.fused
    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        x = x if mask is None else x * mask
        x = self.drop(ops.relu(self.first(F.pad(x, self.around))))
        x = x if mask is None else x * mask
        x = self.second(F.pad(x, self.around))
        return x if mask is None else x * mask


def given(time: int, masked: bool = True) -> tuple[torch.Tensor, torch.Tensor | None]:
    x = torch.randn(2, 6, time, generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(time) < torch.tensor([[[time]], [[time - 2]]])).float()
    return x, mask if masked else None


def run(made: Forward, x: torch.Tensor, mask: torch.Tensor | None) -> list[torch.Tensor]:
    """The result, and all gradients; dropout draws the same each time."""
    made.zero_grad(set_to_none=True)
    leaf = x.detach().clone().requires_grad_()
    torch.manual_seed(3)
    result = made(leaf, mask)
    result.sin().sum().backward()
    gradients = [value.grad for value in (leaf, *made.parameters())]
    return [result.detach(), *(gradient for gradient in gradients if gradient is not None)]


def without_kernels(
    made: Forward, x: torch.Tensor, mask: torch.Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> list[torch.Tensor]:
    with monkeypatch.context() as patch, ops.device_forms(tpu=True):
        patch.setattr(feed_forward, "feed_forward_on_chip", lambda *_, **__: "no kernel")
        return run(made, x, mask)


@pytest.fixture(autouse=True)
def ran(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each kernel that ran."""
    found: list[int] = []
    original = feed_forward.fed

    def noted(*known: Any) -> torch.Tensor:
        found.append(1)
        return original(*known)

    monkeypatch.setattr(feed_forward, "fed", noted)
    return found


def check(made: Forward, inputs: tuple[torch.Tensor, torch.Tensor | None], monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = without_kernels(made, *inputs, monkeypatch)
    with ops.device_forms(tpu=True):
        found = run(made, *inputs)
    assert [one.kernel for one in ops.fusions(made)] == ["feed_forward"]
    assert len(found) == len(wanted) == 1 + 1 + len(list(made.parameters()))
    for one, other in zip(found, wanted, strict=True):
        assert decibels(one, other) > 115


@pytest.mark.parametrize("kernel", [1, 3, 4, 5])
@pytest.mark.parametrize("time", [16, 21])
def test_a_kernel_gives_what_the_layers_give(time: int, kernel: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(Forward(kernel), given(time), monkeypatch)


def test_causal_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    check(Forward(4, causal=True), given(13), monkeypatch)


def test_layers_that_pad_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    check(Forward(5, padding=2, bias=False), given(13), monkeypatch)


def test_no_mask_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    check(Forward(3, dropout=0.3), given(12, masked=False), monkeypatch)


def test_the_same_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    check(Forward(3, dropout=0.4), given(16), monkeypatch)


def test_without_training_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    check(Forward(3, dropout=0.4).eval(), given(16), monkeypatch)


def test_autocast_rounds_where_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    made, inputs = Forward(3, dropout=0.2), given(24)
    exact = without_kernels(made, *inputs, monkeypatch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = without_kernels(made, *inputs, monkeypatch)
        with ops.device_forms(tpu=True):
            found = run(made, *inputs)
    assert [one.dtype for one in found] == [other.dtype for other in wanted]
    for i in (0, -3, -2, -1):  # gradients before the ReLU depend on sides that rounding may change
        assert decibels(found[i].float(), exact[i]) > decibels(wanted[i].float(), exact[i]) - 2


def test_too_long_for_the_chip_is_computed_in_steps(monkeypatch: pytest.MonkeyPatch, ran: list[int]) -> None:
    made, inputs = Forward(), given(16)
    wanted = without_kernels(made, *inputs, monkeypatch)
    monkeypatch.setattr(forms, "kernel_memory", lambda: 1000)
    with ops.device_forms(tpu=True):
        found = run(made, *inputs)
    assert not ran
    assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))


def test_sides_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    made, (x, mask) = Forward(), given(16)
    upper = torch.rand(2, 24, 16, generator=torch.Generator().manual_seed(2)) > 0.5
    original: Any = feed_forward.fed
    monkeypatch.setattr(feed_forward, "fed", lambda *known: original(*known, upper))
    with ops.device_forms(tpu=True):
        found = run(made, x, mask)
    assert mask is not None
    leaf = x.clone().requires_grad_()
    inner = torch.where(upper, made.first(F.pad(leaf * mask, made.around)), 0) * mask
    wanted = made.second(F.pad(inner, made.around)) * mask
    wanted.sin().sum().backward()
    assert leaf.grad is not None
    assert decibels(found[0], wanted.detach()) > 115
    assert decibels(found[1], leaf.grad) > 115


@pytest.mark.parametrize(
    "case",
    [
        *("another stride", "groups", "padding by name", "a longer reach", "a hook", "float64"),
        *("a mask of another shape", "a mask with a gradient"),
    ],
)
def test_what_no_kernel_can_stand_for_runs_step_by_step(case: str, ran: list[int]) -> None:
    made, (x, mask) = Forward(3), given(16, masked="mask" in case)
    if case == "another stride":
        made.second = nn.Conv1d(24, 10, 3, stride=2)
    elif case == "groups":
        made.second = nn.Conv1d(24, 10, 3, groups=2)
    elif case == "padding by name":
        made.first = nn.Conv1d(6, 24, 3, padding="same")
    elif case == "a longer reach":
        made.first = nn.Conv1d(6, 24, 2, dilation=2)
    elif case == "a hook":
        made.first.register_forward_hook(lambda *_: None)
    elif case == "float64":
        made, x = made.double(), x.double()
    elif mask is not None:
        mask = mask[:, :, :1] if case == "a mask of another shape" else mask.requires_grad_()
    wanted = run(made, x, mask)
    with ops.device_forms(tpu=True):
        found = run(made, x, mask)
    assert not ran
    assert [one.kernel for one in ops.fusions(made)] == [""]
    for one, other in zip(found, wanted, strict=True):
        assert decibels(one, other) > 120


def test_a_refused_kernel_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made, inputs = Forward(3, dropout=0.5), given(16)
    torch.manual_seed(3)
    wanted = made(*inputs)
    monkeypatch.setattr(forms, "kernel_memory", lambda: 1000)
    with ops.device_forms(tpu=True):
        torch.manual_seed(3)
        assert decibels(made(*inputs), wanted) > 120


def test_on_xla_one_graph_holds_it() -> None:
    x, mask = given(16)
    assert mask is not None
    made = Forward(3)
    wanted = run(made, x, mask)
    made, x, mask = made.to(device()), x.to(device()), mask.to(device())
    with ops.device_forms(tpu=True):
        found = run(made, x, mask)
        assert_stays_on_device(lambda: run(made, x, mask))
    for one, other in zip(found, wanted, strict=True):
        assert decibels(one.cpu(), other) > 100
