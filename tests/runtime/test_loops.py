"""A step that is repeated in one graph gives what it gives when it is called again and again."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from porter.runtime import loops, utils
from porter.runtime.decoding import Network, Options, decode

from .graphs import cost_of, device
from .speaker import Speaker, a_row

TURNS = 5


class Fixed(NamedTuple):
    weight: Tensor  # (3, 3)
    power: int
    unread: Tensor


def step(state: Sequence[Tensor], each: Sequence[Tensor], fixed: Fixed) -> tuple[list[Tensor], Tensor]:
    """A state of numbers, counts and truths, written in place; over when the count reaches 40."""
    values, count, seen = state
    values.copy_((values @ fixed.weight).tanh() ** fixed.power + each[0] * 0.37)
    seen.logical_or_(values > 0.5)
    count.add_(each[1])
    return [values, count, seen], (count >= 40).all()


def begun(where: torch.device) -> tuple[list[Tensor], list[Tensor], Fixed]:
    own = torch.Generator().manual_seed(1)
    state = [torch.randn(2, 3, generator=own), torch.zeros(1, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.bool)]
    each = [torch.randn(TURNS, 2, 3, generator=own), torch.arange(1, TURNS + 1).view(TURNS, 1) * 5]
    fixed = Fixed(torch.randn(3, 3, generator=own), 3, torch.zeros(4))
    sent = [[utils.constant(tensor, where) for tensor in part] for part in (state, each)]
    return sent[0], sent[1], Fixed(utils.constant(fixed.weight, where), 3, utils.constant(fixed.unread, where))


def wanted(most: int) -> tuple[list[Tensor], bool]:
    state, each, fixed = begun(torch.device("cpu"))
    over = torch.tensor(False)
    for turn in range(most):
        if over:
            break
        state, over = step(state, [part[turn] for part in each], fixed)
    return state, bool(over)


def repeated(most: int) -> tuple[list[Tensor], bool]:
    state, each, fixed = begun(device())
    count, over = (utils.constant(torch.tensor(value), device()) for value in (most, False))
    found, last = loops.repeat(step, state, each, fixed, count, over)
    utils.run_pending()
    return [tensor.cpu() for tensor in found], bool(last)


@pytest.mark.xla
def test_turns_are_those_of_the_step_and_their_number_is_data() -> None:
    for most in (1, 3, 0, TURNS):  # over after 4: 5 + 10 + 15 + 20
        found: list[tuple[list[Tensor], bool]] = []
        cost = cost_of(lambda most=most, found=found: found.append(repeated(most)))  # type: ignore[misc]
        (state, over), (other, last) = found[0], wanted(most)
        torch.testing.assert_close(state, other)
        assert over == last == (most == TURNS)
        assert cost.compiles <= (most == 1)
    assert int(state[1]) == 50  # the fifth turn would have made 75


@pytest.mark.xla
@torch.no_grad()
def test_without_a_loop_each_step_is_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    model = Speaker().to(device())
    rows, noise = [a_row(1, 9, 5)], torch.ones(1, 13, device=device())

    def spoken() -> list[int]:
        (found,) = decode(Network.of(model), rows, Options(top_k=1), most=20, noise=lambda index, shape: noise)
        return found.tokens.tolist()

    together = spoken()
    monkeypatch.setattr(loops, "fits", lambda where: False)
    assert len(together) > 10 and spoken() == together


def test_nothing_is_repeated_off_the_device() -> None:
    assert not loops.fits(torch.device("cpu"))
