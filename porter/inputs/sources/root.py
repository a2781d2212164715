"""Finding upstream's main folder, the files to start from there, and its licence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ...errors import PortError
from .foreign import refuse_others
from .layout import MODULE, Layout, folder_of, join

if TYPE_CHECKING:
    from ..upstream.snapshot import Snapshot
    from .networks import Class, Networks

PREFERRED = "GPT_SoVITS/module"
_TORCH = re.compile(
    rb"^[ \t]*(?:from[ \t]+torch\b|import[ \t]+(?:[\w.]+(?:[ \t]+as[ \t]+\w+)?[ \t]*,[ \t]*)*torch\b)", re.MULTILINE
)
_CLASS = re.compile(rb"^[ \t]*class[ \t]+\w+[ \t]*\([^)]*(?:Module|\bnn\.\w+)", re.MULTILINE)
_NO_SOURCES = re.compile(r"(?:^|/)(?:module/tpu|site-packages|\.\w[^/]*)/")  # ports, installed packages, hidden folders
_LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING")
_METADATA = re.compile(r"^License(?:-Expression)?:[ \t]*(\S.*)$", re.MULTILINE)


def find_layout(snapshot: Snapshot, asked: Iterable[str] = ()) -> Layout:
    """The main folder of `snapshot`, or the first of those that were `asked` for. PortError where there is none.

    It is the one that holds the network with most parts, of those that something trains where anything does.
    """
    told = tuple(map(_folder, asked))
    if told:
        return _asked(snapshot, told)
    if _has_torch(snapshot, PREFERRED):
        return Layout(PREFERRED)
    contents = torch_files(snapshot)
    named = sorted(filter(_is_module, {folder_of(path) for path in contents}))
    defining = [folder for folder in named if _defines(contents, folder)]
    if len(defining) == 1 and not _defines(contents, folder_of(defining[0])):
        return Layout(defining[0])
    return _largest(snapshot, contents) or _without_classes(snapshot, named)


def _largest(snapshot: Snapshot, contents: Mapping[str, bytes]) -> Layout | None:
    """The folder with the network of most parts, of those that are trained where any is; None without networks."""
    from .networks import Networks  # late: where one folder stands out, no syntax tree is needed

    networks = Networks({path: content.decode("utf-8", "replace") for path, content in contents.items()})
    every = frozenset(one for one in networks.classes if not one[0].endswith("_onnx.py"))
    if not every:
        return None
    trained = networks.trained & every
    best = networks.main(trained or every)
    folder = _one_folder(snapshot, best)
    main = next(one for one in best if folder_of(one[0]) == folder)
    others = {folder_of(path) for path, _ in every} - {folder}
    copies = sorted({folder_of(path) for path, _ in best} - {folder})
    return Layout(
        folder,
        _is_flat(contents, folder),
        chosen=_reason(networks, main, trained, len(others), copies),
        whole=_by_whole_path(contents, folder),
    )


def _is_module(folder: str) -> bool:
    """Whether a folder has the name that the main folder of GPT-SoVITS has."""
    return folder.rpartition("/")[2] == MODULE


def _one_folder(snapshot: Snapshot, best: Iterable[Class]) -> str:
    """The only folder of some classes, the only one of the preferred name, or that of which the others are copies.

    Where all classes have one name, a copy is what is further from the top. PortError where nothing tells which folder
    is meant.
    """
    folders = sorted({folder_of(path) for path, _ in best})
    copied = len({name for _, name in best}) == 1
    for candidates in (folders, list(filter(_is_module, folders)), _nearest_top(folders) if copied else []):
        if len(candidates) == 1:
            return candidates[0]
    shown = ", ".join(folder or "." for folder in folders[:5])
    raise PortError(
        f"{snapshot.spec} has several folders whose networks have equally many parts ({shown}); "
        "--sources DIR says which is meant"
    )


def _nearest_top(folders: Sequence[str]) -> list[str]:
    depth = {folder: len(folder.split("/")) if folder else 0 for folder in folders}
    return [folder for folder in folders if depth[folder] == min(depth.values())]


def _reason(networks: Networks, main: Class, trained: frozenset[Class], others: int, copies: Sequence[str]) -> str:
    if not others:
        return ""
    path, name = main
    folder = folder_of(path) or "the top folder"
    size = len(networks.parts(main))
    why = f"it holds {name}, of {size} network classes the largest{' that is trained' if trained else ''}"
    if copies:
        why += f", and is nearer to the top than {', '.join(copies)}"
    return f"{folder} is the main folder of {others + 1} with networks: {why}"


def _without_classes(snapshot: Snapshot, named: list[str]) -> Layout:
    """A folder `module` that computes with torch and defines no class of networks."""
    if len(named) == 1:
        return Layout(named[0])
    refuse_others(snapshot)
    if named:
        raise PortError(f"{snapshot.spec} has several folders named module ({', '.join(named)}); give one by --sources")
    raise PortError(f"{snapshot.spec} holds no PyTorch network, in a folder named module or elsewhere")


def _asked(snapshot: Snapshot, told: tuple[str, ...]) -> Layout:
    for folder in told:
        if not _has_torch(snapshot, folder, below=True):
            raise PortError(f"--sources {folder or '.'}: {snapshot.spec} holds no file there that imports torch")
    contents = torch_files(snapshot)
    flat = not _is_module(told[0]) and _is_flat(contents, told[0])
    return Layout(told[0], flat, told[1:], whole=not flat and _by_whole_path(contents, told[0]))


def _folder(text: str) -> str:
    """A folder as paths of a snapshot have it. PortError for one that leaves the tree."""
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts:
        raise PortError(f"--sources {text} is no folder inside UPSTREAM; give it as it is called there")
    return "/".join(parts)


def _is_flat(contents: Mapping[str, bytes], folder: str) -> bool:
    """Whether the files of a folder import each other by bare names, or the folder is the top of the tree."""
    if not folder:
        return True
    own = {path.rpartition("/")[2].removesuffix(".py"): path for path in contents if folder_of(path) == folder}
    elsewhere = {path.partition("/")[0].removesuffix(".py") for path in contents}
    names = set(own) - elsewhere
    if not names:
        return False
    pattern = rb"^[ \t]*(?:import|from)[ \t]+(?:%s)\b" % b"|".join(re.escape(n.encode()) for n in sorted(names))
    return any(re.search(pattern, contents[path], re.MULTILINE) for path in own.values())


def _by_whole_path(contents: Mapping[str, bytes], folder: str) -> bool:
    """Whether imports name a folder from the top of the tree, and none from a folder between."""
    if "/" not in folder:
        return False
    parts = folder.split("/")

    def named(first: int) -> bool:
        pattern = rb"^[ \t]*(?:import|from)[ \t]+%s\b" % re.escape(".".join(parts[first:]).encode())
        return any(re.search(pattern, content, re.MULTILINE) for content in contents.values())

    return named(0) and not any(map(named, range(1, len(parts))))


def sources_below(snapshot: Snapshot, folder: str) -> tuple[str, ...]:
    """The Python files below a folder that are neither a port's, nor an installed package's, nor hidden."""
    listed = snapshot.files(folder)
    # The `module/__init__.py` beside port.json is the port's as well.
    ports = {join(folder_of(path), MODULE, "__init__.py") for path in listed if path.rpartition("/")[2] == "port.json"}
    return tuple(p for p in listed if p.endswith(".py") and p not in ports and _NO_SOURCES.search(p) is None)


def torch_files(snapshot: Snapshot, folder: str = "") -> dict[str, bytes]:
    """The Python files below a folder that import torch, but for ports and installed packages, by path."""
    found = snapshot.read_many(sources_below(snapshot, folder))
    return {path: content for path, content in found.items() if has_torch(content)}


def _defines(contents: Mapping[str, bytes], folder: str) -> bool:
    """Whether a file right in a folder defines a class of networks."""
    return any(folder_of(path) == folder and _CLASS.search(content) for path, content in contents.items())


def _has_torch(snapshot: Snapshot, folder: str, *, below: bool = False) -> bool:
    names = [p for p in snapshot.files(folder) if (below or folder_of(p) == folder) and p.endswith(".py")]
    return any(has_torch(content) for content in snapshot.read_many(names).values())


def has_torch(content: bytes) -> bool:
    """Whether a file seems to import torch."""
    return _TORCH.search(content) is not None


def main_files(snapshot: Snapshot, layout: Layout) -> tuple[str, ...]:
    """The Python files to start from: all of a folder `module`, less ONNX exporters and a port that is installed there.

    Of another main folder those right in it that define networks; what these import comes along. Of folders that a
    person asked for, all that import torch.
    """
    more = {path for folder in layout.more for path in torch_files(snapshot, folder)}
    own = _of_module(snapshot, layout) if layout.is_module else _defining(snapshot, layout)
    return tuple(sorted(more.union(path for path in own if not path.endswith("_onnx.py"))))


def _of_module(snapshot: Snapshot, layout: Layout) -> Iterator[str]:
    """The Python files of a folder `module`, without a port that is installed there."""
    installed = f"{layout.installed}/"
    return (p for p in snapshot.files(layout.root) if p.endswith(".py") and not p.startswith(installed))


def _defining(snapshot: Snapshot, layout: Layout) -> Iterator[str]:
    """The files right in the main folder that define networks, and what makes a package of it."""
    for path, content in torch_files(snapshot, layout.root).items():
        if folder_of(path) == layout.root and _CLASS.search(content):
            yield path
    init = join(layout.root, "__init__.py")
    if layout.root and not layout.flat and init in snapshot.files(layout.root):
        yield init


def licence(snapshot: Snapshot) -> str:
    """The licence upstream states: the first line of its licence file, or what a wheel's metadata says."""
    for name in _LICENCE_FILES:
        content = read_if_there(snapshot, name)
        if content is not None:
            lines = (line.strip() for line in content.decode("utf-8", "replace").splitlines())
            return next((line for line in lines if line), "")[:100]
    return _licence_of_wheel(snapshot) if snapshot.spec.startswith("pypi:") else ""


def _licence_of_wheel(snapshot: Snapshot) -> str:
    for path in snapshot.files():
        if path.endswith(".dist-info/METADATA") and path.count("/") == 1:
            told = snapshot.read(path).decode("utf-8", "replace").replace("\r\n", "\n")
            found = _METADATA.search(told.partition("\n\n")[0])
            return found[1].strip()[:100] if found else ""
    return ""


def read_if_there(snapshot: Snapshot, path: str) -> bytes | None:
    """Contents of a file at the top, or None."""
    # A listing of the top would walk a whole checkout, data sets and all.
    try:
        return snapshot.read(path)
    except PortError:
        return None
