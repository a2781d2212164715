"""The backend file on XLA; every warning is an error here."""

import functools
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from porter.runtime import utils

from .graphs import HAS_XLA, assert_stays_on_device, cost_of, decibels, device

pytestmark = pytest.mark.xla

if not HAS_XLA:
    pytest.skip("torch_xla is not installed", allow_module_level=True)


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    device()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    utils.set_graph_breaks(None)


def sent(*shape: int) -> torch.Tensor:
    return utils.constant(torch.randn(shape), device())


def test_the_device_is_xla_and_one_replica() -> None:
    assert device().type == utils.get_xla_device(0).type == utils.default_device().type == "xla"
    assert (utils.get_rank(), utils.get_world_size()) == (0, 1)
    x = sent(3)
    assert not utils.on_host(x)
    assert utils.to_host(x).device.type == "cpu"
    assert utils.all_reduce(x) is x
    assert utils.on_device(x.device, torch.ones, 2).device == x.device


def test_a_step_runs_what_is_pending_and_a_boundary_does_not() -> None:
    x = sent(3)

    def step() -> torch.Tensor:
        y = x + 1
        utils.mark_step("encoder")
        z = y * 2
        utils.mark_step()
        return z

    assert cost_of(step).graphs == 1
    utils.set_graph_breaks("component")
    assert cost_of(step).graphs == 2


def test_constants_are_uploaded_once_and_are_parameters_of_every_graph() -> None:
    fixed = utils.constant(torch.arange(4.0).double(), device(), torch.float32)
    assert fixed.dtype == torch.float32
    with torch.device("meta"):
        assert utils.constant(fixed.cpu(), device()).device.type == "xla"
    for step in (lambda: fixed + 1, lambda: fixed * fixed + 1):
        cost = cost_of(step)
        assert (cost.uploads, cost.graphs) == (0, 1)


def test_the_seed_rules_the_device_too() -> None:
    def draw() -> torch.Tensor:
        utils.manual_seed(11)
        return torch.rand(4, device=device()).cpu()

    first = draw()
    assert torch.equal(first, draw())
    assert not torch.equal(first, torch.rand(4, device=device()).cpu())


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
def test_autocast_is_bfloat16_on_the_device(dtype: torch.dtype | None) -> None:
    x = sent(4, 4)
    with utils.autocast(dtype=dtype):
        assert (x @ x).dtype == torch.bfloat16
        with utils.autocast(enabled=False):
            assert (x @ x).dtype == torch.float32
    assert (x @ x).dtype == torch.float32
    with utils.autocast(dtype=torch.float32):
        assert (x @ x).dtype == torch.float32

    @utils.autocast()
    def product() -> torch.Tensor:
        return x @ x

    assert product().dtype == torch.bfloat16


def test_values_print_after_the_step_as_they_were_when_asked_for() -> None:
    out = io.StringIO()
    x = utils.constant(torch.tensor([1.5, -2.0]), device())
    utils.print_values("min", x.min(), x * 2, sep="|", file=out)
    utils.print_values("min", 2 * utils.value_for_log(x.min()), "dB", sep="|", file=out, numbers=True)
    x.zero_()
    assert out.getvalue() == ""
    utils.mark_step()
    assert out.getvalue() == "min|tensor(-2.)|tensor([ 3., -4.])\nmin|-4.0|dB\n"


def test_a_value_for_the_log_is_that_of_the_moment() -> None:
    x, n = sent(3), utils.constant(torch.tensor([2]), device())

    def step() -> list[torch.Tensor]:
        total = x.sum()
        kept = [utils.value_for_log(total), utils.value_for_log(n, float)]
        total.zero_()
        return [*kept, total]

    results: list[torch.Tensor] = []
    assert cost_of(lambda: results.extend(step())).compiles == 1
    total, count, after = (value.cpu() for value in results)
    assert total.item() == x.cpu().sum().item() and after.item() == 0
    assert count.item() == 2.0 and count.dtype == torch.float64 and total.dim() == count.dim() == 0


