"""The port is a package of its own, next to the one it was made from."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.rule import Example, Rule, Safety
from porter.syntax.walk import dotted


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
            before="from module import helpers\nfrom module.helpers import double\nfrom text import symbols\n\n\ndef f(x):\n    return double(x) + helpers.double(x)\n",
            after="from . import helpers\nfrom .helpers import double\nfrom text import symbols\n\n\ndef f(x):\n    return double(x) + helpers.double(x)\n",
            others={"module/helpers.py": "def double(x):\n    return x * 2\n"},
        ),
        Example(
            before="import module.helpers as h\n\n\ndef f(x):\n    return h.double(x)\n",
            after="from . import helpers as h\n\n\ndef f(x):\n    return h.double(x)\n",
            others={"module/helpers.py": "def double(x):\n    return x * 2\n"},
        ),
    )
    untouched: ClassVar = (
        "from module import gone\n",
        "from .helpers import double\n",
        "import torch.nn as nn\n",
    )

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        module = self.file.imported_module(node)
        here = self.file.project.module(module)
        if isinstance(node.names, cst.ImportStar):
            if here is not None and not node.relative:
                new = cst.parse_statement(f"from {self.file.level}{_inside(here.target)} import *")
                self.replace(self.file.alone(node) or node, [new] if self.file.alone(node) else _smalls(new))
            return
        moved = {}
        for alias in node.names:
            name = dotted(alias.name) or ""
            inner = self.file.project.module(f"{module}.{name}")
            if inner is not None:
                moved[alias] = _inside(inner.target)
            elif here is not None:
                prefix = _inside(here.target)
                moved[alias] = f"{prefix}.{name}" if prefix else name
        if moved and not node.relative:
            self.file.redirect_import(self, node, moved)

    def visit_Import(self, node: cst.Import) -> None:
        if len(node.names) != 1 or node.names[0].asname is None:
            return
        found = self.file.project.module(dotted(node.names[0].name) or "")
        asname = node.names[0].asname.name
        if found is None or not isinstance(asname, cst.Name):
            return
        package, _, name = _inside(found.target).rpartition(".")
        line = f"from {self.file.level}{package} import {name}"
        new = cst.parse_statement(line if name == asname.value else f"{line} as {asname.value}")
        self.replace(self.file.alone(node) or node, [new] if self.file.alone(node) else _smalls(new))


def _smalls(line: cst.CSTNode) -> list[cst.CSTNode]:
    """What a line holds, to stand on a line with other statements."""
    return list(line.body) if isinstance(line, cst.SimpleStatementLine) else [line]


def _inside(target: str) -> str:
    """The dotted name of a file inside the emitted package."""
    name = target.removesuffix(".py").replace("/", ".")
    return "" if name == "__init__" else name.removesuffix(".__init__")
