"""Kernels as programs: what is kept, what is tried, and what comes of a compiler or a process that fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jax", reason="kernels are written with jax")

import torch

from porter.runtime import utils
from porter.runtime.ops import on_chip, programs
from porter.runtime.ops.kernels import compile_only, process, residual

from .kernel_plans import KERNELS, label, numbers, plans

pytestmark = pytest.mark.xla

PLAN = residual.Plan(1, 8, 128, ((0,),), 1, 0.1, "float32", "float32", "float32", False)
HLO = b"an HLO module"


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where programs are kept, empty."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SOVITS_PORT_COMPILATION_CACHE", str(folder))
    programs.forget()
    programs._folder.cache_clear()
    yield folder / "kernels"
    programs.forget()
    programs._folder.cache_clear()


class Answers:
    """Stands in for the process: it answers as told, and counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, problem: str = "", at: str = "") -> None:
        self.reply, self.asked = {"problem": problem, "at": at}, 0
        monkeypatch.setattr(programs._process, "ask", self.ask)

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, str]:
        self.asked += 1
        if self.reply["at"] not in ("import", "lowering"):
            Path(request["file"]).write_bytes(HLO)
        return self.reply


def asked(plan: Any = PLAN, chip: str = "v5e", backward: bool = False) -> programs.Program:
    return programs.program("residual", plan, backward=backward, chip=chip)


# --- what is kept ---------------------------------------------------------------------------------


def test_a_kernel_is_tried_once(monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    process = Answers(monkeypatch)
    assert asked() == asked() == programs.Program(HLO)
    programs.forget()  # as in another run
    assert asked() == programs.Program(HLO)
    assert process.asked == 1 and len(list(kept.iterdir())) == 1
    asked(chip="v6e"), asked(chip=""), asked(backward=True)
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "--flag")
    asked()
    monkeypatch.setattr(programs, "_tools", lambda compiled: ["of other versions"])
    programs.forget()  # versions do not change in a process
    asked()
    assert process.asked == 6


