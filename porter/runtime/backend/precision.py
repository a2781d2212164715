"""Half precision: autocast as XLA has it, and the precision of products."""

import contextlib
import functools
import sys
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

import torch

from . import xla

P = ParamSpec("P")
R = TypeVar("R")


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
            if xla.live() is not None:
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


def autocast_for(
    device_type: str, dtype: torch.dtype | None = None, enabled: bool = True, cache_enabled: bool | None = None
) -> torch.autocast:
    """`torch.autocast` of a device of any type: XLA's half precision is bfloat16, also where float16 is asked for."""
    if device_type == "xla" and dtype is torch.float16:
        dtype = torch.bfloat16
    return torch.autocast(device_type, dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


def precise_products() -> bool:
    """Whether a TPU is to multiply float32 with more than one pass in bfloat16."""
    backends = getattr(sys.modules.get("torch_xla"), "backends", None)
    asked = getattr(backends, "get_mat_mul_precision", lambda: "default")()
    return bool(asked != "default")
