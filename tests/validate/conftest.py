"""What the tests of the judge share."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from tests import warm


@pytest.fixture(scope="module", autouse=True)
def warm_servers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Servers start with torch imported, but for the tests of how they start and end."""
    if importlib.util.find_spec("torch") is None or request.module.__name__.endswith(".test_children"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("porter.validate.children.subprocess", warm.instead())
        yield
