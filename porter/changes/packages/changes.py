"""What differs between two packages, as records; nothing here computes anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..decisions.model import REJECTED

FileKind = Literal["added", "removed", "changed", "comments", "reformatted", "renamed", "header"]
Why = Literal["upstream", "written", "rule"]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file, of upstream or of the package.

    reformatted: the same syntax tree and comments; comments: the same syntax tree; renamed: the same bytes at another
    path; header: of the package, the same text below another header.
    """

    file: str  # upstream, or in the package
    kind: FileKind
    was: str = ""  # the old path, where that is another one
    added: int = 0  # lines; of the package without headers
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Fact:
    """One entry of port.json that differs: an option, a hash of the tool, upstream's revision."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One edit; lines count from 1."""

    rule: str
    safety: str
    reason: str
    file: str  # upstream
    line: int
    target: str  # inside the package
    target_line: int
    target_end_line: int
    scope: str  # qualified name of the class or function around, "" for the module


@dataclass(frozen=True, slots=True)
class Moved:
    """A rewrite whose code stands at another line."""

    before: Rewrite
    after: Rewrite

    @property
    def elsewhere(self) -> bool:
        """Whether the code went to another function or file, not just up or down."""
        return (self.before.target, self.before.scope) != (self.after.target, self.after.scope)


@dataclass(frozen=True, slots=True)
class Changed:
    """A rewrite of which upstream's code, what is written for it, or the rule is another one."""

    before: Rewrite
    after: Rewrite
    why: Why


@dataclass(frozen=True, slots=True)
class RewriteChanges:
    """Every rewrite of both packages is in exactly one of these."""

    new: tuple[Rewrite, ...]
    gone: tuple[Rewrite, ...]
    changed: tuple[Changed, ...]
    moved: tuple[Moved, ...]
    kept: int  # same code, same line


@dataclass(frozen=True, slots=True)
class HazardChange:
    """A hazard that is residual or waived and was not so before, or the other way round."""

    code: str
    file: str
    line: int
    status: str
    reason: str
    scope: str
    before: str  # what became of the same code's hazard in the other package; "" where there was none


@dataclass(frozen=True, slots=True)
class HazardChanges:
    """Fixed hazards are told by the rewrites that fix them."""

    new: tuple[HazardChange, ...]
    gone: tuple[HazardChange, ...]

    @property
    def residual(self) -> tuple[HazardChange, ...]:
        """New ones that neither a rule nor a waiver takes care of."""
        return tuple(hazard for hazard in self.new if hazard.status == "residual")

    @property
    def unknown(self) -> tuple[HazardChange, ...]:
        """Residual ones that no rule knows."""
        return tuple(hazard for hazard in self.residual if not hazard.reason.endswith(REJECTED))

    @property
    def rejected(self) -> tuple[HazardChange, ...]:
        """Residual ones whose rewrite a person rejected."""
        return tuple(hazard for hazard in self.residual if hazard.reason.endswith(REJECTED))


@dataclass(frozen=True, slots=True)
class Changes:
    """All that differs between two packages."""

    facts: tuple[Fact, ...]
    upstream: tuple[FileChange, ...]  # ported files
    consulted: tuple[FileChange, ...]  # files of upstream that were only read
    rules_new: tuple[str, ...]  # codes that rewrite something now and rewrote nothing before
    rules_gone: tuple[str, ...]
    rewrites: RewriteChanges
    hazards: HazardChanges
    package: tuple[FileChange, ...]  # files that differ

    def fact(self, name: str) -> Fact | None:
        """The entry of this name, if it differs."""
        return next((fact for fact in self.facts if fact.name == name), None)
