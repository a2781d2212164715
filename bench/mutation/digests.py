"""Hashes of what a campaign's figures depend on: the package, and of the judge what runs and compares each case."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from porter import validate
from porter.validate import cases

_ENGINE = ("porter.validate.worker", "porter.validate.verdicts", "porter.validate.rounding")  # they run and compare
_ROOT = Path(*validate.__path__).parents[1]


def digest(package: Path) -> str:
    """A hash of a package's files."""
    return _hashed((path.relative_to(package).as_posix(), path) for path in sorted(package.rglob("*.py")))


def case_digest(name: str) -> str:
    """A hash of the judge's files that a case depends on: with other files it may reach and see something else."""
    return _family_digest(cases.family(name))


def cases_digest(names: Iterable[str]) -> str:
    """One hash for several cases."""
    told = "\0".join(f"{name}\0{case_digest(name)}" for name in sorted(names))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


@cache
def _family_digest(family: str) -> str:
    engine: set[str] = set()
    for module in _ENGINE:
        _add_imported(module, engine)
    _add_imported(f"{cases.__name__}.{family}", engine)
    return _hashed((module, _file(module)) for module in sorted(engine))


def _add_imported(module: str, found: set[str]) -> None:
    """Add a module and those of the judge's that it imports; which cases there are does not change what one does."""
    if module in found or module == cases.__name__:
        return
    found.add(module)
    for name in _imports(module):
        if name.startswith(f"{validate.__name__}.") and _file(name).is_file():
            _add_imported(name, found)


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Modules that a module imports, and names that may be such."""
    tree = ast.parse(_file(module).read_bytes())
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _file(module: str) -> Path:
    path = _ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _hashed(files: Iterable[tuple[str, Path]]) -> str:
    found = hashlib.sha256()
    for name, path in files:
        raw = path.read_bytes()
        found.update(f"{name}\0{len(raw)}\0".encode())
        found.update(raw)
    return found.hexdigest()[:16]
