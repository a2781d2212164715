"""The same noise on both sides: one run records every random draw, another replays them.

The recorder is a `TorchDispatchMode`, which sits below everything: Python functions, C++ composites such as
the dropout inside an LSTM, scripted functions. The replayer cannot be one: on XLA, a dispatch mode runs below
functionalization, and writes through a view (`x[:, :2].fill_(0)`) no longer reach their base while it is on.
So it is a `TorchFunctionMode`, which sees the Python calls, and switches a dispatch mode on only inside calls
that draw.

Draws are matched by family and shape, first in, first out. What has no counterpart becomes a finding, never
an error.
"""

from __future__ import annotations

import random
import re
import sys
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from porter.validate.draws import Request, interpret, is_idle, is_random, mutates

# Functions that draw, or that may inside; the name is enough, since a call that draws nothing goes through
# unchanged.
_MAY_DRAW = re.compile(
    r"rand|normal|uniform|bernoulli|dropout|exponential|geometric|cauchy|multinomial|poisson|gumbel|binomial"
    r"|^(?:lstm|gru|rnn_tanh|rnn_relu)$|scaled_dot_product|multi_head_attention|rrelu|dirichlet|gamma"
)
# Methods that fill a tensor that is there. It may be a view, so the fill itself has to happen outside.
_FILLS = frozenset({"normal_", "uniform_", "bernoulli_", "exponential_", "random_"})


@dataclass(frozen=True)
class Draw:
    """One recorded draw."""

    family: str
    value: Tensor  # the base value, on the CPU
    where: str  # file:line of the statement that drew

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return tuple(self.value.shape)


@dataclass(frozen=True)
class NoiseFinding:
    """A draw that only one side made, or that cannot be shared."""

    problem: str  # "port only", "upstream only" or "cannot be shared"
    family: str
    shape: tuple[int, ...]
    where: str
    count: int = 1

    def __str__(self) -> str:
        times = f", {self.count} times" if self.count > 1 else ""
        return f"{self.problem}: {self.family} draw of shape {list(self.shape)} at {self.where}{times}"


def noise_told(findings: Iterable[NoiseFinding]) -> tuple[dict[str, Any], ...]:
    """Findings as a report holds them."""
    return tuple(
        {"problem": f.problem, "family": f.family, "shape": list(f.shape), "where": f.where, "count": f.count}
        for f in findings
    )


@contextmanager
def unwatched() -> Iterator[None]:
    """Draws during the block are nobody's: for what draws noise and does not look at it."""
    with _disable_current_modes(), torch._C.DisableTorchFunction():  # type: ignore[no-untyped-call]
        yield


class RecordNoise(TorchDispatchMode):
    """Records each draw of the block; for eager runs. `draws` holds them in order.

    Base values are drawn on the CPU whatever the device, and taken there: the same seed is the same noise on all.
    """

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        """`roots` are the folders whose lines count as the origin of a draw."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.draws: list[Draw] = []
        self._findings = _Findings()
        self._roots = _texts(roots)
        self._patches = ExitStack()

    @property
    def findings(self) -> list[NoiseFinding]:
        """Draws that no family describes; the port's run cannot repeat them."""
        return self._findings.list()

    def __enter__(self) -> RecordNoise:
        self._patches.enter_context(_python_random(self._draw_python))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._patches.close()

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        request = interpret(func, args, kwargs) if is_random(func) else None
        if request is None:
            if is_random(func) and not is_idle(func, args, kwargs):
                self._findings.add("cannot be shared", func._schema.name, (), caller(self._roots))
            return func(*args, **kwargs)
        base = request.sample()
        self.draws.append(Draw(request.family, base.clone(), caller(self._roots)))
        return _deliver(func, args, request, base)

    def _draw_python(self, family: str, draw: Callable[[], float]) -> float:
        value = draw()
        dtype = torch.float64 if isinstance(value, float) else torch.int64
        self.draws.append(Draw(family, torch.tensor(value, dtype=dtype), caller(self._roots)))
        return value


class GivenNoise(TorchFunctionMode, ABC):
    """Answers each draw of the block with a value from elsewhere, on the device and of the dtype asked for."""

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        """`roots` are the folders whose lines count as the origin of a draw."""
        super().__init__()
        self._findings = _Findings()
        self._roots = _texts(roots)
        self._patches = ExitStack()

    @abstractmethod
    def answer(self, request: Request) -> Tensor:
        """The base value for a request."""

    @abstractmethod
    def draw_python(self, family: str, draw: Callable[[], float]) -> float:
        """The base value for a draw of Python's own, which `draw` would make."""

    def cannot_share(self, name: str) -> None:
        """Note a draw, by the name of its operator, that no value from elsewhere fits."""
        self._findings.add("cannot be shared", name, (), caller(self._roots))

    def __enter__(self) -> Self:
        self._patches.enter_context(_python_random(self.draw_python))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._patches.close()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if func is Tensor.backward:
            return self._backward(*args, **kwargs)
        if not _may_draw(name):
            return func(*args, **kwargs)
        with _Answer(self):
            if name in _FILLS and args and isinstance(args[0], Tensor):
                made = func(torch.empty_like(args[0], requires_grad=False), *args[1:], **kwargs)
            else:  # a factory, a layer, or an initialisation, which calls the method in here
                return _writable(func(*args, **kwargs))
        return args[0].copy_(made)

    def _backward(self, tensor: Tensor, gradient: Tensor | None = None, *args: Any, **kwargs: Any) -> None:
        """`Tensor.backward` with this mode on: checkpointed code runs, and draws, a second time in there."""
        super().__enter__()  # type: ignore[no-untyped-call]
        try:
            torch.autograd.backward(tensor, gradient, *args, **kwargs)
        finally:
            super().__exit__(None, None, None)  # type: ignore[no-untyped-call]


