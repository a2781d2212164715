"""The text of from-imports."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import libcst as cst


def taken_as(name: str, bound: str) -> str:
    """A name in an import statement, and what it is called there."""
    return name if bound == name else f"{name} as {bound}"


def from_imports(moved: Mapping[cst.ImportAlias, str], origin: Callable[[str], str]) -> list[str]:
    """From-imports of names, given as `module.name`, one for each module; `origin` tells how a module is written."""
    groups: dict[str, list[str]] = {}
    for alias, target in moved.items():
        module, _, name = target.rpartition(".")
        groups.setdefault(module, []).append(taken_as(name, alias.evaluated_alias or alias.evaluated_name))
    return [f"from {origin(module)} import {', '.join(names)}" for module, names in groups.items()]
