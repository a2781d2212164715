"""A sample of every submodule's result, in the order of execution: where two runs part is where to look."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor, nn

from porter.validate.step import flatten

_SAMPLE = 2048  # elements kept of each result, evenly spread


class Trace(AbstractContextManager["Trace"]):
    """Keeps `samples` of the results of all submodules during the block, in the order in which they return."""

    def __init__(self, model: nn.Module) -> None:
        """Nothing is watched before the block begins."""
        self.samples: dict[str, Tensor] = {}
        self._model = model
        self._calls: Counter[str] = Counter()
        self._hooks = ExitStack()

    def __enter__(self) -> Trace:
        for name, module in self._model.named_modules():
            if name:
                handle = module.register_forward_hook(self._hook(name))
                self._hooks.callback(handle.remove)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.close()

    def place(self, key: str, roots: tuple[str, ...]) -> dict[str, Any]:
        """Class of the submodule behind a sample, and the innermost one around it written below `roots`.

        `lines` holds the latter's file, first and last line; None where there is none.
        """
        name = key.partition(" ")[0].partition("#")[0]
        told: dict[str, Any] = {"name": key, "kind": type(self._model.get_submodule(name)).__name__}
        parts = name.split(".")
        for count in range(len(parts), -1, -1):
            around = type(self._model.get_submodule(".".join(parts[:count])))
            lines = lines_of(around, roots)  # type: ignore[arg-type]
            if lines is not None:
                return {**told, "around": around.__name__, "lines": lines}
        return {**told, "around": "", "lines": None}

    def _hook(self, name: str) -> Any:
        def keep(module: nn.Module, inputs: Any, result: Any) -> None:
            call = self._calls[name]
            self._calls[name] += 1
            for part, tensor in flatten(result):
                key = f"{name}#{call} {part}" if call or part != "result" else name
                self.samples[key] = sample(tensor)

        return keep


def sample(value: Tensor) -> Tensor:
    """At most `_SAMPLE` elements of a tensor, one dimension, the same for the same shape."""
    flat = value.detach().reshape(-1)
    return flat[:: max(1, -(-flat.numel() // _SAMPLE))].clone()


@functools.cache  # Python parses the whole file each time
def lines_of(kind: type[nn.Module], roots: tuple[str, ...]) -> tuple[str, int, int] | None:
    """File (relative to one of `roots`), first and last line of a class; None outside them."""
    try:
        file = inspect.getsourcefile(kind)
        source, first = inspect.getsourcelines(kind)
    except (OSError, TypeError):
        return None
    for root in roots:
        if file and Path(file).is_relative_to(root):
            return Path(file).relative_to(root).as_posix(), first, first + len(source) - 1
    return None
