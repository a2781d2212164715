"""Replicas: on the CPU, with backends played by a stand-in, and for real with several virtual devices."""

import copy
import functools
import importlib.metadata
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from porter.runtime import utils
from porter.runtime.backend import accelerator, mesh, replicas, xla

from .graphs import HAS_XLA, cost_of, device

pytestmark = pytest.mark.xla

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(replicas, "_started", False)
    monkeypatch.setattr(mesh, "current", None)
    for name in ("SOVITS_PORT_COMPILATION_CACHE", "SOVITS_PORT_DEVICE", "XLA_PERSISTENT_CACHE_PATH"):
        monkeypatch.delenv(name, raising=False)
    yield
    utils.use_device(None)


# --- for real: several virtual devices of one process, each run in its own --------------------------


def run_training(devices: int, cache: str = "off", workers: int = 0, wrapped: bool = True) -> dict[str, Any]:
    """What `replica_training` prints with that many devices."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.replica_training", str(workers), str(int(wrapped))],
        cwd=ROOT,  # `-m` looks there first
        env=os.environ
        | {
            "PJRT_DEVICE": "CPU",
            "CPU_NUM_DEVICES": str(devices),
            "SOVITS_PORT_COMPILATION_CACHE": cache,
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("devices", [2, 4])
def test_each_device_runs_kernels_on_its_part_of_the_batch(devices: int) -> None:
    pytest.importorskip("jax", reason="kernels are written with jax")
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.replica_kernels"],
        cwd=ROOT,
        env=os.environ
        | {"PJRT_DEVICE": "CPU", "CPU_NUM_DEVICES": str(devices), "SOVITS_PORT_COMPILATION_CACHE": "off"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["devices"] == devices
    assert len(found["nearest"]) == 6
    assert min(found["nearest"].values()) > 110


@functools.cache
def trained(devices: int, workers: int, wrapped: bool) -> dict[str, Any]:
    return run_training(devices, workers=workers, wrapped=wrapped)


@pytest.mark.parametrize(("devices", "workers"), [(2, 2), (4, 0)])
def test_replicas_train_as_one_device_does(devices: int, workers: int) -> None:
    alone, together = trained(1, 0, True), trained(devices, workers, True)
    assert (together["processes"], together["devices"], alone["devices"]) == (1, devices, 1)
    assert together["world"] == [1, 0, False]
    assert len(together["losses"]) == 6
    assert together["losses"] == pytest.approx(alone["losses"], rel=1e-5)
    for name in ("gradients", "weights"):
        for ours, single in zip(together[name], alone[name], strict=True):
            assert ours == pytest.approx(single, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(("devices", "wrapped"), [(1, True), (4, True), (1, False), (2, False)])
def test_a_shape_compiles_once_from_the_first_step_on(devices: int, wrapped: bool) -> None:
    result = trained(devices, 0, wrapped)
    assert result["compiles"] == [1, 1, 0, 0, 0, 0]  # two lengths, in turn
    assert result["graphs"] == [1] * 6
    assert result["fallbacks"] == ["aten::_local_scalar_dense"]  # the losses that are read after the step


def _reads_graphs_back() -> bool:
    return HAS_XLA and importlib.metadata.version("torch_xla").startswith(("2.5.", "2.6.", "2.7."))


@pytest.mark.skipif(not _reads_graphs_back(), reason="this torch_xla cannot read compiled graphs back")
@pytest.mark.parametrize("devices", [1, 2])
def test_a_second_start_compiles_nothing(devices: int, tmp_path: Path) -> None:
    first, second = (run_training(devices, cache=str(tmp_path / "graphs")) for _ in range(2))
    assert sum(first["compiles"]) == 2
    assert (sum(second["compiles"]), second["from disk"]) == (0, 2)
    assert second["losses"] == first["losses"]


# --- with a stand-in for torch_xla ------------------------------------------------------------------


class Runtime:
    """Stands in for torch_xla's modules, with `devices` of `processes` hosts."""

    def __init__(self, patch: pytest.MonkeyPatch, devices: int, processes: int, version: str) -> None:
        self.devices, self.processes = devices, processes
        self.calls: list[str] = []
        self.cache: list[str] = []
        native = SimpleNamespace(_xla_computation_cache_is_initialized=lambda: bool(self.cache))
        patch.setattr(xla, "require", lambda: SimpleNamespace(__version__=version, _XLAC=native))
        patch.setattr(xla, "live", lambda: self)
        patch.setattr(accelerator, "get_xla_device", lambda: torch.device("cpu"))
        for name in ("model", "runtime", "spmd"):
            patch.setattr(xla, name, lambda: self)

    def global_runtime_device_count(self) -> int:
        return self.devices

    def addressable_runtime_device_count(self) -> int:
        return self.devices // self.processes

    def process_count(self) -> int:
        return self.processes

    def process_index(self) -> int:
        return self.processes - 1

    def use_spmd(self) -> None:
        self.calls.append("use_spmd")

    def Mesh(self, ids: list[int], shape: tuple[int, ...], names: tuple[str, ...]) -> object:
        assert ids == list(range(self.devices))
        return (shape, names)

    def ShardingSpec(self, mesh: object, axes: tuple[str | None, ...], minibatch: bool) -> object:
        return axes, minibatch

    def send_cpu_data_to_device(self, given: list[torch.Tensor], device: object, how: object) -> list[torch.Tensor]:
        self.calls.append(str(how))
        return given

    def initialize_cache(self, path: str, readonly: bool) -> None:
        assert not readonly
        self.cache.append(path)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not expected")


