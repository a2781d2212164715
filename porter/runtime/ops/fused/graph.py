"""The torch.fx graph of what a module's forward computes, with convolutions as single steps."""

import contextlib
import functools
import operator
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from ..folded_layers import FoldedConv1d

# Layers that are one step of a graph; `values` knows what dropout and the ReLUs compute. Others are traced into.
CALLED = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.Linear)
_STEPS = (*CALLED, nn.Dropout, nn.LeakyReLU, nn.ReLU)
_SOFTMAX = frozenset({torch.softmax, F.softmax, "softmax"})
_PLAIN = (type(None), bool, int, float, str)
_READS = frozenset({"__get__", "size", "dim", "numel", "is_floating_point", "is_complex", "ndimension"})

# Python's operators that write to what stands left of them, by their names in `operator`.
IN_PLACE = tuple(
    f"i{name}" for name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift concat".split()
)
_LINE = "line"  # in the notes of a node
_OTHERS = (f"{Path(torch.__file__).parent}/", f"{Path(__file__).parent.parent}/")  # whose lines say nothing

_lock = threading.Lock()  # torch.fx replaces methods of nn.Module while it traces


class NotTraced(Exception):  # noqa: N818 - nothing went wrong: the forward runs as it is
    """Why a forward has no graph that stands for it, in a clause."""

    depends_on_shapes = False  # whether it asked for the shape of a tensor before


@dataclass(frozen=True)
class Traced:
    """What a forward computes of the tensors that it is given."""

    tensors: tuple[fx.Node, ...]  # what it is given
    nodes: tuple[fx.Node, ...]  # what it computes, in order
    result: Any  # a node, or lists, tuples and dictionaries of nodes
    layers: Mapping[str, nn.Module]  # by the targets of nodes that call one
    depends_on_shapes: bool  # whether it is valid for these shapes of the tensors only
    stores: tuple[tuple[str, str, fx.Node], ...] = ()  # path of a module, its attribute, and what it is set to
    metas: Mapping[fx.Node, torch.Tensor] | None = None  # tensors without numbers, where shapes were asked for

    @functools.cached_property
    def sizes(self) -> Mapping[fx.Node, tuple[int, ...]] | None:
        """The shapes of what nodes give, where that are tensors whose shapes are known."""
        return None if self.metas is None else {node: tuple(meta.shape) for node, meta in self.metas.items()}

    @property
    def ends(self) -> list[fx.Node]:
        """The nodes whose values are given back, or stored."""
        given_back = [one for one in pytree.tree_leaves(self.result) if isinstance(one, fx.Node)]
        return [*given_back, *(node for _, _, node in self.stores)]

    def layer_calls(self, *kinds: type[nn.Module]) -> list[fx.Node]:
        """The nodes that call layers of some kinds, in order."""
        return [node for node in self.nodes if isinstance(self.layer(node), kinds)]

    def layer(self, node: fx.Node) -> nn.Module | None:
        """The layer that a node calls."""
        return self.layers[str(node.target)] if node.op == "call_module" else None

    def compute(self, module: nn.Module, wanted: Any, known: dict[fx.Node, Any]) -> Any:
        """A node's value, or a structure of them, from those in `known`, to which all computed ones are added.

        `module` is the one whose forward was traced: what it holds is read anew.
        """

        def of(node: fx.Node) -> Any:
            if node not in known:
                args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), of)
                if node.op == "get_attr":
                    known[node] = operator.attrgetter(held_name(node))(module)
                else:
                    known[node] = (self.layer(node) or _function(node))(*args, **kwargs)
            return known[node]

        return _filled(wanted, of)


