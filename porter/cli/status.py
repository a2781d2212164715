"""`sovits-port status`: would generating again change anything, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .forms import Form, output_options, quiet_option, verbose_option
from .options import decisions_option, package_arguments, rules_option
from .output import is_quiet, print_json, say_notes
from .progress import Progress
from .target import package_of

if TYPE_CHECKING:
    from ..answers import StatusAnswer
    from ..changes.status import Standing


@click.command()
@package_arguments
@rules_option
@decisions_option
@click.option("--content", is_flag=True, help="Exit status 1 only if more than the files' headers would change.")
@quiet_option("Print one line if generating would change anything, else nothing.")
@verbose_option("Cut no list.")
@output_options("json", "sarif", "github", "junit")
@click.pass_context
def status(
    context: click.Context,
    upstream: str | None,
    directory: Path | None,
    folders: tuple[Path, ...],
    decisions: Path | None,
    content: bool,
    verbose: bool,
    form: Form,
) -> None:
    """Say whether generating the package in DIR (default: generated) from UPSTREAM again would change it, and why.

    Files of upstream that changed or were only reformatted, rules, the tool, files edited by hand or missing; then
    which rewrites are new, gone, changed and moved, and hazards that no rule knows. What is not given is what the
    package was made with: UPSTREAM, --select, --ignore, --install, --rules and --decisions.

    Exit status 1 if generating would change anything: a new commit alone changes the revision in each header, which
    --content lets pass. Edits by hand alone do not count: generating keeps them. Conflicts that are still marked do.
    """
    from ..changes.status import standing
    from ..inputs.upstream import open_upstream
    from ..package.manifest import read_package
    from ..package.store import Place

    upstream, folder = package_of(context, upstream, directory)
    place = Place(folder)
    with Progress() as progress:
        read_package(place)  # before a URL is fetched for nothing
        progress.step("opening upstream")
        snapshot = open_upstream(upstream)
        found = standing(snapshot, place, folders, progress.step, decisions)
    say_notes(snapshot)
    if form in ("sarif", "github", "junit"):
        from ..codemod import rulebook
        from ..views.status_findings import status_findings, status_rules
        from .logs import log

        rules = status_rules(rulebook.load(folders).rules)
        told = found.after["upstream"]
        log(form, "status", status_findings(found), rules, told, looked_at=[told["module"]])
    elif form == "json":
        print_json("status", _told(found))
    else:
        from ..views.status import print_standing

        print_standing(found, snapshot.spec, quiet=is_quiet(), whole=verbose)
    if found.marked or (found.outdated if content else found.stale):
        context.exit(1)


def _told(found: Standing) -> StatusAnswer:
    return {
        "package": str(found.place.package_dir),
        "manifest": str(found.place.manifest),
        "stale": found.stale,
        "outdated": found.outdated,
        "upstream": found.after["upstream"],
        "edited_by_hand": list(found.edited),
        "missing": list(found.missing),
        "conflicts": list(found.marked),
        "stale_decisions": list(found.lost),
        "changes": found.changes,
        "changelog": list(found.news),
    }
