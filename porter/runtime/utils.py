"""Everything that talks to a backend: device, graph cuts, seeds, autocast, host copies, replicas.

Beside it only `loops.py`, which builds a loop of XLA's, and the scan in `ops/alignment.py` name torch_xla, so that a
second target is one more file like this one.
Importing it needs torch alone and starts no device. Works with torch_xla 2.5 to 2.9.

Environment: `SOVITS_PORT_DEVICE` ("xla", "cpu"; default "xla" where torch_xla is there),
`SOVITS_PORT_GRAPH_BREAKS` ("off", "step", "component"; default "step"), `SOVITS_PORT_FORMS` (see `ops/forms.py`) and
`SOVITS_PORT_COMPILATION_CACHE` (where `start_replicas` keeps compiled graphs, and `ops/programs.py` kernels: a folder,
or "off"; default `sovits-port` in `$XDG_CACHE_HOME` or `~/.cache`).
"""

import contextlib
import functools
import importlib
import importlib.util
import math
import os
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TextIO, TypeVar

import torch
import torch.distributed as dist
import torch.utils._pytree as pytree
import torch.utils.checkpoint as torch_checkpoint

from . import chips

P = ParamSpec("P")
R = TypeVar("R")

_MISSING = (
    'torch_xla is not usable here: install it with `pip install "torch==2.9.0" "torch_xla==2.9.0"`, '
    "or run on the CPU by setting SOVITS_PORT_DEVICE=cpu."
)
_DEVICES = {"xla": "xla", "tpu": "xla", "cpu": "cpu"}
_MODES = ("off", "step", "component")

_PJRT_DEVICE = os.environ.get("PJRT_DEVICE", "").upper()  # as the user set it: torch_xla sets it too

_kind = ""  # of TPU, once it was told
_looked = False  # whether it was told that a TPU is not used
_device_choice: str | None = None
_break_choice: str | None = None
_pending_seed: int | None = None
_started = False
_mesh: Any = None  # all devices of all processes, where there are several
_marked: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()  # whose state is said to be on every replica


# --- the device -----------------------------------------------------------------------------------


def use_device(name: str | None) -> None:
    """Choose "xla" (or "tpu") or "cpu"; None goes back to SOVITS_PORT_DEVICE. ValueError for others."""
    global _device_choice
    _device_choice = None if name is None else _known_device(name)


def get_xla_device(index: int | None = None) -> torch.device:
    """The XLA device (the CPU where the CPU was asked for). RuntimeError if torch_xla cannot be imported."""
    if _wanted_device() == "cpu":
        return torch.device("cpu")
    xla = _require_xla()
    if hasattr(xla, "device"):
        device = xla.device() if index is None else xla.device(index)
    else:
        device = _xla_model().xla_device(index)
    _seed_device()
    return torch.device(device)


def default_device() -> torch.device:
    """The XLA device where one can be had, else the CPU. Never raises; says once where a TPU is not used, and why."""
    global _looked
    error: Exception | None = None
    try:
        device = get_xla_device()
    except Exception as caught:  # whatever a broken installation or a missing device raises
        device, error = torch.device("cpu"), caught
    if not _looked:
        _looked = True
        amiss = ""
        with contextlib.suppress(ValueError):  # an unknown SOVITS_PORT_DEVICE, for one
            amiss = _amiss(error, told=importlib.util.find_spec("torch_xla") is not None)
        if amiss:
            warnings.warn(f"{amiss}; this process runs on the CPU", stacklevel=2)
    return device


def _amiss(error: Exception | None, *, told: bool = False) -> str:
    """Why a TPU is not used that is here, or was asked for, in a clause; "" where nothing is amiss.

    `error` is what came of asking for the device; `told`: an error is amiss without a TPU, too.
    """
    if _wanted_device() == "cpu" or _PJRT_DEVICE.startswith("CPU"):
        return ""
    found = chips.tpu_chips()
    here = f"this machine has {found} TPU chip{'s' if found > 1 else ''}, but " if found else ""
    if error is not None:
        wanted = found or told or _PJRT_DEVICE.startswith("TPU")
        return f"{here}no XLA device can be had: {_reason(error)}" if wanted else ""
    if found and not _PJRT_DEVICE and not on_tpu():
        return f"{here}torch_xla does not find libtpu: pip install 'torch_xla[tpu,pallas]'"
    return ""


