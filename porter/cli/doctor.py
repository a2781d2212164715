"""`sovits-port doctor`: what is here, what is missing, what to type."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..answers import DoctorAnswer

from .forms import Form, output_options, quiet_option
from .output import is_quiet, print_json
from .target import directory_of

if TYPE_CHECKING:
    from ..answers import DoctorAnswer


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The package whose needs to look for.  [default: generated, or where --install put one]",
)
@quiet_option("Print only what is amiss.")
@output_options("json")
@click.pass_context
def doctor(context: click.Context, out: Path | None, form: Form) -> None:
    """Look for Python, torch, torch_xla, the TPU compiler, git, the cache. Exit status 1: one is amiss."""
    from ..machine.diagnosis import diagnose

    findings = diagnose(directory_of(out))
    fine = all(finding.fine for finding in findings)
    if form == "json":
        told: DoctorAnswer = {
            "passed": fine,
            "findings": [
                {"name": f.name, "state": f.state, "found": f.found, "advice": f.advice, "passed": f.fine}
                for f in findings
            ],
        }
        print_json("doctor", told)
    elif not (is_quiet() and fine):
        from ..views.doctor import print_findings

        print_findings([f for f in findings if not (is_quiet() and f.fine)])
    if not fine:
        context.exit(1)
