"""Upstream's trainers: files that train the networks of the main folder, wherever they lie."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...errors import PortError
from ...syntax.text import decode
from .facts import read_facts
from .resolve import resolve
from .root import PREFERRED, torch_files

if TYPE_CHECKING:
    from .tree import Tree

_LEARNS = re.compile(rb"\.(?:manual_)?backward[ \t]*\(")


def trainer_files(tree: Tree) -> tuple[str, ...]:
    """Files outside the main folder (in a flat one, anywhere) that import from it and compute gradients.

    Of GPT-SoVITS itself they are looked for around its folder `module`, else in the whole tree.
    """
    layout = tree.layout
    around = torch_files(tree.snapshot, layout.prefix if layout.root == PREFERRED else "")
    learning = {path: content for path, content in around.items() if _LEARNS.search(content)}
    return tuple(
        path
        for path, content in learning.items()
        if (layout.flat or not tree.inside(path)) and _reads_main(path, content, tree)
    )


def _reads_main(path: str, content: bytes, tree: Tree) -> bool:
    """Whether a file imports one of the main folder."""
    try:
        imports = read_facts(path, decode(path, content)[0]).imports
        meanings = [resolve(path, statement, tree, tree.facts) for statement in imports]
    except PortError:
        return False
    return any(tree.inside(module.file) for meaning in meanings if meaning is not None for module in meaning.modules)
