"""The made dataset is what upstream's tools prepare: read by code of our own, and by upstream's where a copy is here."""

from __future__ import annotations

import ast
import json
import os
import wave
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")

import torch

from bench.training.layout import Side, lay_out_upstream
from porter.inputs.upstream import open_upstream
from porter.inputs.upstream.cache import cached_upstream
from tests import warm
from tests.test_real_upstreams import GITHUB, NEWEST
from tests.training_set import PHONES, RATE, make_dataset, write_config

ROOT = Path(__file__).parent.parent
HOP = 640

READ = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from bench.training.program import stand_in_for_audio
stand_in_for_audio("module")
from types import SimpleNamespace
from module.data_utils import DistributedBucketSampler, TextAudioSpeakerCollate, TextAudioSpeakerLoader

result = {}
for version, config in json.loads(sys.argv[2]).items():
    dataset = TextAudioSpeakerLoader(SimpleNamespace(**config["data"]), version=version)
    sampler = DistributedBucketSampler(dataset, 2, [32, 60, 90, 120], num_replicas=1, rank=0)
    batches = [TextAudioSpeakerCollate(version=version)([dataset[i] for i in batch]) for batch in list(sampler)[:2]]
    result[version] = {
        "clips": sorted({name for name, phones in dataset.audiopaths_sid_text}),
        "samples": [[list(part.shape) for part in dataset[i]] for i in range(3)],
        "loud": float(dataset[0][2].abs().max()),
        "batches": [[list(part.shape) for part in batch] for batch in batches],
    }
print(json.dumps(result))
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Side:
    if cached_upstream(GITHUB) is None:
        pytest.skip(f"no copy of {GITHUB} in the cache of upstreams; see CONTRIBUTING.md")
    snapshot = open_upstream(f"{GITHUB}@{NEWEST}", offline=True)
    return lay_out_upstream(snapshot, tmp_path_factory.mktemp("upstream"))


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        make_dataset(tmp_path / name, clips=3, seconds=(0.7, 1.0), seed=seed, version="v2Pro")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    other = contents(tmp_path / "other")
    assert all(other[name] != content for name, content in contents(tmp_path / "one").items())


def test_a_dataset_has_the_folders_and_forms_of_upstream(tmp_path: Path) -> None:
    names = make_dataset(tmp_path, clips=4, seconds=(0.7, 1.3), version="v2ProPlus")
    lines = [line.split("\t") for line in (tmp_path / "2-name2text.txt").read_text(encoding="utf-8").splitlines()]
    assert [line[0] for line in lines] == names
    lengths = set()
    for name, phones, *rest in lines:
        assert set(phones.split(" ")) <= set(PHONES)
        assert len(rest) == 2
        with wave.open(str(tmp_path / "5-wav32k" / name)) as sound:
            assert (sound.getframerate(), sound.getsampwidth(), sound.getnchannels()) == (RATE, 2, 1)
            samples = sound.getnframes()
            assert len(set(sound.readframes(samples))) > 10
        lengths.add(samples / RATE)
        features = torch.load(tmp_path / "4-cnhubert" / f"{name}.pt")
        assert features.dtype == torch.float32
        assert features.shape[:2] == (1, 768)
        assert features.shape[2] in (samples // HOP, samples // HOP - 1)
        assert torch.load(tmp_path / "7-sv_cn" / f"{name}.pt").shape == (1, 20480)
    assert (min(lengths), max(lengths)) == (0.7, 1.3)


def test_only_the_v2pro_family_has_features_of_the_speaker(tmp_path: Path) -> None:
    make_dataset(tmp_path, clips=2, seconds=(0.7, 0.8), version="v2")
    assert not (tmp_path / "7-sv_cn").exists()


def test_upstream_s_own_loader_reads_it(tmp_path: Path, upstream: Side) -> None:
    make_dataset(tmp_path / "data", clips=6, seconds=(0.7, 2.3), version="v2Pro")
    names = sorted(path.name for path in (tmp_path / "data" / "5-wav32k").iterdir())
    configs = {v: write_config(tmp_path / f"{v}.json", tmp_path / "data", version=v) for v in ("v1", "v2", "v2Pro")}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = warm.run(READ, json.dumps(upstream.search), json.dumps(configs), env=environment)
    assert told.returncode == 0, told.stderr
    assert "error" not in told.stdout
    for version, seen in json.loads(told.stdout.splitlines()[-1]).items():
        assert seen["clips"] == names
        assert 0.05 < seen["loud"] < 0.5
        for sample in seen["samples"]:
            ssl, spec, sound, text, *speaker = sample
            assert ssl == [1, 768, sound[1] // HOP]
            assert spec == [1025, sound[1] // HOP]
            assert text[0] > 1
            assert speaker == ([[1, 20480]] if version == "v2Pro" else [])
        assert all(len(batch) == (9 if version == "v2Pro" else 8) for batch in seen["batches"])


@pytest.mark.parametrize("version", ["v2", "v2Pro"])
def test_a_configuration_has_every_key_that_upstream_s_trainer_reads(
    tmp_path: Path, upstream: Side, version: str
) -> None:
    config = write_config(tmp_path / "config.json", tmp_path / "exp", version=version)
    assert json.loads((tmp_path / "config.json").read_text()) == config
    chains = set()
    for node in ast.walk(ast.parse((Path(upstream.search[0]) / "s2_train.py").read_text(encoding="utf-8"))):
        names: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            names.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id == "hps" and names:
            chains.add(tuple(reversed(names)))
    assert len(chains) > 20
    for chain in chains:
        told: Any = config
        for name in chain:
            if not isinstance(told, dict):  # a method of the value
                break
            assert name in told, ".".join(chain)
            told = told[name]


def test_single_values_of_a_configuration_can_be_changed(tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.json", tmp_path / "exp", train={"epochs": 7}, model={"n_layers": 1})
    assert (config["train"]["epochs"], config["model"]["n_layers"], config["train"]["batch_size"]) == (7, 1, 4)
    assert (tmp_path / "exp" / "logs_s2_v2").is_dir()
