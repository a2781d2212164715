"""`sovits-port estimate`: what the TPU compiler says of the port."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from ..estimate.chips import CHIPS
from .completion import complete_cases
from .forms import Form, output_options, quiet_option
from .options import package_arguments, preset_option, timeout_option
from .output import check_page, print_json, report, say_notes, shows_progress
from .target import package_of

if TYPE_CHECKING:
    from ..estimate.compiler import Compiler
    from ..estimate.outcome import EstimateOutcome
    from ..estimate.runner import EstimateRequest


@click.command()
@package_arguments
@click.option(
    "--chip",
    "chips",
    multiple=True,
    default=("v5e",),
    show_default=True,
    type=click.Choice(tuple(CHIPS)),
    help="The TPU to compile for; may be repeated.",
)
@click.option(
    "--case",
    "cases",
    multiple=True,
    metavar="NAME[/PART]",
    shell_complete=complete_cases,
    help="This case of `validate --list`, or the submodule PART of its network (synthesizer.v2.forward/dec); may be "
    "repeated.  [default: training and inference of v2, and the parts of SynthesizerTrn]",
)
@preset_option
@click.option(
    "--batch", type=click.IntRange(min=1), metavar="N", help="Samples.  [default: 8, or 2 with --preset tiny]"
)
@click.option("--frames", type=click.IntRange(min=2), metavar="N", help="Spectrogram frames.  [default: 400, or 24]")
@click.option("--phones", type=click.IntRange(min=1), metavar="N", help="Phonemes.  [default: 100, or 12]")
@click.option("--bf16", is_flag=True, help="Under bfloat16 autocast.")
@click.option(
    "--fit",
    is_flag=True,
    help="Also search for the largest batch and the longest bucket that fit.  [of the training cases, unless --case]",
)
@click.option("--fresh", is_flag=True, help="Compile again what was compiled in an earlier run.")
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write a page: the roofline as a plot, and a bar for each graph. It needs no network.",
)
@timeout_option
@quiet_option("Keep notes and progress off stderr.")
@output_options("json")
@click.pass_context
def estimate(
    context: click.Context,
    upstream: str | None,
    directory: Path | None,
    chips: tuple[str, ...],
    cases: tuple[str, ...],
    preset: str,
    batch: int | None,
    frames: int | None,
    phones: int | None,
    bf16: bool,
    fit: bool,
    fresh: bool,
    html: Path | None,
    timeout: float,
    form: Form,
) -> None:
    """Compile the package in DIR (default: generated) for a TPU, on a machine that needs none.

    The graphs of training (forward and backward) and inference are traced by PyTorch/XLA, not run, and compiled by the
    real TPU compiler: FLOPs, bytes, HBM against the chip's, and the least time that the chip can take. A graph that
    crashes the compiler, or that is too large, is a result; the others go on. What the compiler said is kept, by the
    hash of the graph.

    Exit status 1 if a graph does not compile or does not fit.
    """
    upstream, folder = package_of(context, upstream, directory)
    check_page(html)
    from ..validate.environment import check_packages

    versions = check_packages("xla", "estimate")  # before what needs them is imported
    from ..estimate.as_json import to_json
    from ..estimate.compiler import LibTpu, Remembering, check_compiler, kept_verdicts
    from ..estimate.names import TRAINING
    from ..estimate.runner import EstimateRequest

    versions |= check_compiler()
    compiler: Compiler = LibTpu(timeout)
    compiler = Remembering(compiler, kept_verdicts(), versions, fresh)
    request = EstimateRequest(
        chips=tuple(dict.fromkeys(chips)),
        cases=cases or (TRAINING if fit else ()),
        preset=cast('Literal["tiny", "full"]', preset),
        batch=batch,
        frames=frames,
        phonemes=phones,
        bf16=bf16,
        fit=fit,
        timeout=timeout,
    )
    outcome = _run(upstream, folder, request, compiler, versions)
    if html is not None:
        from ..estimate.html import render
        from ..views.html import write_page

        write_page(render(outcome), html)
        report(f"wrote {html}")
    if form == "json":
        print_json("estimate", to_json(outcome))
    else:
        from ..views.estimate import print_estimate

        print_estimate(outcome)
    if not outcome.passed:
        context.exit(1)


def _run(
    upstream: str, directory: Path, request: EstimateRequest, compiler: Compiler, versions: dict[str, str]
) -> EstimateOutcome:
    from ..estimate.runner import estimate as ask
    from ..inputs.upstream import open_upstream

    snapshot = open_upstream(upstream)
    say_notes(snapshot)
    if not shows_progress():
        return ask(snapshot, directory, request, compiler, versions, _line)
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from ..views.console import stderr_console

    columns = (
        SpinnerColumn(),
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Bar(*columns, console=stderr_console(), transient=True) as shown:
        task = shown.add_task("starting", total=None)

        def show(what: str, done: int, total: int | None) -> None:
            shown.update(task, description=what, completed=done, total=total)

        return ask(snapshot, directory, request, compiler, versions, show)


def _line(what: str, done: int, total: int | None) -> None:
    report(f"[{done + 1}/{total}] {what}" if total else what)
