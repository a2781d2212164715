"""What commands print with --json, as types; docs/json.md and the schemas there are made of them.

A record in them becomes an object with its fields. Comments beside fields say what they mean.
"""

from __future__ import annotations

from .package import (
    CheckAnswer,
    DiffAnswer,
    GenerateAnswer,
    GenerateDiffAnswer,
    HunksAnswer,
    ReviewAnswer,
    StatusAnswer,
)
from .runs import BenchAnswer, BucketsAnswer, CasesAnswer, EstimateAnswer, RecordAnswer, ValidateAnswer
from .tool import DoctorAnswer, ErrorAnswer, FoundAnswer, FullRulesAnswer, RulesAnswer, TrialAnswer

# Command line → the type of its answer. Each also has `command` and `schema`.
ANSWERS: dict[str, type] = {
    "generate": GenerateAnswer,
    "generate --diff": GenerateDiffAnswer,
    "check": CheckAnswer,
    "diff": HunksAnswer,
    "diff --stat": DiffAnswer,
    "review": ReviewAnswer,
    "status": StatusAnswer,
    "validate": ValidateAnswer,
    "validate --list": CasesAnswer,
    "record": RecordAnswer,
    "bench": BenchAnswer,
    "buckets": BucketsAnswer,
    "estimate": EstimateAnswer,
    "rules": RulesAnswer,
    "rules CODE": FullRulesAnswer,
    "rules --find": FoundAnswer,
    "rules --test": TrialAnswer,
    "doctor": DoctorAnswer,
}

__all__ = [
    "ANSWERS",
    "BenchAnswer",
    "BucketsAnswer",
    "CasesAnswer",
    "CheckAnswer",
    "DiffAnswer",
    "DoctorAnswer",
    "ErrorAnswer",
    "EstimateAnswer",
    "FoundAnswer",
    "FullRulesAnswer",
    "GenerateAnswer",
    "GenerateDiffAnswer",
    "HunksAnswer",
    "RecordAnswer",
    "ReviewAnswer",
    "RulesAnswer",
    "StatusAnswer",
    "TrialAnswer",
    "ValidateAnswer",
]