def runtime(patch: pytest.MonkeyPatch, devices: int, processes: int = 1, version: str = "2.7.0") -> Runtime:
    patch.setenv("SOVITS_PORT_COMPILATION_CACHE", "off")
    return Runtime(patch, devices, processes, version)


def test_one_device_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = runtime(monkeypatch, 1)
    assert utils.start_replicas() == 1
    assert backend.calls == []
    assert utils.replica_batch(6) == 6


def test_hosts_are_processes_and_their_devices_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = runtime(monkeypatch, 16, 4)
    assert [utils.start_replicas(), utils.start_replicas()] == [4, 4]
    assert backend.calls == ["use_spmd"]
    assert (utils.replica_batch(6), utils.process_index()) == (24, 3)
    assert (utils.get_world_size(), utils.get_rank(), utils.is_distributed()) == (1, 0, False)
    called: list[tuple[object, ...]] = []
    utils.launch(lambda *args: called.append(args), args=("n_gpus", 2), nprocs=4, join=True)
    assert called == [(3, "n_gpus", 2)]


@pytest.mark.parametrize(("shape", "wanted"), [((8, 3), "(('data', None), True)"), ((), "((), False)")])
@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_axis_of_a_batch_is_divided(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], wanted: str, processes: int
) -> None:
    backend = runtime(monkeypatch, 4, processes)
    utils.start_replicas()
    utils.upload(torch.ones(shape))
    assert backend.calls[1:] == [wanted]


def test_a_batch_that_cannot_be_divided_goes_whole_to_all_devices_of_one_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = runtime(monkeypatch, 4)
    utils.start_replicas()
    utils.upload(torch.ones(6, 2))
    assert backend.calls[1:] == ["((None, None), False)"]


def test_a_batch_that_cannot_be_divided_over_several_hosts_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime(monkeypatch, 8, 2)
    utils.start_replicas()
    with pytest.raises(ValueError, match="a batch of 6 cannot be divided over the 4 devices of this host"):
        utils.upload(torch.ones(6, 2))


