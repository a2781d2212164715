"""Which functions of a package a case really ran."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

from torch import Tensor, nn

from .supplied import Supplied

_RUNTIME = "ops/"
_FORM = "ops/forms.py:wants_tpu_form"
_OF_KERNELS = frozenset({"ops/on_chip.py:wanted", "ops/on_chip.py:available"})
_ASKED = frozenset({_FORM, *_OF_KERNELS})
_RUN = "ops/on_chip.py:run"  # of a kernel, by its name
_DISPATCHING = "handle_torch_function"  # a function that uses it is called once more for each mode


class Coverage(AbstractContextManager["Coverage"]):
    """Notes every Python function that is called during the block, in this thread and in new ones."""

    def __init__(self, roots: Sequence[str], *, counting: bool = True) -> None:
        """`roots` are the folders whose files count; without `counting` only names are noted, which costs less."""
        self._counting = counting
        self._tracing: Any = None  # what was there before
        self._roots = tuple(f"{root}/" for root in roots)
        self._seen: set[CodeType] = set()
        self._handling: Counter[str] = Counter()  # calls of the runtime's functions that are given a tensor or a module
        self._names: dict[CodeType, str] = {}
        self._forms: dict[str, bool] = {}  # by who asks for a TPU's form: whether it was ever to be had
        self._asking: dict[str, bool] = {}  # the same of those who ask for a kernel
        self._kernels: Counter[str] = Counter()  # calls of each, forward and backward

    def __enter__(self) -> Coverage:
        if self._counting:
            threading.setprofile(self._note)
            sys.setprofile(self._note)
        else:  # a trace hears of no functions in C, and of no lines where it gives nothing back
            self._tracing = sys.gettrace()
            threading.settrace(self._note_name)
            sys.settrace(self._note_name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._counting:
            sys.setprofile(None)
            threading.setprofile(None)
        else:
            sys.settrace(self._tracing)
            threading.settrace(self._tracing)

    def _note_name(self, frame: FrameType, event: str, argument: object) -> None:
        self._seen.add(frame.f_code)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self._called(frame)
        elif event == "return" and self._names.get(frame.f_code) in _ASKED and frame.f_back is not None:
            place = self._name(frame.f_back.f_code)
            asked = self._asking if self._names[frame.f_code] in _OF_KERNELS else self._forms
            asked[place] = asked.get(place, False) or argument is True

    def _called(self, frame: FrameType) -> None:
        code = frame.f_code
        self._seen.add(code)
        name = self._runtime(code)
        if name == _RUN:
            self._count_kernel(frame)
        if name:
            given = [frame.f_locals.get(one) for one in code.co_varnames[: code.co_argcount]]
            if any(isinstance(value, (Tensor, nn.Module)) and not isinstance(value, Supplied) for value in given):
                self._handling[name] += 1

    def names(self) -> tuple[str, ...]:
        """`FILE:QUALIFIED NAME` of each, sorted."""
        return tuple(sorted({name for code in list(self._seen) if (name := self._name(code))}))

    def forms(self, *, taken: bool, kernels: bool) -> tuple[str, ...]:
        """The functions that asked whether a TPU's form is to be had, and had it once, or never.

        `kernels`: those that asked for a kernel count as well.
        """
        asked = [*self._forms.items(), *(self._asking.items() if kernels else ())]
        return tuple(sorted({place for place, had in asked if had is taken and place not in _ASKED}))

    def kernels(self) -> dict[str, int]:
        """How often each kernel was run so far: `NAME` forward, `NAME backward`."""
        return dict(self._kernels)

    def _count_kernel(self, frame: FrameType) -> None:
        name = str(frame.f_locals.get("name"))
        self._kernels[f"{name} backward" if frame.f_locals.get("backward") else name] += 1

    def calls(self) -> dict[str, int]:
        """How often each function of the package's runtime was given a tensor or a module so far, but not the judge's.

        Those are left out that modes call again. What only reads a plan, or names a type, is called as often as the
        judge's own arguments ask for.
        """
        return dict(sorted(self._handling.items()))

    def _runtime(self, code: CodeType) -> str:
        """The name of a function of the runtime whose calls count, "" for any other."""
        known = self._names.get(code)
        if known is None:
            name = self._name(code)
            counts = name.startswith(_RUNTIME) and _DISPATCHING not in code.co_names and "<" not in name
            known = self._names[code] = name if counts else ""
        return known

    def _name(self, code: CodeType) -> str:
        for root in self._roots:
            if code.co_filename.startswith(root):
                file = Path(code.co_filename.removeprefix(root)).as_posix()
                return f"{file}:{code.co_qualname.replace('.<locals>', '')}"
        return ""


@contextmanager
def unseen() -> Iterator[None]:
    """What the judge itself asks of the package during the block is no call of the package's."""
    hook = sys.getprofile()
    sys.setprofile(None)
    try:
        yield
    finally:
        sys.setprofile(hook)


def since(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Calls between two counts."""
    return {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}


def kernel_findings(wanted: Mapping[str, int], ran: Mapping[str, int], *, backward: bool) -> list[str]:
    """Kernels that did not run as often as a case's forward, and its backward pass, should have them."""
    expected = {**wanted, **({f"{name} backward": count for name, count in wanted.items()} if backward else {})}
    return [
        f"the kernel {name} ran {ran.get(name, 0)} times, where {count} were to be had: its form was not taken"
        for name, count in expected.items()
        if ran.get(name, 0) != count
    ]


def form_findings(wanted: Mapping[str, int], ran: Mapping[str, int]) -> list[str]:
    """Functions of the runtime that did not run as often as a case's step has to run them."""
    return [
        f"{name} of the package ran {ran.get(name, 0)} times, where {least} were to be: its form was not taken"
        for name, least in wanted.items()
        if ran.get(name, 0) < least
    ]


def call_findings(instrumented: Mapping[str, int], plain: Mapping[str, int]) -> list[str]:
    """Functions of the runtime that ran another number of times while the judge recorded or replayed than without."""
    return [
        f"{name} of the package ran {instrumented.get(name, 0)} times under the judge's instruments, {count} without: "
        "what was compared is not what runs"
        for name, count in sorted({**dict.fromkeys(instrumented, 0), **plain}.items())
        if instrumented.get(name, 0) != count
    ]
