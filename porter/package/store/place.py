"""Where a package lies on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MANIFEST = "port.json"
TOOL = "sovits-port"
PACKAGE = "module/tpu"  # where port.json, beside which it lies, says it is


@dataclass(frozen=True)
class Place:
    """The folder `package` below `out`: posix, two names or more, such as `GPT_SoVITS/module/tpu`."""

    out: Path
    package: str = "module/tpu"

    @property
    def root(self) -> Path:
        """The folder that holds `module/` and `port.json`; all names of files are relative to it."""
        return self.package_dir.parent.parent

    @property
    def package_dir(self) -> Path:
        """The folder that is ours whole."""
        return self.out / self.package

    @property
    def manifest(self) -> Path:
        """Where `port.json` lies."""
        return self.root / MANIFEST

    @property
    def folder(self) -> str:
        """`package_dir` relative to `root`: `module/tpu`."""
        return "/".join(PurePosixPath(self.package).parts[-2:])

    def holds(self, name: str) -> bool:
        """Whether `name`, relative to `root`, lies in the package's folder."""
        return name.startswith(f"{self.folder}/")
