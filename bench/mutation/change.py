"""What a mutation is: a piece of a file's text that becomes another, and what that changes."""

from __future__ import annotations

import ast
import hashlib
import types
from dataclasses import dataclass
from functools import cached_property, lru_cache

Cell = tuple[str, int]  # a file, and the number of one of its statements


@dataclass(frozen=True)
class Edit:
    """A replacement that an operator proposes: bytes `start` to `end` of a file's UTF-8 become `new`."""

    operator: str
    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Mutant:
    """One edit of one file of a package."""

    file: str  # relative to the package
    operator: str
    start: int  # bytes of the file's UTF-8
    end: int
    line: int  # from 1
    written: str  # the whole line, without what indents it
    inside: str  # qualified name of the function or class around it, "" at the top of the file
    old: str
    new: str
    cells: tuple[Cell, ...]  # what runs where it matters, if any of them does
    once: bool = False  # on import, and nothing that runs later reads it: whoever imports it sees the same

    @cached_property
    def key(self) -> str:
        """The same for the same change of the same package."""
        told = "\0".join((self.file, str(self.start), str(self.end), self.new))
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.change}"

    @property
    def change(self) -> str:
        """What becomes what, without most of what stays."""
        old, new = " ".join(self.old.split()), " ".join(self.new.split())
        start = _alike_for(old, new)
        end = _alike_for(old[start:][::-1], new[start:][::-1])
        return f"{_part(old, start, end)} → {_part(new, start, end)}"

    @property
    def of_device(self) -> bool:
        """Whether it only takes away where a tensor is made or goes: that is nothing on the CPU, the default."""
        if self.operator == "argument dropped":
            return f".to{self.old}" in self.written and "device" in self.old and "device" not in self.new
        if self.operator == "statement deleted":
            return all(map(_only_moves, _assigned(self.old)))
        return self.operator == "keyword removed" and "device=" in self.old and "device=" not in self.new

    def applied(self, text: str) -> str:
        """The file's text with the change in it."""
        raw = text.encode()
        return (raw[: self.start] + self.new.encode() + raw[self.end :]).decode()


def _assigned(code: str) -> list[tuple[ast.expr | None, ast.expr | None]]:
    """What a statement assigns: each target with its value; (None, None) where it does something else."""
    nothing: list[tuple[ast.expr | None, ast.expr | None]] = [(None, None)]
    try:
        (statement,) = ast.parse(code).body
    except (SyntaxError, ValueError):
        return nothing
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return nothing
    target, value = statement.targets[0], statement.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


def _only_moves(assigned: tuple[ast.expr | None, ast.expr | None]) -> bool:
    """Whether a name becomes itself on a device: `x = x.to(device)`."""
    target, value = assigned
    if not (isinstance(target, ast.Name) and isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)):
        return False
    moved = value.func.value
    to_device = value.func.attr == "to" and len(value.args) == 1 and "device" in ast.unparse(value.args[0])
    return to_device and isinstance(moved, ast.Name) and moved.id == target.id


_AROUND, _MOST = 24, 60  # characters of what stays on either side, and of what becomes something else


def _alike_for(old: str, new: str) -> int:
    """How many characters two texts begin with alike."""
    return next((index for index, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def _part(text: str, start: int, end: int) -> str:
    """What is between the first `start` and the last `end` characters, and a little around it."""
    first, last = max(0, start - _AROUND), min(len(text), len(text) - end + _AROUND)
    middle = text[first:last]
    if len(middle) > _MOST + 2 * _AROUND:
        middle = f"{middle[: _MOST + _AROUND]}…{middle[-_AROUND:]}"
    return f"{'…' if first else ''}{middle}{'…' if last < len(text) else ''}"


def same_code(old: str, new: str) -> bool | None:
    """Whether two texts of a file compile to the same bytecode; None where the second does not compile."""
    try:
        changed = compile(new, "module", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    return _alike(_compiled(old), changed)


@lru_cache(maxsize=256)
def _compiled(text: str) -> types.CodeType:
    return compile(text, "module", "exec", dont_inherit=True)


def _alike(old: types.CodeType, new: types.CodeType) -> bool:
    """Whether two code objects do the same; where their lines are does not matter."""
    return (
        old.co_code == new.co_code
        and old.co_names == new.co_names
        and old.co_varnames == new.co_varnames
        and old.co_freevars == new.co_freevars
        and old.co_cellvars == new.co_cellvars
        and old.co_flags == new.co_flags
        and old.co_argcount == new.co_argcount
        and old.co_kwonlyargcount == new.co_kwonlyargcount
        and old.co_exceptiontable == new.co_exceptiontable
        and len(old.co_consts) == len(new.co_consts)
        and all(_same_constant(a, b) for a, b in zip(old.co_consts, new.co_consts, strict=True))
    )


def _same_constant(old: object, new: object) -> bool:
    if isinstance(old, types.CodeType) and isinstance(new, types.CodeType):
        return _alike(old, new)
    return type(old) is type(new) and repr(old) == repr(new)  # 1 == True == 1.0, and NaN is not itself
