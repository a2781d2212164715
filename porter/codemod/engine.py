"""Apply the rule book to a project: one traversal a file, every edit recorded, the new text out once."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import libcst as cst

from ..analysis.double_backward import DoubleBackward
from ..analysis.project import Project, SourceFile
from ..errors import PortError
from ..rule import Rule
from ..syntax.predicates import last_part
from ..syntax.spans import Places, Rendering, Span
from ..syntax.splice import Spliced, can_splice
from ..syntax.unprinted import restored
from .imports import RuntimeImport, add_import_edits
from .noted import Noted, NotedFile, kept_off, of_rules, trouble
from .rebuild import Rebuilt, rebuild
from .requests import Move, Replacement, Request, Requests
from .rule_errors import Visitors, broken, failed, refuse_other_than_python, visitors
from .suppress import Suppressions
from .ties import with_dependants, with_mates

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


@dataclass(frozen=True, slots=True, order=True)
class Kept:
    """A rewrite that a person's note keeps off, or that means nothing without one that it does."""

    file: str  # path upstream
    span: Span
    target: str  # path inside the emitted package
    target_line: int
    rule: str
    reason: str  # why the rule would have
    fixes_hazard: bool
    note: str  # in words that lead to it, with the person's reason


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A file after the rules."""

    file: SourceFile
    rebuilt: Rebuilt
    rendering: Places
    edits: tuple[Edit, ...]
    kept: tuple[Kept, ...] = ()
    lines: tuple[int, ...] | None = None  # the line upstream of each line, where the tree does not tell any more
    as_it_stood: str | None = None  # the new source, where libcst prints it with other white space

    @property
    def text(self) -> str:
        """The new source."""
        return self.rendering.text if self.as_it_stood is None else self.as_it_stood


@dataclass(frozen=True, slots=True)
class Rewrites:
    """What the rule book made of a project."""

    project: Project
    files: Mapping[str, Rewritten]
    unused_ignores: tuple[tuple[str, int, str], ...]  # file, line, code

    @property
    def edits(self) -> tuple[Edit, ...]:
        """All edits, in order of file and place."""
        return tuple(edit for file in self.files.values() for edit in file.edits)

    @property
    def kept(self) -> tuple[Kept, ...]:
        """All rewrites that notes keep off."""
        return tuple(kept for file in self.files.values() for kept in file.kept)


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


def rewrite(project: Project, rules: Sequence[type[Rule]]) -> Rewrites:
    """Run `rules` over every file of `project`. Where two rules want the same node, the first in order has it."""
    visit(project, rules)
    return apply(project)


def visit(project: Project, rules: Sequence[type[Rule]]) -> None:
    """Let `rules` ask for their edits in every file of `project`; once."""
    if any(not rule.supports_double_backward for rule in rules) and project.fact(DoubleBackward).asked:
        rules = [rule for rule in rules if rule.supports_double_backward]
    asked_for = [(rule, visitors(rule)) for rule in rules]
    for file in project.files.values():
        _visit(file, asked_for)


def apply(
    project: Project, without: Collection[Asked] = frozenset(), more_notes: Mapping[str, Suppressions] | None = None
) -> Rewrites:
    """Make the edits that were asked for, but those in `without`, those that people's notes keep off, and what means
    nothing without them. `more_notes` are those of some files, by path, in place of what stands there.

    PortError names a note that leaves names which nothing defines.
    """
    notes = {path: Suppressions(file.rendering.text) for path, file in project.files.items()} | dict(more_notes or {})
    noted = kept_off(project, notes)
    unused = tuple((path, line, code) for path, told in notes.items() for line, code in told.unused())
    asked_out = _asked_out(project, without)
    files = _made(project, {**asked_out, **noted})
    why = trouble(_outcomes(files), notes, noted)
    for anywhere in (False, True):
        if why and noted:
            files = _made(project, {**asked_out, **of_rules(project, noted, anywhere=anywhere)})
            why = trouble(_outcomes(files), notes, noted) and why
    if why:
        raise PortError(why)
    return Rewrites(project, files, unused)


def _outcomes(files: Mapping[str, Rewritten]) -> dict[str, NotedFile]:
    return {
        path: NotedFile(
            rewritten.file.rendering.text,
            rewritten.text,
            tuple(edit.span for edit in rewritten.edits if edit.rule == RuntimeImport.code),
            bool(rewritten.kept),
        )
        for path, rewritten in files.items()
    }


def _asked_out(project: Project, without: Collection[Asked]) -> dict[Request, Noted | None]:
    files = project.files.values() if without else ()
    return {request: None for file in files for request in file.fact(Requests) if asked(file, request) in without}


def asked(file: SourceFile, request: Request) -> Asked:
    """What names the edit that a request becomes."""
    node = request.node
    if isinstance(request, Move):
        node = file.alone(request.node) or node
    span = file.span(node)
    return request.rule.code, file.path, span.line, span.column


def _made(project: Project, refused: Mapping[Request, Noted | None]) -> dict[str, Rewritten]:
    """All files with what was asked for, but what is refused and what goes with that.

    Where another rule has the node of one edit, those that mean nothing without it are not made.
    """
    left = with_dependants(project, refused) if refused else {}
    while True:
        chosen = {path: _chosen(file, left) for path, file in project.files.items()}
        lost = [r for path, file in project.files.items() for r in _lost(file, chosen[path], left)]
        torn = with_mates(project, lost, left) if lost else set()
        files: dict[str, Rewritten] = {}
        for path, file in project.files.items() if not torn else ():
            files[path], swallowed = _apply(file, chosen[path], left)
            torn |= swallowed
        if not torn:
            return files
        left = with_dependants(project, {**left, **dict.fromkeys(torn)})


def _chosen(file: SourceFile, refused: Collection[Request]) -> dict[cst.CSTNode, Replacement]:
    """The edit of each node: the first that was asked for."""
    chosen: dict[cst.CSTNode, Replacement] = {}
    for replacement in file.fact(Requests).replacements:
        if replacement not in refused:
            chosen.setdefault(replacement.node, replacement)
    return chosen


def _lost(
    file: SourceFile, chosen: Mapping[cst.CSTNode, Replacement], left: Collection[Request]
) -> Iterator[Replacement]:
    """The edits whose node another rule has."""
    return (r for r in file.fact(Requests).replacements if r not in left and chosen[r.node].rule is not r.rule)


def _visit(file: SourceFile, rules: Sequence[tuple[type[Rule], Visitors]]) -> None:
    dispatch: dict[type[cst.CSTNode], list[_Visitor]] = defaultdict(list)
    for rule, kinds in rules:
        try:
            instance = rule(file)
        except Exception as error:
            raise failed(rule, file, None, error) from error
        for kind, method in kinds:
            names = {cst.Call: rule.calls, cst.Attribute: rule.attributes}.get(kind)
            dispatch[kind].append(_Visitor(rule, getattr(instance, method), names))
    asked = file.fact(Requests)
    by_name: dict[tuple[type[cst.CSTNode], str | None], list[_Visitor]] = {}
    for node in file.index.nodes:
        if type(node) not in dispatch:
            continue
        name = _name_of(file, node)
        key = type(node), name
        if key not in by_name:
            by_name[key] = [v for v in dispatch[type(node)] if name is None or v.names is None or name in v.names]
        asked.visited = node
        for visitor in by_name[key]:
            try:
                visitor.visit(node)
            except Exception as error:
                if isinstance(error, RecursionError) and visitor.rule.ours:
                    raise  # it is the tree that is deep
                raise failed(visitor.rule, file, node, error) from error


class _Visitor(NamedTuple):
    """A method of a rule that sees nodes of one class: all, or those that are named so."""

    rule: type[Rule]
    visit: Callable[[cst.CSTNode], None]
    names: Collection[str] | None


def _name_of(file: SourceFile, node: cst.CSTNode) -> str | None:
    """The name by which a visitor chooses: of an attribute, or of what is called.

    None, which shows the node to all visitors of its class, for other nodes and for what an import calls otherwise.
    """
    called = node.func if type(node) is cst.Call else node
    if type(called) is cst.Attribute:
        return called.attr.value
    if type(node) is not cst.Call:
        return None
    if type(called) is not cst.Name:
        return ""
    return called.value if last_part(file.resolve(called) or called.value) == called.value else None


def _apply(
    file: SourceFile, wanted: Mapping[cst.CSTNode, Replacement], left: Mapping[Request, Noted | None]
) -> tuple[Rewritten, set[Request]]:
    """A file with its edits made; and, where that leaves half of a group, its edits."""
    chosen = dict(wanted)
    add_import_edits(file, chosen, left.keys())
    foreign = {node: r for node, r in chosen.items() if not r.rule.ours}
    try:
        rebuilt = rebuild(file, {node: r.new for node, r in chosen.items()})
        rendering = _render(file, rebuilt)
    except Exception as error:
        if foreign and not isinstance(error, RecursionError):
            raise broken(file, foreign, error) from error
        raise
    if foreign:
        refuse_other_than_python(file, foreign, rendering.text)
    edits = tuple(sorted(_edits(file, chosen, rebuilt, rendering)))
    kept = tuple(sorted(set(_kept(file, rebuilt, rendering, left)))) if left else ()
    stood = restored(file.path, file.source, file.rendering.text, rendering.text)
    return Rewritten(file, rebuilt, rendering, edits, kept, as_it_stood=stood), _torn(wanted.values(), rebuilt)


def _edits(
    file: SourceFile, chosen: Mapping[cst.CSTNode, Replacement], rebuilt: Rebuilt, rendering: Places
) -> Iterator[Edit]:
    """The account of a file's edits, but of those inside something that another edit replaced as a whole."""
    for node in chosen.keys() & rebuilt.applied.keys():
        replacement = chosen[node]
        for rule, reason in ((replacement.rule, replacement.reason), *replacement.shared):
            yield Edit(
                file=file.path,
                span=_reaching(file, node, replacement.until),
                target=file.target,
                target_span=_landed(rebuilt, rendering, node),
                rule=rule.code,
                safety=rule.safety.value,
                reason=reason,
                fixes_hazard=rule.fixes_hazard,
            )


