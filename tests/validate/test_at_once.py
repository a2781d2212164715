"""How many processes of one side run at a time."""

from __future__ import annotations

import os
from typing import Any

import pytest

from porter.validate.judge import _at_once
from porter.validate.request import Request

_PAGE = 4096


@pytest.mark.parametrize(
    ("cores", "gibibytes", "count"),
    [(1, 64, 1), (2, 24, 2), (64, 256, 4), (4, 16, 2), (4, 4, 1)],
)
def test_small_cases_share_cores_and_memory(
    cores: int, gibibytes: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: dict[Any, int] = {"SC_PHYS_PAGES": (gibibytes << 30) // _PAGE, "SC_PAGE_SIZE": _PAGE}
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert _at_once(Request("xla", "tiny"), {"PJRT_DEVICE": "CPU"}) == count
    assert _at_once(Request("cpu", "tiny"), {}) == count


def test_full_models_and_a_tpu_run_alone() -> None:
    assert _at_once(Request("xla", "full"), {"PJRT_DEVICE": "CPU"}) == 1
    assert _at_once(Request("tpu", "tiny"), {"PJRT_DEVICE": "TPU"}) == 1
