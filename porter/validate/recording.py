"""The file that `record` writes and `validate --reference` replays.

A zip archive, stored without compression, so that one case at a time is written and read and no weights have to fit
into memory twice. Its members are the files of the folders through which the processes of a case talk (see job.py):

    CASE/NAME.safetensors, CASE/NAME.json   what upstream's run left for the port's
    recording.json                          what was recorded, where and from what; last

`recording.json` holds the SHA-256 of every other member, and one of itself, so that nothing can be lost or changed
unnoticed. Nothing is pickled, and nothing in it tells the time: the same run gives the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import porter
from porter.errors import PortError
from porter.inputs.regular import refuse_other_than_file
from porter.inputs.sources import Sources
from porter.inputs.upstream.revision import short
from porter.package.store.place import TOOL
from porter.validate.job import Told
from porter.validate.manifest import Manifest
from porter.validate.settings import Preset

FORMAT = 2
_HEADER = "recording.json"
_MEMBER = re.compile(r"(?!\.)[\w.-]+/(?!\.)[\w.-]+\.(?:safetensors|json)", re.ASCII)
_KEPT = (".json", ".safetensors")
_LEFT_OUT = ".job.json"  # of this machine, and of no use elsewhere
_PIECE = 1 << 20  # bytes
_BROKEN = (zipfile.BadZipFile, EOFError, ValueError, KeyError, TypeError, NotImplementedError, RecursionError)


@dataclass(frozen=True)
class Header:
    """What a recording tells of itself."""

    spec: str  # of upstream, as in port.json
    revision: str
    sources: Mapping[str, str]  # path of upstream → SHA-256 of its bytes
    device: str  # name of what upstream ran on
    versions: Mapping[str, str]
    preset: Preset
    seed: int
    steps: int
    checkpoint: str  # SHA-256 of the file whose weights were taken, "" for none
    cases: tuple[str, ...]

    @property
    def words(self) -> str:
        """Where it comes from, for a person."""
        return f"upstream as recorded on {self.device} with torch {self.versions.get('torch', '?')}"


class Writer:
    """A recording that is being written; `writing` makes one."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """An archive that is open and empty."""
        self._archive = archive
        self._members: dict[str, str] = {}

    def add(self, case: str, folder: Path) -> None:
        """Take over the files of a case's folder."""
        for path in sorted(folder.iterdir()):
            if path.name.endswith(_KEPT) and not path.name.endswith(_LEFT_OUT):
                name = f"{case}/{path.name}"
                with path.open("rb") as source:
                    self._members[name] = self._copy(name, source)

    def finish(self, header: Header) -> None:
        """Write the header; nothing can be added after it."""
        told = {"tool": TOOL, "version": porter.__version__, "format": FORMAT, **asdict(header)}
        told["members"] = self._members
        told["sha256"] = _digest(told)
        self._archive.writestr(zipfile.ZipInfo(_HEADER), json.dumps(told, indent=1))

    def _copy(self, name: str, source: IO[bytes]) -> str:
        digest = hashlib.sha256()
        with self._archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as target:
            while piece := source.read(_PIECE):
                digest.update(piece)
                target.write(piece)
        return digest.hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A recording to write; the file is at `path` once the block is done, whole, and untouched where it fails.

    PortError where it cannot be written.
    """
    if path.is_dir():
        raise PortError(f"--out {path} is a directory; give the name of a file")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            with zipfile.ZipFile(beside, "x", zipfile.ZIP_STORED) as archive:
                yield Writer(archive)
            beside.replace(path)
        except OSError as error:
            raise PortError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


class Recording(AbstractContextManager["Recording"]):
    """A recording to read. It is checked as a whole before it is used."""

    def __init__(self, path: Path) -> None:
        """Open and check the header. PortError for a file that is no recording, or one of another version."""
        self._path = path
        try:
            refuse_other_than_file(path)
            self._archive = zipfile.ZipFile(path)
        except OSError as error:
            raise PortError(f"cannot read {path}: {error.strerror or error}") from error
        except _BROKEN as error:
            raise PortError(self._foreign()) from error
        try:
            self._members, self.header = self._read_header()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def check(self) -> None:
        """Read everything. PortError unless each member is what was written."""
        infos = [info for info in self._archive.infolist() if info.filename != _HEADER]
        if sorted(info.filename for info in infos) != sorted(self._members):
            raise PortError(self._altered())
        for info in infos:
            stored = info.compress_type == zipfile.ZIP_STORED
            if not stored or not _MEMBER.fullmatch(info.filename) or self._hash(info) != self._members[info.filename]:
                raise PortError(self._altered())

    def check_upstream(self, manifest: Manifest, sources: Sources) -> None:
        """PortError unless this was recorded from the sources that the package was made from."""
        held = self.header.sources
        expected = {**sources.consulted, **sources.sha256, **manifest.inputs}
        for path, sha256 in expected.items():
            if held.get(path) != sha256:
                made = (
                    f"{self.header.spec} ({short(self.header.revision)})" if self.header.revision else self.header.spec
                )
                raise PortError(
                    f"{self._path} was recorded from {made}, where {path} is not what the package was made from; "
                    "record again"
                )

    def chosen(self, asked: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
        """The cases of `known` that were recorded. PortError for one that was `asked` for and was not."""
        lacking = [name for name in known if name not in self.header.cases]
        if asked and lacking:
            raise PortError(f"{self._path} holds no case {lacking[0]}; record it, or leave --case out")
        return tuple(name for name in known if name in self.header.cases)

    def fill(self, case: str, folder: Path) -> Told:
        """Put the files of a case into a folder; what upstream's run reported."""
        for name in self._members:
            if name.startswith(f"{case}/"):
                with self._archive.open(name) as source, (folder / name.rpartition("/")[2]).open("wb") as target:
                    shutil.copyfileobj(source, target, _PIECE)
        return Told.load(folder / "reference.json")

    def _read_header(self) -> tuple[dict[str, str], Header]:
        try:
            told = json.loads(self._archive.read(_HEADER))
            if told["tool"] != TOOL:
                raise KeyError("tool")
            written, version = told["format"], told["version"]
        except _BROKEN as error:
            raise PortError(self._foreign()) from error
        if (written, version) != (FORMAT, porter.__version__):
            raise PortError(
                f"{self._path} has format {written} of {TOOL} {version}, and this is format {FORMAT} of "
                f"{porter.__version__}, with cases of its own; record again"
            )
        try:
            if told.pop("sha256") != _digest(told):
                raise ValueError("sha256")
            members = {str(name): str(sha256) for name, sha256 in told.pop("members").items()}
            fields = {name: told[name] for name in Header.__dataclass_fields__}
            return members, Header(**{**fields, "cases": tuple(fields["cases"])})
        except _BROKEN as error:
            raise PortError(self._altered()) from error

    def _hash(self, info: zipfile.ZipInfo) -> str:
        digest = hashlib.sha256()
        try:
            with self._archive.open(info) as source:
                while piece := source.read(_PIECE):
                    digest.update(piece)
        except (*_BROKEN, OSError) as error:
            raise PortError(self._altered()) from error
        return digest.hexdigest()

    def _foreign(self) -> str:
        return f"{self._path} is not a whole recording of {TOOL}: another file, or one that was cut short; record again"

    def _altered(self) -> str:
        return f"{self._path} was changed after it was recorded; record again"


def read_header(path: Path) -> Header:
    """What a recording tells of itself; the rest of it is not read. PortError where it is none."""
    with Recording(path) as recording:
        return recording.header


def _digest(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
