"""Reading a package and all that it was made from."""

from __future__ import annotations

import io
import tokenize
from codecs import lookup
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from ...errors import PortError
from ...generate.guard import still_marked
from ...inputs.regular import read_regular
from ...package.base import NAME, Base, read_base
from ...package.manifest import Manifest, output_hashes, read_package
from ...package.store import Place, edited_files
from ...syntax.text import split_lines
from ..decisions.undecided import undecided_hunks
from ..hunks import Hunk, Sides, by_file, hunks_of, sides_of
from .composing import MARK, Texts, compose
from .decided import with_decisions
from .records import Comparison, FileChanges


def compare(directory: Path) -> Comparison:
    """The package in `directory`, which holds port.json, against upstream. PortError where it cannot be read."""
    place = Place(directory)
    manifest = read_package(place)
    base = read_base(directory, manifest)
    emitted = manifest["files"].keys()
    mirrored = {name: path for name, record in manifest["files"].items() if (path := record["upstream"])}
    edited = edited_files(place, output_hashes(manifest))
    gone = {name for name in emitted & edited if not (directory / name).exists()}
    return Comparison(
        manifest,
        tuple(sorted(_files(directory, manifest, base, gone), key=lambda file: file.path)),
        added=tuple(name for name in edited if name not in {*emitted, NAME}),
        removed=tuple(sorted((mirrored[name], name) for name in mirrored.keys() & gone)),
        edited_alone=tuple(sorted((emitted & edited) - mirrored.keys())),
        left_out=len(emitted) - len(mirrored),
        marked=still_marked(place, edited),
    )


def _files(directory: Path, manifest: Manifest, base: Base, gone: Collection[str]) -> Iterator[FileChanges]:
    """The changes of each file that is there and mirrors one of upstream's, with what people decided."""
    hunks = by_file(hunks_of(manifest, base))
    decisions = {told["key"]: told for told in manifest["decisions"]["list"] if not told["stale"]}
    decided = by_file(undecided_hunks(manifest, base)) if decisions else {}
    for sides in sides_of(manifest, base):
        if f"{manifest['package']}/{sides.target}" not in gone:
            file = _file(directory, manifest, base, sides, hunks.get(sides.target, []))
            asked = decided.get(sides.target, [])
            changes, numbers = with_decisions(file.changes, file.numbers, file.lines, asked, decisions)
            yield replace(file, changes=changes, numbers=numbers)


def _file(directory: Path, manifest: Manifest, base: Base, sides: Sides, hunks: list[Hunk]) -> FileChanges:
    name = f"{manifest['package']}/{sides.target}"
    try:
        content = read_regular(directory / name, directory)
    except OSError as error:
        raise PortError(f"cannot read {directory / name}: {error.strerror or error}") from None
    upstream = base.upstream[sides.path]
    texts = Texts(
        upstream=split_lines(upstream),
        generated=split_lines(base.generated[name].removeprefix(MARK)),
        disk=split_lines(content.removeprefix(MARK)),
        mark=MARK if content.startswith(MARK) else b"",
        header=sides.header,
    )
    changes, numbers = compose(sides.target, texts, hunks)
    encoding = _encoding(upstream, "utf-8")
    return FileChanges(
        sides.path, name, sides.target, texts.upstream, encoding, _encoding(content, encoding), changes, numbers
    )


def _encoding(content: bytes, otherwise: str) -> str:
    """The codec that a file names, a person's broken one included: only what people see depends on it."""
    try:
        return lookup(tokenize.detect_encoding(io.BytesIO(content).readline)[0]).name
    except (SyntaxError, LookupError):
        return otherwise
