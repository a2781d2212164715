"""`sovits-port doctor`: what is here, what is missing, what to type."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from .options import json_option
from .output import print_json
from .target import directory_of


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The package whose needs to look for.  [default: generated, or where --install put one]",
)
@json_option
@click.pass_context
def doctor(context: click.Context, out: Path | None, as_json: bool) -> None:
    """Look for Python, torch, torch_xla, the TPU compiler, git, the cache. Exit status 1: one is amiss."""
    from .diagnosis import diagnose

    findings = diagnose(directory_of(out))
    fine = all(finding.fine for finding in findings)
    if as_json:
        print_json({"ok": fine, "findings": [{**asdict(f), "fine": f.fine} for f in findings]})
    else:
        from ..views.doctor import print_findings

        print_findings(findings)
    if not fine:
        context.exit(1)
