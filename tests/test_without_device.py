"""The mark xla: a run without such tests can open no device, in a test or in a process that one starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = """
import os
import subprocess
import sys

import pytest

OPEN = "import torch_xla; torch_xla.device()"


def test_in_a_process():  # of the environment that the test has
    subprocess.run([sys.executable, "-c", OPEN], check=True)


@pytest.mark.xla
def test_marked():
    raise AssertionError("this one is not run")
"""


def test_a_test_without_the_mark_fails_where_it_opens_a_device(tmp_path: Path) -> None:
    pytest.importorskip("torch_xla")
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_opening.py").write_text(_TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    xla: opens a device\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not xla", "."]
    chosen = {name: value for name, value in os.environ.items() if name not in ("PJRT_DEVICE", "JAX_PLATFORMS")}
    done = subprocess.run(command, cwd=tmp_path, env=chosen, capture_output=True, text=True, timeout=120)
    assert "1 failed, 1 deselected" in done.stdout
    assert "No PjRtPlugin registered" in done.stdout
