"""What the UPSTREAM argument means, judged by its text and by which paths exist; nothing is opened here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from porter.errors import PortError

_WHEEL = re.compile(r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9.!+_-]+)")
_SCP = re.compile(r"(?P<user>[A-Za-z0-9_][\w.-]*)@(?P<host>[A-Za-z0-9][\w.-]*):(?P<path>[^/].*)")
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True)
class DirectorySpec:
    """A folder that exists: its files as they lie there, or, when it is a bare repository, those of HEAD."""

    path: Path

    @property
    def text(self) -> str:
        """Canonical text: the base name."""
        return base_name(self.path)


@dataclass(frozen=True)
class GitSpec:
    """A commit of a repository on this machine."""

    path: Path
    revision: str

    @property
    def text(self) -> str:
        """Canonical text: base name and revision."""
        return f"{base_name(self.path)}@{self.revision}"


@dataclass(frozen=True)
class GitUrlSpec:
    """A commit of a repository behind a URL; `revision` None is its default branch."""

    url: str
    revision: str | None

    @property
    def text(self) -> str:
        """Canonical text: URL and revision; of a file URL the base name, since its path is this machine's."""
        shown = self.url
        if shown.startswith("file://"):
            shown = base_name(Path(unquote(urlsplit(self.url).path)))
        return shown if self.revision is None else f"{shown}@{self.revision}"


@dataclass(frozen=True)
class WheelSpec:
    """One version of a package on the package index; `name` is as it was typed."""

    name: str
    version: str

    @property
    def text(self) -> str:
        """Canonical text: as it was typed."""
        return f"pypi:{self.name}=={self.version}"

    @property
    def folder(self) -> str:
        """Name of its folder in the cache, the same for every spelling."""
        from packaging.utils import canonicalize_name  # late: it takes longer to import than all of this package
        from packaging.version import Version

        return f"{canonicalize_name(self.name)}-{Version(self.version)}"


Spec = DirectorySpec | GitSpec | GitUrlSpec | WheelSpec


def parse(text: str) -> Spec:
    """What `text` names. Raises PortError, naming it, when it is nothing of the kind.

    A path that exists as a whole wins, even with an `@` in it; then the longest existing path before an `@`.
    """
    if not text.strip() or "\0" in text:
        raise PortError("UPSTREAM is empty; give a directory, a git repository or URL with @REV, or pypi:NAME==VERSION")
    if is_path(text):
        return _parse_path(text)
    return _parse_wheel(text) if text.startswith("pypi:") else _parse_url(text)


def is_path(text: str) -> bool:
    """Whether `text` is read as a path, with or without @REV, and not as a URL or a package's name."""
    return not (text.startswith("pypi:") or _SCHEME.match(text) or _SCP.fullmatch(text))


def base_name(path: Path) -> str:
    """The last part of `path` once resolved, without `.git`."""
    name = path.resolve().name or "root"
    if name == ".git":
        name = path.resolve().parent.name
    return name.removesuffix(".git")


def _parse_wheel(text: str) -> WheelSpec:
    found = _WHEEL.fullmatch(text.removeprefix("pypi:"))
    if not found:
        raise PortError(f"{text!r} does not name one version of a package; write pypi:NAME==VERSION")
    from packaging.version import InvalidVersion, Version

    try:
        Version(found["version"])
    except InvalidVersion as error:
        raise PortError(f"{text!r} does not end in a version such as 0.2.8") from error
    return WheelSpec(found["name"], found["version"])


def _parse_path(text: str) -> Spec:
    whole = _existing(text)
    if whole:
        if not whole.is_dir():
            raise PortError(
                f"{text} is a file; UPSTREAM is a directory, a git repository or URL, or pypi:NAME==VERSION"
            )
        return DirectorySpec(whole)
    for left, revision in _splits(text):
        path = _existing(left)
        if path:
            return GitSpec(path, _checked_revision(revision, text))
    left = text.partition("@")[0] or text
    raise PortError(f"no such directory or repository: {left}")


def _parse_url(text: str) -> GitUrlSpec:
    scp = _SCP.fullmatch(text)
    scheme = _SCHEME.match(text)
    if scheme and scheme["scheme"] == "file":
        return _parse_file_url(text)
    if scheme:
        _check_scheme(text, scheme["scheme"])
        start = text.find("/", scheme.end())
        start = len(text) if start < 0 else start
    else:
        assert scp is not None
        start = scp.start("path")
    location, revision = _split_path(text[start:])
    url = text[:start] + location.rstrip("/")
    _check_location(url, location)
    return GitUrlSpec(url, None if revision is None else _checked_revision(revision, text))


def _parse_file_url(text: str) -> GitUrlSpec:
    for left, revision in ((text, None), *_splits(text)):
        if _existing(unquote(_split_url(left).path)):
            return GitUrlSpec(left.rstrip("/"), None if revision is None else _checked_revision(revision, text))
    raise PortError(f"no such repository: {text}")


def _check_scheme(text: str, scheme: str) -> None:
    if scheme not in ("https", "ssh"):
        raise PortError(
            f"{scheme}:// is not a way to fetch an upstream; use https://, ssh://, git@HOST:PATH or file://"
        )
    parts = _split_url(text)
    if not parts.hostname:
        raise PortError(f"the URL {text} names no host")
    if (scheme == "https" and "@" in parts.netloc) or ":" in parts.netloc.rpartition("@")[0]:
        # A secret would end up in the manifest, in the cache and in error messages.
        raise PortError(f"the URL of {parts.hostname} holds a user name or password; use ssh, or a clone of your own")


def _check_location(url: str, location: str) -> None:
    if not location.strip("/"):
        raise PortError(f"the URL {url} names no repository")
    if ".." in location.split("/") or any(ord(letter) < 33 for letter in url):
        raise PortError(f"{url!r} is not the URL of a repository")


def _split_url(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError as error:
        raise PortError(f"{text!a} is not a URL: {error}") from None


def _split_path(path: str) -> tuple[str, str | None]:
    """What stands before and after the last `@` of a URL's path; one that opens a folder's name is none."""
    at = path.rfind("@")
    while at > 0 and path[at - 1] == "/":
        at = path.rfind("@", 0, at)
    # In owner/name@feature/x the revision has a slash; a revision with an @ of its own is too rare to serve.
    return (path, None) if at <= 0 else (path[:at], path[at + 1 :])


def _splits(text: str) -> Iterator[tuple[str, str]]:
    """Every way to cut `text` at an `@`, longest left part first."""
    at = text.rfind("@")
    while at > 0:
        yield text[:at], text[at + 1 :]
        at = text.rfind("@", 0, at)


def _existing(text: str) -> Path | None:
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # a name too long, or ~nobody
        return None


def _checked_revision(revision: str, text: str) -> str:
    if not revision:
        raise PortError(f"{text!r} names no revision after its @")
    if revision.startswith("-") or any(ord(letter) < 33 for letter in revision):
        raise PortError(f"{revision!r} is not a git revision")
    return revision
