"""Other frameworks than PyTorch, and which one a file is written for."""

from __future__ import annotations

import ast
from collections import Counter

OTHERS = {
    "flax": "Flax", "haiku": "Haiku", "jax": "JAX", "keras": "Keras", "mindspore": "MindSpore", "mlx": "MLX",
    "oneflow": "OneFlow", "paddle": "PaddlePaddle", "tensorflow": "TensorFlow", "tinygrad": "tinygrad",
}  # fmt: skip


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
