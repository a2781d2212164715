"""Writing a package, and telling what on disk is ours and still as it was written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping

from porter.errors import PortError
from porter.inputs.upstream.locks import exclusive
from porter.inputs.upstream.snapshot import check_member
from porter.package.store.digest import digest, names_below, sha256
from porter.package.store.place import MANIFEST, TOOL, Place
from porter.package.store.transaction import ChangedError, HalfDoneError, finish_all, has_leftovers, replace


class ChangedMeanwhileError(PortError):
    """Somebody changed the package between looking at it and writing it; nothing was written."""


def write_package(
    place: Place, files: Mapping[str, bytes], manifest: bytes, expected: Mapping[str, str] | None = None
) -> None:
    """Replace the package at `place` by `files` and `manifest`, whole or not at all.

    Names in `files` are posix and relative to `place.root`: those in `place.folder` become that folder's only
    files, and each other one replaces that one file, so give `module/__init__.py` only where `module/` is
    ours. Raises PortError, the old package kept, where something there is not ours or cannot be written.
    Callers that must keep hand edits look at `state_of` the place first, and give that as `expected`: where it
    is another by now, nothing is written and ChangedMeanwhileError raised.
    """
    if not is_ours(manifest):
        raise ValueError(f'a manifest is a JSON object with "tool": "{TOOL}"')
    prefix = f"{place.folder}/"
    inside = {name.removeprefix(prefix): text for name, text in files.items() if place.holds(name)}
    beside = {name: text for name, text in sorted(files.items()) if not place.holds(name)}
    made = False
    try:
        _refuse_file_as_root(place)
        made = not place.root.exists()
        place.root.mkdir(parents=True, exist_ok=True)
        with exclusive(place.root):
            finish_all(place.root)
            # Only now: what a killed run left half done would look like somebody else's.
            refuse_foreign(place, files)

            def check() -> None:
                if expected is not None and state_of(place, expected) != expected:
                    raise ChangedError

            replace(place.root, {place.folder: inside}, {**beside, MANIFEST: manifest}, check)
    except ChangedError:
        raise ChangedMeanwhileError(
            f"files in {place.root} were changed while they were to be replaced; nothing was written, run it again"
        ) from None
    except HalfDoneError as error:
        raise PortError(f"cannot write the package to {place.root}: {error}") from error
    except OSError as error:
        if made:
            with contextlib.suppress(OSError):
                place.root.rmdir()
        kept = "what was there is kept"
        raise PortError(f"cannot write the package to {place.root}: {_why(error)}; {kept}") from error


def state_of(place: Place, names: Iterable[str] = ()) -> dict[str, str]:
    """SHA-256 in hex of every file in the package's folder, and of those of `names` that lie outside it.

    Names are relative to `place.root`; "" stands for a link, and for nothing at all where `names` has it. What
    Python compiled does not count. Raises PortError for unreadable files.
    """
    try:
        inside = {f"{place.folder}/{name}" for name in names_below(place.package_dir)}
        outside = {name for name in names if not place.holds(name)}
        return {name: digest(place.root / name) for name in sorted(inside | outside)}
    except OSError as error:
        raise PortError(f"cannot read the package in {place.root}: {_why(error)}{_which(error)}") from error


def recover(place: Place) -> None:
    """Finish or undo what a killed run left at `place`, after waiting for any run that is alive.

    Every command calls it before it reads a package; where nothing was left it costs one look at the folder.
    """
    try:
        if has_leftovers(place.root):
            with exclusive(place.root):
                finish_all(place.root)
    except (OSError, HalfDoneError) as error:
        reason = _why(error) if isinstance(error, OSError) else str(error)
        raise PortError(f"cannot finish what a killed run began in {place.root}: {reason}") from error


def refuse_foreign(place: Place, files: Iterable[str] = ()) -> None:
    """Raise PortError when writing `files` at `place` would replace something that this tool did not write.

    Ask after `recover`: a package that a killed run left half done looks like somebody else's.
    """
    try:
        _refuse_foreign(place, files)
    except OSError as error:
        raise PortError(f"cannot look into {place.root}: {_why(error)}") from error


def edited_files(place: Place, hashes: Mapping[str, str], *, missing: bool = True) -> list[str]:
    """Files that are not as they were written, sorted: changed, added to the package's folder, or gone.

    `hashes` maps names relative to `place.root` to SHA-256 in hex. `missing` False leaves out files that are
    gone, which nobody can lose. What Python compiled does not count. Raises PortError for unreadable files.
    """
    try:
        edited = {f"{place.folder}/{name}" for name in names_below(place.package_dir)} - set(hashes)
        for name, digest in hashes.items():
            path = place.root / name
            if not path.exists() and not path.is_symlink():
                edited |= {name} if missing else set()
            elif path.is_symlink() or not path.is_file() or sha256(path.read_bytes()) != digest:
                edited.add(name)
    except OSError as error:
        raise PortError(f"cannot read the package in {place.root}: {_why(error)}{_which(error)}") from error
    return sorted(edited)


def is_ours(manifest: bytes) -> bool:
    """Whether these bytes are a manifest of this tool."""
    try:
        told = json.loads(manifest)
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and told.get("tool") == TOOL


def _refuse_foreign(place: Place, files: Iterable[str]) -> None:
    _refuse_file_as_root(place)
    for path in (place.package_dir.parent, place.package_dir, place.manifest):
        if path.is_symlink():
            raise PortError(f"{path} is a symbolic link; a package is written to real folders only")
    known = place.manifest.exists()
    if known and not (place.manifest.is_file() and is_ours(place.manifest.read_bytes())):
        raise PortError(f"{place.manifest} is not a manifest of {TOOL}, so nothing is written beside it")
    _refuse_foreign_folder(place, known)
    for name in files:
        check_member(name, "the package")
        _refuse_foreign_file(place, name, known)


def _refuse_foreign_folder(place: Place, known: bool) -> None:
    folder = place.package_dir
    if not folder.exists():
        return
    if not folder.is_dir():
        raise PortError(f"{folder} is a file, where the package's folder belongs")
    if not known and any(folder.iterdir()):
        raise PortError(f"{folder} has no {MANIFEST} of {TOOL} that goes with it; move it away")


def _refuse_file_as_root(place: Place) -> None:
    if place.root.exists() and not place.root.is_dir():
        raise PortError(f"{place.root} is a file, so no package can be written below it")


def _refuse_foreign_file(place: Place, name: str, known: bool) -> None:
    path = place.root / name
    if name == MANIFEST or name == place.folder:
        raise ValueError(f"{name} is not a file of the package")
    if place.holds(name) or not (path.exists() or path.is_symlink()):
        return
    if path.is_symlink() or not path.is_file():
        raise PortError(f"{path} is not a regular file, so it is not replaced")
    # An empty file, as many an `__init__.py` is, holds nothing to lose.
    if not known and path.stat().st_size > 0:
        raise PortError(f"{path} was not written by {TOOL}; move it away")


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _which(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""
