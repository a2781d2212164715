"""How cases of whole models look at what upstream has."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from porter.inputs.upstream import open_upstream
from porter.validate.cases.base import Library, Unavailable, method, require
from porter.validate.cases.discriminator import CASES as DISCRIMINATOR
from porter.validate.cases.inference import CASES as INFERENCE
from porter.validate.cases.synthesizer import arguments
from porter.validate.cases.synthesizer_v3 import CASES as FLOW_MATCHING
from porter.validate.settings import Preset, make_settings
from porter.validate.tree import UpstreamTree

from .tiny import write_upstream

PRESETS: tuple[Preset, ...] = ("tiny", "full")
SETTINGS = make_settings(None, "tiny")
MODELS = """
from torch import nn


class DiT(nn.Module):
    def __init__(self, *, dim, depth, heads, text_dim, conv_layers):
        super().__init__()
        self.sizes = dim, depth, heads, text_dim, conv_layers


class CFM(nn.Module):
    def forward(self, x1, x_lens, prompt_lens, mu, use_grad_ckpt):
        pass


class SynthesizerTrnV3(nn.Module):
    def __init__(self, spec_channels, inter_channels, hidden_channels, **kwargs):
        super().__init__()
        self.widths = inter_channels, hidden_channels
        self.estimator = DiT(dim=1024, depth=22, heads=16, text_dim=512, conv_layers=4)

    def forward(self, mel):
        pass

    def decode_encp(self, codes):
        pass


class SynthesizerTrn(nn.Module):
    def __init__(self, spec_channels, text_symbols=7):
        super().__init__()
        self.text = nn.Embedding(text_symbols, 4)

    def decode(self, codes, text, refer):
        return [value.mean() for value in refer] if type(refer) == list else refer.mean()
"""


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    module = ModuleType("fake.models")
    monkeypatch.setitem(sys.modules, "fake", ModuleType("fake"))
    monkeypatch.setitem(sys.modules, "fake.models", module)
    exec(MODELS, module.__dict__)
    return Library("fake")


def test_a_transformer_of_fixed_size_is_smaller_in_tiny(library: Library) -> None:
    case = next(case for case in FLOW_MATCHING if case.name == "synthesizer_v3.v3.decode_encp")
    told = case.describe(library, SETTINGS)
    model: Any = case.build(library, told).subject("SynthesizerTrnV3")
    assert model.estimator.sizes == (64, 2, 2, 512, 1)
    assert model.widths == (192, 192)  # upstream feeds one where it expects the other
    full: Any = case.build(library, case.describe(library, make_settings(None, "full"))).subject("SynthesizerTrnV3")
    assert full.estimator.sizes == (1024, 22, 16, 512, 4)


def test_a_model_that_forgets_an_argument_of_its_flow_gets_it() -> None:
    class CFM(torch.nn.Module):
        def forward(self, x: torch.Tensor, use_grad_ckpt: bool) -> torch.Tensor:
            return x * 2 if not use_grad_ckpt else x

    class Forgetful(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cfm = CFM()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.cfm(x)
            return found

    case = next(case for case in FLOW_MATCHING if case.name == "synthesizer_v3b.forward")
    model = Forgetful()
    assert case.parts[0].call(model, {"x": torch.ones(1)}) == 2.0
    with pytest.raises(TypeError):
        model(torch.ones(1))


def test_a_version_or_method_that_upstream_lacks(library: Library) -> None:
    v4 = next(case for case in FLOW_MATCHING if case.name == "synthesizer_v3.v4.decode_encp")
    with pytest.raises(Unavailable, match="takes no version"):
        v4.describe(library, SETTINGS)
    streaming = next(case for case in INFERENCE if case.name == "synthesizer.v2.decode_streaming")
    with pytest.raises(Unavailable, match="has no decode_streaming"):
        streaming.describe(library, SETTINGS)
    models: Any = library.module("models")
    with pytest.raises(Unavailable, match="takes no speed and no test"):
        require(method(models.SynthesizerTrn, "decode"), "codes", "speed", "test")


@pytest.mark.parametrize("several", [True, False])
def test_several_references_where_decode_takes_a_list(library: Library, several: bool) -> None:
    models: Any = library.module("models")
    if not several:
        models.SynthesizerTrn.decode = torch.no_grad()(lambda self, codes, text, refer: refer.mean())
    case = next(case for case in INFERENCE if case.name == "synthesizer.v2.decode")
    told = case.describe(library, SETTINGS)
    model = case.build(library, told)
    batch = case.batch(model, told, SETTINGS, torch.Generator().manual_seed(0))
    assert ("SynthesizerTrn/other_refer" in batch) is several
    result = case.run(model, batch)["SynthesizerTrn"]
    assert isinstance(result, list) is several


def test_a_version_with_a_configuration_of_its_own(tmp_path: Path) -> None:
    upstream = write_upstream(tmp_path)
    configs = upstream / "GPT_SoVITS" / "configs"
    configs.mkdir()
    (configs / "s2.json").write_text('{"model": {"n_layers": 4, "gin_channels": 512}}')
    (configs / "s2v2ProPlus.json").write_text('{"model": {"gin_channels": 1024, "upsample_initial_channel": 768}}')
    config = UpstreamTree(open_upstream(str(upstream))).config()

    def constructor(
        gin_channels: int, upsample_initial_channel: int, n_layers: int, version: str = "v2ProPlus"
    ) -> None:
        pass

    made = {preset: arguments("v2ProPlus")(constructor, make_settings(config, preset)) for preset in PRESETS}
    assert made["full"] == {
        "gin_channels": 1024,
        "upsample_initial_channel": 768,
        "n_layers": 4,
        "version": "v2ProPlus",
    }
    assert made["tiny"]["gin_channels"] == 1024
    assert made["tiny"]["upsample_initial_channel"] < 512
    assert arguments("v2")(constructor, make_settings(config, "full"))["upsample_initial_channel"] == 512


def test_nets_of_the_library_are_left_as_they_were(library: Library) -> None:
    models: Any = library.module("models")
    before = models.DiT
    case = next(case for case in FLOW_MATCHING if case.name == "synthesizer_v3.v3.decode_encp")
    case.build(library, case.describe(library, SETTINGS))
    assert models.DiT is before
    assert issubclass(before, nn.Module)


def test_scores_of_discriminators_are_moved_from_zero(library: Library) -> None:
    models: Any = library.module("models")

    class Scores(nn.Module):
        def __init__(self, use_spectral_norm: bool) -> None:
            super().__init__()
            self.conv_pre = nn.Conv1d(1, 1, 1)
            self.conv_post = nn.Conv1d(1, 1, 1)

    models.MultiPeriodDiscriminator = Scores
    case = next(case for case in DISCRIMINATOR if case.name == "discriminator.v2")
    model = case.build(library, case.describe(library, SETTINGS))
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    case.finish(model)
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"MultiPeriodDiscriminator.conv_post.bias"}
