"""Cases by inspection: what a class is built and called with follows from its signature."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="needs torch (the extra xla)")
pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

import torch

from porter.cli import cli
from porter.errors import PortError
from porter.validate.cases import TITLES, chosen, chosen_found, found_name, load_case
from porter.validate.cases.base import Library, Unavailable
from porter.validate.request import Request
from porter.validate.settings import make_settings

from .tiny import write_port, write_upstream

NETWORKS = '''"""Made up for tests."""
import torch
from torch import nn


class Decoder(nn.Module):
    def __init__(self, initial_channel, upsample_rates, gin_channels=0):
        super().__init__()
        self.pre = nn.Conv1d(initial_channel, 8, 7, padding=3)
        self.up = nn.ConvTranspose1d(8, 1, upsample_rates[0], upsample_rates[0])
        if gin_channels:
            self.cond = nn.Conv1d(gin_channels, 8, 1)

    def forward(self, x, g=None):
        x = self.pre(x)
        return torch.tanh(self.up(x if g is None else x + self.cond(g)))


class Flow(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.move = nn.Conv1d(channels // 2, channels // 2, 1)

    def forward(self, x, x_mask, reverse=False):
        a, b = torch.chunk(x, 2, 1)
        shift = self.move(a) * x_mask
        return torch.cat([a, b - shift if reverse else b + shift], 1)


class TextEncoder(nn.Module):
    def __init__(self, n_vocab, hidden_channels):
        super().__init__()
        self.embed = nn.Embedding(n_vocab, hidden_channels)

    def forward(self, x, x_lengths):
        inside = torch.arange(x.shape[1])[None] < x_lengths[:, None]
        return self.embed(x) * inside[..., None]


class PeriodDiscriminator(nn.Module):
    def __init__(self, period):
        super().__init__()
        self.period, self.conv = period, nn.Conv2d(1, 4, (5, 1))

    def forward(self, x):
        b, c, t = x.shape
        return self.conv(x[..., : t // self.period * self.period].view(b, c, -1, self.period))


class Configured(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = nn.Linear(config.width, 1)

    def forward(self, x):
        return self.layer(x)


class Mask(nn.Module):
    def forward(self, x):
        return x > 0


def smooth(x, x_mask):
    return (x * x_mask).cumsum(-1)


def save(x, path):
    open("written", "w").close()
    return x
'''


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    (tmp_path / "found_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield Library("")
    sys.modules.pop("found_networks", None)


def described(library: Library, entry: str) -> dict[str, Any]:
    told = load_case(f"found.found_networks.{entry}").describe(library, make_settings(None, "tiny"))
    found: dict[str, Any] = json.loads(json.dumps(told))["found"]  # as the port's process reads it
    return found


def shapes(library: Library, entry: str, frames: int) -> dict[str, tuple[int, ...]]:
    settings = replace(make_settings(None, "tiny"), batch=3, frames=frames)
    case, told = load_case(f"found.found_networks.{entry}"), {"found": described(library, entry)}
    model = case.build(library, told)
    batch = case.batch(model, told, settings, torch.Generator().manual_seed(0))
    assert case.run(model, batch)
    return {name.removeprefix("found/"): tuple(value.shape) for name, value in batch.items()}


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ("Decoder", {"x": (3, 32, 40), "g": (3, 16, 1)}),
        ("Flow", {"x": (3, 32, 40), "x_mask": (3, 1, 40)}),
        ("TextEncoder", {"x": (3, 40), "x_lengths": (3,)}),
        ("PeriodDiscriminator", {"x": (3, 1, 2048)}),
    ],
)
def test_inputs_follow_from_a_networks_signature_and_first_layer(
    library: Library, entry: str, wanted: dict[str, tuple[int, ...]]
) -> None:
    assert shapes(library, entry, 40) == wanted


def test_a_flow_is_run_both_ways(library: Library) -> None:
    assert described(library, "Flow")["ways"] == [{}, {"reverse": True}]
    assert described(library, "Decoder")["ways"] == [{}]


def test_a_function_of_tensors_is_called(library: Library) -> None:
    assert shapes(library, "smooth", 40)["x_mask"] == (3, 1, 40)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("Configured", "its constructor asks for config, whose name tells no value"),
        ("Mask", "nothing that its parameters' names tell runs: no result has a gradient"),
        ("save", "it asks for path, whose name tells no tensor"),
    ],
)
def test_what_cannot_be_told_is_not_judged_and_says_why(library: Library, entry: str, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        described(library, entry)
    assert not Path("written").exists()


def test_names_lead_from_an_inventory_to_a_case_and_back() -> None:
    names = ("models.py:Generator", "vdecoder/hifigan/models.py:Generator", "vdecoder/__init__.py:Base")
    assert chosen_found((), names) == (
        "found.models.Generator",
        "found.vdecoder.hifigan.models.Generator",
        "found.vdecoder.Base",
    )
    assert chosen_found(("found.vdecoder",), names) == tuple(map(found_name, names[1:]))
    assert Request(cases=("found.vdecoder",)).names() == ()
    assert Request(cases=("found.vdecoder", "losses")).names() == ("losses",)
    assert Request().names() == tuple(TITLES)
    with pytest.raises(PortError, match=r"no case found\.vdecoder"):
        chosen(("found.vdecoder",))  # as bench and record have it
    (part,) = load_case("found.vdecoder.hifigan.models.Generator").parts
    assert (part.module, part.entry) == ("vdecoder.hifigan.models", "Generator")


def test_the_command_runs_one_and_finds_a_lost_mask(tmp_path: Path) -> None:
    upstream = write_upstream(tmp_path / "upstream")
    port = write_port(upstream, tmp_path / "port", "x + self.drop(y) * mask", "x + self.drop(y)")
    arguments = ["validate", str(upstream), str(port), "--device", "cpu", "--preset", "tiny", "--steps", "1", "--json"]
    done = CliRunner().invoke(cli, [*arguments, "--case", "found.models.Mixer"])
    assert done.exit_code == 1, done.output
    verdicts = {case["name"]: case["verdict"] for case in json.loads(done.stdout)["cases"]}
    assert verdicts == {"found.models.Mixer": "mismatch"}
