"""Replaces a module's forward by a kernel where its torch.fx graph computes the same."""

import functools
import inspect
import itertools
import threading
import weakref
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch
from torch import fx, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.utils import _pytree as pytree

from .. import forms
from ..deferred import read_all
from . import attention, features, feed_forward, gated, residual
from .graph import CALLED, NotTraced, Traced, held_name, mode, place, trace
from .numbers import ValueNumbers
from .values import Values, first_difference, is_repeatable, values

F = TypeVar("F", bound=Callable[..., Any])

_KERNELS = (residual, gated, features, feed_forward, attention)
_KEPT = 256  # kinds of calls of one module whose graphs are known
_PLAIN = (type(None), bool, int, float, str)
_MARK = "_sovits_port_fused"  # of a forward that `fused` made


def fused(forward: F) -> F:
    """Let a kernel for a TPU replace the forward of a module, where one computes the same.

    What the forward computes is read from its torch.fx graph, which is traced when a call of a new kind comes: other
    arguments are tensors or None, other layers, or training in place of evaluation. Where no kernel computes that, none
    can be had, or a hook is set on an inner module, the forward runs as it is. What it reads of other modules of
    Python, such as a constant, is taken to stay as it is.
    """
    signature = inspect.signature(forward)

    @functools.wraps(forward)
    def run(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if not torch.compiler.is_compiling() and any(map(_may_pass, (*args, *kwargs.values()))):
            found = _run(self, forward, signature, args, kwargs)
            if found is not None:
                return found
        return forward(self, *args, **kwargs)

    setattr(run, _MARK, True)
    return run  # type: ignore[return-value]


@dataclass(frozen=True)
class Fusion:
    """What became of the calls of one kind that a module was given."""

    path: str  # of the module in its network
    kernel: str  # "" for none
    reason: str  # why none

    def __str__(self) -> str:
        return f"{self.path}: {f'fused by the kernel {self.kernel}' if self.kernel else self.reason}"


def fusions(network: nn.Module) -> list[Fusion]:
    """For each module of a network whose forward a kernel may replace: by which it was fused, or why not.

    Modules tell of their last call of each kind on a TPU; those without one say so.
    """
    found = []
    for path, module in network.named_modules():
        if not any(hasattr(vars(kind).get("forward"), _MARK) for kind in type(module).__mro__):
            continue
        state = _states.get(module)
        said = dict.fromkeys(state.said.values()) if state is not None else {}
        found += [Fusion(path, *one) for one in said or {("", "it was not called on a TPU"): None}]
    return found


@dataclass(frozen=True)
class _Match:
    """A kernel that computes what a forward does, or why there is none."""

    kernel: Any = None
    reference: nn.Module | None = None
    traced: Traced | None = None
    given: tuple[fx.Node | None, ...] = ()  # what the reference is given, of what was traced
    gives: tuple[tuple[fx.Node, ...], ...] = ()  # and what it gives, each by all nodes that give the same
    reason: str = ""
    depends_on_shapes: bool = False


@dataclass
class _State:
    """What is known of a module's calls, by their kind."""

    matches: dict[Hashable, _Match] = field(default_factory=dict)
    depends_on_shapes: set[Hashable] = field(
        default_factory=set
    )  # kinds whose graphs are valid for the shapes of their inputs only
    said: dict[Hashable, tuple[str, str]] = field(default_factory=dict)  # kernel, or why none, in the last call
    alive: list[list[Any]] = field(
        default_factory=list
    )  # objects whose id() is in a kind, kept so that no other gets it


_states: "weakref.WeakKeyDictionary[nn.Module, _State]" = weakref.WeakKeyDictionary()
_lock = threading.RLock()


def _may_pass(value: object) -> bool:
    """Whether a value is a tensor that a kernel may be given."""
    return type(value) in (torch.Tensor, nn.Parameter) and forms.wants_tpu_form(value)  # type: ignore[arg-type]


def _run(
    module: nn.Module,
    forward: Callable[..., Any],
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """What a kernel gives in place of a forward; None where none does."""
    try:
        bound = signature.bind(module, *args, **kwargs)
    except TypeError:
        return None  # the forward says so itself
    bound.apply_defaults()
    arguments = _arguments(signature, bound.arguments)
    if arguments is None:
        return None
    tensors = [value for value in arguments.values() if isinstance(value, torch.Tensor)]
    state, kind = _known(module, forward, arguments, tensors)
    match = state.matches[kind]
    if match.kernel is None:
        state.said[kind] = "", match.reason
        return None
    assert match.traced is not None
    known = dict(zip(match.traced.tensors, tensors, strict=True))
    found = match.kernel.run(match.reference, *match.traced.compute(module, match.given, known))
    if isinstance(found, str):
        state.said[kind] = "", found
        return None
    if isinstance(found, attention.InSteps):
        state.said[kind] = "", found.reason
        found = found.results
    else:
        state.said[kind] = match.kernel.NAME, ""
    known |= _by_node(match.gives, found)
    for path, name, node in match.traced.stores:
        setattr(module.get_submodule(path), name, match.traced.compute(module, node, known))
    return read_all(match.traced.compute(module, match.traced.result, known))


def _by_node(gives: Sequence[Sequence[fx.Node]], found: Sequence[torch.Tensor]) -> dict[fx.Node, torch.Tensor]:
    """The results of a kernel, each by the nodes that have it."""
    return {node: value for nodes, value in zip(gives, found, strict=True) for node in nodes}


def _known(
    module: nn.Module, forward: Callable[..., Any], arguments: Mapping[str, Any], tensors: Sequence[torch.Tensor]
) -> tuple[_State, Hashable]:
    """What is known of a module, and the kind of a call, whose graph is among that."""
    kind, alive = _kind(module, forward, arguments)
    shapes = tuple(tensor.shape for tensor in tensors)
    with _lock:
        state = _states.setdefault(module, _State())
        if kind in state.depends_on_shapes:
            kind = kind, shapes
        if kind not in state.matches:
            match = _Match(reason=f"its calls are of more than {_KEPT} kinds")
            if len(state.matches) < _KEPT:
                match = _match(module, forward, arguments)
                state.alive.append(alive)
            else:
                kind = None  # something that it is made of is new at each call
            if match.depends_on_shapes and kind is not None:
                state.depends_on_shapes.add(kind)
                kind = kind, shapes
            state.matches[kind] = match
        return state, kind


def _arguments(signature: inspect.Signature, bound: Mapping[str, Any]) -> dict[str, Any] | None:
    """Arguments by name but for the module; None where there are more than the names say, or positional-only ones."""
    found = {}
    for parameter in list(signature.parameters.values())[1:]:
        value = bound[parameter.name]
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if value:
                return None
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            return None
        else:
            found[parameter.name] = value
    return found


def _kind(module: nn.Module, forward: Callable[..., Any], arguments: Mapping[str, Any]) -> tuple[Hashable, list[Any]]:
    """What a graph depends on besides its tensors, and the objects whose id() is in that."""
    kind = _Kind(module)
    for name, value in arguments.items():
        if isinstance(value, torch.Tensor):
            kind.parts.append(name)
        else:
            kind.add(value)
    for one in module.modules():
        kind.add_module(one)
    for name in forward.__code__.co_names:
        value = forward.__globals__.get(name)
        if isinstance(value, _PLAIN):
            kind.parts.append((name, value))
    return tuple(kind.parts), kind.alive


class _Kind:
    """Collects what a graph of a module's forward depends on."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self.alive: list[Any] = []
        self.parts: list[Hashable] = [mode(), bool(_has_any_global_hook())]  # type: ignore[no-untyped-call]

    def add(self, value: Any) -> None:
        """A value that is known when a graph is traced."""
        if isinstance(value, _PLAIN):
            self.parts.append((type(value), value))
        elif isinstance(value, (tuple, list)) and all(isinstance(one, _PLAIN) for one in value):
            self.parts.append((type(value), *value))
        elif inspect.ismethod(value) and value.__self__ is self._module:
            self.parts.append(id(value.__func__))  # lives as long as its class
        elif not isinstance(value, torch.Tensor):  # in a graph these stand for themselves
            self.alive.append(value)
            self.parts.append(id(value))

    def add_module(self, one: nn.Module) -> None:
        """A module, what it is told, and whether a hook is set on it."""
        if one is not self._module:  # its entry in _states ends with it
            self.alive.append(one)
        self.parts.append((id(one), type(one), one.training, _is_hooked(one)))
        if not isinstance(one, nn.Conv1d):  # of a convolution a kernel looks at what it is, at each call
            for name, value in vars(one).items():
                if not name.startswith("_"):
                    self.parts.append(name)
                    self.add(value)


def _match(module: nn.Module, forward: Callable[..., Any], arguments: Mapping[str, Any]) -> _Match:
    """The kernel whose reference computes what a forward does."""
    if _has_any_global_hook():  # type: ignore[no-untyped-call]
        return _Match(reason="a hook is set on all modules")
    hooked = _hooked_submodule(module)
    if hooked:
        return _Match(reason=f"a hook is set on {hooked}")
    traced = None
    try:
        traced = trace(module, forward, arguments)
        return _matched(module, traced)
    except Exception as error:  # a graph may hold whatever code can say, and the forward needs no kernel
        text = " ".join(str(error).split())[:200]
        reason = (
            text if isinstance(error, NotTraced) else f"its graph is of no known form: {type(error).__name__}: {text}"
        )
        return _Match(reason=reason, depends_on_shapes=getattr(traced or error, "depends_on_shapes", False))


def _matched(module: nn.Module, traced: Traced) -> _Match:
    """The kernel whose reference computes part of a graph. NotTraced says why there is none."""
    numbers = ValueNumbers()
    found = values(numbers, traced, [numbers.of("given", i) for i in range(len(traced.tensors))])
    _refuse_held(module, traced)
    best = _Doubt(attends=False, reached=-1, reason="it has no layers that a kernel takes")
    for kernel in _KERNELS:
        for reference, bindings in kernel.references(traced, numbers, found):
            for given in bindings:
                said = _compared(kernel, reference, traced, numbers, found, given)
                if isinstance(said, _Match):
                    return said
                best = max(best, said)
    doubtful = None if best.attends else attention.first_doubt(traced, numbers, found)
    raise NotTraced(best.reason if doubtful is None else f"it is no attention from {place(doubtful)} on")


def _refuse_held(module: nn.Module, traced: Traced) -> None:
    """NotTraced for a tensor that is neither a parameter nor a buffer: a graph would keep the one that was there."""
    named = itertools.chain(
        module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
    )
    known = {name for name, _ in named}
    held = next((node for node in traced.nodes if node.op == "get_attr" and held_name(node) not in known), None)
    if held is not None:
        raise NotTraced(f"it computes with a tensor that it holds: {place(held)}")


class _Doubt(NamedTuple):
    """Why a graph is not what a reference computes; the larger one says more."""

    attends: bool  # whether it was compared with an attention
    reached: int  # how many nodes came before
    reason: str


def _compared(
    kernel: Any,
    reference: nn.Module,
    traced: Traced,
    numbers: ValueNumbers,
    found: Values,
    given: Sequence[fx.Node | None],
) -> _Match | _Doubt:
    """Whether part of a graph is what a reference computes of some of its nodes."""
    attends, end = kernel is attention, len(traced.nodes)
    what = "attention" if attends else f"{kernel.NAME} chain"
    own = _trace_reference(reference, given, traced)
    wanted = values(numbers, own, [found[node] for node in given if node is not None])
    gives = _nodes(traced, found, [wanted[node] for node in _leaves(own.result)])
    if gives is None:
        node = first_difference(traced, found, wanted)
        return _Doubt(attends, traced.nodes.index(node), f"it is no {what} from {place(node)} on")
    inner = _read_elsewhere(traced, given, itertools.chain(*gives))
    if inner is not None:
        return _Doubt(attends, end, f"it reads a value inside {_a(what)}: {place(inner)}")
    before = _not_repeatable(traced, given)
    if before is not None:
        return _Doubt(attends, end, f"{place(before)} before {_a(what)} may be computed once only")
    return _Match(kernel, reference, traced, tuple(given), gives, depends_on_shapes=traced.depends_on_shapes)


def _a(what: str) -> str:
    return f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


def _trace_reference(reference: nn.Module, given: Sequence[fx.Node | None], traced: Traced) -> Traced:
    """The graph of a reference that is given nodes of another graph."""
    names = list(inspect.signature(reference.forward).parameters)
    metas, unknown = traced.metas or {}, torch.empty(0, device="meta")
    tensors = [None if node is None else metas.get(node, unknown) for node in given]
    arguments = dict(zip(names, tensors, strict=False))
    return trace(reference, type(reference).forward, arguments, sized=traced.metas is not None)


def _leaves(structure: Any) -> list[fx.Node]:
    return [node for node in pytree.tree_leaves(structure) if isinstance(node, fx.Node)]


def _nodes(traced: Traced, found: Values, numbers: Sequence[Any]) -> tuple[tuple[fx.Node, ...], ...] | None:
    """The nodes of a graph that give values; None where one is not there."""
    gives = [tuple(node for node in traced.nodes if found[node] == number) for number in numbers]
    return tuple(gives) if all(gives) else None


def _read_elsewhere(traced: Traced, given: Sequence[fx.Node | None], gives: Iterable[fx.Node]) -> fx.Node | None:
    """A node inside a part of a graph whose value is needed outside."""
    gives = list(gives)
    ends = {*(node for node in given if node is not None), *gives}
    inner = _before([one for node in gives for one in node.all_input_nodes], ends)
    both = inner & _before(traced.ends, ends)
    return next((node for node in reversed(traced.nodes) if node in both), None)


def _not_repeatable(traced: Traced, given: Sequence[fx.Node | None]) -> fx.Node | None:
    """A node among those before a part of a graph that must not be computed twice, where no kernel can be had."""
    before = _before([node for node in given if node is not None], set(traced.tensors))
    return next((node for node in traced.nodes if node in before and not is_repeatable(traced, node)), None)


def _before(nodes: Iterable[fx.Node], ends: Collection[fx.Node]) -> set[fx.Node]:
    """Nodes, and those that they need, but none of `ends` and what only these need."""
    found: set[fx.Node] = set()
    waiting = [node for node in nodes if node not in ends]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += [one for one in node.all_input_nodes if one not in ends]
    return found


def _hooked_submodule(module: nn.Module) -> str:
    """The class of a module inside whose hooks would not run; layers run theirs, or keep kernels away."""
    for one in module.modules():
        if one is not module and _is_hooked(one) and not isinstance(one, CALLED):
            return type(one).__name__
    return ""


def _is_hooked(module: nn.Module) -> bool:
    every = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return any(every)
