"""The compiler's process: reports, crashes, hangs, and what is kept of its verdicts."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from porter.errors import PortError
from porter.estimate import compiler
from porter.estimate.chips import CHIPS, Chip
from porter.estimate.compiler import LibTpu, Remembering, check_compiler, kept_verdicts
from porter.estimate.compiling import needed
from porter.estimate.outcome import Said

from .made_up import FAST

pytestmark = pytest.mark.xla

V5E = CHIPS["v5e"]


def run(program: str, folder: Path, timeout: float = 60.0) -> Said:
    return LibTpu(timeout).run([sys.executable, "-c", program], folder, V5E)


def test_an_abort_is_this_graphs_result(tmp_path: Path) -> None:
    said = run("import os, sys; print('F0000 Check failed: broken', file=sys.stderr, flush=True); os.abort()", tmp_path)
    assert said.verdict == "error"
    assert "SIGABRT" in said.error
    assert "Check failed: broken" in said.error


def test_an_end_without_a_report(tmp_path: Path) -> None:
    said = run("print('bye'); raise SystemExit(3)", tmp_path)
    assert (said.verdict, said.error) == ("error", "the process ended with status 3: bye")
    assert run("pass", tmp_path).verdict == "error"


def test_a_hang_ends_with_all_its_children(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    said = run(program, tmp_path, 3.0)
    assert (said.verdict, said.error) == ("timeout", "not compiled after 3 s (--timeout)")
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not _alive(child):
            break
        time.sleep(0.05)
    assert not _alive(child)


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_environment_keeps_other_flags_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("XLA_FLAGS", "TPU_ACCELERATOR_TYPE", "TPU_CHIPS_PER_HOST_BOUNDS")
    for name in names:
        monkeypatch.setenv(name, "of another")
    program = (
        f"import json, os; told = {{n: os.environ.get(n) for n in {names}}}; "
        "open('compiled.json', 'w').write(json.dumps({'error': json.dumps(told)}))"
    )
    assert json.loads(run(program, tmp_path).error) == dict.fromkeys(names)


@pytest.mark.parametrize(
    ("error", "bytes_"),
    [
        (
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (44.70G) "
            "exceeds available HBM (15.75G).",
            int(44.7 * 2**30),
        ),
        ("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 512.5M of 15.75G hbm.", int(512.5 * 2**20)),
        ("RESOURCE_EXHAUSTED: no room in hbm", 0),
        ("RESOURCE_EXHAUSTED: no room in vmem", None),
        ("INTERNAL: a bug", None),
    ],
)
def test_too_little_hbm_is_told_from_other_errors(error: str, bytes_: int | None) -> None:
    assert needed(error) == bytes_


class Counted:
    """A compiler that says one thing and counts how often."""

    def __init__(self, said: Said) -> None:
        self.said, self.asked = said, 0

    def compile(self, graph: bytes, chip: Chip) -> Said:
        self.asked += 1
        return self.said


TOO_LARGE = Said("too large", needs=77, error="too much")


@pytest.mark.parametrize("said", [Said("compiles", FAST), TOO_LARGE])
def test_a_verdict_is_kept_for_this_graph_chip_and_compiler(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIBTPU_INIT_ARGS", raising=False)
    inner = Counted(said)
    remembering = Remembering(inner, tmp_path, {"libtpu": "1"})
    assert remembering.compile(b"graph", V5E) == said
    assert remembering.compile(b"graph", V5E) == replace(said, cached=True)
    assert inner.asked == 1
    remembering.compile(b"other", V5E)
    remembering.compile(b"graph", CHIPS["v6e"])
    Remembering(inner, tmp_path, {"libtpu": "2"}).compile(b"graph", V5E)
    Remembering(inner, tmp_path, {"libtpu": "1"}, fresh=True).compile(b"graph", V5E)
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "--xla_some_flag")
    remembering.compile(b"graph", V5E)
    assert inner.asked == 6


@pytest.mark.parametrize("verdict", ["error", "timeout"])
def test_what_may_be_an_accident_is_asked_again(verdict: str, tmp_path: Path) -> None:
    inner = Counted(Said("error" if verdict == "error" else "timeout", error="accident"))
    remembering = Remembering(inner, tmp_path, {})
    remembering.compile(b"graph", V5E)
    remembering.compile(b"graph", V5E)
    assert inner.asked == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"flops": 1}', b'{"error": "x"}', b"\xff"])
def test_a_damaged_note_is_no_verdict(damage: bytes, tmp_path: Path) -> None:
    inner = Counted(Said("compiles", FAST))
    remembering = Remembering(inner, tmp_path, {})
    remembering.compile(b"graph", V5E)
    (note,) = tmp_path.iterdir()
    note.write_bytes(damage)
    assert remembering.compile(b"graph", V5E) == Said("compiles", FAST)
    assert remembering.compile(b"graph", V5E).cached


def test_verdicts_are_kept_in_the_tools_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVITS_PORT_CACHE", str(tmp_path))
    assert kept_verdicts() == tmp_path / "estimates"


def test_what_is_missing_is_told_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "installed", lambda: {"jax": "0.7.1"})
    with pytest.raises(PortError, match=r"needs jaxlib and libtpu, not installed here; pip install .*xla,aot"):
        check_compiler()


HERE = all(find_spec(name) is not None for name in ("jax", "jaxlib", "libtpu"))
needs_libtpu = pytest.mark.skipif(not HERE, reason="needs jax and libtpu (the extra aot)")


@needs_libtpu
@pytest.mark.parametrize("chip", CHIPS.values(), ids=lambda chip: chip.name)
def test_a_small_graph_compiles_for_every_chip(chip: Chip) -> None:
    pytest.importorskip("torch_xla", reason="needs torch_xla (the extra xla)")
    said = LibTpu(300).compile(_product(64), chip)
    assert said.verdict == "compiles", said.error
    assert said.compiled is not None
    assert 2 * 64**3 <= said.compiled.flops < 3 * 64**3
    assert said.compiled.arguments >= 64 * 64 * 4
    assert said.compiled.code > 0


@needs_libtpu
def test_a_graph_for_which_no_chip_has_memory() -> None:
    pytest.importorskip("torch_xla", reason="needs torch_xla (the extra xla)")
    # libtpu 0.0.21 does not mind how large results are, so that only `placed` finds out.
    said = LibTpu(300).compile(_product(64, copies=3_000_000), V5E).placed(V5E, 0)
    assert said.verdict == "too large", said.error
    assert said.needs > V5E.usable.value


@needs_libtpu
def test_what_is_no_graph_is_an_error() -> None:
    said = LibTpu(300).compile(b"no graph", V5E)
    assert said.verdict == "error"
    assert said.error


def _product(size: int, copies: int = 1) -> bytes:
    """A graph that multiplies two matrices, and stacks `copies` of the product."""
    import torch
    import torch_xla
    from torch_xla.core import xla_model

    from tests.runtime.graphs import never_run

    with never_run():
        a, b = (torch.ones(size, size).to(torch_xla.device()) for _ in range(2))
        result = a @ b
        if copies > 1:
            result = result.expand(copies, size, size) + torch.arange(copies, device=a.device)[:, None, None]
        found = xla_model.get_stablehlo_bytecode([result])  # type: ignore[arg-type]  # its hint is for one tensor
    assert isinstance(found, bytes)
    return found


def test_the_process_dies_with_its_parent(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("Linux only")
    place = tmp_path / "child"
    child = (
        "from porter.validate.lifetime import die_with_parent; die_with_parent(); import os, time; "
        f"open({str(place)!r} + '.new', 'w').write(str(os.getpid())); "
        f"os.rename({str(place)!r} + '.new', {str(place)!r}); time.sleep(600)"
    )
    parent = os.fork()
    if not parent:
        os.execv(
            sys.executable,
            [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"],
        )
    while not place.exists():
        time.sleep(0.05)
    os.kill(parent, 9)
    os.waitpid(parent, 0)
    process = int(place.read_text())
    for _ in range(100):
        if not _alive(process):
            break
        time.sleep(0.05)
    assert not _alive(process)
