"""A made-up outcome with something of everything that a report shows."""

from __future__ import annotations

import math

import numpy as np

from porter.validate.budget import Budget, Drift, StepCost
from porter.validate.compare import TensorReport
from porter.validate.outcome import CaseOutcome, Cost, Divergence, Outcome
from porter.validate.sound import Sound
from porter.validate.sourcemap import Origin

RATE = 32000
STRANGE = 'x<script>alert(1)</script>&"y"'  # a name that may not become markup


def tensor(name: str, decibels: float | None, group: str = "results", problem: str = "") -> TensorReport:
    passed = not problem and (decibels is None or decibels >= 110)
    return TensorReport(group, name, (2, 3), "float32", passed, 1e-3, 1e-2, decibels, 110.0, problem=problem)


def budget(*compiles: int) -> Budget:
    steps = tuple(StepCost(count, 1, {}, 0, 0, 3, 0.5) for count in compiles)
    return Budget(steps, 2, drift=Drift("aten::slice", "models.py:9", "[2, 17]", "[2, 19]"))


def sound(noise: float | None, name: str = "SynthesizerTrn.0") -> Sound:
    """A sine of 4 kHz; the port's is `noise` times as loud in 8 kHz beside it, or missing."""
    time = np.arange(RATE // 4) / RATE
    wave = 0.01 * np.sin(2 * np.pi * 4000 * time)
    port = None if noise is None else wave + noise * np.sin(2 * np.pi * 8000 * time)
    return Sound(name, RATE, 1, 2, wave, port)


def outcome() -> Outcome:
    changed = Origin("models.py:40", "GPT_SoVITS/module/models.py:38", "TST001", "a reason")
    untouched = Origin("models.py:9", "GPT_SoVITS/module/models.py:7", "", "")
    costly = budget(1, 0, 2)
    return Outcome(
        upstream="upstream@v1",
        revision="abc123",
        port="generated",
        device="xla",
        forms="auto",
        preset="tiny",
        seed=3,
        versions={"torch": "2.9.0"},
        cases=(
            CaseOutcome("good", "pass", tensors=(tensor("fine", 120.4), tensor("same", None)), budget=budget(1, 0, 0)),
            CaseOutcome(
                "wrong",
                "mismatch",
                ("the port has no such thing",),
                (
                    tensor("near", 109.9),
                    tensor("far", -3.2),
                    tensor("lost", None, problem="the port lacks it"),
                    tensor("nothing", -math.inf),
                    *(tensor(f"grad{index}", 20.0 + index, "gradients") for index in range(30)),
                    tensor(STRANGE, 100.0, "buffers"),
                ),
                Divergence("net.0", "Conv1d", 12.0, "Mixer (models.py:30-50)", (changed,)),
                sounds=(sound(1e-4),),
            ),
            CaseOutcome(
                "dear",
                "over budget",
                tensors=(tensor("fine", 130.0),),
                budget=costly,
                overruns=tuple(costly.overruns()),
                costs=(Cost("compiles", "aten::slice", 2, True, untouched),),
                drift=changed,
            ),
            CaseOutcome("late", "timeout", ("the port was not done after 9 s (--timeout)",), seconds=9),
            CaseOutcome("old", "not in this upstream", ("models.py of this upstream knows no v9",)),
        ),
        not_validated=("models.py:Forgotten",),
        host_only=(("data_utils.py:Collate", "runs in the data loader"),),
    )
