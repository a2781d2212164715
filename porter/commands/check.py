"""`sovits-port check`: the account of hazards."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from .memory import no_collection
from .options import json_option, one_format, rule_options, sarif_option, upstream_argument
from .output import print_json, say_notes
from .progress import Progress


@click.command()
@upstream_argument
@rule_options
@click.option(
    "--decisions",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What people decided about hunks, as review wrote it.",
)
@click.option("--all", "show_all", is_flag=True, help="List fixed hazards too, line by line.")
@json_option
@sarif_option
@click.pass_context
def check(
    context: click.Context,
    upstream: str,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    folders: tuple[Path, ...],
    decisions: Path | None,
    show_all: bool,
    as_json: bool,
    as_sarif: bool,
) -> None:
    """Say which hazards of UPSTREAM are fixed, waived and residual. Exit status 1 where any is residual."""
    from ..decisions import read
    from ..generate import Settings, build
    from ..upstream import open_upstream

    one_format(json=as_json, sarif=as_sarif)
    with no_collection(), Progress() as progress:
        decided = read(decisions, must_exist=True) if decisions is not None else ()
        progress.step("opening upstream")
        snapshot = open_upstream(upstream)
        built = build(snapshot, Settings(select, ignore, folders, decisions=decided), progress.step)
    manifest = built.manifest
    say_notes(snapshot)
    if as_sarif:
        from .. import rulebook
        from ..views.hazard_findings import hazard_findings, hazard_rules
        from ..views.sarif import sarif_log

        findings = hazard_findings(manifest, built.base.upstream, fixed=show_all)
        rules = hazard_rules(rulebook.load(folders).rules, (finding.code for finding in findings))
        print_json(sarif_log("check", findings, rules, manifest["upstream"]))
    elif as_json:
        shown = ("upstream", "options", "rules", "files", "edits", "hazards", "unused_ignores", "needs")
        told = cast(dict[str, object], manifest)
        print_json({key: told[key] for key in shown})
    else:
        from ..views.hazards import print_hazards

        print_hazards(manifest, everything=show_all)
    if manifest["hazards"]["residual"]:
        context.exit(1)
