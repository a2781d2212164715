"""What compares trainings: noise by place, one side's run in its own process, and how far two runs are apart."""

from __future__ import annotations

import functools
import json
import math
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.training.comparing import compare_networks, compare_runs, read_weights, relative
from bench.training.costs import costs_of
from bench.training.layout import Side, lay_out_upstream, port_side
from bench.training.noise import NoiseAtPlaces, hashed, normal, uniform
from bench.training.program import narrow, narrow_transformer, padded_to, widened
from bench.training.running import Conditions, Run, Step, read_log, run_side
from bench.training.workplace import CLIPS, STEPS_AN_EPOCH, Workplace
from porter.errors import PortError
from porter.inputs.upstream import open_upstream
from porter.validate.compare import Array
from tests import warm
from tests.training_set import make_dataset, write_config

DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "randn_like": torch.randn_like,
    "rand_like": torch.rand_like,
    "dropout": lambda x: F.dropout(torch.ones_like(x), 0.3, training=True),
    "normal_": lambda x: torch.empty_like(x).normal_(1, 2),
    "bernoulli": lambda x: torch.bernoulli(torch.full_like(x, 0.4)),
    "exponential_": lambda x: torch.empty_like(x).exponential_(2),
    "randint": lambda x: torch.randint(2, 8, x.shape),
}


@pytest.mark.parametrize("name", DRAWS)
def test_padding_changes_no_noise(name: str) -> None:
    drawn = []
    for shape in ((2, 3, 50), (2, 4, 77)):
        with NoiseAtPlaces(5) as noise:
            noise.begin_step(3)
            torch.randn(shape[0], 2)  # of other dimensions, so it takes no number of those below
            drawn.append([DRAWS[name](torch.zeros(shape)), DRAWS[name](torch.zeros(shape))])
        assert noise.findings() == []
    short, long = drawn
    for one, two in zip(short, long, strict=True):
        assert torch.equal(one, two[:2, :3, :50])
    assert not torch.equal(short[0], short[1])


def test_integers_are_all_those_that_were_asked_for() -> None:
    with NoiseAtPlaces(5) as noise:
        noise.begin_step(1)
        drawn = torch.randint(-2, 3, (200,))
    assert sorted(set(drawn.tolist())) == [-2, -1, 0, 1, 2]


def test_each_step_has_noise_of_its_own_and_a_seed_changes_all() -> None:
    def draw(seed: int, step: int) -> Tensor:
        with NoiseAtPlaces(seed) as noise:
            noise.begin_step(step)
            return torch.randn(4, 4)

    assert torch.equal(draw(0, 1), draw(0, 1))
    assert not any(torch.equal(draw(0, 1), other) for other in (draw(0, 2), draw(1, 1)))


def test_noise_is_spread_as_its_family_says() -> None:
    words = hashed((1, 2), (64, 64, 64))
    flat, bell = uniform(words), normal(words)
    assert len(np.unique(words)) == words.size
    assert 0 < flat.min() < 1e-4
    assert 1 - 1e-4 < flat.max() < 1
    assert np.float32(flat.max()) < 1
    assert abs(flat.mean() - 0.5) < 0.003
    assert abs(flat.var() - 1 / 12) < 0.001
    assert abs(bell.mean()) < 0.01
    assert abs(bell.var() - 1) < 0.01
    assert abs((bell**4).mean() - 3) < 0.1
    assert max(abs(np.corrcoef(bell[1:].ravel(), bell[:-1].ravel())[0, 1]), abs(bell[:, 1:, 1:].mean())) < 0.01


def test_a_mask_keeps_as_many_as_it_was_asked_for() -> None:
    with NoiseAtPlaces(0):
        kept = F.dropout(torch.ones(100, 1000), 0.2) > 0
    assert abs(float(kept.float().mean()) - 0.8) < 0.01


def test_a_draw_that_has_no_value_by_place_is_told() -> None:
    with NoiseAtPlaces(0) as noise:
        assert sorted(torch.randperm(5).tolist()) == [0, 1, 2, 3, 4]
    assert "permutation" in str(noise.findings()[0])


