from typing import Any

import pytest
import torch
from torch import nn

from porter.runtime import ops

from .graphs import check_operation

SHAPES = [
    {},
    {"num_layers": 2, "batch_first": True},
    {"num_layers": 2, "bidirectional": True},
    {"bias": False, "bidirectional": True, "batch_first": True},
]


def pair(**options: Any) -> tuple[nn.LSTM, nn.LSTM]:
    torch.manual_seed(0)
    original = nn.LSTM(3, 4, **options)
    ours = ops.LSTM(3, 4, **options)
    ours.load_state_dict(original.state_dict(), strict=True)
    return ours, original


def same(ours: Any, wanted: Any) -> None:
    for one, two in ((ours[0], wanted[0]), (ours[1][0], wanted[1][0]), (ours[1][1], wanted[1][1])):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", SHAPES, ids=str)
def test_outputs_states_and_gradients_are_those_of_torch(options: dict[str, Any]) -> None:
    ours, original = pair(**options)
    x = torch.randn(2, 5, 3)
    layers = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    batch = 2 if options.get("batch_first") else 5
    hx = (torch.randn(layers, batch, 4), torch.randn(layers, batch, 4))
    with ops.device_forms():
        given = ours(x), ours(x, hx)
    same(given[0], original(x))
    same(given[1], original(x, hx))
    loss, wanted = (sum(part.square().sum() for part in (r[0], *r[1])) for r in (given[1], original(x, hx)))
    torch.autograd.backward([loss, wanted])
    for mine, theirs in zip(ours.parameters(), original.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.xla
def test_it_sends_nothing_to_the_device() -> None:
    ours, original = pair(num_layers=2)
    weights = [parameter.detach() for parameter in original.parameters()]
    names = [name for name, _ in original.named_parameters()]

    def run(lstm: nn.LSTM, x: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        result: Any = torch.func.functional_call(lstm, dict(zip(names, given, strict=True)), x)
        return torch.cat([result[0].flatten(), result[1][0].flatten(), result[1][1].flatten()])

    check_operation(
        lambda x, *given: run(ours, x, *given),
        lambda x, *given: run(original, x, *given),
        torch.randn(6, 2, 3),
        *weights,
        least=110,
    )


def test_dropout_between_layers_draws_as_torch_does() -> None:
    ours, original = pair(num_layers=2, dropout=0.5, batch_first=True)
    x = torch.randn(2, 6, 3)
    torch.manual_seed(3)
    wanted = original(x)
    torch.manual_seed(3)
    with ops.device_forms():
        same(ours(x), wanted)
        same(ours.eval()(x), original.eval()(x))


def test_what_it_does_not_know_is_torchs_own() -> None:
    x = torch.randn(5, 3)
    ours, original = pair(num_layers=2)
    packed = nn.utils.rnn.pack_sequence([x, x[:3]])
    with ops.device_forms():
        same(ours(x), original(x))  # one sequence
        same(ours(x, (torch.ones(2, 4), torch.ones(2, 4))), original(x, (torch.ones(2, 4), torch.ones(2, 4))))
        assert torch.equal(ours(packed)[0].data, original(packed)[0].data)
        projected, wanted = pair(proj_size=2)
        same(projected(x), wanted(x))
        with pytest.raises(RuntimeError, match=r"input\.size"):
            ours(torch.randn(5, 2, 9))
