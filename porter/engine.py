"""Apply the rule book to a project: one traversal a file, every edit recorded, the new text out once."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import libcst as cst

from .imports import add_import_edits
from .project import Project, SourceFile
from .rebuild import Rebuilt, rebuild
from .rule import Replacement, Rule
from .suppress import Suppressions
from .syntax.spans import Places, Rendering, Span
from .syntax.splice import Spliced, can_splice

Asked = tuple[str, str, int, int]  # rule, file upstream, line from 1, column from 0


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """One rewrite: which rule, why, and where it stands on both sides."""

    file: str  # path upstream
    span: Span
    target: str  # path inside the emitted package
    target_span: Span
    rule: str
    safety: str
    reason: str
    fixes_hazard: bool

    @property
    def asked(self) -> Asked:
        """What names this edit among all of a project."""
        return self.rule, self.file, self.span.line, self.span.column


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A file after the rules."""

    file: SourceFile
    rebuilt: Rebuilt
    rendering: Places
    edits: tuple[Edit, ...]
    lines: tuple[int, ...] | None = None  # the line upstream of each line, where the tree does not tell any more

    @property
    def text(self) -> str:
        """The new source."""
        return self.rendering.text


@dataclass(frozen=True, slots=True)
class Rewrites:
    """What the rule book made of a project."""

    project: Project
    files: Mapping[str, Rewritten]
    unused_ignores: tuple[tuple[str, int, str], ...]  # file, line, code
    suppressed: tuple[tuple[str, int, str], ...]  # file, line, code

    @property
    def edits(self) -> tuple[Edit, ...]:
        """All edits, in order of file and place."""
        return tuple(edit for file in self.files.values() for edit in file.edits)


@contextmanager
def no_collection() -> Iterator[None]:
    """Hold the cycle collector while large trees are built: they are all alive, and walking them again is wasted."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _visitors(rule: type[Rule]) -> tuple[tuple[type[cst.CSTNode], str], ...]:
    found = []
    for name in dir(rule):
        if name.startswith("visit_"):
            kind = getattr(cst, name.removeprefix("visit_"), None)
            if not (isinstance(kind, type) and issubclass(kind, cst.CSTNode)):
                raise TypeError(f"{rule.__name__}.{name} names no libcst node")
            found.append((kind, name))
    return tuple(found)


def rewrite(project: Project, rules: Sequence[type[Rule]]) -> Rewrites:
    """Run `rules` over every file of `project`. Where two rules want the same node, the first in order has it."""
    visit(project, rules)
    return apply(project)


def visit(project: Project, rules: Sequence[type[Rule]]) -> None:
    """Let `rules` ask for their edits in every file of `project`; once."""
    if any(not rule.twice for rule in rules) and project.differentiates_twice:
        rules = [rule for rule in rules if rule.twice]
    for file in project.files.values():
        _visit(file, rules)


def apply(project: Project, without: Collection[Asked] = frozenset()) -> Rewrites:
    """Make the edits that were asked for, but those in `without`."""
    files: dict[str, Rewritten] = {}
    unused: list[tuple[str, int, str]] = []
    suppressed: list[tuple[str, int, str]] = []
    for path, file in project.files.items():
        notes = Suppressions(file.rendering.text)
        edits = [r for r in file.replacements if not notes.keeps(file, r)]
        rewritten = _apply(file, edits, without)
        files[path] = rewritten
        unused += [(path, line, code) for line, code in notes.unused()]
        suppressed += [(path, line, code) for line, code in notes.used()]
    return Rewrites(project, files, tuple(unused), tuple(suppressed))


def _visit(file: SourceFile, rules: Sequence[type[Rule]]) -> None:
    dispatch: dict[type[cst.CSTNode], list[Callable[[cst.CSTNode], None]]] = defaultdict(list)
    for rule in rules:
        instance = rule(file)
        for kind, name in _visitors(rule):
            dispatch[kind].append(getattr(instance, name))
    for node in file.index.nodes:
        for visit in dispatch.get(type(node), ()):
            visit(node)


def _apply(file: SourceFile, wanted: Sequence[Replacement], without: Collection[Asked]) -> Rewritten:
    def kept(node: cst.CSTNode, rule: type[Rule]) -> bool:
        if not without:
            return True
        span = file.span(node)
        return (rule.code, file.path, span.line, span.column) not in without

    chosen: dict[cst.CSTNode, Replacement] = {}
    for replacement in wanted:
        if kept(replacement.node, replacement.rule):
            chosen.setdefault(replacement.node, replacement)
    add_import_edits(file, chosen, kept)
    rebuilt = rebuild(file, {node: r.new for node, r in chosen.items()})
    rendering = _render(file, rebuilt)
    edits = []
    for node, replacement in chosen.items():
        if node not in rebuilt.applied:
            continue  # inside something that another edit replaced as a whole
        edits.append(
            Edit(
                file=file.path,
                span=_reaching(file, node, replacement.until),
                target=file.target,
                target_span=_landed(rebuilt, rendering, node),
                rule=replacement.rule.code,
                safety=replacement.rule.safety.value,
                reason=replacement.reason,
                fixes_hazard=replacement.rule.fixes_hazard,
            )
        )
    return Rewritten(file, rebuilt, rendering, tuple(sorted(edits)))


def _reaching(file: SourceFile, node: cst.CSTNode, until: cst.CSTNode | None) -> Span:
    """From the start of a node to its end, or to that of another."""
    first, last = file.span(node), file.span(node if until is None else until)
    return Span(first.line, first.column, last.end_line, last.end_column)


def _render(file: SourceFile, rebuilt: Rebuilt) -> Places:
    if rebuilt.module is file.module:
        return file.rendering
    if not can_splice(rebuilt.module, file.rendering):
        return Rendering(rebuilt.module)
    return Spliced(rebuilt.module, file.module, file.rendering, file.index.parents, rebuilt.origin)


def _landed(rebuilt: Rebuilt, rendering: Places, node: cst.CSTNode) -> Span:
    """Where the result of an edit stands: from its first to its last node, or the place it vanished from."""
    nodes = [n for n in rebuilt.applied[node] if n in rendering]
    if nodes:
        first, last = rendering.span(_head(nodes[0])), rendering.span(nodes[-1])
        return Span(first.line, first.column, last.end_line, last.end_column)
    left, above = rebuilt.beside.get(node, (None, False))
    if left is not None and left in rendering:
        span = rendering.span(left)
        line, column = (span.end_line, span.end_column) if above else (span.line, span.column)
        return Span(line, column, line, column)
    around = rebuilt.around.get(node)
    if around is not None and around in rendering:
        span = rendering.span(around)
        return Span(span.line, span.column, span.line, span.column)
    return Span(1, 0, 1, 0)


def _head(node: cst.CSTNode) -> cst.CSTNode:
    """Where a result begins: libcst does not count decorators to a function."""
    if isinstance(node, cst.IndentedBlock) and node.body:
        node = node.body[0]
    if isinstance(node, (cst.FunctionDef, cst.ClassDef)) and node.decorators:
        return node.decorators[0]
    return node
