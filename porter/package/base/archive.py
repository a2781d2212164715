"""The file itself: a zip archive without compression, so that the same content is the same bytes everywhere.

upstream/PATH    the bytes of each file of upstream that was ported
generated/NAME   the bytes of each file of the package as it was written, by its place beside port.json
undecided/NAME   the same as the rules alone would have it, where a person's decision made it another
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import PortError
from ...inputs.regular import read_regular
from ...inputs.sources import digest

if TYPE_CHECKING:
    from ..manifest import Manifest

NAME = "port.base"
_UPSTREAM, _GENERATED, _UNDECIDED = "upstream/", "generated/", "undecided/"
_ODD, _ESCAPED = re.compile("[%\udc80-\udcff]"), re.compile("%([0-9A-F]{2})")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that the format can say
_BROKEN = (zipfile.BadZipFile, EOFError, ValueError, KeyError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Base:
    """The old texts of a package, as bytes."""

    upstream: Mapping[str, bytes]  # by path upstream
    generated: Mapping[str, bytes]  # by place beside port.json, such as module/tpu/models.py
    undecided: Mapping[str, bytes] = field(default_factory=dict)  # as the rules alone have it, where that differs


def pack(base: Base) -> bytes:
    """The bytes of port.base: the same for the same texts on every Python."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        areas = ((_UPSTREAM, base.upstream), (_GENERATED, base.generated), (_UNDECIDED, base.undecided))
        for prefix, files in areas:
            for name, content in sorted(files.items()):
                member = zipfile.ZipInfo(f"{prefix}{_member(name)}", _EPOCH)
                member.create_system = 3  # Unix, wherever this runs
                member.external_attr = 0o644 << 16
                archive.writestr(member, content)
    return sink.getvalue()


def _member(name: str) -> str:
    """A name as the archive has it, which is UTF-8: bytes of a file's name that are not, and `%`, as `%FF`."""
    return _ODD.sub(lambda found: f"%{os.fsencode(found[0]).hex().upper()}", name)


def _name(member: str) -> str:
    return _ESCAPED.sub(lambda found: os.fsdecode(bytes.fromhex(found[1])), member)


def unpack(content: bytes, name: str = NAME) -> Base:
    """What `pack` packed. PortError, naming `name`, for anything else."""
    upstream: dict[str, bytes] = {}
    generated: dict[str, bytes] = {}
    undecided: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                for prefix, files in ((_UPSTREAM, upstream), (_GENERATED, generated), (_UNDECIDED, undecided)):
                    if member.startswith(prefix):
                        files[_name(member.removeprefix(prefix))] = archive.read(member)
    except _BROKEN as error:
        raise PortError(f"{name} is damaged: {error}; generate with --force to make it anew") from None
    return Base(upstream, generated, undecided)


def read_base(folder: Path, manifest: Manifest) -> Base:
    """The base of the package in `folder`. PortError where it is missing, or another one than port.json names."""
    path = folder / NAME
    try:
        content = read_regular(path, folder)
    except OSError as error:
        raise PortError(
            f"cannot read {path}: {error.strerror or error}; it belongs to port.json, and generate makes it anew"
        ) from None
    if digest(content) != manifest["base"]:
        raise PortError(f"{path} is not the one that port.json was written with; generate makes it anew")
    base = unpack(content, str(path))
    _refuse_mismatch(path, base, manifest)
    return base


def _refuse_mismatch(path: Path, base: Base, manifest: Manifest) -> None:
    """PortError where port.json tells of files and lines that the base does not have."""
    upstream = {record["upstream"] for record in manifest["files"].values() if record["upstream"] is not None}
    missing = sorted((upstream - set(base.upstream)) | (set(manifest["files"]) - set(base.generated)))
    if missing:
        raise PortError(f"{path} lacks {missing[0]}, which port.json tells of; generate with --force to make both anew")
    lines = {name: content.count(b"\n") + 1 for name, content in base.upstream.items()}
    made = {
        name.removeprefix(f"{manifest['package']}/"): max(content.count(b"\n"), undecided.count(b"\n")) + 1
        for name, content in base.generated.items()
        for undecided in (base.undecided.get(name, b""),)
    }
    for edit in (*manifest["edits"], *manifest["decisions"]["undecided"]):
        for name, last, known in (("file", "end_line", lines), ("target", "target_end_line", made)):
            if edit[last] > known[edit[name]]:  # type: ignore[literal-required]
                raise PortError(
                    f"port.json beside {path} is damaged: an edit of {edit['file']} ends in line {edit[last]}, "  # type: ignore[literal-required]
                    "which is not there; generate with --force"
                )
