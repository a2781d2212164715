"""`sovits-port generate`: emit the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .forms import Form, output_options, quiet_option, verbose_option
from .options import decisions_option, rule_options, sources_option, upstream_argument
from .output import is_quiet, note, print_json, say_missing, say_notes, tell
from .progress import Progress
from .shown import facts_of
from .target import upstream_of

if TYPE_CHECKING:
    from ..answers import GenerateAnswer, GenerateDiffAnswer
    from ..generate import GenerateOutcome
    from ..generate.building import Built
    from ..package.manifest import Manifest


@click.command()
@upstream_argument
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("generated"),
    show_default=True,
    metavar="DIR",
    help="Where module/tpu and port.json go.",
)
@rule_options
@sources_option
@click.option("--install/--no-install", help="Put module/tpu into the checkout itself.")
@click.option("--diff", "as_diff", is_flag=True, help="Write nothing; print what the rules change.")
@click.option("--force", is_flag=True, help="Discard what was edited by hand; it is kept in a backup folder.")
@decisions_option
@quiet_option("Print only conflicts and residual hazards.")
@verbose_option("List the rules at work, with the number of edits of each; cut no list.")
@output_options("json")
@click.pass_context
def generate(
    context: click.Context,
    upstream: str | None,
    out: Path,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    folders: tuple[Path, ...],
    sources: tuple[str, ...],
    install: bool,
    as_diff: bool,
    force: bool,
    decisions: Path | None,
    verbose: bool,
    form: Form,
) -> None:
    """Rewrite UPSTREAM's modules for TPU: DIR/module/tpu, and DIR/port.json that tells every edit.

    What was edited in DIR/module/tpu by hand is merged. Exit status 1 where that leaves a conflict, which is marked.
    """
    from ..changes.decisions import NAME, read
    from ..generate import Settings, build, place_for
    from ..generate import generate as write
    from ..inputs.upstream import open_upstream
    from ..package.store import MadeWith

    upstream = upstream_of(upstream)
    with Progress() as progress:
        progress.step("opening upstream")
        snapshot = open_upstream(upstream)
        place = place_for(snapshot, upstream, out, install=install, sources=sources)
        told = decisions or place.root / NAME
        made_with = MadeWith(upstream, folders, decisions)
        settings = Settings(select, ignore, folders, install, sources, read(told), made_with)
        if as_diff:
            built = build(snapshot, settings, progress.step)
        else:
            outcome = write(snapshot, place, settings, force=force, step=progress.step)
    say_notes(snapshot)
    say_missing(decisions)
    if as_diff:
        _print_diff(built, form)
        _say_stale(built.manifest, told)
        return
    _say_stale(outcome.manifest, told)
    if outcome.written and "chosen" in outcome.manifest["upstream"]:
        note(f"{outcome.manifest['upstream']['chosen']}; --sources says otherwise")
    if form == "json":
        print_json("generate", _told(outcome))
    else:
        _print(outcome, folders, quiet=is_quiet(), verbose=verbose)
    if not as_diff and outcome.conflicts:
        context.exit(1)


def _print_diff(built: Built, form: Form) -> None:
    from ..generate.difference import difference
    from ..views.diff import print_diff

    lines = list(difference(built))
    if form == "json":
        manifest = built.manifest
        told: GenerateDiffAnswer = {
            "diff": "".join(lines),
            "rules": manifest["rules"],
            "edits": manifest["edits"],
            "decisions": manifest["decisions"]["list"],
        }
        print_json("generate", told)
    else:
        print_diff(lines)


def _told(outcome: GenerateOutcome) -> GenerateAnswer:
    manifest = outcome.manifest
    return {
        "package": str(outcome.place.package_dir),
        "manifest": str(outcome.place.manifest),
        "version": manifest["version"],
        "written": outcome.written,
        "backup": str(outcome.backup) if outcome.backup else None,
        "changes": outcome.changes,
        "edited_by_hand": list(outcome.edited),
        "added_by_hand": list(outcome.added),
        "restored": list(outcome.restored),
        "conflicts": list(outcome.conflicts),
        "decisions": manifest["decisions"]["list"],
        **facts_of(manifest),
    }


def _say_stale(manifest: Manifest, told: Path) -> None:
    """Name the decisions that did nothing, or were made about another rewrite than today's."""
    for d in manifest["decisions"]["list"]:
        where = f"{d['file']}:{d['line']}" + (f", {d['scope']}" if d["scope"] else "")
        if d["stale"]:
            why = "is stale: upstream's code there or the rules for it are others now; it is kept in"
            note(f"the decision {d['key']} ({d['what']} {where}) {why} {told}")
        elif d["outdated"]:
            why = "was made about another rewrite than the rules make now; look at it with sovits-port review"
            note(f"the decision {d['key']} ({d['what']} {where}) {why}")


def _print(outcome: GenerateOutcome, folders: tuple[Path, ...], *, quiet: bool, verbose: bool) -> None:
    from ..generate.merging import any_marked

    manifest, place = outcome.manifest, outcome.place
    if quiet:
        from ..views.handwork import print_conflicts
        from ..views.summary import print_residual

        print_residual(manifest)
        print_conflicts(outcome)
        return
    if not outcome.written and any_marked(outcome.conflicts):
        from ..views.handwork import print_handwork

        print_handwork(outcome)
        note("nothing was written; solve what is marked, then generate again")
        return
    if not outcome.written:
        hazards = manifest["hazards"]
        counts = ", ".join(f"{hazards[status]} {status}" for status in ("fixed", "waived", "residual"))
        size = f"{len(manifest['files'])} files, {len(manifest['edits'])} edits"
        tell(f"{place.package_dir} is up to date: {size}, hazards {counts}, of what is ported")
        if outcome.edited or outcome.added:
            from ..views.handwork import print_handwork

            print_handwork(outcome, whole=verbose)
        return
    from ..views.handwork import print_handwork
    from ..views.summary import print_summary

    print_summary(outcome, folders, verbose=verbose)
    print_handwork(outcome, whole=verbose)
    if outcome.backup:
        note(f"the files that were edited by hand are kept in {outcome.backup}")