class Wide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv1d(1, 16, 15)
        self.two = nn.Conv2d(16, 64, (5, 1), groups=4, stride=(3, 1), padding=(2, 0), bias=False)
        self.other = nn.Linear(8, 8)


def test_narrow_networks_have_fewer_channels_and_nothing_else_changes() -> None:
    class Narrow(Wide):
        pass

    narrow(Narrow, 4)
    made = Narrow()
    assert (made.one.in_channels, made.one.out_channels, made.one.kernel_size) == (1, 4, (15,))
    assert (made.two.in_channels, made.two.out_channels, made.two.groups) == (4, 16, 1)
    assert (made.two.stride, made.two.padding, made.two.bias) == ((3, 1), (2, 0), None)
    assert made.other.weight.shape == (8, 8)
    assert nn.Conv1d(16, 16, 1).out_channels == Wide().one.out_channels == 16


def test_a_narrow_transformer_has_fewer_of_what_it_is_asked_for() -> None:
    asked: dict[str, int] = {}

    class Transformer(nn.Module):
        def __init__(self, **sizes: int) -> None:
            super().__init__()
            asked.update(sizes)

    narrow_transformer(Transformer, 4)
    Transformer(dim=64, depth=3, heads=8, conv_layers=4)
    assert asked == {"dim": 16, "depth": 1, "heads": 2, "conv_layers": 4}


def test_a_batch_is_padded_further_with_zeros() -> None:
    batch = (
        torch.ones(2, 768, 10), torch.tensor([10, 8]), torch.ones(2, 1025, 10), torch.tensor([10, 8]),
        torch.ones(2, 1, 6400), torch.tensor([6400, 5000]), torch.ones(2, 5, dtype=torch.int64), torch.tensor([5, 4]),
        torch.ones(2, 20480),
    )  # fmt: skip
    padded = widened(batch, 4)
    assert [list(p.shape) for p in padded] == [
        [2, 768, 14], [2], [2, 1025, 14], [2], [2, 1, 6400 + 4 * 640], [2], [2, 9], [2], [2, 20480],
    ]  # fmt: skip
    assert all(torch.equal(wide[tuple(map(slice, part.shape))], part) for part, wide in zip(batch, padded, strict=True))
    assert all(wide.sum() == part.sum() for part, wide in zip(batch, padded, strict=True))
    assert torch.equal(padded_to(batch[0], [2, 768, 14]), padded[0])
    with pytest.raises(ValueError, match="cannot be padded"):
        padded_to(batch[0], [2, 768, 9])


