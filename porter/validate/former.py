"""What packages had when upstream was written, given back while upstream is judged.

A checkout of some years calls what torch, librosa and scipy have dropped since, and ends with an error where it did not
on its authors' machines: nothing could be compared. Each of these calls does what the last release did that had it. A
run names those that were made, since whoever trains with the same packages meets the error.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor

CALLED: set[str] = set()  # which of them were made in this process, or in the one that it is a fork of


@contextmanager
def former_calls(*, of_port: bool) -> Iterator[None]:
    """Give back what is gone, in packages that were imported: not torch's to a port, which needs none of it."""
    with ExitStack() as stack:
        for module, name, given_back in _CALLS:
            owner = sys.modules.get(module)
            if owner is None or (owner is torch and of_port):
                continue
            present = vars(owner).get(name)
            stack.enter_context(mock.patch.object(owner, name, given_back(present), create=present is None))
        yield


def _stft(present: Callable[..., Any]) -> Callable[..., Any]:
    """Real parts and imaginary parts on an axis of their own, unless it is asked for complex numbers."""
    signature = inspect.signature(present)

    @functools.wraps(present)
    def stft(*given: Any, **named: Any) -> Any:
        bound = signature.bind(*given, **named)
        bound.apply_defaults()
        given_complex = any(isinstance(one, Tensor) and one.is_complex() for one in bound.arguments.values())
        if bound.arguments["return_complex"] is not None or given_complex:
            return present(*given, **named)
        CALLED.add("torch.stft without return_complex")
        bound.arguments["return_complex"] = True
        return torch.view_as_real(present(*bound.args, **bound.kwargs))

    return stft


def _mel(present: Callable[..., Any]) -> Callable[..., Any]:
    """Its first arguments by position, as before librosa 0.10."""
    names = list(inspect.signature(present).parameters)

    @functools.wraps(present)
    def mel(*given: Any, **named: Any) -> Any:
        if given:
            CALLED.add("librosa.filters.mel with arguments by position")
        return present(**dict(zip(names, given, strict=False)), **named)

    return mel


def _moved(present: Callable[[str], Any] | None) -> Callable[[str], Any]:
    """The windows, which scipy 1.13 has in `scipy.signal.windows` alone."""

    def attribute(name: str) -> Any:
        windows = sys.modules["scipy.signal.windows"]
        if name in windows.__all__:
            CALLED.add(f"scipy.signal.{name}")
            return getattr(windows, name)
        if present is not None:
            return present(name)
        raise AttributeError(f"module 'scipy.signal' has no attribute {name!r}")

    return attribute


_CALLS: tuple[tuple[str, str, Callable[[Any], Callable[..., Any]]], ...] = (
    ("torch", "stft", _stft),
    ("librosa.filters", "mel", _mel),
    ("scipy.signal", "__getattr__", _moved),
)
