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
    that one sees the tensor, as every other does.
    What the tensor is made of must not be written to before it is computed: that is a RuntimeError.
    """

    known: ClassVar[Mapping[Any, Known]] = {}

    def __init__(self, *sources: torch.Tensor | None) -> None:
        """`sources` are the tensors that it is computed from."""
        self._sources = [(source, source._version) for source in sources if source is not None]
        self._value: torch.Tensor | None = None
        self._version = 0

    @abstractmethod
    def _compute(self) -> torch.Tensor:
        """The tensor."""

    def read(self) -> torch.Tensor:
        """The tensor, computed once."""
        if self._value is None:
            if any(source._version != version for source, version in self._sources):
                raise RuntimeError(f"{type(self).__name__} of a tensor that was written to since")
            self._value = self._compute()
            self._version = self._value._version
        return self._value

    @property
    def current(self) -> bool:
        """Whether it still is what it is made of: not so once the tensor, or one of those, was written to."""
        if self._value is not None and self._value._version != self._version:
            return False
        return all(source._version == version for source, version in self._sources)

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
    *("gt", "ge", "getitem", "setitem", "len", "iter", "bool", "int", "float", "index", "contains"),
):
    if hasattr(torch.Tensor, f"__{_name}__"):
        setattr(Deferred, f"__{_name}__", _operator(f"__{_name}__"))
Deferred.__hash__ = object.__hash__  # type: ignore[method-assign]
