"""What `doctor` found, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from .console import plain_table, stdout_console

if TYPE_CHECKING:
    from ..machine.diagnosis import Finding

_STYLES = {"ok": "green", "missing": "bold red", "mismatch": "bold red", "optional": "yellow"}


def print_findings(findings: Sequence[Finding]) -> None:
    """Print them on stdout, then what to type."""
    console = stdout_console()
    table = plain_table("State", "What", "Found")
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for finding in findings:
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), Text(finding.name), Text(finding.found))
    console.print(table)
    for heading, fine in (("To fix it, type or do:", False), ("If you want it:", True)):
        lines = list(dict.fromkeys(f.advice for f in findings if f.advice and f.fine is fine))
        if lines:
            console.print()
            console.print(Text(heading))
        for line in lines:
            console.print(Text(f"  {line}"), soft_wrap=True)
