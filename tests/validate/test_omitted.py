"""What a run leaves out is said."""

from __future__ import annotations

import pytest

from porter.validate.cases import FORMS, KERNELS
from porter.validate.omitted import not_judged
from porter.validate.request import Request

CASES = ("a", "b", "c")


def test_a_full_run_on_a_tpu_leaves_out_only_what_runs_on_the_host() -> None:
    programs, left, own = not_judged(Request("tpu", "full"), (*CASES, *FORMS, *KERNELS), CASES, (), "")
    assert "programs" in programs
    assert "--device cpu" in left
    assert "--device cpu --forms tpu" in own


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request("cpu", "full"), "--device xla"),
        (Request("xla", "full"), "--forms tpu"),
        (Request("xla", "tiny"), "--preset full"),
        (Request("xla", "tiny", ("a",)), "2 of 3 cases"),
    ],
)
def test_devices_sizes_and_cases(request_: Request, words: str) -> None:
    asked = request_.cases or CASES
    assert any(words in told for told in not_judged(request_, CASES, asked, (), ""))


def test_cases_that_had_not_ended() -> None:
    first, *_ = not_judged(Request("cpu"), CASES, CASES, ("b", "c"), "SIGTERM")
    assert first == "2 cases that had not ended at SIGTERM: b, c"


def test_kernels_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVITS_PORT_KERNELS", "off")
    told = not_judged(Request("cpu", forms="tpu"), (*CASES, *KERNELS), CASES, (), "")
    assert "kernels: SOVITS_PORT_KERNELS is off" in told
    assert not any("were not asked for" in one for one in told)


def test_code_that_nobody_runs() -> None:
    told = not_judged(Request("cpu"), CASES, CASES, (), "", ("AR/far.py:unused",))
    assert "1 classes and functions that neither upstream's networks nor its trainers reach: AR/far.py:unused" in told


def test_extension_modules_that_nobody_built() -> None:
    told = not_judged(Request("cpu"), CASES, CASES, (), "", unbuilt=("search/core.pyx",))
    assert "the extension modules of search/core.pyx, which are not built: their source ran as Python" in told


def test_calls_that_packages_no_longer_have() -> None:
    told = not_judged(Request("cpu"), CASES, CASES, (), "", former=("numpy.int",))
    assert "numpy.int, which upstream calls and the packages here no longer have: that ran as it did" in told