def trace(
    module: nn.Module, forward: Callable[..., Any], arguments: Mapping[str, Any], *, sized: bool = False
) -> Traced:
    """The graph of `forward(module, **arguments)`, in which tensors stand for others of their shapes, or any others.

    With `sized`, and where it has a softmax, the shapes of its tensors are known. NotTraced where it depends on their
    values, draws or makes tensors, stores something in a module but what it computed, or asks for another mode of
    autocast or gradients within.
    """
    for name, value in arguments.items():
        if not isinstance(value, (torch.Tensor, *_PLAIN)):
            raise NotTraced(f"its argument {name} is of type {type(value).__name__}")
    root = _Call(module, forward, arguments)
    tracer = _Tracer([(tuple(arguments[name].shape), arguments[name].dtype) for name in root.tensors])
    stores: list[tuple[str, str, fx.Node]] = []
    try:
        with _lock, _without_modes(), _undrawn(), _unchanged(module, stores), _NoTensors():
            graph = tracer.trace(root)
        _, *nodes, output = graph.nodes
        result = _structure(output.args[0])
        metas = tracer.metas(nodes) if sized or any(map(is_softmax, nodes)) else None
    except Exception as error:  # whatever a forward raises on what is no tensor
        text = " ".join(str(error).split())[:200]
        refused = error if isinstance(error, NotTraced) else NotTraced(f"torch.fx cannot trace it: {text}")
        refused.depends_on_shapes = tracer.depends_on_shapes
        raise refused from None
    layers = {str(node.target): root.get_submodule(str(node.target)) for node in nodes if node.op == "call_module"}
    count = len(root.tensors)
    tensors, rest = tuple(nodes[:count]), tuple(nodes[count:])
    return Traced(tensors, rest, result, layers, tracer.depends_on_shapes, tuple(stores), metas)


def is_softmax(node: fx.Node) -> bool:
    """Whether a node computes a softmax."""
    return node.op in ("call_function", "call_method") and node.target in _SOFTMAX


def held_name(node: fx.Node) -> str:
    """The name, in the module that was traced, of a tensor that it holds."""
    return str(node.target).removeprefix("module.")


def _structure(value: Any) -> Any:
    """A result in Python's own lists, tuples and dictionaries. Raises NotTraced for anything else."""
    if isinstance(value, (fx.Node, *_PLAIN)):
        return value
    if isinstance(value, list):
        return [_structure(one) for one in value]
    if type(value) is tuple:
        return tuple(_structure(one) for one in value)
    if isinstance(value, dict):
        return {key: _structure(one) for key, one in value.items()}
    raise NotTraced(f"it gives a {type(value).__name__}")


def _filled(structure: Any, of: Callable[[fx.Node], Any]) -> Any:
    """A structure with values in the place of nodes."""
    if isinstance(structure, fx.Node):
        return of(structure)
    if isinstance(structure, (list, tuple)):
        return type(structure)(_filled(one, of) for one in structure)
    if isinstance(structure, dict):
        return {key: _filled(one, of) for key, one in structure.items()}
    return structure


def _function(node: fx.Node) -> Callable[..., Any]:
    """What a node calls, if that is no layer."""
    called: Any = node.target if node.op == "call_function" else getattr(torch.Tensor, str(node.target))
    return called  # type: ignore[no-any-return]


def place(node: fx.Node) -> str:
    """A node in words: what it computes, and the line that does."""
    name = getattr(node.target, "__name__", str(node.target)).removeprefix("module.")
    return f"{name} ({node.meta[_LINE]})" if _LINE in node.meta else name


