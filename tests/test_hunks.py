"""Hunks: every difference is told by an edit, every edit is in a hunk, and a hunk's key is its code alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter.changes.hunks import Hunk, hunks_of, plain_code, scopes_of, sides_of
from porter.errors import PortError
from porter.generate import Settings, generate
from porter.inputs.upstream import open_upstream
from porter.package.base import Base, pack, read_base, unpack
from porter.package.manifest import read
from porter.package.store import Place

SOURCE = """import torch


class Model:
    def noise(self, x):
        return torch.randn(3, 4).to(x.device) + x

    def again(self, x):
        y = torch.randn(3, 4).to(x.device) + x
        return y, torch.randn(3, 4).to(x.device)
"""


def ported(folder: Path, source: str) -> tuple[list[Hunk], Path]:
    """Hunks of a package made from one file, and where it is."""
    module = folder / "upstream" / "module"
    module.mkdir(parents=True, exist_ok=True)
    (module / "__init__.py").touch()
    (module / "models.py").write_text(source)
    out = folder / "out"
    generate(open_upstream(str(folder / "upstream")), Place(out), Settings())
    manifest = read(out)
    assert manifest is not None
    return hunks_of(manifest, read_base(out, manifest)), out


def test_hunks_turn_upstream_into_the_package(tmp_path: Path) -> None:
    hunks, out = ported(tmp_path, SOURCE)
    manifest = read(out)
    assert manifest is not None
    (sides,) = (s for s in sides_of(manifest, read_base(out, manifest)) if s.target == "models.py")
    first, last = sides.header
    lines, text = list(sides.old), [*sides.new[:first], *sides.new[last:]]
    for hunk in sorted(hunks, key=lambda h: h.line, reverse=True):
        assert tuple(lines[hunk.line - 1 : hunk.line - 1 + len(hunk.old)]) == hunk.old
        assert sides.new[hunk.target_line - 1 : hunk.target_line - 1 + len(hunk.new)] == hunk.new
        lines[hunk.line - 1 : hunk.line - 1 + len(hunk.old)] = hunk.new
    assert lines == text
    told = [edit for hunk in hunks for edit in hunk.edits]
    assert len(told) == len(manifest["edits"])


def test_the_line_end_that_a_header_needs_is_no_difference(tmp_path: Path) -> None:
    (tmp_path / "upstream" / "module").mkdir(parents=True)
    (tmp_path / "upstream" / "module" / "commons.py").write_text("#!/usr/bin/env python\n# coding: utf-8")
    hunks, out = ported(tmp_path, "import torch\n")
    assert hunks == []
    assert (out / "module/tpu/commons.py").read_text().startswith("#!/usr/bin/env python\n# coding: utf-8\n# Generated")


def test_hunks_know_the_function_around_them(tmp_path: Path) -> None:
    hunks, _ = ported(tmp_path, SOURCE)
    assert {hunk.scope for hunk in hunks if "RNG" in "".join(hunk.rules)} == {"Model.noise", "Model.again"}


def test_a_key_is_the_same_after_code_moved_and_was_laid_out_anew(tmp_path: Path) -> None:
    moved = SOURCE.replace("import torch\n", "import math\nimport torch\n\nHALF = 0.5\n").replace(
        "torch.randn(3, 4).to(x.device) + x\n\n", "torch.randn(\n            3, 4,\n        ).to(x.device) + x\n\n"
    )
    (tmp_path / "moved").mkdir()
    before, _ = ported(tmp_path, SOURCE)
    after, _ = ported(tmp_path / "moved", moved)
    assert {h.key for h in before if h.scope} == {h.key for h in after if h.scope}


def test_keys_of_equal_code_in_one_function_differ(tmp_path: Path) -> None:
    twice = SOURCE.replace("return y, torch", "y = torch.randn(3, 4).to(x.device) + x\n        return y, torch")
    hunks, _ = ported(tmp_path, twice)
    assert len({hunk.key for hunk in hunks}) == len(hunks)


def test_plain_code_is_blind_to_layout_alone() -> None:
    assert plain_code("f(\n    'a',\n    b,\n)") == plain_code('f("a", b)')
    assert plain_code("f(a)") != plain_code("f(b)")


def test_scopes_end_where_indentation_does() -> None:
    lines = ["class A:\n", "    def f(\n", "        self,\n", "    ):\n", "        pass\n", "\n", "x = 1\n"]
    scopes = scopes_of(lines)
    assert [scopes(line) for line in (0, 1, 4, 6)] == ["A", "A.f", "A.f", ""]


def test_a_base_is_what_was_packed() -> None:
    base = Base({"module/a.py": b"1\n"}, {"module/tpu/a.py": b"2\n", "module/__init__.py": b""})
    assert unpack(pack(base)) == base
    assert pack(base) == pack(unpack(pack(base)))


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all"])
def test_a_damaged_base_is_named(tmp_path: Path, content: bytes) -> None:
    _, out = ported(tmp_path, SOURCE)
    manifest = read(out)
    assert manifest is not None
    (out / "port.base").write_bytes(content)
    with pytest.raises(PortError, match=r"port\.base"):
        read_base(out, manifest)
