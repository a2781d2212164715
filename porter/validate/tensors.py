"""The tensors that the processes of a case left, as numpy arrays: the parent process needs no torch."""

from __future__ import annotations

from pathlib import Path

from safetensors.numpy import load_file

from porter.validate.compare import Array, Arrays
from porter.validate.job import Told


def read_groups(path: Path, told: Told) -> dict[str, Arrays]:
    """Tensors by group, in the order in which they were saved."""
    tensors = load_file(path)
    result: dict[str, dict[str, Array]] = {}
    for key in told.dtypes or tensors:
        group, _, name = key.partition("/")
        result.setdefault(group, {})[name] = tensors[key]
    return dict(result)
