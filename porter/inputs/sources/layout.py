"""Where upstream keeps what is ported, and where each of its files goes inside the emitted package."""

from __future__ import annotations

from dataclasses import dataclass

TRAINERS = "trainers"  # where trainers beside the main folder go inside the emitted package
MODULE = "module"  # the folder's name in GPT-SoVITS, and in what is emitted
INSTALLED = "tpu"  # the folder inside `module` that holds a port, ours or a hand-made one


@dataclass(frozen=True, slots=True)
class Layout:
    """The main folder of a tree: the one that holds the networks which the others build."""

    root: str  # the main folder, "" for the top of the tree
    flat: bool = False  # its files import each other by bare names, so it is a folder that imports start from
    more: tuple[str, ...] = ()  # further folders to port whole, as a person asked
    chosen: str = ""  # a sentence: why this folder, where there were others
    whole: bool = False  # imports name it by its whole path, so that they start from the top of the tree

    @property
    def prefix(self) -> str:
        """The folder around the main folder; the main folder itself where it is flat."""
        return self.root if self.flat else folder_of(self.root)

    @property
    def bases(self) -> tuple[str, ...]:
        """Folders that absolute imports may start from, first come first served."""
        found = [self.prefix]
        while found[-1]:
            found.append(folder_of(found[-1]))
        if not self.flat and not self.is_module:
            found.append(self.root)
        return tuple(found)

    @property
    def starts(self) -> tuple[str, ...]:
        """Those of `bases` that imports really start from."""
        return tuple(base for base in self.bases if base in ("", self.root)) if self.whole else self.bases

    @property
    def is_module(self) -> bool:
        """Whether the main folder is a package called `module`, which is ported whole."""
        return not self.flat and self.root.rpartition("/")[2] == MODULE

    @property
    def installed(self) -> str:
        """Where a port goes that is put into the checkout itself."""
        return join(self.root, INSTALLED) if self.is_module else join(self.prefix, MODULE, INSTALLED)

    def inside(self, path: str) -> bool:
        """Whether a file or folder belongs to the main folder; of a flat one only the files right in it do."""
        if self.flat:
            return folder_of(path) == self.root
        return path == self.root or path.startswith(f"{self.root}/")

    def beside(self, path: str) -> bool:
        """Whether a file lies beside the main folder (in a flat one), as scripts do."""
        return folder_of(path) == self.prefix and not path.endswith("__init__.py")

    def place(self, path: str, trainers: str | None = None) -> str:
        """Where a file goes inside the emitted package; one of a trainer's goes to `trainers` where it lies beside."""
        if self.inside(path):
            return path.removeprefix(f"{self.root}/") if self.root else path
        if trainers is not None and self.beside(path):
            return f"{trainers}/{path.rpartition('/')[2]}"
        return path.removeprefix(f"{self.prefix}/") if self.prefix else path


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How the files of one port stand to each other."""

    bases: tuple[str, ...]  # folders that absolute imports start from, first come first served
    main: frozenset[str]  # paths of the files that people import, all of whose definitions count as used
    trainers: frozenset[str]  # paths of trainers, and of what goes with them
    upstream: frozenset[str] = frozenset()  # modules of upstream that are imported and not ported
    runtime: str = ""  # the folder of the emitted package that holds the runtime, "" for its top


def folder_of(path: str) -> str:
    """The folder that a file or folder lies in, "" at the top."""
    return path.rpartition("/")[0]


def join(*parts: str) -> str:
    """A path of those parts that are not empty."""
    return "/".join(part for part in parts if part)
