"""The backend on the CPU, with old and many-replica backends played by stand-ins."""

import importlib.util
import io
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist

from porter.runtime import chips, utils
from porter.runtime.backend import accelerator, replicas, xla


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("SOVITS_PORT_DEVICE", raising=False)
    monkeypatch.delenv("SOVITS_PORT_GRAPH_BREAKS", raising=False)
    yield
    utils.use_device(None)
    utils.set_graph_breaks(None)


def in_fresh_process(code: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SOVITS_PORT_")}
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        cwd=root,
        env=environment | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_without_torch_xla_everything_but_the_device_works_and_nothing_warns() -> None:
    in_fresh_process(
        """
        import sys
        sys.modules["torch_xla"] = None
        import torch
        from porter.runtime import ops, utils

        assert utils.default_device() == torch.device("cpu")
        try:
            utils.get_xla_device()
        except RuntimeError as error:
            assert 'pip install "torch==2.9.0" "torch_xla==2.9.0"' in str(error)
            assert "SOVITS_PORT_DEVICE=cpu" in str(error)
        else:
            raise AssertionError("no error")
        utils.use_device("cpu")
        assert utils.get_xla_device(3) == torch.device("cpu")
        utils.manual_seed(3)
        utils.mark_step()
        utils.mark_step("decoder")
        utils.print_values("x", torch.tensor(1.5))
        assert utils.get_rank() == 0 and utils.get_world_size() == 1 and not utils.is_distributed()
        layer = ops.parametrized_weight_norm(torch.nn.Conv1d(2, 2, 1))  # the other one warns, as torch's does
        optimizer = torch.optim.AdamW(layer.parameters())
        with utils.autocast(enabled=True):
            y = utils.checkpoint(layer, torch.randn(1, 2, 8))
            assert y.dtype == torch.float32
        ops.stft_magnitude(y[0], 4, window=torch.ones(4)).sum().backward()
        utils.optimizer_step(optimizer)
        with ops.device_forms():
            ops.interpolate(y, scale_factor=1.5, mode="linear")
            ops.stft_magnitude(y[0].detach(), 4, window=torch.ones(4))
        """
    )


def test_importing_the_runtime_loads_no_backend_and_steps_do_not_start_one() -> None:
    in_fresh_process(
        """
        import sys
        from porter.runtime import ops, utils

        utils.mark_step()
        utils.manual_seed(1)
        with utils.autocast():
            pass
        assert utils.get_rank() == 0
        assert "torch_xla" not in sys.modules
        """
    )


def test_the_cpu_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVITS_PORT_DEVICE", "cpu")
    assert utils.get_xla_device() == utils.default_device() == torch.device("cpu")
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        utils.use_device("gpu")


def test_graph_break_modes_come_from_the_call_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert utils.graph_breaks() == "step"
    monkeypatch.setenv("SOVITS_PORT_GRAPH_BREAKS", "component")
    assert utils.graph_breaks() == "component"
    utils.set_graph_breaks("off")
    assert utils.graph_breaks() == "off"
    with pytest.raises(ValueError, match="unknown graph break mode"):
        utils.set_graph_breaks("often")


def test_autocast_leaves_the_cpu_alone_unless_it_switches_off() -> None:
    x = torch.randn(2, 2)

    def dtype() -> torch.dtype:
        return (x @ x).dtype

    with utils.autocast(dtype=torch.float16):
        assert dtype() == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with utils.autocast():
            assert dtype() == torch.bfloat16
        with utils.autocast(enabled=False):
            assert dtype() == torch.float32
        assert utils.autocast(enabled=False)(dtype)() == torch.float32
        assert dtype() == torch.bfloat16


def test_autocast_of_a_type_of_device_is_torchs_but_for_half_precision_on_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 2)
    with utils.autocast_for("cpu", torch.float16):
        assert (x @ x).dtype == torch.float16
    with utils.autocast_for("cpu", dtype=torch.float16, enabled=False):
        assert (x @ x).dtype == torch.float32
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(torch, "autocast", lambda kind, **how: asked.append((kind, how["dtype"], how["enabled"])))
    for kind in ("xla", "cuda"):
        utils.autocast_for(kind, torch.float16)
    assert asked == [("xla", torch.bfloat16, True), ("cuda", torch.float16, True)]


