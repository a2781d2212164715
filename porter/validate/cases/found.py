"""Cases found by inspection: one class or function of upstream that no written case runs, by its signature.

What its parameters are called tells what may be given; what upstream's own code takes is found by trying, on its side
alone. The port then gets the same arguments and the same tensors.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from porter.validate.cases.base import Batch, Case, Library, Part, Subjects, Told, Unavailable
from porter.validate.cases.constructing import candidates
from porter.validate.cases.inputs_by_name import Shapes, drawn, shapes_to_try
from porter.validate.settings import Settings
from porter.validate.step import flatten

LABEL = "found"
_SECONDS = 20.0  # that the search for shapes may take
_FRAMES, _SAMPLES = 24, 2048  # lengths while shapes are tried
_REVERSE = "reverse"


@dataclass(frozen=True)
class FoundCase(Case):
    """A case with one part, whose inputs are found on upstream's side and told to the port's."""

    def describe(self, library: Library, settings: Settings) -> Told:
        """Constructor arguments and shapes of inputs. Unavailable where none were found, and why."""
        part = self.parts[0]
        try:
            entry = part.member(library)
        except ImportError as error:
            raise Unavailable(f"its file cannot be imported: {error}") from None
        return {LABEL: library.standins.run(lambda: _fit(entry, settings))}

    def build(self, library: Library, told: Told) -> Subjects:
        """The instance, or the function itself."""
        part, found = self.parts[0], told[LABEL]
        entry = part.member(library)
        made = entry
        if found["constructor"] is not None:
            made = library.standins.run(lambda: entry(**found["constructor"]))
        if found["ways"] != [{}]:
            made = _Ways(made, found["ways"])
        return Subjects({LABEL: made})

    def batch(self, model: Subjects, told: Told, settings: Settings, generator: torch.Generator) -> Batch:
        """Tensors of the shapes that were found."""
        return {f"{LABEL}/{name}": value for name, value in drawn(told[LABEL]["inputs"], settings, generator).items()}

    def differentiates(self, key: str, value: Tensor) -> bool:
        """Masks get no gradient."""
        return _takes_gradient(key, value)


def _takes_gradient(name: str, value: Tensor) -> bool:
    return value.is_floating_point() and "mask" not in name


class _Ways(nn.Module):
    """A flow, which is run forwards and backwards."""

    def __init__(self, flow: Any, ways: list[dict[str, Any]]) -> None:
        super().__init__()
        self.flow, self.ways = flow, ways

    def forward(self, **given: Tensor) -> list[Any]:
        """The results of all ways."""
        return [self.flow(**given, **way) for way in self.ways]


def found_case(module: str, entry: str) -> FoundCase:
    """The case of one class or function; `module` as `Part` has it."""
    made = Part(module, entry, _no_inputs, _no_arguments if entry[:1].isupper() else None, label=LABEL)
    return FoundCase(f"found.{module}.{entry}", (made,))


def _no_inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    raise NotImplementedError("a found case makes its own batches")


def _no_arguments(entry: Any, settings: Settings) -> dict[str, Any]:
    raise NotImplementedError("a found case has its own arguments")


def _fit(entry: Any, settings: Settings) -> dict[str, Any]:
    """What to build and call it with; Unavailable, and the first error, where nothing runs."""
    small = replace(settings, batch=2, frames=_FRAMES, samples=_SAMPLES)
    until, first = time.monotonic() + _SECONDS, ""
    network = isinstance(entry, type)
    if network and not issubclass(entry, nn.Module):
        raise Unavailable("it is no network that is built and called")
    for arguments in candidates(entry, settings) if network else ({},):
        try:
            made = entry(**arguments) if network else entry
            function = made.forward if network else entry
            for shapes in shapes_to_try(made if network else None, function, arguments):
                error = _refused(made, drawn(shapes, small, torch.Generator().manual_seed(0)), {})
                if not error:
                    told = {"constructor": arguments if network else None, "inputs": shapes}
                    return {**told, "ways": _ways(made, function, shapes, small)}
                first = first or error
                if time.monotonic() > until:
                    break
        except Unavailable:
            raise
        except Exception as error:
            first = first or _words(error)
    raise Unavailable(f"nothing that its parameters' names tell runs: {first}")


def _ways(made: Any, function: Any, shapes: Shapes, settings: Settings) -> list[dict[str, Any]]:
    """The keyword arguments of each way to run it: a flow backwards too, where that takes the same."""
    if _REVERSE not in inspect.signature(function).parameters:
        return [{}]
    back = {_REVERSE: True}
    given = drawn(shapes, settings, torch.Generator().manual_seed(0))
    return [{}] if _refused(made, given, back) else [{}, back]


def _refused(made: Any, given: Mapping[str, Tensor], way: Mapping[str, Any]) -> str:
    """Why upstream's code does not take these inputs, or nothing can be learnt from what it gives; "" for neither."""
    leaves = {name: value.requires_grad_() if _takes_gradient(name, value) else value for name, value in given.items()}
    try:
        results = [value for _, value in flatten(made(**leaves, **way))]
    except Exception as error:
        return _words(error)
    if not any(value.requires_grad for value in results):
        return "no result has a gradient"
    finite = all(bool(value.isfinite().all()) for value in results if value.is_floating_point())
    return "" if finite else "what it gives is not finite"


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:120]}"
