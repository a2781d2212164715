"""Faults that one batch of one size, in one state, with ordinary values does not show."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")
pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

import torch
from torch import nn

from porter.validate import roles
from porter.validate.cases.base import Unavailable
from porter.validate.job import HOST, Job, Told, Varied
from porter.validate.judge_varied import variation_findings
from porter.validate.outcome import CaseOutcome
from porter.validate.sourcemap import SourceMap
from porter.validate.varied import guard_file
from porter.validate.verdicts import judge_tensors

MODELS = """
import torch
from torch import nn


class SynthesizerTrn(nn.Module):
    def __init__(self, spec_channels, segment_size, **kwargs):
        super().__init__()
        self.size = segment_size
        self.embed = nn.Embedding(50, 8)
        self.pre = nn.Linear(spec_channels, 8)
        self.post = nn.Linear(8, 4)
        self.scale = 2.0

    def kept(self):
        return self.post.weight * self.scale

    def forward(self, ssl, y, y_lengths, text, text_lengths):
        if y.shape[1] != self.pre.in_features:
            raise ValueError("other channels")
        inside = (torch.arange(y.shape[2]) < y_lengths[:, None])[:, :, None]
        x = self.pre(y.transpose(1, 2)) * inside
        x = x + self.embed(text).mean(1, keepdim=True)
        with torch.no_grad():
            found = x.abs().sum((1, 2))
        return nn.functional.linear(x, self.kept())[:, : self.size], (found, y.shape[0])
