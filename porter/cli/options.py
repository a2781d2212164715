"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from .completion import complete_cases, complete_codes

decisions_option = click.option(
    "--decisions",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What people decided about hunks.  [default: port.decisions.toml beside port.json]",
)

Function = TypeVar("Function", bound=Callable[..., object])


def upstream_argument(function: Function) -> Function:
    """The argument UPSTREAM, which a configuration may give."""
    return click.argument("upstream", required=False)(function)


def directory_argument(function: Function) -> Function:
    """The argument DIR, the folder of port.json, which a configuration may give."""
    return click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))(function)


def package_arguments(function: Function) -> Function:
    """UPSTREAM and DIR, which `target.package_of` makes out."""
    return upstream_argument(directory_argument(function))


def rule_options(function: Function) -> Function:
    """--select, --ignore and --rules."""
    chosen = click.option(
        "--select",
        multiple=True,
        metavar="CODES",
        callback=codes,
        shell_complete=complete_codes,
        help="Only these rules or families (and PKG).",
    )
    left_out = click.option(
        "--ignore",
        multiple=True,
        metavar="CODES",
        callback=codes,
        shell_complete=complete_codes,
        help="All but these rules or families.",
    )
    return chosen(left_out(rules_option(function)))


def sources_option(function: Function) -> Function:
    """--sources, for upstreams whose main folder is not the one that is found."""
    return click.option(
        "--sources", multiple=True, metavar="DIR",
        help="The folder of UPSTREAM that becomes module/tpu, instead of the one found; given again: more to port.",
    )(function)  # fmt: skip


def rules_option(function: Function) -> Function:
    """--rules, for folders of a user's own rules."""
    return click.option(
        "--rules", "folders", multiple=True, metavar="DIR", type=click.Path(path_type=Path),
        help="A folder of more rules.",
    )(function)  # fmt: skip


def checkpoint_option(function: Function) -> Function:
    """--checkpoint."""
    return click.option(
        "--checkpoint", metavar="FILE", type=click.Path(path_type=Path),
        help="Upstream's checkpoint (s2G*.pth): its weights in SynthesizerTrn, where they fit.",
    )(function)  # fmt: skip


def codes(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Codes of an option given several times, each with commas in it."""
    codes = tuple(code.strip() for value in values for code in value.split(","))
    return tuple(code for code in codes if code)


preset_option = click.option(
    "--preset",
    type=click.Choice(["tiny", "full"]),
    default="full",
    show_default=True,
    help="Upstream's own sizes, or small ones for all cases in minutes.",
)
cases_option = click.option(
    "--case",
    "cases",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_cases,
    help="Only this case, those below it (synthesizer.v2) or a pattern; may be repeated.",
)
seed_option = click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Of weights, inputs and noise.",
)
timeout_option = click.option(
    "--timeout",
    default=1800.0,
    show_default=True,
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Limit for each process of a case.",
)
_STEPS = {"full": 10, "tiny": 3}
steps_option = click.option(
    "--steps",
    default=None,
    type=click.IntRange(min=0),
    metavar="N",
    help="Steps after the first that the graph budget measures.  [default: 10, or 3 with --preset tiny]",
)


def steps_of(asked: int | None, preset: str) -> int:
    """How many steps after the first: those asked for, or the preset's."""
    return _STEPS[preset] if asked is None else asked
