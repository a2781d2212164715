"""What `port.json` tells the judge: which upstream was ported, and which rule made which lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porter.errors import PortError
from porter.inputs.regular import read_regular
from porter.inputs.upstream import Snapshot
from porter.inputs.upstream.revision import short
from porter.package.manifest import is_inside
from porter.package.store.place import MANIFEST, TOOL


@dataclass(frozen=True)
class Edit:
    """One recorded edit: these lines of `target` came from `line` of upstream's `file`."""

    rule: str
    file: str
    line: int
    target: str
    target_line: int
    target_end_line: int
    reason: str


@dataclass(frozen=True)
class Manifest:
    """The part of `port.json` that the judge reads; `root` is the folder that holds it and `module/`."""

    root: Path
    spec: str
    revision: str
    edits: tuple[Edit, ...]
    inputs: Mapping[str, str]  # path of upstream → SHA-256 of its bytes, where the manifest tells
    select: tuple[str, ...] = ()  # codes that generate was told to select
    ignore: tuple[str, ...] = ()
    rulebook: str = ""  # hashes of the rules and of the engine, where the manifest tells
    engine: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)  # generated file → SHA-256, where the manifest tells
    sources: tuple[str, ...] = ()  # main folders that generate was told

    @property
    def package(self) -> Path:
        """The folder of the emitted package."""
        return self.root / "module" / "tpu"

    def edited_by_hand(self) -> tuple[str, ...]:
        """Files inside the package, as it is now, that are not as they were generated."""
        prefix = "module/tpu/"
        found = []
        for name, expected in self.outputs.items():
            path = self.root / name
            own = name.startswith(prefix) and is_inside(name) and path.is_file()
            if own and hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                found.append(name.removeprefix(prefix))
        return tuple(sorted(found))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the package at `folder`. PortError when there is none, or none of this tool."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise PortError(f"{folder} is not a directory; give the one that generate wrote to")
    if not path.is_file():
        raise PortError(f"{folder} has no {MANIFEST}; run generate first, or give the directory it wrote to")
    try:
        told = json.loads(read_regular(path, folder))
        if told["tool"] != TOOL:
            raise KeyError("tool")
        edits = tuple(_edit(entry) for entry in told["edits"])
        upstream = told["upstream"]
        options = told.get("options", {})
        manifest = Manifest(
            folder.resolve(),
            str(upstream["spec"]),
            str(upstream["revision"]),
            edits,
            _inputs(told),
            tuple(map(str, options.get("select", ()))),
            tuple(map(str, options.get("ignore", ()))),
            str(told.get("rulebook", "")),
            str(told.get("engine", "")),
            _outputs(told),
            tuple(map(str, options.get("sources", ()))),
        )
    except OSError as error:
        raise PortError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise PortError(f"{path} is not a manifest that this version of {TOOL} understands") from error
    if not manifest.package.is_dir():
        raise PortError(f"{folder} has {MANIFEST} but no module/tpu beside it; run generate again")
    return manifest


def check_same_upstream(manifest: Manifest, snapshot: Snapshot) -> None:
    """PortError unless the package was made from these very sources."""
    made = f"{manifest.spec} ({short(manifest.revision)})" if manifest.revision else manifest.spec
    if manifest.inputs:
        from porter.inputs.sources import digest

        held = set(snapshot.files(_common_folder(manifest.inputs)))
        for path, expected in manifest.inputs.items():
            if path not in held or digest(snapshot.read(path)) != expected:
                differs = f"{path} of {snapshot.spec} is not the same"
                raise PortError(f"the package was made from {made}, and {differs}; run generate again")
    elif manifest.revision != snapshot.revision or (not manifest.revision and manifest.spec != snapshot.spec):
        raise PortError(f"the package was made from {made}, not from {snapshot.spec}; run generate again")


def _edit(entry: Mapping[str, Any]) -> Edit:
    first, target = int(entry["target_line"]), str(entry["target"])
    if not is_inside(target):
        raise ValueError(target)
    return Edit(
        str(entry["rule"]),
        str(entry["file"]),
        int(entry["line"]),
        target,
        first,
        int(entry.get("target_end_line") or first),
        str(entry.get("reason", "")),
    )


def _inputs(told: Mapping[str, Any]) -> dict[str, str]:
    """Hashes of upstream's files by path; {} where the manifest tells none."""
    files = told["files"].values() if isinstance(told["files"], dict) else ()
    return {
        str(entry["upstream"]): str(entry["input_sha256"])
        for entry in files
        if entry.get("upstream") and entry.get("input_sha256")
    }


def _outputs(told: Mapping[str, Any]) -> dict[str, str]:
    """Hashes of the generated files by path; {} where the manifest tells none."""
    files = told["files"].items() if isinstance(told["files"], dict) else ()
    return {str(name): str(entry["sha256"]) for name, entry in files if entry.get("sha256")}


def _common_folder(paths: Mapping[str, str]) -> str:
    tops = {path.partition("/")[0] if "/" in path else "" for path in paths}
    return tops.pop() if len(tops) == 1 else ""
