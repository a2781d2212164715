"""Graphs are traced without being run, parts alone too, and sizes are searched; the compiler is made up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from porter.cli import cli
from porter.errors import PortError
from porter.estimate.chips import Chip
from porter.estimate.exchange import Sizes
from porter.estimate.outcome import Compiled, EstimateOutcome, GraphOutcome, Said
from porter.estimate.runner import EstimateRequest, Tracing, estimate
from porter.inputs.upstream import open_upstream
from porter.validate.manifest import read_manifest
from tests.validate.tiny import write_port, write_upstream

pytestmark = pytest.mark.xla

pytest.importorskip("torch_xla", reason="needs torch_xla (the extra xla)")

FORWARD = "synthesizer.v2.forward"
FORWARD_START = "        mask = commons.mask_of(y_lengths, y.size(2))\n"


class Formula:
    """Says that a graph needs as many bytes as a function of its code tells."""

    def __init__(self, needs: Callable[[bytes], int]) -> None:
        self.needs = needs
        self.graphs: list[bytes] = []

    def compile(self, graph: bytes, chip: Chip) -> Said:
        self.graphs.append(graph)
        if graph.startswith(b"crash"):
            return Said("error", error="crashed")
        needs = self.needs(graph)
        if needs > chip.usable.value:
            return Said("too large", needs=needs, error="too much")
        return Said("compiles", Compiled(1e9, 1e9, needs, 0, 0, 0, 0, 1.0, 0, 0))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("estimate")
    upstream = write_upstream(folder / "upstream")
    return upstream, write_port(upstream, folder / "port")


def asked(*cases: str, **more: Any) -> EstimateRequest:
    return EstimateRequest(("v5e",), cases, "tiny", timeout=200.0, **more)


def run(places: tuple[Path, Path], request: EstimateRequest, needs: Callable[[bytes], int] = len) -> EstimateOutcome:
    upstream, port = places
    return estimate(open_upstream(str(upstream)), port, request, Formula(needs), {"libtpu": "0"})


def test_a_case_and_its_parts_are_traced(places: tuple[Path, Path]) -> None:
    told = run(places, asked(FORWARD, f"{FORWARD}/*", f"{FORWARD}/mix.?", f"{FORWARD}/nothing"))
    graphs = {graph.name: graph for graph in told.graphs}
    parts = ("embed", "pre", "mix.0", "mix.1", "keys", "post")
    assert set(graphs) == {FORWARD, *(f"{FORWARD}/{part}" for part in parts), f"{FORWARD}/nothing"}
    assert "no such submodule is called; at the top there are embed, pre, mix" in graphs[f"{FORWARD}/nothing"].problem
    for part in (FORWARD, *(f"{FORWARD}/{part}" for part in parts)):
        assert dict(graphs[part].said)["v5e"].verdict == "compiles"
    # Float32 parameters that have a gradient: those of the parts, and all of them but the embedding's of the whole.
    assert graphs[f"{FORWARD}/keys"].trained == 4 * (8 * 8 + 8)
    assert graphs[f"{FORWARD}/mix.0"].trained == 4 * (8 * 8 * 3 + 8)
    assert graphs[FORWARD].trained >= sum(graphs[f"{FORWARD}/{part}"].trained for part in parts if part != "embed")
    assert not told.passed


def test_the_same_trace_gives_the_same_graph_and_another_batch_another(places: tuple[Path, Path]) -> None:
    upstream, port = places
    request = asked()

    def codes(sizes: Sizes, request: EstimateRequest = request) -> dict[str, str]:
        with Tracing(open_upstream(str(upstream)), read_manifest(port), request) as tracing:
            graphs = tracing.trace(FORWARD, ("", "keys"), sizes, "v5e")
        return {graph.name: hashlib.sha256(graph.code).hexdigest() for graph in graphs}

    first = codes(Sizes(2, 24, 12))
    assert codes(Sizes(2, 24, 12)) == first
    assert not set(codes(Sizes(3, 24, 12)).values()) & set(first.values())
    assert codes(Sizes(2, 24, 12), replace(request, bf16=True))[FORWARD] != first[FORWARD]


def test_a_step_that_asks_the_device_is_no_single_graph(tmp_path: Path) -> None:
    upstream = write_upstream(tmp_path / "upstream")
    port = write_port(upstream, tmp_path / "port", FORWARD_START, f"{FORWARD_START}        y = y * y.mean().item()\n")
    told = run((upstream, port), asked(FORWARD))
    assert "the device ran once while it was traced" in told.graphs[0].problem
    assert not told.passed


def test_a_port_that_fails_or_aborts_is_a_result_with_its_line(tmp_path: Path) -> None:
    upstream = write_upstream(tmp_path / "upstream")
    for number, (body, word) in enumerate((("raise KeyError('x')", "KeyError"), ("import os; os.abort()", "SIGABRT"))):
        port = write_port(upstream, tmp_path / str(number), FORWARD_START, f"{FORWARD_START}        {body}\n")
        told = run((upstream, port), asked(FORWARD, "synthesizer.v2.infer"))
        graphs = {graph.name: graph for graph in told.graphs}
        assert word in graphs[FORWARD].problem
        assert "TST001" in graphs[FORWARD].problem
        assert "channels" in graphs["synthesizer.v2.infer"].problem  # what it has to say itself: the run went on


def test_what_fits_is_searched(places: tuple[Path, Path]) -> None:
    known: dict[bytes, int] = {}

    class Telling(Tracing):
        def trace(self, case: str, patterns: tuple[str, ...], sizes: Sizes, chip: str) -> list[Any]:
            graphs = super().trace(case, patterns, sizes, chip)
            for graph in graphs:
                known[graph.code] = 1_000_000_000 * sizes.batch * sizes.frames // 24
            return graphs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("porter.estimate.runner.Tracing", Telling)
        told = run(places, asked(FORWARD, fit=True), known.__getitem__)
    batch, frames = told.fits
    assert (batch.what, batch.found.largest, batch.found.exceeded) == ("batch", 16, 17)  # of 16.91 GB
    assert (frames.what, frames.found.largest, frames.found.exceeded) == ("frames", 192, 224)
    assert not batch.found.problem
    assert len(batch.found.probes) + len(frames.found.probes) <= 10
    assert told.passed


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (asked("nothing"), "there is no case nothing"),
        (asked(f"{FORWARD}/"), "names no submodule"),
        (asked(frames=4), "--frames 4 is less than the 8 frames"),
        (asked(frames=25), "--frames 25 is odd"),
        (asked("synthesizer_v3b"), "there is nothing to compile"),
    ],
)
def test_what_is_refused(places: tuple[Path, Path], request_: EstimateRequest, words: str) -> None:
    with pytest.raises(PortError, match=words):
        run(places, request_)


def test_a_case_on_the_host_has_no_graph(places: tuple[Path, Path]) -> None:
    told = run(places, asked("collate", FORWARD))
    hosted: list[GraphOutcome] = [graph for graph in told.graphs if graph.name.startswith("collate")]
    assert hosted
    assert all("runs on the host" in graph.problem for graph in hosted)


def test_the_command_says_what_to_type(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from porter.estimate import compiler

    def missing() -> dict[str, str]:
        raise PortError('estimate needs libtpu, not installed here; pip install "sovits-port[xla,aot]"')

    monkeypatch.setattr(compiler, "check_compiler", missing)
    upstream, port = places
    done = CliRunner().invoke(cli, ["estimate", str(upstream), str(port), "--preset", "tiny"])
    assert done.exit_code == 2
    assert 'pip install "sovits-port[xla,aot]"' in done.output
    for wrong in (["--chip", "v9"], ["--batch", "0"], ["--frames", "x"], ["--html", "/nowhere/page.html"]):
        assert CliRunner().invoke(cli, ["estimate", str(upstream), str(port), *wrong]).exit_code == 2


def test_the_command_ends_with_1_where_a_graph_does_not_fit(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from porter.estimate import compiler

    monkeypatch.setenv("SOVITS_PORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiler, "check_compiler", lambda: {"libtpu": "0"})
    upstream, port = places
    page = tmp_path / "page.html"
    command = ["estimate", str(upstream), str(port), "--preset", "tiny", "--case", FORWARD, "--chip", "v5e"]
    for needs, status in ((10, 0), (10**12, 1)):
        monkeypatch.setattr(compiler, "LibTpu", lambda timeout, needs=needs: Formula(lambda graph: needs))
        done = CliRunner().invoke(cli, [*command, "--chip", "v6e", "--html", str(page), "--fresh"])
        assert done.exit_code == status, done.output
        assert f"{2 if status == 0 else 0} of 2 compile and fit" in page.read_text()