@cache  # asked of each operation
def _may_draw(name: str) -> bool:
    return _MAY_DRAW.search(name) is not None


def _writable(made: Any) -> Any:
    """What a call gave; of a tensor that XLA made while a dispatch mode was on, one whose views write to it."""
    if not isinstance(made, Tensor) or made.device.type != "xla" or torch._is_functional_tensor(made):
        return made
    with _disable_current_modes():
        return made if made.requires_grad else made.clone()


class ReplayNoise(GivenNoise):
    """Answers each draw of the block with a recorded value."""

    def __init__(self, draws: Iterable[Draw], roots: Sequence[Path] = ()) -> None:
        """`roots` are the folders whose lines count as the origin of a draw."""
        super().__init__(roots)
        self._waiting: dict[tuple[str, tuple[int, ...]], deque[Draw]] = defaultdict(deque)
        for draw in draws:
            self._waiting[draw.family, draw.shape].append(draw)
        self._used: dict[tuple[str, tuple[int, ...]], list[Tensor]] = defaultdict(list)
        self.replayed = 0

    def findings(self) -> list[NoiseFinding]:
        """What did not match, once the block is done: draws of the port alone, then of upstream alone."""
        result = self._findings.list()
        left = _Findings()
        for key, draws in self._waiting.items():
            for draw in draws:
                # Checkpointing draws a second time, to compute again; a port that does not is not wrong.
                if not any(torch.equal(draw.value, used) for used in self._used[key]):
                    left.add("upstream only", draw.family, draw.shape, draw.where)
        return result + left.list()

    def answer(self, request: Request) -> Tensor:
        """The recorded base value for a request, or a fresh one and a finding."""
        base = self._take(request.family, request.shape)
        return request.sample() if base is None else base

    def draw_python(self, family: str, draw: Callable[[], float]) -> float:
        """The recorded value for a draw of Python's own, or a fresh one and a finding."""
        base = self._take(family, ())
        return draw() if base is None else float(base)

    def _take(self, family: str, shape: tuple[int, ...]) -> Tensor | None:
        waiting = self._waiting[family, shape]
        if not waiting:
            self._findings.add("port only", family, shape, caller(self._roots))
            return None
        self.replayed += 1
        value = waiting.popleft().value
        self._used[family, shape].append(value)
        return value


class _Answer(TorchDispatchMode):
    """Answers the draws inside one call."""

    def __init__(self, noise: GivenNoise) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._noise = noise

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        request = interpret(func, args, kwargs)
        if request is None:
            if is_random(func) and not is_idle(func, args, kwargs):
                self._noise.cannot_share(func._schema.name)
            return func(*args, **kwargs)
        return _deliver(func, args, request, self._noise.answer(request))


@dataclass
class _Findings:
    """Findings, counted where they repeat."""

    counts: dict[tuple[str, str, tuple[int, ...], str], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, problem: str, family: str, shape: tuple[int, ...], where: str) -> None:
        self.counts[problem, family, shape, where] += 1

    def list(self) -> list[NoiseFinding]:
        return [NoiseFinding(*key, count) for key, count in self.counts.items()]


def caller(roots: Sequence[str]) -> str:
    """file:line of the innermost frame below one of `roots`, relative to it; else "unknown line"."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        for root in roots:
            if name.startswith(root):
                return f"{name.removeprefix(root).replace(chr(92), '/')}:{frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "unknown line"


def _texts(roots: Sequence[Path]) -> tuple[str, ...]:
    return tuple(f"{root}/" for root in roots)


def _deliver(function: OpOverload, args: tuple[Any, ...], request: Request, base: Tensor) -> Any:
    result = request.result(base)
    if mutates(function):
        target: Tensor = args[0]
        return target.copy_(result)
    return (result, request.mask(base)) if request.with_mask else result


@contextmanager
def _python_random(draw: Callable[[str, Callable[[], float]], float]) -> Iterator[None]:
    """Python's own `random.random`, `random.uniform` and `random.randint`, drawn through `draw`."""
    old = random.random, random.uniform, random.randint

    def new_random() -> float:
        return draw("uniform", old[0])

    def new_uniform(a: float, b: float) -> float:
        return a + (b - a) * draw("uniform", old[0])

    def new_randint(a: int, b: int) -> int:
        return int(draw(f"integer from {a} to {b}", lambda: old[2](a, b)))

    random.random, random.uniform, random.randint = new_random, new_uniform, new_randint
    try:
        yield
    finally:
        random.random, random.uniform, random.randint = old
