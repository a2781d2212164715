"""Replacing the rows that a mask marks, without counting them first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import libcst as cst

from porter.analysis.truths import tensors_in
from porter.rule import Example, Rule, Safety
from porter.syntax.predicates import targets
from porter.syntax.template import match
from porter.syntax.values import Kind
from porter.syntax.walk import dotted, own_of_type

_BEFORE = """import torch


def pick(rows, count):
    n = rows.shape[0]
    if n >= count:
        chosen = torch.randperm(n, device=rows.device)[:count]
    else:
        chosen = torch.randint(0, n, (count,), device=rows.device)
    return rows[chosen]


class Book(torch.nn.Module):
    def __init__(self, codes):
        super().__init__()
        self.register_buffer("use", torch.arange(len(codes)).float())
        self.register_buffer("codes", codes)

    def forward(self, rows, main=True):
        dead = self.use < 2
        if not torch.any(dead):
            return self.codes
        if main:
            new = pick(rows, dead.sum())
        else:
            new = torch.zeros(dead.sum(), self.codes.size(1), device=self.codes.device)
        self.codes.data[dead] = new
        return self.codes
"""

_AFTER = """import torch
from . import ops, utils


def pick(rows, count):
    n = rows.shape[0]
    if n >= count:
        chosen = torch.randperm(n, device=rows.device)[:count]
    else:
        chosen = torch.randint(0, n, (count,), device=rows.device)
    return rows[chosen]


class Book(torch.nn.Module):
    def __init__(self, codes):
        super().__init__()
        self.register_buffer("use", torch.arange(len(codes)).float())
        self.register_buffer("codes", codes)

    def forward(self, rows, main=True):
        dead = self.use < 2
        if utils.on_host(dead) and not torch.any(dead):
            return self.codes
        if main:
            new = ops.sample_rows(rows, dead)
        else:
            new = torch.zeros(dead.numel(), self.codes.size(1), device=self.codes.device)
        ops.masked_write_(self.codes.data, dead, new)
        return self.codes