def _torn(chosen: Collection[Replacement], rebuilt: Rebuilt) -> set[Request]:
    """The edits of one visit of a rule of which only some are made, the others being inside of what was replaced."""
    tied = [(replacement.ties.keys[0], replacement) for replacement in chosen if replacement.ties.keys]
    gone = {key for key, replacement in tied if replacement.node not in rebuilt.applied}
    made = {key for key, replacement in tied if replacement.node in rebuilt.applied}
    return {replacement for key, replacement in tied if key in gone & made}


def _kept(
    file: SourceFile, rebuilt: Rebuilt, rendering: Places, left: Mapping[Request, Noted | None]
) -> Iterator[Kept]:
    """What notes keep off in a file, as far as its code is still there."""
    now = {old: new for new, old in rebuilt.origin.items() if new in rendering}

    def standing(node: cst.CSTNode) -> cst.CSTNode | None:
        return node if node in rendering else now.get(node)

    for request in file.fact(Requests):
        cause = left.get(request)
        node = request.node
        replaced = node not in rendering and node in rebuilt.applied
        there = isinstance(request, Move) or (standing(node) is not None and not replaced)
        if cause is not None and there:
            place = next(filter(None, map(standing, (node, *file.ancestors(node)))), None)
            yield Kept(
                file=file.path,
                span=file.span(node),
                target=file.target,
                target_line=1 if place is None else rendering.span(_head(place)).line,
                rule=request.rule.code,
                reason=request.reason,
                fixes_hazard=request.rule.fixes_hazard,
                note=cause.told(file.path),
            )


def _reaching(file: SourceFile, node: cst.CSTNode, until: cst.CSTNode | None) -> Span:
    """From the start of a node to its end, or to that of another."""
    first, last = file.span(node), file.span(node if until is None else until)
    return Span(first.line, first.column, last.end_line, last.end_column)


def _render(file: SourceFile, rebuilt: Rebuilt) -> Places:
    if rebuilt.module is file.module:
        return file.rendering
    if rebuilt.module.footer is not file.module.footer or not can_splice(rebuilt.module, file.rendering):
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
