"""How many bytes a compiled program moves between HBM and the chip, read from the program itself.

XLA's own count adds up the operands and results of all instructions, those that lie in the chip's memory too: a weight
that is fetched ahead of its product counts three times. Here an instruction counts what it reads from HBM and writes
there, as the layouts of the scheduled program say; what a fusion only slices, gathers or updates in place counts with
that part. The body of a loop counts as often as the compiler knows that it is repeated, else once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

_BITS = {"pred": 8, "s4": 4, "u4": 4, "token": 0, "bf16": 16, "c64": 64, "c128": 128}
_TYPE = re.compile(r"\b(pred|token|bf16|[sufc]\d+)(?:e\w+)?\[([\d,]*)\](?:\{([^}]*)\})?")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
_CALLED = re.compile(
    r"\b(calls|body|condition|to_apply|branch_computations|called_computations)=(\{[^}]*\}|%?[\w.\-]+)"
)
_REPEATED = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_HEAD = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")

# They move nothing: names for what is there, and the end of what a `…-start` began.
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id"}
_PARTS = {"dynamic-slice", "slice", "gather"}  # they read what they give
_ALIASES = {"bitcast", "reshape", "copy-done", "get-tuple-element"}
_FLAG = 4  # bytes of what tells that a copy is done
_ENTERED = {"while", "conditional", "call"}


class Moved(NamedTuple):
    """Bytes between HBM and the chip."""

    total: int
    repeated: int  # of them in bodies of loops, which are counted once where nobody knows how often they run


class Value(NamedTuple):
    """One array."""

    size: int  # bytes
    in_hbm: bool


@dataclass(frozen=True)
class Instruction:
    """One line of a program."""

    name: str
    opcode: str
    values: tuple[Value, ...]  # of its result
    operands: tuple[str, ...]
    called: tuple[str, ...]
    line: str
    root: bool

    @property
    def written(self) -> int:
        """Bytes of its result in HBM."""
        return sum(value.size for value in self.values if value.in_hbm)


@dataclass
class Computation:
    """Instructions by name, in their order."""

    instructions: dict[str, Instruction] = field(default_factory=dict)

    @cached_property
    def parameters(self) -> dict[int, str]:
        """Names by number."""
        found = (one for one in self.instructions.values() if one.opcode == "parameter")
        return {int(one.line.split(" parameter(")[1].split(")")[0]): one.name for one in found}

    @cached_property
    def users(self) -> dict[str, list[Instruction]]:
        """Who reads an instruction."""
        found: dict[str, list[Instruction]] = {}
        for one in self.instructions.values():
            for operand in dict.fromkeys(one.operands):
                found.setdefault(operand, []).append(one)
        return found


def moved(program: str) -> Moved:
    """What one execution of an optimised HLO program moves. ValueError without entry."""
    computations, entry = _parsed(program)
    if not entry:
        raise ValueError("the program has no entry")
    instructions = computations[entry].instructions.values()
    loops = [one for one in instructions if one.opcode == "while"]
    repeated = sum(_of_instruction(computations, computations[entry], one) for one in loops)
    return Moved(_of_computation(computations, entry), repeated)


def _of_computation(computations: Mapping[str, Computation], name: str) -> int:
    computation = computations[name]
    return sum(_of_instruction(computations, computation, one) for one in computation.instructions.values())


def _of_instruction(computations: Mapping[str, Computation], inside: Computation, one: Instruction) -> int:
    if one.opcode in _FREE or one.opcode.endswith("-done"):
        return 0
    if one.opcode in _ENTERED:
        times = _REPEATED.search(one.line)
        return sum(_of_computation(computations, name) for name in one.called) * (int(times[1]) if times else 1)
    if one.opcode.endswith("-start"):
        return _of_copy(inside, one)
    if one.opcode == "fusion" and one.called:
        return _of_fusion(computations[one.called[0]], inside, one)
    return _of_operator(inside, one)


def _of_operator(inside: Computation, one: Instruction) -> int:
    """What is read of the operands, or of the parts that the result is of them, and what is written."""
    given = [_value_of(inside, operand) for operand in one.operands]
    if one.opcode == "dynamic-update-slice":
        target, update = given[:2]
        return update.size * (int(update.in_hbm) + int(target.in_hbm))
    read = [value for value in given if value.in_hbm]
    if one.opcode in _PARTS:
        read = list(one.values) if given and given[0].in_hbm else []
    return one.written + sum(value.size for value in read)


def _of_copy(inside: Computation, one: Instruction) -> int:
    """What is fetched ahead, or written behind: one array, of the smaller size where only a part is copied."""
    source = _value_of(inside, one.operands[0])
    # Its result also names the source, and what tells that the copy is done.
    target = next((value for value in one.values if value != source and value.size > _FLAG), source)
    return min(source.size, target.size) * (int(source.in_hbm) + int(target.in_hbm))


def _of_fusion(fused: Computation, inside: Computation, one: Instruction) -> int:
    total = 0
    updated: set[str] = set()  # parameters in whose place the result is
    results = list(_results(fused))
    if len(results) != len(one.values):  # a fusion in a fusion, which gives several
        total, results = one.written, []
    for value, result in zip(one.values, results, strict=False):
        written = value.size
        if result.opcode == "dynamic-update-slice":
            updated.add(_origin(fused, result.operands[0]))
            written = _size(fused, result.operands[1])
        total += written if value.in_hbm else 0
    for number, operand in enumerate(one.operands):
        value, name = _value_of(inside, operand), fused.parameters[number]
        if value.in_hbm and name not in updated:
            total += min(value.size, _read(fused, name))
    return total


def _results(fused: Computation) -> Iterator[Instruction]:
    root = next(one for one in fused.instructions.values() if one.root)
    names = root.operands if root.opcode == "tuple" else (root.name,)
    for name in names:
        one = fused.instructions[name]
        while one.opcode in _ALIASES and one.operands and one.operands[0] in fused.instructions:
            one = fused.instructions[one.operands[0]]
        yield one


def _origin(fused: Computation, name: str) -> str:
    one = fused.instructions[name]
    while one.opcode in _ALIASES and one.operands:
        one = fused.instructions[one.operands[0]]
    return one.name


def _read(fused: Computation, name: str) -> int:
    """Bytes of a value that its users read."""
    total = 0
    for user in fused.users.get(name, []):
        if user.opcode in _PARTS and user.operands[0] == name:
            total += sum(value.size for value in user.values)
        elif user.opcode in _ALIASES:
            total += _read(fused, user.name)
        else:
            return _size(fused, name)
    return total


def _size(inside: Computation, name: str) -> int:
    return sum(value.size for value in inside.instructions[name].values)


def _value_of(inside: Computation, name: str) -> Value:
    found = inside.instructions.get(name)
    if found is None:
        return Value(0, False)
    return Value(sum(value.size for value in found.values), any(value.in_hbm for value in found.values))


def _parsed(program: str) -> tuple[dict[str, Computation], str]:
    """Computations by name, and the name of the entry."""
    found: dict[str, Computation] = {}
    entry, current = "", Computation()
    for line in program.splitlines():
        head = _HEAD.match(line)
        if head is not None:
            current = found.setdefault(head[2], Computation())
            entry = head[2] if head[1] else entry
        elif (one := _instruction(line)) is not None:
            current.instructions[one.name] = one
    return found, entry


def _instruction(line: str) -> Instruction | None:
    found = _INSTRUCTION.match(line)
    if found is None:
        return None
    root, name, types, opcode, rest = found.groups()
    operands, _, attributes = rest.partition(")")
    called = tuple(
        name.lstrip("%") for _, names in _CALLED.findall(attributes) for name in re.split(r",\s*", names.strip("{}"))
    )
    return Instruction(
        name=name,
        opcode=opcode,
        values=tuple(_values(types)),
        operands=tuple(re.findall(r"%([\w.\-]+)", operands)),
        called=called,
        line=line,
        root=root is not None,
    )


def _values(types: str) -> Iterator[Value]:
    for kind, dimensions, layout in _TYPE.findall(types):
        count = 1
        for size in dimensions.split(","):
            count *= int(size) if size else 1
        bits = _BITS.get(kind) or int(re.sub(r"\D", "", kind) or 0)
        yield Value(-(-count * bits // 8), re.search(r"S\([1-9]\d*\)", layout) is None)
