"""Operators that compute in float64: a TPU has none of its own, so a port must not add any."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

_NODE = re.compile(r"= \(?f64\[[^=]*? (?P<name>\w+::\w+)\(")
_HELD = frozenset({"prim::Constant", "xla::device_data"})  # numbers, which XLA turns into whatever takes them


class WideOperators(TorchDispatchMode):
    """Counts the operators of an eager run that give float64 tensors."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.dtype == torch.float64:
            self.counts[func._schema.name] += 1
        return result


def wide_nodes(tensors: Iterable[Tensor]) -> Counter[str]:
    """Operators that give float64, in the graph that waits for tensors on XLA's device."""
    import torch_xla

    backend: Any = torch_xla
    waiting = [value for value in tensors if value.device.type == "xla"]
    if not waiting:
        return Counter()
    text = backend._XLAC._get_xla_tensors_text(waiting)
    return Counter(name for node in _NODE.finditer(text) if (name := node["name"]) not in _HELD)


def wide_findings(upstream: Mapping[str, int], port: Mapping[str, int]) -> list[str]:
    """Float64 in the port's graph, where upstream computes in none."""
    if upstream or not port:
        return []
    told = ", ".join(f"{name} x {count}" for name, count in sorted(port.items()))
    return [f"the port computes in float64, which upstream does not: {told}"]
