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
    packages = _packages(tree)
    bases = (base for statement in tree.body if isinstance(statement, ast.ClassDef) for base in statement.bases)
    counts = Counter(packages.get(_first_name(base), "") for base in bases)
    theirs = {name: count for name, count in counts.items() if name in OTHERS}
    if not theirs or counts["torch"] >= max(theirs.values()):
        return ""
    return max(sorted(theirs), key=theirs.__getitem__)


def _packages(tree: ast.Module) -> dict[str, str]:
    """The names that imports bind, each with the package that it comes from."""
    packages: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                firsts = [(alias, alias.name.partition(".")[0]) for alias in aliases]
                packages.update((alias.asname or first, first) for alias, first in firsts)
            case ast.ImportFrom(module=str(module), names=aliases, level=0) if module:
                packages.update((alias.asname or alias.name, module.partition(".")[0]) for alias in aliases)
    return packages


def _first_name(base: ast.expr) -> str:
    return next((part.id for part in ast.walk(base) if isinstance(part, ast.Name)), "")
