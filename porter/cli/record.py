"""`sovits-port record`: upstream's own side of the cases, to one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from ..views.visible import visible
from .forms import Form, output_options, quiet_option
from .options import (
    cases_option,
    checkpoint_option,
    preset_option,
    seed_option,
    sources_option,
    steps_of,
    steps_option,
    timeout_option,
    upstream_argument,
)
from .output import print_json, report, say_notes, shows_progress, tell
from .target import upstream_of

if TYPE_CHECKING:
    from ..answers import RecordAnswer
    from ..validate.record import Recorded, RecordRequest


@click.command()
@upstream_argument
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="The file to write.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    help="Where upstream runs.  [default: cuda if there is one, else cpu]",
)
@sources_option
@preset_option
@cases_option
@seed_option
@steps_option
@timeout_option
@checkpoint_option
@quiet_option("Keep notes and progress off stderr.")
@output_options("json")
@click.pass_context
def record(
    context: click.Context,
    upstream: str | None,
    out: Path,
    device: str | None,
    sources: tuple[str, ...],
    preset: str,
    cases: tuple[str, ...],
    seed: int,
    steps: int | None,
    timeout: float,
    checkpoint: Path | None,
    form: Form,
) -> None:
    """Run UPSTREAM itself and write what it computes to a file.

    `validate UPSTREAM DIR --reference FILE` then judges a port without running upstream, on another machine
    too: the file holds weights, inputs, noise, results, gradients and buffers of each case.

    Exit status 1 if upstream fails in a case; the file then tells that.
    """
    from ..validate.environment import check_packages

    check_packages("cpu")  # before what needs them is imported
    from ..validate.record import RecordRequest

    size = cast('Literal["tiny", "full"]', preset)
    request = RecordRequest(device or "", size, cases, seed, steps_of(steps, preset), timeout, checkpoint, sources)
    recorded = _run(upstream_of(upstream), out, request)
    if form == "json":
        print_json("record", _to_json(recorded, out))
    else:
        _print(recorded, out)
    if recorded.failures:
        context.exit(1)


def _run(upstream: str, out: Path, request: RecordRequest) -> Recorded:
    from ..inputs.upstream import open_upstream
    from ..validate.record import record as run

    snapshot = open_upstream(upstream)
    say_notes(snapshot)
    if not shows_progress():
        return run(snapshot, out, request, lambda case, state: report(f"{case}: {state}"))
    from ..views.console import stderr_console

    with stderr_console().status("reading upstream …") as status:
        return run(snapshot, out, request, lambda case, state: status.update(visible(f"{case}: {state} …")))


def _print(recorded: Recorded, out: Path) -> None:
    from ..validate.record import state

    width = max(len(name) for name in recorded.cases)
    for name, told in recorded.cases.items():
        tell(f"{name:{width}}  {state(told)}")
    header = recorded.header
    size = out.stat().st_size / 1e6
    tell(f"{out}: {size:.1f} MB, {header.preset}, {header.device}, seed {header.seed}")


def _to_json(recorded: Recorded, out: Path) -> RecordAnswer:
    from ..validate.record import state

    header = recorded.header
    return {
        "file": str(out),
        "bytes": out.stat().st_size,
        "upstream": {"spec": header.spec, "revision": header.revision},
        "device": header.device,
        "preset": header.preset,
        "seed": header.seed,
        "steps": header.steps,
        "versions": dict(header.versions),
        "cases": [
            {"name": name, "state": state(told), "draws": told.draws, "fitted": told.fitted}
            for name, told in recorded.cases.items()
        ],
    }
