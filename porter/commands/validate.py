"""`sovits-port validate`: the port against upstream, and the graph budget."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from ..errors import PortError
from .options import json_option, rules_option
from .output import print_json, say, say_notes

if TYPE_CHECKING:
    from ..validate import Outcome, Request


@click.command()
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
@click.option("--case", "cases", multiple=True, metavar="NAME", help="Only this case; may be repeated.")
@click.option("--list", "list_cases", is_flag=True, help="List the cases and stop.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Of weights, inputs and noise.",
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
    default=1800.0,
    show_default=True,
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Limit for each of a case's processes.",
)
@click.option("--bisect", is_flag=True, help="Find the edits to blame for each case that fails.")
@click.option(
    "--bisect-probes",
    "probes",
    default=40,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Runs of a failed case at most.",
)
@rules_option
@json_option
@click.pass_context
def validate(
    context: click.Context,
    upstream: str | None,
    directory: Path,
    device: str,
    preset: str,
    cases: tuple[str, ...],
    list_cases: bool,
    seed: int,
    steps: int,
    timeout: float,
    bisect: bool,
    probes: int,
    folders: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Run the package in DIR (default: generated) against UPSTREAM itself.

    Both sides get the same weights, the same inputs and the same noise; results, every parameter's gradient
    and the buffers after a training step are compared. On XLA the steps are then counted: graphs compiled,
    operators that leave the device, host syncs, transfers.

    --bisect runs each failed case again without some of the package's edits, until the fewest are left whose
    removal cures it. A package made with --rules needs the same --rules here.

    Exit status 1 for a mismatch, a case that fails, or a cost above the budget.
    """
    if list_cases:
        _print_cases(as_json)
        return
    if upstream is None:
        raise PortError("give UPSTREAM, the sources that the package was made from")
    from ..validate import Request, to_json

    asked = cast('Literal["tiny", "full"]', preset)
    request = Request(device, asked, cases, seed, steps, timeout, probes if bisect else 0, folders)
    outcome = _run(upstream, directory, request)
    if as_json:
        print_json(to_json(outcome))
    else:
        from rich.console import Console

        from ..validate.report import print_outcome

        print_outcome(outcome, Console())
    if not outcome.passed:
        context.exit(1)


def _run(upstream: str, directory: Path, request: Request) -> Outcome:
    from ..upstream import open_upstream
    from ..validate import validate as judge

    snapshot = open_upstream(upstream)
    say_notes(snapshot)
    if not sys.stderr.isatty():
        return judge(snapshot, directory, request, lambda case, state: say(f"{case}: {state}"))
    from rich.console import Console

    with Console(stderr=True).status("reading upstream …") as status:
        return judge(snapshot, directory, request, lambda case, state: status.update(f"{case}: {state} …"))


def _print_cases(as_json: bool) -> None:
    from ..validate.cases import TITLES

    if as_json:
        print_json({"cases": [{"name": name, "title": title} for name, title in TITLES.items()]})
        return
    for name, title in TITLES.items():
        click.echo(f"{name:16} {title}")
