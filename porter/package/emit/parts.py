"""The parts of a package that have no counterpart upstream, and what is known of each emitted file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import libcst as cst

if TYPE_CHECKING:
    from ...codemod.engine import Rewrites

RUNTIME = Path(__file__).parents[2] / "runtime"

# Import paths of the hand-made port, and the names of upstream's models.py that it had there.
_PATHS = {
    "discriminator.py": ("DiscriminatorP", "DiscriminatorS", "MultiPeriodDiscriminator"),
    "duration_predictor.py": ("DurationPredictor",),
    "stochastic_duration_predictor.py": ("StochasticDurationPredictor",),
    "text_encoder.py": ("TextEncoder",),
}


class Origin(Enum):
    """Where a file of the package comes from."""

    REWRITTEN = "rewritten"
    RUNTIME = "runtime"
    IMPORT_PATH = "import path"
    PACKAGE = "package"


@dataclass(frozen=True, slots=True)
class Emitted:
    """One file of the package: its bytes, and where its header stands."""

    content: bytes
    origin: Origin
    upstream: str | None  # the file that it mirrors
    header_at: int  # lines before the header
    header_lines: int

    def line(self, line: int) -> int:
        """The line of the emitted file for one of the text without a header."""
        return line + self.header_lines if line > self.header_at else line


def runtime_files() -> dict[str, str]:
    """The runtime that rewritten lines call, by its place in the package."""
    return {
        path.relative_to(RUNTIME).as_posix(): path.read_bytes().decode()
        for path in sorted(RUNTIME.rglob("*.py"))
        if path != RUNTIME / "__init__.py"
    }


def runtime_paths(runtime: str, places: Mapping[str, str]) -> dict[str, str]:
    """`utils` and `decoding` as every port has them, where the runtime stepped aside and upstream has no such file."""
    taken = {place.partition("/")[0].removesuffix(".py") for place in places}
    return {
        f"{name}.py": f"from .{runtime}.{name} import *  # noqa: F403\n"
        for name in ("utils", "decoding")
        if runtime and name not in taken
    }


def import_paths(rewrites: Rewrites, places: Mapping[str, str]) -> dict[str, str]:
    """Modules that re-export classes of upstream's models.py, where upstream has no such file itself."""
    path = places.get("models.py")
    if path is None:
        return {}
    defined = {s.name.value for s in rewrites.files[path].file.module.body if isinstance(s, cst.ClassDef)}
    taken = {place.partition("/")[0] for place in places}
    files: dict[str, str] = {}
    for target, names in _PATHS.items():
        here = [name for name in names if name in defined]
        if here and taken.isdisjoint((target, target[:-3])):
            listed = ", ".join(map('"{}"'.format, here))
            files[target] = f"from .models import {', '.join(here)}\n\n__all__ = [{listed}]\n"
    return files
