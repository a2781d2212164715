"""The cases by name; each is imported when it is run, since that takes torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from porter.validate.cases.base import Case

# Name → what it runs. A module of the same name in this package holds the case.
TITLES: dict[str, str] = {
    "synthesizer": "SynthesizerTrn in training, dropout active",
    "discriminator": "MultiPeriodDiscriminator on real and generated audio",
}


def load_case(name: str) -> Case:
    """The case called `name`, one of TITLES."""
    case: Case = importlib.import_module(f"{__name__}.{name}").CASE
    return case
