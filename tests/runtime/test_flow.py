"""What v3 and v4 speak with, padded to buckets, is what their own calls give."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from porter.runtime.decoding import flow, sound

from .graphs import cost_of, device
from .synthesizer import WIDTH, FlowSynthesizer, Matching, Synthesizer, repeated, spoken

LENGTHS = [(19, 11, 37), (20, 3, 45), (5, 9, 33), (40, 16, 48)]


def alike(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("speed", [1, 1.3, 0.8])
@pytest.mark.parametrize("scale", [1.875, 2.0])
@pytest.mark.parametrize("lengths", LENGTHS)
@torch.no_grad()
def test_every_length_gives_its_condition(lengths: tuple[int, ...], scale: float, speed: float) -> None:
    torch.manual_seed(3)
    network = FlowSynthesizer(scale)
    codes, text, (refer,) = spoken(1, *lengths)
    wanted, style = network.decode_encp(codes, text, refer, speed=speed)
    found, own = flow.decode_encp(network, codes, text, refer, speed=speed)
    assert alike(found, wanted) and alike(own, style)
    (again, _) = flow.decode_encp(network, codes, text, refer, style, speed)
    assert alike(again, wanted)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in network.modules())
    assert "decode" not in vars(network.quantizer)


@torch.no_grad()
def test_a_vocoder_gives_its_samples() -> None:
    torch.manual_seed(3)
    decoder = Synthesizer().dec
    vocoder = _Unconditioned(decoder)
    for count in (5, 19, 40):
        spectrum = torch.randn(1, 4, count)
        assert alike(sound.vocode(vocoder, spectrum), vocoder(spectrum))


@torch.no_grad()
def test_a_vocoder_that_repeats_the_ends_of_its_signals_gives_its_samples() -> None:
    vocoder, spectra, wanted = _filtered()
    found = [sound.vocode(vocoder, spectrum) for spectrum in spectra]
    assert all(map(alike, found, wanted))


@pytest.mark.xla
@torch.no_grad()
def test_spectra_of_a_bucket_share_the_graph_of_such_a_vocoder() -> None:
    vocoder, spectra, wanted = _filtered()
    vocoder.to(device())
    found: list[Tensor] = []
    cost = cost_of(lambda: found.extend(sound.vocode(vocoder, spectrum) for spectrum in spectra))
    assert all(map(alike, found, wanted))
    assert (cost.compiles, cost.fallbacks) == (1, {})


def _filtered() -> tuple[nn.Module, list[Tensor], list[Tensor]]:
    """A vocoder, spectra of one bucket, and what it makes of them."""
    torch.manual_seed(3)
    vocoder, spectra = _Filtered(), [torch.randn(1, 4, count) for count in (41, 45, 47)]
    return vocoder, spectra, [vocoder(spectrum) for spectrum in spectra]


class _Filtered(nn.Module):
    """Twice the rate and back, each behind a pad of repeated samples, as filters against aliases have it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 3, 7, padding=3)
        self.up = nn.ConvTranspose1d(3, 3, 4, 2, padding=1)
        self.last = nn.Conv1d(3, 1, 5, padding=2)
        self.taps = torch.linspace(0.1, 0.9, 6).expand(3, 1, 6)

    def forward(self, x: Tensor) -> Tensor:
        taps = self.taps.to(x.device)
        signal = self.up(self.first(x))
        signal = F.conv_transpose1d(F.pad(signal, (2, 2), mode="replicate"), taps, stride=2, groups=3)[..., 6:-6]
        signal = F.conv1d(F.pad(signal.sin(), (2, 3), mode="replicate"), taps, stride=2, groups=3)
        found: Tensor = self.last(signal)
        return found


class _Unconditioned(nn.Module):
    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.decoder(x, g=torch.zeros(1, WIDTH, 1, device=x.device))
        return found


@pytest.mark.xla
@torch.no_grad()
def test_a_flow_makes_few_graphs_from_noise_of_the_host() -> None:
    torch.manual_seed(3)
    matching, condition = Matching(), torch.randn(1, 12, WIDTH)
    wanted = repeated(matching.inference, condition, 6, temperature=0.7)
    matching.to(device())
    found: list[Any] = []
    first = cost_of(lambda: found.append(repeated(flow.inference, matching, condition, 6, temperature=0.7)))
    assert alike(found[0], wanted)
    assert first.compiles <= 3 and first.graphs == 6 + 1
    assert cost_of(lambda: repeated(flow.inference, matching, condition, 6, temperature=0.7)).compiles == 0


@pytest.mark.xla
@torch.no_grad()
def test_conditions_of_a_bucket_share_a_graph() -> None:
    torch.manual_seed(3)
    network = FlowSynthesizer(2.0)
    wanted = [network.decode_encp(codes, text, refer, speed=1.3)[0] for codes, text, (refer,) in SENTENCES]
    network.to(device())
    found: list[Tensor] = []
    compiles = []

    def speak(codes: Tensor, text: Tensor, refer: list[Tensor]) -> None:
        found.append(flow.decode_encp(network, codes, text, refer[0], None, 1.3)[0])

    for sentence in SENTENCES:
        compiles.append(cost_of(partial(speak, *sentence)).compiles)
    assert all(alike(one, other) for one, other in zip(found, wanted, strict=True))
    assert compiles == [1, 0]


SENTENCES = [spoken(1, 36, 11, 37), spoken(2, 34, 12, 39)]
