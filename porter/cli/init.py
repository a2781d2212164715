"""`sovits-port init`: write a configuration."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import PortError
from .configuration import NAME, PROJECT, TABLE
from .options import rule_options, sources_option, upstream_argument
from .output import say
from .target import upstream_of


@click.command()
@upstream_argument
@click.option("--out", metavar="DIR", help="Where module/tpu and port.json go.  [default: generated]")
@rule_options
@sources_option
@click.option("--install", is_flag=True, help="Put module/tpu into the checkout itself.")
@click.option("--decisions", metavar="FILE", help="What people decided about hunks.")
@click.option("--pyproject", is_flag=True, help="Write to pyproject.toml instead of sovits-port.toml.")
@click.option("--force", is_flag=True, help="Replace a configuration that is there.")
def init(
    upstream: str | None,
    out: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    folders: tuple[Path, ...],
    sources: tuple[str, ...],
    install: bool,
    decisions: str | None,
    pyproject: bool,
    force: bool,
) -> None:
    """Write UPSTREAM, and what else is given here, to sovits-port.toml in this folder.

    All commands read it, from this folder and from those below, so that `sovits-port generate`, `check`, `status`,
    `diff` and `validate` need nothing said twice. Options of a command win over it.
    """
    from ..codemod import rulebook
    from ..inputs.upstream import parse

    parse(upstream_of(upstream))
    rulebook.load(folders).selected(select, ignore)
    told: dict[str, object] = {
        "upstream": upstream,
        "out": out,
        "sources": list(sources),
        "rules": [folder.as_posix() for folder in folders],
        "select": list(select),
        "ignore": list(ignore),
        "decisions": decisions,
        "install": install,
    }
    place = Path(PROJECT if pyproject else NAME)
    _write(place, {key: value for key, value in told.items() if value}, force)
    say(f"wrote {place}; `sovits-port generate` makes the package")


def _write(place: Path, told: dict[str, object], force: bool) -> None:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    from ..package.store import write_file

    try:
        text = place.read_text(encoding="utf-8") if place.exists() else ""
        document = tomlkit.parse(text)
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise PortError(f"cannot read {place}: {error}") from None
    table: object = document
    for name in TABLE if place.name == PROJECT else ():
        if not isinstance(table, dict):
            raise PortError(f"{place}: {name} is in no table")
        inner = tomlkit.table(is_super_table=name == TABLE[0])
        table = table.setdefault(name, inner)
    if not isinstance(table, dict):
        raise PortError(f"{place}: {'.'.join(TABLE)} is no table")
    if table and not force:
        raise PortError(f"{place} has a configuration; --force replaces it")
    for key in list(table):
        del table[key]
    table.update(told)
    write_file(place, tomlkit.dumps(document).encode("utf-8"))
