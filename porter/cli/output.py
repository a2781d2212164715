"""Data to stdout, messages to stderr."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..views.plain import plain
from ..views.visible import visible
from .forms import QUIET

if TYPE_CHECKING:
    from ..inputs.upstream import Snapshot


SCHEMA = 1  # of what --json prints; another one where a field goes, or means something else


def print_json(command: str, told: Any) -> None:
    """One JSON object on stdout: which command printed it, the version of its form, and what it tells."""
    _print({"command": command, "schema": SCHEMA, **plain(told)})


def print_error(message: str, status: int) -> None:
    """An error as JSON on stdout, in place of what the command would tell."""
    _print({"schema": SCHEMA, "error": {"message": message, "status": status}})


def print_log(told: Any) -> None:
    """A log of another standard as JSON on stdout."""
    _print(told)


def _print(told: Any) -> None:
    click.echo(json.dumps(told, indent=1, ensure_ascii=True))


def check_page(place: Path | None) -> None:
    """PortError where a page is asked for and cannot be written, before what it tells is computed for minutes."""
    if place is not None:
        from ..views.html import check_place

        check_place(place)


def is_quiet() -> bool:
    """Whether the command that runs was asked to tell findings only."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def shows_progress() -> bool:
    """Whether somebody looks at stderr and wants to know what is being done."""
    return sys.stderr.isatty() and not is_quiet()


def note(text: str) -> None:
    """What a person should know, on stderr; nothing with -q."""
    if not is_quiet():
        say(f"sovits-port: note: {text}")


def say(text: str) -> None:
    """A message on stderr."""
    click.echo(visible(text), err=True)


def report(text: str) -> None:
    """What is being done, or was, on stderr; nothing with -q."""
    if not is_quiet():
        say(text)


def tell(text: str) -> None:
    """A line of what was asked for, on stdout."""
    click.echo(visible(text))


def say_missing(decisions: Path | None) -> None:
    """Say that a file of decisions that was named is not there, which is no error: nothing is decided yet."""
    if decisions is not None and not decisions.exists():
        note(f"{decisions} is not there, so nothing is decided")


def say_notes(snapshot: Snapshot) -> None:
    """What a person should know of where the sources came from."""
    for told in snapshot.notes:
        note(told)
