"""The cases by name; each is imported when it is run, since that takes torch."""

from __future__ import annotations

import importlib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from porter.errors import PortError

if TYPE_CHECKING:
    from porter.validate.cases.base import Case

# A module of this package → its cases, and what each runs.
FAMILIES: dict[str, dict[str, str]] = {
    "synthesizer": {
        "synthesizer.v1.forward": "SynthesizerTrn of v1 in training, dropout active",
        "synthesizer.v2.forward": "SynthesizerTrn of v2 in training, dropout active",
        "synthesizer.v2Pro.forward": "SynthesizerTrn of v2Pro in training, dropout active",
        "synthesizer.v2ProPlus.forward": "SynthesizerTrn of v2ProPlus in training, dropout active",
    },
    "losses": {"losses": "the losses of training, generator's and discriminator's"},
    "discriminator": {"discriminator": "MultiPeriodDiscriminator on real and generated audio"},
}
TITLES: dict[str, str] = {name: title for cases in FAMILIES.values() for name, title in cases.items()}


def load_case(name: str) -> Case:
    """The case called `name`, one of TITLES."""
    family = next(family for family, cases in FAMILIES.items() if name in cases)
    module = importlib.import_module(f"{__name__}.{family}")
    found: Case = next(case for case in module.CASES if case.name == name)
    return found


def chosen(asked: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the cases asked for: a name, its leading parts (`synthesizer.v2`) or a pattern; all for none.

    PortError for one that means no case.
    """
    for pattern in asked:
        if not any(_means(pattern, name) for name in TITLES):
            raise PortError(f"there is no case {pattern}; `sovits-port validate --list` shows them")
    return tuple(name for name in TITLES if not asked or any(_means(pattern, name) for pattern in asked))


def _means(pattern: str, name: str) -> bool:
    return name == pattern or name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)
