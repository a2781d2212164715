"""`sovits-port rules`: the rule book."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import json_option, rules_option
from .output import print_json

if TYPE_CHECKING:
    from ..rule import Rule


@click.command()
@click.argument("code", required=False)
@rules_option
@json_option
def rules(code: str | None, folders: tuple[Path, ...], as_json: bool) -> None:
    """List the rules, or tell one in full with its examples as diffs."""
    from .. import rulebook

    book = rulebook.load(folders)
    if code is None:
        if as_json:
            print_json({"rules": [_short(rule) for rule in book.rules]})
            return
        from ..views.rules import print_book

        print_book(book.rules)
        return
    rule = book.find(code)
    if as_json:
        print_json(_full(rule))
        return
    from ..views.rules import print_rule

    print_rule(rule)


def _short(rule: type[Rule]) -> dict[str, object]:
    from ..views.rules import family

    return {
        "code": rule.code,
        "title": rule.title,
        "safety": rule.safety.value,
        "family": family(rule),
        "default": rule.safety.value != "changed",
    }


def _full(rule: type[Rule]) -> dict[str, object]:
    from ..views.rules import documentation

    return {
        **_short(rule),
        "message": rule.message,
        "documentation": documentation(rule),
        "examples": [{"before": e.before, "after": e.after} for e in rule.examples],
        "untouched": list(rule.untouched),
    }
