"""The differential fuzzer: its programs are the same everywhere, the port of some gives the same, and it sees a wrong rule."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.fuzz.campaign import by_blame, run, smallest
from bench.fuzz.judging import compare
from bench.fuzz.kinds import SIGNAL, Parameter, Tensor
from bench.fuzz.minimising import minimise
from bench.fuzz.porting import Workplace, workplace
from bench.fuzz.programs import Program, program
from bench.fuzz.styles import STYLES

SEED = 17
GENERATE = """
import hashlib
from bench.fuzz.programs import program


def digest(seed, count):
    made = hashlib.sha256()
    for number in range(count):
        made.update(repr(program(seed, number)).encode())
    return made.hexdigest()
"""
WRONG = '''"""A rule that is wrong."""

import libcst as cst

from porter.rule import Rule, Safety


class ForgetSigns(Rule):
    """Takes one function for another."""

    code = "LOW900"
    title = "forget signs"
    safety = Safety.EXACT
    message = "wrong"

    def visit_Attribute(self, node: cst.Attribute) -> None:
        if self.file.resolve(node) in ("torch.tanh", "torch.sigmoid", "torch.relu"):
            self.replace(node, node.with_changes(attr=cst.Name("abs")))
'''


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SOVITS_PORT_DEVICE", "cpu")
    generator = torch.get_rng_state()
    yield
    torch.set_rng_state(generator)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    with workplace(tmp_path) as made:
        yield made


def nothing(done: int, differing: int) -> None:
    """Nobody is told."""


def of_text(body: str) -> Program:
    """A program of a function of one tensor, of which gradients are asked for."""
    parameters = (Parameter("x", Tensor("float32", SIGNAL), "grad"),)
    return Program("0:0", STYLES[0], f"def p0_run(x):\n    {body}\n", "", "p0_run", parameters)


def digest(seed: int, count: int) -> str:
    names: dict[str, Callable[[int, int], str]] = {}
    exec(GENERATE, names)
    return names["digest"](seed, count)


def test_programs_do_not_depend_on_the_process() -> None:
    told = subprocess.run(
        [sys.executable, "-c", f"{GENERATE}\nprint(digest({SEED}, 100))"],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        cwd=Path(__file__).resolve().parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == digest(SEED, 100)
    assert len({program(SEED, number).source for number in range(100)}) == 100


def test_the_port_of_random_programs_gives_what_they_give(place: Workplace) -> None:
    seen = run(place, SEED, range(60), nothing)
    assert seen.programs == 60
    assert [str(d) for verdict in seen.failures for d in verdict.differences] == []
    assert len(seen.touched) > 15  # rules at work
    assert seen.raised < 20  # most programs run to their end


def test_a_wrong_rule_is_seen_and_named(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "forget_signs.py").write_text(WRONG)
    with workplace(tmp_path / "packages", [rules]) as place:
        seen = run(place, SEED, range(40), nothing)
        # Without PKG001 a program calls upstream's own helpers, which no rule has spoilt.
        alone = [v for v in seen.failures if "PKG001" not in v.ported.rules]
        verdict = min(alone, key=lambda v: len(v.program.source))
        assert set(by_blame(place, [verdict])) == {("LOW900",)}
        small = smallest(place, verdict, limit=100)
    assert small.differences and "LOW900" in small.ported.rules
    assert len(small.program.source) < len(verdict.program.source)


@pytest.mark.parametrize(
    ("upstream", "port", "part"),
    [
        ("return 1.0", "return torch.tensor(1.0)", "result"),
        ("return torch.zeros(2)", "return torch.zeros(2).double()", "result"),
        ("return torch.zeros(2)", "return -torch.zeros(2)", "result"),
        ("return {'a': [1]}", "return {'a': (1,)}", "result"),
        ("print(1)", "print(2)", "printed"),
        ("raise ValueError('bad')", "raise KeyError('bad')", "error"),
        ("raise ValueError('bad')", "raise ValueError('other')", "error"),
        ("return None", "torch.rand(1)", "generator"),
        ("return x * 2", "return x.detach() * 2 + x", "gradients"),
        ("return x.detach() + 1", "return x.detach().add_(1)", "inputs"),
    ],
)
def test_what_counts_as_a_difference(place: Workplace, upstream: str, port: str, part: str) -> None:
    ported, other = (place.port([of_text(body)])[0] for body in (upstream, port))
    assert compare(ported).differences == ()
    mixed = replace(ported, port=other.port)
    assert part in [d.part for d in compare(mixed).differences]


def test_what_is_made_small_still_fails() -> None:
    source = (
        "def f(x, n):\n    y = x + 1\n    if n > 2:\n        for i in range(3):\n            y = bad(x, i) * 2\n    else:\n        y = 3\n"
        "    print(y)\n    return y, n\n"
    )
    small = minimise(source, lambda text: "bad(" in text and "def f" in text)
    assert "bad(" in small and "print" not in small and "for" not in small and len(small) < 60
