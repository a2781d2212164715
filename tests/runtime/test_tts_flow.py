"""Upstream's TTS with a flow and a vocoder: both are the port's, and give what their networks give."""

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from porter.runtime import tts, utils

from .synthesizer import WIDTH, FlowSynthesizer, Matching, Synthesizer, repeated, spoken


class Generator(nn.Module):
    """The port's vocoder."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = Synthesizer().dec

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.decoder(x, g=torch.zeros(1, WIDTH, 1))
        return found


class BigVGAN(Generator):
    """Upstream's own vocoder of v3, which the port has no class for."""


class SynthesizerTrnV3(FlowSynthesizer):
    """The port's network."""

    def __init__(self) -> None:
        super().__init__(2.0)
        self.cfm = Matching()


class _Upstream:
    """As much of upstream's TTS as loads networks."""

    vocoder: Any
    vits_model: Any

    def __init__(self, configs: Any) -> None:
        self.configs, self.vocoder = configs, None
        self.init_vits_weights("v4.pth")

    def init_vits_weights(self, path: str) -> None:
        self.vits_model = _modules["TTS"].SynthesizerTrnV3()
        self.init_vocoder("v4")

    def init_vocoder(self, version: str) -> None:
        if self.vocoder is not None:
            self.vocoder = self.vocoder.cpu()
        self.vocoder = BigVGAN() if version == "v3" else _modules["TTS"].Generator()


_modules: dict[str, Any] = {}


def _not_built() -> None:
    raise AssertionError("upstream's own network is built")


@pytest.fixture
def speaker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    upstream: Any = ModuleType("TTS_infer_pack.TTS")
    upstream.TTS, upstream.TTS_Config = _Upstream, SimpleNamespace
    upstream.SynthesizerTrnV3 = upstream.Generator = _not_built
    models: Any = ModuleType("porter.runtime.models")
    models.SynthesizerTrnV3, models.Generator = SynthesizerTrnV3, Generator
    _modules["TTS"] = upstream
    monkeypatch.setitem(sys.modules, "TTS_infer_pack.TTS", upstream)
    monkeypatch.setitem(sys.modules, "porter.runtime.models", models)
    tts._tts_class.cache_clear()
    utils.use_device("cpu")
    torch.manual_seed(3)
    yield tts.TTS(SimpleNamespace())
    utils.use_device(None)
    tts._tts_class.cache_clear()


@torch.no_grad()
def test_each_part_gives_what_its_network_gives(speaker: Any) -> None:
    network = speaker.vits_model._network
    codes, text, (refer,) = spoken(1, 19, 11, 37)
    wanted, style = network.decode_encp(codes, text, refer)
    found, own = speaker.vits_model.decode_encp(codes, text, refer)
    assert torch.allclose(found, wanted, atol=1e-6) and torch.allclose(own, style, atol=1e-6)
    condition = torch.randn(2, 12, WIDTH)
    flows = [repeated(one.inference, condition, 5) for one in (network.cfm, speaker.vits_model.cfm)]
    assert torch.equal(*flows)
    spectrum = torch.randn(1, 4, 19)
    assert torch.allclose(speaker.vocoder(spectrum), speaker.vocoder._network(spectrum), atol=1e-6)


def test_another_vocoder_takes_the_place_of_the_first(speaker: Any) -> None:
    first = speaker.vocoder
    speaker.init_vits_weights("other.pth")
    assert isinstance(speaker.vocoder, tts.VocoderOnDevice) and speaker.vocoder is not first


@torch.no_grad()
def test_upstreams_own_vocoder_goes_to_the_device_too(speaker: Any) -> None:
    speaker.init_vocoder("v3")
    network = speaker.vocoder._network
    assert isinstance(speaker.vocoder, tts.VocoderOnDevice) and isinstance(network, BigVGAN)
    spectrum = torch.randn(1, 4, 21)
    assert torch.allclose(speaker.vocoder(spectrum), network(spectrum), atol=1e-6)
