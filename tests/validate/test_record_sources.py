"""Recording an upstream whose main folder is not the one that is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="needs torch (the extra xla)")
pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

from porter.cli import cli
from tests.tiny_upstream import write_tree

NET = """import torch
from torch import nn


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return torch.relu(self.layer(x))
"""


@pytest.mark.parametrize("configured", [False, True])
def test_the_folder_that_is_asked_for_is_recorded(
    configured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path / "tree", {"old/module/models.py": NET, "new/module/models.py": NET + "\n# newer\n"})
    monkeypatch.chdir(tmp_path)
    given = ["tree", "--out", "it.recording", "--device", "cpu", "--preset", "tiny", "--steps", "0"]
    if configured:
        Path("sovits-port.toml").write_text('sources = ["new/module"]\n')
    else:
        given += ["--sources", "new/module"]
    done = CliRunner().invoke(cli, ["record", *given, "--case", "generator.plain"])
    assert done.exit_code in (0, 1), done.stderr
    from porter.validate.recording import Recording

    with Recording(Path("it.recording")) as recording:
        assert set(recording.header.sources) == {"new/module/models.py"}
