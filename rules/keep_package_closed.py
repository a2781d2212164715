"""The port is a package of its own, next to the one it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import ClassVar

import libcst as cst

from porter.analysis.project import SourceFile
from porter.rule import Example, Rule, Safety
from porter.syntax.importing import from_imports, taken_as
from porter.syntax.walk import code, dotted, spelled


class KeepPackageClosed(Rule):
    """Import ported files from the port.

    `from module import commons` inside `module/tpu` would mix upstream's unported file into the port. Relative imports
    also make the package work wherever it is put.
    """

    code = "PKG001"
    title = "import ported files from the port"
    safety = Safety.EXACT
    message = "the port imports its own files, not upstream's"
    fixes_hazard = False
    examples: ClassVar = (
        Example(
            before="""
                from module import helpers
                from module.helpers import double
                from text import symbols


                def f(x):
                    return double(x) + helpers.double(x)
                """,
            after="""
                from . import helpers
                from .helpers import double
                from text import symbols


                def f(x):
                    return double(x) + helpers.double(x)
                """,
            others={
                "module/helpers.py": """
                    def double(x):
                        return x * 2
                    """
            },
        ),
        Example(
            before="""
                import os, helpers


                def f(x):
                    return helpers.double(x), os.name
                """,
            after="""
                import os
                from . import helpers


                def f(x):
                    return helpers.double(x), os.name
                """,
            path="train_net.py",
            others={
                "helpers.py": """
                    def double(x):
                        return x * 2
                    """
            },
        ),
        Example(
            before="""
                from helpers import double


                def f(x):
                    return double(x)
                """,
            after="""
                from .helpers import double


                def f(x):
                    return double(x)
                """,
            path="train_net.py",
            others={
                "helpers.py": """
                    def double(x):
                        return x * 2
                    """
            },
        ),
        Example(
            before="""
                import module.helpers as h


                def f(x):
                    return h.double(x)
                """,
            after="""
                from . import helpers as h


                def f(x):
                    return h.double(x)
                """,
            others={
                "module/helpers.py": """
                    def double(x):
                        return x * 2
                    """
            },
        ),
    )
    untouched: ClassVar = (
        "from module import gone\n",
        "from .helpers import double\n",
        "import torch.nn as nn\n",
        "import utils\n",
    )

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        module = self.file.imported_module(node)
        here = self.file.project.module(module)
        if isinstance(node.names, cst.ImportStar):
            self._star(node, module, here)
            return
        moved = {alias: place for alias in node.names if (place := self._place(module, here, alias)) is not None}
        if node.relative:
            self._relative_names(node, moved, [alias for alias in node.names if alias not in moved])
        elif moved:
            self.redirect_import(node, moved)

    def _relative_names(
        self, node: cst.ImportFrom, moved: Mapping[cst.ImportAlias, str], left: Sequence[cst.ImportAlias]
    ) -> None:
        """`from .module import a, b`: names that the port has elsewhere, and those that it has not."""
        if left and self._leaves(node):
            kept = f"from {self.file.imported_module(node)} import {', '.join(map(_taken, left))}"
            self._put(node, [*from_imports(moved, self.file.origin), kept])
        elif moved and not left and not self._finds(node, moved.values(), [spelled(a.name) for a in moved]):
            self.redirect_import(node, moved)

    def _star(self, node: cst.ImportFrom, module: str, here: SourceFile | None) -> None:
        """`from module import *`, where the module is the file `here` of the port, or none of it."""
        if here is not None:
            if not (node.relative and self._finds(node, [f"{_inside(here.target)}.x"])):
                self._put(node, [f"from {self.file.origin(_inside(here.target))} import *"])
        elif self._leaves(node):
            self._put(node, [f"from {module} import *"])

    def _place(self, module: str | None, here: SourceFile | None, alias: cst.ImportAlias) -> str | None:
        """Where the port has what a from-import takes of a module: a file of its own, or a name in `here`; None for none."""
        name = dotted(alias.name) or ""
        inner = self.file.project.module(f"{module}.{name}")
        if inner is not None:
            return _inside(inner.target)
        if here is None or self._stays(f"{module}.{name}"):
            return None
        prefix = _inside(here.target)
        return f"{prefix}.{name}" if prefix else name

    def _stays(self, module: str) -> bool:
        """Whether this is a module of upstream that is not ported, as one of a package of which other files are."""
        arrangement = self.file.project.arrangement
        return arrangement is not None and module in arrangement.upstream

    def _leaves(self, node: cst.ImportFrom) -> bool:
        """Whether a relative import reads what stays upstream's, of which the emitted package has nothing."""
        arrangement, module = self.file.project.arrangement, self.file.imported_module(node)
        if not node.relative or arrangement is None:
            return False
        names = [] if isinstance(node.names, cst.ImportStar) else [dotted(alias.name) for alias in node.names]
        return not arrangement.upstream.isdisjoint((module, *(f"{module}.{name}" for name in names)))

    def _finds(self, node: cst.ImportFrom, wanted: Iterable[str], names: Iterable[str] = ("x",)) -> bool:
        """Whether a relative import, as it stands, finds these names of the emitted package."""
        here = PurePosixPath(self.file.target).parts[:-1]
        up = len(node.relative) - 1
        if up > len(here) or self.file.project.arrangement is None:
            return up <= len(here)
        module = dotted(node.module) if node.module is not None else None
        parts = [*here[: len(here) - up], *([module] if module else [])]
        return [".".join((*parts, name)) for name in names] == list(wanted)

    def _put(self, node: cst.Import | cst.ImportFrom, lines: Iterable[str]) -> None:
        """Ask for these imports in the place of one."""
        new = [cst.parse_statement(line) for line in lines]
        alone = self.file.alone(node)
        self.replace(alone or node, new if alone else [small for line in new for small in _smalls(line)])

    def visit_Import(self, node: cst.Import) -> None:
        moved = {alias: line for alias in node.names if (line := self._relative(alias) or self._spelled(alias))}
        if not moved:
            return
        kept = ", ".join(_taken(alias) for alias in node.names if alias not in moved)
        self._put(node, [*([f"import {kept}"] if kept else []), *moved.values()])

    def _relative(self, alias: cst.ImportAlias) -> str | None:
        """The from-import that binds the same name to the port's own file; None where it is not one of the port's."""
        name = dotted(alias.name) or ""
        found = self.file.project.module(name)
        if found is None:
            return None
        if alias.asname is not None:
            bound = alias.asname.name.value if isinstance(alias.asname.name, cst.Name) else None
        else:  # `import module.commons` binds `module`, which stays upstream's; a file of its own name is on the path
            bound = name if "." not in name else None
        package, _, last = _inside(found.target).rpartition(".")
        if bound is None or not last:
            return None
        return f"from {self.file.origin(package)} import {taken_as(last, bound)}"

    def _spelled(self, alias: cst.ImportAlias) -> str | None:
        """The from-import for `import a.b` that only brings `a.b.x`, asked to be read from the port's own file; None
        where it is not one of the port's, or where `a` is used for more.
        """
        name = dotted(alias.name) or ""
        found = self.file.project.module(name)
        if alias.asname is not None or "." not in name or found is None or self.file.project.arrangement is None:
            return None
        target = _inside(found.target)
        chains = self._chains(alias, name)
        if not target or chains is None:
            return None
        package, _, last = target.rpartition(".")
        bound = self.file.index.free_name(last)
        for chain in chains:
            self.replace(chain, cst.Name(bound))
        return f"from {self.file.origin(package)} import {taken_as(last, bound)}"

    def _chains(self, alias: cst.ImportAlias, name: str) -> list[cst.CSTNode] | None:
        """Where a file reads `a.b` of `import a.b`; None where it uses `a` for what no other import brings."""
        uses = list(filter(self._reads, self.file.index.named(name.partition(".")[0])))
        imports = self.file.index.of_type(cst.Import)
        others = {spelled(other.name) for node in imports for other in node.names if other is not alias}
        chains = [self._chain(use, name) for use in uses]
        bare = (use for use, chain in zip(uses, chains, strict=True) if chain is None)
        if not all(any(self._chain(use, other) for other in others) for use in bare):
            return None
        return list(filter(None, chains))

    def _reads(self, name: cst.CSTNode) -> bool:
        """Whether a node is a name that stands for a value, and is no part of another or of an import."""
        return isinstance(name, cst.Name) and not self.file.is_label(name) and not self.file.inside_import(name)

    def _chain(self, use: cst.CSTNode, name: str) -> cst.CSTNode | None:
        """The whole of `a.b.c` that begins at the name `a`; None where something else follows it."""
        node: cst.CSTNode | None = use
        for _ in range(name.count(".")):
            node = self.file.parent(node) if node is not None else None
        return node if isinstance(node, cst.Attribute) and dotted(node) == name else None


def _taken(alias: cst.ImportAlias) -> str:
    """A name of a from-import as it stands there, with what it is called."""
    return code(alias.with_changes(comma=cst.MaybeSentinel.DEFAULT))


def _smalls(line: cst.CSTNode) -> list[cst.CSTNode]:
    """What a line holds, to stand on a line with other statements."""
    return list(line.body) if isinstance(line, cst.SimpleStatementLine) else [line]


def _inside(target: str) -> str:
    """The dotted name of a file inside the emitted package."""
    name = target.removesuffix(".py").replace("/", ".")
    return "" if name == "__init__" else name.removesuffix(".__init__")
