"""Recording and replaying noise, on the CPU."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from porter.validate.noise import RecordNoise, ReplayNoise
from tests.runtime.graphs import device

HERE = Path(__file__).parent.resolve()
LSTM = nn.LSTM(4, 4, 2, dropout=0.5)
ATTENTION = nn.MultiheadAttention(4, 2, dropout=0.3)


def rows(x: Tensor) -> Tensor:
    return x.view(3, 1, 4)


def filled_view(x: Tensor) -> Tensor:
    base = torch.zeros(3, 4)
    base[:, :2].uniform_()
    return base + x


def filled_data(x: Tensor) -> Tensor:
    base = torch.zeros(3, 4)
    base.data.normal_(2, 3)
    return base * x


SOURCES: dict[str, Callable[[Tensor], Tensor]] = {
    "randn": lambda x: x * torch.randn(3, 4),
    "randn list": lambda x: x * torch.randn([3, 4], dtype=torch.float32),
    "rand": lambda x: x * torch.rand(size=(3, 4)),
    "randn_like": lambda x: x * torch.randn_like(x),
    "rand_like": lambda x: x * torch.rand_like(x, dtype=torch.float64),
    "randint": lambda x: x * torch.randint(2, 8, (3, 4)),
    "randint_like": lambda x: x * torch.randint_like(x, 9),
    "random_": lambda x: x * torch.empty(3, 4, dtype=torch.int64).random_(3, 9),
    "randperm": lambda x: x[torch.randperm(3)],
    "normal of tensors": lambda x: torch.normal(x.detach(), x.detach() + 1) * x,
    "normal of numbers": lambda x: torch.normal(1.0, 2.0, (3, 4)) * x,
    "normal_": lambda x: torch.empty(3, 4).normal_(1, 2) * x,
    "uniform_": lambda x: torch.empty(3, 4).uniform_(-1, 1) * x,
    "view": filled_view,
    "data": filled_data,
    "exponential_": lambda x: torch.empty(3, 4).exponential_(2.0) * x,
    "bernoulli_": lambda x: torch.empty(3, 4).bernoulli_(0.3) * x,
    "bernoulli": lambda x: torch.bernoulli(torch.full((3, 4), 0.4)) * x,
    "bernoulli p": lambda x: torch.bernoulli(x.detach(), 0.5) * x,
    "multinomial": lambda x: x[torch.multinomial(torch.ones(3), 2)],
    "dropout": lambda x: F.dropout(x, 0.5),
    "dropout in place": lambda x: F.dropout(x * 1, 0.5, True, True),
    "Dropout": lambda x: nn.Dropout(0.3)(x),
    "fused dropout": lambda x: torch.native_dropout(x, 0.3, True)[0],
    "channel dropout": lambda x: F.dropout1d(x, 0.5),
    "alpha dropout": lambda x: F.alpha_dropout(x, 0.5, True),
    "gumbel": lambda x: F.gumbel_softmax(x),
    "distribution": lambda x: torch.distributions.Normal(x, x + 1).rsample(),
    "lstm": lambda x: LSTM(rows(x))[0],
    "attention": lambda x: ATTENTION(rows(x), rows(x), rows(x))[0],
    "attention function": lambda x: F.scaled_dot_product_attention(
        x.view(1, 1, 3, 4), x.view(1, 1, 3, 4), x.view(1, 1, 3, 4), dropout_p=0.2
    ),
    "checkpoint": lambda x: checkpoint(lambda y: F.dropout(y, 0.5) * 2, x, use_reentrant=False),
    "random": lambda x: x * random.random(),
    "random uniform": lambda x: x * random.uniform(2, 5),
    "random randint": lambda x: x * random.randint(2, 5),
}


def run(draw: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    x = (torch.arange(12.0).view(3, 4) / 10).requires_grad_()
    result = draw(x)
    result.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return result.detach(), x.grad


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_is_replayed(name: str) -> None:
    torch.manual_seed(1)
    random.seed(1)
    with RecordNoise([HERE]) as recorded:
        expected = run(SOURCES[name])
    assert recorded.draws
    assert not recorded.findings
    torch.manual_seed(2)
    random.seed(2)
    with ReplayNoise(recorded.draws, [HERE]) as replayed:
        got = run(SOURCES[name])
    assert replayed.findings() == []
    assert replayed.replayed == len(recorded.draws)
    for old, new in zip(expected, got, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-6, atol=1e-7)


@pytest.mark.xla
@pytest.mark.parametrize("in_place", [False, True])
def test_noise_for_another_device_is_drawn_on_the_cpu(in_place: bool) -> None:
    def draw(device: str) -> list[Tensor]:
        torch.manual_seed(1)
        x = torch.ones(3, 4, device=device)
        with RecordNoise() as recorded:
            results = [x.clone().normal_(1, 2), F.dropout(x.clone(), 0.5, inplace=in_place), torch.rand_like(x)]
            results += torch.native_dropout(x, 0.3, True)
        assert {result.device.type for result in results} == {device}
        assert recorded.findings == []
        return [draw.value for draw in recorded.draws]

    here, there = draw("cpu"), draw("meta")  # a device that computes nothing stands in for CUDA
    assert len(here) == 4
    assert {value.device.type for value in there} == {"cpu"}
    for old, new in zip(here, there, strict=True):
        assert torch.equal(old, new)


def test_fused_dropout_is_shared_with_plain_dropout() -> None:
    x = torch.arange(1.0, 41.0).view(5, 8)
    with RecordNoise() as recorded:
        fused, mask = torch.native_dropout(x, 0.3, True)
        whole, _ = torch.native_dropout(x, 1.0, True)
    with ReplayNoise(recorded.draws) as replayed:
        torch.testing.assert_close(F.dropout(x, 0.3), fused)
    assert len(replayed.findings()) == 1  # the second mask
    assert torch.equal(fused != 0, mask)
    assert 0 < int(mask.sum()) < mask.numel()
    assert not whole.any()


def test_noise_differs_without_a_record() -> None:
    with RecordNoise() as first:
        run(SOURCES["randn"])
    with RecordNoise() as second:
        run(SOURCES["randn"])
    assert not torch.equal(first.draws[0].value, second.draws[0].value)


def test_recording_keeps_the_distribution() -> None:
    torch.manual_seed(0)
    with RecordNoise():
        values = torch.normal(3.0, 2.0, (4000,))
        mask = F.dropout(torch.ones(4000), 0.25)
        spread = torch.empty(4000).uniform_(-1, 3)
    assert abs(float(values.mean()) - 3) < 0.2
    assert abs(float(values.std()) - 2) < 0.2
    assert abs(float(mask.mean()) - 1) < 0.1
    assert float(spread.min()) >= -1
    assert abs(float(spread.mean()) - 1) < 0.2


def test_same_noise_for_other_parameters() -> None:
    with RecordNoise() as recorded:
        scaled = torch.empty(3, 4).normal_(0, 2)
    with ReplayNoise(recorded.draws):
        written_otherwise = 2 * torch.randn(3, 4)
    assert torch.equal(scaled, written_otherwise)


def test_python_number_answers_a_tensor_draw() -> None:
    with RecordNoise() as recorded:
        number = random.random()
    with ReplayNoise(recorded.draws) as replayed:
        tensor = torch.rand(())
    assert float(tensor) == pytest.approx(number)
    assert not replayed.findings()


def test_draw_of_the_port_alone() -> None:
    with ReplayNoise([], [HERE]) as replayed:
        torch.rand(2, 5)
        torch.rand(2, 5)
    found = replayed.findings()
    assert {f.problem for f in found} == {"port only"}
    assert found[0].shape == (2, 5)
    assert found[0].where.startswith("test_noise.py:")
    assert "uniform draw of shape [2, 5]" in str(found[0])


def test_draw_of_upstream_alone() -> None:
    with RecordNoise([HERE]) as recorded:
        for _ in range(3):
            torch.randn(7)
    with ReplayNoise(recorded.draws, [HERE]) as replayed:
        torch.randn(7)
    (found,) = replayed.findings()
    assert (found.problem, found.family, found.shape, found.count) == ("upstream only", "normal", (7,), 2)
    assert found.where.startswith("test_noise.py:")


def test_recomputing_less_is_no_finding() -> None:
    with RecordNoise() as recorded:
        run(SOURCES["checkpoint"])
    assert len(recorded.draws) == 2
    with ReplayNoise(recorded.draws) as replayed:
        run(lambda x: F.dropout(x, 0.5) * 2)
    assert replayed.findings() == []


def test_unknown_draws_are_told() -> None:
    with RecordNoise([HERE]) as recorded:
        torch.poisson(torch.ones(3))
    (found,) = recorded.findings
    assert found.problem == "cannot be shared"
    assert "poisson" in found.family


def test_idle_operators_draw_nothing() -> None:
    q = torch.ones(1, 2, 5, 4)
    with RecordNoise() as recorded:
        F.scaled_dot_product_attention(q, q, q)
        F.dropout(q, 0.5, training=False)
        torch.native_dropout(q, 0.5, False)
        torch.native_dropout(q, 0.0, True)
    assert recorded.draws == []
    assert recorded.findings == []


def test_bounds_of_python_s_random_integers_are_compared() -> None:
    with RecordNoise() as recorder:
        random.randint(2, 5)
    with ReplayNoise(recorder.draws) as replayed:
        random.randint(2, 6)
    assert {finding.problem for finding in replayed.findings()} == {"port only", "upstream only"}


def test_python_random_is_restored() -> None:
    before = random.random, random.uniform, random.randint
    with pytest.raises(ZeroDivisionError), RecordNoise():
        _ = 1 // 0
    assert before == (random.random, random.uniform, random.randint)


@pytest.mark.xla
def test_what_is_drawn_on_xla_can_be_written_to_through_views() -> None:
    def phases(where: torch.device) -> Tensor:
        x = torch.rand(2, 3, device=where)
        x[:, 0] = 0  # as a harmonic source begins the fundamental at no phase
        return x.cpu()

    with RecordNoise() as recorder:
        recorded = phases(torch.device("cpu"))
    with ReplayNoise(recorder.draws):
        replayed = phases(device())
    assert torch.equal(replayed, recorded) and not recorded[:, 0].any()


def test_initialisation_by_keyword_is_replayed() -> None:
    with RecordNoise() as recorded:
        torch.nn.init.normal_(tensor=torch.empty(3), std=2)
    with ReplayNoise(recorded.draws, [HERE]) as replayed:
        value = torch.nn.init.normal_(tensor=torch.empty(3), std=2)
    assert replayed.findings() == []
    assert torch.equal(value, 2 * recorded.draws[0].value)
