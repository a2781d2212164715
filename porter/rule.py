"""What a rule is: one hazard, why it matters, its rewrite, and examples that are executed."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import dedent
from typing import ClassVar

import libcst as cst

from .analysis.contexts import host_reason
from .analysis.project import SourceFile
from .codemod.requests import Needed as Needed
from .codemod.requests import Replacement, Requests, RuleHeader, Ties
from .codemod.requests import Safety as Safety
from .syntax.predicates import last_parts
from .syntax.template import Bindings, fill, match
from .syntax.walk import brief, dotted


def code_of(text: str) -> str:
    """The code in a string of an example: one that begins with a line break is a block, indented as the rule is."""
    return dedent(text[1:].rstrip(" ")) if text.startswith("\n") else text


@dataclass(frozen=True, slots=True)
class Example:
    """Source before and after a rule, and how to run both. Code may be a block, as `code_of` reads it.

    `inputs` is Python source that binds the arguments (torch and `torch.nn.functional as F` are imported); `call` is
    an expression over the example's names and the inputs. Floating-point inputs named in `grad` are differentiated.
    `path` is where the file stands in upstream's tree; `others` are files beside it. `trim` compares only the part
    that both results share and asks the rest to be zero, for rules that pad.
    """

    before: str
    after: str
    call: str = ""
    inputs: str = ""
    grad: tuple[str, ...] = ()
    path: str = "module/example.py"
    others: Mapping[str, str] = field(default_factory=dict)
    trim: bool = False
    on_device: bool = True  # False: host-side code, not meant for XLA
    draws: bool = False  # draws random numbers, which differ between devices

    def __post_init__(self) -> None:
        for name in ("before", "after", "call", "inputs"):
            object.__setattr__(self, name, code_of(getattr(self, name)))
        object.__setattr__(self, "others", {path: code_of(text) for path, text in self.others.items()})


class Rule(RuleHeader):
    """Base of all rules: one instance a file, a `visit_<Node>` method for each type of node it wants to see."""

    examples: ClassVar[Sequence[Example]] = ()
    untouched: ClassVar[Sequence[str]] = ()
    # The names (`randn` of `torch.randn`, `cuda` of `x.cuda()`) of what two visitors are for; None for all.
    calls: ClassVar[Collection[str] | None] = None  # functions and methods, for `visit_Call`
    attributes: ClassVar[Collection[str] | None] = None  # for `visit_Attribute`

    def __init_subclass__(cls) -> None:
        """TypeError for a method that nothing would call: rules have no `leave_<Node>`."""
        for name in vars(cls):
            if name.startswith("leave_"):
                raise TypeError(f"{cls.__name__} has a method {name}, but no node is left: edits come after all visits")
        cls.untouched = tuple(map(code_of, cls.untouched))

    def __init__(self, file: SourceFile) -> None:
        """Look at one file of a project."""
        self.file = file
        self._requests = file.fact(Requests)

    def replace(
        self,
        node: cst.CSTNode,
        new: cst.CSTNode | Sequence[cst.CSTNode],
        reason: str | None = None,
        until: cst.CSTNode | None = None,
        *,
        alone: bool = False,
        together: Sequence[Hashable] = (),
        needs: Sequence[Needed] = (),
        needed_in: Sequence[cst.CSTNode] = (),
    ) -> None:
        """Ask for `node` to become `new` (a statement, argument or decorator may become several, or none).

        All that a rule asks for in one visit is made, or none of it: where a note keeps one edit off, or another rule
        has its node, the others are not made either. `alone` says that an edit is right without those. `together` has
        keys that edits of other visits share, in any file; those of a visit is `key_of`. `needs` and `needed_in` are
        as in `Ties`. What a person refuses in review is lines: an edit up to the node `until` is one piece of them.
        """
        wanted = tuple(new) if isinstance(new, Sequence) and not isinstance(new, str) else new
        _refuse_nonsense(node, wanted)
        own: Hashable = ("alone", type(self), node) if alone else self.key_of(self._requests.visited)
        ties = Ties((own, *together), tuple(needs), tuple(needed_in))
        self._requests.replacements.append(Replacement(type(self), node, wanted, reason or self.message, until, ties))

    def key_of(self, node: cst.CSTNode | None) -> Hashable:
        """The key that all edits have which this rule asks for when it visits a node."""
        return type(self), node

    def redirect_import(self, node: cst.ImportFrom, moved: Mapping[cst.ImportAlias, str]) -> None:
        """Ask for some names of a from-import to come from the runtime (or another module) instead."""
        self._requests.move(type(self), self.key_of(node), node, moved)

    def host_reason(self, node: cst.CSTNode) -> str | None:
        """Why a node is only ever evaluated on the host; None when it may run for the device."""
        return host_reason(self.file, node)

    def runtime(self, name: str) -> cst.BaseExpression:
        """The expression for a name of the emitted runtime, such as `ops.interpolate`; its import comes along."""
        package, _, rest = name.partition(".")
        alias = self._requests.need_runtime(package)
        made: cst.BaseExpression = cst.Name(alias)
        for part in filter(None, rest.split(".")):
            made = cst.Attribute(made, cst.Name(part))
        return made

    def fill(self, text: str, **holes: cst.CSTNode | str) -> cst.BaseExpression:
        """`template.fill`; `ops.`, `utils.` or `training.` at the start of a hole's text means the emitted runtime."""
        ready = {
            k: self.runtime(v) if isinstance(v, str) and v.startswith(("ops.", "utils.", "training.")) else v
            for k, v in holes.items()
        }
        return fill(text, **ready)

    def match(self, pattern: str, node: cst.CSTNode) -> Bindings | None:
        """`template.match` with this file's names resolved."""
        return match(pattern, node, self.file.resolve)

    def free_name(self, wanted: str) -> str:
        """`wanted`, or that with a number: a name that nothing in this file has."""
        taken = self.file.names
        return next(n for n in (wanted, *(f"{wanted}_{i}" for i in range(2, 99))) if n not in taken)

    @classmethod
    def describe(cls, node: cst.CSTNode) -> str:
        """A node on one line, for a reason."""
        return brief(node)


