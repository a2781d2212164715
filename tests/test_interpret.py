"""Arrays of integers against torch's tensors, and functions read against functions run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libcst as cst
import pytest
import torch
import torch.nn.functional as F

from porter.analysis.arrays import Array, ShapeError
from porter.analysis.interpret import Interpreter, UnsupportedError
from porter.analysis.project import Project

MOVES: dict[str, Callable[[Any], Any]] = {
    "x.reshape(2, -1)": lambda x: x.reshape([2, -1]),
    "x.permute(2, 0, -2)": lambda x: x.permute([2, 0, -2]),
    "x.transpose(0, -1)": lambda x: x.transpose(0, -1),
    "x.unsqueeze(-1)": lambda x: x.unsqueeze(-1),
}


def array(x: torch.Tensor) -> Array:
    return Array(tuple(x.shape), tuple(x.flatten().tolist()))


def numbers(*shape: int) -> torch.Tensor:
    return torch.randint(-99, 99, shape)


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_arrays_move_as_tensors_do(move: Callable[[Any], Any]) -> None:
    x = numbers(2, 3, 4)
    assert move(array(x)) == array(move(x))


@pytest.mark.parametrize(
    "places", [(1,), (slice(1, None), None, -1), (..., slice(None, -1)), (slice(0, 9), slice(2, 1)), (0, ..., 2), ()]
)
def test_arrays_are_indexed_as_tensors_are(places: tuple[Any, ...]) -> None:
    x = numbers(2, 3, 4)
    assert array(x).index(places) == array(x[places])


@pytest.mark.parametrize("widths", [(1, 2), (0, 1, 2, 0), (0, 0, 0, 0, 1, 1)])
def test_arrays_are_padded_as_tensors_are(widths: tuple[int, ...]) -> None:
    x = numbers(2, 3, 4)
    assert array(x).pad(widths) == array(F.pad(x, widths))


@pytest.mark.parametrize(("left", "right"), [((3, 4), (4, 2)), ((2, 1, 3, 4), (5, 4, 2)), ((4, 3), (2, 3, 3))])
def test_arrays_are_multiplied_as_tensors_are(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    x, y = numbers(*left), numbers(*right)
    assert array(x).matmul(array(y)) == array(torch.matmul(x, y))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x.reshape([5]),
        lambda x: x.index([0, 0, 0, 0]),
        lambda x: x.index([7]),
        lambda x: x.pad([1]),
        lambda x: x.matmul(x),
        lambda x: x.permute([0, 0, 1]),
        lambda x: x.unsqueeze(5),
    ],
)
def test_shapes_that_do_not_fit_are_told(wrong: Callable[[Array], Array]) -> None:
    with pytest.raises(ShapeError):
        wrong(array(numbers(2, 3, 4)))


HELPERS = """
import torch
import torch.nn.functional as F

def flat(pairs):
    turned = pairs[::-1]
    return [n for pair in turned for n in pair]

def around(x, n, *, extra=1):
    '''More on all sides.'''
    more = max(n - 2, 0)
    if more > 0 and n != 3:
        x = F.pad(x, flat([[extra, 0], [0, more]]))
    elif n == 3:
        return x.T
    else:
        x, n = (x, n) if n else (x[..., None, :], *[n])
    return x

def impure(x, n):
    x += n
    return x
"""


def read(call: str, x: torch.Tensor, helpers: str = HELPERS) -> object:
    project = Project.parse({"module/a.py": ("a.py", f"{helpers}\n\nresult = {call}\n")})
    file = project.files["module/a.py"]
    line = file.module.body[-1]
    assert isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.Assign)
    return Interpreter(file).evaluate(line.body[0].value, {"x": array(x)})


@pytest.mark.parametrize("call", [f"around(x, {n})" for n in range(6)] + ["torch.matmul(around(x, extra=2, n=5), x)"])
def test_functions_are_read_as_python_runs_them(call: str) -> None:
    names: dict[str, Any] = {"x": numbers(3, 3)}
    exec(HELPERS, names)
    if "matmul" in call:
        names["x"] = numbers(5, 6)
        call = call.replace(", x)", ", around(x, 5).T)").replace("extra=2", "extra=1")
    assert read(call, names["x"]) == array(eval(call, names))


@pytest.mark.parametrize(
    "call",
    [
        "impure(x, 1)",
        "x.mul_(2)",
        "x * 2",
        "max(x)",
        "around(*x)",
        "around(x)",
        "flat(3)",
        "print(x)",
        "F.pad(x, (1, 1), 'reflect')",
        "F.pad(x, (1, 1), value=1)",
        "missing(x)",
        "2 ** 999999999",
        "x if x else 0",
    ],
)
def test_what_is_not_surely_known_is_not_evaluated(call: str) -> None:
    with pytest.raises(UnsupportedError):
        read(call, numbers(3, 3))


@pytest.mark.parametrize(
    "lines", ["for i in x: pass", "x[0] = 1", "global y", "try: pass\n    finally: pass", "raise x"]
)
def test_statements_with_effects_are_not_evaluated(lines: str) -> None:
    with pytest.raises(UnsupportedError):
        read("f(x)", numbers(2, 2), f"def f(x):\n    {lines}\n    return x\n")


def test_evaluation_ends() -> None:
    with pytest.raises(UnsupportedError):
        read("f(x)", numbers(2, 2), "def f(x):\n    return f(x)\n")
    with pytest.raises(UnsupportedError):
        read("f(x)", numbers(2, 2), "def f(x):\n    return [a for a in x.shape for b in flat(x) for c in x]\n")