"""


class ExpireCodesUnderMasks(Rule):
    """Replace dead codes under their mask.

    Codebook expiry counts the dead codes, draws as many rows of the batch and writes them into a boolean index: three
    reads from the device and a shape that follows the data, in every training step. Drawing a row for every code and
    keeping those under the mask draws the same rows in the same order for the dead ones. For host tensors the early
    return stays, so that the generator is used as before.
    """

    code = "SHP006"
    title = "replace dead codes under their mask"
    safety = Safety.EXACT
    message = "counting and indexing the dead codes reads them back in every step; under a mask nothing is read"
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_AFTER,
            call="Book(codes).to(rows.device)(rows)",
            inputs="""
                codes = torch.zeros(6, 3)
                rows = torch.arange(24.0).reshape(8, 3)
                """,
            draws=True,
        ),
        Example(
            before=_BEFORE,
            after=_AFTER,
            call="Book(codes).to(rows.device)(rows)",
            inputs="""
                codes = torch.zeros(6, 3)
                rows = torch.arange(3.0).reshape(1, 3)
                """,
            draws=True,
        ),
    )
    untouched: ClassVar = (
        # rows drawn in some other way: nobody knows what the drawing does with a count of another size
        _BEFORE.replace("torch.randperm(n, device=rows.device)[:count]", "torch.arange(n)[-count:]"),
    )

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        assigns = own_of_type(node.body, cst.Assign)
        writes = [(n, found) for n in assigns if (found := self._masked_write(n)) is not None]
        if len(writes) != 1 or self.host_reason(node.body) is not None:
            return
        (written, (target, mask, new)), *_ = writes
        rows = self._rows([n.value for n in assigns if new.value in map(dotted, targets(n))], mask)
        if not rows:
            return
        for value, row in rows.items():
            self.replace(value, row)
        write = self.fill("__f(__x, __m, __v)", f="ops.masked_write_", x=target, m=mask, v=new)
        self.replace(written, cst.Expr(write))
        for part in own_of_type(node.body, cst.If):
            self._guard(part, mask)

    def _rows(
        self, values: Sequence[cst.BaseExpression], mask: cst.Name
    ) -> dict[cst.BaseExpression, cst.BaseExpression]:
        """What makes one row for every entry of the mask, by what makes rows; empty where one of these is not known."""
        rows = {value: row for value in values if (row := self._row_maker(value, mask)) is not None}
        return rows if len(rows) == len(values) else {}

    def _masked_write(self, node: cst.Assign) -> tuple[cst.BaseExpression, cst.Name, cst.Name] | None:
        """`x[mask] = new`, all of them names (x may be an attribute)."""
        if len(node.targets) != 1 or not isinstance(node.value, cst.Name):
            return None
        target = node.targets[0].target
        if not isinstance(target, cst.Subscript) or len(target.slice) != 1:
            return None
        index = target.slice[0].slice
        if not isinstance(index, cst.Index) or not isinstance(index.value, cst.Name):
            return None
        if self.file.kind(index.value) is not Kind.MASK:
            return None
        return target.value, index.value, node.value

    def _row_maker(self, value: cst.BaseExpression, mask: cst.Name) -> cst.BaseExpression | None:
        """A draw or fill of `mask.sum()` rows, as one row for every entry of the mask."""
        if not isinstance(value, cst.Call):
            return None
        counts = ("__m.sum()", "torch.sum(__m)")
        if len(value.args) == 2 and self._is_of(mask, value.args[1].value, *counts) and self._draws_rows(value):
            return self.fill("__f(__rows, __mask)", f="ops.sample_rows", rows=value.args[0].value, mask=mask)
        made = self.file.resolve(value.func) in ("torch.zeros", "torch.empty")
        if made and value.args and not value.args[0].star and self._is_of(mask, value.args[0].value, *counts):
            every = self.fill("__mask.numel()", mask=mask)
            return value.with_changes(args=[value.args[0].with_changes(value=every), *value.args[1:]])
        return None

    def _is_of(self, mask: cst.Name, node: cst.BaseExpression, *patterns: str) -> bool:
        """Whether an expression is one of these patterns with the mask for `__m`."""
        found = (self.match(pattern, node) for pattern in patterns)
        return any(one is not None and dotted(one["m"]) == mask.value for one in found)

    def _draws_rows(self, call: cst.Call) -> bool:
        """Whether the callee is the one this rule knows: the first of a permutation if there are rows enough, else
        rows drawn with replacement.
        """
        found = self.file.project.function(self.file.resolve(call.func))
        if found is None or len(found[1].params.params) != 2:
            return False
        file, function = found
        rows, count = (p.name.value for p in function.params.params)
        branches = list(own_of_type(function.body, cst.If))
        if len(branches) != 1 or not isinstance(branches[0].orelse, cst.Else):
            return False
        enough = _only_assign(branches[0].body)
        short = _only_assign(branches[0].orelse.body)
        last = function.body.body[-1]
        if enough is None or short is None or not isinstance(last, cst.SimpleStatementLine):
            return False
        parts = (
            match(f"__n >= {count}", branches[0].test),
            match(f"torch.randperm(__n, device=__d)[:{count}]", enough.value, file.resolve),
            match(f"torch.randint(0, __n, ({count},), device=__d)", short.value, file.resolve),
            match(f"return {rows}[__i]", last.body[0]),
        )
        return None not in parts

    def _guard(self, node: cst.If, mask: cst.Name) -> None:
        """Ask only on the host whether nothing is dead."""
        if self._is_of(mask, node.test, "not torch.any(__m)", "not __m.any()"):
            tensor = tensors_in(self.file, node.test)[0]
            on_host = self.fill("__f(__t)", f="utils.on_host", t=tensor)
            self.replace(node.test, cst.BooleanOperation(left=on_host, operator=cst.And(), right=node.test))


def _only_assign(body: cst.BaseSuite) -> cst.Assign | None:
    statements = list(body.body)
    if len(statements) != 1 or not isinstance(statements[0], cst.SimpleStatementLine):
        return None
    small = statements[0].body[0]
    return small if isinstance(small, cst.Assign) else None
