"""The ways a file imports torch, and by which name it then calls what."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

_COMMON = "import json\nimport math\nimport warnings\n\nimport numpy as np\n"


@dataclass(frozen=True, slots=True)
class Style:
    """Import lines, and the names under which modules and functions are reached, best first."""

    name: str
    imports: str
    modules: tuple[tuple[str, str], ...]  # a module's full name, and what this file calls it
    functions: tuple[tuple[str, str], ...] = ()

    @property
    def header(self) -> str:
        """All import lines."""
        return _COMMON + self.imports

    def name_of(self, full: str, rng: Random) -> str:
        """One of the spellings of a library name in this file."""
        found = [short for name, short in self.functions if name == full]
        if found and rng.random() < 0.8:
            return rng.choice(found)
        spellings = [
            alias + full.removeprefix(module)
            for module, alias in self.modules
            if full == module or full.startswith(f"{module}.")
        ]
        return spellings[0] if rng.random() < 0.7 else rng.choice(spellings)


_F, _NN = "torch.nn.functional", "torch.nn"
STYLES = (
    Style(
        "usual",
        "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n",
        ((_F, "F"), (_NN, "nn"), ("torch", "torch")),
    ),
    Style(
        "short",
        "import torch as t\nimport torch.nn as nn\nimport torch.nn.functional as fn\n",
        ((_F, "fn"), (_NN, "nn"), ("torch", "t")),
    ),
    Style(
        "named",
        "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
        "from torch.nn import Conv1d, Conv2d, LSTM as Memory\nfrom torch.nn.functional import interpolate as up, glu\n"
        "from torch.nn.utils import weight_norm, remove_weight_norm, spectral_norm\n"
        "from torch import zeros, arange as steps_of, where\n",
        ((_F, "F"), (_NN, "nn"), ("torch", "torch")),
        (
            ("torch.nn.Conv1d", "Conv1d"),
            ("torch.nn.Conv2d", "Conv2d"),
            ("torch.nn.LSTM", "Memory"),
            ("torch.nn.functional.interpolate", "up"),
            ("torch.nn.functional.glu", "glu"),
            ("torch.nn.utils.weight_norm", "weight_norm"),
            ("torch.nn.utils.remove_weight_norm", "remove_weight_norm"),
            ("torch.nn.utils.spectral_norm", "spectral_norm"),
            ("torch.zeros", "zeros"),
            ("torch.arange", "steps_of"),
            ("torch.where", "where"),
        ),
    ),
    Style("whole", "import torch\nimport torch.nn\n", (("torch", "torch"),)),
    Style(
        "both",
        "from torch import nn, Tensor\nimport torch, torch as th\nimport torch.nn.functional as F\n"
        "import torch.distributed as dist\nfrom torch.utils.checkpoint import checkpoint\n"
        "from torch.cuda.amp import autocast\n",
        (
            (_F, "F"),
            (_F, "nn.functional"),
            (_NN, "nn"),
            ("torch.distributed", "dist"),
            ("torch", "torch"),
            ("torch", "th"),
        ),
        (("torch.utils.checkpoint.checkpoint", "checkpoint"), ("torch.cuda.amp.autocast", "autocast")),
    ),
)
