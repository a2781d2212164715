"""Says where two observations of one program differ."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from .running import Observation


@dataclass(frozen=True)
class Tolerance:
    """How far a number may be off: not at all, or by what another order of additions does."""

    relative: float = 0.0
    absolute: float = 0.0


EXACT = Tolerance()
CLOSE = Tolerance(1e-5, 1e-6)
ROUGH = Tolerance(1e-3, 1e-4)  # another device adds in another order


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same on both sides."""

    part: str  # such as `result`, `printed`, `gradients`
    place: str
    upstream: str
    port: str

    def __str__(self) -> str:
        return f"{self.part} {self.place}\n  upstream: {self.upstream}\n  port:     {self.port}"


def differences(
    upstream: Sequence[Observation], port: Sequence[Observation], tolerance: Tolerance, padded: bool = False
) -> list[Difference]:
    """All differences, the first call's first. `padded`: the port's results may be longer, by zeros."""
    found: list[Difference] = []
    if len(upstream) != len(port):
        return [Difference("construction", "", _error(upstream), _error(port))]
    for a, b in zip(upstream, port, strict=True):
        for part in fields(Observation):
            one, other = getattr(a, part.name), getattr(b, part.name)
            if part.name == "error" and one and other and _same_error(one, other):
                continue
            if padded and part.name == "result":
                other = _trimmed(one, other)
            for path, x, y in _unlike(one, other, tolerance, ""):
                found.append(Difference(part.name, f"{a.where} {path}".strip(), x, y))
                break  # one of a kind tells enough
    return found


def _error(seen: Sequence[Observation]) -> str:
    return str(seen[0].error) if seen and seen[0].error else "made"


def _same_error(a: tuple[str, str], b: tuple[str, str]) -> bool:
    """The same type and message; of torch's and Python's own complaints, which name what was called, the type."""
    if a == b:
        return True
    own = a[1] not in _RAISED and b[1] not in _RAISED and {a[0], b[0]} <= _OWN
    return own and (a[0] == b[0] or {a[0], b[0]} == _SIZES)


_OWN = frozenset(("TypeError", "RuntimeError", "IndexError", "NotImplementedError", "AttributeError"))
_SIZES = {"RuntimeError", "IndexError"}  # either is what torch says of a window that reaches beyond the end
# Messages that programs themselves raise.
_RAISED = frozenset(("bad", "bad value", "other", "short", "large", "", "('a', 1)"))


def _unlike(a: object, b: object, tolerance: Tolerance, path: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.dtype != b.dtype or a.shape != b.shape or not _alike(a, b, tolerance):
            yield path, _shown(a), _shown(b)
    elif isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if (
            a.dtype != b.dtype
            or a.shape != b.shape
            or not np.allclose(a, b, tolerance.relative, tolerance.absolute, equal_nan=a.dtype.kind == "f")
        ):
            yield path, _shown(a), _shown(b)
    elif type(a) is not type(b):
        yield path, _shown(a), _shown(b)
    elif isinstance(a, (tuple, list)):
        assert isinstance(b, (tuple, list))
        if len(a) != len(b):
            yield path, _shown(a), _shown(b)
            return
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _unlike(x, y, tolerance, f"{path}[{i}]")
    elif isinstance(a, dict):
        assert isinstance(b, dict)
        if list(a) != list(b):
            yield path, _shown(list(a)), _shown(list(b))
            return
        for key in a:
            yield from _unlike(a[key], b[key], tolerance, f"{path}.{key}")
    elif isinstance(a, (float, np.floating)):
        assert isinstance(b, (float, np.floating))
        if not (a == b or (math.isnan(a) and math.isnan(b)) or _near(float(a), float(b), tolerance)):
            yield path, _shown(a), _shown(b)
    elif a != b and not (isinstance(a, str) and isinstance(b, str) and _anywhere(a) == _anywhere(b)):
        yield path, _shown(a), _shown(b)


def _anywhere(text: str) -> str:
    """A text without addresses in memory."""
    return re.sub(r"\b0x[0-9a-f]+", "0x", text)


def _near(a: float, b: float, tolerance: Tolerance) -> bool:
    return abs(a - b) <= tolerance.absolute + tolerance.relative * abs(a)


def _alike(a: torch.Tensor, b: torch.Tensor, tolerance: Tolerance) -> bool:
    if a.is_complex():
        return _alike(torch.view_as_real(a), torch.view_as_real(b), tolerance)
    if tolerance is EXACT or not a.is_floating_point():
        if not a.is_floating_point():
            return torch.equal(a, b)
        same = (a == b) & (torch.signbit(a) == torch.signbit(b))
        return bool((same | (a.isnan() & b.isnan())).all())
    return torch.allclose(a, b, tolerance.relative, tolerance.absolute, equal_nan=True)


def _trimmed(wanted: object, got: object) -> object:
    """What was got, its tensors cut to the sizes that are wanted where all that is cut off is zero."""
    if isinstance(wanted, torch.Tensor) and isinstance(got, torch.Tensor) and wanted.dim() == got.dim():
        shared = got[tuple(slice(0, n) for n in wanted.shape)]
        return shared if torch.count_nonzero(shared) == torch.count_nonzero(got) else got
    if isinstance(wanted, (list, tuple)) and isinstance(got, (list, tuple)) and len(wanted) == len(got):
        return type(got)(_trimmed(a, b) for a, b in zip(wanted, got, strict=True))
    return got


def _shown(value: object) -> str:
    if isinstance(value, torch.Tensor):
        text = f"{value.dtype} {list(value.shape)} {value.flatten()[:8].tolist()}"
        return text if value.numel() <= 8 else f"{text[:-1]}, ...]"
    text = repr(value)
    return f"{type(value).__name__} {text}" if len(text) < 300 else f"{type(value).__name__} {text[:300]}..."
