"""Parameters of torch's functions, of a tensor's methods and of constructors of layers.

A signature is text: `input:T n_fft hop_length=None * generator=None`. `:T` marks what has to be a tensor, `=` what may
be left out (with its default), `*` begins what only a keyword gives, `*size` and `**options` take the rest.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import cache

from .reading import canonical, table

Places = dict[str, int | str | tuple[int, ...]]

# What torch's own argument parser (not Python's) takes for another name, as NumPy has it.
_NUMPY = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; `default` is Python source: None when it has to be given, `...` when it is no literal."""

    name: str
    tensor: bool
    default: str | None
    keyword_only: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call something."""

    parameters: tuple[Parameter, ...]
    rest: str | None  # of `*rest`
    options: bool  # whether any other keyword is taken
    native: bool  # parsed by torch itself, which takes NumPy's names too

    def place(self, given: int, keywords: Iterable[str]) -> Places | None:
        """Where each parameter of a call finds its value: the place of a positional argument, the name of a keyword, or
        all places that `*rest` takes; None where a call with `given` positional arguments and these keywords fails.
        """
        places = self._by_position(given)
        if places is None:
            return None
        names = {p.name for p in self.parameters}
        for keyword in keywords:
            name = self._called(keyword, names)
            if name is None or name in places:
                return None
            places[name] = keyword
        needed = {p.name for p in self.parameters if p.default is None}
        return places if needed <= places.keys() else None

    def _by_position(self, given: int) -> Places | None:
        """The parameters that so many positional arguments are for; None where they are too many."""
        ordered = [p.name for p in self.parameters if not p.keyword_only]
        places: Places = {name: i for i, name in enumerate(ordered[:given])}
        if given > len(ordered):
            if self.rest is None:
                return None
            places[self.rest] = tuple(range(len(ordered), given))
        return places

    def _called(self, keyword: str, names: Container[str]) -> str | None:
        """The parameter that a keyword means, NumPy's name for one included; None where the call fails by it."""
        name = keyword if keyword in names or not self.native else _NUMPY.get(keyword, keyword)
        return name if name in names or self.options else None


def parse(text: str, native: bool) -> Signature:
    """A signature from its text."""
    parameters: list[Parameter] = []
    rest, options, keyword_only = None, False, False
    for part in text.split():
        if part.startswith("**"):
            options = True
        elif part.startswith("*"):
            rest, keyword_only = part[1:] or None, True
        else:
            head, has_default, default = part.partition("=")
            name, _, kind = head.partition(":")
            parameters.append(Parameter(name, kind == "T", default if has_default else None, keyword_only))
    return Signature(tuple(parameters), rest, options, native)


@cache
def signatures(target: str) -> tuple[Signature, ...]:
    """All ways to call `torch.stft`, `torch.Tensor.to` or `torch.nn.Linear`; empty for a name that is not known."""
    data, name = table("signatures"), canonical(target)
    for kind in ("native", "python"):
        if name in data[kind]:
            return tuple(parse(text, kind == "native") for text in data[kind][name])
    return ()


def takes(target: str, name: str) -> bool:
    """Whether any way to call `target` has a parameter of this name."""
    return any(p.name == name for signature in signatures(target) for p in signature.parameters)
