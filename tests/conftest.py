"""Settings for all tests."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("the same examples in each run", derandomize=True, deadline=None)
hypothesis.settings.load_profile("the same examples in each run")
os.environ.setdefault("PJRT_DEVICE", "CPU")
NO_DEVICE = "NONE"  # no device that torch_xla, or jax, knows: opening one fails


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that are marked xla are skipped where torch_xla is not installed."""
    if importlib.util.find_spec("torch_xla") is None:
        for item in items:
            if item.get_closest_marker("xla"):
                item.add_marker(pytest.mark.skip(reason="torch_xla is not installed"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Open XLA's device for tests that are marked so; where there are none, no process of a test may open one."""
    if session.items and not any(item.get_closest_marker("xla") for item in session.items):
        os.environ["PJRT_DEVICE"] = os.environ["JAX_PLATFORMS"] = NO_DEVICE
    elif session.items and importlib.util.find_spec("torch_xla") is not None:
        # Autograd counts its device queues at the first backward pass; XLA has to be there by then.
        importlib.import_module("torch_xla").device()


@pytest.fixture(scope="session", autouse=True)
def temporary_files_of_tests() -> Iterator[None]:
    """What tests and their processes leave in the folder of temporary files goes when they end.

    Not a folder of pytest's, which nobody else may enter: some tests become another user.
    """
    with tempfile.TemporaryDirectory(prefix="sovits-tests-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", folder)
            patch.setattr(tempfile, "tempdir", folder)
            yield


@pytest.fixture(scope="session", autouse=True)
def programs_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels that tests lower are not kept in the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOVITS_PORT_COMPILATION_CACHE", str(tmp_path_factory.mktemp("programs")))
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test draws the same numbers, whichever ran before it."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def checks_of_distributions() -> Iterator[None]:
    """torch.compile switches the checks of distributions off for the whole process; no other test notices."""
    yield
    distributions = sys.modules.get("torch.distributions.distribution")
    if distributions is not None:
        distributions.Distribution.set_default_validate_args(__debug__)


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
