"""Training on several devices as one program (SPMD): start, batches, and modules that every replica has whole."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch

from . import accelerator, cache, choice, mesh, transfers, xla

_started = False


def start_replicas() -> int:
    """Make one program of all devices of all hosts, and keep compiled graphs; returns the number of processes.

    Call it before a device is touched. With several devices this is SPMD: one process a host, the batch axis
    divided by `upload`, everything else as for one device. Without torch_xla, and on the CPU, it is 1 process
    and nothing happens; nor does anything in a second call.

    Ends the process with status 2 and a sentence where a TPU is here, or was asked for, and cannot be had: a trainer
    that went on would train on the CPU for days.
    """
    global _started
    if choice.wanted() == "cpu":
        return 1
    error: Exception | None = None
    count = 1
    try:
        module, runtime = xla.require(), xla.runtime()
        count = count if _started else runtime.global_runtime_device_count()
    except Exception as caught:  # whatever a broken installation or a missing device raises
        error = caught
    if not _started and (reason := accelerator.why_unused(error)):
        print(f"{reason}; SOVITS_PORT_DEVICE=cpu trains on the CPU", file=sys.stderr)
        raise SystemExit(2)
    if error is not None:
        return 1
    if not _started:
        _started = True
        cache.keep_compiled_graphs(module, runtime)
        if count > 1:
            runtime.use_spmd()
            mesh.current = xla.spmd().Mesh(list(range(count)), (count,), ("data",))
    return int(runtime.process_count())


def process_index() -> int:
    """The number of this process (host), from 0."""
    if choice.wanted() == "cpu" or xla.live() is None:
        return 0
    return int(xla.runtime().process_index())


def launch(
    fn: Callable[..., object], args: Sequence[Any] = (), nprocs: int = 1, *ignored: Any, **also_ignored: Any
) -> None:
    """In the place of `torch.multiprocessing.spawn`: `fn(process_index(), *args)`, in this process."""
    fn(process_index(), *args)


def replica_batch(size: int) -> int:
    """The batch of this process, when each of its devices is to get `size` samples."""
    return size if mesh.current is None else size * int(xla.runtime().addressable_runtime_device_count())


def upload(tensor: torch.Tensor) -> torch.Tensor:
    """A host tensor of a batch as data on the device: its first axis is divided over the replicas.

    A tensor of no dimension goes to every replica whole, and so does one whose first axis cannot be divided
    evenly. With several processes each brings its own part of the batch, which has to be divisible: else
    ValueError.
    """
    if mesh.current is None or not transfers.on_host(tensor):
        return transfers.constant(tensor)
    runtime = xla.runtime()
    devices, several = runtime.addressable_runtime_device_count(), runtime.process_count() > 1
    divided = tensor.dim() > 0 and tensor.shape[0] % devices == 0
    if several and tensor.dim() > 0 and not divided:
        raise ValueError(f"a batch of {tensor.shape[0]} cannot be divided over the {devices} devices of this host")
    with torch.no_grad():
        return mesh.sent(tensor.detach(), accelerator.get_xla_device(), "data" if divided else None)


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """A copy on the CPU, without autograd: the whole, or the part of this host where hosts divide the first axis."""
    if mesh.current is None or xla.runtime().process_count() == 1 or transfers.on_host(tensor):
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


def _upload_again(module: torch.nn.Module) -> None:
    """Make parameters and buffers what a step would leave: data of the device, whatever moved or loaded them.

    Else torch makes views of a parameter in one way in the first step, and in another later, when an optimizer
    has written to it; each way is a graph.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.device.type == "xla":
            tensor.data = mesh.sent(tensor.detach().cpu(), tensor.device)
    mesh.mark_replicated(*module.parameters(), *module.buffers())


def _joined_shards(tensor: torch.Tensor) -> torch.Tensor:
    """What the devices of this process hold of a tensor, in their order; its whole where each holds all of it."""
    held = [data for data, _ in xla.require()._XLAC._get_local_shards([tensor])[0]]
    divided = tensor.dim() > 0 and held[0].shape[0] < tensor.shape[0]
    return torch.cat(held) if divided else held[0]
