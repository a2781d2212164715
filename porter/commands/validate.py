"""`sovits-port validate`: the port against upstream, and the graph budget."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from porter.errors import PortError

if TYPE_CHECKING:
    from rich.console import Console

    from porter.validate import Outcome, Request


@click.command(short_help="port against upstream, and the graph budget")
@click.argument("upstream", required=False)
@click.argument("directory", metavar="[DIR]", default="generated", type=click.Path(path_type=Path))
@click.option(
    "--device",
    type=click.Choice(["cpu", "xla", "tpu"]),
    default="xla",
    show_default=True,
    help="Where the port runs: eager PyTorch, XLA (a TPU if there is one, else its CPU device), or a TPU.",
)
@click.option(
    "--preset",
    type=click.Choice(["tiny", "full"]),
    default="full",
    show_default=True,
    help="Upstream's own sizes, or small ones that compile in a minute.",
)
@click.option("--case", "cases", multiple=True, metavar="NAME", help="Run this case only; may be repeated.")
@click.option("--list", "list_cases", is_flag=True, help="List the cases and stop.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of weights, inputs and noise."
)
@click.option(
    "--steps",
    default=10,
    show_default=True,
    type=click.IntRange(min=0),
    help="Steps after the first that the graph budget measures.",
)
@click.option(
    "--timeout",
    default=900.0,
    show_default=True,
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Limit for each of a case's processes.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def validate(
    upstream: str | None,
    directory: Path,
    device: str,
    preset: str,
    cases: tuple[str, ...],
    list_cases: bool,
    seed: int,
    steps: int,
    timeout: float,
    as_json: bool,
) -> None:
    """Run the package in DIR (default: generated) against UPSTREAM itself.

    Both sides get the same weights, the same inputs and the same noise; results, every parameter's gradient and the
    buffers after a training step are compared. On XLA the steps are then counted: graphs compiled, operators that leave
    the device, host syncs, transfers.

    Exits with 0 when all is well, 1 for a mismatch or a cost above the budget, 2 for input that cannot be used.
    """
    try:
        if list_cases:
            _print_cases(as_json)
            return
        if upstream is None:
            raise PortError("give UPSTREAM, the sources that the package was made from")
        from porter.validate import Request

        request = Request(device, cast('Literal["tiny", "full"]', preset), cases, seed, steps, timeout)
        outcome = _run(upstream, directory, request)
    except PortError as error:
        click.echo(f"sovits-port: {error}", err=True)
        sys.exit(2)
    if as_json:
        from porter.validate import to_json

        click.echo(json.dumps(to_json(outcome), indent=2))
    else:
        from porter.validate.report import print_outcome

        print_outcome(outcome, _console(stderr=False))
    sys.exit(0 if outcome.passed else 1)


def _run(upstream: str, directory: Path, request: Request) -> Outcome:
    from porter.upstream import open_upstream
    from porter.validate import validate as judge

    console = _console(stderr=True)
    snapshot = open_upstream(upstream)
    for note in snapshot.notes:
        console.print(note, markup=False, highlight=False)
    if not console.is_terminal:
        return judge(
            snapshot, directory, request, lambda case, state: click.echo(f"{case}: {state}", err=True)
        )
    with console.status("reading upstream") as status:
        return judge(snapshot, directory, request, lambda case, state: status.update(f"{case}: {state}"))


def _print_cases(as_json: bool) -> None:
    from porter.validate.cases import TITLES

    if as_json:
        click.echo(json.dumps({"cases": [{"name": k, "title": v} for k, v in TITLES.items()]}, indent=2))
        return
    for name, title in TITLES.items():
        click.echo(f"{name:16} {title}")


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)
