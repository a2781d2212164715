"""What the package at a place was made with on this machine: paths, which port.json does not hold.

They are kept in the user's folder for state, by the place of the package: the same sources give the same package
wherever they lie. Upstreams that are no folders are named by port.json itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from porter.errors import PortError
from porter.inputs.upstream.spec import is_path
from porter.package.store.single import write_file


@dataclass(frozen=True, slots=True)
class MadeWith:
    """What a person gave to generate a package."""

    upstream: str | None = None  # None where nothing tells
    rules: tuple[Path, ...] = ()
    decisions: Path | None = None  # None: beside port.json


def remember(root: Path, spec: str, made_with: MadeWith) -> None:
    """Keep what the package with port.json in `root` was made with; `spec` is upstream as port.json names it."""
    upstream = made_with.upstream
    told = {
        "spec": spec,
        "upstream": os.path.realpath(upstream) if upstream is not None and is_path(upstream) else upstream,
        "rules": [str(path.resolve()) for path in made_with.rules],
        "decisions": None if made_with.decisions is None else str(made_with.decisions.resolve()),
    }
    with contextlib.suppress(OSError, PortError):  # then people have to say it again
        place = _place(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_file(place, json.dumps(told).encode())


def remembered(root: Path, spec: str) -> MadeWith:
    """What the package with port.json in `root` was made with, as far as that is known here."""
    known = None if is_path(spec) else spec
    try:
        told = json.loads(_place(root).read_bytes())
        if told["spec"] != spec:
            return MadeWith(known)
        decisions = None if told["decisions"] is None else _near(told["decisions"])
        upstream = told["upstream"]
        if upstream is not None and is_path(upstream):
            upstream = str(_near(upstream))
        return MadeWith(upstream or known, tuple(_near(path) for path in told["rules"]), decisions)
    except (OSError, PortError, ValueError, RecursionError, KeyError, TypeError):
        return MadeWith(known)


def _place(root: Path) -> Path:
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()
    return platformdirs.user_state_path("sovits-port") / "packages" / f"{name}.json"


def _near(path: str) -> Path:
    """A path as it is shorter to read: from the working directory, where that is above it."""
    whole, here = Path(path), Path.cwd()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole
