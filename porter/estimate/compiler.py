"""Asking the TPU compiler: each graph in a process of its own with a time limit, and what it said is kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import porter
from porter.errors import PortError
from porter.estimate.chips import Chip
from porter.estimate.compiling import REPORT, compile_only
from porter.estimate.outcome import Compiled, Said
from porter.estimate.pair import PACKAGES, installed
from porter.inputs.upstream.cache import cache_root
from porter.package.store import write_file
from porter.validate.children import last_words

_INSTALL = 'pip install "sovits-port[xla,aot]"'
_ARGUMENTS = "LIBTPU_INIT_ARGS"  # flags of the user's for the compiler
_LAYOUT = 3  # of what is kept


class Compiler(Protocol):
    """Whoever says what becomes of a graph on a chip."""

    def compile(self, graph: bytes, chip: Chip) -> Said:
        """The verdict, figures included."""


def check_compiler() -> dict[str, str]:
    """Versions of the packages that hold the compiler. PortError says what to install."""
    versions = installed()
    missing = [name for name in PACKAGES if name not in versions]
    if missing:
        raise PortError(f"estimate needs {' and '.join(missing)}, not installed here; {_INSTALL}")
    return versions


@dataclass(frozen=True)
class LibTpu:
    """libtpu, compile-only."""

    timeout: float  # seconds for each graph

    def compile(self, graph: bytes, chip: Chip) -> Said:
        """Compile in a process of its own: a crash or a hang is the verdict of this graph alone."""
        with tempfile.TemporaryDirectory(prefix="sovits-port-") as temporary:
            folder = Path(temporary).resolve()
            path = folder / "graph.bc"
            path.write_bytes(graph)
            command = ["-P", "-m", "porter.estimate.compiling", str(folder), str(path), chip.name]
            return self.run([sys.executable, *command], folder, chip)

    def run(self, command: list[str], folder: Path, chip: Chip) -> Said:
        """Run a process that writes its report to `folder`."""
        log = folder / "log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command,
                env=_environment(),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        try:
            status = process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            return Said("timeout", error=f"not compiled after {self.timeout:.0f} s (--timeout)")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        report = folder / REPORT
        if status != 0 or not report.is_file():
            return Said("error", error=last_words(status, log))
        return _read(json.loads(report.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Remembering:
    """A compiler that is asked once: what it says is kept by the hash of the graph."""

    compiler: Compiler
    folder: Path
    versions: Mapping[str, str]  # of what has a say in the verdict
    fresh: bool = False  # forget what was said in earlier runs

    def compile(self, graph: bytes, chip: Chip) -> Said:
        """What was said of this graph earlier, else what the compiler says now."""
        path = self.folder / f"{self._key(graph, chip)}.json"
        kept = None if self.fresh else _kept(path)
        if kept is not None:
            return kept
        said = self.compiler.compile(graph, chip)
        if said.lasting:
            write_file(path, json.dumps(_told(said)).encode())
        return said

    def _key(self, graph: bytes, chip: Chip) -> str:
        about = [_LAYOUT, chip.topology, sorted(self.versions.items()), os.environ.get(_ARGUMENTS, "")]
        return hashlib.sha256(json.dumps(about).encode() + b"\0" + graph).hexdigest()


def kept_verdicts() -> Path:
    """The folder of what the compiler said in earlier runs."""
    return cache_root() / "estimates"


def _environment() -> dict[str, str]:
    home = str(Path(porter.__file__).parent.parent)
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**compile_only().environment(), "PYTHONPATH": path}


def _told(said: Said) -> dict[str, object]:
    if said.compiled is not None:
        return asdict(said.compiled)
    return {"error": said.error, "needs": said.needs}


def _read(told: Mapping[str, object], cached: bool = False) -> Said:
    if "error" not in told:
        return Said("compiles", Compiled(**told), cached=cached)  # type: ignore[arg-type]
    error, needs = str(told["error"]), told.get("needs")
    if isinstance(needs, int):
        return Said("too large", needs=needs, error=error, cached=cached)
    return Said("error", error=error, cached=cached)


def _kept(path: Path) -> Said | None:
    """What is kept at `path`; None where that is nothing, or nothing that can be read."""
    try:
        said = _read(json.loads(path.read_bytes()), cached=True)
    except (OSError, ValueError, TypeError):
        return None
    return said if said.lasting else None
