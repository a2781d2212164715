"""Where fetched upstreams are kept, and how they get there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from porter.errors import PortError
from porter.inputs.upstream.git_command import GitError, run_git
from porter.inputs.upstream.local import is_bare_repository
from porter.inputs.upstream.spec import base_name

_STALE_SECONDS = 2 * 24 * 3600.0
_COPIED = ("HEAD", "packed-refs", "refs", "objects", "shallow")


def cache_root() -> Path:
    """The folder for everything kept between runs: `SOVITS_PORT_CACHE`, else the user's cache folder."""
    chosen = os.environ.get("SOVITS_PORT_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("sovits-port")


def git_mirror_path(url: str) -> Path:
    """Where the repository behind `url` is kept, there or not; one place for every spelling of it."""
    return cache_root() / "upstreams" / "git" / f"{_slug(url)}.git"


def wheel_path(folder: str) -> Path:
    """Where the unpacked wheel named `folder` (NAME-VERSION) is kept, whether or not it is there yet."""
    return cache_root() / "upstreams" / "wheels" / folder


def cached_upstream(url: str) -> Path | None:
    """The repository kept for `url`, or None."""
    mirror = git_mirror_path(url)
    return mirror if is_bare_repository(mirror) else None


def seed_git_mirror(url: str, source: Path) -> Path:
    """Copy the bare repository `source` to the cache place of `url`, unless taken; returns that place.

    Only objects and refs are copied: no hooks and no settings. Then `url@REV` needs no network where REV is a
    tag or commit in the copy. Raises PortError when `source` is no whole bare repository.
    """
    place = git_mirror_path(url)
    if cached_upstream(url):
        return place
    if not is_bare_repository(source):
        raise PortError(f"{source} is not a bare git repository")
    if (source / "objects" / "info" / "alternates").exists():
        raise PortError(f"{source} borrows objects from another repository, so a copy of it would be incomplete")
    with arriving(place) as fresh:
        try:
            kind = run_git("rev-parse", "--show-object-format", at=source).decode().strip()
            run_git("init", "--quiet", "--bare", "--template=", f"--object-format={kind}", str(fresh))
            run_git("config", "remote.origin.url", url, at=fresh)
        except GitError as error:
            raise PortError(f"cannot copy {source} to the cache: {error}") from error
        for name in _COPIED:
            if (source / name).is_dir():
                shutil.copytree(source / name, fresh / name, dirs_exist_ok=True, symlinks=True)
            elif (source / name).exists():
                shutil.copy2(source / name, fresh / name)
    return place


@contextlib.contextmanager
def arriving(place: Path) -> Iterator[Path]:
    """A new folder beside `place` that becomes `place` when the block ends well, else vanishes.

    Where another process was faster, its result stays and ours goes. Raises PortError when the cache cannot
    be written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(place.parent)
        holder = Path(tempfile.mkdtemp(prefix=".arriving-", dir=place.parent))
    except OSError as error:
        raise unwritable(place, error) from error
    try:
        fresh = holder / place.name
        fresh.mkdir()
        yield fresh
        try:
            fresh.rename(place)
        except OSError:
            if not place.is_dir():
                raise
    except OSError as error:
        raise unwritable(place, error) from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _remove_stale(folder: Path) -> None:
    """Remove what killed downloads left, once it is too old to belong to a living one."""
    for left in folder.glob(".arriving-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def unwritable(place: Path, error: OSError) -> PortError:
    """What is raised where nothing can be put in the cache at `place`."""
    return PortError(f"cannot write to the cache folder {place.parent}: {error.strerror or error}")


def _slug(url: str) -> str:
    """`host+owner+name` for https, else with the scheme in front; a hash where letters had to be replaced."""
    if "://" not in url:  # git@host:path
        host, _, path = url.rpartition("@")[2].partition(":")
        scheme = "ssh"
    else:
        parts = urlsplit(url)
        scheme, host, path = parts.scheme, parts.netloc.rpartition("@")[2], parts.path
    path = path.strip("/").removesuffix(".git")
    if scheme == "file":
        # Two folders of the same name are two repositories, and the whole path would be too long for a name.
        whole = f"file+{base_name(Path('/' + path))}"
        clean, changed = re.sub(r"[^\w.+~-]", "_", whole, flags=re.ASCII), True
    else:
        whole = "+".join([*([] if scheme == "https" else [scheme]), host.lower(), *path.split("/")])
        clean = re.sub(r"[^\w.+~-]", "_", whole, flags=re.ASCII)
        changed = clean != whole or "+" in host + path or len(clean) > 200
    mark = hashlib.sha256(f"{scheme}://{host}/{path}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{clean[:200]}+{mark}" if changed else clean
