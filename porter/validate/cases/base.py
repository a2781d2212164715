"""What a case is: classes and functions of upstream, how each is made, and on which tensors it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from porter.inputs.sources.layout import TRAINERS
from porter.validate.budget import Allowance
from porter.validate.cases.operations import TORCHS
from porter.validate.cases.standins import StandIns
from porter.validate.settings import Settings

Batch = dict[str, Tensor]
Told = dict[str, Any]  # arguments of constructors, by label, as JSON can hold them


class Unavailable(Exception):  # noqa: N818  # not an error: this upstream has no such thing
    """This upstream lacks what the case runs; the text says what."""


@dataclass(frozen=True)
class Library:
    """One side's modules, by the name that they have inside the folder `module`."""

    package: str
    standins: StandIns = field(default_factory=StandIns, compare=False)
    roots: tuple[str, ...] = ()  # folders that hold this side's files, the package's own or those imports start from

    def module(self, name: str) -> ModuleType:
        """Import a module: `models`, or one that upstream keeps beside the folder `module`: `f5_tts.model.modules`.

        Unavailable where there is no such file.
        """
        around = self.package.rpartition(".")[0]
        places = [f"{self.package}.{name}" if self.package else name]  # files that lie bare have no package
        if "." in name:
            beside = name.removeprefix(f"{TRAINERS}.")  # upstream has its trainers there
            places.append(f"{around}.{beside}" if around else beside)
            if self.package:  # as flat sources are emitted, which lie beside their trainers
                places.append(f"{self.package}.{beside}")
            if self.roots:  # upstream's own path, as that of a trainer's helpers
                places.append(name)
        else:
            places += self._elsewhere(name)
        for full in places:
            try:
                return self.standins.import_module(full)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{full}.".startswith(f"{error.name}."):
                    raise
            except NameError as error:  # names that an older torch gave with `from torch.nn.functional import *`
                if "." not in name:
                    raise
                reason = f"{name.replace('.', '/')}.py of this upstream cannot be imported with this torch: {error}"
                raise Unavailable(reason) from None
        raise Unavailable(f"this upstream has no {name.replace('.', '/')}.py")

    def _elsewhere(self, name: str) -> list[str]:
        """Where a file lies that is the only one of its name, in whatever folder an upstream has put it."""
        for root in map(Path, self.roots):
            found = [path.relative_to(root) for path in root.rglob(f"{name}.py")]
            if len(found) == 1 and len(found[0].parts) > 1:
                place = ".".join(found[0].with_suffix("").parts)
                own = self.package and root.as_posix().endswith(f"/{self.package.replace('.', '/')}")
                return [f"{self.package}.{place}" if own else place]
        return []

    def member(self, module: str, name: str) -> Any:
        """A class or function; of `Kind*[2]`, the third network of such a name that the file itself defines.

        Unavailable where the module has none.
        """
        found = self._numbered(module, name) if name.endswith("]") else getattr(self.module(module), name, None)
        if found is None:
            pattern, _, number = name.removesuffix("]").rpartition("[")
            wanted = f"fewer than {int(number) + 1} networks called {pattern}" if pattern else f"no {name}"
            raise Unavailable(f"{module}.py of this upstream has {wanted}")
        return found

    def operations(self) -> Any:
        """The operations of the emitted runtime; upstream, which has none, gets torch's own in their place."""
        try:
            found = self.module("ops")
        except Unavailable:
            return TORCHS
        return found if hasattr(found, "fused") else TORCHS

    def _numbered(self, module: str, name: str) -> Any:
        pattern, _, number = name.removesuffix("]").rpartition("[")
        file = self.module(module)
        own = [
            one
            for title, one in vars(file).items()
            if isinstance(one, type) and issubclass(one, nn.Module) and one.__module__ == file.__name__
            if fnmatchcase(title, pattern)
        ]
        return dict(enumerate(own)).get(int(number))


def _call(subject: Any, inputs: Batch) -> object:
    return subject(**inputs)


def _nothing(model: Any) -> None:
    pass