class _Call(nn.Module):
    """A call of a forward, by a list of its tensors."""

    def __init__(self, module: nn.Module, forward: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module
        self.tensors = [name for name, value in arguments.items() if isinstance(value, torch.Tensor)]
        self._called, self._arguments = forward, arguments

    def forward(self, given: Any) -> Any:
        """What the forward makes of the tensors, in the order of its arguments."""
        tensors = {name: given[i] for i, name in enumerate(self.tensors)}
        return self._called(self.module, **{**self._arguments, **tensors})


class _Tracer(fx.Tracer):
    """Traces in the thread that made it; other threads may call modules meanwhile."""

    def __init__(self, shapes: Sequence[tuple[tuple[int, ...], torch.dtype]]) -> None:
        super().__init__(autowrap_modules=())  # type: ignore[arg-type]
        self.depends_on_shapes = False
        self._shapes, self._sized = shapes, dict[fx.Node, Any]()
        self._thread = threading.get_ident()
        self._mode = mode()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _STEPS) and "forward" not in vars(m)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self._thread or m not in (self.submodule_paths or {}):  # one that a forward makes
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if mode() != self._mode:
            raise NotTraced("it computes under a mode of autocast or gradients of its own")
        node = super().create_node(*args, **kwargs)
        line = _line()
        if line:
            node.meta[_LINE] = line
        return node

    def create_proxy(self, kind: str, target: Any, args: Any, *more: Any, **named: Any) -> fx.Proxy:
        made: fx.Proxy = super().create_proxy(kind, target, args, *more, **named)
        writes = kind == "call_method" and target.endswith("_") and not target.endswith("__")
        if writes and isinstance(args[0], _Value):
            args[0].node = made.node  # who reads it from here on reads what was written
        return made

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)

    def meta(self, node: fx.Node) -> torch.Tensor:
        """What a node gives, without numbers, from the shapes of the arguments."""
        self.depends_on_shapes = True
        with torch._C.DisableTorchFunction():  # type: ignore[no-untyped-call]
            found = self._size(node)
        if not isinstance(found, torch.Tensor):
            raise NotTraced(f"it wants the shape of what is no tensor: {place(node)}")
        return found

    def metas(self, nodes: Sequence[fx.Node]) -> dict[fx.Node, torch.Tensor]:
        """What nodes give, as far as that are tensors whose shapes are known."""
        found = {}
        with _without_modes():  # whoever counts draws is to see none of these
            for node in nodes:
                with contextlib.suppress(Exception):  # meta tensors have no values, and some layers are not known
                    found[node] = self.meta(node)
        return found

    def _size(self, node: fx.Node) -> Any:
        """What a node gives, without numbers."""
        if node not in self._sized:
            args: Any
            kwargs: Any
            args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), self._size)
            if node.op == "placeholder":
                self._sized[node] = [torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in self._shapes]
            elif node.op == "call_module":
                self._sized[node] = _sized(self.root.get_submodule(str(node.target)), *args)
            elif node.op == "get_attr":
                self._sized[node] = _held(self.root, str(node.target)).to("meta")
            else:
                self._sized[node] = _function(node)(*args, **kwargs)
        return self._sized[node]


def _held(root: nn.Module, name: str) -> torch.Tensor:
    """A tensor that a module holds, past what torch.fx makes of attributes."""
    path, _, last = name.rpartition(".")
    owner = root.get_submodule(path)
    found: Any = owner._parameters.get(last)
    held: torch.Tensor = found if found is not None else (owner._buffers | vars(owner))[last]
    return held


def _sized(layer: nn.Module, given: torch.Tensor) -> torch.Tensor:
    """What a layer gives, without numbers. Raises NotTraced for a kind that is not known."""
    if isinstance(layer, (nn.Dropout, nn.LeakyReLU, nn.ReLU)):
        return given
    if isinstance(layer, nn.Linear):
        return given.new_empty((*given.shape[:-1], layer.out_features))
    if not isinstance(layer, (nn.Conv1d, nn.Conv2d)) or isinstance(layer, FoldedConv1d):
        raise NotTraced(f"it wants the shape of what a layer gives: {type(layer).__name__}")
    if layer.padding_mode != "zeros":
        raise NotTraced(f"it wants the shape of what a layer gives: {type(layer).__name__}")
    function: Any = torch.conv1d if isinstance(layer, nn.Conv1d) else torch.conv2d
    shape = (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)
    weight = torch.empty(shape, dtype=given.dtype, device="meta")
    found: torch.Tensor = function(given, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    return found


class _Value(fx.Proxy):
    """A value of a graph. It knows its shape; and what writes to it does so in the graph, which torch.fx leaves out."""

    tracer: _Tracer

    @property
    def shape(self) -> torch.Size:
        return self.tracer.meta(self.node).shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def dim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]


