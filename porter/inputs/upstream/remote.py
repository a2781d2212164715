"""Repositories behind a URL: cloned once into the cache, fetched again only when that can matter."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from porter.errors import PortError
from porter.inputs.upstream.cache import arriving, cached_upstream, git_mirror_path, unwritable
from porter.inputs.upstream.git_command import NETWORK, GitError, run_git
from porter.inputs.upstream.git_tree import GitSnapshot, resolve_commit, unknown_revision
from porter.inputs.upstream.locks import exclusive
from porter.inputs.upstream.snapshot import Snapshot
from porter.inputs.upstream.spec import GitUrlSpec

_PROBE_SECONDS = 60.0
_FETCH_SECONDS = 1800.0
_REFS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def open_url(spec: GitUrlSpec, *, offline: bool) -> Snapshot:
    """The commit that `spec` names, from the cache where it is there, else from the network.

    A branch, or no revision, is looked up on the server; when that fails the cached commit serves, and a note
    says so.
    """
    mirror, revision = git_mirror_path(spec.url), spec.revision or "HEAD"
    notes: tuple[str, ...] = ()
    with _locked(mirror):
        if cached_upstream(spec.url) is None:
            _refuse_offline(spec, offline)
            _clone(spec.url, mirror)
        else:
            notes = _refresh(spec, mirror, offline=offline)
        commit = resolve_commit(mirror, revision)
        if commit is None and not offline and _HASH.fullmatch(revision):
            _fetch_commit(mirror, revision)
            commit = resolve_commit(mirror, revision)
    if commit is None:
        _refuse_offline(spec, offline)
        if spec.revision is None:
            raise PortError(f"{spec.text} has no commit on its default branch")
        raise unknown_revision(mirror, spec.revision, spec.url)

    here: set[str] = set()  # what the mirror has: git takes longer to list it than to read a few files

    def obtain(blobs: list[str]) -> None:
        if offline or here.issuperset(blobs):
            return
        here.update(_listed(mirror))
        _fetch_blobs(mirror, set(blobs) - here, spec.text)
        here.update(blobs)

    return GitSnapshot(mirror, commit, spec.text, notes=notes, obtain=obtain)


def _refuse_offline(spec: GitUrlSpec, offline: bool) -> None:
    if offline:
        raise PortError(f"{spec.text} is not in the cache, and the network may not be used")


@contextlib.contextmanager
def _locked(mirror: Path) -> Iterator[None]:
    try:
        mirror.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(mirror, error) from error
    with exclusive(mirror.with_suffix(".lock")):
        yield


def _clone(url: str, mirror: Path) -> None:
    """Make the mirror: without blobs where the server can leave them out, else whole."""
    try:
        _probe(url)
        with arriving(mirror) as fresh:
            common = ("--quiet", "--bare", "--template=", "--no-recurse-submodules")
            try:
                _network("clone", *common, "--filter=blob:none", "--", url, str(fresh), at=fresh.parent)
            except GitError:
                shutil.rmtree(fresh, ignore_errors=True)
                _network("clone", *common, "--", url, str(fresh), at=fresh.parent)
    except GitError as error:
        raise PortError(f"cannot fetch {url}: {error}") from error


def _refresh(spec: GitUrlSpec, mirror: Path, *, offline: bool) -> tuple[str, ...]:
    """Fetch when the revision is missing, or is one that moves; notes when the cached one has to do."""
    known = resolve_commit(mirror, spec.revision or "HEAD") is not None
    if offline or (known and not _moves(mirror, spec.revision)):
        return ()
    try:
        branch = _probe(spec.url)
        _drop_stale_locks(mirror)
        _fetch(mirror, "--force", "--prune", "origin", *_REFS)
        if branch:
            run_git("symbolic-ref", "HEAD", branch, at=mirror)
    except GitError as error:
        if known:
            return (f"{spec.text} could not be refreshed ({error}); the cached commit is used",)
        if spec.revision is not None:
            unknown = unknown_revision(mirror, spec.revision, f"the cached copy of {spec.url}")
            raise PortError(f"{unknown}, and it cannot be fetched: {error}") from error
        raise PortError(f"cannot fetch {spec.url}: {error}") from error
    return ()


def _moves(mirror: Path, revision: str | None) -> bool:
    """Whether the server may have moved this revision since: a default branch or a branch, and no tag."""
    if revision is None or revision == "HEAD":
        return True
    if resolve_commit(mirror, f"refs/tags/{revision}") is not None:
        return False
    name = re.split(r"[~^@]", revision.removeprefix("refs/heads/"))[0]
    return resolve_commit(mirror, f"refs/heads/{name}") is not None


def _probe(url: str) -> str | None:
    """The server's default branch, as `refs/heads/NAME`; fails soon where there is no server."""
    answer = run_git("ls-remote", "--symref", "--", url, "HEAD", transports=NETWORK, timeout=_PROBE_SECONDS)
    found = re.match(r"ref: (refs/heads/\S+)\tHEAD", answer.decode("utf-8", "replace"))
    return found[1] if found else None


def _fetch_commit(mirror: Path, commit: str) -> None:
    """A commit that no branch or tag holds, such as a pull request's; servers may refuse it."""
    with contextlib.suppress(GitError):
        _fetch(mirror, "origin", commit)


def _listed(mirror: Path) -> list[str]:
    """The hashes of all objects that the mirror has."""
    # Any other question about a missing object, some version of git answers by fetching it alone.
    here = run_git("cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectname)", at=mirror)
    return here.decode("ascii").split()


def _fetch_blobs(mirror: Path, missing: set[str], shown: str) -> None:
    """Fetch blobs that the mirror lacks, all in one go."""
    if not missing:
        return
    request = "".join(f"{blob}\n" for blob in sorted(missing)).encode()
    with _locked(mirror):
        try:
            _fetch(mirror, "--no-recurse-submodules", "--filter=blob:none", "--stdin", "origin", stdin=request)
        except GitError as error:
            raise PortError(f"cannot fetch {len(missing)} files of {shown}: {error}") from error


def _drop_stale_locks(mirror: Path) -> None:
    """Remove what a killed git left; our own lock is held, so no git is at work here."""
    for lock in (*mirror.glob("*.lock"), *(mirror / "refs").rglob("*.lock")):
        lock.unlink(missing_ok=True)


def _fetch(mirror: Path, *arguments: str, stdin: bytes = b"") -> None:
    """Fetch what is named, and no tags that come along with it."""
    _network("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *arguments, at=mirror, stdin=stdin)


def _network(*arguments: str, at: Path, stdin: bytes = b"") -> bytes:
    # Without negotiation git asks for exactly the objects named, which is what a fetch of blobs wants.
    negotiation = [("fetch.negotiationAlgorithm", "noop")] if stdin else []
    return run_git(*arguments, at=at, transports=NETWORK, settings=negotiation, stdin=stdin, timeout=_FETCH_SECONDS)
