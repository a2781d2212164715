"""What is run on XLA: torch's own sample inputs for operators and layers, and ours for the rest."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db

from porter.torch_facts.signatures import Signature, parse

from . import signatures, stubs
from .own import Sample, own
from .own_samples import SAMPLES

_MOST = 16  # samples of one operator, evenly taken from all
_READ = 400  # of so many at most
_TAKEN = frozenset({o.name for o in op_db} | {a.name for o in op_db for a in o.aliases})


@dataclass
class Subject:
    """Several names of one thing, and sample calls of it."""

    names: tuple[str, ...]
    samples: Callable[[], list[Sample]]


def subjects() -> list[Subject]:
    """Everything that can be tried, in an order that is the same in each process."""
    found = [Subject(_operator_names(op), lambda op=op: _operator_samples(op)) for op in op_db]  # type: ignore[misc]
    for info in module_db:
        name = f"torch.nn.{info.module_cls.__name__}"
        lazy = name.startswith("torch.nn.Lazy")  # another class as soon as it is used
        if getattr(torch.nn, info.module_cls.__name__, None) is info.module_cls and not lazy:
            found.append(Subject((name,), lambda info=info: _module_samples(info)))  # type: ignore[misc]
    for name, group in itertools.groupby(SAMPLES, key=lambda s: s[0]):
        texts = [text for _, text in group]
        found.append(Subject((name,), lambda name=name, texts=texts: [own(name, text) for text in texts]))  # type: ignore[misc]
    return found


def _operator_names(op: Any) -> tuple[str, ...]:
    """Full names of an operator's functions and methods, those in place among them."""
    names: list[str] = []
    for public in [op.name, *(a.name for a in op.aliases)]:
        last = public.rpartition(".")[2]
        names.append(f"torch.{public}")
        if "." not in public:
            names.append(f"torch.Tensor.{public}")
        elif public.startswith("nn.functional.") and last not in _TAKEN:
            names += [f"torch.{last}", f"torch.Tensor.{last}"]
    return tuple(n for name in dict.fromkeys(names) for n in (name, f"{name}_") if exists(n))


@cache
def _texts() -> dict[str, dict[str, list[str]]]:
    return signatures.collect(stubs.read())


def signatures_of(name: str) -> list[Signature]:
    """The signatures of a function of the installed torch."""
    return [parse(t, kind == "native") for kind in ("native", "python") for t in _texts()[kind].get(name, [])]


def exists(name: str) -> bool:
    """Whether torch has something of this full name."""
    value: Any = torch
    for part in name.split(".")[1:]:
        value = getattr(value, part, None)
        if value is None:
            return False
    return callable(value)


def _spread(found: list[Any]) -> list[Any]:
    step = max(1, -(-len(found) // _MOST))
    return found[::step]


def _operator_samples(op: Any) -> list[Sample]:
    types = op.supported_dtypes("cpu")
    dtype = next((d for d in (torch.float32, torch.int64, torch.bool, torch.complex64) if d in types), None)
    if dtype is None:
        return []
    gradient = op.supports_autograd and dtype.is_floating_point
    drawn = _spread(list(itertools.islice(op.sample_inputs("cpu", dtype, requires_grad=gradient), _READ)))
    calls = [((s.input, *s.args), s.kwargs) for s in drawn]
    seen = {_key(*c) for c in calls}
    known = signatures_of(f"torch.{op.name}")
    for args, kwargs in tuple(calls):  # each optional argument left out in turn, to tell which of them matters
        for fewer in _without_each(args, kwargs, known):
            if _key(*fewer) not in seen and len(calls) < 3 * _MOST:
                seen.add(_key(*fewer))
                calls.append(fewer)
    return [_call(op.op, args, kwargs) for args, kwargs in calls]


def _without_each(
    args: tuple[Any, ...], kwargs: dict[str, Any], known: list[Signature]
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Calls with one optional argument less; what stood behind it goes by keyword. On what device is no option."""
    for signature in known:
        places = signature.place(len(args), kwargs)
        if places is None:
            continue
        order = [p.name for p in signature.parameters if not p.keyword_only]
        for parameter in signature.parameters:
            place = places.get(parameter.name)
            if parameter.default is None or parameter.name == "device" or place is None or isinstance(place, tuple):
                continue
            if isinstance(place, str):
                yield args, {k: v for k, v in kwargs.items() if k != place}
            else:
                yield args[:place], {**dict(zip(order[place + 1 :], args[place + 1 :], strict=False)), **kwargs}
        return
    for name in kwargs.keys() - {"device"}:
        yield args, {k: v for k, v in kwargs.items() if k != name}


def _key(args: Any, kwargs: Any) -> str:
    def short(value: Any) -> Any:
        return (tuple(value.shape), str(value.dtype)) if isinstance(value, torch.Tensor) else repr(value)

    return repr(pytree.tree_map(short, (args, dict(sorted(kwargs.items())))))


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sample:
    def call(device: torch.device) -> Any:
        moved_args, moved_kwargs = pytree.tree_map(lambda v: moved(v, device), (args, kwargs))
        return function(*moved_args, **moved_kwargs)

    return Sample(call, args, kwargs)


def moved(value: Any, device: torch.device) -> Any:
    """A tensor on another device, as a leaf; a device as the other."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().to(device).requires_grad_(value.requires_grad)
    if isinstance(value, torch.device) or value == "cpu":
        return device
    return value


def _module_samples(info: Any) -> list[Sample]:
    inputs = info.module_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=True, training=True)
    found: list[Sample] = []
    for given in _spread(list(inputs)):
        if given.forward_input is None:
            continue
        made, forward = given.constructor_input, given.forward_input

        def call(device: torch.device, made: Any = made, forward: Any = forward) -> Any:
            layer = info.module_cls(*made.args, **made.kwargs).to(device)
            args, kwargs = pytree.tree_map(lambda v: moved(v, device), (tuple(forward.args), forward.kwargs))
            return layer(*args, **kwargs)

        found.append(Sample(call, tuple(made.args), made.kwargs))
    return found
