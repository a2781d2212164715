"""`sovits-port check`: the account of hazards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from .options import json_option, one_format, rule_options, sarif_option, sources_option, upstream_argument
from .output import print_json, say_missing, say_notes
from .progress import Progress
from .target import names_package, package_of

if TYPE_CHECKING:
    from ..generate import Settings
    from ..manifest import Manifest
    from ..runs import Asked


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
@json_option
@sarif_option
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
    as_json: bool,
    as_sarif: bool,
) -> None:
    """Say which hazards of UPSTREAM are fixed, waived and residual. Exit status 1 where any is residual.

    With --scope also those of files that are not ported, which count like residual ones.

    UPSTREAM may be a package: then it is checked what that was made from, with what it was made with. --decisions is
    port.decisions.toml beside the package's port.json, as for generate.
    """
    from ..generate import build
    from ..runs import check_run
    from ..upstream import open_upstream

    one_format(json=as_json, sarif=as_sarif)
    with Progress() as progress:
        source, settings = _asked(context, upstream, select, ignore, folders, sources, decisions)
        progress.step("opening upstream")
        snapshot = open_upstream(source)
        built = build(snapshot, settings, progress.step)
        checked = check_run(snapshot, built, scope, progress.step)
    manifest: Manifest = {**built.manifest, "hazards": checked.hazards}
    if scope != "ported":
        looked_at = {*checked.ported, *checked.not_ported}
        manifest["unused_ignores"] = [note for note in manifest["unused_ignores"] if note["file"] in looked_at]
    say_notes(snapshot)
    say_missing(decisions)
    if as_sarif:
        from .. import rulebook
        from ..views.hazard_findings import hazard_findings, hazard_rules
        from ..views.sarif import sarif_log

        findings = hazard_findings(manifest, {**built.base.upstream, **checked.contents}, fixed=show_all)
        rules = hazard_rules(rulebook.load(settings.rules).rules, (finding.code for finding in findings))
        print_json(sarif_log("check", findings, rules, manifest["upstream"], scope))
    elif as_json:
        shown = ("upstream", "options", "rules", "files", "scope", "edits", "hazards", "unused_ignores", "needs")
        told = cast(dict[str, object], manifest)
        print_json({"checked": checked.to_json(), **{key: told[key] for key in shown}})
    else:
        from ..views.hazards import print_hazards

        print_hazards(manifest, checked, everything=show_all)
    if manifest["hazards"]["residual"] or manifest["hazards"].get("not_ported"):
        context.exit(1)


def _asked(
    context: click.Context,
    upstream: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    folders: tuple[Path, ...],
    sources: tuple[str, ...],
    decisions: Path | None,
) -> tuple[str, Settings]:
    """UPSTREAM and what to port it with: for a package, what that was made with, where nothing else is given."""
    from ..decisions import NAME, read
    from ..generate import Settings
    from ..manifest import read as read_manifest
    from ..store import MadeWith, remembered

    source, folder = package_of(context, upstream, cast("Path | None", context.lookup_default("directory")))
    manifest = read_manifest(folder)
    made = MadeWith()
    if manifest is not None and (upstream is None or names_package(upstream)):
        made, options = remembered(folder, manifest["upstream"]["spec"]), manifest["options"]
        select, ignore = select or tuple(options["select"]), ignore or tuple(options["ignore"])
        folders = folders or made.rules
        sources = sources or tuple(options.get("sources", ()))
    told = read(decisions or made.decisions or folder / NAME)
    return source, Settings(select, ignore, folders, sources=sources, decisions=told)
