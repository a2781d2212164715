"""`sovits-port bench`: unported and ported side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from .completion import complete_cases
from .forms import Form, output_options, quiet_option
from .options import package_arguments, preset_option, timeout_option
from .output import print_json, report, say_notes, shows_progress
from .target import package_of

if TYPE_CHECKING:
    from ..validate.bench import BenchOutcome, BenchRequest

_STATES = {
    None: "weights and batches",
    "unported": "unported upstream",
    "port": "the port",
    "other": "the other port",
}


@click.command()
@package_arguments
@click.option(
    "--other",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder that holds module/tpu of another port, made by anyone.",
)
@click.option(
    "--case",
    "cases",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_cases,
    help="This case instead of synthesizer.v2.forward and discriminator.v2; may be repeated.",
)
@preset_option
@click.option("--steps", default=5, show_default=True, type=click.IntRange(min=1), help="Steps after the first.")
@timeout_option
@quiet_option("Keep notes and progress off stderr.")
@output_options("json")
@click.pass_context
def bench(
    context: click.Context,
    upstream: str | None,
    directory: Path | None,
    other: Path | None,
    cases: tuple[str, ...],
    preset: str,
    steps: int,
    timeout: float,
    form: Form,
) -> None:
    """Run UPSTREAM as it is, and the package in DIR (default: generated), on XLA, and count what each costs.

    All sides get the same weights and batches. Compiles, fallbacks, host syncs, transfers and time are told
    for the first step and for a later one, and as multiples of the unported side's. A side that crashes or
    hangs is a result.

    Exit status 1 if the port itself fails.
    """
    upstream, folder = package_of(context, upstream, directory)
    from ..validate.environment import check_packages

    check_packages("xla")  # before what needs them is imported
    from ..validate.bench import BenchRequest
    from ..validate.bench.as_json import to_json

    request = BenchRequest(preset=cast('Literal["tiny", "full"]', preset), steps=steps, timeout=timeout)
    if cases:
        request = BenchRequest(cases, request.preset, steps, timeout)
    outcome = _run(upstream, folder, other, request)
    if form == "json":
        print_json("bench", to_json(outcome))
    else:
        from ..views.bench import print_bench

        print_bench(outcome)
    if not outcome.passed:
        context.exit(1)


def _run(upstream: str, directory: Path, other: Path | None, request: BenchRequest) -> BenchOutcome:
    from ..inputs.upstream import open_upstream
    from ..validate.bench import bench as measure

    snapshot = open_upstream(upstream)
    say_notes(snapshot)
    if not shows_progress():
        return measure(snapshot, directory, other, request, lambda case, side: report(f"{case}: {_STATES[side]}"))
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from ..views.console import stderr_console

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=stderr_console(), transient=True) as shown:
        task = shown.add_task("starting")

        def show(case: str, side: str | None) -> None:
            shown.reset(task, description=f"{case}: {_STATES[side]}")

        return measure(snapshot, directory, other, request, show)
