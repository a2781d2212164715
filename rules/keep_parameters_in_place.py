"""What holds a parameter besides its module has to see it move."""

from __future__ import annotations

from itertools import takewhile
from typing import ClassVar

import libcst as cst

from porter.analysis.held import KEPT, Hold, holds, statement_of
from porter.analysis.project import SourceFile
from porter.rule import Example, Rule, Safety
from porter.syntax.walk import descendants, holds_any, same

_TORCH = "import torch\nfrom torch import nn\n"
_PLAIN = "\n\nclass Plain:\n    def __init__(self, weight):\n        self.weight = weight\n\n    def __call__(self, x):\n        return x @ self.weight\n"
_NET = "\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.layer = nn.Linear(2, 2)\n"
_RUN = "\n\ndef run(x):\n    net = Net()\n    nn.init.ones_(net.layer.weight)\n    return net.to(x.device)(x)\n"
_HELD = "\n    def forward(self, x):\n        return self.held(x)\n"
_LISTED = "\n    def forward(self, x):\n        return sum(w.sum() for w in self.weights) * self.scaled(x)\n"


class KeepParametersInPlace(Rule):
    """Keep parameters the objects that they are when they move.

    On the CPU and on CUDA `Module.to` changes what is in a parameter. For XLA it puts a new parameter in its place, and
    what else holds the old one (a plain object, a list, a closure, a second module) goes on holding a tensor of the
    host. The runtime lets such parameters be what the new ones are. What only views a parameter, such as
    `weight.t()`, is not moved on CUDA either, and is listed.
    """

    code = "DEV018"
    title = "keep parameters in place"
    safety = Safety.EXACT
    message = (
        "for XLA .to() replaces the parameter, which something else holds; kept in place, it is the same object there"
    )
    examples: ClassVar = (
        Example(
            before=f"{_TORCH}{_PLAIN}{_NET}        self.held = Plain(self.layer.weight)\n{_HELD}{_RUN}",
            after=(
                f"{_TORCH}from . import ops\n{_PLAIN}{_NET}        ops.keep_in_place(self, self.layer.weight)\n"
                f"        self.held = Plain(self.layer.weight)\n{_HELD}{_RUN}"
            ),
            call="run(x)",
            inputs="x = torch.arange(6.0).reshape(3, 2)",
            grad=("x",),
        ),
        Example(
            before=(
                f"{_TORCH}{_NET}        weight = self.layer.weight\n        self.weights = list(self.parameters())\n"
                f"        self.scaled = lambda x: x @ weight\n{_LISTED}\n\ndef run(x):\n    torch.manual_seed(0)\n    return Net().to(x.device)(x)\n"
            ),
            after=(
                f"{_TORCH}from . import ops, utils\n{_NET}        weight = self.layer.weight\n"
                "        ops.keep_in_place(self, self.parameters())\n        self.weights = list(self.parameters())\n"
                "        ops.keep_in_place(self, weight)\n        self.scaled = lambda x: x @ weight\n"
                f"{_LISTED}\n\ndef run(x):\n    torch.manual_seed(0)\n    return Net().to(x.device)(x)\n"
            ).replace("ops, utils", "ops"),
            call="run(x)",
            inputs="x = torch.arange(6.0).reshape(3, 2)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        f"{_TORCH}{_PLAIN}{_NET}        self.held = Plain(self.layer.weight.t())\n{_HELD}",
        f"{_TORCH}{_PLAIN}{_NET}        self.held = Plain(self.layer.weight.clone())\n{_HELD}",
        f"{_TORCH}{_PLAIN}{_NET}\n    def forward(self, x):\n        return Plain(self.layer.weight)(x)\n",
        # whether the layer is there is not known before
        f"{_TORCH}{_PLAIN}\n\nclass Net(nn.Module):\n    def __init__(self, layer):\n        super().__init__()\n"
        "        self.layer = nn.Linear(2, 2) if layer else None\n"
        "        self.held = Plain(self.layer.weight) if layer else None\n",
    )

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        by_statement: dict[cst.BaseStatement, list[Hold]] = {}
        for hold in holds(self.file, node):
            by_statement.setdefault(statement_of(self.file, node, hold.node), []).append(hold)
        for statement, held in by_statement.items():
            kept: list[cst.BaseExpression] = []
            for hold in held:
                if is_known_before(self.file, node, statement, hold) and not any(same(hold.node, k) for k in kept):
                    kept.append(hold.node)
            if kept:
                call = cst.Call(self.runtime(KEPT), [cst.Arg(part) for part in (cst.Name(_own(node)), *kept)])
                line = cst.SimpleStatementLine([cst.Expr(call)])
                self.replace(statement, (line, statement), alone=True)


def is_known_before(file: SourceFile, constructor: cst.FunctionDef, statement: cst.BaseStatement, hold: Hold) -> bool:
    """Whether what is held may be asked for right before the statement that holds it, to the same effect."""
    if hold.whole is not hold.node or not isinstance(statement, (cst.SimpleStatementLine, cst.FunctionDef)):
        return False
    if file.function(statement) is not constructor or not _own(constructor):
        return False
    around = set(map(type, takewhile(lambda node: node is not statement, file.ancestors(hold.node))))
    if not around.isdisjoint({cst.IfExp, cst.BooleanOperation}):
        return False
    chain = _asked_of(hold.node)
    if chain is None or holds_any(chain, cst.Call, cst.NamedExpr, cst.Await):
        return False
    later = isinstance(statement, cst.FunctionDef) or cst.Lambda in around
    return all(_is_bound_before(file, constructor, statement, name, later) for name in _names(file, chain))


def _asked_of(held: cst.BaseExpression) -> cst.BaseExpression | None:
    """What is held, or that of which a method without arguments gives it; None where that may be anything."""
    match held:
        case cst.Call(func=cst.Attribute(value=owner, attr=cst.Name(value=name)), args=[]) if name != "state_dict":
            return owner
        case cst.Call():
            return None
    return held


def _names(file: SourceFile, node: cst.CSTNode) -> list[cst.Name]:
    labels = {part.attr for part in descendants(node) if isinstance(part, cst.Attribute)}
    return [part for part in descendants(node) if isinstance(part, cst.Name) and part not in labels]


def _is_bound_before(
    file: SourceFile, constructor: cst.FunctionDef, statement: cst.BaseStatement, name: cst.Name, later: bool
) -> bool:
    """Whether a name is the constructor's, or the file's, and bound before a statement of the constructor.

    `later` says that the statement itself does not ask for it.
    """
    found = file.index.scope_of(name).lookup(name.value)
    if found is None:
        return False
    if found[0].node is not constructor:
        return found[0] is file.index.root and not later
    starts, block = file.span(statement).line, file.siblings(statement)
    for bound in found[1]:
        if not isinstance(bound, cst.CSTNode) or file.span(bound).line >= starts:
            return False
        if later and not isinstance(bound, cst.Param) and statement_of(file, constructor, bound) not in block:
            return False
    return True


def _own(constructor: cst.FunctionDef) -> str:
    """What a method calls its object."""
    given = (*constructor.params.posonly_params, *constructor.params.params)
    return given[0].name.value if given else ""
