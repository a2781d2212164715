"""The port is a package of its own, next to the one it was made from."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.rule import Example, Rule, Safety
from porter.syntax.walk import code, dotted


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
            before="import os, helpers\n\n\ndef f(x):\n    return helpers.double(x), os.name\n",
            after="import os\nfrom . import helpers\n\n\ndef f(x):\n    return helpers.double(x), os.name\n",
            path="train_net.py",
            others={"helpers.py": "def double(x):\n    return x * 2\n"},
        ),
        Example(
            before="from helpers import double\n\n\ndef f(x):\n    return double(x)\n",
            after="from .helpers import double\n\n\ndef f(x):\n    return double(x)\n",
            path="train_net.py",
            others={"helpers.py": "def double(x):\n    return x * 2\n"},
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
        "import utils\n",
    )

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        module = self.file.imported_module(node)
        here = self.file.project.module(module)
        if isinstance(node.names, cst.ImportStar):
            if here is not None and not node.relative:
                new = cst.parse_statement(f"from {self.file.origin(_inside(here.target))} import *")
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
        moved = {alias: line for alias in node.names if (line := self._relative(alias)) is not None}
        if not moved:
            return
        lines: list[str] = []
        kept = [code(alias.with_changes(comma=cst.MaybeSentinel.DEFAULT)) for alias in node.names if alias not in moved]
        if kept:
            lines.append(f"import {', '.join(kept)}")
        new = [cst.parse_statement(line) for line in (*lines, *moved.values())]
        alone = self.file.alone(node)
        self.replace(alone or node, new if alone else [small for line in new for small in _smalls(line)])

    def _relative(self, alias: cst.ImportAlias) -> str | None:
        """The from-import that binds the same name to the port's own file; None where it is not one of the port's."""
        name = dotted(alias.name) or ""
        found = self.file.project.module(name)
        if found is None:
            return None
        if alias.asname is not None:
            bound = alias.asname.name.value if isinstance(alias.asname.name, cst.Name) else None
        else:  # `import module.commons` binds `module`, which stays upstream's; a file of its own name is on the path
            bound = name if found.path.endswith(f"/{name}.py") or found.path == f"{name}.py" else None
        if bound is None:
            return None
        package, _, last = _inside(found.target).rpartition(".")
        line = f"from {self.file.origin(package)} import {last}"
        return line if last == bound else f"{line} as {bound}"


def _smalls(line: cst.CSTNode) -> list[cst.CSTNode]:
    """What a line holds, to stand on a line with other statements."""
    return list(line.body) if isinstance(line, cst.SimpleStatementLine) else [line]


def _inside(target: str) -> str:
    """The dotted name of a file inside the emitted package."""
    name = target.removesuffix(".py").replace("/", ".")
    return "" if name == "__init__" else name.removesuffix(".__init__")
