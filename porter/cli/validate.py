"""`sovits-port validate`: the port against upstream, and the graph budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click
from click.core import ParameterSource

from ..errors import PortError
from .forms import Form, output_options, quiet_option
from .options import (
    cases_option,
    checkpoint_option,
    package_arguments,
    preset_option,
    rules_option,
    seed_option,
    steps_of,
    steps_option,
    timeout_option,
)
from .output import check_page, is_quiet, print_json, report, say_notes, tell
from .target import package_of

if TYPE_CHECKING:
    from ..answers import CasesAnswer
    from ..validate.outcome import Outcome
    from ..validate.request import Request


_STOPPED = {"Ctrl-C": 130, "SIGTERM": 143}  # as shells have it


@click.command()
@package_arguments
@click.option(
    "--device",
    type=click.Choice(["cpu", "xla", "tpu"]),
    default="xla",
    show_default=True,
    help="Where the port runs: eager PyTorch, XLA (a TPU if there is one, else its CPU device), or a TPU.",
)
@preset_option
@click.option(
    "--forms",
    type=click.Choice(["auto", "tpu"], case_sensitive=False),
    default="auto",
    envvar="SOVITS_PORT_FORMS",
    show_default=True,
    help="Forms of the operations that have one of their own for a TPU: the device's, or a TPU's on any device.",
)
@cases_option
@click.option("--list", "list_cases", is_flag=True, help="List the cases and stop.")
@seed_option
@steps_option
@timeout_option
@click.option(
    "--reference",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A file that record wrote, instead of running UPSTREAM; it brings preset, seed and steps.",
)
@checkpoint_option
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write a page: errors and compiles as plots, lines, spectrograms, sounds. It needs no network.",
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
@click.option(
    "--expect-fused",
    "expected",
    type=click.IntRange(min=0),
    metavar="N",
    help="Fail where kernels stood for fewer modules than N, in all cases together; with --forms tpu.",
)
@rules_option
@quiet_option("Print only cases that speak against the port, and keep progress off stderr.")
@output_options("json", "github", "junit")
@click.pass_context
def validate(
    context: click.Context,
    upstream: str | None,
    directory: Path | None,
    device: str,
    preset: str,
    forms: str,
    cases: tuple[str, ...],
    list_cases: bool,
    seed: int,
    steps: int | None,
    timeout: float,
    reference: Path | None,
    checkpoint: Path | None,
    html: Path | None,
    bisect: bool,
    probes: int,
    expected: int | None,
    folders: tuple[Path, ...],
    form: Form,
) -> None:
    """Run the package in DIR (default: generated) against UPSTREAM itself.

    Both sides get the same weights, the same inputs and the same noise; results, every parameter's gradient
    and the buffers after a training step are compared. On XLA the steps are then counted: graphs compiled,
    operators that leave the device, host syncs, transfers.

    The table shows as many columns as the terminal has room for. --html FILE writes everything, with plots, and
    for results that are sound both sounds and their spectrograms, to one page.

    --bisect runs each failed case again without some of the package's edits, until the fewest are left whose
    removal cures it. --rules are those that the package was made with, unless they are given.

    Exit status 1 for a mismatch, a case that fails, a cost above the budget, or fewer fused modules than expected.
    """
    if list_cases:
        _print_cases(form)
        return
    if expected is not None and forms != "tpu" and device != "tpu":
        raise PortError("--expect-fused counts what kernels of a TPU stand for; it needs --forms tpu or --device tpu")
    upstream, folder = package_of(context, upstream, directory)
    check_page(html)
    from ..validate.environment import check_packages

    check_packages(device)  # before what needs them is imported
    from ..package.store import remembered
    from ..validate.manifest import read_manifest
    from ..validate.request import Request

    if reference is not None:
        _check_as_recorded(context, reference)
    rules = folders or remembered(folder, read_manifest(folder).spec).rules
    size = cast('Literal["tiny", "full"]', preset)
    most = probes if bisect else 0
    request = Request(
        device, size, cases, seed, steps_of(steps, preset), timeout, reference, checkpoint, most, rules, forms
    )
    outcome = _run(upstream, folder, request)
    _print(outcome, html, form)
    if status := _status(outcome, expected):
        context.exit(status)


def _print(outcome: Outcome, html: Path | None, form: Form) -> None:
    if html is not None:
        from ..validate.html import render
        from ..views.html import write_page

        write_page(render(outcome), html)
        report(f"wrote {html}")
    if form == "json":
        from ..validate.as_json import to_json

        print_json("validate", to_json(outcome))
    elif form in ("github", "junit"):
        from ..views.validate_findings import passed_cases, validate_findings
        from .logs import print_findings

        print_findings(form, "validate", validate_findings(outcome), passed_cases(outcome))
    else:
        from ..validate.report import print_outcome
        from ..views.console import stdout_console

        print_outcome(outcome, stdout_console(), quiet=is_quiet())


def _status(outcome: Outcome, expected: int | None) -> int:
    """The exit status; where fewer modules were fused than `expected`, that is said."""
    if outcome.stopped:
        return _STOPPED[outcome.stopped]
    if expected is not None and outcome.fused < expected:
        report(f"kernels stood for {outcome.fused} modules, not {expected}")
        return 1
    return int(not outcome.passed)


def _check_as_recorded(context: click.Context, reference: Path) -> None:
    """PortError where an option that was given is not what the recording was made with."""
    from ..validate.recording import read_header

    header = read_header(reference)
    for name in ("preset", "seed", "steps"):
        given, recorded = context.params[name], getattr(header, name)
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE and given != recorded:
            raise PortError(f"{reference} was recorded with --{name} {recorded}, not {given}; leave --{name} out")
    report(header.words)


def _run(upstream: str, directory: Path, request: Request) -> Outcome:
    from ..inputs.upstream import open_upstream
    from ..validate.runner import validate as judge
    from .case_progress import CaseProgress

    total = len(request.names())
    snapshot = open_upstream(upstream)
    say_notes(snapshot)
    with CaseProgress(total) as progress:
        return judge(snapshot, directory, request, progress, progress.ended)


def _print_cases(form: Form) -> None:
    from ..validate.cases import FORMS, FOUND_TITLE, KERNELS, TITLES

    titles = {**TITLES, **FORMS, **KERNELS}
    if form == "json":
        told: CasesAnswer = {"cases": [{"name": name, "title": title} for name, title in titles.items()]}
        print_json("validate", told)
        return
    width = max(map(len, titles))
    for name, title in titles.items():
        tell(f"{name:{width}}  {title}")
    tell(f"{'found.FILE.NAME':{width}}  {FOUND_TITLE}")
