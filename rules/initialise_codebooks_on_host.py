"""Initialisation from the first batch happens once; the question whether it has happened is asked in every step."""

from __future__ import annotations

from typing import ClassVar, TypeGuard

import libcst as cst

from porter.analysis.arguments import lacks
from porter.analysis.truths import tensors_in
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import keywords, positional, with_keywords
from porter.syntax.torch_names import FACTORIES
from porter.syntax.values import Kind
from porter.syntax.walk import descendants, dotted, own_descendants, own_of_type, spelled
from porter.torch_facts.signatures import takes

_BEFORE = """import torch
from torch import nn


def centres(rows, n):
    return rows[:n] + 1


class Book(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("ready", torch.Tensor([False]))
        self.register_buffer("codes", torch.zeros(2, 3))

    def start(self, rows):
        if self.ready:
            return
        self.codes.data.copy_(centres(rows, 2))
        self.ready.data.copy_(torch.Tensor([True]))

    def forward(self, rows):
        rows = rows.reshape(-1, 3)
        self.start(rows)
        return rows @ self.codes.t()
"""


class AskFlagsOnHost(Rule):
    """Know on the host whether a flag buffer is set.

    `if self.inited:` on a buffer is a read from the device in every step. The runtime's `HostFlags` records the value
    while the buffer is on the host (when the model is built or a checkpoint is loaded) and reads the device only when
    that is not known. The buffer stays, and with it the checkpoint.
    """

    code = "SYN004"
    title = "ask flag buffers on the host"
    safety = Safety.EXACT
    message = "the truth of a buffer is a read from the device in every step; the host knows it from the checkpoint"
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_BEFORE.replace("from torch import nn\n", "from torch import nn\nfrom . import ops\n", 1)
            .replace("class Book(nn.Module):", "class Book(ops.HostFlags, nn.Module):")
            .replace("if self.ready:", 'if self.host_flag("ready"):'),
            call="Book()(rows)",
            inputs="rows = torch.arange(12.0).reshape(4, 3)",
            grad=("rows",),
            on_device=False,  # a fresh book does its first step on the host
        ),
    )
    untouched: ClassVar = (
        """
        from torch import nn


        class Layer(nn.Module):
            def __init__(self):
                super().__init__()
                self.ready = False

            def forward(self, x):
                if self.ready:
                    return x
                return x * 2
        """,
    )

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        buffers = self.file.buffers(node)
        if not buffers or not node.bases:
            return
        tests = [test for test in _flag_tests(node) if dotted(test) in {f"self.{b}" for b in buffers}]
        if not tests:
            return
        for test in tests:
            name = spelled(test).removeprefix("self.")
            self.replace(test, cst.parse_expression(f'self.host_flag("{name}")'))
        first = node.bases[0]
        if "HostFlags" not in spelled(first.value):
            comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
            self.replace(first, [cst.Arg(self.runtime("ops.HostFlags"), comma=comma), first])


def _flag_tests(owner: cst.ClassDef) -> list[cst.BaseExpression]:
    """`self.x` wherever a condition is just that, or its negation."""
    found: list[cst.BaseExpression] = []
    for node in descendants(owner):
        if isinstance(node, (cst.If, cst.IfExp, cst.While, cst.Assert)):
            test = node.test
            if isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
                test = test.expression
            if isinstance(test, cst.Attribute):
                found.append(test)
    return found


class InitialiseOnHost(Rule):
    """Run one-off initialisation on the host.

    K-means over the first batch is loops, counts and boolean indices: thousands of graphs for something that happens
    once in the life of a codebook, or never when a checkpoint is loaded. On a host copy of the batch it runs as
    upstream wrote it; its results are copied into the buffers.
    """

    code = "SYN005"
    title = "initialise once, on the host"
    safety = Safety.EXACT
    message = "initialisation from the first batch runs once; on a host copy it makes no graphs"
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_BEFORE.replace("from torch import nn\n", "from torch import nn\nfrom . import utils\n", 1).replace(
                "centres(rows, 2)", "centres(utils.to_host(rows), 2)"
            ),
            call="Book()(rows)",
            inputs="rows = torch.arange(12.0).reshape(4, 3)",
            grad=("rows",),
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        """
        from torch import nn


        def centres(rows):
            return rows + 1


        class Book(nn.Module):
            def forward(self, rows):
                if rows is None:
                    return None
                return centres(rows.float())
        """,
    )

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        owner = self.file.owner(node)
        flag = self._returns_early(node, self.file.buffers(owner)) if owner is not None else None
        if flag is None or not self._sets(node, flag):
            return
        params = {p.name.value for p in node.params.params}
        for call in own_of_type(node.body, cst.Call):
            if isinstance(call.func, cst.Name) and self.file.project.function(self.file.resolve(call.func)):
                self._give_from_host(call, params)

    def _give_from_host(self, call: cst.Call, names: set[str]) -> None:
        for value in positional(call):
            if dotted(value) in names and self.file.kind(value) is not Kind.HOST:
                self.replace(value, self.fill("__f(__x)", f="utils.to_host", x=value))

    def _returns_early(self, node: cst.FunctionDef, buffers: set[str]) -> str | None:
        for statement in node.body.body[:2]:
            if isinstance(statement, cst.If) and isinstance(statement.body.body[0], cst.SimpleStatementLine):
                name = spelled(statement.test).removeprefix("self.")
                if name in buffers and isinstance(statement.body.body[0].body[0], cst.Return):
                    return name
        return None

    def _sets(self, node: cst.FunctionDef, flag: str) -> bool:
        return any(
            isinstance(n, cst.Call) and spelled(n.func).startswith(f"self.{flag}.") for n in own_descendants(node.body)
        )


