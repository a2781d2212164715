"""What a shell completes: the codes of rules and of families."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def complete_codes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Codes that begin with what was typed, behind the last comma, each with its title."""
    from .. import rulebook

    before, comma, begun = incomplete.rpartition(",")
    titles = {**rulebook.FAMILIES, **{rule.code: rule.title for rule in rulebook.load().rules}}
    return [
        CompletionItem(f"{before}{comma}{code}", help=title)
        for code, title in sorted(titles.items())
        if code.startswith(begun.upper())
    ]
