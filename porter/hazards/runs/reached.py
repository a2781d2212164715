"""Which code a run reaches from the files that it starts with: by names, so rather too much than too little."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

from ...inputs.sources.closure import closure
from .units import Class, Unit, last_name, units_of

_CALLED_BY_PYTHON = ("__", "reset_parameters")  # prefixes of methods that run without being named


class Reached:
    """The units that a run reaches.

    A function or method is reached when code that is reached mentions its name. `forward` of a network is reached when
    a network, or a file that the run does not start with, makes one; or when one that the first files make is called.
    """

    def __init__(self, trees: Mapping[str, ast.Module], start: Collection[str], whole: bool) -> None:
        """`trees` are the files that imports reach, `start` those that run; with `whole` all that they define does."""
        self._start = frozenset(start)
        self._units = {path: list(units_of(path, tree)) for path, tree in trees.items()}
        every = [unit for units in self._units.values() for unit in units]
        self._named: dict[str, list[Unit]] = defaultdict(list)
        self._classes: dict[str, list[Class]] = defaultdict(list)
        self._methods: dict[Class, list[Unit]] = defaultdict(list)
        self._derived: dict[str, list[Class]] = defaultdict(list)  # name of a base → classes that derive from it
        self._aliases: dict[str, set[str]] = defaultdict(set)
        for unit in every:
            self._collect(unit)
        self._networks = self._find_networks()
        self._pending = [u for u in every if not u.name or (whole and u.path in self._start)]
        self._reached: set[Unit] = set()
        self._names: set[str] = set()  # mentioned in what is reached
        self._follow()

    def _collect(self, unit: Unit) -> None:
        """Note a unit under its name, and what other names it gives to what it imports."""
        if unit.name:
            self._named[unit.name].append(unit)
        if unit.owner is not None and unit.owner.unit is unit:
            self._classes[unit.owner.name].append(unit.owner)
            for base in unit.owner.bases:
                self._derived[base].append(unit.owner)
        elif unit.owner is not None:
            self._methods[unit.owner].append(unit)
        for here, there in unit.aliases:
            self._aliases[here].add(there)

    def covers(self, path: str, line: int) -> bool:
        """Whether what stands in a line is reached."""
        inner = [u for u in self._units.get(path, ()) if u.first <= line <= u.last]
        return bool(inner) and min(inner, key=lambda u: u.last - u.first) in self._reached

    def _find_networks(self) -> frozenset[Class]:
        of_torch = (c for base, classes in self._derived.items() if base.endswith("Module") for c in classes)
        found = closure(of_torch, lambda above: (c for one in above for c in self._derived.get(one.name, ())))
        return frozenset(c for c in found if "LightningModule" not in c.bases)

    def _follow(self) -> None:
        while self._pending:
            while self._pending:
                self._add(self._pending.pop())
            self._pending += self._called_networks()

    def _add(self, unit: Unit) -> None:
        if unit in self._reached:
            return
        self._reached.add(unit)
        inside = unit.path not in self._start or unit.owner in self._networks
        names = unit.mentions.union(*(self._aliases.get(name, ()) for name in unit.mentions))
        for found in (found for name in names for found in self._classes.get(name, ())):
            self._pending += self._with_class(found, made_inside=inside)
        for name in names - self._names:
            self._pending += self._with_name(name)
        self._names |= names
        if unit.owner is not None:
            self._pending += self._with_owner(unit.owner, unit)

    def _with_name(self, name: str) -> Iterable[Unit]:
        """The functions and methods that a name may mean; `forward` of networks is reached when they are called."""
        if name.startswith("__"):
            return ()
        return (unit for unit in self._named.get(name, ()) if name != "forward" or unit.owner is None)

    def _with_owner(self, owner: Class, unit: Unit) -> Iterable[Unit]:
        """What is reached of the class that a unit belongs to: its body, and what `self(x)` in the unit runs."""
        yield owner.unit
        if "self" in unit.calls:
            yield from (method for method in self._methods.get(owner, ()) if method.name == "forward")

    def _with_class(self, found: Class, *, made_inside: bool) -> Iterable[Unit]:
        """What is reached with a class that is mentioned."""
        yield found.unit
        for method in self._methods.get(found, ()):
            of_network = method.name == "forward" and found in self._networks
            if made_inside if of_network else self._runs_unnamed(method.name, found):
                yield method
        for base in found.bases:
            for above in self._classes.get(base, ()):
                if above is not found:
                    yield from self._with_class(above, made_inside=made_inside)

    def _runs_unnamed(self, method: str, owner: Class) -> bool:
        """Whether a method may run without being named: by Python, or by a library whose class its own derives from."""
        if method.startswith(_CALLED_BY_PYTHON):
            return True
        return owner not in self._networks and any(b not in self._classes and b != "object" for b in owner.bases)

    def _called_networks(self) -> list[Unit]:
        """`forward` of networks that the first files make, and that are called by a name which may stand for one."""
        return [
            unit
            for unit in self._named.get("forward", ())
            if unit not in self._reached and unit.owner in self._networks and self._is_called(unit.owner)
        ]

    def _is_called(self, network: Class) -> bool:
        if network.unit not in self._reached:
            return False
        calls = {name for unit in self._reached for name in unit.calls}
        names, makers = self._names_for(network)
        applied = (value for reached in self._reached for value in reached.applied)
        return bool(calls & names) or any(self._may_be(value, names, makers) for value in applied)

    def _names_for(self, network: Class) -> tuple[set[str], set[str]]:
        """Names that may stand for an object of a class, and those of what may give one when it is called."""
        derived = {c.name for c in self._networks if network.name in c.bases}
        makers = {network.name} | derived
        makers |= {here for here, there in self._aliases.items() if there & makers}
        names: set[str] = set()
        size = -1
        while size != len(names) + len(makers):
            size = len(names) + len(makers)
            for unit in self._reached:
                self._extend(unit, names, makers)
        return names, makers

    def _extend(self, unit: Unit, names: set[str], makers: set[str]) -> None:
        """Add the names to which a unit gives what goes by one of `names`, or what one of `makers` makes."""
        for targets, value in unit.flows:
            if self._may_be(value, names, makers):
                names |= targets
        for called, place, value in unit.passed:
            if self._may_be(value, names, makers):
                names |= set(self._parameter(called, place))
        if unit.name and any(self._may_be(value, names, makers) for value in unit.returned):
            makers.add(unit.name)

    def _may_be(self, value: ast.expr, names: Collection[str], makers: Collection[str]) -> bool:
        """Whether a value may be or hold an object that goes by one of `names`, or that a call of `makers` gives."""
        match value:
            case ast.Name() | ast.Attribute():
                return last_name(value) in names
            case ast.Subscript():
                return self._may_be(value.value, names, makers)
            case ast.Call():
                return self._may_give(value, names, makers)
        parts = (part for part in ast.iter_child_nodes(value) if isinstance(part, ast.expr))
        return any(self._may_be(part, names, makers) for part in parts)

    def _may_give(self, call: ast.Call, names: Collection[str], makers: Collection[str]) -> bool:
        """The same for what a call gives."""
        called = last_name(call.func)
        if called in makers:
            return True
        if called == "getattr":  # an attribute, which has a name of its own
            return any(isinstance(a, ast.Constant) and a.value in names for a in call.args[1:2])
        if called in self._named or called in self._classes:
            return False  # what it returns is looked at where it does
        inside = [*call.args, *(keyword.value for keyword in call.keywords)]
        if isinstance(call.func, ast.Attribute):
            inside.append(call.func.value)  # net.to(device)
        return any(self._may_be(part, names, makers) for part in inside)

    def _parameter(self, called: str, place: int | str) -> Iterable[str]:
        for unit in (*self._named.get(called, ()), *self._constructors.get(called, ())):
            if isinstance(place, str):
                yield from (name for name in unit.parameters if name == place)
            else:
                own = unit.parameters[1:] if unit.owner is not None else unit.parameters
                yield from own[place : place + 1]

    @cached_property
    def _constructors(self) -> Mapping[str, list[Unit]]:
        return {
            name: [m for c in classes for m in self._methods.get(c, ()) if m.name == "__init__"]
            for name, classes in self._classes.items()
        }
