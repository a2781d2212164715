"""`sovits-port check`: the account of hazards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from .forms import Form, output_options, quiet_option, verbose_option
from .options import rule_options, sources_option, upstream_argument
from .output import is_quiet, print_json, say_missing, say_notes
from .progress import Progress
from .shown import facts_of
from .target import names_package, package_of

if TYPE_CHECKING:
    from ..answers import CheckAnswer
    from ..generate import Settings
    from ..hazards.runs import Asked, Checked
    from ..inputs.upstream import Snapshot
    from ..package.manifest import Manifest


@click.command()
@upstream_argument
@rule_options
@sources_option
@click.option(
    "--decisions",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What people decided about hunks, as review wrote it.",
)
@click.option(
    "--scope",
    type=click.Choice(["ported", "inference", "training", "all"]),
    default="ported",
    show_default=True,
    help="What to look at: what is ported, what a run reaches (ported or not), or all that computes with torch.",
)
@click.option("--all", "show_all", is_flag=True, help="List fixed hazards too, line by line.")
@quiet_option("Print only hazards that are residual or not ported.")
@verbose_option("List fixed hazards too, as --all does.")
@output_options("json", "sarif", "github", "junit")
@click.pass_context
def check(
    context: click.Context,
    upstream: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    folders: tuple[Path, ...],
    sources: tuple[str, ...],
    decisions: Path | None,
    scope: Asked,
    show_all: bool,
    verbose: bool,
    form: Form,
) -> None:
    """Say which hazards of UPSTREAM are fixed, waived and residual. Exit status 1 where any is residual.

    With --scope also those of files that are not ported, which count like residual ones.

    UPSTREAM may be a package: then it is checked what that was made from, with what it was made with. --decisions is
    port.decisions.toml beside the package's port.json, as for generate.
    """
    from ..inputs.upstream import open_upstream

    with Progress() as progress:
        asked = _asked(context, upstream, select, ignore, folders, sources, decisions)
        progress.step("opening upstream")
        snapshot = open_upstream(asked.source)
        found = (_told(snapshot, asked) if scope == "ported" else None) or _found(snapshot, asked, scope, progress.step)
    checked, manifest = found.checked, found.of_scope()
    say_notes(snapshot)
    say_missing(decisions)
    show_all = show_all or verbose
    if form in ("sarif", "github", "junit"):
        from ..codemod import rulebook
        from ..views.hazard_findings import hazard_findings, hazard_rules
        from .logs import log

        findings = hazard_findings(manifest, {**found.upstream(), **checked.contents}, fixed=show_all)
        rules = hazard_rules(rulebook.load(asked.settings.rules).rules, (finding.code for finding in findings))
        log(form, "check", findings, rules, manifest["upstream"], scope, (*checked.ported, *checked.not_ported))
    elif form == "json":
        print_json("check", _answer(manifest, checked))
    else:
        from ..views.hazards import print_hazards

        print_hazards(manifest, checked, everything=show_all, quiet=is_quiet())
    if manifest["hazards"]["residual"] or manifest["hazards"].get("not_ported"):
        context.exit(1)


def _answer(manifest: Manifest, checked: Checked) -> CheckAnswer:
    return {
        "checked": {
            "scope": checked.scope,
            "start": list(checked.start),
            "ported": list(checked.ported),
            "host": list(checked.host),
            "not_ported": list(checked.not_ported),
        },
        **facts_of(manifest),
    }


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is checked: UPSTREAM, what it is ported with, and the package that may hold the answer."""

    source: str
    settings: Settings
    folder: Path
    manifest: Manifest | None  # of the package in `folder`


@dataclass(frozen=True, slots=True)
class _Found:
    """The answer; `upstream` reads the ported files' bytes, by path."""

    manifest: Manifest
    checked: Checked
    upstream: Callable[[], Mapping[str, bytes]]

    def of_scope(self) -> Manifest:
        """The manifest with the hazards that were found, and with the notes in the files that were looked at."""
        checked, notes = self.checked, self.manifest["unused_ignores"]
        if checked.scope != "ported":
            notes = [note for note in notes if note["file"] in (*checked.ported, *checked.not_ported)]
        return {**self.manifest, "hazards": checked.hazards, "unused_ignores": notes}


def _told(snapshot: Snapshot, asked: _Asked) -> _Found | None:
    """The answer of a package that is what generating it now would make it; None without one."""
    from ..generate.freshness import same_inputs
    from ..hazards.runs import check_ported
    from ..package.base import read_base

    manifest = asked.manifest
    if manifest is None:
        return None
    settings = replace(asked.settings, install=manifest["options"]["install"])  # which no hazard depends on
    if not same_inputs(snapshot, settings, manifest):
        return None
    return _Found(manifest, check_ported(manifest), lambda: read_base(asked.folder, manifest).upstream)


def _found(snapshot: Snapshot, asked: _Asked, scope: Asked, step: Callable[[str], None]) -> _Found:
    """The answer, found by porting upstream in memory."""
    from ..generate import build
    from ..hazards.runs import check_run

    built = build(snapshot, asked.settings, step)
    return _Found(built.manifest, check_run(snapshot, built, scope, step), lambda: built.base.upstream)


def _asked(
    context: click.Context,
    upstream: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    folders: tuple[Path, ...],
    sources: tuple[str, ...],
    decisions: Path | None,
) -> _Asked:
    """UPSTREAM and what to port it with: for a package, what that was made with, where nothing else is given."""
    from ..changes.decisions import NAME, read
    from ..generate import Settings
    from ..package.manifest import read as read_manifest
    from ..package.store import MadeWith, remembered

    source, folder = package_of(context, upstream, cast("Path | None", context.lookup_default("directory")))
    manifest = read_manifest(folder)
    made = MadeWith()
    if manifest is not None and (upstream is None or names_package(upstream)):
        made, options = remembered(folder, manifest["upstream"]["spec"]), manifest["options"]
        select, ignore = select or tuple(options["select"]), ignore or tuple(options["ignore"])
        folders = folders or made.rules
        sources = sources or tuple(options.get("sources", ()))
    told = read(decisions or made.decisions or folder / NAME)
    settings = Settings(select, ignore, folders, sources=sources, decisions=told)
    return _Asked(source, settings, folder, manifest)
