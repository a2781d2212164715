"""Mutation testing: what the operators propose, how statements are counted, and what a campaign tells."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from rich.console import Console

from bench.mutation import reach as reaching
from bench.mutation.campaign import Found, Trial
from bench.mutation.cells import instrument
from bench.mutation.change import Mutant, same_code
from bench.mutation.digests import case_digest, cases_digest
from bench.mutation.equal import Note, read_notes
from bench.mutation.finding import mutants, sample
from bench.mutation.ledger import Fate, Ledger
from bench.mutation.reach import CaseReach, Reach
from bench.mutation.readers import readers_of
from bench.mutation.report import show, to_json
from bench.mutation.sides import Sides, remove_stale
from bench.mutation.source import Source
from porter.validate.job import Told


def changed(text: str, operator: str) -> set[str]:
    """What the mutants of one operator make of a text."""
    source = Source(text)
    groups = mutants("code.py", source, readers_of({"code.py": source}))
    return {mutant.applied(text) for group in groups for mutant in group if mutant.operator == operator}


@pytest.mark.parametrize(
    ("operator", "before", "after"),
    [
        ("arithmetic", "a * b + c", "(a / b) + c"),
        ("arithmetic", "a += b", "a -= b"),
        ("comparison", "a < b", "(a <= b)"),
        ("comparison", "a is None", "(a is not None)"),
        ("boolean", "a and b", "(a or b)"),
        ("condition negated", "x = a if b > c else d", "x = a if (not b > c) else d"),
        ("condition negated", "x = [a for a in b if not a]", "x = [a for a in b if a]"),
        ("sign dropped", "x = -a", "x = a"),
        ("constant", "x = 4", "x = 5"),
        ("constant", "x = 0.5", "x = 1.0"),
        ("constant", "x = True", "x = False"),
        ("bound", "x[a : b]", "x[a : b - 1]"),
        ("bound", "x[..., :-1]", "x[..., :0]"),
        ("bound", "range(n)", "range(n + 1)"),
        ("default", "def f(x, y=1, *, z=None): return x", "def f(x, y=2, *, z=None): return x"),
        ("default", "def f(x, y=1, *, z=None): return x", "def f(x, y=1, *, z=0): return x"),
        ("dimension", "torch.softmax(x, -1)", "torch.softmax(x, -2)"),
        ("dimension", "x.unsqueeze(1)", "x.unsqueeze(2)"),
        ("dimension", "x.sum(dim=2)", "x.sum(dim=1)"),
        ("dtype", "x.to(torch.float32)", "x.to(torch.float64)"),
        ("dtype", "x.float()", "x.double()"),
        ("gradient kept", "y = x.detach() * 2", "y = x * 2"),
        ("gradient kept", "with torch.no_grad(): f()", 'with __import__("contextlib").nullcontext(): f()'),
        ("gradient kept", "@torch.no_grad()\ndef f(): return 1", "@(lambda function: function)\ndef f(): return 1"),
        ("keyword removed", "f(a, b=1, c=2)", "f(a, c=2)"),
        ("argument dropped", "f(a, b, c=2)", "f(a, c=2)"),
        ("arguments swapped", "f(a, b, c=2)", "f(b, a, c=2)"),
        ("statement deleted", "if a:\n    x = 1", "if a:\n    pass"),
    ],
)
def test_each_operator_proposes_its_change(operator: str, before: str, after: str) -> None:
    assert after in changed(before, operator)


@pytest.mark.parametrize(
    "text",
    [
        '"""Docs."""',
        "x: Literal[1, 2] | None",
        "def f(x: Annotated[int, 1 + 2]) -> Tuple[3]: ...",
        "if TYPE_CHECKING:\n    from a import b\n    x = 1",
        "if __name__ == '__main__':\n    x = 1",
        "def f(x: f'{1 + 2}'): ...",
    ],
)
def test_what_does_not_run_has_no_mutants(text: str) -> None:
    source = Source(text)
    assert [m for group in mutants("code.py", source, readers_of({})) for m in group] == []


def test_an_order_that_means_nothing_is_not_changed() -> None:
    assert changed("x.transpose(0, 1)", "arguments swapped") == set()
    assert changed("torch.transpose(x, 0, 1)", "arguments swapped") != set()
    assert changed("torch.maximum(a, b)", "arguments swapped") == set()
    assert changed("max(1, x)", "arguments swapped") == set() == changed("min(a.shape[-1], b)", "arguments swapped")
    assert changed("max(a, b)", "arguments swapped") != set()  # either may be no number


def test_all_mutants_of_a_text_are_its_own_and_other_texts() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    source = Source(text)
    for group in islice(mutants("code.py", source, readers_of({"code.py": source})), 0, None, 25):
        for mutant in group:
            raw = text.encode()
            assert raw[mutant.start : mutant.end].decode() == mutant.old
            assert mutant.applied(text) != text
            assert len({m.key for m in group}) == len(group)


def test_a_change_that_compiles_to_the_same_is_none() -> None:
    assert same_code("x = 1 + 2", "x = 3") is True
    assert same_code("def f(): return 1", "def f(): return (1)") is True
    assert same_code("x = 1", "x = 1.0") is False
    assert same_code("x = 1", "x = True") is False
    assert same_code("x = f(1)", "x = f(") is None


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "module" / "tpu"
    (folder / "inner").mkdir(parents=True)
    for empty in (folder.parent, folder, folder / "inner"):
        (empty / "__init__.py").write_text("", encoding="utf-8")
    (folder / "inner" / "code.py").write_text(
        '"""Docs."""\n\nfrom __future__ import annotations\n\nLIMIT = 3\n\n\n'
        "def small(x):\n    if x < LIMIT:\n        return x * 2\n    return x\n\n\n"
        "def unused(x, y=1):\n    return x - y\n",
        encoding="utf-8",
    )
    return folder


def test_samples_are_the_same_for_a_seed_and_other_for_another(package: Path) -> None:
    def texts(seed: int) -> list[str]:
        return [str(mutant) for mutant in sample(package, (), seed)]

    assert texts(1) == texts(1)
    assert sorted(texts(1)) != texts(1) or texts(2) != texts(1)
    assert list(sample(package, ("*/nothing.py",), 1)) == []


def test_cells_tell_which_statements_ran(package: Path, tmp_path: Path) -> None:
    found = {mutant.old: mutant for mutant in sample(package, (), 1)}
    cells = instrument(package, tmp_path / "cells")
    program = (
        "import threading\nfrom module.tpu.inner.code import small\nthreading.Thread(target=small, args=[1]).start()"
    )
    subprocess.run([sys.executable, "-c", program], cwd=package.parent.parent, check=True, timeout=60)
    reach = Reach({"case": CaseReach(1.0, "", cells.read())})
    assert reach.reaching(found["return x * 2"].cells) == ["case"]
    assert reach.reaching(found["return x"].cells) == []
    assert reach.reaching(found["x - y"].cells) == []
    assert reach.reaching(found["LIMIT = 3"].cells) == ["case"]  # the function that reads it ran
    cells.clear()
    assert cells.read() == {}


def test_a_name_that_is_set_on_import_matters_where_it_is_read(package: Path) -> None:
    (package / "inner" / "code.py").write_text("A = 1\nB = 2\n\n\ndef f():\n    return A\n", encoding="utf-8")
    found = {mutant.old: mutant for mutant in sample(package, (), 1)}
    file = "inner/code.py"
    source = Source((package / file).read_text(encoding="utf-8"))
    numbers = {source.code(node): number for node, number in source.statements.items()}
    assert found["A = 1"].cells == ((file, numbers["return A"]),)
    assert found["B = 2"].cells == ((file, numbers["B = 2"]),)


def test_what_an_attribute_holds_matters_where_it_is_read() -> None:
    text = "K.known = 1\n\n\ndef f(k):\n    return k.known\n"
    (found,) = [m for m in all_of(text) if m.old == "K.known = 1"]
    assert found.cells == numbered(text, "return k.known")


def test_a_name_is_read_by_who_imports_it() -> None:
    sources = {
        "inner/code.py": Source("LIMIT = 3\nKEPT = 1\n"),
        "inner/near.py": Source("from .code import LIMIT\ndef f(): return LIMIT\n"),
        "top.py": Source("from .inner import code\ndef f(): return code.LIMIT\n"),
        "other.py": Source("from .inner.near import f\ndef g(x): return x.LIMIT\n"),
    }
    groups = list(mutants("inner/code.py", sources["inner/code.py"], readers_of(sources)))
    limit, kept = (next(m for group in groups for m in group if m.old == old) for old in ("LIMIT = 3", "KEPT = 1"))
    assert [file for file, _ in limit.cells] == ["inner/near.py", "top.py"]
    assert not limit.once
    assert [file for file, _ in kept.cells] == ["inner/code.py"]
    assert kept.once


def test_where_a_tensor_is_made_is_nothing_that_the_cpu_tells() -> None:
    (removed,) = [m for m in all_of("def f(x): return g(x, device=x.device)") if m.operator == "keyword removed"]
    assert removed.of_device
    (other,) = [m for m in all_of("def f(x): return g(x, dim=1)") if m.operator == "keyword removed"]
    assert not other.of_device
    (moved,) = [m for m in all_of("def f(x, y): return x.to(y.device)") if m.operator == "argument dropped"]
    assert moved.of_device
    both = all_of("def f(x, y):\n    x, y = x.to(device()), y.to(device())\n    y = x.to(device())\n")
    assert [m.of_device for m in both if m.operator == "statement deleted"] == [True, False]


def test_a_condition_that_is_deleted_matters_where_what_it_guards_runs() -> None:
    text = "def f(x):\n    if x:\n        x = 2\n    return x\n"
    (found,) = [m for m in all_of(text) if m.old.startswith("if")]
    assert found.cells == numbered(text, "x = 2")
    (negated,) = [m for m in all_of(text) if m.operator == "condition negated"]
    assert negated.cells == numbered(text, "if x:\n        x = 2")


def all_of(text: str) -> list[Mutant]:
    source = Source(text)
    return [m for group in mutants("code.py", source, readers_of({"code.py": source})) for m in group]


def numbered(text: str, code: str) -> tuple[tuple[str, int], ...]:
    source = Source(text)
    return tuple(("code.py", number) for node, number in source.statements.items() if source.code(node) == code)


def test_the_cheapest_case_comes_first_and_a_failing_one_takes_no_part() -> None:
    reach = Reach(
        {
            "slow": CaseReach(9.0, "", {"code.py": [1]}),
            "quick": CaseReach(1.0, "", {"code.py": [1, 2]}),
            "broken": CaseReach(0.1, "mismatch: results", {"code.py": [1]}),
        }
    )
    assert reach.reaching([("code.py", 1)]) == ["quick", "slow"]
    assert reach.reaching([("code.py", 2), ("code.py", 3)]) == ["quick"]
    assert replace(reach, limit=5.0).reaching([("code.py", 1)]) == ["quick"]


def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    both = ["losses", "mel"]
    ledger = Ledger(path, trusting=False)
    ledger.add(Fate("a", "killed", case_digest("losses"), "losses"))
    ledger.add(Fate("b", "survived", cases_digest(both)))
    path.write_text(path.read_text(encoding="utf-8") + '{"key": "c", "sta', encoding="utf-8")
    again = Ledger(path, trusting=False)
    assert again.get("a", both) == Fate("a", "killed", case_digest("losses"), "losses")
    assert again.get("b", both[::-1]) is not None
    assert again.get("b", [*both, "style"]) is None  # one more case reaches it now
    assert again.get("c", both) is None


def test_only_what_was_seen_stands_where_a_case_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for fate in (Fate("a", "killed", "before", "losses"), Fate("b", "survived", "before")):
        Ledger(path, trusting=False).add(fate)
    trusting, strict = Ledger(path, trusting=True), Ledger(path, trusting=False)
    assert trusting.get("a", ["losses"]) is not None
    assert trusting.get("b", ["losses"]) is None
    assert strict.get("a", ["losses"]) is None


def test_cases_of_one_file_change_together() -> None:
    assert case_digest("mel") == case_digest("mel.pairs")
    assert case_digest("mel") != case_digest("losses")
    assert case_digest("speak.durations") != case_digest("speak.v1.slow")
    assert cases_digest(["mel", "losses"]) == cases_digest(["losses", "mel"]) != cases_digest(["mel"])


def test_a_record_that_was_stopped_tells_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "reach-1.jsonl"
    case = CaseReach(2.0, "", {"code.py": [1, 3]})
    assert reaching.load(path) is None
    reaching.note(path, "losses", case)
    reaching.note(path, "mel", None)
    with path.open("a", encoding="utf-8") as file:
        file.write('["style", "by", {"seconds": 1.')  # it was being written when the run was stopped
    assert reaching.read(path) == {"losses": (case_digest("losses"), case), "mel": (case_digest("mel"), None)}
    assert reaching.load(path) == Reach({"losses": case})


def test_upstreams_sides_are_kept_whole(tmp_path: Path) -> None:
    sides, place = Sides(tmp_path / "kept"), tmp_path / "place"
    place.mkdir()
    (place / "batches.safetensors").write_bytes(b"x")
    with pytest.raises(LookupError):
        sides.get("mel", "1")
    kept = sides.keep("mel", "1", place, Told(draws=3))
    assert kept is not None
    assert (kept.place / "batches.safetensors").read_bytes() == b"x"
    assert kept.reference == Told(draws=3)
    assert sides.keep("absent", "1", place, None) is None
    assert Sides(tmp_path / "kept").get("mel", "1") == kept
    assert sides.get("absent", "1") is None
    assert sorted(path.name for path in sides.folder.iterdir()) == ["absent@1", "mel@1"]
    sides.keep("mel", "2", place, Told(draws=4))  # the case has changed
    with pytest.raises(LookupError):
        sides.get("mel", "1")


def test_old_sides_are_removed(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / "old", (0, 0))
    remove_stale(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    remove_stale(tmp_path / "absent")


def mutant(**given: str) -> Mutant:
    told = {
        "file": "code.py",
        "operator": "constant",
        "inside": "f",
        "old": "x[1]",
        "new": "x[2]",
        "written": "y = x[1]",
    }
    told |= given
    return Mutant(start=0, end=1, line=7, cells=(("code.py", 0),), **told)  # type: ignore[arg-type]  # all texts


def test_a_note_covers_what_it_names() -> None:
    note = Note("code.py", "nobody reads it", inside="f", old="x[[]1]")
    assert note.covers(mutant())
    assert not note.covers(mutant(old="x[0]"))
    assert not note.covers(mutant(file="other.py"))
    one = Note("code.py", "nobody reads y", line="y = *")
    assert one.covers(mutant())
    assert not one.covers(mutant(written="z = x[1]"))
    assert all(note.reason for note in read_notes())


def test_the_report_tells_what_survived_and_counts() -> None:
    found = Found(
        (
            Trial(mutant(), Fate("a", "killed", "j", "losses", "results: 3 dB", 1, 0.5)),
            Trial(mutant(operator="dtype"), Fate("b", "survived", "j", tried=4)),
            Trial(mutant(operator="dtype", file="far.py"), Fate("c", "not reached", "j")),
            Trial(mutant(), Fate("d", "timeout", "j", "losses")),
        ),
        equal=1,
        elsewhere=2,
        unreached=3,
        alarms=("mel: mismatch: results",),
        unrecorded=("--device xla",),
    )
    console = Console(width=160, record=True, file=io.StringIO())
    show(found, console)
    text = console.export_text()
    assert "2 of 4 mutants seen, 50.0 %: 1 killed, 1 timeout, 1 survived, 1 not reached" in text
    assert "of the 3 that a case reaches, 66.7 %" in text
    assert "3 in code that no case reaches" in " ".join(text.split())
    assert "code.py:7" in text and "survived, 4 cases" in text and "far.py:7" in text
    assert "speaks against the unbroken package: mel: mismatch" in text
    assert "nothing is recorded of --device xla: what it alone reaches counts as not reached" in text
    told = json.loads(json.dumps(to_json(found)))
    assert told["operators"]["dtype"] == {"killed": 0, "timeout": 0, "survived": 1, "not reached": 1}
    assert told["files"]["code.py"]["killed"] == 1
    assert told["mutants"][0]["case"] == "losses"
