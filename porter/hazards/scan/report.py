"""Run the detectors over the rewritten project and say what became of each find."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial

import libcst as cst

from ...analysis.contexts import BUILT, IMPORTED, Contexts, host_reason
from ...analysis.cuda import names_cuda
from ...analysis.guards import DISTRIBUTED_ONLY
from ...analysis.project import Project, SourceFile
from ...analysis.reachability import Reachability
from ...codemod.engine import Rewrites, Rewritten
from ...codemod.suppress import Note, Suppressions
from ...syntax.predicates import last_part
from ...syntax.walk import dotted
from ..hazard import Hazard, Status
from .asking import DOUBT, Found, torch_names
from .cuda_only import cuda_only, goes_on_without
from .detectors import DETECTORS, device_of_helper
from .follow import Flow
from .held import keeps_parameter
from .in_passing import in_passing
from .lengths import read_once
from .outside import harmless

_LOOKED_AT = DETECTORS.keys() | {cst.Import, cst.ImportFrom}
_NAMING = frozenset({cst.Name, cst.Attribute})  # of which only what means something of torch's is looked at


def scan(rewrites: Rewrites) -> list[Hazard]:
    """Hazards that are left in the result: waived with a reason, or residual."""
    result = Flow().project
    result.runtime = rewrites.project.runtime
    for rewritten in rewrites.files.values():
        result.add(
            _emitted(rewritten),
            rewritten.file.target,
            rewritten.rebuilt.module,
            rendering=rewritten.rendering,
            like=rewritten.file,
        )
    found: list[Hazard] = []
    for rewritten in rewrites.files.values():
        found += _scan_file(result.files[_emitted(rewritten)], rewritten)
    return found


def scan_upstream(modules: Mapping[str, tuple[str, cst.Module]], paths: Collection[str]) -> list[Hazard]:
    """Hazards in files as upstream has them, by path. `modules` are these and others that they may call: path → where
    the file would go in the package, its tree.
    """
    project = Flow().project
    for path, (target, module) in modules.items():
        project.add(path, target, module).is_dependency = False  # nothing is ported because of it
    found: list[Hazard] = []
    for path in paths:
        file = project.files[path]
        found += _hazards(file, _finds(file), file.source, path, partial(_line, file))
    return found


def _line(file: SourceFile, node: cst.CSTNode) -> int:
    return file.span(node).line


def _emitted(rewritten: Rewritten) -> str:
    """Where a file stands in the port, so that its relative imports mean what they will mean there."""
    return f"module/tpu/{rewritten.file.target}"


def _scan_file(file: SourceFile, rewritten: Rewritten) -> list[Hazard]:
    detected = _finds(file, rewritten.file.project)
    return _hazards(
        file, detected, rewritten.text, rewritten.file.path, lambda node: _upstream_line(file, rewritten, node)
    )


def _hazards(
    file: SourceFile, detected: Iterable[Found], text: str, path: str, line_upstream: Callable[[cst.CSTNode], int]
) -> list[Hazard]:
    """What was detected in a file with this text, with the line of `path` that each comes from."""
    notes = Suppressions(text)
    found: list[Hazard] = []
    seen: set[tuple[str, int, str]] = set()
    for code, place, why in detected:
        span = file.span(place)
        if (code, span.line, why) in seen:
            continue
        seen.add((code, span.line, why))
        noted = notes.covers(span.line, span.end_line, code)
        waiver = f"kept as it is by {noted.told}" if noted else _waiver(file, code, place)
        if waiver and why.startswith(DOUBT) and not noted:
            continue  # nobody knows that it is a hazard, and it would be none
        above = line_upstream(place)
        found.append(
            Hazard(
                code=code,
                file=path,
                line=above,
                status=Status.WAIVED if waiver else Status.RESIDUAL,
                reason=f"{why}: {waiver}" if waiver else why,
                target=file.target,
                target_line=span.line,
                noted=_lines(noted, above - span.line) if noted else None,
            )
        )
    return found


def _lines(note: Note, down: int) -> tuple[int, int]:
    """The lines upstream of a note and its statement, `down` below those of the result."""
    return min(note.line, note.first) + down, note.last + down


def _finds(file: SourceFile, upstream: Project | None = None) -> Iterator[Found]:
    """What the detectors find in a file, node by node; and, in a port of `upstream`, imports that lead back there."""
    named = file.fact(torch_names)
    for node in file.index.nodes:
        kind = type(node)  # of every node: isinstance asks an abstract class
        if kind not in _LOOKED_AT or (kind in _NAMING and node not in named):
            continue
        for detect in DETECTORS.get(kind, ()):
            yield from detect(file, node)
        if upstream is not None and (kind is cst.Import or kind is cst.ImportFrom):
            assert isinstance(node, (cst.Import, cst.ImportFrom))
            yield from _open_imports(upstream, file, node)


def _open_imports(upstream: Project, file: SourceFile, node: cst.Import | cst.ImportFrom) -> Iterator[Found]:
    """Imports that still read upstream's own copy of a file that is ported."""
    if isinstance(node, cst.Import):
        names = [dotted(alias.name) or "" for alias in node.names]
    else:
        names = [] if node.relative else [file.imported_module(node)]
    for name in names:
        if upstream.module(name) is not None:
            yield "PKG", node, f"{name} is upstream's own file, and the port has one of its own"


