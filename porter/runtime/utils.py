"""Everything that talks to a backend: device, graph cuts, seeds, autocast, host copies, replicas.

No other file of the package names torch_xla, so that a second target is one more file like this one.
Importing it needs torch alone and starts no device. Works with torch_xla 2.5 to 2.9.

Environment: `SOVITS_PORT_DEVICE` ("xla", "cpu"; default "xla" where torch_xla is there) and
`SOVITS_PORT_GRAPH_BREAKS` ("off", "step", "component"; default "step").
"""

import contextlib
import functools
import importlib
import os
import sys
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TextIO, TypeVar

import torch
import torch.distributed as dist
import torch.utils.checkpoint as torch_checkpoint

P = ParamSpec("P")
R = TypeVar("R")

_MISSING = (
    'torch_xla is not usable here: install it with `pip install "torch==2.9.0" "torch_xla==2.9.0"`, '
    "or run on the CPU by setting SOVITS_PORT_DEVICE=cpu."
)
_DEVICES = {"xla": "xla", "tpu": "xla", "cpu": "cpu"}
_MODES = ("off", "step", "component")

_device_choice: str | None = None
_break_choice: str | None = None
_pending_seed: int | None = None


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
    """The XLA device where one can be had, else the CPU. Never raises."""
    try:
        return get_xla_device()
    except Exception:  # whatever a broken installation or a missing device raises
        return torch.device("cpu")


def on_host(*tensors: torch.Tensor) -> bool:
    """Whether every tensor is on the CPU."""
    return all(tensor.device.type == "cpu" for tensor in tensors)


def to_host(x: torch.Tensor) -> torch.Tensor:
    """A detached copy on the CPU. From a device this is a host sync: for one-off initialisation only."""
    return x.detach().cpu() if not on_host(x) else x.detach().clone()


def on_device(device: torch.device | str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function` so that the tensors it makes are made on `device`."""
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
    # A cached constant must not be an inference tensor: training may be the next to read it.
    with torch.inference_mode(False), torch.no_grad():
        source = tensor.detach().to(dtype=dtype or tensor.dtype)
        if source.is_inference():
            source = source.clone()
        if target.type != "xla" or not on_host(source):
            return source.to(target)
        sent: list[torch.Tensor] = _xla_model().send_cpu_data_to_device([source.contiguous()], target)
        return sent[0]


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
    xla = _live_xla()
    if xla is None:
        return
    if hasattr(xla, "sync"):
        xla.sync()
    else:
        _xla_model().mark_step()


def print_values(
    *values: object, sep: str = " ", end: str = "\n", file: TextIO | None = None, flush: bool = False
) -> None:
    """`print` without a host sync: with an XLA tensor among `values` it happens when the step is over.

    Tensors of no dimension print as Python numbers. The values are those of the moment of the call.
    """
    held = [value.detach().clone() if isinstance(value, torch.Tensor) else value for value in values]

    def show(*arrived: object) -> None:
        print(*[_readable(value) for value in arrived], sep=sep, end=end, file=file, flush=flush)

    if any(isinstance(value, torch.Tensor) and value.device.type == "xla" for value in held):
        _xla_model().add_step_closure(show, args=tuple(held))
    else:
        show(*held)


def after_step(function: Callable[[], object]) -> Callable[[], object]:
    """Decorator: call `function` when the next `mark_step()` has run the graph; at once where no XLA device is live."""
    if _live_xla() is not None:
        _xla_model().add_step_closure(function)
    else:
        function()
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


# --- replicas -------------------------------------------------------------------------------------


def get_world_size() -> int:
    """How many replicas train together: torch.distributed's number where it is set up, else XLA's."""
    if _process_group():
        return dist.get_world_size()
    return int(_xla_runtime().world_size()) if _live_xla() is not None else 1


def get_rank() -> int:
    """This replica's number, from 0."""
    if _process_group():
        return dist.get_rank()
    return int(_xla_runtime().global_ordinal()) if get_world_size() > 1 else 0


def is_distributed() -> bool:
    """Whether there is more than one replica."""
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


def optimizer_step(optimizer: torch.optim.Optimizer) -> Any:
    """`optimizer.step()`, with the gradients averaged over XLA's processes first if there are several.

    Does not end the step: call `mark_step` for that. Gradients that DistributedDataParallel has reduced
    already are not reduced again.
    """
    if not _process_group() and is_distributed():
        _xla_model().reduce_gradients(optimizer)
    return optimizer.step()


class GradScaler:
    """In the place of `torch.cuda.amp.GradScaler`: bfloat16 has float32's range, so there is nothing to scale."""

    def __init__(self, *_: object, **__: object) -> None:
        """Takes what torch's takes, and needs none of it."""

    def scale(self, outputs: Any) -> Any:
        """The losses as they are."""
        return outputs

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Nothing: gradients were not scaled."""

    def step(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        """`optimizer_step(optimizer)`."""
        return optimizer_step(optimizer)

    def update(self, new_scale: object = None) -> None:
        """Nothing: there is no scale."""

    def get_scale(self) -> float:
        """1.0."""
        return 1.0

    def is_enabled(self) -> bool:
        """False."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Empty, as that of a scaler of torch's that is not enabled."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: a scale that was saved has no meaning here."""


# --- activation checkpointing ---------------------------------------------------------------------


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, **kwargs: Any) -> Any:
    """`torch.utils.checkpoint.checkpoint`, for XLA tensors too: the backward computes activations again.

    On XLA this is torch_xla's checkpoint, the only one that keeps the compiler from merging the two
    computations and that replays dropout. It is reentrant: gradients come from `.backward()` (not
    `torch.autograd.grad`), and flow through tensors that are arguments or results themselves, not through
    those inside a list or a dict. `context_fn`, `determinism_check`, `debug` and `early_stop` have no meaning
    there and are left out.
    """
    inputs = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
    if all(value.device.type != "xla" for value in inputs):
        reentrant = bool(use_reentrant)
        return torch_checkpoint.checkpoint(function, *args, use_reentrant=reentrant, **kwargs)

    preserve = kwargs.pop("preserve_rng_state", True)
    for name in ("context_fn", "determinism_check", "debug", "early_stop"):
        kwargs.pop(name, None)
    if not torch.is_grad_enabled():
        return function(*args, **kwargs)

    names, count = tuple(kwargs), len(args)

    def run(_: torch.Tensor, *values: Any) -> Any:
        return function(*values[:count], **dict(zip(names, values[count:], strict=True)))

    # A reentrant checkpoint gives parameters no gradient unless some argument wants one.
    device = next(value.device for value in inputs if value.device.type == "xla")
    wants_grad = torch.zeros((), device=device, requires_grad=True)
    xla_checkpoint = importlib.import_module("torch_xla.utils.checkpoint").checkpoint
    # torch_xla 2.5 asks for the state of autocast by names that torch has deprecated, in the backward pass too.
    for category in (DeprecationWarning, FutureWarning):
        warnings.filterwarnings("ignore", category=category, module=r"torch_xla\.utils\.checkpoint")
    return xla_checkpoint(run, wants_grad, *args, *kwargs.values(), use_reentrant=True, preserve_rng_state=preserve)


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


def _process_group() -> bool:
    return dist.is_available() and dist.is_initialized()


def _readable(value: object) -> object:
    if not isinstance(value, torch.Tensor):
        return value
    return value.item() if value.dim() == 0 else value.cpu()
