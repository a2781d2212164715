"""`sovits-port review`: a person decides about each hunk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import PortError
from .completion import complete_codes
from .forms import Form, output_options
from .options import codes, decisions_option, directory_argument
from .output import print_json, say
from .target import directory_of

if TYPE_CHECKING:
    from ..answers import ReviewAnswer
    from ..answers.package import ReviewedHunk
    from ..changes.decisions.walk import Walk
    from ..changes.hunks import Hunk
    from ..package.manifest import Manifest


@click.command()
@directory_argument
@decisions_option
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="CODES",
    callback=codes,
    shell_complete=complete_codes,
    help="Only hunks of these rules or families.",
)
@click.option("--file", "files", multiple=True, metavar="F", help="Only hunks of this file, by its name or path.")
@click.option("--list", "as_list", is_flag=True, help="List the hunks with what was decided, and ask nothing.")
@output_options("json")
def review(
    directory: Path | None,
    decisions: Path | None,
    rules: tuple[str, ...],
    files: tuple[str, ...],
    as_list: bool,
    form: Form,
) -> None:
    """Walk the hunks of the package in DIR (default: generated): accept, reject, edit or skip each.

    What is decided is written at once to a text file, to be committed; generate follows it. The hunks that
    nobody has looked at come first.
    """
    from ..changes.decisions import NAME
    from ..package.manifest import read_package
    from ..package.store import Place, remembered

    folder = directory_of(directory)
    manifest = read_package(Place(folder))
    made = remembered(folder, manifest["upstream"]["spec"])
    told = decisions or made.decisions or folder / NAME
    walk = _walk(folder, manifest, told, rules, files)
    if form == "json":
        print_json("review", _to_json(walk, told))
    elif as_list:
        from ..views.review import print_list

        print_list(walk)
    elif not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise PortError("review asks a person at a terminal; use --list or --json here")
    else:
        from ..views.review import summary
        from .reviewing import ask

        try:
            ask(walk, told, made.rules)
        finally:
            say(f"{summary(walk)}; decisions are in {told}, and generate follows them")


def _walk(directory: Path, manifest: Manifest, told: Path, rules: tuple[str, ...], files: tuple[str, ...]) -> Walk:
    from ..changes.decisions import read
    from ..changes.decisions.walk import Walk
    from ..package.base import read_base

    def wanted(hunk: Hunk) -> bool:
        by_rule = not rules or any(rule.startswith(code.upper()) for rule in hunk.rules for code in rules)
        return by_rule and (not files or any(_is(hunk, name) for name in files))

    walk = Walk(manifest, read_base(directory, manifest), read(told), wanted)
    if not walk.hunks and (rules or files):
        raise PortError(f"the package in {directory} has no such hunk; --list shows all")
    return walk


def _is(hunk: Hunk, name: str) -> bool:
    name = name.removeprefix("./")
    return any(path == name or path.endswith(f"/{name}") for path in (hunk.path, f"module/tpu/{hunk.target}"))


def _to_json(walk: Walk, told: Path) -> ReviewAnswer:
    return {
        "decisions_file": str(told),
        "hunks": [_hunk(walk, hunk) for hunk in walk.in_order],
        "stale_decisions": [
            {"key": d.key, "what": d.what, "file": d.file, "line": d.line, "scope": d.scope} for d in walk.stale
        ],
    }


def _hunk(walk: Walk, hunk: Hunk) -> ReviewedHunk:
    told = walk.told(hunk)
    return {
        "key": hunk.key,
        "file": hunk.path,
        "line": hunk.line,
        "target": hunk.target,
        "scope": hunk.scope,
        "old": "".join(hunk.old),
        "new": "".join(hunk.new),
        "edits": [
            {"rule": edit["rule"], "safety": edit["safety"], "reason": edit["reason"], "line": edit["line"]}
            for edit in hunk.edits
        ],
        "state": walk.state(hunk),
        "reason": told.reason if told else "",
        "text": told.text if told and told.what == "edit" else None,
    }
