"""Opening folders and repositories that are already on this machine."""

from __future__ import annotations

from pathlib import Path

from porter.errors import PortError
from porter.inputs.upstream.directory import DirectorySnapshot
from porter.inputs.upstream.git_command import GitError, run_git
from porter.inputs.upstream.git_tree import GitSnapshot, resolve_commit, unknown_revision
from porter.inputs.upstream.revision import DIRTY
from porter.inputs.upstream.snapshot import Snapshot
from porter.inputs.upstream.spec import DirectorySpec, GitSpec

# What `generate --install` leaves in a checkout does not make upstream's commit any less true.
_OURS = (
    ":(exclude,glob)**/module/tpu/**",
    ":(exclude,glob)**/port.json",
    ":(exclude,glob)**/port.base",
    ":(exclude,glob)**/port.decisions.toml",
    ":(exclude,glob)**/sovits-port.toml",
    ":(exclude,glob)**/.port-*/**",
    ":(exclude,glob)**/.backup-*/**",
    ":(exclude,glob)**/generated/module/__init__.py",  # of the default --out, inside the checkout
)


def open_directory(spec: DirectorySpec) -> Snapshot:
    """The files below a folder as they lie there; of a bare repository, the commit that its HEAD names."""
    if is_bare_repository(spec.path):
        git_dir = spec.path.resolve()
        commit = resolve_commit(git_dir, "HEAD")
        if commit is None:
            raise PortError(f"the repository {spec.path} has no commit at its HEAD; name a revision: {spec.text}@REV")
        return GitSnapshot(git_dir, commit, spec.text)
    return DirectorySnapshot(spec.path, spec.text, lambda: commit_of(spec.path))


def open_git(spec: GitSpec) -> Snapshot:
    """One commit of a repository, or of the folder of a repository that `spec.path` is."""
    git_dir, prefix = _find_repository(spec.path)
    commit = resolve_commit(git_dir, spec.revision)
    if commit is None:
        raise unknown_revision(git_dir, spec.revision, str(spec.path))
    return GitSnapshot(git_dir, commit, spec.text, prefix=prefix)


def is_bare_repository(path: Path) -> bool:
    """Whether `path` is itself a repository's database, judged by what lies in it."""
    try:
        return (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()
    except OSError:
        return False


def commit_of(path: Path) -> str:
    """The commit that the files below `path` are, with `-dirty` behind it where they were changed since.

    "" where they have no repository. Files that git ignores are not looked at, nor is what this tool installs.
    """
    try:
        # Filters named by the repository's own settings are programs; emptied, they are not run.
        filters = [(key, "false" if key.endswith(".required") else "") for key in _filter_keys(path)]
        if any("=" in key for key, _ in filters):  # git would cut such a name short and leave the filter on
            return ""
        place = run_git("rev-parse", "--show-prefix", at=path).decode("utf-8", "surrogateescape").rstrip("\n")
        commit = resolve_commit(path, "HEAD")
        if commit is None:
            return ""
        run_git("rev-parse", "--verify", "--quiet", f"{commit}:{place}", at=path)  # fails where HEAD lacks the folder
        changes = run_git(
            *("status", "--porcelain", "--untracked-files=all", "--ignore-submodules=all", "--", ".", *_OURS),
            at=path,
            settings=filters,
        )
    except (GitError, PortError):  # no repository, or no git: the files have no commit to name
        return ""
    return f"{commit}{DIRTY}" if changes else commit


def _filter_keys(path: Path) -> list[str]:
    try:
        listing = run_git(
            "config",
            "-z",
            "--name-only",
            "--get-regexp",
            r"^filter\..*\.(clean|smudge|process|required)$",
            at=path,
        )
    except GitError:  # git ends with 1 when nothing matches
        return []
    return [key for key in listing.decode("utf-8", "surrogateescape").split("\0") if key]


def _find_repository(path: Path) -> tuple[Path, str]:
    """The database of the repository that holds `path`, and where in its tree that is ("" or "folder/")."""
    if not path.is_dir():
        raise PortError(f"{path} is not a directory, so it is no git repository")
    if is_bare_repository(path):
        return path.resolve(), ""
    try:
        answer = run_git("rev-parse", "--absolute-git-dir", "--show-prefix", at=path)
    except GitError as error:
        raise PortError(f"{path} is not a git repository, so it has no revisions ({error})") from error
    git_dir, _, prefix = answer.decode("utf-8", "surrogateescape").partition("\n")
    return Path(git_dir), prefix.rstrip("\n")
