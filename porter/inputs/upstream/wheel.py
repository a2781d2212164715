"""Wheels from the package index: downloaded with pip, unpacked into the cache, never installed."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from porter.errors import PortError
from porter.inputs.upstream.cache import arriving, wheel_path
from porter.inputs.upstream.directory import DirectorySnapshot
from porter.inputs.upstream.snapshot import Snapshot, check_member
from porter.inputs.upstream.spec import WheelSpec

_MAX_BYTES = 2 << 30
_MAX_MEMBERS = 50_000
_DOWNLOAD_SECONDS = 1800.0


def open_wheel(spec: WheelSpec, *, offline: bool) -> Snapshot:
    """The files of one wheel, from the cache where it is there, else downloaded."""
    place = wheel_path(spec.folder)
    if not place.is_dir():
        if offline:
            raise PortError(f"{spec.text} is not in the cache, and the network may not be used")
        with arriving(place) as fresh, tempfile.TemporaryDirectory(prefix="sovits-port-") as downloads:
            unpack(_download(spec, Path(downloads)), fresh, spec.text)
    return DirectorySnapshot(place, spec.text, str(Version(spec.version)))


def unpack(archive: Path, destination: Path, shown: str) -> None:
    """Unpack `archive` below `destination`; all members are checked before the first is written.

    Raises PortError, naming `shown`, for a damaged archive, a name that leaves the folder, a link, or over
    2 GiB.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _check_members(members, shown)
            for member in members:
                target = destination / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, target.open("xb") as sink:
                    shutil.copyfileobj(source, sink)
    except FileExistsError as error:
        raise PortError(f"the wheel of {shown} holds one name twice") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise PortError(f"the wheel of {shown} is damaged: {error}") from error


def _check_members(members: list[zipfile.ZipInfo], shown: str) -> None:
    if len(members) > _MAX_MEMBERS or sum(member.file_size for member in members) > _MAX_BYTES:
        raise PortError(f"the wheel of {shown} unpacks to more than {_MAX_BYTES >> 30} GiB or {_MAX_MEMBERS} files")
    for member in members:
        check_member(member.filename, f"the wheel of {shown}")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise PortError(f"the wheel of {shown} holds a link or device, {member.filename}, so it is not unpacked")


def _download(spec: WheelSpec, folder: Path) -> Path:
    """The wheel, downloaded to `folder`."""
    done = _pip(spec, folder)
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    raise PortError(_explain(spec, done))


def _pip(spec: WheelSpec, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        # -P: a pip.py in the current folder, which may be an upstream checkout, is not what we run.
        *(sys.executable, "-P", "-m", "pip", "download", "-vv", "--no-input", "--disable-pip-version-check"),
        # Binary only: to build an sdist, or even to ask for its name, pip would run its code.
        *(
            "--no-deps",
            "--ignore-requires-python",
            "--only-binary=:all:",
            "--no-cache-dir",
            "--dest",
            str(folder),
        ),
        f"{spec.name}=={spec.version}",
    ]
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PortError(f"cannot download {spec.text}: no end after {_DOWNLOAD_SECONDS:.0f} seconds") from error


def _explain(spec: WheelSpec, done: subprocess.CompletedProcess[str]) -> str:
    """Why pip brought no wheel, in a sentence."""
    told = done.stdout + "\n" + done.stderr
    if "No module named pip" in told:
        return f"cannot download {spec.text}: this Python has no pip; `python -m ensurepip` adds it"
    if _has_sdist(spec, told):
        return f"{spec.text} has no wheel that fits, only a source archive, and building that runs its code"
    # pip blames the version even when it never reached the index.
    for mark in ("connection broken by", "Could not fetch URL"):
        reason = _after(mark, told)
        if reason:
            return f"cannot download {spec.text}: the package index cannot be reached ({reason})"
    return f"cannot download {spec.text}: {_after('ERROR:', told) or 'pip gave no reason'}"


def _has_sdist(spec: WheelSpec, told: str) -> bool:
    """Whether pip said that it passed over this version's source archive."""
    name = canonicalize_name(spec.name)
    for line in told.splitlines():
        if "No sources permitted" in line or "No sdists permitted" in line:
            file = line.partition("/")[2].split("#")[0].split()[0].rpartition("/")[2]
            stem = file.removesuffix(".gz").removesuffix(".tar").removesuffix(".zip")
            found, _, version = stem.rpartition("-")
            if canonicalize_name(found) == name and version == spec.version:
                return True
    return False


def _after(mark: str, text: str) -> str:
    """What follows `mark` on the first line that has it, or ""."""
    return next((line.partition(mark)[2].strip()[:200] for line in text.splitlines() if mark in line), "")
