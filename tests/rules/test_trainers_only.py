"""Rules that are for trainers leave the networks' own files alone."""

from __future__ import annotations

import pytest

from porter.codemod import rulebook
from porter.codemod.examples.texts import apply

RULES = {rule.code: rule for rule in rulebook.load().rules}
CODE = {
    "DEV011": "import torch\n\ntorch.set_float32_matmul_precision('high')\n",
    "DEV013": "import torch\n\n\ndef store(x, path):\n    torch.save(x, path)\n",
    "DEV014": "import torch\n\n\ndef store(a, b):\n    torch.save(a, 'a.pth')\n    torch.save(b, 'b.pth')\n",
    "DEV015": "import os\n\n\ndef newest(folder):\n    return sorted(n for n in os.listdir(folder) if n.endswith('.pth'))\n",
}


@pytest.mark.parametrize("code", CODE)
def test_in_a_trainer_it_is_rewritten_and_elsewhere_not(code: str) -> None:
    assert apply(RULES[code], CODE[code], path="train_net.py") != CODE[code]
    assert apply(RULES[code], CODE[code], path="module/example.py") == CODE[code]
