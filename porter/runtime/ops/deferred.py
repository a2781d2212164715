"""A tensor that is computed when somebody looks at it, so that what comes of it may be computed another way."""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch.utils import _pytree as pytree

Known = Callable[..., Any]


class Deferred(ABC):
    """Stands for a tensor in torch's functions, operators and methods: `known` ones may go on without computing it.

    A known function returns None where it does not know what it was given, and may lack arguments of torch's own; then
    that one sees the tensor, as every other does. It is computed as it would have been where it was made: with or
    without gradients and autocast. What it is made of must not be written to before: that is a RuntimeError.

    A gradient that a kernel computes does not pass the tensor: hooks on it, and `torch.autograd.grad` for it, have no
    part in that.
    """

    known: ClassVar[Mapping[Any, Known]] = {}
    near: torch.Tensor | None = None  # diagonals of it, where a kernel computed those

    def __init__(self, device: torch.device, *sources: torch.Tensor | None) -> None:
        """`sources` are the tensors that it is computed from."""
        self.device = device
        self._sources = [(source, version(source)) for source in sources if source is not None]
        self._mode = _mode(device)
        self._value: torch.Tensor | None = None
        self._version: int | None = 0

    @abstractmethod
    def _compute(self) -> torch.Tensor:
        """The tensor."""

    def read(self) -> torch.Tensor:
        """The tensor, computed once."""
        if self._value is None:
            if any(version(source) != known for source, known in self._sources):
                raise RuntimeError("a tensor that was to be computed later depends on one that was written to since")
            grad, enabled, dtype = self._mode
            with torch.set_grad_enabled(grad), torch.autocast(self.device.type, dtype=dtype, enabled=enabled):
                self._value = self._compute()
            self._version = version(self._value)
        return self._value

    @property
    def current(self) -> bool:
        """Whether what it is made of may be used in its place.

        Not so once the tensor, or one of those, was written to; where gradients or autocast are not what they were; and
        where somebody waits for the tensor's own gradient.
        """
        value = self._value
        if value is not None and (version(value) != self._version or value._backward_hooks or value.retains_grad):
            return False
        if _mode(self.device) != self._mode:
            return False
        return all(version(source) == known for source, known in self._sources)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        known = cls.known.get(func)
        if known is not None and _takes(known, args, kwargs):
            found = known(*args, **kwargs)
            if found is not None:
                return found
        args, kwargs = pytree.tree_map(
            lambda value: value.read() if isinstance(value, Deferred) else value, (args, kwargs)
        )
        return func(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _same, (self.read().detach(),)

    def __repr__(self) -> str:
        return repr(self.read())

    def __format__(self, spec: str) -> str:
        return format(self.read(), spec)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_sovits_port") or name in ("_value", "_sources"):
            raise AttributeError(name)  # a mark of the runtime on tensors; a copy that is not filled yet
        method = getattr(torch.Tensor, name, None)
        if method in self.known:
            return lambda *args, **kwargs: self.__torch_function__(method, (), (self, *args), kwargs)
        return getattr(self.read(), name)


def version(tensor: torch.Tensor) -> int | None:
    """How often a tensor was written to; None where nobody counts."""
    return None if tensor.is_inference() else tensor._version


def _mode(device: torch.device) -> tuple[bool, bool, torch.dtype]:
    """Whether gradients are wanted, and autocast."""
    enabled = torch.is_autocast_enabled(device.type)
    return torch.is_grad_enabled(), enabled, torch.get_autocast_dtype(device.type)


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _takes(known: Known, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a function can be called so."""
    try:
        _signature(known).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


@functools.cache
def _signature(known: Known) -> inspect.Signature:
    return inspect.signature(known)


def _operator(name: str) -> Callable[..., Any]:
    method = getattr(torch.Tensor, name)

    def call(self: Deferred, *args: Any) -> Any:
        return self.__torch_function__(method, (), (self, *args), {})

    return call


# Python looks operators up in the class, past __getattr__.
for _name in (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow", "radd", "rsub", "rmul", "rtruediv"),
    "rmatmul",
    *("iadd", "isub", "imul", "itruediv", "neg", "pos", "abs", "invert", "and", "or", "xor", "eq", "ne", "lt", "le"),
    *("gt", "ge", "getitem", "setitem", "len", "iter", "bool", "int", "float", "index", "contains", "complex"),
    *("rpow", "rfloordiv", "rmod", "rand", "ror", "rxor", "ifloordiv", "ipow", "imod", "iand", "ior", "ixor"),
    *("lshift", "rshift", "rlshift", "rrshift", "reversed", "array"),
):
    if hasattr(torch.Tensor, f"__{_name}__"):
        setattr(Deferred, f"__{_name}__", _operator(f"__{_name}__"))
Deferred.__hash__ = object.__hash__  # type: ignore[method-assign]
