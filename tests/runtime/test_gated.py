"""Chains of gated layers in kernels, against the layers one by one: values and gradients."""

from __future__ import annotations

import copy
from typing import Any

import pytest

pytest.importorskip("jax", reason="kernels are written with jax")

import torch
from torch import nn

from porter.runtime import ops
from porter.runtime.ops import forms
from porter.runtime.ops.kernels import gated as kernel

from .graphs import assert_stays_on_device, decibels, device

pytestmark = pytest.mark.xla


class Stack(nn.Module):
    """Gated layers whose taps reach further and further."""

    def __init__(self, width: int, count: int, given: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.width, self.count = width, count
        self.gates = nn.ModuleList(
            ops.weight_norm(nn.Conv1d(width, 2 * width, 5, dilation=2**i, padding=2 * 2**i)) for i in range(count)
        )
        self.passes = nn.ModuleList(
            ops.weight_norm(nn.Conv1d(width, 2 * width if i < count - 1 else width, 1)) for i in range(count)
        )
        self.tell = nn.Conv1d(given, 2 * width * count, 1) if given else None
        self.drop = nn.Dropout(dropout)

    @property
    def left(self) -> bool:
        """Whether no kernel stood for the layers."""
        return not any(one.kernel for one in ops.fusions(self))

    @ops.fused
    def forward(self, x: torch.Tensor, mask: torch.Tensor, told: torch.Tensor | None = None) -> torch.Tensor:
        total, width = torch.zeros_like(x), self.width
        if self.tell is not None:
            told = self.tell(told)
        for i in range(self.count):
            both = self.gates[i](x)
            if told is not None:
                both = both + told[:, 2 * width * i : 2 * width * (i + 1)]
            out = self.passes[i](self.drop(torch.tanh(both[:, :width]) * torch.sigmoid(both[:, width:])))
            if i < self.count - 1:
                x = (x + out[:, :width]) * mask
            total = total + out[:, -width:]
        return total * mask


def given(width: int, time: int, told: int = 0) -> tuple[torch.Tensor, ...]:
    """A signal of two samples, the second of which is shorter, and a condition."""
    noise = torch.Generator().manual_seed(0)
    mask = (torch.arange(time) < torch.tensor([[[time]], [[time - 5]]])).float()
    found = torch.randn(2, width, time, generator=noise), mask
    return (*found, torch.randn(2, told, 1, generator=noise)) if told else found


def run(stack: Stack, inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """The result, and the gradients of all inputs but the mask and of all parameters."""
    stack.zero_grad(set_to_none=True)
    x, mask, *others = inputs
    leaves = [value.detach().clone().requires_grad_() for value in (x, *others)]
    result = stack(leaves[0], mask, *leaves[1:])
    result.sin().sum().backward()
    gradients = [leaf.grad for leaf in (*leaves, *stack.parameters())]
    return [result, *(gradient for gradient in gradients if gradient is not None)]


def check(stack: Stack, inputs: tuple[torch.Tensor, ...], least: float = 115) -> None:
    wanted = run(copy.deepcopy(stack), inputs)
    with ops.device_forms(tpu=True):
        found = run(stack, inputs)
    assert not stack.left, "no kernel ran"
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert decibels(ours, theirs) > least


@pytest.mark.parametrize("count", [1, 3])
def test_kernels_give_what_the_layers_give(count: int) -> None:
    check(Stack(24, count), given(24, 16))


def test_with_a_condition() -> None:
    check(Stack(24, 2, given=4), given(24, 16, 4))


def test_a_chain_in_several_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = kernel.Plan(2, 16, 24, ((-8, -4, 0, 4, 8),) * 4, True, "float32", "float32", "float32", False)
    monkeypatch.setattr(forms, "kernel_memory", lambda: whole.memory)
    check(Stack(24, 4, given=4), given(24, 16, 4))


def test_on_xla_it_is_one_graph_and_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    device()
    stack, inputs = Stack(24, 2, given=4), given(24, 16, 4)
    wanted = run(copy.deepcopy(stack), inputs)
    monkeypatch.setenv("SOVITS_PORT_FORMS", "tpu")
    there, sent = copy.deepcopy(stack).to(device()), tuple(value.to(device()) for value in inputs)
    assert_stays_on_device(lambda: run(there, sent))
    for ours, theirs in zip(run(there, sent), wanted, strict=True):
        assert decibels(ours, theirs) > 105
    assert not there.left


def test_under_autocast_it_is_as_near_to_float32_as_the_layers() -> None:
    torch.manual_seed(0)
    stack, inputs = Stack(24, 2, given=4), given(24, 16, 4)
    exact = run(stack, inputs)
    found = []
    for tpu in (False, True):
        with ops.device_forms(tpu=tpu), torch.autocast("cpu", dtype=torch.bfloat16):
            found.append(run(stack, inputs))
        assert bool(stack.left) is not tpu
    theirs, ours, right = (torch.cat([value.float().flatten() for value in values]) for values in (*found, exact))
    assert decibels(ours, right) > decibels(theirs, right) - 3


@pytest.mark.parametrize("case", ["dropout", "a hook", "time in part of a register", "another mask"])
def test_what_no_kernel_can_stand_for_runs_layer_by_layer(case: str) -> None:
    stack, (x, mask) = Stack(8, 2), given(8, 16)
    if case == "dropout":
        stack.drop.p = 0.5
    elif case == "a hook":
        stack.gates[1].register_forward_hook(lambda *_: None)
    elif case == "time in part of a register":
        x, mask = given(8, 12)
    elif case == "another mask":
        mask = mask[:1]
    with ops.device_forms(tpu=True):
        stack(x, mask)
    assert stack.left


def test_an_idle_dropout_does_not_matter() -> None:
    check(Stack(8, 2, dropout=0.5).eval(), given(8, 16))


def test_whoever_looks_at_a_weight_sees_the_present_one() -> None:
    stack: Any = Stack(8, 2)
    with torch.no_grad():
        stack.gates[0].weight_g.mul_(3)
    with ops.device_forms(tpu=True):
        stack(*given(8, 16))
        found = stack.gates[0].weight + 0
    layer = copy.deepcopy(stack.gates[0])
    layer(torch.ones(1, 8, 16))
    assert decibels(found, layer.weight) > 120


def test_one_condition_for_all_samples_keeps_the_kernels_away() -> None:
    stack = Stack(8, 2, given=3)
    x, mask, told = given(8, 16, 3)
    wanted = stack(x, mask, told[:1])
    with ops.device_forms(tpu=True):
        assert decibels(stack(x, mask, told[:1]), wanted) > 120
    assert stack.left