def test_one_autocast_can_be_entered_again_inside_itself() -> None:
    off = utils.autocast(enabled=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with off, off:
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")


def test_values_print_at_once_on_the_cpu() -> None:
    out = io.StringIO()
    x = torch.tensor(-1.5, requires_grad=True)
    utils.print_values("min", x * 2, torch.tensor([1, 2]), 3, sep="|", end=".", file=out)
    assert out.getvalue() == "min|tensor(-3., grad_fn=<MulBackward0>)|tensor([1, 2])|3."


def test_a_value_for_the_log_is_a_number_on_the_cpu() -> None:
    x = torch.tensor([3], dtype=torch.int64)
    for value, kind in ((utils.value_for_log(x), int), (utils.value_for_log(x, float), float)):
        assert value == 3 and type(value) is kind


def test_host_helpers_detach_and_copy() -> None:
    x = torch.ones(2, requires_grad=True)
    copied = utils.to_host(x)
    assert not copied.requires_grad
    copied.add_(1)
    assert x.tolist() == [1, 1]
    assert utils.on_host(x, copied)
    assert not utils.on_host(x, torch.ones(1, device="meta"))
    assert utils.on_device("meta", torch.zeros, 3).device.type == "meta"
    assert utils.constant(torch.ones(2).double(), "cpu", torch.float32).dtype == torch.float32


def test_a_constant_made_in_inference_mode_can_be_trained_through() -> None:
    with torch.inference_mode():
        fixed = utils.constant(torch.ones(2), "cpu")
    leaf = torch.ones(2, requires_grad=True)
    torch.autograd.backward((leaf * fixed).sum())
    assert leaf.grad is not None


def test_checkpoint_on_the_cpu_gives_the_plain_gradients() -> None:
    layer = torch.nn.Linear(3, 3)

    def body(x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return torch.tanh(layer(x)) * scale

    x = torch.randn(2, 3, requires_grad=True)
    for reentrant in (None, True, False):
        kwargs = {} if reentrant else {"scale": 2.0}
        wanted = torch.autograd.grad(body(x, **kwargs).sum(), [x, layer.weight])
        x.grad = layer.weight.grad = None
        utils.checkpoint(body, x, use_reentrant=reentrant, **kwargs).sum().backward()
        assert x.grad is not None
        assert layer.weight.grad is not None
        assert torch.equal(x.grad, wanted[0])
        assert torch.equal(layer.weight.grad, wanted[1])


def test_a_process_group_is_asked_for_rank_and_size(tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert (utils.get_rank(), utils.get_world_size(), utils.is_distributed()) == (0, 1, False)
        x = torch.ones(2)
        assert utils.all_reduce(x) is x
        assert utils.broadcast(x, 0).tolist() == [1, 1]
    finally:
        dist.destroy_process_group()


class Backend:
    """Stands in for torch_xla's modules and notes what is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
        self.calls: list[str] = []
        monkeypatch.setattr(xla, "require", lambda: module)
        monkeypatch.setattr(xla, "live", lambda: module)
        monkeypatch.setattr(xla, "model", lambda: self)
        monkeypatch.setattr(xla, "runtime", lambda: self)

    def world_size(self) -> int:
        return 2

    def global_ordinal(self) -> int:
        return 1

    def xla_device(self, index: int | None) -> str:
        return "meta" if index is None else f"meta:{index}"

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.calls.append(name)


def test_an_older_backend_is_reached_by_its_older_names(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend(monkeypatch, SimpleNamespace())
    assert utils.get_xla_device(1) == torch.device("meta:1")
    utils.mark_step()
    assert backend.calls[-1] == "mark_step"


def test_steps_and_boundaries_cut_as_the_mode_says(monkeypatch: pytest.MonkeyPatch) -> None:
    cuts: list[str] = []
    Backend(monkeypatch, SimpleNamespace(sync=lambda: cuts.append("cut")))
    for mode, wanted in (("off", 0), ("step", 1), ("component", 2)):
        cuts.clear()
        utils.set_graph_breaks(mode)
        utils.mark_step("decoder")
        utils.mark_step()
        assert len(cuts) == wanted


def test_several_replicas_reduce_gradients_before_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend(monkeypatch, SimpleNamespace())
    assert (utils.get_rank(), utils.get_world_size(), utils.is_distributed()) == (1, 2, True)
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)])
    utils.optimizer_step(optimizer)
    utils.broadcast(torch.ones(1), 0)
    utils.all_reduce(torch.ones(1))
    assert backend.calls == ["reduce_gradients", "collective_broadcast", "all_reduce"]


# --- a TPU that is not used -----------------------------------------------------------------------


@pytest.fixture
def two_chips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two TPU chips and Google's network card."""
    for name, vendor, device in (
        ("0000:00:04.0", "0x1ae0", "0x0063"),
        ("0000:00:05.0", "0x1ae0", "0x0063"),
        ("0000:00:06.0", "0x1ae0", "0x0042"),
        ("0000:00:07.0", "0x8086", "0x0063"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "device").write_text(f"{device}\n")
    monkeypatch.setattr(chips, "BUS", tmp_path)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch_xla whose device cannot be had."""

    def fail() -> object:
        raise RuntimeError("Failed to open libtpu.so\nand more")

    monkeypatch.setattr(accelerator, "_looked", False)
    monkeypatch.setattr(replicas, "_started", False)
    monkeypatch.setattr(accelerator, "_PJRT_DEVICE", "")
    monkeypatch.setattr(xla, "require", fail)


TOLD = "this machine has 2 TPU chips, but no XLA device can be had: Failed to open libtpu.so"


@pytest.mark.usefixtures("two_chips", "broken")
def test_a_broken_tpu_is_told_once() -> None:
    assert chips.tpu_chips() == 2
    with pytest.warns(UserWarning) as seen:
        assert utils.default_device() == utils.default_device() == torch.device("cpu")
    assert [str(one.message) for one in seen] == [f"{TOLD}; this process runs on the CPU"]


@pytest.mark.usefixtures("two_chips", "broken")
def test_a_trainer_does_not_go_on_without_the_tpu(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        utils.start_replicas()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"{TOLD}; SOVITS_PORT_DEVICE=cpu trains on the CPU\n"


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("chosen", ["SOVITS_PORT_DEVICE", "PJRT_DEVICE"])
def test_who_asks_for_the_cpu_gets_it_without_a_word(chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if chosen == "PJRT_DEVICE":
        monkeypatch.setattr(accelerator, "_PJRT_DEVICE", "CPU")
    else:
        monkeypatch.setenv(chosen, "cpu")
    with warnings.catch_warnings(action="error"):
        assert utils.default_device() == torch.device("cpu")
        assert utils.start_replicas() == 1


@pytest.mark.usefixtures("broken")
def test_a_tpu_that_was_asked_for_and_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_PJRT_DEVICE", "TPU")
    with pytest.warns(
        UserWarning, match="^no XLA device can be had: Failed to open libtpu.so; this process runs on the"
    ):
        utils.default_device()


@pytest.mark.usefixtures("broken")
def test_a_broken_torch_xla_without_a_tpu_is_told_and_trains_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert utils.start_replicas() == 1
    monkeypatch.setenv("SOVITS_PORT_DEVICE", "no such thing")
    assert utils.default_device() == torch.device("cpu")
    monkeypatch.delenv("SOVITS_PORT_DEVICE")
    monkeypatch.setattr(accelerator, "_looked", False)
    if importlib.util.find_spec("torch_xla") is not None:
        with pytest.warns(UserWarning, match="^no XLA device can be had: Failed to open libtpu.so; this process"):
            utils.default_device()


@pytest.mark.usefixtures("two_chips", "broken")
def test_xlas_cpu_beside_a_tpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "get_xla_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(accelerator, "on_tpu", lambda: False)
    with pytest.warns(
        UserWarning, match=r"2 TPU chips, but torch_xla does not find libtpu: pip install 'torch_xla\[tpu,pallas"
    ):
        utils.default_device()