@pytest.mark.parametrize(
    ("set_to", "processes", "wanted"),
    [
        ({}, 1, ["home/.cache/sovits-port/xla"]),
        ({"XDG_CACHE_HOME": "xdg"}, 1, ["xdg/sovits-port/xla"]),
        ({"SOVITS_PORT_COMPILATION_CACHE": "mine"}, 1, ["mine"]),
        ({"SOVITS_PORT_COMPILATION_CACHE": "mine"}, 2, ["mine/process-1"]),
        ({"SOVITS_PORT_COMPILATION_CACHE": "Off"}, 1, []),
        ({"XLA_PERSISTENT_CACHE_PATH": "theirs"}, 1, []),
    ],
)
def test_compiled_graphs_are_kept_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, set_to: dict[str, str], processes: int, wanted: list[str]
) -> None:
    backend = Runtime(monkeypatch, 2, processes, "2.7.0")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CACHE_HOME", "SOVITS_PORT_COMPILATION_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value if value == "Off" else str(tmp_path / value))
    utils.start_replicas()
    assert backend.cache == [str(tmp_path / place) for place in wanted]
    assert all(Path(place).is_dir() for place in backend.cache)


@pytest.mark.parametrize("version", ["2.8.0", "2.9.0"])
def test_a_torch_xla_that_cannot_read_graphs_back_writes_none_and_says_so(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    backend = Runtime(monkeypatch, 2, 1, version)
    with pytest.warns(UserWarning, match=f"torch_xla {version} cannot read compiled graphs back"):
        utils.start_replicas()
    monkeypatch.setattr(replicas, "_started", False)
    monkeypatch.setenv("SOVITS_PORT_COMPILATION_CACHE", "off")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        utils.start_replicas()
    assert backend.cache == []


def test_a_cache_folder_that_cannot_be_made_costs_only_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backend = Runtime(monkeypatch, 2, 1, "2.7.0")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SOVITS_PORT_COMPILATION_CACHE", str(tmp_path / "file" / "graphs"))
    with pytest.warns(UserWarning, match="compiled graphs are not kept"):
        assert utils.start_replicas() == 1
    assert backend.cache == []


# --- on the CPU -------------------------------------------------------------------------------------


def test_the_cpu_device_is_one_process_and_one_replica() -> None:
    utils.use_device("cpu")
    assert (utils.start_replicas(), utils.process_index(), utils.replica_batch(5)) == (1, 0, 5)
    assert mesh.current is None
    ranks: list[int] = []
    utils.launch(ranks.append, nprocs=1)
    assert ranks == [0]
    given = torch.ones(3)
    assert utils.upload(given).device.type == "cpu"


def test_after_a_step_means_at_once_on_the_cpu() -> None:
    utils.use_device("cpu")
    called: list[int] = []

    @utils.after_step
    def note() -> None:
        called.append(1)

    assert called == [1]
    note()
    assert called == [1, 1]


def test_a_replicated_module_is_the_module_under_the_names_of_a_parallel_one() -> None:
    layer = nn.Linear(2, 3)
    net = utils.Replicated(layer, [0], find_unused_parameters=True)
    x = torch.randn(4, 2)
    assert net.module is layer
    assert torch.equal(net(x), layer(x))
    assert torch.equal(net(input=x), layer(x))
    assert list(net.state_dict()) == ["module.weight", "module.bias"]


def test_a_network_that_is_replicated_bare_stays_what_it_is() -> None:
    layer = nn.Linear(2, 3)
    x = torch.randn(4, 2)
    wanted, names = layer(x), list(layer.state_dict())
    net = utils.replicate(layer)
    assert net is layer
    assert torch.equal(net(x), wanted)
    assert torch.equal(net(input=x), wanted)
    assert list(net.state_dict()) == names
    assert not layer._forward_pre_hooks


def test_a_scaler_scales_nothing_and_steps() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    scaler = utils.GradScaler("cuda", enabled=True)
    loss = weight.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert weight.tolist() == [0.5, 0.5]
    scaler.load_state_dict({"scale": 65536.0})
    assert (scaler.state_dict(), scaler.get_scale(), scaler.is_enabled()) == ({}, 1.0, False)


# --- optimizers on XLA ------------------------------------------------------------------------------


def steps_of(kind: Any, steps: int, width: int, begun: int = 0, **options: Any) -> tuple[Any, Any, list[int]]:
    """Train two layers, one of them unused, on XLA and by torch on the CPU; the compiles of each XLA step."""
    torch.manual_seed(5)
    reference = nn.Linear(3, width)  # a graph of its own: none is compiled yet
    unused = nn.Linear(2, 2)
    net, spare = copy.deepcopy(reference).to(device()), copy.deepcopy(unused).to(device())
    theirs = kind([*reference.parameters(), *unused.parameters()], lr=0.01, betas=(0.8, 0.99), **options)
    ours = kind([*net.parameters(), *spare.parameters()], lr=0.01, betas=(0.8, 0.99), **options)
    compiles = []
    for number in range(steps):
        x = torch.randn(4, 3)
        sent = utils.constant(x, device())

        def step(sent: torch.Tensor = sent) -> None:
            ours.zero_grad()
            (net(sent) * 0.1).square().mean().backward()  # 0.1 is also what Adam divides by first
            utils.optimizer_step(ours)
            utils.mark_step()

        theirs.zero_grad()
        (reference(x) * 0.1).square().mean().backward()
        theirs.step()
        compiles.append(cost_of(step).compiles)
        if number == 0 and begun:
            for optimizer in (ours, theirs):
                for state in optimizer.state.values():
                    state["step"].fill_(begun)
    for mine, wanted in zip(net.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(mine.detach().cpu(), wanted, rtol=1e-4, atol=1e-6)
    return ours, theirs, compiles


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_compiles_once_and_saves_what_torch_saves(kind: Any, amsgrad: bool) -> None:
    ours, theirs, compiles = steps_of(kind, 3, 3, amsgrad=amsgrad)
    assert compiles == [1, 0, 0]
    saved, wanted = ours.state_dict(), theirs.state_dict()
    assert saved["param_groups"] == wanted["param_groups"]
    assert saved["state"].keys() == wanted["state"].keys()
    for mine, reference in zip(saved["state"].values(), wanted["state"].values(), strict=True):
        assert list(mine) == list(reference)
        assert mine["step"].device.type == "cpu"
        assert mine["step"].dtype == reference["step"].dtype
        for name in mine:
            assert torch.allclose(mine[name].cpu(), reference[name], rtol=1e-4, atol=1e-7)
    theirs.load_state_dict(saved)
    theirs.step()


def test_adam_compiles_nothing_when_its_bias_correction_reaches_one() -> None:
    ours, theirs, compiles = steps_of(torch.optim.AdamW, 8, 5, begun=1652)
    assert compiles == [1] + [0] * 7
    for mine, reference in zip(ours.state.values(), theirs.state.values(), strict=True):
        assert float(mine["step"]) == float(reference["step"]) == 1659


def test_a_step_that_fails_leaves_the_count_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _, _ = steps_of(torch.optim.AdamW, 1, 7, begun=5000)

    def fail() -> None:
        raise ArithmeticError

    monkeypatch.setattr(ours, "step", fail)
    with pytest.raises(ArithmeticError):
        utils.optimizer_step(ours)
    assert {float(state["step"]) for state in ours.state.values()} == {5000}


def test_after_a_step_on_xla_values_are_there_and_cost_no_graph() -> None:
    utils.use_device("xla")
    x = utils.constant(torch.arange(3.0), device())
    seen: list[float] = []

    def step() -> None:
        total = (x + 1).sum()

        @utils.after_step
        def note() -> None:
            seen.append(total.item())

        assert seen == []
        utils.mark_step()

    assert cost_of(step).graphs == 1
    assert seen == [6.0]
