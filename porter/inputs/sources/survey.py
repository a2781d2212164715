"""Upstream's Python files around the folder `module`, ported or not: what each imports, and what that reaches."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from ...errors import PortError
from ...syntax.text import decode
from .closure import closure
from .facts import Facts, Import, read_facts, read_syntax
from .layout import folder_of
from .resolve import resolve
from .root import sources_below

if TYPE_CHECKING:
    from .tree import Tree


class Survey:
    """Reads files when they are asked about. One that is not Python imports nothing; nothing is executed."""

    def __init__(self, tree: Tree) -> None:
        """Nothing is read yet."""
        self.tree = tree
        self._contents: dict[str, bytes] = {}
        self._texts: dict[str, str] = {}
        self._facts: dict[str, Facts] = {}
        self._syntax: dict[str, ast.Module] = {}
        self._links: dict[str, Mapping[Import, tuple[str, ...]]] = {}
        self._on_python_path: dict[str, bool] = {}

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The files beside and below the folder around the main one, less ports and installed packages."""
        return sources_below(self.tree.snapshot, self.tree.prefix)

    def uses_torch(self, path: str) -> bool:
        """Whether a file imports torch."""
        return self.names(path, ["torch"]) and self.facts(path).uses_torch

    def names(self, path: str, words: Iterable[str]) -> bool:
        """Whether a file's text has one of some names in it as a whole word, as far as its bytes tell."""
        content = self._content(path)
        encoded = (word.encode("utf-8", "surrogateescape") for word in words)
        return any(w in content and re.search(rb"(?<!\w)%s(?!\w)" % re.escape(w), content) for w in encoded)

    def text(self, path: str) -> str:
        """The text of a file, "" for one that is not Python."""
        self.facts(path)
        return self._texts[path]

    def facts(self, path: str) -> Facts:
        """What a file imports and defines."""
        if path not in self._facts:
            self._texts[path], self._facts[path] = _read(path, self._content(path))
        return self._facts[path]

    def syntax(self, path: str) -> ast.Module:
        """The syntax tree of a file."""
        if path not in self._syntax:
            self._syntax[path] = read_syntax(path, self.text(path))
        return self._syntax[path]

    def _content(self, path: str) -> bytes:
        if path not in self._contents:
            wanted = self.paths if path in self.paths else [path]
            self._contents |= self.tree.snapshot.read_many(wanted)
        return self._contents[path]

    def links(self, path: str) -> Mapping[Import, tuple[str, ...]]:
        """The files of upstream that each import of a file executes, the one it names last."""
        if path not in self._links:
            meant = {statement: self._meant(path, statement) for statement in self.facts(path).imports}
            self._links[path] = {statement: files for statement, files in meant.items() if files}
        return self._links[path]

    def reach(self, paths: Iterable[str]) -> frozenset[str]:
        """These files and all of upstream that their imports execute, directly or through others."""
        return closure(paths, lambda some: (f for path in some for files in self.links(path).values() for f in files))

    def _meant(self, path: str, statement: Import) -> tuple[str, ...]:
        if statement.is_standard:
            return ()
        meaning = resolve(path, statement, self.tree, self.facts)
        if meaning is None:
            return self._on_path(path, statement.module)
        return tuple(dict.fromkeys(file for module in meaning.modules for file in module.chain))

    def _on_path(self, path: str, module: str) -> tuple[str, ...]:
        """The file of a module in a folder that some file puts on Python's path."""
        name = module.replace(".", "/")
        found = ((folder, f"{folder}/{name}.py") for folder in self._folders if module)
        return next(((f,) for folder, f in found if f in self._known and f != path and self._is_put(folder)), ())

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.paths)

    @cached_property
    def _folders(self) -> tuple[str, ...]:
        """The folders that hold Python files and do not lie at the top, in order."""
        return tuple(sorted({folder_of(path) for path in self.paths} - {self.tree.prefix}))

    def _is_put(self, folder: str) -> bool:
        """Whether a folder ends as a string does in a file that changes `sys.path`."""
        if folder not in self._on_python_path:
            changing = [path for path in self.paths if b"sys.path" in self._content(path)]
            changing.sort(key=lambda path: not self.names(path, [folder.rpartition("/")[2]]))  # the likely ones first
            texts = (text.strip("/") for p in changing for text in _strings(self.syntax(p)) if len(text) < _LONGEST)
            self._on_python_path[folder] = any(_ends(folder, text) for text in texts)
        return self._on_python_path[folder]


def _strings(tree: ast.AST) -> Iterator[str]:
    """The strings in a tree. `ast.walk` asks each node for each of its fields by name, which takes far longer."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if type(node) is ast.Constant:
            if isinstance(node.value, str):
                yield node.value
            continue
        for value in vars(node).values():
            if type(value) is list:
                pending += [part for part in value if isinstance(part, ast.AST)]
            elif isinstance(value, ast.AST):
                pending.append(value)


def _ends(folder: str, text: str) -> bool:
    return bool(text) and (folder == text or f"/{folder}".endswith(f"/{text}") or f"/{text}".endswith(f"/{folder}"))


_LONGEST = 200  # characters of a path in a source


def _read(path: str, content: bytes) -> tuple[str, Facts]:
    try:
        text = decode(path, content)[0]
        return text, read_facts(path, text)
    except PortError:
        return "", Facts()  # it stays upstream's, whatever it is