"""

CASE = "synthesizer.v2.forward"


def job(role: Literal["reference", "port"], package: str, folder: Path, seed: int = 0) -> Job:
    return Job(
        role=role, case=CASE, device="cpu", preset="tiny", seed=seed, steps=1, trace=False, cover=False,
        measure=False, package=package, search=(), roots=("/made-up",), config=None, folder=str(folder), variations="cpu",
    )  # fmt: skip


def put(package: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose `models` is that text."""
    module = ModuleType(f"{package}.models")
    exec(compile(text, f"/made-up/{package}.py", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.setitem(sys.modules, f"{package}.models", module)


def outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str = "", new: str = "", seed: int = 0
) -> CaseOutcome:
    """The case judged eagerly in this process, `old` of the port being `new`."""
    assert old in MODELS
    # Roles seed XLA where it was imported, as in their own processes it is for XLA only; here another test may have.
    monkeypatch.delitem(sys.modules, "torch_xla", raising=False)
    told: dict[str, Told] = {}
    runs: tuple[Literal["reference", "port"], ...] = ("reference", "port")
    for role in runs:
        package = f"made_up_{role}"
        put(package, MODELS.replace(old, new) if role == "port" else MODELS, monkeypatch)
        asked = job(role, package, tmp_path, seed)
        told[role] = (roles.reference if role == "reference" else roles.port)(asked)
        told[role].save(asked.path(f"{role}.json"))
    return judge_tensors(CASE, told["reference"], told["port"], tmp_path, "cpu", SourceMap(()))


def words(found: CaseOutcome) -> str:
    failed = (f"{r.group} {r.name}: {r.problem or r.snr_db}" for r in found.tensors if not r.passed)
    return "\n".join([*found.findings, *failed])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_code_passes_in_all_variations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    found = outcome(tmp_path, monkeypatch, seed=seed)
    assert found.passed, words(found)
    names = {report.name.partition(":")[0] for report in found.tensors if ":" in report.name}
    assert {"step 2", "step 3", "odd"} <= names


FAULTS = {
    "beyond 128 frames": ("* inside\n", "* inside + 0.1 * (torch.arange(y.shape[2]) > 127)[:, None]\n", "odd"),
    "float32 by name": ("* inside\n", "* inside.to(torch.float32)\n        x = x.float().to(y.dtype)\n", "float64: "),
    "of an odd batch": ("self.kept())[", "self.kept() * (1 + y.shape[0] % 2))[", "odd"),
    "weights kept from the first call": (
        "    def kept(self):\n        return self.post.weight * self.scale\n",
        "    def kept(self):\n        if not hasattr(self, '_kept'):\n            self._kept = self.post.weight * self.scale\n"
        "        return self._kept if self.training is None else self._kept.detach() + 0 * self.post.weight"
        " + (self.post.weight - self.post.weight.detach()) * self.scale\n",
        "step 2",
    ),
    "another type": ("found = x.abs().sum((1, 2))", "found = x.abs().sum((1, 2)).double()", "float64"),
    "a list": ("(found, y.shape[0])", "[found, y.shape[0]]", "list of 2"),
    "a gradient too many": ("with torch.no_grad():", "if True:", "requires a gradient"),
    "a view of its input": ("sum((1, 2))", "sum((1, 2)); found = text[:, 0]", "input"),
    "another exception": ('raise ValueError("other', 'raise TypeError("other', "ValueError"),
    "no exception": ("        if y.shape[1] != self.pre.in_features:", "        if False:", "too wide"),
    "another attribute": ("self.scale = 2.0", "self.scale = 2", "SynthesizerTrn.scale is 2 in the port"),
    "other first weights": (
        "self.scale = 2.0", "self.scale = 2.0; self.post.weight.data.mul_(1.01)", "begins with other values"
    ),
    "a method less": ("    def kept(self):", "    def __getattr__(self, name):\n        if name == 'kept':\n            return lambda: self.post.weight * self.scale\n        return super().__getattr__(name)\n\n    def held(self):", "has no kept"),
    "a generator seeded": ("inside = (", "torch.manual_seed(3); inside = (", "seeds torch(3)"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    old, new, wanted = FAULTS[fault]
    found = outcome(tmp_path, monkeypatch, old, new)
    assert found.verdict == "mismatch"
    assert wanted in words(found)


def test_a_constructor_that_refuses_the_arguments_of_a_case_takes_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch_xla", raising=False)  # imported by another test, it would open a device
    built = "        super().__init__()\n"
    put(
        "made_up_refusing",
        MODELS.replace(built, f"{built}        assert segment_size > 9999, 'too short'\n"),
        monkeypatch,
    )
    with pytest.raises(Unavailable, match="it takes something else: AssertionError: too short"):
        roles.reference(job("reference", "made_up_refusing", tmp_path))
    put("made_up_failing", MODELS.replace(built, f"{built}        [][1]\n"), monkeypatch)
    with pytest.raises(IndexError):
        roles.reference(job("reference", "made_up_failing", tmp_path))


def _ending(action: Callable[[], object]) -> BaseException:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("it did not raise")


def _asserted() -> None:
    assert not torch.ones(1), "something"


def _raised_again() -> None:
    try:
        torch.ones(0).min()
    except RuntimeError:
        raise


@pytest.mark.parametrize(
    ("action", "guard"),
    [
        (_asserted, True),
        (lambda: torch.ones(0).min(), False),
        (lambda: [][1], False),
        (_raised_again, False),
        (lambda: nn.Embedding(2, 2, padding_idx=5), True),  # torch's own check is as good as any
    ],
)
def test_a_guard_is_a_statement_that_raises(action: Callable[[], object], guard: bool) -> None:
    assert bool(guard_file(_ending(action))) is guard


def test_what_gives_up_first_beyond_all_data_need_not_be_the_same() -> None:
    def found(name: str, *, guarded: bool) -> dict[str, list[str]]:
        old = Varied("RuntimeError", "no dimension", guarded=guarded)
        sides = [
            Told(varied={name: asdict(one)}, backend=HOST) for one in (old, Varied("AssertionError", guarded=True))
        ]
        return variation_findings(*sides)

    assert found("huge", guarded=False) == {}
    assert list(found("huge", guarded=True)) == ["huge"]
    assert list(found("too wide", guarded=False)) == ["too wide"]
