"""What a shell completes: codes of rules and of families, and names of cases."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def complete_codes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Codes that begin with what was typed, behind the last comma, each with its title."""
    from ..codemod import rulebook

    before, comma, begun = incomplete.rpartition(",")
    titles = {**rulebook.FAMILIES, **{rule.code: rule.title for rule in rulebook.load().rules}}
    return [
        CompletionItem(f"{before}{comma}{code}", help=title)
        for code, title in sorted(titles.items())
        if code.startswith(begun.upper())
    ]


def complete_cases(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Cases whose names begin with what was typed, each with its title."""
    from ..validate.cases import FORMS, KERNELS, TITLES

    titles = {**TITLES, **FORMS, **KERNELS}
    return [CompletionItem(name, help=title) for name, title in titles.items() if name.startswith(incomplete)]
