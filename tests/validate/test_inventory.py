"""What there is to validate, found in sources alone."""

from __future__ import annotations

from porter.inputs.sources.layout import Arrangement
from porter.validate.inventory import take_inventory

MODELS = """import torch
from torch import nn
from module import parts


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = Layer(width_for(3))

    def forward(self, x):
        return self.layer(x)


class Layer(parts.Base):
    def forward(self, x):
        return _double(x)


class Alias(Layer):
    def __init__(self):
        super().__init__()


def _double(x):
    return x.unsqueeze(0)


def width_for(kernel):
    return kernel // 2


def pairs(left, right):
    return [parts.distance(a, b) for a, b in zip(left, right)]


class Loader(torch.utils.data.Dataset):
    def __getitem__(self, index):
        return torch.load(index)


class Wrapper(nn.parallel.DistributedDataParallel):
    def forward(self, *inputs):
        return self.module(*inputs)
"""
PARTS = """import torch


class Base(torch.nn.Module):
    def forward(self, x):
        return x


def distance(a, b):
    return torch.mean(a - b)
"""
TEXTS = {
    "GPT_SoVITS/module/models.py": ("models.py", MODELS),
    "GPT_SoVITS/module/parts.py": ("parts.py", PARTS),
}


def test_networks_and_functions_of_tensors_are_judged_and_arithmetic_is_not() -> None:
    inventory = take_inventory(TEXTS)
    assert set(inventory.judged) == {
        *("models.py:Net", "models.py:Layer", "models.py:Alias", "models.py:pairs"),
        *("parts.py:Base", "parts.py:distance"),
    }


def test_loaders_and_wrappers_for_process_groups_are_excused_with_a_reason() -> None:
    excused = dict(take_inventory(TEXTS).excused)
    assert "data loader" in excused["models.py:Loader"]
    assert "process groups" in excused["models.py:Wrapper"]


def test_a_class_counts_once_a_method_of_its_own_ran() -> None:
    inventory = take_inventory(TEXTS)
    ran = ["models.py:Net.__init__", "models.py:Layer.forward", "parts.py:distance", "models.py:Alias.__init__"]
    assert set(inventory.missing(ran)) == {"models.py:Net", "models.py:pairs", "parts.py:Base"}
    assert "models.py:Net" not in inventory.missing(["models.py:Net.forward.inner"])


def test_what_nobody_runs_is_told_apart() -> None:
    far = "import torch\n\n\ndef used(x):\n    return torch.abs(x)\n\n\ndef unused(x):\n    return torch.abs(x)\n"
    models = "from AR import far\n\n\ndef f(x):\n    return far.used(x)\n"
    texts = {"GPT_SoVITS/module/models.py": ("models.py", models), "GPT_SoVITS/AR/far.py": ("AR/far.py", far)}
    inventory = take_inventory(texts)
    assert inventory.unreached == ("AR/far.py:unused",)
    assert inventory.left_out(["AR/far.py:used"]) == inventory.unreached
    assert inventory.left_out(["AR/far.py:unused"]) == ()  # some case did run it
    assert "AR/far.py:used" in inventory.judged


def test_files_that_lie_beside_their_trainer_are_judged_as_far_as_it_uses_them() -> None:
    models = "import torch\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x\n"
    train = (
        "import models\nimport utils\n\n\ndef run(loader, optimizer):\n    net = models.Net()\n"
        "    for x in loader:\n        utils.loss(net(x)).backward()\n        optimizer.step()\n    utils.save(net)\n\n\n"
        'if __name__ == "__main__":\n    run([], None)\n'
    )
    utils = "import torch\n\n\ndef loss(x):\n    return torch.mean(x)\n\n\ndef save(net):\n    torch.save(net, 'x')\n"
    texts = {name: (name, text) for name, text in {"models.py": models, "train.py": train, "utils.py": utils}.items()}
    arranged = Arrangement(("",), frozenset({"models.py"}), frozenset({"train.py", "utils.py"}))
    inventory = take_inventory(texts, arranged)
    assert set(inventory.judged) == {"models.py:Net", "utils.py:loss"}
    assert dict(inventory.excused) == {
        "train.py:run": "part of a trainer of this upstream's own, of which no case runs a step",
        "utils.py:save": "save goes with a trainer, and no step over a batch runs it",
    }
