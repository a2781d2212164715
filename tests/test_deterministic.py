"""The same upstream gives the same bytes: with any hash seed, from any folder, in any order of listing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.deterministic import Run, compare
from bench.listing_order import shuffle_listings
from porter.generate import Settings, generate
from porter.inputs.upstream import open_upstream
from porter.package.store import Place
from tests.tiny_upstream import own_rules, snapshot_of, tiny

FILES: Mapping[str, str] = {
    "LICENSE": "Tiny License\n",
    "GPT_SoVITS/text/__init__.py": "from text.symbols import names\nimport torch\nfrom torch import nn\n\n\nclass A(nn.Module):\n    pass\n",
    "GPT_SoVITS/text/symbols.py": "names = {'a', 'b', 'c'}\n",
    **{
        f"GPT_SoVITS/module/{name}.py": "import torch\nfrom text import A\nfrom torch import randn\nfrom module import commons\n\n\n"
        f"class {name.title()}(torch.nn.Module):\n    def forward(self, x):\n        y = randn(3).to(x.device)\n"
        "        if x.sum() > 0:\n            return y\n"
        "        return torch.nn.functional.interpolate(x[None], scale_factor=2)\n"
        for name in ("zebra", "ant", "models", "heron")
    },
}


def upstream_below(root: Path, backwards: bool = False) -> Path:
    names = sorted(FILES, reverse=backwards)
    return tiny(root / "upstream", {name: FILES[name] for name in names})


def package(upstream: Path, out: Path, rules: tuple[Path, ...] = ()) -> dict[str, bytes]:
    generate(open_upstream(str(upstream)), Place(out), Settings(rules=rules))
    written = snapshot_of(out)
    assert {"port.json", "port.base", "module/tpu/zebra.py"} <= set(written)
    return written


def test_runs_of_their_own(tmp_path: Path) -> None:
    upstream = upstream_below(tmp_path)
    elsewhere = upstream_below(tmp_path / "elsewhere", backwards=True)
    runs = [
        Run("folder", "first", str(upstream)),
        *(Run("folder", seed, str(upstream), environment={"PYTHONHASHSEED": seed}) for seed in ("1", "2", "3")),
        Run("folder", "elsewhere", "../upstream/", cwd=elsewhere, environment={"PYTHONHASHSEED": "4"}),
        Run("folder", "backwards", str(upstream), order="0"),
    ]
    results = compare(runs, tmp_path)
    assert all("module/tpu/zebra.py" in result.files for result in results)
    assert [result.differing for result in results] == [()] * len(runs)


def test_a_difference_is_seen(tmp_path: Path) -> None:
    first, second = upstream_below(tmp_path / "a"), upstream_below(tmp_path / "b")
    tiny(second, {"GPT_SoVITS/module/heron.py": FILES["GPT_SoVITS/module/heron.py"] + "\n\nx = 1\n"})
    results = compare([Run("folder", str(root), str(root)) for root in (first, second)], tmp_path)
    assert results[0].differing == ()
    assert {"module/tpu/heron.py", "port.json", "port.base"} <= set(results[1].differing)
    assert "module/tpu/utils.py" in set(results[1].files) - set(results[1].differing)


@pytest.mark.parametrize("seed", range(6))
def test_order_of_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    upstream = upstream_below(tmp_path)
    rules = (own_rules(tmp_path / "rules"),)
    expected = package(upstream, tmp_path / "out", rules)
    with monkeypatch.context() as patch:
        shuffle_listings(seed, patch.setattr)
        again = package(upstream, tmp_path / "again", rules)
    assert again == expected


def test_listings_are_shuffled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"f{number}" for number in range(9)]
    for name in names:
        (tmp_path / name).touch()
    with monkeypatch.context() as patch:
        shuffle_listings(0, patch.setattr)
        with os.scandir(tmp_path) as entries:
            assert [entry.name for entry in entries] == names[::-1]
        assert os.listdir(tmp_path) == names[::-1]  # noqa: PTH208
        for listed in (tmp_path.iterdir(), tmp_path.glob("*"), tmp_path.rglob("*")):
            assert [path.name for path in listed] == names[::-1]
        assert next(os.walk(tmp_path))[2] == names[::-1]
        shuffle_listings(1, patch.setattr)
        assert os.listdir(tmp_path) not in (names, names[::-1])  # noqa: PTH208
