"""What of a training config matters to buckets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import PortError
from ..inputs.regular import read_regular

UPSTREAM = (32, *range(300, 2000, 100))  # boundaries in upstream's trainer, in frames; the lowest one is exclusive
UPSTREAM_LATER = (32, *range(300, 1100, 100))  # in its trainers of v3 and v4
LATER = ("v3", "v4")


@dataclass(frozen=True)
class Model:
    """Sizes as upstream's configs/s2.json has them, unless a config says otherwise."""

    sampling_rate: int = 32000
    hop_length: int = 640
    filter_length: int = 2048
    segment_size: int = 20480
    batch_size: int = 32
    version: str | None = None

    @property
    def boundaries(self) -> tuple[int, ...]:
        """Those of upstream's trainer."""
        return UPSTREAM_LATER if self.version in LATER else UPSTREAM


_PARTS = {
    "sampling_rate": "data",
    "hop_length": "data",
    "filter_length": "data",
    "segment_size": "train",
    "batch_size": "train",
}


def read_model(path: Path | None) -> Model:
    """Read a training config; PortError where it cannot be read or lacks something."""
    if path is None:
        return Model()
    try:
        config = json.loads(read_regular(path))
    except OSError as error:
        raise PortError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise PortError(f"{path} is not JSON: {error}") from None
    found = {key: _number(path, config, part, key) for key, part in _PARTS.items()}
    model = config.get("model")
    version = model.get("version") if isinstance(model, dict) else None
    return Model(**found, version=version if isinstance(version, str) else None)


def _number(path: Path, config: Any, part: str, key: str) -> int:
    section = config.get(part) if isinstance(config, dict) else None
    value = section.get(key) if isinstance(section, dict) else None
    if type(value) is not int or value < 1:
        raise PortError(f"{path} has no whole number {part}.{key}")
    return value
