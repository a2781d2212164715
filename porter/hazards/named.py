"""What the port does with a name of a library, by the examples of the rules and by torch's own facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import libcst as cst

from ..analysis.project import Project, SourceFile
from ..codemod.engine import visit
from ..codemod.examples.texts import place
from ..codemod.requests import Replacement, Requests
from ..errors import PortError
from ..rule import Example, Rule
from ..syntax.walk import brief, descendants, dotted
from ..torch_facts.operators import reasons
from ..torch_facts.reading import canonical, table
from .scan.known import READS, SLOW, UNLOWERED_PREFIXES

_SHORT = {"F": "torch.nn.functional", "nn": "torch.nn", "np": "numpy", "Tensor": "torch.Tensor"}
_TENSOR = "torch.Tensor."


@dataclass(frozen=True, slots=True)
class Use:
    """What a rule does with a name, in the first of its examples that shows it."""

    rule: type[Rule]
    before: str  # on one line
    after: str


@dataclass(frozen=True, slots=True)
class Named:
    """All that is known of a name."""

    name: str  # in full
    hazards: tuple[tuple[str, str], ...]  # family and sentence, as `check` lists a call with unknown arguments
    uses: tuple[Use, ...]


def find(name: str, rules: Sequence[type[Rule]]) -> Named:
    """What the port does with `name`: `torch.stft`, `F.pad`, `Tensor.item`. PortError if torch has no such name."""
    head, dot, rest = name.strip().partition(".")
    full = canonical(f"{_SHORT.get(head, head)}{dot}{rest}")
    uses = tuple(use for rule in rules if (use := _first_use(rule, full)) is not None)
    hazards = tuple(_hazards(full))
    if not uses and not hazards:
        _refuse_unknown(name, full)
    return Named(full, hazards, uses)


def _refuse_unknown(name: str, full: str) -> None:
    """PortError for what is no function, method or class that torch's tables have."""
    data = table("signatures")
    known = {*data["native"], *data["python"]}
    if full in known or (full.partition(".")[0] != "torch" and "." in full):
        return
    last = full.rpartition(".")[2]
    same = sorted(one for one in known if one.rpartition(".")[2] == last)
    near = same[:3] or get_close_matches(full, known, n=3)
    meant = f"{', '.join(near[:-1])} or {near[-1]}" if near[1:] else "".join(near)
    raise PortError(f"torch has no {name!r}" + f"; did you mean {meant}?" * bool(near))


def _hazards(full: str) -> Iterator[tuple[str, str]]:
    last = full.rpartition(".")[2]
    if full.startswith(_TENSOR) and last in READS:
        yield "SYN", READS[last]
        return
    yield from reasons(full, lambda parameter: None)
    if full in SLOW:
        yield "LOW", SLOW[full]
    for prefix, why in UNLOWERED_PREFIXES.items():
        if full.startswith(prefix):
            yield "LOW", why


def _first_use(rule: type[Rule], full: str) -> Use | None:
    last = full.rpartition(".")[2]
    for example in rule.examples:
        if last in example.before and (use := _use(rule, example, full)) is not None:
            return use
    return None


def _use(rule: type[Rule], example: Example, full: str) -> Use | None:
    """What a rule does with a name in one example: the smallest edit that leaves fewer of it than there were."""
    files = {example.path: example.before, **example.others}
    project = Project.parse({path: (place(path), text) for path, text in files.items()})
    visit(project, [rule])
    file = project.files[example.path]
    edits = [edit for edit in file.fact(Requests).replacements if _loses(file, edit, full)]
    if edits:
        edit = min(edits, key=lambda edit: len(list(descendants(edit.node))))
        return Use(rule, brief(edit.node), "; ".join(brief(new) for new in _news(edit)) or "nothing")
    moves = (
        Use(rule, brief(node), move.target)
        for node, moved in file.fact(Requests).import_edits.items()
        for alias, move in moved.moved.items()
        if canonical(f"{file.imported_module(node)}.{dotted(alias.name)}") == full
    )
    return next(moves, None)


def _news(edit: Replacement) -> tuple[cst.CSTNode, ...]:
    """What an edit puts in the place of a node."""
    return edit.new if isinstance(edit.new, tuple) else (edit.new,)


def _loses(file: SourceFile, edit: Replacement, full: str) -> bool:
    spelled = [dotted(node) for node in descendants(edit.node) if _is(file, node, full)]
    new = [node for tree in _news(edit) for node in descendants(tree)]
    if full.startswith(_TENSOR):
        left = sum(_method(node) == full.removeprefix(_TENSOR) for node in new)
    else:
        left = sum(dotted(node) in spelled for node in new)
    return left < len(spelled)


def _is(file: SourceFile, node: cst.CSTNode, full: str) -> bool:
    """Whether a node is the name, or calls the method."""
    if full.startswith(_TENSOR):
        method = _method(node)
        return method == full.removeprefix(_TENSOR) and isinstance(node, cst.Call) and file.resolve(node.func) is None
    if type(node) is not cst.Name and type(node) is not cst.Attribute:
        return False
    found = file.resolve(node)
    return found is not None and canonical(found) == full


def _method(node: cst.CSTNode) -> str | None:
    return node.func.attr.value if type(node) is cst.Call and type(node.func) is cst.Attribute else None