def _waiver(file: SourceFile, code: str, node: cst.CSTNode) -> str | None:
    """Why a find is no hazard, but for people's notes."""
    if code == "PKG" or (code == "DEV" and keeps_parameter(file, node)):
        return None
    return next(filter(None, _waivers(file, code, node)), None)


def _waivers(file: SourceFile, code: str, node: cst.CSTNode) -> Iterator[str | None]:
    """What is known of a place, one after the other: each a reason, or None."""
    contexts, reachability = file.project.fact(Contexts), file.project.fact(Reachability)
    reason = host_reason(file, node)
    if reason is not None and not _must_work(file, code, node, reason) and _is_over(file, code, node, reason):
        yield reason
    yield contexts.loaded(file, node) or reachability.unreached(file, node) or reachability.uncalled(file, node)
    yield cuda_only(file, node)
    if code == "DEV":
        yield goes_on_without(file, node)
    if code in ("DEV", "SYN"):
        yield in_passing(file, node)
    yield read_once(file, node)
    yield _waiver_of_family(file, code, node)


def _waiver_of_family(file: SourceFile, code: str, node: cst.CSTNode) -> str | None:
    """Why a find of one family is no hazard where those of others may be."""
    contexts = file.project.fact(Contexts)
    match code:
        case "SYN":
            return contexts.between_steps(file, node) or contexts.logged(file, node)
        case "EXT":
            return harmless(file, node)
        case "DEV" | "RNG":
            return device_of_helper(file, node)
        case "GRF" if not _is_step(node):
            return "Python's own generator chooses, without asking the device; each of the two graphs is compiled once"
    return None


def _is_over(file: SourceFile, code: str, node: cst.CSTNode, reason: str) -> bool:
    """Whether what a place does is done there: a layer that is built runs later, and so does a scripted function."""
    if not reason.startswith((BUILT, IMPORTED)):
        return True
    if code in ("JIT", "DST") or (code == "DEV" and names_cuda(file, node)):
        return False  # it works, or it does not
    return code != "LOW" or _runs_at_once(file, node)


def _runs_at_once(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether something of torch's is called where it is named, and is no layer, which runs later."""
    call = node if isinstance(node, cst.Call) else file.call_of(node)
    if call is None:
        return False  # handed on, and called later
    target = file.resolve(call.func)
    if target is None:
        return isinstance(call.func, cst.Attribute)  # a tensor's method
    return not target.startswith("torch.nn.utils.") and not last_part(target)[:1].isupper()


def _must_work(file: SourceFile, code: str, node: cst.CSTNode, reason: str) -> bool:
    """Whether a find in a trainer is no matter of cost: a process group is asked for, or a step never ends."""
    return file.in_trainers and (
        (code == "DST" and not reason.startswith(DISTRIBUTED_ONLY)) or (code == "GRF" and _is_step(node))
    )


def _is_step(node: cst.CSTNode) -> bool:
    """Whether a graph break is that of a training loop, not a condition's."""
    return isinstance(node, (cst.For, cst.While, cst.Attribute))


def _upstream_line(file: SourceFile, rewritten: Rewritten, node: cst.CSTNode) -> int:
    """The upstream line that a node of the result came from."""
    if rewritten.lines is not None:
        return rewritten.lines[min(file.span(node).line, len(rewritten.lines)) - 1]
    old = rewritten.file
    current: cst.CSTNode | None = node
    while current is not None:
        if current in old.index.parents:
            return old.span(current).line
        origin = rewritten.rebuilt.origin.get(current)
        if origin is not None:
            return old.span(origin).line
        current = file.parent(current)
    return 1