def _make(entry: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    return entry(**arguments)


def _drawing_alike(state: Tensor, part: Part, entry: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """An instance, its weights drawn from a generator in this state, however often it is tried."""
    torch.set_rng_state(state)
    return part.make(entry, arguments)


@dataclass(frozen=True)
class Part:
    """One class or function of upstream, and how to run it.

    `arguments` and `inputs` look at the signatures that upstream has, so that one part serves many revisions. They
    run on the reference side only: the port gets the same arguments and tensors, or shows that it cannot take them.
    """

    module: str  # file, without suffix, as imported inside the folder `module`: `models`
    entry: str  # class or function in it
    inputs: Callable[[Any, Settings, torch.Generator], Batch]  # tensors for one step, from what was built
    arguments: Callable[[Callable[..., Any], Settings], dict[str, Any]] | None = None  # None: a function, not a class
    call: Callable[[Any, Batch], object] = _call  # what is run
    make: Callable[[Any, dict[str, Any]], Any] = _make  # how a class and its arguments become an instance
    finish: Callable[[Any], None] = _nothing  # done to the model once it has its weights
    settle: Callable[[Any], None] = _nothing  # and once it is on its device
    label: str = ""  # tells parts of one entry apart
    constant: tuple[str, ...] = ()  # floating-point inputs that get no gradient: masks, mostly
    needs: tuple[str, str] | None = None  # module and member without which no caller of upstream's asks for it
    audio: str | None = None  # the result that is sound, (batch, 1, samples): its name as in reports, "" for the whole
    network: Callable[[Any], Any] | None = None  # the judge's own class or function, made of one side's operations

    @property
    def name(self) -> str:
        """The label, or the entry's name."""
        return self.label or self.entry

    def member(self, library: Library) -> Any:
        """The class or function of one side. Unavailable where it has none."""
        if self.network is not None:
            return self.network(library.operations())
        return library.member(self.module, self.entry)

    @property
    def unsettled(self) -> bool:
        """Whether nothing is done to the model on its device."""
        return self.settle is _nothing


class Subjects(nn.Module):
    """What a case runs, by label: networks as submodules, functions beside them."""

    def __init__(self, subjects: Mapping[str, Any]) -> None:
        """`subjects` are instances of classes, and functions."""
        super().__init__()
        self.others: dict[str, Any] = {}
        for label, subject in subjects.items():
            if isinstance(subject, nn.Module):
                self.add_module(label, subject)
            else:
                self.others[label] = subject

    def subject(self, label: str) -> Any:
        """One of them."""
        return self.others[label] if label in self.others else self.get_submodule(label)


def _no_allowance(model: Subjects) -> Allowance:
    return Allowance()


@dataclass(frozen=True)
class Case:
    """Parts that run together, forward and backward, as one graph."""

    name: str
    parts: tuple[Part, ...]
    training: bool = True  # train() or eval()
    gradients: bool = True  # whether there is a backward pass
    process_group: bool = False  # whether upstream needs one, of one process
    on_host: bool = False  # runs in the data loader, on the CPU whatever the device
    allowance: Callable[[Subjects], Allowance] = _no_allowance
    varies: bool = True  # whether it runs under variations
    turn: int = 0  # of the variations that `turns` cases of the same code share, each takes its own
    turns: int = 1
    kernels: Mapping[str, int] = field(default_factory=dict)  # how often a forward has to run each, in a TPU's forms
    # How often a step has to run functions of the runtime, `ops/FILE:NAME`, at least, in a TPU's forms.
    forms: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()  # names of variations that are known to differ; a comment beside it says why

    def part(self, label: str) -> Part:
        """The part with this label."""
        return next(part for part in self.parts if part.name == label)

    def describe(self, library: Library, settings: Settings) -> Told:
        """Constructor arguments of the parts that this library has, by label. Unavailable where it has none."""
        told: Told = {}
        reasons = []
        for part in self.parts:
            try:
                entry = part.member(library)
                if part.needs is not None:
                    library.member(*part.needs)
                told[part.name] = {} if part.arguments is None else part.arguments(entry, settings)
            except Unavailable as reason:
                reasons.append(str(reason))
            except ModuleNotFoundError as error:  # as a wheel may lack what one of its own files imports
                reasons.append(f"{part.module} of this upstream cannot be imported: {error}")
        if not told:
            raise Unavailable(reasons[0])
        return told

    def build(self, library: Library, told: Told) -> Subjects:
        """What `describe` told of, on the CPU."""
        made = {}
        for label, arguments in told.items():
            part = self.part(label)
            entry = part.member(library)
            made[label] = entry
            if part.arguments is not None:  # constructors may import more: the decoder that they are asked for
                made[label] = library.standins.run(
                    partial(_drawing_alike, torch.get_rng_state(), part, entry, arguments)
                )
        return Subjects(made)

    def batch(self, model: Subjects, told: Told, settings: Settings, generator: torch.Generator) -> Batch:
        """Tensors of one step, `LABEL/NAME`."""
        return {
            f"{label}/{name}": value
            for label in told
            for name, value in self.part(label).inputs(model.subject(label), settings, generator).items()
        }

    def run(self, model: Subjects, batch: Batch) -> dict[str, object]:
        """The result of each part of `batch`, by label."""
        inputs: dict[str, Batch] = {label: {} for label in (*(n for n, _ in model.named_children()), *model.others)}
        for key, value in batch.items():
            label, _, name = key.partition("/")
            inputs[label][name] = value
        return {label: self.part(label).call(model.subject(label), given) for label, given in inputs.items()}

    def finish(self, model: Subjects) -> None:
        """What the parts do to their models once these have their weights."""
        for label in (name for name, _ in model.named_children()):
            self.part(label).finish(model.subject(label))

    def settle(self, model: Subjects) -> None:
        """What the parts do to their models once these are on their device."""
        for label in (name for name, _ in model.named_children()):
            self.part(label).settle(model.subject(label))

    def audio(self, labels: Iterable[str], rate: int) -> dict[str, int]:
        """Names of the results of these parts that are sound, and their samples per second."""
        told = {label: self.part(label).audio for label in labels}
        return {f"{label}.{name}" if name else label: rate for label, name in told.items() if name is not None}

    def differentiates(self, key: str, value: Tensor) -> bool:
        """Whether the gradient of an input, `LABEL/NAME`, is compared."""
        label, _, name = key.partition("/")
        return self.gradients and value.is_floating_point() and name not in self.part(label).constant


def host_case(name: str, *parts: Part) -> Case:
    """A case of what runs on the host alone, once: without gradients, and without variations."""
    return Case(name, parts, gradients=False, on_host=True, varies=False)


def accepted(function: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the offered arguments that `function` takes."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        named = {name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
        # What only **kwargs would swallow is left out, except for what upstream's trainers pass there.
        return {k: v for k, v in offered.items() if k in named or k not in _OPTIONAL}
    return {k: v for k, v in offered.items() if k in parameters}


_OPTIONAL = frozenset({"version"})


def complete(constructor: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor. Unavailable where it asks for one that is not among them."""
    for name, parameter in inspect.signature(constructor).parameters.items():
        named = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if named and parameter.default is parameter.empty and name not in given:
            raise Unavailable(f"{constructor.__name__} of this upstream asks for {name}, which no case knows")
    return given


def require(function: Callable[..., Any], *names: str) -> None:
    """Unavailable where a function of upstream lacks one of these parameters."""
    missing = [name for name in names if name not in inspect.signature(function).parameters]
    if missing:
        raise Unavailable(f"{function.__qualname__} of this upstream takes no {' and no '.join(missing)}")


def method(entry: Any, name: str) -> Callable[..., Any]:
    """A method of a class of upstream's. Unavailable where it has none of that name."""
    found: Callable[..., Any] | None = getattr(entry, name, None)
    if found is None:
        raise Unavailable(f"{entry.__name__} of this upstream has no {name}")
    return found


def offering(**offered: Any) -> Callable[[Callable[..., Any], Settings], dict[str, Any]]:
    """Constructor arguments that do not depend on the settings: those of `offered` that the class takes."""
    return lambda entry, settings: accepted(entry, offered)


def lengths(count: int, least: int, most: int, generator: torch.Generator) -> Tensor:
    """`count` lengths from `least`, or from `most` where that is less, to `most`, int64."""
    return torch.randint(min(least, most), most + 1, (count,), generator=generator)


def within(values: Tensor, ends: Tensor) -> Tensor:
    """`values` (batch, …, time), zero from each sample's end on, as a collate function pads."""
    inside = torch.arange(values.shape[-1]) < ends[:, None]
    return values * inside.view(values.shape[0], *(1,) * (values.dim() - 2), -1).to(values.dtype)


def mask_of(ends: Tensor, size: int) -> Tensor:
    """(batch, 1, size) of 1.0 before each sample's end and 0.0 from there on."""
    return (torch.arange(size) < ends[:, None]).unsqueeze(1).float()
