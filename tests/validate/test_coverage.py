"""Whether a step takes the same ways with the judge's instruments as without."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")

import torch

from porter.validate.coverage import Coverage, call_findings, since, unseen
from porter.validate.supplied import Supplied, supplied

SOURCE = "def taken(x):\n    return x\n\n\ndef other(x):\n    return taken(x)\n"


def test_calls_of_the_runtime_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "ops" / "forms.py"
    path.parent.mkdir()
    path.write_text(SOURCE)
    module = ModuleType("forms")
    exec(compile(SOURCE, path, "exec"), module.__dict__)
    with Coverage([str(tmp_path)]) as coverage:
        module.other(torch.ones(1))
        module.taken("float32")  # no tensor
        first = coverage.calls()
        module.taken(torch.ones(1))
        with unseen():  # what the judge asks
            module.other(torch.ones(1))
        masks = supplied(torch.ones(2)).to(torch.float64)[None] > 0  # what the judge hands in
        module.taken(masks)
        later = since(first, coverage.calls())
    assert first == {"ops/forms.py:other": 1, "ops/forms.py:taken": 1}
    assert later == {"ops/forms.py:taken": 1}


def test_what_comes_of_more_than_the_judge_s_tensors_is_the_package_s() -> None:
    masks = supplied(torch.tensor([True, False]))
    assert isinstance(masks.reshape(1, 2), Supplied)
    assert type(torch.where(masks, torch.ones(2), torch.zeros(2))) is torch.Tensor


def test_a_form_that_only_runs_without_instruments_is_a_finding() -> None:
    assert call_findings({"ops/a.py:f": 2}, {"ops/a.py:f": 2}) == []
    (finding,) = call_findings({"ops/a.py:f": 2}, {"ops/a.py:f": 2, "ops/periodic.py:Conv2d._folded": 22})
    assert finding.startswith("ops/periodic.py:Conv2d._folded of the package ran 0 times under the judge's instruments")
    assert call_findings({"ops/a.py:f": 1}, {})


def test_who_asks_for_a_form_and_has_it_or_not(tmp_path: Path) -> None:
    text = (
        "def wants_tpu_form(x):\n    return x.numel() > 1\n\n\n"
        "def large(x):\n    return wants_tpu_form(x)\n\n\ndef small(x):\n    return wants_tpu_form(x)\n"
    )
    path = tmp_path / "ops" / "forms.py"
    module = ModuleType("forms")
    exec(compile(text, path, "exec"), module.__dict__)
    with Coverage([str(tmp_path)]) as coverage:
        for count in (1, 2):
            module.large(torch.ones(count))
        module.small(torch.ones(1))
    assert coverage.forms(taken=True, kernels=True) == ("ops/forms.py:large",)
    assert coverage.forms(taken=False, kernels=True) == ("ops/forms.py:small",)


def test_who_asks_for_a_kernel_is_told_where_there_are_kernels(tmp_path: Path) -> None:
    text = "def wanted(x):\n    return False\n\n\ndef gated(x):\n    return wanted(x)\n"
    module = ModuleType("on_chip")
    exec(compile(text, tmp_path / "ops" / "on_chip.py", "exec"), module.__dict__)
    with Coverage([str(tmp_path)]) as coverage:
        module.gated(torch.ones(2))
        module.gated(torch.ones(2))
    assert coverage.names() == ("ops/on_chip.py:gated", "ops/on_chip.py:wanted")
    with Coverage([str(tmp_path)], counting=False) as light:
        module.gated(torch.ones(2))
    assert light.names() == coverage.names()
    assert coverage.forms(taken=False, kernels=True) == ("ops/on_chip.py:gated",)
    assert coverage.forms(taken=False, kernels=False) == ()