def test_losses_are_read_from_a_log(tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text(
        "2026-01-01 00:00:00,000\texp\tINFO\t{'train': {'betas': [0.8, 0.99]}}\n"
        "2026-01-01 00:00:00,000\texp\tINFO\tTrain Epoch: 1 [0%]\n"
        "2026-01-01 00:00:00,000\texp\tINFO\t[3.5, 2.0, 1.0, nan, 0.0, inf, 12, 9.99875e-05]\n"
        "2026-01-01 00:00:00,000\texp\tINFO\t[0.25, 13, 0.0001]\n"
    )
    first, second = read_log(tmp_path / "train.log")
    assert (first.step, first.rate, first.losses["disc"], first.losses["kl"]) == (12, 9.99875e-05, 3.5, math.inf)
    assert math.isnan(first.losses["mel"])
    assert (second.step, dict(second.losses)) == (13, {"loss 1": 0.25})
    assert list(read_log(tmp_path / "none.log")) == []


def test_values_that_are_not_finite_are_never_close() -> None:
    assert relative(2.0, 2.001) == pytest.approx(5e-4)
    assert relative(0.0, 0.0) == 0.0
    assert relative(0.0, 1e-9) == relative(math.nan, math.nan) == relative(1.0, math.inf) == math.inf


def test_parameters_are_compared_one_by_one_and_together() -> None:
    generator = np.random.default_rng(0)
    old: dict[str, Array] = {name: generator.standard_normal(1000).astype(np.float32) for name in ("a", "b")}
    old["count"] = np.arange(3)
    new = {**old, "b": old["b"] * np.float32(1.01)}
    start = {**old, "b": old["b"] * np.float32(0.9)}
    told = compare_networks("G", old, new, start)
    assert [tensor.name for tensor in told.tensors] == ["b", "a"]
    assert told.tensors[0].db == pytest.approx(40, abs=0.1)
    assert told.tensors[0].moved_db == pytest.approx(20, abs=0.1)
    assert told.tensors[1].db == math.inf
    assert told.db == pytest.approx(43, abs=0.2)
    assert not told.passed
    assert compare_networks("G", old, old, start).passed
    changed: list[dict[str, Array]] = [{**old, "count": np.arange(1, 4)}, {"a": old["a"]}, {**old, "a": old["a"][:3]}]
    for broken in changed:
        assert compare_networks("G", old, broken, start).problems


def step(number: int, frames: int, **figures: int) -> Step:
    named = {name.replace("__", "::"): count for name, count in figures.items()}
    return Step(number, 1.0 + number, ((4, 768, frames),), {"normal of 3 dimensions": 2}, named, ())


def test_costs_tell_compiles_of_new_shapes_from_those_of_old_ones() -> None:
    steps = [
        step(0, 10, compiles=3, uploads=50),
        step(1, 20, compiles=3),
        step(2, 10, uploads=9),
        step(3, 20, uploads=9),
    ]
    fine = costs_of(steps, 2)
    assert (fine.shapes, fine.compiles_new, fine.compiles_later, fine.uploads) == (2, 6, 0, 7.0)
    assert fine.problems() == []
    late = costs_of([*steps, step(4, 20, compiles=1)], 2)
    assert (late.compiles_later, len(late.problems())) == (1, 1)


def test_costs_allow_host_syncs_only_where_something_is_logged() -> None:
    logged = {"aten___local_scalar_dense": 6, "downloads": 6}
    assert costs_of([step(0, 10, **logged), step(1, 10), step(2, 10, **logged)], 2).problems() == []
    assert len(costs_of([step(0, 10), step(1, 10, **logged)], 2).problems()) == 2
    assert "aten::stft 2 times" in costs_of([step(0, 10, aten__stft=2)], 1).problems()[0]


# A trainer of the same form as upstream's: options read at import, processes spawned, a global that counts steps.
MODELS = """
import torch
from torch import nn


class SynthesizerTrn(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(768, 4)
        self.drop = nn.Dropout(0.5)

    def forward(self, ssl):
        return self.inner(self.drop(ssl.transpose(1, 2)) + torch.randn_like(ssl.transpose(1, 2)))


class MultiPeriodDiscriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 8, 1)

    def forward(self, x):
        return self.conv(x.flatten(1).unsqueeze(1)).mean()
"""
DATA = """
import os

import torch


class Clips(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.places = [f"{folder}/4-cnhubert/{name}" for name in list({n for n in os.listdir(f"{folder}/4-cnhubert")})]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        return torch.load(self.places[index])[0, :, :20]
"""
TRAINER = """
import json, logging, os, sys

with open(sys.argv[2]) as file:
    hps = json.load(file)
import torch
import torch.multiprocessing as mp
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from module.data_utils import Clips
from module.models import MultiPeriodDiscriminator, SynthesizerTrn

global_step = 0


def main():
    mp.spawn(run, nprocs=1, args=(1,))


def collate(batch):
    return (torch.stack(batch),)


def run(rank, count):
    global global_step
    folder = hps["data"]["exp_dir"]
    writer = SummaryWriter(log_dir=folder)
    nets = SynthesizerTrn(), MultiPeriodDiscriminator()
    for net, key in zip(nets, ("pretrained_s2G", "pretrained_s2D")):
        net.load_state_dict(torch.load(hps["train"][key])["weight"])
    optimizer = torch.optim.SGD([p for net in nets for p in net.parameters()], SPEED)
    loader = DataLoader(Clips(folder), batch_size=2, collate_fn=collate, num_workers=WORKERS)
    for epoch in range(hps["train"]["epochs"]):
        for (ssl,) in loader:
            loss = (nets[1](nets[0](ssl)) - 1) ** 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/g/total", loss, global_step)
            with open(f"{folder}/train.log", "a") as log:
                log.write(f"now\\texp\\tINFO\\t{[loss.item(), global_step, 0.1]}\\n")
            global_step += 1
    for net, name in zip(nets, "GD"):
        torch.save({"model": net.state_dict()}, f"{folder}/logs_s2_v2/{name}_{global_step}.pth")


if __name__ == "__main__":
    main()
"""


def make_side(folder: Path, speed: str = "0.1", workers: str = "1") -> Side:
    (folder / "module").mkdir(parents=True)
    (folder / "module" / "models.py").write_text(MODELS)
    (folder / "module" / "data_utils.py").write_text(DATA)
    (folder / "s2_train.py").write_text(TRAINER.replace("SPEED", speed).replace("WORKERS", workers))
    return Side(folder.name, "s2_train", "module", (str(folder),))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.setattr("bench.training.running.subprocess", warm.instead())
    torch.manual_seed(0)
    starts = {"G": {"inner.weight": torch.randn(4, 768) * 0.01, "inner.bias": torch.randn(4)}}
    starts["D"] = {"conv.weight": torch.randn(2, 1, 1), "conv.bias": torch.randn(2)}
    for network, weights in starts.items():
        torch.save({"weight": weights}, tmp_path / f"{network}.pth")
    make_dataset(tmp_path / "data", clips=4, seconds=(0.7, 0.8))
    return Workplace(tmp_path, "v2", {network: tmp_path / f"{network}.pth" for network in starts})


def test_two_runs_of_a_trainer_are_alike_and_another_is_not(tmp_path: Path, workplace: Workplace) -> None:
    same, other = make_side(tmp_path / "same"), make_side(tmp_path / "other", "0.11")
    runs = {}
    for name, side in (("one", same), ("two", same), ("three", other)):
        config = workplace.config(name, 2)
        runs[name] = run_side(side, config, Conditions(narrow=4), 600)
        assert runs[name].status == 0, runs[name].output
    one = runs["one"]
    assert [line.step for line in one.log] == [entry.number for entry in one.steps] == [0, 1]
    assert one.steps[0].shapes == ((2, 768, 20),)
    assert dict(one.steps[0].draws) == {"bernoulli of 3 dimensions": 1, "normal of 3 dimensions": 1}
    assert one.last_checkpoint("D").name == "D_2.pth"
    alike = compare_runs(one, runs["two"], workplace.start)
    assert alike.passed
    assert {loss.name for loss in alike.losses} == {"loss 1", "loss/g/total"}
    assert all(network.db == math.inf for network in alike.networks)
    unlike = compare_runs(one, runs["three"])
    assert not unlike.passed
    assert all(loss.step == 1 and loss.worst > 1e-3 for loss in unlike.losses)
    assert unlike.networks[0].db < 60


def test_longer_padding_is_seen_in_shapes_and_can_be_asked_for_by_step(tmp_path: Path, workplace: Workplace) -> None:
    side = make_side(tmp_path / "side", workers="0")
    longer = run_side(side, workplace.config("longer", 2), Conditions(extra_frames=4), 600)
    assert [entry.shapes for entry in longer.steps] == [((2, 768, 24),)] * 2
    like = {entry.number: entry.shapes for entry in longer.steps}
    led = run_side(side, workplace.config("led", 2), Conditions(like=like), 600)
    assert led.log == longer.log


def test_a_run_in_float64_is_near_one_in_float32_and_no_rounding_is_left(tmp_path: Path, workplace: Workplace) -> None:
    side = make_side(tmp_path / "side")
    single, double = (
        run_side(side, workplace.config(name, 2), Conditions(double=name == "double"), 600)
        for name in ("single", "double")
    )
    assert {value.dtype for value in read_weights(double.last_checkpoint("G")).values()} == {np.dtype(np.float64)}
    values = [[value for line in run.log for value in line.losses.values()] for run in (single, double)]
    assert values[0] != values[1]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_a_run_can_be_killed_and_a_failed_one_is_a_result(tmp_path: Path, workplace: Workplace) -> None:
    config = workplace.config("killed", 2, epochs=10**6)
    log = tmp_path / "runs" / "killed" / "exp" / "train.log"
    side = make_side(tmp_path / "side", workers="0")
    killed = run_side(side, config, Conditions(), 120, kill_when=lambda: log.is_file() and log.stat().st_size > 500)
    assert killed.status == -signal.SIGKILL
    assert killed.log
    with pytest.raises(PortError, match="no checkpoint G_"):
        killed.last_checkpoint("G")
    failed = run_side(side, workplace.config("failed", 2, epochs="many"), Conditions(), 600)
    assert failed.status == 1
    assert "TypeError" in failed.tail()
    with pytest.raises(PortError, match="longer than"):
        run_side(side, config, Conditions(), 0.0)


def test_problems_of_a_run_are_told(tmp_path: Path, workplace: Workplace) -> None:
    side = make_side(tmp_path / "side", workers="0")
    run = run_side(side, workplace.config("run", 2), Conditions(), 600)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"status": 3}, "ended with status 3"),
        ({"log": run.log[:1]}, "steps were logged"),
        ({"log": tuple(replace(line, rate=0.2) for line in run.log)}, "learning rate of step 0 is 0.2"),
        ({"steps": tuple(replace(entry, draws={}) for entry in run.steps)}, "step 0 draws {}"),
        ({"steps": tuple(replace(entry, unshared=("a draw",)) for entry in run.steps)}, "a draw"),
    ]
    for change, told in changes:
        changed: Run = functools.partial(replace, run)(**change)
        difference = compare_runs(run, changed)
        assert not difference.passed
        assert any(told in problem for problem in difference.problems)


