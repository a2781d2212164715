"""Write porter/hazards/scan/number_parameters.json: which of torch's parameters take Python numbers only.

Read from the stubs of the torch that is installed: `python -m tools.number_parameters`. A tensor given for such a
parameter is read by the host, and its value becomes part of the graph.
"""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

PLACE = Path(__file__).parent.parent / "porter" / "hazards" / "scan" / "number_parameters.json"
_WHOLE = re.compile(r"\b(_?int|SymInt|_size|Size|BroadcastingList\d)\b")
_NUMBER = re.compile(r"\b(_?float|Number|_complex|complex)\b")
_TENSOR = re.compile(r"\b(Tensor|Any|object)\b")
_OTHER = re.compile(r"\b(str|_dtype|_bool|bool|_device|Device|DeviceLikeType|slice)\b")
# Later ones say more of what several declare.
_SOURCES = (
    ("torch", "_C/_VariableFunctions.pyi", None),
    ("torch", "functional.py", None),
    ("torch.nn.functional", "_C/_nn.pyi", None),
    ("torch.nn.functional", "nn/functional.pyi", None),
    ("torch.nn.functional", "nn/functional.py", None),
    ("torch.Tensor", "_C/__init__.pyi", "TensorBase"),
)


@dataclass(frozen=True)
class _Given:
    """One parameter of one overload; `place` is None where only a keyword gives it."""

    name: str
    place: int | None
    annotation: str
    rest: bool = False


def main() -> None:
    """Write the data."""
    torch = Path(next(iter(find_spec("torch").submodule_search_locations)))  # type: ignore[union-attr, arg-type]
    found: dict[str, str] = {}
    for prefix, name_of_file, owner in _SOURCES:
        tree = ast.parse((torch / name_of_file).read_text(encoding="utf-8"))
        overloads = defaultdict(list)
        for function in _functions(tree, owner):
            overloads[function.name].append(list(_parameters(function, owner is not None)))
        for name, ways in overloads.items():
            text = " ".join(_numbers(ways))
            if text and not name.startswith("_"):
                found[f"{prefix}.{name}"] = text
    PLACE.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{PLACE}: {len(found)} functions")


def _functions(tree: ast.Module, owner: str | None) -> Iterator[ast.FunctionDef]:
    body = tree.body
    if owner is not None:
        body = next(n.body for n in body if isinstance(n, ast.ClassDef) and n.name == owner)
    return (n for n in body if isinstance(n, ast.FunctionDef))


def _parameters(function: ast.FunctionDef, method: bool) -> Iterator[_Given]:
    arguments = function.args
    placed = [*arguments.posonlyargs, *arguments.args][int(method) :]
    for i, argument in enumerate(placed):
        yield _Given(argument.arg, i, _text(argument))
    if arguments.vararg is not None:
        yield _Given(arguments.vararg.arg, len(placed), _text(arguments.vararg), rest=True)
    for argument in arguments.kwonlyargs:
        yield _Given(argument.arg, None, _text(argument))


def _text(argument: ast.arg) -> str:
    return "" if argument.annotation is None else ast.unparse(argument.annotation)


def _numbers(ways: list[list[_Given]]) -> Iterator[str]:
    """`shifts:1`, `size:0*` for all from there on, `alpha:` by keyword only, `~` before what is no whole number."""
    names = dict.fromkeys(p.name for way in ways for p in way)
    for name in names:
        same = [p for way in ways for p in way if p.name == name]
        places = {p.place for p in same if p.place is not None}
        beside = [p for way in ways for p in way if p.place in places]
        if all(_is_number(p.annotation) for p in same) and not any(_TENSOR.search(p.annotation) for p in beside):
            yield _told(name, same, min(places, default=""))


def _told(name: str, same: list[_Given], place: int | str) -> str:
    """One parameter; `same` is what each overload says of it."""
    whole = any(_WHOLE.search(p.annotation) for p in same)
    rest = any(p.rest for p in same)
    return f"{'' if whole else '~'}{name}:{place}{'*' if rest else ''}"


def _is_number(annotation: str) -> bool:
    known = _WHOLE.search(annotation) or _NUMBER.search(annotation)
    return known is not None and _OTHER.search(annotation) is None and _TENSOR.search(annotation) is None


if __name__ == "__main__":
    main()
