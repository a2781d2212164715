"""Hazards as findings: residual ones are errors, waived ones notes that are suppressed, with the reason."""

from __future__ import annotations

import contextlib
import io
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..changes.hunks import key_of, lines_of, scopes_of
from ..codemod.rulebook import FAMILIES
from .families import ABOUT
from .hazards import unused
from .rules import documentation, family
from .sarif import About, Finding, Level, Waiver

if TYPE_CHECKING:
    from ..package.manifest import HazardRecord, Manifest
    from ..rule import Rule

UNUSED_NOTE = "unused-ignore"
_LEVELS: Mapping[str, Level] = {"fixed": "none", "waived": "note", "residual": "error", "not ported": "error"}
_NOTE = "# port: ignore"


def hazard_findings(manifest: Manifest, upstream: Mapping[str, bytes], *, fixed: bool = False) -> list[Finding]:
    """Hazards and notes that keep nothing off, in order of file and line; those that a rule fixed only if asked for.

    `upstream` has the bytes of the ported files by path. A finding's fingerprint is made of the code around it.
    """
    name = _Fingerprints(upstream)
    findings = [
        Finding(
            hazard["code"],
            _LEVELS[hazard["status"]],
            f"not ported: {hazard['reason']}" if hazard["status"] == "not ported" else hazard["reason"],
            hazard["file"],
            hazard["line"],
            fingerprint=name(hazard["code"], hazard["file"], hazard["line"]),
            waiver=_waiver(hazard),
        )
        for hazard in manifest["hazards"]["list"]
        if fixed or hazard["status"] != "fixed"
    ]
    findings += [
        Finding(
            UNUSED_NOTE,
            "warning",
            _sentence(unused(note)),
            note["file"],
            note["line"],
            fingerprint=name(UNUSED_NOTE, note["file"], note["line"]),
        )
        for note in manifest["unused_ignores"]
    ]
    return sorted(findings, key=lambda f: (f.path, f.line))


def hazard_rules(book: Sequence[type[Rule]], codes: Iterable[str] = ()) -> list[About]:
    """What the codes of hazards mean: every family that the scan tells apart, and those rules of `book` in `codes`."""
    wanted = set(codes)
    found = [_family(code, book) for code in FAMILIES]
    found += [_rule(rule) for rule in book if rule.code in wanted]
    note = About(
        UNUSED_NOTE,
        "a note that keeps nothing off",
        "A '# port: ignore[CODE]' note stands on a line that no rule with this code would change.",
        "warning",
        "Take the note away, or put it on the first line of the statement that is meant.",
    )
    return [*found, note]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('?') else '.'}"


def _waiver(hazard: HazardRecord) -> Waiver | None:
    if hazard["status"] != "waived":
        return None
    return Waiver(hazard["reason"], in_source=_NOTE in hazard["reason"])


def _family(code: str, book: Sequence[type[Rule]]) -> About:
    rules = [rule for rule in book if rule.code.rstrip("0123456789") == code]
    advice = (
        f"No rule of the family {code} knows this shape of code. Rewrite the line upstream, edit it in the port, "
        f"write a rule, or keep it with '{_NOTE}[{code}]' on the line."
    )
    plain = "\n".join(f"{rule.code}: {rule.title}" for rule in rules)
    marked = "\n".join(f"- `{rule.code}` {rule.title}" for rule in rules)
    return About(
        code,
        FAMILIES[code],
        ABOUT[code],
        "error",
        f"{ABOUT[code]}\n\n{advice}\n\nThe rules of this family:\n{plain}",
        f"{ABOUT[code]}\n\n{advice}\n\nThe rules of this family:\n\n{marked}",
        (FAMILIES[code],),
    )


def _rule(rule: type[Rule]) -> About:
    words = documentation(rule)
    return About(rule.code, rule.title, words, "none", f"{words}\n\n{rule.message}.", tags=(family(rule),))


class _Fingerprints:
    """Names for places upstream: the statement there and the function around it, however they move."""

    def __init__(self, upstream: Mapping[str, bytes]) -> None:
        self._upstream = upstream
        self._files: dict[str, tuple[tuple[str, ...], Sequence[tuple[int, int]], Callable[[int], str]]] = {}
        self._seen: Counter[tuple[str, str]] = Counter()

    def __call__(self, code: str, path: str, line: int) -> str:
        """16 hex digits and, as GitHub writes its own, which of several equal ones this is."""
        if path not in self._files:
            lines = lines_of(path, self._upstream[path])
            self._files[path] = (lines, list(_statements(lines)), scopes_of(lines))
        lines, statements, scopes = self._files[path]
        first, last = next((s for s in statements if s[0] <= line <= s[1]), (line, line))
        key = key_of(path, scopes(first - 1), "".join(lines[first - 1 : last]), iter((code,)))
        self._seen[path, key] += 1
        return f"{key}:{self._seen[path, key]}"


def _statements(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First and last line of each statement (of a compound one: its heading), from 1."""
    start = 0
    for token in _tokens("".join(lines)):
        if token.type == tokenize.NEWLINE:
            yield start or token.start[0], token.end[0]
            start = 0
        elif not start and token.type not in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT):
            start = token.start[0]


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    # An older Python may not know the newest syntax; lines stand for themselves then.
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        yield from tokenize.generate_tokens(io.StringIO(text).readline)
