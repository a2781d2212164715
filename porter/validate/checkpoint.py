"""Upstream's checkpoints: `weight` holds the tensors, beside a configuration that may be an object of upstream's."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from porter.errors import PortError
from porter.inputs.regular import read_regular

if TYPE_CHECKING:
    from torch import Tensor

_ZIP = b"PK"  # upstream writes the model's version over these first bytes
_TENSORS = ("weight", "model")  # of a finished model, and of one in training


class _Settings:
    """Stands in for upstream's class of settings, which does nothing but hold them."""


def converted(checkpoint: Path | None, folder: Path) -> tuple[str, str]:
    """A file in `folder` with the tensors of a checkpoint, and the checkpoint's SHA-256; two "" for none.

    PortError where it cannot be read, or is no checkpoint.
    """
    if checkpoint is None:
        return "", ""
    try:
        content = read_regular(checkpoint)
    except OSError as error:
        raise PortError(f"cannot read the checkpoint {checkpoint}: {error.strerror or error}") from error
    tensors = read_checkpoint(content, checkpoint.name)
    from porter.validate.exchange import save_tensors

    path = folder / "checkpoint.safetensors"
    save_tensors(tensors, path)
    return str(path), hashlib.sha256(content).hexdigest()


def check_fitted(checkpoint: Path | None, fitted: Iterable[int]) -> None:
    """PortError where a checkpoint was given and none of the cases took a tensor from it."""
    if checkpoint is not None and not any(fitted):
        raise PortError(f"no tensor of {checkpoint.name} fits a case that ran; its sizes are those of --preset full")


def read_checkpoint(content: bytes, name: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint, on the CPU. No code in it is run. PortError tells why where that is not enough."""
    import torch
    from torch.serialization import safe_globals

    stream = io.BytesIO(_ZIP + content[2:] if content[:2].isdigit() else content)
    try:
        with safe_globals([(_Settings, "utils.HParams")]):
            told = torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        needs = _needs(stream)
        why = f"it needs {needs}, which would run code from the file" if needs else "it is no checkpoint of PyTorch"
        raise PortError(f"{name} is not loaded, since {why}; save its tensors alone under `weight`") from error
    except (RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise PortError(f"{name} is no checkpoint of PyTorch, or was cut short") from error
    for key in _TENSORS:
        found = told.get(key) if isinstance(told, dict) else None
        if isinstance(found, dict):
            return {str(k): v for k, v in found.items() if isinstance(v, torch.Tensor)}
    raise PortError(f"{name} has no `weight`, where upstream's checkpoints keep their tensors")


def _needs(stream: io.BytesIO) -> str:
    """The classes and functions that loading would need and that are not known to be harmless."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    stream.seek(0)
    try:
        return ", ".join(sorted(n for n in get_unsafe_globals_in_checkpoint(stream) if n != "utils.HParams"))
    except Exception:  # the file is not even a pickle
        return ""
