"""Sources whose lines say what the scan has to find: `# hazard`, `# waived`, and `# clean` for what it must not list."""

from __future__ import annotations

from porter.analysis.project import Project
from porter.codemod.engine import rewrite
from porter.codemod.rulebook import load
from porter.hazards.account import account
from porter.hazards.hazard import Hazard

BOOK = load().selected()
HEAD = (
    "import math\nimport operator\nimport random\n\nimport numpy as np\nimport torch\nfrom torch import Tensor, nn\n"
    "from torch.nn import functional as F\n\n\n"
)


def account_of(**files: str) -> tuple[Hazard, ...]:
    """The hazards of files of the folder `module`, by name; a name with `__` is a file beside the folder."""
    sources: dict[str, tuple[str, str]] = {}
    for name, text in files.items():
        if name.startswith("train_"):
            sources[f"{name}.py"] = (f"trainers/{name}.py", text)
        else:
            sources[f"module/{name}.py"] = (f"{name}.py", text)
    return account(rewrite(Project.parse(sources), BOOK))


def wrong(**files: str) -> list[str]:
    """The marked lines of which the scan says something else."""
    found = account_of(**files)
    told: list[str] = []
    for name, text in files.items():
        path = f"{name}.py" if name.startswith("train_") else f"module/{name}.py"
        for number, line in enumerate(text.splitlines(), 1):
            states = {h.status.value for h in found if h.file == path and h.line == number}
            for mark, right in (
                ("# hazard", bool(states & {"fixed", "residual"})),
                ("# waived", states == {"waived"}),
                ("# clean", not states),
            ):
                if line.endswith(mark) and not right:
                    reasons = [h.reason for h in found if h.file == path and h.line == number]
                    told.append(f"{path}:{number}: {line.strip()} {sorted(states)} {reasons}")
    return told


def reasons(**files: str) -> list[tuple[str, int, str, str]]:
    """Code, line, state and reason of every find of the first file."""
    path = f"module/{next(iter(files))}.py"
    return [(h.code, h.line, h.status.value, h.reason) for h in account_of(**files) if h.file == path]
