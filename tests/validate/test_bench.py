"""Unported, ported and another port on the same work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from porter.cli import cli
from porter.validate.bench.as_json import to_json
from porter.validate.bench.outcome import BenchOutcome, CaseFigures, SideFigures, ratios
from porter.validate.bench.steps import read_steps
from porter.validate.budget import StepCost
from porter.views.bench import print_bench

from .tiny import MODELS, write_port, write_upstream

ROOT = Path(__file__).parents[2]


def cost(compiles: int, seconds: float, **fallbacks: int) -> StepCost:
    return StepCost(compiles, compiles or 1, fallbacks, 0, 2 * compiles, 3, seconds)


def outcome(*sides: SideFigures) -> BenchOutcome:
    case = CaseFigures("some.case", sides)
    return BenchOutcome("up", "", "generated", "", "tiny", 3, 60.0, {}, (case,))


SLOW = SideFigures(
    "unported",
    "complete",
    (cost(8, 40.0, a=3, b=1), cost(0, 2.0, a=1), cost(1, 9.0, a=1), cost(0, 4.0, a=1)),
)
FAST = SideFigures("port", "complete", (cost(1, 10.0), cost(0, 0.5), cost(0, 0.4), cost(0, 3.0)))


def test_later_steps_are_medians_of_time_and_means_of_counts() -> None:
    assert SLOW.later is not None
    assert SLOW.later["seconds"] == 4.0
    assert SLOW.later["compiles"] == pytest.approx(1 / 3)
    assert SLOW.later["fallbacks"] == 1
    assert SLOW.spread == (2.0, 9.0)


def test_ratios_are_multiples_of_the_unported_side() -> None:
    first = ratios(FAST.first, SLOW.first)
    assert first["compiles"] == 1 / 8
    assert first["fallbacks"] == 0
    assert first["seconds"] == 0.25
    assert first["syncs"] is None  # none unported: nothing to be a multiple of
    assert ratios(FAST.later, SLOW.later)["seconds"] == 0.125


def test_a_side_that_died_has_the_figures_that_it_reached(capsys: pytest.CaptureFixture[str]) -> None:
    died = SideFigures("unported", "error", SLOW.steps[:1], "the process was killed by SIGABRT", "module/models.py:7")
    told = outcome(died, FAST)
    assert told.passed
    sides = to_json(told)["cases"][0]["sides"]
    assert sides["unported"]["later"] is None
    assert sides["unported"]["first"]["fallbacks"] == 4
    assert sides["port"]["ratios"]["first"]["seconds"] == 0.25
    assert set(sides["port"]["ratios"]["later"].values()) == {None}
    print_bench(told)
    text = capsys.readouterr().out
    assert "unported in step 2: the process was killed by SIGABRT at module/models.py:7" in text
    assert "0.25 x" in text


def test_a_port_that_died_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    told = outcome(SLOW, SideFigures("port", "timeout", (), "not done after 60 s (--timeout)"))
    assert not told.passed
    print_bench(told)
    assert "port in its first step: not done after 60 s (--timeout)" in capsys.readouterr().out
    assert not outcome(SLOW).passed


def test_steps_of_a_side_that_never_began(tmp_path: Path) -> None:
    assert read_steps(tmp_path / "steps.json") == ()


def invoke(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["bench", *map(str, arguments)])
    return done.exit_code, done.output


def test_what_is_refused(tmp_path: Path) -> None:
    upstream = write_upstream(tmp_path / "upstream")
    port = write_port(upstream, tmp_path / "port")
    for more, words in (
        (["--other", tmp_path], "has no module/tpu"),
        (["--case", "nothing"], "no case nothing"),
        (["--steps", "0"], "--steps"),
    ):
        status, text = invoke(upstream, port, *more)
        assert status == 2
        assert words in text
    status, text = invoke(upstream, tmp_path / "nowhere")
    assert (status, "is not a directory" in text) == (2, True)


# What goes wrong only on the device: v1 goes to the host, v2 takes the process with it.
HAZARD = """        if ssl.is_cpu:
            pass
        elif self.version == "v1":
            ssl = torch.nn.functional.interpolate(ssl, scale_factor=1.0) * ssl.mean().item()
        else:
            os.abort()  # HERE
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run of all three sides in two cases; the other port has a constructor of its own."""
    folder = tmp_path_factory.mktemp("bench")
    start = "        mask = commons.mask_of(y_lengths, y.size(2))\n"
    models = MODELS.replace("import random\n", "import os\nimport random\n").replace(start, HAZARD + start)
    models = models.replace("segment_size, **kwargs", "segment_size, version, **kwargs")
    models = models.replace(
        "__init__()\n        self.seg", "__init__()\n        self.version = version\n        self.seg"
    )
    upstream = write_upstream(folder / "upstream", models)
    port = write_port(upstream, folder / "port", HAZARD, "")
    other = folder / "another"
    shutil.copytree(port / "module" / "tpu", other / "module" / "tpu")
    theirs = other / "module" / "tpu" / "models.py"
    text = theirs.read_text().replace("from module.tpu import", "from module import")  # upstream's own
    theirs.write_text(
        text.replace(
            "self.version = version", 'self.version = version if version == "v1" else version.missing'
        ).replace("self.keys = nn.Linear(8, 8)", "self.keys = nn.Linear(8, 8, bias=False)")
    )
    command = [sys.executable, "-m", "porter", "bench", str(upstream), str(port), "--other", str(other)]
    command += ["--preset", "tiny", "--steps", "2", "--json", "--timeout", "200"]
    command += ["--case", "synthesizer.v1.forward", "--case", "synthesizer.v2.forward"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PJRT_DEVICE": "CPU"}, capture_output=True, text=True, timeout=500,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert str(folder) not in done.stdout
    told = json.loads(done.stdout)
    lines = models.splitlines()
    told["abort"] = f"module/models.py:{next(n for n, line in enumerate(lines, 1) if line.endswith('# HERE'))}"
    assert isinstance(told, dict)
    return told


@pytest.mark.xla
def test_all_sides_are_measured(measured: dict[str, Any]) -> None:
    sides = measured["cases"][0]["sides"]
    assert {name: side["verdict"] for name, side in sides.items()} == dict.fromkeys(
        ("unported", "port", "other"), "complete"
    )
    for side in sides.values():
        assert len(side["steps"]) == 3
        assert side["backend"] == "CPU"
    unported, port = sides["unported"], sides["port"]
    for when in ("first", "later"):
        assert unported[when]["syncs"] == 1
        assert unported[when]["fallbacks"] >= 1
        assert (port[when]["syncs"], port[when]["fallbacks"]) == (0, 0)
        assert port["ratios"][when]["syncs"] == 0
    assert unported["first"]["compiles"] > port["first"]["compiles"] == 1
    assert port["later_seconds"]["least"] <= port["later"]["seconds"] <= port["later_seconds"]["most"]


@pytest.mark.xla
def test_another_port_may_use_upstreams_modules_and_lack_weights(measured: dict[str, Any]) -> None:
    other = measured["cases"][0]["sides"]["other"]
    assert other["first"]["syncs"] == 0
    assert any("keys.bias" in finding for finding in other["findings"])


@pytest.mark.xla
def test_a_side_that_fails_is_a_result_with_its_line(measured: dict[str, Any]) -> None:
    sides = measured["cases"][1]["sides"]
    assert sides["unported"]["verdict"] == "error"
    assert "SIGABRT" in sides["unported"]["error"]
    assert sides["unported"]["where"] == measured["abort"]
    assert sides["unported"]["first"] is None
    assert sides["other"]["error"].startswith("AttributeError")
    assert sides["other"]["where"].startswith("module/tpu/models.py:")
    assert sides["port"]["verdict"] == "complete"
    assert measured["passed"] is True
