"""Settings for all tests."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import pytest

# Autograd counts its device queues at the first backward pass; XLA has to be there by then.
os.environ.setdefault("PJRT_DEVICE", "CPU")
if importlib.util.find_spec("torch_xla") is not None:
    import torch_xla

    torch_xla.device()


@pytest.fixture(scope="session", autouse=True)
def programs_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels that tests lower are not kept in the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOVITS_PORT_COMPILATION_CACHE", str(tmp_path_factory.mktemp("programs")))
        yield


@pytest.fixture(scope="session", autouse=True)
def state_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What packages of tests were made with is not kept in the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def width_of_tests() -> Iterator[None]:
    """Commands print as wide as for whoever reads them through a pipe; processes of tests are told a terminal's width."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        patch.delenv("LINES", raising=False)
        yield