class CheckDistributionsOnHost(Rule):
    """Check a distribution's parameters on the host only.

    torch.distributions reads back whether every parameter is valid, each time a distribution is made. For device
    tensors the check is switched off; results are the same.
    """

    code = "SYN006"
    title = "check distributions on the host only"
    safety = Safety.EXACT
    message = (
        "checking a distribution's parameters reads them back from the device; they are checked for host tensors only"
    )
    examples: ClassVar = (
        Example(
            before="""
                import torch
                import torch.distributions as D


                def spread(m, s):
                    return D.kl_divergence(D.Normal(m, s), D.Normal(torch.zeros_like(m), torch.ones_like(s)))
                """,
            after="""
                import torch
                import torch.distributions as D
                from . import utils


                def spread(m, s):
                    return D.kl_divergence(D.Normal(m, s, validate_args=None if utils.on_host(m) else False), D.Normal(torch.zeros_like(m), torch.ones_like(s), validate_args=None if utils.on_host(m) else False))
                """,
            call="spread(m, s)",
            inputs="""
                m = torch.linspace(-1, 1, 4)
                s = torch.linspace(1, 2, 4)
                """,
            grad=("m", "s"),
        ),
        Example(  # NaN is refused, as it was
            before="""
                import torch
                import torch.distributions as D


                def coin(p, device):
                    try:
                        heads = D.Bernoulli(probs=torch.sigmoid(p))
                    except ValueError:
                        heads = D.Bernoulli(torch.ones(3, device=device))
                    return heads.mean
                """,
            after="""
                import torch
                import torch.distributions as D
                from . import utils


                def coin(p, device):
                    try:
                        heads = D.Bernoulli(probs=torch.sigmoid(p), validate_args=None if utils.on_host(p) else False)
                    except ValueError:
                        heads = D.Bernoulli(torch.ones(3, device=device), validate_args=None if utils.on_host(device) else False)
                    return heads.mean
                """,
            call="coin(p, p.device), coin(p / 0, p.device)",
            inputs="p = torch.zeros(3)",
            on_device=False,  # there nothing is checked
        ),
        Example(
            before="""
                import torch.distributions as D


                def spread(m, s):
                    return D.Normal(loc=m, scale=s).variance
                """,
            after="""
                import torch.distributions as D
                from . import utils


                def spread(m, s):
                    return D.Normal(loc=m, scale=s, validate_args=None if utils.on_host(m) else False).variance
                """,
            call="spread(0.0, 2.0), spread(m, 1.0)",
            inputs="m = torch.linspace(-1, 1, 4)",
        ),
    )
    untouched: ClassVar = (
        # checked on the host, where numbers are
        """
        import torch.distributions as D


        def spread():
            return D.Normal(0.0, 1.0)
        """,
        """
        import torch.distributions as D


        def spread(m, s):
            return D.Normal(m, s, validate_args=False)
        """,
        """
        import torch.distributions as D


        def spread(m, s):
            return D.Normal(m, s, False), D.AffineTransform(m, s)
        """,
        """
        import torch.distributions as D


        def spread(m, s, o):
            return D.Normal(m, *s), D.Normal(m, **o), D.Bernoulli(None, m, False)
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        target = self.file.resolve(node.func) or ""
        if not target.startswith("torch.distributions.") or not node.args or self.host_reason(node) is not None:
            return
        if not takes(target, "validate_args") or not lacks(self.file, node, "validate_args"):
            return
        asked = self._asked([a.value for a in node.args])
        if asked is not None:
            check = self.fill("None if __f(__x) else False", f="utils.on_host", x=asked)
            self.replace(node, with_keywords(node, validate_args=check))

    def _asked(self, given: list[cst.BaseExpression]) -> cst.BaseExpression | None:
        """What tells where the parameters are: a tensor among them or in them, the device that one is made on, or a
        name that may be a tensor. None where all are numbers, or tensors made on the host: these are checked there.
        """
        tensors = [t for value in given for t in tensors_in(self.file, value)]
        names = [n for value in given for n in own_descendants(value) if self._may_be_tensor(n)]
        devices = [
            device
            for value in given
            if isinstance(value, cst.Call) and self.file.resolve(value.func) in FACTORIES
            if dotted(device := keywords(value).get("device")) is not None
        ]
        return next(iter([*tensors, *devices, *names]), None)

    def _may_be_tensor(self, node: cst.CSTNode) -> TypeGuard[cst.Name]:
        """Whether a local name, read by itself, is of a kind that nobody knows."""
        if not isinstance(node, cst.Name) or self.file.kind(node) is not Kind.UNKNOWN:
            return False
        parent = self.file.parent(node)
        alone = not isinstance(parent, cst.Attribute) and not (isinstance(parent, cst.Call) and parent.func is node)
        named = isinstance(parent, cst.Arg) and parent.keyword is node
        return alone and not named and self.file.resolve(node) is None and self.file.function(node) is not None
