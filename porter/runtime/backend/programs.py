"""Programs of XLA's as part of a graph."""

import functools
import importlib
from collections.abc import Sequence
from typing import Any

import torch

from . import mesh, xla

_written: dict[object, Any] = {}  # programs of `write_at`, a few for each number of slots


def call_program(
    name: str, hlo: bytes, tensors: Sequence[torch.Tensor], of_batch: tuple[Sequence[bool], Sequence[bool]]
) -> list[torch.Tensor]:
    """What a program, a serialized HloModuleProto, makes of XLA tensors: part of their graph.

    `of_batch` tells for each of `tensors` and of the results whether its first axis is that of the batch; results that
    are not are sums over it. XLA cannot divide a program: with several devices each runs its own, which is for its part
    of the batch.
    """
    count = mesh.devices()
    if count > 1:
        tensors = [_own_part(tensor, divided) for tensor, divided in zip(tensors, of_batch[0], strict=True)]
    native = xla.require()._XLAC
    results = list(native._xla_user_computation(f"xla::{name}", list(tensors), _computation(hlo)))
    if count > 1:
        results = [_from_parts(result, divided) for result, divided in zip(results, of_batch[1], strict=True)]
    return results


def write_at(
    wholes: Sequence[torch.Tensor],
    parts: Sequence[torch.Tensor],
    axis: int,
    place: torch.Tensor,
    *,
    apart: bool = False,
) -> None:
    """Write each of `parts` into one of `wholes` in place, from `place` (1), int64, of `axis` on; all of it has to fit.

    XLA's lowering of `index_copy_` also reads what was there, in case `place` is outside. `apart` keeps the write out
    of the fusion that computes a part: XLA's CPU goes over all of a whole in such a fusion.
    """
    if wholes[0].device.type != "xla":
        for whole, part in zip(wholes, parts, strict=True):
            whole.index_copy_(axis, place, part)
        return
    given = [place, *wholes, *parts]
    found = xla.require()._XLAC._xla_user_computation("xla::write_at", given, _writing(given, axis, apart))
    for whole, written in zip(wholes, found, strict=True):
        whole.copy_(written)


def _own_part(tensor: torch.Tensor, divided: bool) -> torch.Tensor:
    """What a device has of a tensor: its part along the first axis, or all of it."""
    axes = ("data" if divided else None, *[None] * (tensor.dim() - 1))
    own: torch.Tensor = xla.spmd().enable_manual_sharding(tensor.clone(), axes, mesh=mesh.current).global_tensor
    return own


def _from_parts(part: torch.Tensor, divided: bool) -> torch.Tensor:
    """The tensor that the devices have parts of along the first axis, or the sum of what each has."""
    part = part if divided else part.unsqueeze(0)
    shape = (part.shape[0] * mesh.devices(), *part.shape[1:])
    axes = ("data", *[None] * (part.dim() - 1))
    whole: torch.Tensor = xla.spmd().disable_manual_sharding(part, axes, shape, mesh=mesh.current).global_tensor
    return whole if divided else whole.sum(0)


@functools.lru_cache(maxsize=1024)  # a step calls each again; some ten shapes of a network
def _computation(hlo: bytes) -> Any:
    return xla.require()._XLAC._xla_op_computation_from_module_proto("kernel", hlo)


def _writing(given: Sequence[torch.Tensor], axis: int, apart: bool) -> Any:
    """A program of parameters (place, wholes, parts) that gives the wholes."""
    key = axis, apart, *((tensor.shape, tensor.dtype) for tensor in given)
    if key in _written:
        return _written[key]
    native: Any = importlib.import_module("torch_xla.core.xla_builder")
    builder, count = native.create_builder("write_at"), len(given) // 2

    def written(place: Any, wholes: Sequence[Any], parts: Sequence[Any]) -> list[Any]:
        first = place.reshape(())
        places = [first if number == axis else first.zeros_like() for number in range(given[1].dim())]
        return [whole.dynamic_update_slice(part, places) for whole, part in zip(wholes, parts, strict=True)]

    def once(place: Any, last: Any, *rest: Any) -> tuple[Any, ...]:
        one = native.Op.scalar(place.builder(), 1, dtype=native.Type.S64)
        parts = rest[count:]
        return place + one, last, *written(place, rest[:count], parts), *parts

    place, *others = (
        native.mkparam(builder, number, native.tensor_shape(tensor)) for number, tensor in enumerate(given)
    )
    if apart:  # a loop of one turn, which XLA cannot know
        state = place.reshape(()), place.reshape(()), *others
        whole = native.Op.mkwhile(state, lambda place, last, *rest: place <= last, once)
        results = [whole.get_tuple_element(number) for number in range(2, 2 + count)]
    else:
        results = written(place, others[:count], others[count:])
    _written[key] = native.Op.tuple(results).build("write_at")
    return _written[key]
