"""Definitions that code which runs comes to: what module/ and the trainers reach, and what a trainer's script calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import libcst as cst

from ..syntax.predicates import last_part, targets
from .guards import in_script
from .project import Project, SourceFile
from .references import Reference, handed_on, kept_name, references_in, top_definition

# Functions of torch that upstream replaces with its own → layers of torch that call them.
_CALLERS = {
    "torch.nn.functional.multi_head_attention_forward": (
        "torch.nn.MultiheadAttention",
        "torch.nn.TransformerEncoderLayer",
        "torch.nn.TransformerDecoderLayer",
        "torch.nn.Transformer",
    ),
}
_DEFINED = (cst.FunctionDef, cst.ClassDef)


class Reachability:
    """For each place of a project: why nothing comes there, if it does not."""

    def __init__(self, project: Project) -> None:
        """Nothing is looked at yet."""
        self._files = tuple(project.files.values())
        self._references = project.fact(references_in)
        self._named: dict[cst.Name, list[Reference]] = {}

    def unreached(self, file: SourceFile, node: cst.CSTNode) -> str | None:
        """In a file that is ported only because module/ or a trainer imports from it: code that neither reaches."""
        top = top_definition(file, node) if file.is_dependency else None
        if top is None or top in self._reached:
            return None
        return f"neither upstream's networks nor its trainers reach {top.name.value}"

    def uncalled(self, file: SourceFile, node: cst.CSTNode) -> str | None:
        """In a trainer: code of a function that the script never comes to call."""
        top = top_definition(file, node) if file.is_trainer else None
        if top is None or top in self._called or handed_on(top):
            return None
        return f"nothing calls {top.name.value}"

    @cached_property
    def _called(self) -> set[cst.CSTNode]:
        """Definitions of trainers that are used by what runs when the script is executed."""

        def runs(_: cst.CSTNode, file: SourceFile, use: cst.CSTNode, called: set[cst.CSTNode]) -> bool:
            top = top_definition(file, use) if file.is_trainer else None
            return top is None or top in called

        return self._grown({d for d in self._references if isinstance(d, _DEFINED) and handed_on(d)}, runs)

    @cached_property
    def _reached(self) -> set[cst.CSTNode]:
        """Definitions of dependencies that module/ or a trainer refers to, directly or through others."""

        def reaches(definition: cst.CSTNode, file: SourceFile, use: cst.CSTNode, reached: set[cst.CSTNode]) -> bool:
            return self._reaches(file, use, reached, made=isinstance(definition, cst.ClassDef))

        return self._grown(set(), reaches)

    def _grown(
        self,
        found: set[cst.CSTNode],
        counts: Callable[[cst.CSTNode, SourceFile, cst.CSTNode, set[cst.CSTNode]], bool],
    ) -> set[cst.CSTNode]:
        """`found`, and the definitions of which a use counts, for as long as each finds more."""
        before = -1
        while len(found) > before:
            before = len(found)
            for definition, uses in self._references.items():
                if definition not in found and any(counts(definition, file, use, found) for file, use in uses):
                    found.add(definition)
        return found

    def _reaches(self, file: SourceFile, use: cst.CSTNode, reached: set[cst.CSTNode], *, made: bool = False) -> bool:
        """Whether code that is reached uses something; `made`: a class, whose objects may be kept for nobody."""
        if not file.is_dependency:
            return True
        top = top_definition(file, use)
        if top is not None:
            return top in reached
        if in_script(file, use) or not self._patch_is_used(file, use, reached):
            return False
        kept = kept_name(file, use) if made else None
        return kept is None or any(self._reaches(f, n, reached) for f, n in self._uses(file, kept))

    def _uses(self, file: SourceFile, name: cst.Name) -> list[Reference]:
        """Where a name that a file binds at its top is used: here, and in files that import it or all of its names."""
        if name not in self._named:
            self._named[name] = [
                (other, node)
                for other in self._files
                for node in other.index.named(name.value)
                if node is not name and _means(file, name.value, other, node) and not other.inside_import(node)
            ]
        return self._named[name]

    def _patch_is_used(self, file: SourceFile, use: cst.CSTNode, reached: set[cst.CSTNode]) -> bool:
        """Of a function that a file puts in the place of torch's: whether reached code calls that; True for others."""
        assignment = file.parent(use)
        patched = targets(assignment) if isinstance(assignment, cst.Assign) else []
        names = {file.full_name(target) for target in patched}
        if not names or not names <= _CALLERS.keys():
            return True
        callers = names | {caller for name in names for caller in _CALLERS[name]}
        return any(n not in patched and self._reaches(f, n, reached) for f, n in self._namings(callers))

    def _namings(self, names: set[str]) -> Iterator[Reference]:
        """Where files name functions or classes of libraries, by their full names."""
        for file in self._files:
            for node in (node for last in {last_part(name) for name in names} for node in file.index.named(last)):
                if not isinstance(file.parent(node), (cst.ImportAlias, cst.AsName)) and file.resolve(node) in names:
                    yield file, node


def _means(file: SourceFile, name: str, other: SourceFile, node: cst.CSTNode) -> bool:
    """Whether a name or an attribute in some file is what `file` binds to `name` at its top."""
    if other.resolve(node) == f"{file.dotted_path}.{name}":
        return True
    if type(node) is not cst.Name:
        return False
    own = other is file and other.index.scope_of(node).lookup(name) == file.index.root.lookup(name)
    return own or file.dotted_path in other.stars
