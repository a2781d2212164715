"""`sovits-port diff`: upstream against the package, hunk by hunk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .completion import complete_codes
from .forms import Form, output_options
from .options import directory_argument
from .output import check_page, note, print_json, report
from .progress import Progress
from .target import directory_of

if TYPE_CHECKING:
    from ..changes.comparison import Comparison


@click.command()
@directory_argument
@click.option(
    "--rule", "rules", multiple=True, metavar="CODE", shell_complete=complete_codes,
    help="Only hunks by this rule or family; HAND for lines edited by hand. May be repeated.",
)  # fmt: skip
@click.option(
    "--file", "files", multiple=True, metavar="F",
    help="Only this file or folder, of upstream or of the package; a pattern or the end of a path will do. "
    "May be repeated.",
)  # fmt: skip
@click.option("--stat", is_flag=True, help="Only count: hunks, edits and lines by rule and by file.")
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a page instead: side by side, with filters and the account of hazards. It needs no network.",
)
@click.option(
    "--pager/--no-pager",
    default=True,
    help="Show it in $PAGER (less, where none is named) on a terminal that it does not fit.  [default: pager]",
)
@output_options("json")
def diff(
    directory: Path | None,
    rules: tuple[str, ...],
    files: tuple[str, ...],
    stat: bool,
    html: Path | None,
    pager: bool,
    form: Form,
) -> None:
    """Show upstream against the package in DIR (default: generated), each hunk with its rule and its reason.

    Lines edited by hand since the package was generated are shown as such. In a pipe the output is a patch:
    `git apply` in a checkout of upstream makes its files what the port's are.
    """
    folder = directory_of(directory)
    with Progress() as progress:
        progress.step("reading the package")
        from ..changes.comparison import choose, compare

        check_page(html)
        found = choose(compare(folder), rules, [_inside(folder, name) for name in files])
        if html is not None:
            progress.step("writing the page")
            _write_page(found, html)
    if html is not None:
        report(f"wrote {html}")
    if form == "json":
        from ..changes.comparison.as_json import to_json, totals_to_json

        print_json("diff", totals_to_json(found) if stat else to_json(found))
    elif stat:
        from ..views.totals import print_totals

        print_totals(found)
    elif html is None:
        _print(found, pager=pager)


def _write_page(found: Comparison, place: Path) -> None:
    from ..views.html import write_page
    from ..views.page import render

    write_page(render(found), place)


def _print(found: Comparison, *, pager: bool) -> None:
    from ..changes.comparison.patch import patch_of
    from ..views.hunks import left_out_words, print_changes

    if sys.stdout.isatty():
        print_changes(found, pager=pager and sys.stdin.isatty())  # a pager that nobody can type to never ends
        return
    click.echo(b"".join(patch_of(found)), nl=False)
    if found.left_out:
        note(f"{left_out_words(found)}")


def _inside(directory: Path, name: str) -> str:
    """A path of the package as a person's shell completes it, without the folder in front."""
    return name.removeprefix(f"{directory.as_posix()}/")
