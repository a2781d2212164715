"""What is over the budget."""

from __future__ import annotations

import json
from dataclasses import asdict

from porter.validate.budget import Allowance, Budget, Drift, Event, StepCost, budget_from


def step(**changed: object) -> StepCost:
    told: dict[str, object] = {
        "compiles": 0, "executions": 1, "fallbacks": {}, "syncs": 0, "downloads": 0, "uploads": 6, "seconds": 1.0,
    }  # fmt: skip
    return StepCost(**{**told, **changed})  # type: ignore[arg-type]


def test_a_good_run() -> None:
    assert Budget((step(compiles=1, uploads=40), step(), step()), batch_tensors=5).overruns() == []


def test_each_figure_has_its_limit() -> None:
    budget = Budget(
        (
            step(compiles=3, syncs=1, downloads=1),
            step(compiles=1),
            step(compiles=1, fallbacks={"aten::upsample_nearest1d": 2}, uploads=7),
        ),
        batch_tensors=5,
    )
    assert [str(overrun) for overrun in budget.overruns()] == [
        "3 compiles in the first step, where 1 may be",
        "1 host syncs in the first step, where none may be",
        "1 device-to-host transfers in the first step, where none may be",
        "1 compiles in step 2, where none may be",
        "2 fallbacks of aten::upsample_nearest1d in step 3, where none may be",
        "7 host-to-device transfers in step 3, where 6 may be",
    ]


def test_through_json_and_back() -> None:
    budget = Budget(
        (step(compiles=1),),
        3,
        (Event("host syncs", "aten::_local_scalar_dense", "models.py:4", False, 2),),
        Drift("aten::slice", "models.py:9", "(1)", "(2)"),
    )
    assert budget_from(json.loads(json.dumps(asdict(budget)))) == budget


def test_an_allowance_is_no_more_than_that() -> None:
    told = (step(compiles=1, syncs=2, downloads=2), step(syncs=2, downloads=2, uploads=9), step(uploads=10))
    allowed = Budget(told, batch_tensors=5, allowance=Allowance(printed=2, restarts=3))
    assert [str(overrun) for overrun in allowed.overruns()] == [
        "10 host-to-device transfers in step 3, where 9 may be",
    ]
    less = Budget(told[:2], batch_tensors=5, allowance=Allowance(printed=1, restarts=3))
    assert [(overrun.figure, overrun.step) for overrun in less.overruns()] == [
        ("host syncs", 0),
        ("device-to-host transfers", 0),
        ("host syncs", 1),
        ("device-to-host transfers", 1),
    ]
    assert budget_from(asdict(allowed)) == allowed


def test_a_size_that_is_read_has_a_graph_behind_it() -> None:
    allowance = Allowance(sized=1)
    told = (step(compiles=2, syncs=1, downloads=1), step(compiles=1, syncs=1, downloads=1))
    assert Budget(told, batch_tensors=5, allowance=allowance).overruns() == []
    more = (step(compiles=3, syncs=2), step(compiles=2))
    assert [
        (overrun.figure, overrun.step, overrun.limit) for overrun in Budget(more, 5, allowance=allowance).overruns()
    ] == [
        ("compiles", 0, 2),
        ("host syncs", 0, 1),
        ("compiles", 1, 1),
    ]