def test_a_resumed_run_finds_the_checkpoints_of_another(tmp_path: Path, workplace: Workplace) -> None:
    run = run_side(make_side(tmp_path / "side", workers="0"), workplace.config("first", 2), Conditions(), 600)
    config = workplace.config("second", 2, after=run)
    found = sorted(path.name for path in (config.parent / "exp" / "logs_s2_v2").iterdir())
    assert found == ["D_2.pth", "G_2.pth"]


def test_an_upstream_without_the_trainer_and_a_package_without_it_are_refused(tmp_path: Path) -> None:
    (tmp_path / "up" / "GPT_SoVITS" / "module").mkdir(parents=True)
    for name in ("commons", "models"):
        (tmp_path / "up" / "GPT_SoVITS" / "module" / f"{name}.py").write_text("import torch\n")
    with pytest.raises(PortError, match=r"no s2_train\.py"):
        lay_out_upstream(open_upstream(str(tmp_path / "up")), tmp_path / "out")
    (tmp_path / "up" / "GPT_SoVITS" / "s2_train.py").write_text("")
    side = lay_out_upstream(open_upstream(str(tmp_path / "up")), tmp_path / "out")
    assert (Path(side.search[0]) / "s2_train.py").is_file()
    with pytest.raises(PortError, match=r"no module\.tpu\.trainers\.s2_train"):
        port_side(side, tmp_path)


def test_the_default_dataset_fills_whole_batches() -> None:
    repeats = max(2, 100 // CLIPS)  # as upstream's loader repeats a small dataset
    assert CLIPS * repeats == STEPS_AN_EPOCH * 4


def test_a_configuration_of_steps_is_rounded_up_to_epochs(workplace: Workplace) -> None:
    told = write_config(workplace.folder / "c.json", workplace.folder / "exp")
    assert told["train"]["epochs"] == 1
    config = json.loads(workplace.config("run", 50).read_text())
    assert config["train"]["epochs"] == config["train"]["save_every_epoch"] == 3
