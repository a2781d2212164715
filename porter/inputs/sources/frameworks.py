"""Sources that are written for another framework than PyTorch are refused."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...errors import PortError

if TYPE_CHECKING:
    from ..upstream.snapshot import Snapshot
    from .facts import Facts

OTHERS = {
    "flax": "Flax", "haiku": "Haiku", "jax": "JAX", "keras": "Keras", "mindspore": "MindSpore", "mlx": "MLX",
    "oneflow": "OneFlow", "paddle": "PaddlePaddle", "tensorflow": "TensorFlow", "tinygrad": "tinygrad",
}  # fmt: skip
_IMPORT = re.compile(rf"^[ \t]*(?:import|from)[ \t]+({'|'.join(OTHERS)})\b".encode(), re.MULTILINE)


def framework_of(tree: ast.Module) -> str:
    """The framework, by the name of its package, whose classes most classes of a file derive from; "" for PyTorch."""
    packages: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                packages[alias.asname or first] = first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                packages[alias.asname or alias.name] = node.module.partition(".")[0]
    counts: Counter[str] = Counter()
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            for base in statement.bases:
                first = next((part.id for part in ast.walk(base) if isinstance(part, ast.Name)), "")
                counts[packages.get(first, "")] += 1
    theirs = {name: count for name, count in counts.items() if name in OTHERS}
    if not theirs or counts["torch"] >= max(theirs.values()):
        return ""
    return max(sorted(theirs), key=theirs.__getitem__)


def refuse_foreign(spec: str, files: Iterable[Facts]) -> None:
    """PortError where most of these files' networks are another framework's."""
    defining = [facts for facts in files if facts.defines_network or facts.framework]
    theirs = Counter(facts.framework for facts in defining if facts.framework)
    if theirs and 2 * theirs.total() >= len(defining):
        raise _refusal(spec, theirs.most_common(1)[0][0])


def refuse_others(snapshot: Snapshot) -> None:
    """PortError where the tree imports another framework; it holds no PyTorch network then."""
    paths = [path for path in snapshot.files() if path.endswith(".py")]
    found = Counter(
        match[1].decode() for content in snapshot.read_many(paths).values() if (match := _IMPORT.search(content))
    )
    if found:
        raise _refusal(snapshot.spec, found.most_common(1)[0][0])


def _refusal(spec: str, package: str) -> PortError:
    return PortError(f"{spec} is written for {OTHERS[package]}, and only PyTorch sources can be ported")
