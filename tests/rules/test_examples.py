"""Every example of every rule: rewritten as it says, and equal when executed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from porter.codemod import rulebook
from porter.codemod.examples.executing import difference, load, runner
from porter.codemod.examples.texts import apply
from porter.rule import Rule, Safety
from tests.rules.running import Case, cases
from tests.runtime.graphs import cost_of, decibels, device

RULES = rulebook.load().rules
EXECUTED = [c for c in cases() if c.example.call]
ON_DEVICE = [c for c in EXECUTED if c.example.on_device]


def in_all_forms(chosen: list[Case]) -> list[object]:
    """Each case as the device has it; those of rules for a TPU in a TPU's form too, for which kernels are compiled."""
    tpu = [case for case in chosen if case.rule.code.startswith("TPU")]
    return [
        *(pytest.param(case, "auto", id=str(case)) for case in chosen),
        *(pytest.param(case, "tpu", id=f"{case}-tpu", marks=pytest.mark.xla) for case in tpu),
    ]


@pytest.mark.parametrize("case", cases(), ids=str)
def test_before_becomes_after_and_after_stays(case: Case) -> None:
    assert apply(case.rule, case.example.before, case.example) == case.example.after
    assert apply(case.rule, case.example.after, case.example) == case.example.after


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.code)
def test_look_alikes_stay(rule: type[Rule]) -> None:
    assert rule.examples and rule.untouched
    for text in rule.untouched:
        assert apply(rule, text, path=rule.examples[0].path) == text


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.code)
def test_a_rule_says_what_it_does_and_why(rule: type[Rule]) -> None:
    assert rule.__doc__ and len(rule.__doc__.splitlines()) >= 1
    assert rule.code[:3] in rulebook.FAMILIES
    assert rule.title and rule.message and isinstance(rule.safety, Safety)


@pytest.mark.parametrize(("case", "forms"), in_all_forms(EXECUTED))
def test_both_compute_the_same_on_the_cpu(
    case: Case, forms: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOVITS_PORT_FORMS", forms)
    name = str(case).replace("-", "_")
    before = runner(load(case.example.before, f"{name}_before", tmp_path, case.example), case.example)()
    after = runner(load(case.example.after, f"{name}_after", tmp_path, case.example), case.example)()
    assert difference(case.rule.safety, before, after, trim=case.example.trim) == ""


@pytest.mark.xla
@pytest.mark.parametrize(("case", "forms"), in_all_forms(ON_DEVICE))
def test_after_is_one_graph_on_xla_and_computes_the_same(
    case: Case, forms: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(case).replace("-", "_")
    module = load(case.example.after, f"{name}_xla", tmp_path, case.example)
    wanted = runner(module, case.example)()
    monkeypatch.setenv("SOVITS_PORT_FORMS", forms)
    run = runner(module, case.example, device())
    got: list[torch.Tensor] = []
    cost = cost_of(lambda: got.extend(run()))
    assert cost.fallbacks == {}
    assert cost.compiles <= 1
    assert cost.downloads == 0
    if not case.example.draws:  # the device has a generator of its own
        for value, reference in zip(got, wanted, strict=True):
            assert decibels(value, reference) >= 100