def _reason(error: BaseException) -> str:
    """The first line of an error, or of the one behind it."""
    lines = str(error.__cause__ or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def on_host(*values: object) -> bool:
    """Whether every tensor, and every device, is the CPU's; what is neither is on the host anyway."""
    devices = (value.device if isinstance(value, torch.Tensor) else value for value in values)
    return all(not isinstance(device, torch.device) or device.type == "cpu" for device in devices)


def on_tpu() -> bool:
    """Whether the XLA device of this process is a TPU."""
    return _wanted_device() == "xla" and _xla_runtime().device_type() == "TPU"


def tpu_kind() -> str:
    """The kind of TPU that this process has, as "v5e" or "v6e"; "" where it cannot be told."""
    global _kind
    if not _kind:
        told = os.environ.get("TPU_ACCELERATOR_TYPE", "")
        if not told:
            try:  # a metadata server is asked: once, so that no later step gets another answer
                told = importlib.import_module("torch_xla._internal.tpu").get_tpu_env()["ACCELERATOR_TYPE"]
            except Exception:  # whatever that, or its absence, makes of it
                return ""
        name = told.lower().partition("-")[0]
        _kind = {"v5litepod": "v5e"}.get(name, name)
    return _kind


def to_host(x: torch.Tensor) -> torch.Tensor:
    """A detached copy on the CPU. From a device this is a host sync: for one-off initialisation only."""
    return x.detach().cpu() if not on_host(x) else x.detach().clone()


def content_id(tensor: torch.Tensor) -> tuple[int, int]:
    """Numbers that change when a tensor is written to, or gets other memory.

    A write through `.data` into the same memory, as `tensor.data.copy_(...)`, may leave them as they were; and on the
    CPU another tensor may have them as soon as that memory was free.
    """
    if tensor.device.type == "xla":
        return tensor._version, int(_require_xla()._XLAC._xla_get_tensor_id(tensor))
    return tensor._version, tensor.data_ptr()


def on_device(device: torch.device | str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function` so that the tensors it makes are made on `device`."""
    if torch.device(device).type == "cpu" and not torch._C._len_torch_function_stack():  # no other device by default
        return function(*args, **kwargs)  # without the context, which torch.compile cannot trace
    with torch.device(device):
        return function(*args, **kwargs)


def constant(
    tensor: torch.Tensor, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """A host tensor as data on `device` (default: `default_device()`), cast to `dtype` before the upload.

    It is uploaded at once and is a parameter of every graph that reads it, whatever ran before; so it can be
    cached.
    """
    target = default_device() if device is None else torch.device(device)
    if torch.compiler.is_compiling():  # torch.compile traces none of what follows, and needs none of it
        return tensor.detach().to(device=target, dtype=dtype or tensor.dtype)
    # A cached constant must not be an inference tensor: training may be the next to read it.
    with torch.inference_mode(False), torch.no_grad():
        source = tensor.detach().to(dtype=dtype or tensor.dtype)
        if source.is_inference():
            source = source.clone()
        if target.type != "xla" or not on_host(source):
            return source.to(target)
        return _sent(source, target)


def computed_on_host(
    factory: Callable[..., torch.Tensor], *args: Any, device: torch.device | str | None = None, **kwargs: Any
) -> torch.Tensor:
    """`factory(*args, device=device, **kwargs)` in the arithmetic of the host, for `torch.linspace` and its kin.

    What is meant for XLA is made on the CPU and uploaded, as `constant` does.
    """
    if device is None or torch.device(device).type != "xla":
        return factory(*args, device=device, **kwargs)
    return constant(factory(*args, device="cpu", **kwargs), device)


# --- graph cuts -----------------------------------------------------------------------------------


def set_graph_breaks(mode: str | None) -> None:
    """Set where `mark_step` cuts: "off", "step" or "component"; None goes back to the environment."""
    global _break_choice
    _break_choice = None if mode is None else _known_mode(mode)


def graph_breaks() -> str:
    """Where `mark_step` cuts the graph: "off", "step" or "component"."""
    return _break_choice or _known_mode(os.environ.get("SOVITS_PORT_GRAPH_BREAKS") or "step")


def mark_step(boundary: str | None = None) -> None:
    """End a step, or, with the name of a component, mark a boundary inside one.

    The end of a step cuts the graph (compile and run what is pending) unless graph breaks are "off"; a
    boundary cuts it only when they are set to "component". Does nothing in a process that has not touched an
    XLA device.
    """
    mode = graph_breaks()
    if mode == "off" or (boundary is not None and mode != "component"):
        return
    run_pending()


def run_pending() -> None:
    """Compile and run what is pending, whatever graph breaks are set to; does nothing where no XLA device is in use."""
    xla = _live_xla()
    if xla is None:
        return
    if hasattr(xla, "sync"):
        xla.sync()
    else:
        _xla_model().mark_step()


def print_values(
    *values: object,
    sep: str = " ",
    end: str = "\n",
    file: TextIO | None = None,
    flush: bool = False,
    numbers: bool = False,
) -> None:
    """`print` without a host sync: with an XLA tensor among `values` it happens when the step is over.

    XLA tensors print as the CPU's, with the values of the moment of the call, and, with `numbers`, those of one
    element as Python numbers.
    """
    if not any(isinstance(value, torch.Tensor) and value.device.type == "xla" for value in values):
        print(*values, sep=sep, end=end, file=file, flush=flush)
        return
    held = [value.detach().clone() if isinstance(value, torch.Tensor) else value for value in values]

    def show(*arrived: object) -> None:
        print(*[_readable(value, numbers) for value in arrived], sep=sep, end=end, file=file, flush=flush)

    _xla_model().add_step_closure(show, args=tuple(held))


def value_for_log(tensor: torch.Tensor, kind: Callable[[torch.Tensor], Any] | None = None) -> Any:
    """The number in a tensor of one element, for logs: `.item()`, or `kind(tensor)` if that is `float`.

    From a device it is a detached copy of that moment instead, of no dimension, which is read when the log is written.
    """
    if on_host(tensor):
        return tensor.item() if kind is None else kind(tensor)
    held = tensor.detach().clone().reshape(())
    return held if kind is None or held.is_floating_point() else held.to(torch.float64)


def after_step(function: Callable[[], object]) -> Callable[[], object]:
    """Call `function` when the next `mark_step()` has run the graph; at once where no XLA device is in use.

    At once too where graph breaks are "off", since nobody knows when the step will end. Reading a tensor of the
    step there costs a transfer, but no graph of its own. For use as a decorator.
    """
    if _live_xla() is None or _wanted_device() == "cpu" or graph_breaks() == "off":
        function()
    else:
        _xla_model().add_step_closure(function)
    return function


# --- random numbers and precision -----------------------------------------------------------------


def manual_seed(seed: int) -> None:
    """Seed torch, and the XLA device: at once if the process has touched it, else when it first does."""
    global _pending_seed
    torch.manual_seed(seed)
    _pending_seed = seed
    _live_xla()


class autocast:  # noqa: N801  # the name it stands in for
    """Context manager and decorator in the place of `torch.cuda.amp.autocast`.

    On XLA it is the device's own autocast in bfloat16, whatever half precision was asked for; another dtype
    switches it off. On the CPU it has no effect, except that `enabled=False` switches a surrounding autocast
    off. Which device that is shows when the context is entered, not when it is made.
    """

    def __init__(
        self, enabled: bool = True, dtype: torch.dtype | None = None, cache_enabled: bool | None = None
    ) -> None:
        self._enabled = enabled and dtype in (None, torch.float16, torch.bfloat16)
        self._cache_enabled = cache_enabled
        self._entered: list[contextlib.ExitStack] = []

    def __enter__(self) -> "autocast":
        with contextlib.ExitStack() as stack:
            if not self._enabled:
                stack.enter_context(torch.autocast("cpu", enabled=False))
            if _live_xla() is not None:
                stack.enter_context(
                    torch.autocast(
                        "xla",
                        dtype=torch.bfloat16,
                        enabled=self._enabled,
                        cache_enabled=self._cache_enabled,
                    )
                )
            self._entered.append(stack.pop_all())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entered.pop().__exit__(kind, error, trace)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """`function` run under this autocast."""

        @functools.wraps(function)
        def under_autocast(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return under_autocast


def compiles() -> int:
    """How many graphs this process has compiled; 0 where it has not touched an XLA device."""
    if _live_xla() is None:
        return 0
    return int(importlib.import_module("torch_xla.debug.metrics").counter_value("UncachedCompile") or 0)


# --- what is kept between runs ---------------------------------------------------------------------


def cache_folder(kind: str) -> Path | None:
    """Where compiled graphs ("xla") or kernels ("kernels") are kept between runs; None where they are not.

    They are not where there is no home folder either.
    """
    chosen = os.environ.get("SOVITS_PORT_COMPILATION_CACHE", "").strip()
    if chosen.lower() == "off":
        return None
    if chosen:
        folder = Path(chosen).expanduser()
        return folder if kind == "xla" else folder / kind
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(home, "sovits-port", kind)


# --- replicas -------------------------------------------------------------------------------------


def start_replicas() -> int:
    """Make one program of all devices of all hosts, and keep compiled graphs; returns the number of processes.

    Call it before a device is touched. With several devices this is SPMD: one process a host, the batch axis
    divided by `upload`, everything else as for one device. Without torch_xla, and on the CPU, it is 1 process
    and nothing happens; nor does anything in a second call.

    Ends the process with status 2 and a sentence where a TPU is here, or was asked for, and cannot be had: a trainer
    that went on would train on the CPU for days.
    """
    global _started, _mesh
    if _wanted_device() == "cpu":
        return 1
    error: Exception | None = None
    count = 1
    try:
        xla = _require_xla()
        runtime = _xla_runtime()
        count = count if _started else runtime.global_runtime_device_count()
    except Exception as caught:  # whatever a broken installation or a missing device raises
        error = caught
    if not _started and (amiss := _amiss(error)):
        print(f"{amiss}; SOVITS_PORT_DEVICE=cpu trains on the CPU", file=sys.stderr)
        raise SystemExit(2)
    if error is not None:
        return 1
    if not _started:
        _started = True
        _keep_compiled_graphs(xla, runtime)
        if count > 1:
            runtime.use_spmd()
            _mesh = _xla_spmd().Mesh(list(range(count)), (count,), ("data",))
    return int(runtime.process_count())


def process_index() -> int:
    """The number of this process (host), from 0."""
    if _wanted_device() == "cpu" or _live_xla() is None:
        return 0
    return int(_xla_runtime().process_index())


def launch(
    fn: Callable[..., object], args: Sequence[Any] = (), nprocs: int = 1, *ignored: Any, **also_ignored: Any
) -> None:
    """In the place of `torch.multiprocessing.spawn`: `fn(process_index(), *args)`, in this process."""
    fn(process_index(), *args)


def hosts() -> int:
    """How many processes, one a host, have to compile the same graphs."""
    return 1 if _mesh is None else int(_xla_runtime().process_count())


def devices() -> int:
    """How many devices a graph is divided over, along the first axis of its batch."""
    return 1 if _mesh is None else int(_mesh.size())


def replica_batch(size: int) -> int:
    """The batch of this process, when each of its devices is to get `size` samples."""
    return size if _mesh is None else size * int(_xla_runtime().addressable_runtime_device_count())


def upload(tensor: torch.Tensor) -> torch.Tensor:
    """A host tensor of a batch as data on the device: its first axis is divided over the replicas.

    A tensor of no dimension goes to every replica whole, and so does one whose first axis cannot be divided
    evenly. With several processes each brings its own part of the batch, which has to be divisible: else
    ValueError.
    """
    if _mesh is None or not on_host(tensor):
        return constant(tensor)
    runtime = _xla_runtime()
    devices, several = runtime.addressable_runtime_device_count(), runtime.process_count() > 1
    divided = tensor.dim() > 0 and tensor.shape[0] % devices == 0
    if several and tensor.dim() > 0 and not divided:
        raise ValueError(f"a batch of {tensor.shape[0]} cannot be divided over the {devices} devices of this host")
    with torch.no_grad():
        return _sent(tensor.detach(), get_xla_device(), "data" if divided else None)


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """A copy on the CPU, without autograd: the whole, or the part of this host where hosts divide the first axis."""
    if _mesh is None or _xla_runtime().process_count() == 1 or on_host(tensor):
        return tensor.detach().cpu()
    return _joined_shards(tensor.detach())


class Replicated(torch.nn.Module):
    """In the place of DistributedDataParallel: every replica has the whole `module`, and XLA adds up gradients.

    All processes must have made `module` with the same weights (the same seed, or a checkpoint).
    """

    def __init__(self, module: torch.nn.Module, *ignored: Any, **also_ignored: Any) -> None:
        super().__init__()
        self.module = replicate(module)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own."""
        return self.module(*args, **kwargs)


def replicate(module: torch.nn.Module) -> torch.nn.Module:
    """`module` itself, which every replica has whole from its first forward pass on.

    Not before: what is loaded into a tensor that is said to be replicated is a graph of its own for each shape.
    """
    settling = _Settling()
    settling.handle = module.register_forward_pre_hook(settling)
    return module


class _Settling:
    """The hook of a module's first forward pass."""

    handle: Any  # takes the hook away

    def __call__(self, module: torch.nn.Module, args: tuple[Any, ...]) -> None:
        self.handle.remove()
        _upload_again(module)


def get_world_size() -> int:
    """How many programs train together: torch.distributed's number where it is set up, else XLA's.

    1 after `start_replicas`, whatever the number of devices.
    """
    if _process_group():
        return dist.get_world_size()
    if _mesh is not None:
        return 1
    return int(_xla_runtime().world_size()) if _live_xla() is not None else 1


def get_rank() -> int:
    """This program's number, from 0."""
    if _process_group():
        return dist.get_rank()
    return int(_xla_runtime().global_ordinal()) if get_world_size() > 1 else 0


def is_distributed() -> bool:
    """Whether there is more than one program."""
    return get_world_size() > 1


def broadcast(tensor: torch.Tensor, src: int = 0) -> torch.Tensor:
    """Overwrite `tensor` with replica `src`'s, in place; nothing to do for one replica."""
    if not is_distributed():
        return tensor
    if _process_group():
        dist.broadcast(tensor, src)
    else:
        _xla_model().collective_broadcast([tensor], root_ordinal=src)
    return tensor


def all_reduce(tensor: torch.Tensor) -> torch.Tensor:
    """Overwrite `tensor` with its sum over the replicas, in place; nothing to do for one replica."""
    if not is_distributed():
        return tensor
    if _process_group():
        dist.all_reduce(tensor)
    else:
        _xla_model().all_reduce("sum", [tensor])
    return tensor


# --- optimizers -----------------------------------------------------------------------------------


def optimizer_step(optimizer: torch.optim.Optimizer) -> Any:
    """`optimizer.step()`, with the gradients averaged over XLA's processes first if there are several.

    Does not end the step: call `mark_step` for that. Gradients that DistributedDataParallel has reduced
    already are not reduced again. With Adam and AdamW every step has the same graph, the first one too; what
    `state_dict` gives is torch's own.
    """
    if not _process_group() and is_distributed():
        _xla_model().reduce_gradients(optimizer)
    if not isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW)):
        return optimizer.step()
    _make_adam_state(optimizer)
    with _steady_bias_correction(optimizer):
        return optimizer.step()


class GradScaler:
    """In the place of torch's GradScaler: bfloat16 has the range of float32, so nothing is scaled."""

    def __init__(self, *ignored: Any, **also_ignored: Any) -> None:
        pass

    def scale(self, outputs: Any) -> Any:
        """`outputs` as they are."""
        return outputs

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Nothing to undo."""

    def step(self, optimizer: torch.optim.Optimizer, *ignored: Any, **also_ignored: Any) -> Any:
        """`optimizer_step(optimizer)`."""
        return optimizer_step(optimizer)

    def update(self, new_scale: object = None) -> None:
        """Nothing to adapt."""

    def get_scale(self) -> float:
        """Always 1."""
        return 1.0

    def is_enabled(self) -> bool:
        """Always False."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Empty, like that of a torch scaler that is not enabled."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A scale saved elsewhere has no meaning here."""


def _adam_parameters(
    optimizer: torch.optim.Optimizer,
) -> Iterator[tuple[dict[str, Any], torch.Tensor]]:
    """Each XLA parameter that the next step updates, after its group, where steps are counted on the host."""
    for group in optimizer.param_groups:
        if not group["capturable"] and not group["fused"]:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.device.type == "xla":
                    yield group, parameter


def _make_adam_state(optimizer: torch.optim.Optimizer) -> None:
    """The state that the first step would make, as data: zeros made on the device are part of its graph."""
    for group, parameter in _adam_parameters(optimizer):
        state = optimizer.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            for name in ("exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * bool(group["amsgrad"])):
                zeros = torch.zeros(parameter.shape, dtype=parameter.dtype, device="cpu")
                state[name] = _sent(zeros, parameter.device)
    if _mesh is not None and optimizer not in _marked:  # a loaded state is not known to be replicated
        held = [value for state in optimizer.state.values() for value in state.values()]
        _mark_replicated(*[value for value in held if isinstance(value, torch.Tensor)])
        _marked.add(optimizer)
        optimizer.register_load_state_dict_post_hook(_marked.discard)


@contextlib.contextmanager
def _steady_bias_correction(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Keep Adam's bias corrections away from numbers that other graphs do not have, for the step.

    They are data of the graph, but 1 is a constant: when they reach it in float32, after some 1650 steps
    with a beta of 0.99, the step would compile again. Equal numbers are one parameter of a graph: in the first
    step `sqrt(1 - 0.99)` is the 0.1 of a network, and the second would compile again. The difference is less
    than 2e-7 of an update.
    """
    held: list[tuple[dict[str, Any], torch.Tensor]] = []
    for group, parameter in _adam_parameters(optimizer):
        slow, fast = (float(beta) for beta in reversed(group["betas"]))
        if not fast <= slow or not 0 < slow < 1:
            continue
        last = int(math.log(2.0**-22) / math.log(slow))
        state = optimizer.state[parameter]
        step = state["step"]
        taken = float(step)
        if taken == 0 or taken >= last:
            held.append((state, step))
            state["step"] = torch.full_like(step, last - 1 if taken else 2.0**-23)
    try:
        yield
    except BaseException:
        for state, step in held:
            state["step"] = step
        raise
    for state, step in held:
        state["step"] = step.add_(1)


# --- programs that are part of a graph -------------------------------------------------------------


def precise_products() -> bool:
    """Whether a TPU is to multiply float32 with more than one pass in bfloat16."""
    backends = getattr(sys.modules.get("torch_xla"), "backends", None)
    asked = getattr(backends, "get_mat_mul_precision", lambda: "default")()
    return bool(asked != "default")


def call_program(
    name: str, hlo: bytes, tensors: Sequence[torch.Tensor], of_batch: tuple[Sequence[bool], Sequence[bool]]
) -> list[torch.Tensor]:
    """What a program, a serialized HloModuleProto, makes of XLA tensors: part of their graph.

    `of_batch` tells for each of `tensors` and of the results whether its first axis is that of the batch; results that
    are not are sums over it. XLA cannot divide a program: with several devices each runs its own, which is for its part
    of the batch.
    """
    count = devices()
    if count > 1:
        tensors = [_own_part(tensor, divided) for tensor, divided in zip(tensors, of_batch[0], strict=True)]
    native = _require_xla()._XLAC
    results = list(native._xla_user_computation(f"xla::{name}", list(tensors), _computation(hlo)))
    if count > 1:
        results = [_from_parts(result, divided) for result, divided in zip(results, of_batch[1], strict=True)]
    return results


def _own_part(tensor: torch.Tensor, divided: bool) -> torch.Tensor:
    """What a device has of a tensor: its part along the first axis, or all of it."""
    axes = ("data" if divided else None, *[None] * (tensor.dim() - 1))
    own: torch.Tensor = _xla_spmd().enable_manual_sharding(tensor.clone(), axes, mesh=_mesh).global_tensor
    return own


def _from_parts(part: torch.Tensor, divided: bool) -> torch.Tensor:
    """The tensor that the devices have parts of along the first axis, or the sum of what each has."""
    part = part if divided else part.unsqueeze(0)
    shape = (part.shape[0] * devices(), *part.shape[1:])
    axes = ("data", *[None] * (part.dim() - 1))
    whole: torch.Tensor = _xla_spmd().disable_manual_sharding(part, axes, shape, mesh=_mesh).global_tensor
    return whole if divided else whole.sum(0)


@functools.lru_cache(maxsize=1024)  # a step calls each again; some ten shapes of a network
def _computation(hlo: bytes) -> Any:
    return _require_xla()._XLAC._xla_op_computation_from_module_proto("kernel", hlo)


# --- activation checkpointing ---------------------------------------------------------------------


def kept_apart(tensor: torch.Tensor) -> torch.Tensor:
    """A detached copy that XLA takes for another value, so that what is made of it is computed again."""
    copy = tensor.detach().clone()
    if not on_host(copy):
        _xla_model().optimization_barrier_([copy])
    return copy


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, **kwargs: Any) -> Any:
    """`torch.utils.checkpoint.checkpoint`, for XLA tensors too: the backward computes activations again.

    On XLA this is torch_xla's checkpoint, the only one that keeps the compiler from merging the two
    computations and that replays dropout. It is reentrant: gradients come from `.backward()`, not from
    `torch.autograd.grad`. A tensor of the result wants a gradient where the function's does. `context_fn`,
    `determinism_check`, `debug` and `early_stop` have no meaning there and are left out.
    """
    inputs = [value for value in pytree.tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
    if all(value.device.type != "xla" for value in inputs):
        reentrant = bool(use_reentrant)
        return torch_checkpoint.checkpoint(function, *args, use_reentrant=reentrant, **kwargs)

    preserve = kwargs.pop("preserve_rng_state", True)
    for name in ("context_fn", "determinism_check", "debug", "early_stop"):
        kwargs.pop(name, None)
    if not torch.is_grad_enabled():
        return function(*args, **kwargs)

    leaves, form = pytree.tree_flatten((args, kwargs))
    with_gradient: list[bool] = []  # of each tensor of the result

    def run(_: torch.Tensor, *values: Any) -> Any:
        # The first time nobody keeps the graph, which tells what of the result wants a gradient.
        replayed = torch.is_grad_enabled()
        with torch.set_grad_enabled(True):
            given, named = pytree.tree_unflatten(list(values), form)
            flat, made = pytree.tree_flatten(function(*given, **named))
        if replayed:
            return tuple(flat)
        forms.append(made)
        with_gradient.extend(isinstance(value, torch.Tensor) and value.requires_grad for value in flat)
        return tuple(value.detach() if isinstance(value, torch.Tensor) else value for value in flat)

    # A reentrant checkpoint gives parameters no gradient unless some argument wants one, and all of its results one.
    forms: list[pytree.TreeSpec] = []
    device = next(value.device for value in inputs if value.device.type == "xla")
    wants_grad = torch.zeros((), device=device, requires_grad=True)
    xla_checkpoint = importlib.import_module("torch_xla.utils.checkpoint").checkpoint
    # torch_xla 2.5 asks for the state of autocast by names that torch has deprecated, in the backward pass too.
    for category in (DeprecationWarning, FutureWarning):
        warnings.filterwarnings("ignore", category=category, module=r"torch_xla\.utils\.checkpoint")
    result = xla_checkpoint(run, wants_grad, *leaves, use_reentrant=True, preserve_rng_state=preserve)
    wanted = zip(result, with_gradient, strict=True)
    flat = [x.detach() if isinstance(x, torch.Tensor) and not wants else x for x, wants in wanted]
    return pytree.tree_unflatten(flat, forms.pop())


# --- the backend ----------------------------------------------------------------------------------


def _known_device(name: str) -> str:
    if name.lower() not in _DEVICES:
        raise ValueError(f"unknown device {name!r}: choose one of {', '.join(map(repr, _DEVICES))}")
    return _DEVICES[name.lower()]


def _known_mode(mode: str) -> str:
    if mode not in _MODES:
        raise ValueError(f"unknown graph break mode {mode!r}: choose one of {', '.join(map(repr, _MODES))}")
    return mode


def _wanted_device() -> str:
    return _device_choice or _known_device(os.environ.get("SOVITS_PORT_DEVICE") or "xla")


def _require_xla() -> Any:
    try:
        return importlib.import_module("torch_xla")
    except (ImportError, OSError) as error:
        raise RuntimeError(_MISSING) from error


def _live_xla() -> Any:
    """torch_xla if this process has touched an XLA device, else None; seeds the device when first seen."""
    xla = sys.modules.get("torch_xla")
    native = getattr(xla, "_XLAC", None)
    if native is None:
        return None
    started = getattr(native, "_xla_runtime_is_initialized", None)
    if started is not None and not started():
        return None
    _seed_device()
    return xla


def _seed_device() -> None:
    global _pending_seed
    if _pending_seed is not None:
        seed, _pending_seed = _pending_seed, None
        _xla_model().set_rng_state(seed)


def _xla_model() -> Any:
    return importlib.import_module("torch_xla.core.xla_model")


def _xla_runtime() -> Any:
    return importlib.import_module("torch_xla.runtime")


def _xla_spmd() -> Any:
    return importlib.import_module("torch_xla.distributed.spmd")


def _sent(tensor: torch.Tensor, device: torch.device, first_axis: str | None = None) -> torch.Tensor:
    """A host tensor as data on `device`; its first axis divided along that axis of the mesh, if one is named."""
    sharding = None
    if _mesh is not None:
        axes = (first_axis, *[None] * (tensor.dim() - 1))[: tensor.dim()]
        sharding = _xla_spmd().ShardingSpec(_mesh, axes, minibatch=first_axis is not None)
    sent: list[torch.Tensor] = _xla_model().send_cpu_data_to_device([tensor.contiguous()], device, sharding)
    return sent[0]


def _mark_replicated(*tensors: torch.Tensor) -> None:
    """Say of those that are on XLA that every replica has them whole, unless something is said already."""
    if _mesh is None:
        return
    xla, spmd = _require_xla(), _xla_spmd()
    with torch.no_grad():
        for tensor in tensors:
            if tensor.device.type == "xla" and not xla._XLAC._get_xla_sharding_spec(tensor):
                spmd.mark_sharding(tensor, _mesh, (None,) * tensor.dim())


def _upload_again(module: torch.nn.Module) -> None:
    """Make parameters and buffers what a step would leave: data of the device, whatever moved or loaded them.

    Else torch makes views of a parameter in one way in the first step, and in another later, when an optimizer
    has written to it; each way is a graph.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.device.type == "xla":
            tensor.data = _sent(tensor.detach().cpu(), tensor.device)
    _mark_replicated(*module.parameters(), *module.buffers())


def _joined_shards(tensor: torch.Tensor) -> torch.Tensor:
    """What the devices of this process hold of a tensor, in their order; its whole where each holds all of it."""
    held = [data for data, _ in _require_xla()._XLAC._get_local_shards([tensor])[0]]
    divided = tensor.dim() > 0 and held[0].shape[0] < tensor.shape[0]
    return torch.cat(held) if divided else held[0]


def _keep_compiled_graphs(xla: Any, runtime: Any) -> None:
    """Have torch_xla keep compiled graphs on disk, where SOVITS_PORT_COMPILATION_CACHE says."""
    folder = cache_folder("xla")
    if folder is None or "XLA_PERSISTENT_CACHE_PATH" in os.environ:
        return
    if xla.__version__.startswith(("2.8.", "2.9.")):  # what they write no PJRT client of theirs reads back
        warnings.warn(
            f"torch_xla {xla.__version__} cannot read compiled graphs back from disk (2.5 to 2.7 can), so every "
            "start compiles them again. SOVITS_PORT_COMPILATION_CACHE=off silences this.",
            stacklevel=3,
        )
        return
    if runtime.process_count() > 1:  # hosts that share a disk must not write the same file
        folder = folder / f"process-{runtime.process_index()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        warnings.warn(f"compiled graphs are not kept: {error}", stacklevel=3)
        return
    if not xla._XLAC._xla_computation_cache_is_initialized():
        runtime.initialize_cache(str(folder), readonly=False)


def _process_group() -> bool:
    return dist.is_available() and dist.is_initialized()


def _readable(value: object, number: bool) -> object:
    if not isinstance(value, torch.Tensor):
        return value
    return value.item() if number and value.dim() == 0 else value.cpu()
