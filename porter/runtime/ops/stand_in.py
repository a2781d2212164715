"""Classes that stand where upstream named a class of torch."""

import abc
from typing import Any


class StandIn(abc.ABCMeta):  # else no abstract class could be derived from one that stands in
    """Metaclass of a class that takes the place of its base, a class of torch.

    `isinstance` and `issubclass` ask for the base then: a layer that torch's own layers are built of is no instance of
    the class that stands in, and upstream meant it too. Classes derived from that one are asked for as ever.
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        base: Any = cls.__base__
        return super().__instancecheck__(instance) if isinstance(base, StandIn) else isinstance(instance, base)

    def __subclasscheck__(cls, subclass: type) -> bool:
        base: Any = cls.__base__
        return super().__subclasscheck__(subclass) if isinstance(base, StandIn) else issubclass(subclass, base)
