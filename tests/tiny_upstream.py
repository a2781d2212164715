"""A small upstream of the tests' own, and a rule for it: no real source, no real rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from porter.cli import cli

from .json_form import answer_of, check

MODELS = '''"""Networks."""

import torch
from torch import nn
from module import commons
from text import symbols


class TextEncoder(nn.Module):
    """Text in, numbers out."""

    def forward(self, x):
        y = torch.swap_me(x)  # a comment that stays
        return commons.double(y), symbols


class MultiPeriodDiscriminator(nn.Module):
    pass
'''

COMMONS = """import torch


def double(x):
    return torch.swap_me(x) * 2
"""

# A wait for the device that no rule can take away, in line 6.
SYNC = """import torch


class Net(torch.nn.Module):
    def forward(self, x):
        return x.sum().item()
"""

UPSTREAM: Mapping[str, str] = {
    "LICENSE": "Tiny License\n\nDo as you like.\n",
    "GPT_SoVITS/module/__init__.py": "",
    "GPT_SoVITS/module/models.py": MODELS,
    "GPT_SoVITS/module/commons.py": COMMONS,
    "GPT_SoVITS/module/models_onnx.py": "import torch\n",
    "GPT_SoVITS/text/__init__.py": "symbols = ['a']\n",
}

RULE = '''"""Swap."""

import libcst as cst

from porter.rule import Example, Rule, Safety


class Swap(Rule):
    """Swap one function for another.

    The first is a name that no library has.
    """

    code = "SYN900"
    title = "swap me"
    safety = Safety.EXACT
    message = "it was there to be swapped"
    examples = (
        Example(
            before="import torch\\n\\ntorch.swap_me(1)\\n",
            after="import torch\\n\\ntorch.swapped(1)\\n",
        ),
    )
    untouched = ("swap_me(1)\\n",)

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) == "torch.swap_me":
            self.replace(node, node.with_changes(func=cst.parse_expression("torch.swapped")))
'''


def write_tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def tiny(root: Path, changes: Mapping[str, str | bytes | None] | None = None) -> Path:
    """The small upstream below `root`, with some files changed, added or (None) left out."""
    files: dict[str, str | bytes | None] = {**UPSTREAM, **(changes or {})}
    return write_tree(root, {name: text for name, text in files.items() if text is not None})


def own_rules(root: Path) -> Path:
    """A folder with the one rule."""
    return write_tree(root, {"swap.py": RULE})


def run(*arguments: str | Path) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def run_json(*arguments: str | Path, status: int = 0) -> dict[str, Any]:
    """Run a command with --json; its answer, which has the documented form."""
    result = run(*arguments, "--json")
    assert result.exit_code == status, result.stderr or repr(result.exception)
    told = json.loads(result.stdout)
    assert isinstance(told, dict)
    check(answer_of([str(a) for a in arguments]), told)
    return told


def snapshot_of(root: Path) -> dict[str, bytes]:
    """Every file below `root`."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
