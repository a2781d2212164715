"""Which keys of a configuration code reads, and which of them as numbers."""

from __future__ import annotations

import pytest

from porter.analysis.config_keys import ConfigUse, longest
from porter.analysis.project import Project

OTHERS = """class Sampler:
    def __init__(self, data, batch_size, name=None):
        self.batch_size, self.rest = 0, 0
        self.size = batch_size
        self.name = name

    def __len__(self):
        return 100 // self.size

    def __str__(self):
        return "%s" % self.name


class Net:
    def __init__(self, width, depth, kind, rate=None, scale=1, **more):
        assert rate in ["25hz", "50hz"]
        self.half = width // 2
        self.layers = [depth for _ in range(depth)]
        if kind == "1":
            self.kind = kind


def store(params, path):
    return params.dir + path + str(params.epoch)
"""


def uses(lines: str) -> tuple[list[str], set[str]]:
    body = "".join(f"    {line}\n" for line in lines.splitlines())
    text = f"import torch\nfrom others import Net, Sampler, store\n\n\ndef run(hps, loss):\n{body}    loss.backward()\n\n\nrun(None, None)\n"
    sources = {"train.py": ("trainers/train.py", text), "others.py": ("trainers/others.py", OTHERS)}
    project = Project.parse(sources)
    file = project.files["train.py"]
    use = project.fact(ConfigUse)
    return longest(use.keys(file, file.module, "hps", 3)), use.numbers(file, file.module, "hps", 3)


@pytest.mark.parametrize(
    "line",
    [
        "x = hps.a.b // 2", "x = 1 - hps.a.b", "x = hps.a.b + 1", "x = loss * hps.a.b", "x = loss % hps.a.b == 0",
        "x = hps.a.b > 0", "x = 0 == hps.a.b", "x = -hps.a.b", "x = range(hps.a.b)", "torch.manual_seed(hps.a.b)",
        "torch.optim.AdamW([], lr=hps.a.b)", "Sampler(loss, hps.a.b)", "Sampler(loss, batch_size=hps.a.b)",
    ],
)  # fmt: skip
def test_what_is_computed_with_is_a_number(line: str) -> None:
    assert uses(line) == (["a.b"], {"a.b"})


@pytest.mark.parametrize(
    "line",
    [
        "x = '%s/logs' % hps.a.b", "x = hps.a.b + '/logs'", "x = hps.a.b % (1, 2)", "x = f'{hps.a.b}'", "x = int(hps.a.b)",
        "x = hps.a.b == 'v2'", "x = hps.a.b", "x = [1] * 2 + hps.a.b", "torch.load(hps.a.b)", "Sampler(loss, 1, hps.a.b)",
        "x = hps.a.b.replace('-', ',')", "x = '-' * 3 + hps.a.b",
    ],
)  # fmt: skip
def test_a_text_is_none(line: str) -> None:
    assert uses(line) == (["a.b"], set())


def test_what_a_part_is_unpacked_into() -> None:
    assert uses("Net(hps.w // 2, **hps.model)") == (
        ["model.depth", "model.kind", "model.rate", "w"],
        {"w", "model.depth"},
    )
    assert uses("Net(depth=1, **hps.model)") == (["model.kind", "model.rate", "model.width"], {"model.width"})


def test_what_a_function_reads_of_it() -> None:
    assert uses("store(hps.out, 'x')") == (["out.dir", "out.epoch"], set())
