"""Chains of residual layers in one kernel, against the layers one by one: values and gradients."""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("jax", reason="kernels are written with jax")

import torch
import torch.nn.functional as F
from torch import nn

from porter.runtime import ops, utils
from porter.runtime.ops import folding, forms, on_chip, residual
from porter.runtime.ops.kernels import residual as kernel

from .graphs import assert_stays_on_device, compare, decibels, device, never_run, run

pytestmark = pytest.mark.xla


class Chain(nn.Module):
    """Two layers of two convolutions."""

    def __init__(self, width: int, kernel: int = 3, bias: bool = True) -> None:
        super().__init__()
        self.a, self.b = (
            nn.ModuleList(
                ops.weight_norm(nn.Conv1d(width, width, kernel, dilation=d, padding=d * (kernel // 2), bias=bias))
                for d in dilations
            )
            for dilations in ((1, 3), (1, 1))
        )

    @property
    def left(self) -> bool:
        """Whether no kernel stood for the layers."""
        return not any(one.kernel for one in ops.fusions(self))

    @ops.fused
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for a, b in zip(self.a, self.b, strict=True):
            x = b(F.leaky_relu(a(F.leaky_relu(x, 0.1)), 0.1)) + x
        return x


class Folded(Chain):
    """The same of a signal whose time is folded into channels."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__(width, kernel)
        self.factor = 128 // width
        ups = nn.ModuleList([nn.ConvTranspose1d(1, 1, 4, 2, padding=1)])
        ops.fold_time(ups, nn.ModuleList([self.a, self.b]), nn.Conv1d(1, 1, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        factor = self.factor if forms.wants_tpu_form(x) else 1
        return folding.unfold(super().forward(folding.fold(x, factor)), factor)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def check(chain: Chain, x: torch.Tensor, least: float = 120) -> None:
    slope = noise(*x.shape)
    plain = copy.deepcopy(chain)
    wanted = run(plain, (x,), slope)
    assert plain.left
    with ops.device_forms(tpu=True):
        compare(run(chain, (x,), slope), wanted, least)
    assert not chain.left, "no kernel ran"
    for (name, p), q in zip(plain.named_parameters(), chain.parameters(), strict=True):
        assert p.grad is not None and q.grad is not None, name
        assert decibels(q.grad, p.grad) > least, name


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_a_kernel_gives_what_the_layers_give(kernel: int) -> None:
    check(Chain(128, kernel), noise(2, 128, 24))


def test_a_signal_in_many_parts() -> None:
    check(Chain(128), noise(1, 128, 8 * 67))


def test_layers_without_bias() -> None:
    check(Chain(128, bias=False), noise(2, 128, 16))


@pytest.mark.parametrize(("width", "kernel"), [(64, 3), (16, 11)])
def test_a_folded_signal(width: int, kernel: int) -> None:
    check(Folded(width, kernel), noise(2, width, 16 * 128 // width))


def test_in_bfloat16_it_is_as_near_to_float32_as_the_layers() -> None:
    torch.manual_seed(0)  # how near either is depends on the weights
    chain, x = Chain(128), noise(2, 128, 24)
    found = []
    for tpu in (False, True):
        with ops.device_forms(tpu=tpu), torch.autocast("cpu", dtype=torch.bfloat16):
            given = x.to(torch.bfloat16).requires_grad_()
            chain.zero_grad()
            result = chain(given)
            result.float().square().mean().backward()
        assert bool(chain.left) is not tpu and result.dtype == torch.bfloat16
        assert given.grad is not None
        found.append([result, given.grad, *(p.grad for p in chain.parameters())])
    chain.zero_grad()
    given = x.clone().requires_grad_()
    exact = chain(given)
    exact.square().mean().backward()
    for ours, theirs, right in zip(
        *found[::-1], [exact, given.grad, *(p.grad for p in chain.parameters())], strict=True
    ):
        assert decibels(ours.float(), right) > decibels(theirs.float(), right) - 3


def test_on_xla_it_is_one_graph_and_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    device()
    chain, x, slope = Chain(128), noise(2, 128, 16), noise(2, 128, 16)
    wanted = run(copy.deepcopy(chain), (x,), slope)
    monkeypatch.setenv("SOVITS_PORT_FORMS", "tpu")
    there = copy.deepcopy(chain).to(device())
    given = x.to(device()), slope.to(device())

    def step() -> object:
        there.zero_grad(set_to_none=True)
        return run(there, (given[0],), given[1])

    assert_stays_on_device(step)
    compare(run(there, (given[0],), given[1]), wanted, 110)
    assert not there.left


def test_sides_of_the_activations_can_be_given() -> None:
    x = noise(1, 128, 8)
    plan = kernel.Plan(1, 8, 128, ((0,),), 1, 0.5, "float32", "float32", "float32", False)
    weight, bias = torch.eye(128).unsqueeze(0), torch.zeros(128)
    assert decibels(residual.chained(x, [weight], [bias], [torch.ones(128)], plan), x + F.leaky_relu(x, 0.5)) > 120
    assert decibels(residual.chained(x, [weight], [bias], [torch.ones(128)], plan, [torch.ones_like(x)]), 2 * x) > 120


class Standardised(nn.Conv1d):
    """A convolution of some other weight."""

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return F.conv1d(input, weight - weight.mean(), bias, padding=1)


def _refused(case: str) -> tuple[Chain, torch.Tensor]:
    chain, x = Chain(128), noise(1, 128, 16)
    conv: Any = chain.b[1]
    if case == "time in part of a register":
        x = noise(1, 128, 12)
    elif case == "channels in part of the lanes":
        chain, x = Chain(24), noise(1, 24, 16)
    elif case == "float64":
        chain, x = chain.double(), x.double()
    elif case == "a hook":
        conv.register_forward_hook(lambda *_: None)
    elif case == "another pre-hook":
        conv.register_forward_pre_hook(lambda *_: None)
    elif case == "a result of another length":
        first: Any = chain.a[1]
        conv.padding, first.dilation, first.padding = (0,), (1,), (2,)
    elif case == "groups":
        chain.b[1] = nn.Conv1d(128, 128, 3, padding=1, groups=2)
    elif case == "a padding of its own":
        chain.b[1] = nn.Conv1d(128, 128, 3, padding=1, padding_mode="circular")
    elif case == "another class":
        chain.b[1] = Standardised(128, 128, 3, padding=1)
    elif case == "too little memory":
        x = noise(1, 128, 4 << 17)
    return chain, x


@pytest.mark.parametrize(
    "case",
    [
        *("time in part of a register", "channels in part of the lanes", "float64", "a hook", "another pre-hook"),
        *("a result of another length", "groups", "a padding of its own", "another class"),
    ],
)
def test_what_no_kernel_can_stand_for_runs_layer_by_layer(case: str) -> None:
    chain, x = _refused(case)
    with ops.device_forms():
        wanted = chain(x)
    with ops.device_forms(tpu=True):
        assert torch.equal(chain(x), wanted)
    assert chain.left


def test_a_batch_that_devices_cannot_share_keeps_the_kernel_away(monkeypatch: pytest.MonkeyPatch) -> None:
    chain, x = Chain(128), noise(1, 128, 8)
    monkeypatch.setattr(utils, "devices", lambda: 3)
    with ops.device_forms(tpu=True):
        chain(x)
    assert chain.left


@pytest.fixture
def nothing_told() -> Iterator[None]:
    """As in a new process."""
    on_chip._told.clear()
    on_chip.kernels.cache_clear()
    yield
    on_chip._told.clear()
    on_chip.kernels.cache_clear()


@pytest.mark.usefixtures("nothing_told")
@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("jax.experimental.pallas.tpu", RuntimeError("of another year"), "jax cannot be imported: .*of another year"),
        (".kernels.residual", ImportError("too old"), "kernel residual .* cannot be imported: ImportError: too old"),
        (".kernels.residual", NameError("a slip"), "kernel residual .* cannot be imported: NameError: a slip"),
    ],
)
def test_where_a_kernel_cannot_be_imported_the_layers_run(
    name: str, error: Exception, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def failing(asked: str, package: str | None = None) -> object:
        if asked == name:
            raise error
        return real(asked, package)

    chain, x = Chain(128), noise(1, 128, 8)
    monkeypatch.setattr("porter.runtime.ops.on_chip.importlib.import_module", failing)
    with ops.device_forms(tpu=True), pytest.warns(UserWarning, match=told):
        chain(x)
    assert chain.left
    with ops.device_forms(tpu=True), warnings.catch_warnings(action="error"):
        chain(x)  # once is enough


@pytest.mark.usefixtures("nothing_told")
def test_without_jax_the_layers_run(monkeypatch: pytest.MonkeyPatch) -> None:
    chain, x = Chain(128), noise(1, 128, 8)
    monkeypatch.setattr("porter.runtime.ops.on_chip.importlib.util.find_spec", lambda name: None)
    with ops.device_forms(tpu=True), pytest.warns(UserWarning, match="jax is not installed"):
        chain(x)
    assert chain.left


@pytest.mark.parametrize(
    ("forms_", "fits"), [("tpu:v5e", True), ("tpu:v6e", True), ("tpu:v5p", True), ("tpu:v4", False)]
)
def test_what_fits_depends_on_the_chip(forms_: str, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVITS_PORT_FORMS", forms_)
    plan = kernel.Plan(8, 2560, 128, ((-1, 0, 1),) * 6, 2, 0.1, "float32", "float32", "float32", False)
    assert bool(kernel.misfit(plan, forms.kernel_memory())) is not fits


def test_for_a_tpu_it_is_a_call_of_its_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    xla_model = pytest.importorskip("torch_xla.core.xla_model")
    monkeypatch.setenv("SOVITS_PORT_FORMS", "tpu:v5e")
    chain = Chain(128).to(device())
    x = noise(1, 128, 16).to(device()).requires_grad_()
    with never_run():
        result = chain(x)
        result.sum().backward()
        assert not chain.left and x.grad is not None
        assert xla_model.get_stablehlo([result, x.grad]).count("@tpu_custom_call") == 2
