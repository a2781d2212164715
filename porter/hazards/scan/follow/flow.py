"""Values followed through the calls of a project: what callers give to parameters, what classes keep in attributes.

Each function is gone through once, when it is first asked about, and again when something that it rests on turns out
to be more than was known: another caller's argument, what a function it calls returns, an attribute.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import libcst as cst

from ....analysis.contexts import Contexts
from ....analysis.project import Project, SourceFile
from ....syntax.values import Env, Kind, Value, either
from .binding import CONSTRUCTORS, Call, Method
from .followed import Followed
from .passing import handed_back

_DEEPEST = 20  # calls within calls that are followed at once; what lies deeper waits for its turn
_TURNS = 6  # kinds can only rise a few times; this bounds the work if they ever do not settle


@dataclass(slots=True)
class _State:
    """What is known of one function (or of a file's own statements)."""

    kinds: Followed
    calls: dict[cst.Call, Call] = field(default_factory=dict)  # those seen
    given: Env | None = None  # by all of them; None without any
    returned: Value | None = None
    turns: int = 0
    running: bool = False
    readers: set[cst.CSTNode] = field(default_factory=set)  # functions that use what it returns


class Flow:
    """The kinds of a project's values, followed through calls."""

    def __init__(self) -> None:
        """Nothing is looked at yet."""
        self.project = Project(self._kinds)
        self._states: dict[cst.CSTNode, _State] = {}
        self._attributes: dict[tuple[cst.ClassDef, str], dict[cst.CSTNode, Value]] = defaultdict(dict)
        self._attribute_readers: dict[tuple[cst.ClassDef, str], set[cst.CSTNode]] = defaultdict(set)
        self._queue: deque[cst.CSTNode] = deque()
        self._queued: set[cst.CSTNode] = set()
        self._stack: list[cst.CSTNode] = []
        self._solved = False
        self._chains: dict[cst.ClassDef, tuple[tuple[SourceFile, cst.ClassDef], ...]] = {}
        self._passed: dict[cst.CSTNode, tuple[cst.BaseExpression, ...]] = {}
        self._members: dict[cst.ClassDef, dict[str, Method]] = {}
        self._hosts: dict[cst.CSTNode, bool] = {}

    def _kinds(self, file: SourceFile) -> Followed:
        return Followed(file, self)

    # -- going through functions ----------------------------------------------------------------------------------

    def solve(self) -> None:
        """Go through everything, until nothing more turns up."""
        if self._solved:
            return
        self._solved = True
        files = self.project.files.values()
        for file in files:
            self._start(file, file.index.module)
        functions = [(file, node) for file in files for node in file.index.of_type(cst.FunctionDef)]
        # Who is called by others is looked at when they are, with what they give.
        for called in (False, True):
            for file, node in functions:
                if called or self._is_entry(file, node):
                    self._start(file, node)
        while self._queue:
            waiting = self._queue.popleft()
            self._queued.discard(waiting)
            self._run(waiting)

    def _is_entry(self, file: SourceFile, function: cst.FunctionDef) -> bool:
        if file.owner(function) is not None:
            return function.name.value in ("forward", *CONSTRUCTORS)
        return file.function(function) is None and not self.project.fact(Contexts).references(function)

    def _state(self, file: SourceFile, node: cst.CSTNode) -> _State:
        if node not in self._states:
            assert isinstance(file.kinds, Followed)
            self._states[node] = _State(file.kinds)
        return self._states[node]

    def _start(self, file: SourceFile, node: cst.CSTNode) -> None:
        state = self._state(file, node)
        if not state.turns:
            self._run(node)

    def _run(self, node: cst.CSTNode) -> None:
        state = self._states[node]
        if state.running or state.turns >= _TURNS:
            return
        state.turns += 1
        state.running = True
        self._stack.append(node)
        returned = state.kinds.go_through(node)
        self._stack.pop()
        state.running = False
        if returned != state.returned:
            state.returned = returned
            self._again(state.readers)

    def _again(self, nodes: set[cst.CSTNode]) -> None:
        for node in sorted(nodes - self._queued, key=self._order):
            if self._states[node].turns and not self._states[node].running:
                self._queue.append(node)
                self._queued.add(node)

    def _order(self, node: cst.CSTNode) -> tuple[str, int]:
        file = self._states[node].kinds.file
        return file.path, self._places[file.path].get(node, -1)

    @cached_property
    def _places(self) -> dict[str, dict[cst.CSTNode, int]]:
        return {
            path: {node: i for i, node in enumerate(file.index.nodes) if type(node) is cst.FunctionDef}
            for path, file in self.project.files.items()
        }

    # -- what followed kinds ask ----------------------------------------------------------------------------------

    def on_host(self, file: SourceFile, function: cst.CSTNode) -> bool:
        """Whether a function, or what stands outside of any, never runs for the device."""
        if function not in self._hosts:
            contexts = self.project.fact(Contexts)
            self._hosts[function] = (
                not isinstance(function, cst.FunctionDef)
                or (contexts.function_reason(file, function) or contexts.loaded(file, function.body)) is not None
            )
        return self._hosts[function]

    def given(self, function: cst.FunctionDef) -> Env | None:
        """What the calls seen so far give to a function's parameters; None where no call was seen."""
        state = self._states.get(function)
        return None if state is None else state.given

    def call(self, method: tuple[SourceFile, cst.FunctionDef], node: cst.Call, call: Call) -> Value:
        """The kind of what a function, given with its file, returns to the expression `node`."""
        state = self._state(*method)
        if state.calls.get(node) != call:
            known = node in state.calls
            state.calls[node] = call
            before = state.given
            if known or before is None:
                state.given = _merged(one.given for one in state.calls.values())
            else:
                state.given = _merged((before, call.given))
            if state.turns and state.given != before:
                self._again({method[1]})
        return self.returned(*method)

    def handed_back(self, function: cst.FunctionDef) -> tuple[cst.BaseExpression, ...]:
        """What a function returns, if it only chooses among its parameters."""
        if function not in self._passed:
            self._passed[function] = handed_back(function)
        return self._passed[function]

    def calls_of(self, function: cst.FunctionDef) -> list[tuple[SourceFile, cst.Call, int]]:
        """The calls of a function that were seen: file, expression, and how many parameters Python fills in."""
        state = self._states.get(function)
        return [] if state is None else [(call.file, node, call.skipped) for node, call in state.calls.items()]

    def returned(self, file: SourceFile, function: cst.FunctionDef) -> Value:
        """The kind of what a function of `file` returns."""
        state = self._state(file, function)
        if self._stack:
            state.readers.add(self._stack[-1])
        if not state.turns:
            if len(self._stack) < _DEEPEST:
                self._run(function)
            elif function not in self._queued:
                self._queue.append(function)
                self._queued.add(function)
        return Kind.UNKNOWN if state.returned is None else state.returned

    def run_outer(self, file: SourceFile, function: cst.CSTNode) -> None:
        """See that the function (or file) around another has been gone through."""
        self._start(file, function)

    def globals_of(self, file: SourceFile, name: str) -> Value:
        """The kind of a variable of a file."""
        self._start(file, file.index.module)
        assert isinstance(file.kinds, Followed)
        return file.kinds.variable(name)

    # -- classes ----------------------------------------------------------------------------------------------------

    def chain(self, file: SourceFile, owner: cst.ClassDef) -> tuple[tuple[SourceFile, cst.ClassDef], ...]:
        """A class and those of its bases that the project defines, in the order in which Python looks there."""
        if owner not in self._chains:
            self._chains[owner] = ((file, owner),)  # a class that derives from itself is no class
            found = {owner: (file, owner)}
            for base in owner.bases:
                above = self.project.definition(file.resolve(base.value))
                if above is not None and isinstance(above[1], cst.ClassDef):
                    found.update({c: (f, c) for f, c in self.chain(above[0], above[1]) if c not in found})
            self._chains[owner] = tuple(found.values())
        return self._chains[owner]

    def method(self, file: SourceFile, owner: cst.ClassDef, name: str) -> Method | None:
        """The method that an object of a class has by this name."""
        for where, above in self.chain(file, owner):
            if above not in self._members:
                methods = [m for m in above.body.body if isinstance(m, cst.FunctionDef)]
                self._members[above] = {m.name.value: Method(where, above, m) for m in reversed(methods)}
            found = self._members[above].get(name)
            if found is not None:
                return found
        return None

    def methods_named(self, name: str) -> list[Method]:
        """All methods of the project by this name."""
        return self._methods.get(name, [])

    @cached_property
    def _methods(self) -> dict[str, list[Method]]:
        found: dict[str, list[Method]] = defaultdict(list)
        for file in self.project.files.values():
            for owner in file.index.of_type(cst.ClassDef):
                for item in owner.body.body:
                    if isinstance(item, cst.FunctionDef):
                        found[item.name.value].append(Method(file, owner, item))
        return found

    def attribute(self, file: SourceFile, owner: cst.ClassDef, name: str) -> Value | None:
        """The kind of an attribute of a class's objects; None where nothing gives it a value."""
        found: Value | None = None
        for where, above in self.chain(file, owner):
            for constructor in CONSTRUCTORS:
                made = self.method(where, above, constructor)
                if made is not None and made.owner is above:
                    self._start(where, made.function)
            if self._stack:
                self._attribute_readers[above, name].add(self._stack[-1])
            for value in self._attributes[above, name].values():
                found = value if found is None else either(found, value)
        return found

    def set_attribute(self, owner: cst.ClassDef, name: str, place: cst.CSTNode, value: Value) -> None:
        """Note what `place` in the source assigns to an attribute of a class's objects."""
        values = self._attributes[owner, name]
        if values.get(place) != value:
            values[place] = value
            self._again(self._attribute_readers[owner, name] - {*self._stack[-1:]})


def _merged(calls: Iterable[Env]) -> Env:
    """What several calls give; one that leaves a parameter out gives its default, which the function itself knows."""
    merged: Env = {}
    for env in calls:
        for name, value in env.items():
            merged[name] = either(merged[name], value) if name in merged else value
    return merged
