"""The form of a command's output, and how much of it: --output-format, --json, --sarif, -q and -v."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import click

from ..errors import PortError

Form = Literal["text", "json", "sarif", "github", "junit", "markdown"]
Function = TypeVar("Function", bound=Callable[..., object])

QUIET = "porter.quiet"  # in a context's meta: whether only findings are told
_SHORT: dict[str, str] = {
    "json": "One JSON object on stdout, for machines.",
    "sarif": "A SARIF 2.1.0 log on stdout, for code scanning.",
    "markdown": "The rules as one page in Markdown: docs/rules.md.",
}


def output_options(*forms: Form) -> Callable[[Function], Function]:
    """--output-format with text and these forms, and an option of its own for some. The command gets `form`."""
    short = [form for form in forms if form in _SHORT]

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def run(*args: Any, output_format: Form | None, **given: Any) -> object:
            asked = {f"--{form}": form for form in short if given.pop(f"as_{form}")}
            if output_format is not None:
                asked[f"--output-format {output_format}"] = output_format
            if len(set(asked.values())) > 1:
                raise PortError(f"{' and '.join(asked)} both print to stdout; give one of them")
            return function(*args, form=next(iter(asked.values()), "text"), **given)

        told: Any = run
        for form in reversed(short):
            told = click.option(f"--{form}", f"as_{form}", is_flag=True, help=_SHORT[form])(told)
        option = click.option(
            "--output-format",
            type=click.Choice(["text", *forms]),
            help=f"What goes to stdout; {' and '.join(f'--{form}' for form in short)} for short.  [default: text]",
        )
        result: Function = option(told)
        return result

    return decorate


def quiet_option(words: str) -> Callable[[Function], Function]:
    """-q, which also keeps notes and progress off stderr; `output.is_quiet` tells whether it was given."""
    return click.option(
        "-q", "--quiet", is_flag=True, expose_value=False, is_eager=True, callback=_note_quiet, help=words
    )


def verbose_option(words: str) -> Callable[[Function], Function]:
    """-v. The command gets `verbose`."""
    return click.option("-v", "--verbose", "verbose", is_flag=True, help=words)


def json_asked(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON, told before it is known to be a good one."""
    before = list(arguments)[: arguments.index("--")] if "--" in arguments else list(arguments)
    pairs = itertools.pairwise(before)
    return "--json" in before or "--output-format=json" in before or ("--output-format", "json") in pairs


def _note_quiet(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta[QUIET] = value
