"""A shortcut for "nothing to do" costs a read; doing nothing under a mask costs nothing."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.guards import asks_host
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import keywords, positional
from porter.syntax.predicates import only_small
from porter.syntax.template import match, names_in
from porter.syntax.values import Kind
from porter.syntax.walk import dotted, same

_BEFORE = """import torch


class Book(torch.nn.Module):
    def __init__(self, codes):
        super().__init__()
        self.register_buffer("use", torch.arange(len(codes)).float())
        self.register_buffer("codes", codes)

    def renew(self, rows, mask):
        changed = torch.where(mask[..., None], rows, self.codes)
        self.codes.data.copy_(changed)

    def expire(self, rows):
        dead = self.use < 2
        if not torch.any(dead):
            return
        rows = rows.reshape(-1, 3)
        self.renew(rows, mask=dead)

    def forward(self, rows):
        self.expire(rows)
        return self.codes * 1
"""


class SkipShortcutsOnDevice(Rule):
    """Take no shortcut on the device when a mask is empty.

    `if not torch.any(mask): return` reads the mask back in every step to save work that a masked select does in no
    time. If all that follows writes through `torch.where` under that mask (this rule proves it from the source), going
    on changes nothing when the mask is empty. For host tensors the shortcut stays.
    """

    code = "SYN007"
    title = "take no shortcut on the device when a mask is empty"
    safety = Safety.EXACT
    message = "asking whether the mask is empty reads it back in every step; the writes under it do nothing if it is"
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_BEFORE.replace("import torch\n", "import torch\nfrom . import utils\n", 1).replace(
                "if not torch.any(dead):", "if utils.on_host(dead) and not torch.any(dead):"
            ),
            call="Book(codes).to(rows.device)(rows)",
            inputs="""
                codes = torch.zeros(4, 3)
                rows = torch.arange(12.0).reshape(4, 3)
                """,
        ),
    )
    untouched: ClassVar = (
        # what follows does something whatever the mask says
        _BEFORE.replace("torch.where(mask[..., None], rows, self.codes)", "rows + mask[..., None]"),
        _BEFORE.replace("        self.renew(rows, mask=dead)\n", "        self.use.add_(1)\n"),
    )

    def visit_If(self, node: cst.If) -> None:
        found = self.match("not torch.any(__m)", node.test) or self.match("not __m.any()", node.test)
        if found is None or node.orelse is not None or asks_host(node.test) or not _bare_return(node.body):
            return
        mask = found["m"]
        if not isinstance(mask, cst.Name) or self.file.kind(mask) is not Kind.MASK:
            return
        if self.host_reason(node) is not None or not self._rest_is_masked(node, mask):
            return
        on_host = self.fill("__f(__m)", f="utils.on_host", m=mask)
        self.replace(node.test, cst.BooleanOperation(left=on_host, operator=cst.And(), right=node.test))

    def _rest_is_masked(self, node: cst.If, mask: cst.Name) -> bool:
        siblings = self.file.siblings(node)
        rest = siblings[siblings.index(node) + 1 :]
        return bool(rest) and all(self._harmless(s, mask) for s in rest)

    def _harmless(self, statement: cst.BaseStatement, mask: cst.Name) -> bool:
        """A local assignment, or a call of a method that only writes under the mask."""
        if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
            return False
        small = statement.body[0]
        if isinstance(small, cst.Assign):
            return all(isinstance(t.target, cst.Name) and t.target.value != mask.value for t in small.targets)
        return (
            isinstance(small, cst.Expr) and isinstance(small.value, cst.Call) and self._writes_masked(small.value, mask)
        )

    def _writes_masked(self, call: cst.Call, mask: cst.Name) -> bool:
        name = dotted(call.func) or ""
        owner = self.file.owner(call)
        if owner is None or not name.startswith("self."):
            return False
        methods = {m.name.value: m for m in owner.body.body if isinstance(m, cst.FunctionDef)}
        method = methods.get(name.removeprefix("self."))
        if method is None:
            return False
        given = self._parameter(call, method, mask)
        return given is not None and self._body_writes_masked(method, given)

    def _parameter(self, call: cst.Call, method: cst.FunctionDef, mask: cst.Name) -> str | None:
        """The parameter that receives the mask."""
        for name, value in keywords(call).items():
            if isinstance(value, cst.Name) and value.value == mask.value:
                return name
        params = [p.name.value for p in method.params.params][1:]
        for name, value in zip(params, positional(call), strict=False):
            if isinstance(value, cst.Name) and value.value == mask.value:
                return name
        return None

    def _body_writes_masked(self, method: cst.FunctionDef, mask: str) -> bool:
        """`new = torch.where(mask..., ..., X)` and `X.data.copy_(new)`, nothing else."""
        match [only_small(statement) for statement in method.body.body]:
            case [cst.BaseSmallStatement() as first, cst.BaseSmallStatement() as second]:
                made = match("__n = torch.where(__c, __new, __old)", first, self.file.resolve)
                copied = match("__x.data.copy_(__n)", second) or match("__x.copy_(__n)", second)
            case _:
                return False
        if made is None or copied is None or not same(made["n"], copied["n"]):
            return False
        return same(made["old"], copied["x"]) and names_in(made["c"]) - {"None"} == {mask}


def _bare_return(body: cst.BaseSuite) -> bool:
    if len(body.body) != 1 or not isinstance(body.body[0], cst.SimpleStatementLine):
        return False
    small = body.body[0].body[0]
    return isinstance(small, cst.Return) and small.value is None