def _write(name: str) -> Callable[..., Any]:
    operation = getattr(operator, name)

    def call(self: _Value, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operation, (self, other), {})

    return call


for _name in IN_PLACE:
    setattr(_Value, f"__{_name}__", _write(_name))


def _line() -> str:
    """The line that is being traced, as FILE:NUMBER; "" where none of upstream's is."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_OTHERS):
            return f"{name.rpartition('/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


class _NoTensors(TorchFunctionMode):
    """Refuses what computes, draws or writes tensors that do not come of the arguments: that would happen once."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        proxies = any(isinstance(value, fx.Proxy) for value in pytree.tree_leaves((args, kwargs)))
        if not proxies and name not in _READS:
            raise NotTraced(f"it computes {name} of nothing that it is given")
        return func(*args, **kwargs)


def mode() -> tuple[Any, ...]:
    """Whether gradients are wanted, and autocast."""
    kinds = [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda", "xla")]
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), *kinds


@contextlib.contextmanager
def _without_modes() -> Iterator[None]:
    """Turns active TorchFunctionModes off while a graph is traced."""
    modes = [
        torch.overrides._pop_mode()  # type: ignore[no-untyped-call]
        for _ in range(torch._C._len_torch_function_stack())
    ]
    try:
        yield
    finally:
        for one in reversed(modes):
            torch.overrides._push_mode(one)  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _undrawn() -> Iterator[None]:
    """Puts back what a forward draws of Python's and NumPy's random numbers, and raises NotTraced if it drew any."""
    numpy: Any = sys.modules.get("numpy")
    before = random.getstate(), numpy and numpy.random.get_state(legacy=False)
    yield
    after = random.getstate(), numpy and numpy.random.get_state(legacy=False)
    if str(before) != str(after):
        random.setstate(before[0])
        if numpy:
            numpy.random.set_state(before[1])
        raise NotTraced("it draws a random number")


@contextlib.contextmanager
def _unchanged(module: nn.Module, stores: list[tuple[str, str, fx.Node]]) -> Iterator[None]:
    """Puts back what a forward stores in modules, and raises NotTraced if it stored anything but what it computes.

    That goes to `stores`.
    """
    before = [(path, vars(one), _contents(vars(one))) for path, one in module.named_modules()]
    yield
    stored: set[str] = set()
    for path, attributes, contents in before:
        for name in sorted({*attributes, *contents}):
            if isinstance(attributes.get(name), fx.Proxy):
                stores.append((path, name, attributes[name].node))
                if name in contents:
                    attributes[name] = contents[name][0]
                else:
                    del attributes[name]
            elif name not in contents:
                del attributes[name]
                stored.add(name)
            elif _put_back(attributes, name, *contents[name]):
                stored.add(name)
    if stored:
        raise NotTraced(f"it stores something in {', '.join(sorted(stored))}")


def _put_back(attributes: dict[str, Any], name: str, value: Any, inner: Any) -> bool:
    """Give an attribute what it held, with `inner` in it if that is a list or dictionary; whether that is a change."""
    changed = name not in attributes or attributes[name] is not value
    if isinstance(value, (list, dict)) and not _alike(value, inner):
        value.clear()
        value.extend(inner) if isinstance(value, list) else value.update(inner)
        changed = True
    attributes[name] = value
    return changed


def _contents(attributes: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Values by name, and what lists and dictionaries hold."""
    return {
        name: (value, value.copy() if isinstance(value, (list, dict)) else None) for name, value in attributes.items()
    }


def _alike(one: Any, other: Any) -> bool:
    """Whether two lists, or two dictionaries, hold the same objects."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(one[key] is other[key] for key in one)
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
