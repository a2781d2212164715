"""Run by test_xla.py in a process of its own: small models with one deliberate hazard each; prints JSON."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch_xla
from torch import Tensor, nn
from torch.nn import functional as F

from porter.validate import roles
from porter.validate.cases.base import Batch, Case, Part, Subjects
from porter.validate.counting import diagnose, figures, measure
from porter.validate.job import Job, Told
from porter.validate.noise import RecordNoise, ReplayNoise
from porter.validate.sourcemap import SourceMap
from porter.validate.verdicts import judge_tensors

HERE = str(Path(__file__).parent.resolve())


class Good(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 3, padding=1)
        self.calls = 0

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        self.calls += 1
        mask = (torch.arange(x.shape[-1], device=x.device) < lengths[:, None])[:, None].float()
        y = F.dropout(torch.tanh(self.conv(x * mask)), 0.2)
        return self.hazard(y + torch.randn_like(y)) * 0.5

    def hazard(self, y: Tensor) -> Tensor:
        return y


class Item(Good):
    def hazard(self, y: Tensor) -> Tensor:
        return y * y.mean().item()  # SYNC


class Fallback(Good):
    def hazard(self, y: Tensor) -> Tensor:
        return F.interpolate(y, scale_factor=2)  # FALLBACK


class NewShape(Good):
    def hazard(self, y: Tensor) -> Tensor:
        return y[:, :, : 4 + self.calls]  # SHAPE


def line_of(mark: str) -> int:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith(f"# {mark}"))


def budget(kind: type[Good]) -> dict[str, Any]:
    torch.manual_seed(0)
    device = torch_xla.device()
    case = Case("checks", (Part("xla_checks", "model", lambda *_: {}, constant=("x",)),))
    batches: list[Batch] = [
        {"model/x": torch.randn(2, 2, 12), "model/lengths": torch.tensor([12, 5 + step])} for step in range(4)
    ]
    model = Subjects({"model": kind()}).train().to(device)
    counted = measure(case, model, batches, device, {})
    overruns = [str(overrun) for overrun in counted.overruns()]
    if overruns:
        counted = diagnose(counted, case, model, batches, device, {}, [HERE])
    return {**asdict(counted), "overruns": overruns}


def replay() -> dict[str, float]:
    """Largest difference between recorded and replayed results, by source of noise."""

    def fill_view(x: Tensor) -> Tensor:
        base = torch.zeros(3, 4, device=x.device)
        base[:, :2].uniform_()
        return base + x

    def write_view(x: Tensor) -> Tensor:
        base = torch.zeros(3, 4, device=x.device)
        base[:, 1:] = torch.randn(3, 3, device=x.device)
        return base + x

    lstm = nn.LSTM(4, 4, 2, dropout=0.5)
    sources = {
        "host": lambda x: x * torch.randn(3, 4).to(x.device),
        "device": lambda x: x * torch.randn(3, 4, device=x.device),
        "like": lambda x: x * torch.rand_like(x),
        "normal_": lambda x: x * torch.empty_like(x).normal_(1, 2),
        "fill view": fill_view,
        "write view": write_view,
        "dropout": lambda x: F.dropout(x, 0.5),
        "gumbel": lambda x: F.gumbel_softmax(x),
        "permutation": lambda x: x[torch.randperm(3, device=x.device)],
        "lstm": lambda x: lstm.to(x.device)(x.view(3, 1, 4))[0],
        "distribution": lambda x: torch.distributions.Normal(x, x + 1, validate_args=False).rsample(),
    }
    result = {}
    for name, draw in sources.items():
        with RecordNoise() as recorded:
            expected = run(draw, torch.device("cpu"))
        with ReplayNoise(recorded.draws) as replayed:
            got = run(draw, torch_xla.device())
        assert not replayed.findings(), replayed.findings()
        result[name] = max(float((a - b).abs().max()) for a, b in zip(expected, got, strict=True))
    return result


VARIED = """
import torch
from torch import nn


class SynthesizerTrn(nn.Module):
    def __init__(self, spec_channels, segment_size, **kwargs):
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.pre = nn.Linear(spec_channels, 8)
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, ssl, y, y_lengths, text, text_lengths):
        x = NOISE(self.pre(y.transpose(1, 2)) + self.embed(text).mean(1, keepdim=True))
        result = x - self.mean
        self.mean.data.mul_(0.5).add_(x.detach().mean((0, 1)), alpha=0.5)
        return result
"""


def steps() -> dict[str, Any]:
    """Of a model that keeps an average: what later steps compile, and what they show, its first step measured or not."""
    found = {}
    for name, noise in (("measured", ""), ("replayed", "torch.nn.functional.dropout")):
        compiled, passed = [], []
        for variations in ("", "xla"):
            with tempfile.TemporaryDirectory() as folder:
                before = figures()["compiles"]
                passed.append(_judged(folder, VARIED.replace("NOISE", noise), variations, not noise))
                compiled.append(figures()["compiles"] - before)
        found[name] = {"compiles": compiled, "verdicts": passed}
    return found


def _judged(folder: str, text: str, variations: str, measured: bool) -> str:
    name = "synthesizer.v2.forward"
    told: dict[str, Told] = {}
    for role in ("reference", "port"):
        package, models = ModuleType("made_up"), ModuleType("made_up.models")
        exec(text, models.__dict__)
        sys.modules.update({"made_up": package, "made_up.models": models})
        job = Job(
            role="port" if role == "port" else "reference", case=name, device="xla" if role == "port" else "cpu",
            preset="tiny", seed=0, steps=2, trace=False, cover=False, measure=measured, package="made_up", search=(),
            roots=(), config=None, folder=folder, variations=variations,
        )  # fmt: skip
        told[role] = (roles.port if role == "port" else roles.reference)(job)
        told[role].save(job.path(f"{role}.json"))
    varied = len(told["port"].varied)
    return (
        f"{judge_tensors(name, told['reference'], told['port'], Path(folder), 'xla', SourceMap(())).verdict}, {varied}"
    )


def run(draw: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    x = (torch.arange(12.0).view(3, 4) / 10).to(device).requires_grad_()
    result = draw(x)
    result.sum().backward()
    assert x.grad is not None
    return result.detach().cpu(), x.grad.cpu()


if __name__ == "__main__":
    torch_xla.device()
    told: dict[str, Any] = {kind.__name__: budget(kind) for kind in (Good, Item, Fallback, NewShape)}
    told["replay"] = replay()
    told["steps"] = steps()
    told["lines"] = {mark: line_of(mark) for mark in ("SYNC", "FALLBACK", "SHAPE")}
    sys.stdout.write("\n" + json.dumps(told) + "\n")
