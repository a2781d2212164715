"""Which packages hold the compiler, and which torch_xla names."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from porter.estimate import pair
from porter.estimate.chips import CHIPS
from porter.estimate.compiling import compile_only

NAMED = {"jax": "0.7.1", "jaxlib": "0.7.1", "libtpu": "0.0.21"}


def test_what_torch_xlas_extras_name() -> None:
    requirements = [
        "numpy",
        "requests",
        "jax>=0.1",  # no extra: not for a TPU machine
        'libtpu==0.0.21; extra == "tpu"',
        'tpu-info; extra == "tpu"',
        'jaxlib==0.7.1; extra == "pallas"',
        'jax==0.7.1; extra == "pallas"',
        'jax==9.9; extra == "other"',
        "!! broken",
    ]
    assert pair._named(requirements) == NAMED
    assert pair._named([]) == {}
    assert pair._named(['libtpu-nightly==0.1.dev20241010; extra == "tpu"']) == {"libtpu": "0.1.dev20241010"}


def test_without_torch_xla_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert pair.named_by_torch_xla() == {}


def test_the_extra_aot_is_what_torch_xla_names() -> None:
    own = [Requirement(line) for line in metadata.requires("sovits-port") or []]
    here = [one for one in own if one.marker is not None and one.marker.evaluate({"extra": "aot"})]
    pinned = {one.name: str(one.specifier).removeprefix("==") for one in here if one.name in NAMED}
    assert set(pinned) == set(NAMED)
    assert pair.named_by_torch_xla() in ({}, pinned)
    told = pair.to_install("2.9.0")
    if sys.version_info >= (3, 13):  # no wheel of libtpu 0.0.21
        assert "libtpu==0.0.21.1" in told and "jax==0.7.1" in told
    else:
        assert told == "pip install 'torch_xla[tpu,pallas]==2.9.0'"


def test_in_words() -> None:
    assert pair.described(NAMED) == "libtpu 0.0.21 with jax 0.7.1"
    assert pair.described({**NAMED, "jaxlib": "0.8"}) == "libtpu 0.0.21 with jax 0.7.1 and jaxlib 0.8"
    assert pair.described({}) == "libtpu none with jax none"


def test_the_runtime_opens_the_same_chips() -> None:
    known = compile_only().TOPOLOGIES
    assert {name: chip.topology for name, chip in CHIPS.items()} == {name: told for name, (told, _) in known.items()}
