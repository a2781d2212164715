"""Texts to sound with predicted durations: padded to buckets, and what the network gives for them as they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from porter.runtime import ops
from porter.runtime.decoding import durations

from .graphs import cost_of, decibels, device


def mask(lengths: Tensor, most: int | float | None) -> Tensor:
    most = ops.static_max(lengths) if most is None else most
    return (torch.arange(most, device=lengths.device) < lengths[:, None]).unsqueeze(1).float()


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pre = nn.Conv1d(4, 4, 5, padding=2)
        self.up = nn.ConvTranspose1d(4, 2, 4, 2, 1)
        self.post = nn.Conv1d(2, 1, 7, padding=3)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.post(torch.relu(self.up(torch.relu(self.pre(z))))))


class Speaker(nn.Module):
    """In the shape of VITS: lengths of symbols are drawn, and noise of the frames that they make."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(9, 4)
        self.dec = Decoder()

    def infer(self, x: Tensor, x_lengths: Tensor, scale: float = 1.0, max_len: int | None = None) -> Any:
        x_mask = mask(x_lengths, x.size(1))
        h = self.emb(x).transpose(1, 2) * x_mask
        drawn = torch.randn(x.size(0), 1, x.size(1), device=x.device)
        w = torch.ceil(torch.exp(drawn) * scale) * x_mask
        y_mask = mask(w.sum((1, 2)).long(), None)
        ends = torch.cumsum(w, -1).transpose(1, 2)
        place = torch.arange(y_mask.size(2), device=x.device)
        path = ((place < ends) & (place >= ends - w.transpose(1, 2))).float().transpose(1, 2) * y_mask.transpose(1, 2)
        m = torch.matmul(path, h.transpose(1, 2)).transpose(1, 2)
        z = (m + torch.randn_like(m)) * y_mask
        return self.dec(z[:, :, :max_len]), path.unsqueeze(1), y_mask, (z, m)


def speaker() -> Speaker:
    torch.manual_seed(0)
    return Speaker().eval()


def flat(found: Any) -> list[Tensor]:
    return [*found[:3], *found[3]]


@pytest.mark.parametrize(("count", "length"), [(1, 11), (2, 13), (1, 1)])
@pytest.mark.parametrize("max_len", [None, 6, 100])
def test_padding_changes_nothing(count: int, length: int, max_len: int | None) -> None:
    network = speaker()
    x = torch.randint(9, (count, length))
    lengths = torch.tensor([length, max(1, length - 4)][:count])
    with torch.no_grad():
        torch.manual_seed(3)
        wanted = flat(network.infer(x, lengths, 1.5, max_len))
    torch.manual_seed(3)
    got = flat(durations.infer(network, x, lengths, 1.5, max_len=max_len))
    assert [part.shape for part in got] == [part.shape for part in wanted]
    assert all(decibels(a, b) > 110 for a, b in zip(got, wanted, strict=True))
    assert not network.dec.pre._forward_pre_hooks


def test_lengths_are_read_as_they_are_elsewhere() -> None:
    speak = speaker()
    durations.infer(speak, torch.zeros(1, 3, dtype=torch.long), torch.tensor([3]))
    assert ops.static_max(torch.tensor([33])) == 33


@pytest.mark.parametrize("max_len", [None, 6, 1000])
def test_the_decoder_gets_one_length_for_all_texts_of_a_bucket(max_len: int | None) -> None:
    speak, seen = speaker(), set()
    speak.dec.register_forward_pre_hook(lambda module, given: seen.add(given[0].shape[-1]))
    sounds = set()
    for length in (21, 22):
        torch.manual_seed(length)
        found = durations.infer(speak, torch.full((1, length), 4), torch.tensor([length]), 2.0, max_len=max_len)
        sounds.add(found[0].shape[-1])
    assert len(seen) == 1
    assert sounds == {12} if max_len == 6 else len(sounds) == 2


@pytest.mark.xla
def test_texts_of_a_bucket_share_their_graphs() -> None:
    network = speaker()
    made: list[int] = []

    def speak(length: int) -> list[Tensor]:
        torch.manual_seed(length)
        return flat(durations.infer(network, torch.full((1, length), 4), torch.tensor([length]), 2.0))

    wanted = speak(22)
    network.to(device())
    for length in (21, 22):
        cost = cost_of(lambda length=length: made.append(speak(length)[0].shape[-1]))  # type: ignore[misc]
        assert cost.fallbacks.keys() <= {"aten::_local_scalar_dense"}
    assert made[0] != made[1]
    assert cost.compiles == 0
    assert all(decibels(a, b) > 100 for a, b in zip(speak(22), wanted, strict=True))
