"""The terminal's report at any width, and the progress of a run."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise

import pytest
from rich.console import Console

pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

from porter.cli.case_progress import CaseProgress
from porter.validate.as_json import to_json
from porter.validate.outcome import Fusion
from porter.validate.report import print_outcome
from porter.validate.wording import decibels

from .made_up import outcome, tensor

LONG = "synthesizer.v2ProPlus.decode_streaming"


def printed(width: int) -> str:
    sink = io.StringIO()
    told = outcome()
    cases = tuple(replace(case, name=LONG) if case.name == "wrong" else case for case in told.cases)
    print_outcome(replace(told, cases=cases), Console(file=sink, width=width, markup=False, highlight=False))
    return sink.getvalue()


def table(text: str) -> list[str]:
    """The lines from the heading to the last case."""
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("case "))
    return lines[start : next(index for index, line in enumerate(lines) if line.startswith("Ratios"))]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 120, 160, 250])
def test_the_table_fits_and_cuts_no_name(width: int) -> None:
    lines = table(printed(width))
    assert all(len(line) <= width for line in lines)
    assert not any("…" in line for line in lines)
    size = lines[0].index("verdict") - 3
    assert LONG in "".join(line[:size].strip() for line in lines)
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:] if line.split()}
    assert rows["good"][0] == "pass"
    assert rows["late"][0] == "timeout"
    assert "old" not in rows


def test_wider_terminals_show_more() -> None:
    headings = [table(printed(width))[0].split() for width in (50, 70, 80, 100, 160)]
    assert headings[0] == ["case", "verdict"]
    assert all(len(narrow) < len(wide) for narrow, wide in pairwise(headings))
    assert "seconds" not in headings[-1]  # a step's and a case's are told apart
    assert table(printed(160))[0].endswith("step s   total s")


def test_details_come_after_the_table_and_the_summary_last() -> None:
    lines = printed(80).splitlines()
    assert lines[-1] == "1 of 4 cases pass, 1 mismatch, 1 over budget, 1 timeout, 1 not in this upstream."
    assert "old: models.py of this upstream knows no v9" in lines
    assert "Not validated: 1: models.py:Forgotten" in lines
    assert f"{LONG}: mismatch" in lines
    assert "good: pass" not in lines
    assert any(line.strip() == "and 27 more tensors" for line in lines)


def test_no_ratio_is_rounded_up_to_its_limit() -> None:
    assert decibels(109.97) == "109 dB"
    assert decibels(None) == "equal"


def test_ratios_of_few_bits_are_told_apart() -> None:
    told = outcome()
    cast = replace(tensor("bfloat16: fine", 120.0), dtype="bfloat16", snr_db=41.7, variation="bfloat16")
    cases = tuple(replace(one, tensors=(*one.tensors, cast)) if one.name == "good" else one for one in told.cases)
    sink = io.StringIO()
    print_outcome(replace(told, cases=cases), Console(file=sink, width=160, markup=False, highlight=False))
    assert "those in bfloat16 apart: 41 dB, in good." in sink.getvalue()
    assert next(line for line in sink.getvalue().splitlines() if line.startswith("good")).split()[2:4] == ["120", "dB"]
    group = to_json(replace(told, cases=cases))["cases"][0]["groups"]["results"]
    assert (round(group["least_db"], 1), group["least_variation"]) == (41.7, "bfloat16")


def test_what_kernels_stood_for_is_told() -> None:
    told, sink = outcome(), io.StringIO()
    fusions = (
        Fusion("dec.0", "residual", ""),
        Fusion("dec.1", "residual", ""),
        Fusion("flow", "", "no chain from mul"),
    )
    told = replace(told, forms="tpu", cases=(replace(told.cases[0], fusions=fusions), *told.cases[1:]))
    print_outcome(told, Console(file=sink, width=160, markup=False, highlight=False))
    assert {"Fused: 2 modules (2 residual).", "Not fused: good, flow: no chain from mul."} <= {
        *sink.getvalue().splitlines()
    }
    found = to_json(told)
    assert found["fused"] == 2 and found["cases"][0]["fusions"][2]["reason"] == "no chain from mul"
    assert "Fused" not in printed(160)


def test_json_tells_what_was_not_validated() -> None:
    told = to_json(outcome())
    assert told["not_validated"] == ["models.py:Forgotten"]
    assert told["host_only"] == [{"name": "data_utils.py:Collate", "reason": "runs in the data loader"}]
    assert "sounds" not in told["cases"][1]


def test_progress_in_a_pipe_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with CaseProgress(2) as progress:
        for case, verdict in (("a", "pass"), ("b", "mismatch")):
            progress(case, "upstream on the CPU")
            progress(case, verdict)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "[1/2] a: upstream on the CPU",
        "[1/2] a: pass",
        "[2/2] b: upstream on the CPU",
        "[2/2] b: mismatch",
    ]


def test_progress_on_a_terminal_is_a_bar_with_case_and_count() -> None:
    sink = io.StringIO()
    console = Console(file=sink, force_terminal=True, width=80, legacy_windows=False)
    with CaseProgress(3, console) as progress:
        progress("a", "upstream on the CPU")
        progress("a", "mismatch")
        progress("b[x]", "the port on xla")
    shown = sink.getvalue()
    assert "1/3" in shown
    assert "b[x]: the port on xla" in shown
    assert "a: mismatch" in shown


def test_a_failed_case_names_the_next_step_and_hand_edits() -> None:
    told = replace(outcome(), by_hand=("models.py",), not_judged=("models of full size",))
    sink = io.StringIO()
    print_outcome(told, Console(file=sink, width=100, markup=False, highlight=False))
    lines = [line.strip() for line in sink.getvalue().splitlines()]
    assert "models.py was changed by hand since it was generated" in lines
    assert "next: sovits-port validate upstream@v1 generated --preset tiny --seed 3 --case wrong --bisect" in lines
    assert not any("--case good" in line for line in lines)
    assert "Not judged: models of full size." in lines
    assert to_json(told)["not_judged"] == ["models of full size"]


def test_rows_appear_as_cases_end(capsys: pytest.CaptureFixture[str]) -> None:
    told = outcome()
    with CaseProgress(len(told.cases)) as progress:
        for case in told.cases:
            progress(case.name, "the port on cpu")
            progress.ended(case)
    lines = capsys.readouterr().err.splitlines()
    assert "[1/5] good: pass, results 120 dB, 0 s" in lines
    assert "[4/5] late: timeout, 9 s" in lines
