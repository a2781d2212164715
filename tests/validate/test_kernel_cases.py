"""The cases of kernels and other forms see what only some sizes show, and what was to be had and did not run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

pytest.importorskip("jax", reason="kernels are written with jax")
pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

import torch

import porter.runtime
from porter.errors import PortError
from porter.runtime.ops import on_chip, periodic
from porter.validate import roles, variations
from porter.validate.cases import FORMS, KERNELS, chosen, load_case
from porter.validate.cases import kernel_networks as networks
from porter.validate.cases.base import Batch, Case
from porter.validate.cases.shapes import judges_own
from porter.validate.job import Job, Told
from porter.validate.outcome import CaseOutcome
from porter.validate.request import Request
from porter.validate.settings import Settings
from porter.validate.sourcemap import SourceMap
from porter.validate.verdicts import judge_tensors

pytestmark = pytest.mark.xla

SMALL = Case(
    "kernels.gated",
    (judges_own(networks.gated, "small", lambda m, s, g: whole(s, g), ("mask",), width=8, count=1, taps=3, given=0),),
    kernels={"gated": 1},
)
Break = Callable[[Any, list[Any]], list[Any]]


def whole(settings: Settings, generator: torch.Generator) -> Batch:
    """A signal in whole registers, and where it counts."""
    time = -(-settings.frames // 8) * 8
    x = torch.randn(settings.batch, 8, time, generator=generator)
    return {"x": x, "mask": (torch.arange(time) < time - 3).float().expand(settings.batch, 1, time).clone()}


def outcome(
    folder: Path, patch: pytest.MonkeyPatch, broken: Break = lambda plan, found: found, case: Case = SMALL
) -> CaseOutcome:
    """A case in this process, in three sizes; `broken` changes what kernels give."""
    kept = [one for one in variations.VARIATIONS if one.name in ("odd", "batch of one")]
    patch.setattr(variations, "VARIATIONS", kept)
    patch.setattr(roles, "load_case", lambda name: case)
    patch.setenv("SOVITS_PORT_FORMS", "tpu")
    patch.setitem(sys.modules, "made_up_upstream", ModuleType("made_up_upstream"))
    run = on_chip.run

    def changed(name: str, plan: Any, tensors: Any, **named: Any) -> list[Any]:
        return broken(plan, run(name, plan, tensors, **named))

    patch.setattr(on_chip, "run", changed)
    told: dict[str, Told] = {}
    roles_: tuple[tuple[Literal["reference", "port"], str], ...] = (
        ("reference", "made_up_upstream"),
        ("port", "porter.runtime"),
    )
    assert porter.runtime.__file__ is not None
    roots = (str(Path(porter.runtime.__file__).parent),)
    for role, package in roles_:
        job = Job(
            role=role, case=case.name, device="cpu", preset="tiny", seed=0, steps=1, trace=False, cover=role == "port",
            measure=False, package=package, search=(), roots=roots, config=None, folder=str(folder), variations="forms",
        )  # fmt: skip
        told[role] = (roles.reference if role == "reference" else roles.port)(job)
        told[role].save(job.path(f"{role}.json"))
    return judge_tensors(case.name, told["reference"], told["port"], folder, "cpu", SourceMap(()))


def words(found: CaseOutcome) -> str:
    failed = (f"{r.group} {r.name}: {r.problem or r.snr_db}" for r in found.tensors if not r.passed)
    return "\n".join([*found.findings, *failed])


def test_what_kernels_give_is_what_layers_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcome(tmp_path, monkeypatch)
    assert found.passed, words(found)
    assert "ops/gated.py:_Chain.backward" in found.ran


def beyond_128(plan: Any, found: list[Any]) -> list[Any]:
    for value in found:
        if value.dim() == 3 and value.shape[:2] == (plan.batch, plan.time):
            value[:, 128:] *= 1.001
    return found


def for_one(plan: Any, found: list[Any]) -> list[Any]:
    return [value * 1.001 for value in found] if plan.batch == 1 else found


@pytest.mark.parametrize(("broken", "where"), [(beyond_128, "odd: "), (for_one, "batch of one: ")])
def test_what_only_one_size_shows(broken: Break, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcome(tmp_path, monkeypatch, broken)
    failed = [report.name for report in found.tensors if not report.passed]
    assert failed
    assert all(name.startswith(where) for name in failed)


def test_a_kernel_that_was_to_be_had_and_did_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    misfit = on_chip.misfit
    monkeypatch.setattr(on_chip, "misfit", lambda *known: "its batch is odd" if len(known[0]) == 1 else misfit(*known))
    found = outcome(tmp_path, monkeypatch)
    assert [one for one in found.findings if "was not taken" in one] == [
        f"batch of one: the kernel gated{way} ran 0 times, where 1 were to be had: its form was not taken"
        for way in ("", " backward")
    ]


@pytest.mark.parametrize("case", FORMS)
def test_a_tpu_s_forms_are_what_torch_computes(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcome(tmp_path, monkeypatch, case=load_case(case))
    assert found.passed, words(found)


def test_what_no_kernel_takes_runs_layer_by_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcome(tmp_path, monkeypatch, case=load_case("kernels.none"))
    assert found.passed, words(found)
    assert not any(fusion.kernel for fusion in found.fusions)
    assert [fusion.reason for fusion in found.fusions].count("its channels do not fill registers") == 4


def test_a_form_that_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periodic, "wants_tpu_form", lambda *tensors: False)
    found = outcome(tmp_path, monkeypatch, case=load_case("forms.layers"))
    assert all(report.passed for report in found.tensors)
    assert "ops/periodic.py:Conv2d._folded of the package ran 0 times, where 2 were to be: its form was not taken" in (
        found.findings
    )


def test_kernels_are_asked_for_with_a_tpu_s_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {*FORMS, *KERNELS} < set(Request("cpu", forms="tpu").names())
    for other in (Request("cpu"), Request("tpu"), Request("xla", forms="tpu")):
        assert not {*FORMS, *KERNELS} & set(other.names())
    with pytest.raises(PortError, match="--forms tpu"):
        chosen(("kernels.gated",))
    monkeypatch.setenv("SOVITS_PORT_KERNELS", "off")
    assert set(FORMS) < set(Request("cpu", forms="tpu").names()) - set(KERNELS)
    assert not set(KERNELS) & set(Request("cpu", forms="tpu").names())