_LIKE_FOR_LIKE: tuple[type[cst.CSTNode], ...] = (
    *(cst.BaseExpression, cst.BaseStatement, cst.BaseSmallStatement, cst.BaseSuite, cst.Arg, cst.Decorator),
    *(cst.Param, cst.Parameters, cst.BaseSlice, cst.ImportAlias, cst.WithItem, cst.ExceptHandler),
)
_SEVERAL = (cst.BaseStatement, cst.BaseSmallStatement, cst.Arg, cst.Decorator)


def _refuse_nonsense(node: cst.CSTNode, new: cst.CSTNode | tuple[cst.CSTNode, ...]) -> None:
    """TypeError where `new` cannot stand where `node` does."""
    if not isinstance(node, cst.CSTNode):
        raise TypeError(f"{type(node).__name__} is no node that could be replaced")
    if isinstance(new, tuple) and not isinstance(node, _SEVERAL):
        raise TypeError(
            f"{type(node).__name__} cannot become several or none, as statements, arguments and decorators can"
        )
    for one in new if isinstance(new, tuple) else (new,):
        if not isinstance(one, cst.CSTNode):
            raise TypeError(f"{type(one).__name__} is no node, as `fill` makes one of text")
        if not _fits(node, one):
            raise TypeError(f"{type(node).__name__} cannot be replaced by {type(one).__name__}")


def _fits(node: cst.CSTNode, new: cst.CSTNode) -> bool:
    """Whether a node may stand where another does: an expression for an expression, say; an elif becomes an else."""
    becomes_else = isinstance(node, cst.If) and isinstance(new, cst.Else)
    return becomes_else or all(isinstance(new, kind) for kind in _LIKE_FOR_LIKE if isinstance(node, kind))


class RedirectRule(Rule):
    """A rule that sends calls of library functions to drop-in replacements of the emitted runtime.

    Handles every way to reach the function: from-imports are split and re-pointed (uses stay as they are), attribute
    chains are replaced where they stand.
    """

    targets: ClassVar[Mapping[str, str]] = {}  # full library name → runtime name

    def __init_subclass__(cls) -> None:
        """Have `visit_Attribute` called for what is named as a target is behind its last dot."""
        super().__init_subclass__()
        if cls.visit_Attribute is RedirectRule.visit_Attribute:
            cls.attributes = last_parts(cls.targets)

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        """Re-point the targets among imported names."""
        if isinstance(node.names, cst.ImportStar):
            return
        module = self.file.imported_module(node)
        moved = [a for a in node.names if f"{module}.{_text(a.name)}" in self.targets]
        if moved:
            places = {a: self.file.of_runtime(self.targets[f"{module}.{_text(a.name)}"]) for a in moved}
            self.redirect_import(node, places)

    def visit_Attribute(self, node: cst.Attribute) -> None:
        """Replace a chain such as `F.interpolate` where it stands."""
        target = self.file.resolve(node)
        if target is None or target not in self.targets or not self.wanted(node) or self.file.inside_import(node):
            return
        parent = self.file.parent(node)
        if isinstance(parent, cst.Del) or (isinstance(parent, _ASSIGNING) and parent.target is node):
            return  # the library's own name is meant
        self.replace(node, self.runtime(self.targets[target]))

    def redirects(self, func: cst.BaseExpression) -> list[Hashable]:
        """The keys of the edits, imports or the attribute itself, by which what is called becomes the runtime's."""
        moves = self._requests.import_edits.values()
        here = [e.node for e in moves if any(m.rule is type(self) for m in e.moved.values())]
        return [self.key_of(node) for node in ([func] if isinstance(func, cst.Attribute) else here)]

    def wanted(self, node: cst.Attribute) -> bool:
        """Whether this use of a target is to be redirected."""
        return True


_ASSIGNING = (cst.AssignTarget, cst.AnnAssign, cst.AugAssign)


def _text(node: cst.CSTNode) -> str:
    return dotted(node) or ""
