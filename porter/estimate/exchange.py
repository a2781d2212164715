"""What the process that traces graphs is asked, and what it tells: `asked.json` and `graphs.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ASKED, TRACED = "asked.json", "graphs.json"


@dataclass(frozen=True)
class Sizes:
    """Shapes of one batch, as the buckets have padded it."""

    batch: int
    frames: int  # of the spectrogram
    phonemes: int

    def __str__(self) -> str:
        return f"batch {self.batch}, {self.frames} frames, {self.phonemes} phonemes"


@dataclass(frozen=True)
class Asked:
    """Which graphs of a case to trace."""

    sizes: Sizes
    chip: str  # that they are for: kernels depend on its memory; "" for the device that traces
    bf16: bool  # under autocast
    whole: bool  # the case itself
    parts: tuple[str, ...]  # patterns of submodules

    def save(self, folder: Path) -> None:
        """Write it where the process reads it."""
        (folder / ASKED).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Asked:
        """Read what `save` wrote."""
        told = json.loads((folder / ASKED).read_text(encoding="utf-8"))
        return Asked(Sizes(**told["sizes"]), told["chip"], told["bf16"], told["whole"], tuple(told["parts"]))


@dataclass(frozen=True)
class Traced:
    """One graph as it was traced."""

    part: str  # name of the submodule, "" for the whole case
    file: str  # of the bytecode, in the shared folder; "" where there is none
    trained: int = 0  # bytes of the parameters that have a gradient
    error: str = ""  # why there is no graph
    notes: tuple[str, ...] = ()  # which kernels it has to do without, and why
    fusions: tuple[tuple[str, str, str], ...] = ()  # path, kernel and reason of modules that one may stand for


def save_traced(graphs: list[Traced], folder: Path) -> None:
    """Write down what there is so far: the process may die on the next."""
    draft = folder / f"{TRACED}.new"
    draft.write_text(json.dumps([asdict(graph) for graph in graphs]), encoding="utf-8")
    draft.replace(folder / TRACED)


def load_traced(folder: Path) -> tuple[Traced, ...]:
    """What `save_traced` wrote last; none where it never did."""
    path = folder / TRACED
    if not path.is_file():
        return ()
    told: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    for graph in told:
        graph["notes"] = tuple(graph["notes"])
        graph["fusions"] = tuple(tuple(one) for one in graph["fusions"])
    return tuple(Traced(**graph) for graph in told)
