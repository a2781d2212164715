"""Data to stdout, messages to stderr."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..visible import visible

if TYPE_CHECKING:
    from ..upstream import Snapshot


def print_json(told: Any) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(told, indent=1, ensure_ascii=True))


def say(text: str) -> None:
    """A message on stderr."""
    click.echo(visible(text), err=True)


def tell(text: str) -> None:
    """A line of what was asked for, on stdout."""
    click.echo(visible(text))


def say_missing(decisions: Path | None) -> None:
    """Say that a file of decisions that was named is not there, which is no error: nothing is decided yet."""
    if decisions is not None and not decisions.exists():
        say(f"sovits-port: note: {decisions} is not there, so nothing is decided")


def say_notes(snapshot: Snapshot) -> None:
    """What a person should know of where the sources came from."""
    for note in snapshot.notes:
        say(f"sovits-port: note: {note}")
