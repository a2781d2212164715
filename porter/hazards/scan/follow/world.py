"""What the kinds of one file ask of the rest of the project."""

from __future__ import annotations

from typing import Protocol

import libcst as cst

from ....analysis.project import SourceFile
from ....syntax.values import Env, Value
from .binding import Call, Method


class World(Protocol):
    """A project whose functions are gone through when they are asked about."""

    def solve(self) -> None:
        """Go through everything, until nothing more turns up."""

    def on_host(self, file: SourceFile, function: cst.CSTNode) -> bool:
        """Whether a function, or what stands outside of any, never runs for the device."""
        ...

    def run_outer(self, file: SourceFile, function: cst.CSTNode) -> None:
        """See that the function (or file) around another has been gone through."""

    def given(self, function: cst.FunctionDef) -> Env | None:
        """What the calls seen so far give to a function's parameters; None where no call was seen."""
        ...

    def call(self, method: tuple[SourceFile, cst.FunctionDef], node: cst.Call, call: Call) -> Value:
        """The kind of what a function, given with its file, returns to the expression `node`."""
        ...

    def calls_of(self, function: cst.FunctionDef) -> list[tuple[SourceFile, cst.Call, int]]:
        """The calls of a function that were seen: file, expression, and how many parameters Python fills in."""
        ...

    def returned(self, file: SourceFile, function: cst.FunctionDef) -> Value:
        """The kind of what a function of `file` returns."""
        ...

    def handed_back(self, function: cst.FunctionDef) -> tuple[cst.BaseExpression, ...]:
        """What a function returns, if it only chooses among its parameters."""
        ...

    def globals_of(self, file: SourceFile, name: str) -> Value:
        """The kind of a variable of a file."""
        ...

    def chain(self, file: SourceFile, owner: cst.ClassDef) -> tuple[tuple[SourceFile, cst.ClassDef], ...]:
        """A class and those of its bases that the project defines, in the order in which Python looks there."""
        ...

    def method(self, file: SourceFile, owner: cst.ClassDef, name: str) -> Method | None:
        """The method that an object of a class has by this name."""
        ...

    def methods_named(self, name: str) -> list[Method]:
        """All methods of the project by this name."""
        ...

    def attribute(self, file: SourceFile, owner: cst.ClassDef, name: str) -> Value | None:
        """The kind of an attribute of a class's objects; None where nothing gives it a value."""
        ...

    def set_attribute(self, owner: cst.ClassDef, name: str, place: cst.CSTNode, value: Value) -> None:
        """Note what `place` in the source assigns to an attribute of a class's objects."""
