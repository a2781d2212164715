"""The examples of all rules."""

from __future__ import annotations

from dataclasses import dataclass

from porter.codemod import rulebook
from porter.rule import Example, Rule


@dataclass(frozen=True)
class Case:
    """One example of one rule."""

    rule: type[Rule]
    number: int
    example: Example

    def __str__(self) -> str:
        return f"{self.rule.code}-{self.number}"


def cases() -> list[Case]:
    return [Case(rule, n, e) for rule in rulebook.load().rules for n, e in enumerate(rule.examples)]