def test_what_does_not_compile_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Answers(monkeypatch, "MosaicError: no", "compiling")
    found = asked()
    assert not found.hlo and "does not compile it: MosaicError: no" in found.problem
    programs.forget()
    assert asked() == found
    assert process.asked == 1


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 100])
def test_what_is_damaged_is_made_again(damage: bytes, monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    process = Answers(monkeypatch)
    asked()
    (file,) = kept.iterdir()
    file.write_bytes(damage)
    programs.forget()
    assert asked() == programs.Program(HLO)
    assert process.asked == 2


def test_nothing_is_kept_where_that_is_off(monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    monkeypatch.setenv("SOVITS_PORT_COMPILATION_CACHE", "off")
    process = Answers(monkeypatch)
    asked(), asked()
    programs.forget()
    asked()
    assert process.asked == 2 and not kept.exists()


def test_old_programs_are_forgotten_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    kept.mkdir(parents=True)
    mine, theirs = kept / ("0" * 64), kept / "old.cu"
    for path in (mine, theirs):
        path.write_bytes(b"")
        os.utime(path, (0, 0))
    Answers(monkeypatch)
    monkeypatch.setattr(programs, "_HELD", 2)
    for chip in ("v4", "v5e", "v5p", "v6e"):
        asked(chip=chip)
    assert len(programs._held) == 2 and len(list(kept.iterdir())) == 5
    assert theirs.exists() and not mine.exists()


def test_a_folder_that_cannot_be_made_costs_only_the_keeping(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SOVITS_PORT_COMPILATION_CACHE", str(tmp_path / "file"))
    process = Answers(monkeypatch)
    assert asked().hlo == asked().hlo == HLO
    assert process.asked == 1


# --- what fails -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "problem", "told"),
    [
        ("import", "ImportError: no name", "its file cannot be imported with jax 0.9.9: ImportError: no name"),
        ("lowering", "ValueError: odd", "jax 0.9.9 does not lower it: ValueError: odd"),
        ("compiling", "MosaicError: no", "libtpu 0.0.30 with jax 0.9.9 does not compile it: MosaicError: no"),
        (
            "compiler",
            "no lib",
            "libtpu 0.0.30 cannot be asked whether it compiles it (no lib), and with jax 0.9.9 nobody",
        ),
    ],
)
def test_each_failure_has_its_words(at: str, problem: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "versions", lambda: {"jax": "0.9.9", "jaxlib": "0.9.9", "libtpu": "0.0.30"})
    Answers(monkeypatch, problem, at)
    found = asked()
    assert not found.hlo and found.problem.startswith(told)
    assert found.lasting is (at == "compiling")


def test_what_was_tried_before_is_known_where_the_compiler_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "versions", lambda: {"jax": "0.7.1", "jaxlib": "0.7.1", "libtpu": "0.0.21"})
    Answers(monkeypatch, "it is held by another process", "compiler")
    assert asked() == programs.Program(HLO, lasting=False)


@pytest.mark.parametrize("opened", [True, False])
def test_a_compiler_that_dies_over_a_kernel_is_told_from_one_that_does_not_open(
    opened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "versions", lambda: {"jax": "0.7.1", "jaxlib": "0.7.1", "libtpu": "0.0.21"})

    def die(request: dict[str, Any], seconds: float) -> dict[str, str]:
        place = Path(request["file"])
        place.write_bytes(HLO)
        if opened:
            place.with_name("opened").touch()
        raise RuntimeError("the compiler ended with status -6")

    monkeypatch.setattr(programs._process, "ask", die)
    wanted = programs.Program(b"", "the compiler ended with status -6", lasting=False)
    assert asked() == (wanted if opened else programs.Program(HLO, lasting=False))


def test_a_process_that_dies_is_told_and_another_is_started(monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    process = programs._process
    running = process._start()
    running.kill()
    running.wait()
    assert asked(chip="").hlo  # it had ended: that is no failure
    monkeypatch.setattr(compile_only, "environment", lambda: {"PATH": "", "PYTHONHOME": "/nowhere"})
    process.close()
    found = asked(chip="", backward=True)
    assert not found.hlo and found.problem.startswith("the compiler ended with status")
    assert not found.lasting and len(list(kept.iterdir())) == 1


def test_an_interrupted_question_is_not_answered_to_another() -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            asked(chip="")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert asked(chip="", backward=True).hlo and asked(chip="").hlo


def test_an_answer_without_a_program_is_a_failure(monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    monkeypatch.setattr(programs._process, "ask", lambda request, seconds: {"problem": "", "at": ""})
    found = asked()
    assert not found.hlo and found.problem and not found.lasting and not list(kept.iterdir())


def test_a_process_that_ends_idle_is_started_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its stdin is open until it is gone, so that a request may still be written."""
    real = programs._process._start
    ended: list[bool] = []

    def ends_once() -> Any:
        if ended:
            return real()
        ended.append(True)
        code = [sys.executable, "-c", "import sys; sys.stdin.readline()"]
        programs._process._running = subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        programs._process._owner = os.getpid()
        return programs._process._running

    monkeypatch.setattr(programs._process, "_start", ends_once)
    assert asked(chip="").hlo


@pytest.mark.parametrize("missing", ["temporary", "interpreter", "home"])
def test_a_machine_that_lacks_something_gets_a_sentence(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing == "temporary":
        monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    elif missing == "interpreter":
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
    else:
        for name in ("SOVITS_PORT_COMPILATION_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
        Answers(monkeypatch)
        assert asked().hlo == HLO
        return
    found = asked(chip="")
    assert found.problem.startswith("it cannot be tried: ") and not found.lasting


def test_hosts_that_would_compile_different_graphs_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    Answers(monkeypatch, "no lib", "compiler")
    monkeypatch.setattr(programs, "versions", lambda: {"jax": "0.9.9", "jaxlib": "0.9.9", "libtpu": "0.0.30"})
    monkeypatch.setattr(utils, "hosts", lambda: 4)
    monkeypatch.setattr(utils, "on_host", lambda *tensors: False)
    monkeypatch.setenv("SOVITS_PORT_FORMS", "tpu:v5e")
    with pytest.raises(RuntimeError, match="all hosts have to compile the same graph"):
        on_chip.available(torch.ones(1), "residual", PLAN)


def test_a_hang_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    programs._process._start().send_signal(signal.SIGSTOP)
    monkeypatch.setattr(programs, "_SECONDS", 0.5)
    found = asked()
    assert found == programs.Program(b"", "it was not compiled after 0 s", lasting=False)


# --- what is run and compiled ---------------------------------------------------------------------


def test_jax_starts_no_backend_here() -> None:
    """Kernels are lowered, compiled and interpreted elsewhere: whoever uses jax in this process finds it untouched."""
    import jax

    before = jax.config.jax_platforms
    (result,) = programs.interpreted("residual", PLAN, numbers("residual", PLAN, backward=False), backward=False)
    assert result.shape == (1, 8, 128)
    assert jax.config.jax_platforms == before
    from jax._src import xla_bridge

    assert not xla_bridge._backends


def test_what_is_compiled_to_be_interpreted_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("SOVITS_PORT_COMPILATION_CACHE", str(tmp_path))
    request.addfinalizer(programs.forget)  # whoever comes next starts a process that keeps it elsewhere
    programs.forget()
    given = numbers("residual", PLAN, backward=False)
    (first,) = programs.interpreted("residual", PLAN, given, backward=False)
    kept = [path.name for path in (tmp_path / "interpreted").iterdir() if not path.name.endswith("-atime")]
    assert kept
    programs.forget()
    (second,) = programs.interpreted("residual", PLAN, given, backward=False)
    assert torch.equal(first, second)
    after = [path.name for path in (tmp_path / "interpreted").iterdir() if not path.name.endswith("-atime")]
    assert sorted(after) == sorted(kept)


def test_an_interpreter_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="cannot be interpreted"):
        programs.interpreted("residual", PLAN, [torch.ones(1)] * 4, backward=False)


KNOWN = [known for known in plans() if known[1].batch == 3]


@pytest.mark.skipif(not all(programs.versions().values()), reason="needs jax and libtpu (the extra aot)")
@pytest.mark.parametrize("known", KNOWN, ids=map(label, KNOWN))
def test_a_kernel_compiles_for_a_tpu(known: tuple[str, Any]) -> None:
    name, plan = known
    for backward in (False, True):
        found = programs.program(name, plan, backward=backward, chip="v5e")
        assert not found.problem
        assert b"tpu_custom_call" in found.hlo


@pytest.mark.skipif(not all(programs.versions().values()), reason="needs jax and libtpu (the extra aot)")
def test_what_takes_too_much_memory_is_refused_before_it_is_in_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a plan's own count were wrong, the compiler's is found out in time."""
    wide = residual.Plan(1, 40_000, 512, ((-1, 0, 1),), 1, 0.1, "float32", "float32", "float32", False)
    found = programs.program("residual", wide, backward=False, chip="v5e")
    assert not found.hlo and "does not compile it" in found.problem and "vmem" in found.problem.lower()


def test_arguments_have_to_be_those_of_the_plan() -> None:
    signal_ = torch.ones(1, 8, 128)
    with pytest.raises(AssertionError, match="the kernel residual is given"):
        on_chip.run("residual", PLAN, [signal_])


def test_every_kernel_says_what_it_is_given() -> None:
    for name, plan in plans():
        for backward in (False, True):
            given = KERNELS[name].arguments(plan, backward=backward)
            divided, results = plan.of_batch(backward=backward)
            assert len(given) == len(divided) and results
            assert all(one.shape[0] == plan.batch for one, own in zip(given, divided, strict=True) if own)


def test_compiled_graphs_and_kernels_are_kept_beside_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SOVITS_PORT_COMPILATION_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert [utils.cache_folder(kind) for kind in ("xla", "kernels")] == [
        tmp_path / "sovits-port" / "xla",
        tmp_path / "sovits-port" / "kernels",
    ]


@pytest.mark.parametrize(("maps", "most", "full"), [(600, "1000", True), (400, "1000", False), (600, "", False)])
def test_a_process_that_compiled_much_is_full(maps: int, most: str, full: bool, tmp_path: Path) -> None:
    (tmp_path / "maps").write_text("7f00-7f01 r-xp\n" * maps)
    (tmp_path / "most").write_text(most)
    assert process.is_full(tmp_path / "maps", tmp_path / "most") is full
    assert not process.is_full(tmp_path / "none", tmp_path / "most")


def test_an_xla_without_an_option_is_not_given_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(function: Any, compiler_options: dict[str, Any]) -> Any:
        raise RuntimeError(f"No such compile option: {compiler_options}")

    import jax

    process._options.cache_clear()
    monkeypatch.setattr(jax, "jit", refuse)
    assert process._options() is None
    process._options.cache_clear()
