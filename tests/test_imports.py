"""The folders of the program are its architecture: imports go one way, in no circle, whatever they hide under."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOOSE = {"__init__", "__main__", "errors", "rule"}
# From the bottom to the top: a module may import what is in its own layer or in one below. A name stands for what lies
# in it, unless a longer one is listed too.
LAYERS = (
    ("", "errors"),  # the version
    ("torch_facts",),
    ("syntax",),
    ("inputs",),
    ("analysis",),
    ("codemod", "rule"),
    ("hazards",),
    ("package",),
    ("views.console", "views.html", "views.pager", "views.plain", "views.visible"),  # text and pages, of nothing
    ("changes.hunks", "changes.decisions", "changes.packages"),
    ("generate",),
    ("changes", "hazards.runs"),  # what they compare is generated, or as generated
    ("validate", "estimate", "codemod.examples.worker"),  # run or trace what they judge
    ("machine",),
    ("answers",),
    ("buckets", "changes.comparison.as_json", "estimate.as_json", "validate.as_json", "validate.bench.as_json"),
    ("views",),
    ("cli",),
    ("__main__",),
)
RANKS = {f"porter.{name}".rstrip("."): rank for rank, names in enumerate(LAYERS) for name in names}


def modules(root: Path, top: str) -> dict[str, Path]:
    """The modules in the folder `top` of `root`, by their full names."""
    names = {path: path.relative_to(root).with_suffix("").parts for path in (root / top).rglob("*.py")}
    return {".".join(parts).removesuffix(".__init__"): path for path, parts in names.items()}


def imported(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The `known` modules that one imports anywhere, in functions and under TYPE_CHECKING too, and their packages."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for full in _named(node, package):
            parts = full.split(".")
            for count in range(1, len(parts) + 1):
                one = ".".join(parts[:count])
                if one in known and not f"{name}.".startswith(f"{one}."):
                    yield one


def _named(node: ast.AST, package: str) -> Iterator[str]:
    """The full names that an import statement names: modules, and what may be one."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        above = parts[: len(parts) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def graph(part: str) -> dict[str, set[str]]:
    """Who imports whom, in the program but for what it emits ("tool"), or in that ("runtime")."""
    known = modules(ROOT, "porter")
    of_runtime = {name for name in known if f"{name}.".startswith("porter.runtime.")}
    known = {name: path for name, path in known.items() if (name in of_runtime) == (part == "runtime")}
    everything = modules(ROOT, "porter")
    return {name: set(imported(name, path, everything)) for name, path in known.items()}


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; [] where none do."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def rank(name: str) -> int:
    """The layer of a module, from the bottom."""
    while name not in RANKS:
        name = name.rpartition(".")[0]
    return RANKS[name]


def test_nothing_is_imported_in_a_circle() -> None:
    assert circle(graph("tool")) == []


def test_nothing_of_the_runtime_is_imported_in_a_circle() -> None:
    assert circle(graph("runtime")) == []


def test_imports_go_down() -> None:
    packages = {name for name, path in modules(ROOT, "porter").items() if path.name == "__init__.py"}
    empty = {
        name for name in packages & graph("tool").keys() if not graph("tool")[name]
    }  # of which nobody takes anything
    wrong = [
        f"{name} imports {other}"
        for name, others in graph("tool").items()
        for other in others
        if not other.startswith("porter.runtime") and other not in empty and rank(other) > rank(name)
    ]
    assert sorted(wrong) == []


def test_the_runtime_stands_alone() -> None:
    paths = modules(ROOT, "porter/runtime").values()
    named = [
        (path.name, name)
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _named(node, "")
    ]
    assert [one for one in named if one[1].partition(".")[0] == "porter"] == []
    assert {
        other for others in graph("runtime").values() for other in others if not other.startswith("porter.runtime")
    } == set()


def test_no_module_lies_about() -> None:
    assert {path.stem for path in (ROOT / "porter").glob("*.py")} == LOOSE


@pytest.mark.parametrize(
    "hidden",
    [
        "from .b import x\n",
        "def f():\n    from porter.b import x\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import b\n",
        "import porter.b.c\n",
    ],
)
def test_a_circle_is_seen_wherever_it_hides(tmp_path: Path, hidden: str) -> None:
    (tmp_path / "porter" / "b").mkdir(parents=True)
    (tmp_path / "porter" / "a.py").write_text(hidden)
    (tmp_path / "porter" / "b" / "__init__.py").write_text("from porter.a import y\n")
    (tmp_path / "porter" / "b" / "c.py").write_text("")
    known = modules(tmp_path, "porter")
    assert circle({name: set(imported(name, path, known)) for name, path in known.items()})
