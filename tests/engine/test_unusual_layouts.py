"""The rule book on statements that share a line, and on names that hide others."""

from __future__ import annotations

import pytest

from porter.analysis.project import Project
from porter.codemod.engine import rewrite
from porter.codemod.rulebook import load

BOOK = load().selected()


def ported(text: str) -> str:
    return rewrite(Project.parse({"module/a.py": ("a.py", text)}), BOOK).files["module/a.py"].text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "    y = x * 2; torch.cuda.empty_cache(); z = y + 1\n    return z\n",
            "    y = x * 2; z = y + 1\n    return z\n",
        ),
        (
            "    if x.dim() == 3: torch.cuda.empty_cache()\n    return x\n",
            "    if x.dim() == 3: pass\n    return x\n",
        ),
        (
            "    if x.dim() == 3: x[x > 0] = 0\n    return x\n",
            "    if x.dim() == 3: ops.masked_write_(x, x > 0, 0)\n    return x\n",
        ),
    ],
)
def test_only_the_edited_statement_of_a_line_changes(before: str, after: str) -> None:
    found = ported(f"import torch\n\n\ndef f(x):\n{before}")
    assert found.endswith(f"def f(x):\n{after}")
    assert ported(found) == found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "try: from torch.nn.functional import interpolate, glu, softplus\nexcept ImportError: pass\n",
            "try: from torch.nn.functional import softplus; from .ops import interpolate, glu\nexcept ImportError: pass\n",
        ),
        (
            "from torch.nn.functional import interpolate; up = interpolate\n",
            "from .ops import interpolate; up = interpolate\n",
        ),
        (
            "from torch.nn.functional import glu; from torch.nn.functional import interpolate\n",
            "from .ops import glu; from .ops import interpolate\n",
        ),
    ],
)
def test_imports_are_split_where_they_stand(before: str, after: str) -> None:
    assert ported(before) == after
    assert ported(after) == after


def test_a_name_of_the_file_is_never_taken_for_the_runtime_or_torch() -> None:
    taken = ported("import torch\n\nops = tpu_ops = 1\n\n\ndef f(x):\n    return torch.cdist(x, x) * ops * tpu_ops\n")
    assert "from . import ops as tpu_tpu_ops" in taken
    hidden = (
        "import torch\n\n\ndef f(dev, torch):\n    from torch import LongTensor\n    return LongTensor([1]).to(dev)\n"
    )
    assert ported(hidden) == hidden