@pytest.mark.parametrize(
    ("factory", "args"),
    [
        (torch.arange, (0, 1, 1 / 6)),
        (torch.arange, (0, 3, 0.3)),
        (torch.linspace, (-3.3, 7.7, 33)),
        (torch.logspace, (0, 2, 9)),
        (torch.hamming_window, (31,)),
        (torch.kaiser_window, (31,)),
        (torch.tril_indices, (3, 5)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_computed_on_the_host_is_torchs_own(
    factory: Callable[..., torch.Tensor], args: tuple[float, ...]
) -> None:
    wanted = factory(*args)
    got: list[torch.Tensor] = []

    def make() -> None:
        got.append(utils.computed_on_host(factory, *args, device=device()))

    cost = cost_of(make)
    assert got[0].device.type == "xla" and cost.fallbacks == {} and cost.downloads == 0
    assert got[0].dtype == wanted.dtype and torch.equal(got[0].cpu(), wanted)
    assert torch.equal(utils.computed_on_host(factory, *args), wanted)
    assert torch.equal(utils.computed_on_host(factory, *args, device="cpu"), wanted)


def test_printing_adds_no_graph() -> None:
    x = sent(3)

    def step() -> torch.Tensor:
        y = x + 1
        utils.print_values(y.sum(), file=io.StringIO())
        return y * 2

    cost = cost_of(step)
    assert cost.graphs == 1
    assert cost.fallbacks.keys() <= {"aten::_local_scalar_dense"}


def test_an_optimizer_step_is_part_of_the_graph() -> None:
    layer = nn.Linear(3, 3).to(device())
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    x = sent(2, 3)

    def step() -> None:
        optimizer.zero_grad()
        layer(x).sum().backward()
        utils.optimizer_step(optimizer)

    assert_stays_on_device(step)


Body = Callable[..., torch.Tensor]


def gradients(layer: nn.Module, x: torch.Tensor, call: Callable[[], torch.Tensor]) -> list[torch.Tensor]:
    layer.zero_grad()
    x.grad = None
    result = call()
    torch.autograd.backward(result.square().sum())
    grads = [parameter.grad for parameter in layer.parameters()] + ([x.grad] if x.requires_grad else [])
    return [result.detach().cpu(), *[grad.cpu() for grad in grads if grad is not None]]


@pytest.mark.parametrize("wants_grad", [True, False])
@pytest.mark.parametrize("reentrant", [None, True, False])
def test_checkpoint_gives_the_plain_gradients(wants_grad: bool, reentrant: bool | None) -> None:
    layer = nn.Linear(5, 5).to(device())
    x = sent(3, 5).requires_grad_(wants_grad)
    shift = sent(5)

    def body(h: torch.Tensor, factor: float, *, shift: torch.Tensor | None = None) -> torch.Tensor:
        return torch.tanh(layer(h)) * factor + (0 if shift is None else shift)

    wanted = gradients(layer, x, lambda: body(x, 2.0, shift=shift))
    ours = gradients(layer, x, lambda: utils.checkpoint(body, x, 2.0, use_reentrant=reentrant, shift=shift))
    assert len(ours) == len(wanted) == (4 if wants_grad else 3)
    assert all(decibels(a, b) > 110 for a, b in zip(ours, wanted, strict=True))


def test_checkpoint_replays_dropout_in_the_backward_pass() -> None:
    x = torch.ones(64, device=device(), requires_grad=True)
    y = utils.checkpoint(lambda h: torch.dropout(h * 1, 0.5, True), x, use_reentrant=False)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(y.detach().cpu(), x.grad.cpu())
    assert 0 < int((y == 0).sum()) < 64


def test_checkpoint_compiles_one_graph_and_reads_nothing_back() -> None:
    layer = nn.Linear(5, 5).to(device())
    x = sent(3, 5)

    def body(h: torch.Tensor) -> torch.Tensor:
        return torch.dropout(torch.tanh(layer(h)), 0.5, True)

    def step() -> Any:
        layer.zero_grad()
        utils.checkpoint(body, utils.checkpoint(body, x)).sum().backward()

    assert_stays_on_device(step, random_seeds=6)


def test_a_checkpoint_wants_gradients_where_its_function_does() -> None:
    layer = nn.Linear(5, 5).to(device())
    plain, trained = sent(3, 5), sent(3, 5).requires_grad_()
    assert not utils.checkpoint(torch.tanh, plain).requires_grad
    assert utils.checkpoint(torch.tanh, trained).requires_grad
    assert utils.checkpoint(lambda h: torch.tanh(layer(h)), plain).requires_grad
    assert not utils.checkpoint(lambda h: torch.tanh(h.detach()), trained).requires_grad

    def both(h: torch.Tensor) -> dict[str, Any]:
        return {"fixed": h.argmax(-1), "moved": [h.detach() + 1, layer(h) * 2], "count": 3, "given": h}

    made = utils.checkpoint(both, trained)
    assert [made["fixed"].requires_grad, *(x.requires_grad for x in made["moved"])] == [False, False, True]
    assert made["count"] == 3 and made["given"].requires_grad and not both(plain)["given"].requires_grad
    made["moved"][1] += 1
    (made["moved"][0].sum() + made["moved"][1].sum() + made["given"].sum()).backward()
    ours = [trained.grad, layer.weight.grad]
    trained.grad = layer.weight.grad = None
    (layer(trained) * 2 + trained).sum().backward()
    for found, wanted in zip(ours, (trained.grad, layer.weight.grad), strict=True):
        assert found is not None and wanted is not None
        assert decibels(found.cpu(), wanted.cpu()) > 110


def test_gradients_of_a_checkpoint_flow_through_lists_and_dicts() -> None:
    x, y = sent(4).requires_grad_(), sent(4).requires_grad_()

    def body(parts: list[torch.Tensor], *, named: dict[str, torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return parts[0] * named["y"], [named["y"].square()]

    grads: list[torch.Tensor] = []
    for call in (body, functools.partial(utils.checkpoint, body)):
        x.grad = y.grad = None
        product, (square,) = call([x * 2], named={"y": y * 3})
        (product.sum() + square.sum()).backward()
        assert x.grad is not None and y.grad is not None
        grads += [x.grad.cpu(), y.grad.cpu()]
    assert decibels(grads[2], grads[0]) > 110 and decibels(grads[3], grads[1]) > 110


def test_checkpoint_without_gradients_is_the_function() -> None:
    with torch.no_grad():
        assert utils.checkpoint(lambda h, scale: h * scale, sent(2), scale=2).shape == (2,)
