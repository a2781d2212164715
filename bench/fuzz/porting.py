"""Ports many programs at once, in this process, and imports them as written and as ported."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

from porter.errors import PortError
from porter.generate import Settings, build
from porter.inputs.upstream.snapshot import Snapshot

from .programs import Program


class Memory(Snapshot):
    """A tree of files that is nowhere on disk."""

    spec = "fuzz"
    revision = ""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """Texts by path."""
        self._texts = dict(sorted(texts.items()))

    def files(self, folder: str = "") -> tuple[str, ...]:
        """All paths below a folder."""
        return tuple(path for path in self._texts if not folder or path.startswith(f"{folder}/"))

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Contents of these files; PortError for one that there is none of."""
        try:
            return {path: self._texts[path].encode() for path in paths}
        except KeyError as error:
            raise PortError(f"there is no {error}") from error


@dataclass(frozen=True)
class Ported:
    """A program as imported on both sides; an error in its place where a side cannot be imported."""

    program: Program
    upstream: ModuleType | Exception
    port: ModuleType | Exception
    rules: Mapping[str, str] = field(default_factory=dict)  # the rules that touched it, and their safety
    residual: bool = False  # whether `check` lists a line of it
    emitted: str = ""  # the lines it became


class Workplace:
    """A folder of packages that are imported one after the other, the runtime of the port once for all."""

    def __init__(self, folder: Path, rules: Sequence[Path] = ()) -> None:
        """`rules`: folders of further rules."""
        self._folder, self._settings = folder, Settings(rules=tuple(rules))
        self._batches = 0

    def port(self, programs: Sequence[Program], without: Sequence[str] = ()) -> list[Ported]:
        """All programs, ported as the files of one package, without some rules. PortError for what is no Python."""
        batch = f"batch{self._batches}"
        self._batches += 1
        texts, spans = _lay_out(programs, batch)
        built = build(Memory(texts), replace(self._settings, ignore=tuple(without)))
        self._write({**{path: text.encode() for path, text in texts.items()}, **built.base.generated})
        rules: dict[str, dict[str, str]] = defaultdict(dict)
        emitted: dict[str, list[str]] = defaultdict(list)
        for edit in built.rewrites.edits:
            for name in _owners(spans, edit.file, edit.span.line):
                rules[name][edit.rule] = edit.safety
        for path, rewritten in built.rewrites.files.items():
            if path.endswith("_commons.py"):
                continue
            for name, prefix in (
                (p.name, f"p{p.name.rpartition(':')[2]}_") for p in programs if spans[p.name][0] == path
            ):
                emitted[name] += _lines_of(rewritten.text, prefix)
        residual = {
            name
            for hazard in built.manifest["hazards"]["list"]
            if hazard["status"] == "residual"
            for name in _owners(spans, hazard["file"], hazard["line"])
        }
        return [
            Ported(
                program,
                _import(f"module.{_stem(spans[program.name][0])}"),
                _import(f"module.tpu.{_stem(spans[program.name][0])}"),
                dict(sorted(rules[program.name].items())),
                program.name in residual,
                "\n".join(emitted[program.name]),
            )
            for program in programs
        ]

    def _write(self, contents: Mapping[str, bytes]) -> None:
        for path, content in contents.items():
            target = self._folder / path
            if path.startswith("module/tpu/") and target.exists() and "batch" not in path:
                continue  # the runtime is the same each time
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        importlib.invalidate_caches()


@contextmanager
def workplace(folder: Path, rules: Sequence[Path] = ()) -> Iterator[Workplace]:
    """A place for packages below `folder`; what they are is forgotten at the end."""
    sys.path.insert(0, str(folder))
    _forget()
    try:
        yield Workplace(folder, rules)
    finally:
        sys.path.remove(str(folder))
        _forget()


def _forget() -> None:
    for name in [n for n in sys.modules if n == "module" or n.startswith("module.")]:
        del sys.modules[name]


def _lay_out(programs: Sequence[Program], batch: str) -> tuple[dict[str, str], dict[str, tuple[str, int, int]]]:
    """The files of a package, one for each way of importing, and where in them each program stands."""
    commons = f"{batch}_commons"
    shared = ["import torch\n"]
    by_style: dict[str, list[str]] = {}
    spans: dict[str, tuple[str, int, int]] = {}
    for program in programs:
        path = f"module/{batch}_{program.style.name}.py"
        parts = by_style.setdefault(path, [program.style.header])
        start = sum(part.count("\n") for part in parts) + 1
        parts.append("\n\n" + program.source.replace("COMMONS", commons).rstrip("\n") + "\n")
        spans[program.name] = (path, start, sum(part.count("\n") for part in parts))
        if program.shared:
            shared.append("\n\n" + program.shared.rstrip("\n") + "\n")
    texts = {path: "".join(parts) for path, parts in by_style.items()}
    texts[f"module/{commons}.py"] = "".join(shared)
    return texts, spans


def _owners(spans: Mapping[str, tuple[str, int, int]], path: str, line: int) -> list[str]:
    return [name for name, (file, start, end) in spans.items() if file == path and start <= line <= end]


def _lines_of(text: str, prefix: str) -> list[str]:
    """The top-level definitions of a file whose names begin with a prefix."""
    found: list[str] = []
    block: list[str] = []
    for line in [*text.splitlines(), "x"]:
        starts = line[:1] not in ("", " ", ")", "#", "]", "}") and not (block and block[-1].startswith("@"))
        if starts:
            if any(prefix in b for b in block):
                found += [b for b in block if b.strip()]
            block = []
        block.append(line)
    return found


def _stem(path: str) -> str:
    return Path(path).stem


def _import(name: str) -> ModuleType | Exception:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception as error:
        return error
