"""What this machine has of what the tool and its packages use; nothing heavy is imported to find out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from ..errors import PortError
from ..estimate.pair import PACKAGES, described, installed, named_by_torch_xla, to_install
from ..package.store import PACKAGE
from ..runtime.chips import tpu_chips
from .installed import absent, install

if TYPE_CHECKING:
    from ..package.manifest import NeedsRecord

State = Literal["ok", "missing", "mismatch", "optional"]

_PYTHONS = ((3, 11), (3, 13))
_TORCH = ((2, 5), (2, 9))  # releases whose interfaces the runtime knows
_LITTLE_DISK = 1 << 30  # bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    advice: str = ""  # what to type, "" where nothing has to be done

    @property
    def fine(self) -> bool:
        """Whether it is there, or need not be."""
        return self.state in ("ok", "optional")


def diagnose(out: Path) -> list[Finding]:
    """Look at everything; `out` is where a generated package may lie."""
    return [_python(), *_torch(), *_compiler(), _git(), _cache(), *_needs(out)]


def _python() -> Finding:
    found = sys.version_info[:2]
    shown = ".".join(map(str, sys.version_info[:3]))
    if _PYTHONS[0] <= found <= _PYTHONS[1]:
        return Finding("Python", "ok", shown)
    return Finding("Python", "mismatch", shown, "use Python 3.11, 3.12 or 3.13")


def _torch() -> list[Finding]:
    torch, xla = _version("torch"), _version("torch_xla")
    advice = "pip install 'sovits-port[xla]'"
    findings = [
        Finding(name, "ok" if version else "missing", version or "not installed", "" if version else advice)
        for name, version in (("torch", torch), ("torch_xla", xla))
    ]
    if torch and xla:
        findings.append(_pair(torch, xla, advice))
    return findings


def _pair(torch: str, xla: str, advice: str) -> Finding:
    first, second = _minor(torch), _minor(xla)
    shown = f"{torch} with {xla}"
    if first != second:
        return Finding("torch pair", "mismatch", f"{shown}: both have to be of one release", advice)
    if first is None or not _TORCH[0] <= first <= _TORCH[1]:
        return Finding("torch pair", "mismatch", f"{shown}: known are 2.5 to 2.9", advice)
    return Finding("torch pair", "ok", shown)


def _compiler() -> list[Finding]:
    xla, there = _version("torch_xla"), tpu_chips() > 0
    here = installed()
    versions = {name: here.get(name, "") for name in PACKAGES}
    advice = to_install(xla) if xla and there else "pip install 'sovits-port[aot]'"
    findings = [_package(name, version, there, advice) for name, version in versions.items()]
    named = named_by_torch_xla()
    if not all(versions.values()) or not named:
        return findings
    shown, words = described(versions), f"torch_xla {xla} names"
    if all(versions[name] == version for name, version in named.items()):
        return [*findings, Finding("TPU packages", "ok", f"{shown}: what {words} for a TPU machine")]
    told = f"{shown}, where {words} {described(named)} for a TPU machine"
    return [*findings, Finding("TPU packages", "mismatch" if there else "optional", told, advice)]


def _package(name: str, version: str, there: bool, advice: str) -> Finding:
    """A package of the TPU's, on a machine with a TPU where one is `there`."""
    if version:
        return Finding(name, "ok", version)
    lost = "the TPU" if name == "libtpu" else "kernels on the TPU"
    why = f"{lost} cannot be had" if there else "only `estimate` needs it"
    return Finding(name, "missing" if there else "optional", f"not installed; {why}", advice)


def _git() -> Finding:
    place = shutil.which("git")
    if place is None:
        return Finding("git", "missing", "not found; upstreams in git cannot be read", "install git")
    try:
        told = subprocess.run(
            [place, "--version"], capture_output=True, text=True, errors="replace", timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("git", "missing", f"{place} does not run: {error}", "install git")
    return Finding("git", "ok", told.stdout.strip().removeprefix("git version ") or place)


def _cache() -> Finding:
    from ..inputs.upstream.cache import cache_root

    folder = cache_root()
    there = next(p for p in (folder, *folder.parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        found = f"{folder} cannot be written"
        return Finding("cache", "missing", found, "set SOVITS_PORT_CACHE to a folder of yours")
    free = shutil.disk_usage(there).free
    found = f"{folder}, {free / (1 << 30):.1f} GiB free"
    if free < _LITTLE_DISK:
        return Finding("cache", "missing", found, "free some disk, or set SOVITS_PORT_CACHE to a roomier folder")
    return Finding("cache", "ok", found)


def _needs(out: Path) -> list[Finding]:
    """The packages that the generated package imports."""
    from ..package.manifest import read

    try:
        manifest = read(out)
    except PortError as error:
        return [Finding(str(out), "mismatch", str(error), "sovits-port generate UPSTREAM")]
    if manifest is None:
        return [Finding(str(out), "optional", "no package generated here yet", "sovits-port generate UPSTREAM")]
    needs = manifest["needs"]
    findings = [Finding("its imports", "ok", f"all that {_shown(out)} needs is installed")]
    missing = absent(n for n in needs["third_party"] if n not in ("torch", "torch_xla"))
    if missing:
        findings = [Finding("its imports", "missing", f"{_shown(out)} needs {', '.join(missing)}", install(missing))]
    findings += _training(needs)
    return findings


def _shown(out: Path) -> str:
    return str(out / PACKAGE)


def _training(needs: NeedsRecord) -> list[Finding]:
    """What the trainers of a package take beside the networks."""
    findings = []
    for trainer, packages in needs["trainers"].items():
        name, lacking = PurePosixPath(trainer).name, absent(packages)
        if lacking:
            told = f"{name} does not start without {', '.join(lacking)}"
            findings.append(Finding("training", "optional", told, install(lacking)))
    later = absent(sorted({name for names in needs.get("later", {}).values() for name in names}))
    if later:
        told = f"trainers use {', '.join(later)} where it is installed, for pictures in their logs for example"
        findings.append(Finding("training", "optional", told, install(later)))
    if needs["trainers"]:
        place = shutil.which("ffmpeg")
        lost = "not found; only WAV files of one channel at the model's rate can be trained on, and not v3 and v4"
        findings.append(
            Finding("ffmpeg", "ok", place) if place else Finding("ffmpeg", "optional", lost, "install ffmpeg")
        )
    return findings


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _minor(version: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None
