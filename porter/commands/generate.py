"""`sovits-port generate`: emit the package."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from .options import decisions_option, json_option, rule_options, sources_option, upstream_argument
from .output import print_json, say, say_missing, say_notes, tell
from .progress import Progress
from .target import upstream_of

if TYPE_CHECKING:
    from ..generate import Outcome
    from ..generate.building import Built
    from ..manifest import Manifest


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
@json_option
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
    as_json: bool,
) -> None:
    """Rewrite UPSTREAM's modules for TPU: DIR/module/tpu, and DIR/port.json that tells every edit.

    What was edited in DIR/module/tpu by hand is merged. Exit status 1 where that leaves a conflict, which is marked.
    """
    from ..decisions import NAME, read
    from ..generate import Settings, build, place_for
    from ..generate import generate as write
    from ..store import MadeWith
    from ..upstream import open_upstream

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
        _print_diff(built, as_json)
        _say_stale(built.manifest, told)
        return
    _say_stale(outcome.manifest, told)
    if outcome.written and "chosen" in outcome.manifest["upstream"]:
        say(f"sovits-port: note: {outcome.manifest['upstream']['chosen']}; --sources says otherwise")
    if as_json:
        print_json(_told(outcome))
    else:
        _print(outcome, folders)
    if not as_diff and outcome.conflicts:
        context.exit(1)


def _print_diff(built: Built, as_json: bool) -> None:
    from ..generate.difference import difference
    from ..views.diff import print_diff

    lines = list(difference(built))
    if as_json:
        print_json(
            {
                "diff": "".join(lines),
                "rules": built.manifest["rules"],
                "edits": built.manifest["edits"],
                **_decided(built.manifest),
            }
        )
    else:
        print_diff(lines)


def _told(outcome: Outcome) -> dict[str, object]:
    manifest = cast(dict[str, object], outcome.manifest)
    return {
        "package": str(outcome.place.package_dir),
        "manifest": str(outcome.place.manifest),
        "written": outcome.written,
        "backup": str(outcome.backup) if outcome.backup else None,
        "changes": outcome.changes.to_json() if outcome.changes else None,
        "by_hand": {
            "edited": outcome.edited,
            "added": outcome.added,
            "restored": outcome.restored,
            "conflicts": [asdict(conflict) for conflict in outcome.conflicts],
        },
        **{key: manifest[key] for key in _SHOWN},
        **_decided(outcome.manifest),
    }


def _decided(manifest: Manifest) -> dict[str, object]:
    return {"decisions": manifest["decisions"]["list"]}


def _say_stale(manifest: Manifest, told: Path) -> None:
    """Name the decisions that did nothing, or were made about another rewrite than today's."""
    for d in manifest["decisions"]["list"]:
        where = f"{d['file']}:{d['line']}" + (f", {d['scope']}" if d["scope"] else "")
        if d["stale"]:
            why = "is stale: upstream's code there or the rules for it are others now; it is kept in"
            say(f"sovits-port: note: the decision {d['key']} ({d['what']} {where}) {why} {told}")
        elif d["outdated"]:
            why = "was made about another rewrite than the rules make now; look at it with sovits-port review"
            say(f"sovits-port: note: the decision {d['key']} ({d['what']} {where}) {why}")


_SHOWN = (
    "version",
    "upstream",
    "options",
    "rules",
    "files",
    "scope",
    "edits",
    "hazards",
    "unused_ignores",
    "needs",
)


def _print(outcome: Outcome, folders: tuple[Path, ...]) -> None:
    manifest, place = outcome.manifest, outcome.place
    if not outcome.written and any(conflict.kind == "still marked" for conflict in outcome.conflicts):
        from ..views.handwork import print_handwork

        print_handwork(outcome)
        say("sovits-port: note: nothing was written; solve what is marked, then generate again")
        return
    if not outcome.written:
        hazards = manifest["hazards"]
        counts = ", ".join(f"{hazards[status]} {status}" for status in ("fixed", "waived", "residual"))
        size = f"{len(manifest['files'])} files, {len(manifest['edits'])} edits"
        tell(f"{place.package_dir} is up to date: {size}, hazards {counts}, of what is ported")
        if outcome.edited or outcome.added:
            from ..views.handwork import print_handwork

            print_handwork(outcome)
        return
    from ..views.handwork import print_handwork
    from ..views.summary import print_summary

    print_summary(outcome, folders)
    print_handwork(outcome)
    if outcome.backup:
        say(f"sovits-port: note: the files that were edited by hand are kept in {outcome.backup}")
