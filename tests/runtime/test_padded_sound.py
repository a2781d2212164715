"""Sound from padded codes is that of codes as they are, to its last sample."""

from typing import Any

import pytest
import torch
from torch import Tensor

from porter.runtime import ops
from porter.runtime.decoding import padding, sentence, sound

from .graphs import cost_of, device
from .synthesizer import SAMPLES, WIDTH, Synthesizer, repeated, spoken

LENGTHS = [(19, 11, 37), (33, 3, 21, 45), (5, 9, 33), (40, 16, 48)]


@pytest.fixture
def network() -> Synthesizer:
    torch.manual_seed(3)
    return Synthesizer()


def distance(found: Tensor, wanted: Tensor) -> float:
    """In dB, of the difference below what is wanted."""
    assert found.shape == wanted.shape
    return float(10 * torch.log10(wanted.square().sum() / (found - wanted).square().sum().clamp(min=1e-30)))


@pytest.mark.parametrize("speed", [1, 1.3, 0.8])
@pytest.mark.parametrize("lengths", LENGTHS)
@torch.no_grad()
def test_every_length_gives_its_samples(network: Synthesizer, lengths: tuple[int, ...], speed: float) -> None:
    given = spoken(1, *lengths)
    wanted = repeated(network.decode, *given, speed=speed)
    found = repeated(sound.decode, network, *given, speed=speed)
    assert distance(found, wanted) > 110
    assert distance(found[..., -3 * SAMPLES :], wanted[..., -3 * SAMPLES :]) > 110


@pytest.mark.parametrize("speed", [1, 1.3])
@pytest.mark.parametrize("chunk", [(None, 0), (9, 0), (9, 7), (30, 5)])
@torch.no_grad()
def test_chunks_of_a_stream_are_the_same(network: Synthesizer, chunk: tuple[int | None, int], speed: float) -> None:
    last, overlap = chunk
    before = torch.randn(1, WIDTH, overlap, generator=torch.Generator().manual_seed(2)) if overlap else None
    given: dict[str, Any] = {"speed": speed, "result_length": last, "overlap_frames": before}
    wanted = repeated(network.decode_streaming, *spoken(1, 19, 11, 37), **given)
    found = repeated(sound.decode_streaming, network, *spoken(1, 19, 11, 37), **given)
    assert all(distance(one, other) > 110 for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("length", [2, 3, 37, 40, 41])
@torch.no_grad()
def test_codes_of_a_reference_are_the_same(network: Synthesizer, length: int) -> None:
    (features,) = spoken(1, 1, 1, length)[2]
    wanted = network.extract_latent(features)
    seen: list[int] = []
    network.ssl_proj.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[-1]))
    assert torch.equal(sound.extract_latent(network, features), wanted)
    assert seen == [ops.bucket(length)]


@torch.no_grad()
def test_what_cannot_be_padded_runs_as_it_is(network: Synthesizer) -> None:
    given = spoken(1, 19, 11, 37)
    wanted = repeated(network.decode_streaming, *given, padding_length=3)
    for one, other in zip(repeated(sound.decode_streaming, network, *given, padding_length=3), wanted, strict=True):
        assert torch.equal(one, other)
    nothing = torch.zeros(1, 1, 0, dtype=torch.int64)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        network.decode(nothing, *given[1:])
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        sound.decode(network, nothing, *given[1:])


@torch.no_grad()
def test_nothing_stays_on_the_network(network: Synthesizer) -> None:
    sound.decode(network, *spoken(1, 19, 11, 37))
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in network.modules())


@pytest.mark.parametrize("left_out", ["ref_enc", "dec"])
@torch.no_grad()
def test_without_zeros_behind_the_end_it_is_something_else(
    network: Synthesizer, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    given = spoken(1, 19, 11, 37)
    wanted = repeated(network.decode, *given)
    plain = padding.silence_behind
    part = getattr(network, left_out)
    monkeypatch.setattr(
        sentence, "silence_behind", lambda one, signal: plain(torch.nn.Module() if one is part else one, signal)
    )
    assert distance(repeated(sound.decode, network, *given), wanted) < 60


@torch.no_grad()
def test_a_folded_signal_has_its_mask_folded() -> None:
    signal = padding.Padded(5, 8, torch.zeros(1))
    plain = signal.mask(24)
    folded = signal.mask_of(torch.zeros(1, 6, 8), 2)  # 3 samples of 2 channels in each place
    assert folded.shape == (1, 6, 8)
    for channel in range(2):
        assert torch.equal(folded[0, channel::2].t().reshape(-1), plain[0, 0])


@pytest.mark.xla
@torch.no_grad()
def test_sentences_of_a_bucket_share_a_graph(network: Synthesizer) -> None:
    first, second = spoken(1, 19, 11, 37), spoken(2, 18, 12, 40)
    wanted = [repeated(network.decode, *given) for given in (first, second)]
    network.to(device())
    found = []
    costs = [
        cost_of(lambda given=given: found.append(repeated(sound.decode, network, *given)))  # type: ignore[misc]
        for given in (first, second)
    ]
    assert [cost.compiles for cost in costs] == [1, 0]
    assert all(cost.downloads == 1 and not cost.fallbacks for cost in costs)
    assert all(distance(one, other) > 100 for one, other in zip(found, wanted, strict=True))
