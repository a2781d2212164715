"""Waivers: each has to be true of the code it is said of."""

from __future__ import annotations

import pytest

from tests.scan.marked import HEAD, reasons, wrong

BUILT = {
    "layers that are built run later": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Unfold(3)  # hazard
        self.fold = nn.Sequential(nn.Linear(4, 4), nn.Fold((4, 4), 3))  # hazard
        self.op = torch.bincount  # hazard
        self.scripted = torch.jit.script(helper)  # hazard
        self.start = torch.histc(torch.zeros(3))  # waived


def helper(x: Tensor):
    return x


POOL = nn.Unfold(3)  # hazard
""",
    "a lambda, a partial and a nested function that are handed on": """
import functools


def told(x):
    return float(torch.relu(x).sum())  # hazard


class Net(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.a = lambda x: torch.nonzero(x)  # hazard
        self.b = functools.partial(told)

        def inner(x):
            return torch.nonzero(x)  # hazard

        def hook(m, i, o):
            return inner(o)

        m.register_forward_hook(hook)

        def at_once(x):
            return torch.relu(x).tolist()  # waived

        self.c = at_once(torch.ones(3))
""",
    "a function that makes functions": """
def maker(n):
    def made(x):
        return torch.nonzero(x)  # hazard

    return made


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.made = maker(3)
""",
    "a local name that is handed on": """
def helper(x):
    return torch.relu(x).tolist()  # hazard


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        f = helper
        self.extract = f
""",
    "a default value": """
def helper(x):
    return torch.relu(x).tolist()  # hazard


class Net(nn.Module):
    def __init__(self, x):
        super().__init__()
        self.steps = helper(x)

    def run(self, x, f=helper):
        return f(x)
""",
    "a class inside a constructor": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()

        class Inner(nn.Module):
            def forward(self, x):
                return torch.nonzero(x)  # hazard

        self.inner = Inner()
""",
    "a class that only constructors construct": """
class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = torch.ones(3).tolist()  # waived

    def forward(self, x):
        return torch.nonzero(x)  # hazard

    def told(self, x: Tensor):
        return x.tolist()  # hazard


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = Gate()
""",
    "an object made for each request": """
class Cache:
    def __init__(self, x: Tensor):
        self.top = x.max().item()  # hazard
        self.first = torch.nonzero(x)  # hazard


class Part(nn.Module):
    def __init__(self, x: Tensor):
        super().__init__()
        self.top = torch.nonzero(x)  # hazard


class Net(nn.Module):
    def forward(self, x: Tensor):
        return Cache(x).top * part(x)


def part(x):
    return Part(x)(x)
""",
    "a plain object of which nobody knows when it is made": """
class Request:
    def __init__(self, x: Tensor):
        self.top = torch.nonzero(x)  # hazard
""",
    "an object that constructors make": """
class Table:
    def __init__(self, n):
        self.rows = torch.linspace(0, 1, n).tolist()  # waived


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = Table(3)
""",
    "a method that only the constructor calls": """
class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.steps = self._steps(n)

    def _steps(self, n):
        return torch.linspace(0, 1, n).tolist()  # waived

    def forward(self, x):
        return self._read(x)

    def _read(self, x):
        return torch.relu(x).tolist()  # hazard
""",
    "parameters that are made anew in a forward": """
class Net(nn.Module):
    def reset_parameters(self):
        return torch.nonzero(self.weight)  # hazard


class Outer(nn.Module):
    def forward(self, x):
        self.net.reset_parameters()
        return x
""",
    "what needs CUDA or a process group works nowhere else": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rank = torch.distributed.get_rank()  # hazard
""",
    "a registered function": """
HANDLERS = []


def register(f):
    HANDLERS.append(f)
    return f


@register
def helper(x):
    return torch.relu(x).tolist()  # hazard


class Net(nn.Module):
    def __init__(self, x):
        super().__init__()
        self.first = helper(x)
""",
}
LOADED = {
    "a loader and what only it calls": """
class Clips(torch.utils.data.Dataset):
    def __getitem__(self, i):
        return cut(torch.load(str(i)))


class More(Clips):
    def __len__(self):
        return int(torch.ones(3).sum())  # waived


def cut(x):
    x = torch.relu(x)
    return x[: int(x.sum())].tolist()  # waived
""",
    "collators": """
def collate(batch):
    return torch.stack(batch).tolist()  # waived


class Joined:
    def __call__(self, samples):
        return torch.stack(samples).tolist()  # waived


def loader(clips):
    return torch.utils.data.DataLoader(clips, collate_fn=collate), torch.utils.data.DataLoader(clips, collate_fn=Joined())
""",
    "a loss is no collator, and a sampler of tokens is none of batches": """
class Loss:
    def __call__(self, batch):
        return torch.nonzero(torch.relu(batch))  # hazard


class Sampler:
    pass


class TopK(Sampler):
    def pick(self, x: Tensor):
        return torch.nonzero(x)  # hazard


class Dataset(nn.Module):
    def forward(self, x):
        return torch.nonzero(x)  # hazard
""",
}
ELSEWHERE = {
    "behind a question for CUDA": """
THERE = torch.cuda.is_available()  # waived
COUNT = torch.cuda.device_count() if THERE else 0  # waived
NAMES = [torch.cuda.get_device_name(i) for i in range(COUNT)]  # waived
forms = ["plain"]
if torch.cuda.is_available():  # waived
    if torch.cuda.get_device_capability(0) > (7, 5):  # waived
        forms.append("fast")


def memory(i):
    return torch.cuda.get_device_properties(i).total_memory  # waived


def free():
    if not torch.cuda.is_available():  # waived
        return 0
    return sum(memory(i) for i in range(torch.cuda.device_count()))  # waived


def capture(x: Tensor, step):
    if x.device.type != "cuda":
        return step(x)
    with torch.cuda.graph(torch.cuda.CUDAGraph()):  # waived
        return step(x)
""",
    "a question for CUDA that says where to compute": """
def place(net, props):
    if not torch.cuda.is_available():  # hazard
        return "cpu"
    return props(torch.cuda.get_device_properties(0))  # waived


def move(net, x: Tensor):
    if torch.cuda.is_available() or x is None:  # hazard
        net.to(torch.cuda.current_device())  # hazard
    return net(x)


def other(x: Tensor):
    if x.device.type == "cuda" or x.ndim > 2:
        torch.cuda.current_stream().wait_stream(x)  # hazard
    return x
""",
    "a tensor that is made and read on the host": """
def pads(shape):
    return torch.tensor(shape).flip(0).reshape(-1).int().tolist()  # waived


def last(x: Tensor, n: int):
    a = torch.arange(n).to(x.device).tolist()  # hazard
    b = torch.arange(n).add(x).tolist()  # hazard
    return a, b, torch.relu(x).tolist()  # hazard
""",
    "another name than __main__": """
if __name__ != "__main__":
    seen = torch.jit.script(len)  # hazard
else:
    print(torch.ones(3).sum())  # waived
""",
    "a method that is called like one of torch.distributed": """
def run(x, codebook):
    if codebook.is_initialized():
        return torch.nonzero(x)  # hazard
    return x
""",
    "copies of one tensor, not of the other": """
from module import utils


def kmeans(x, y):
    return torch.nonzero(y)  # hazard


class Net(nn.Module):
    def forward(self, x: Tensor, y: Tensor):
        return kmeans(utils.to_host(x), y)
""",
    "an evaluation between steps": """
def evaluate(net, loader, log):
    net.eval()
    with torch.no_grad():
        for x, lengths in loader:
            y = torch.relu(net(x))
            log(y[0, : y.sum().item()], float(y.mean()))  # waived
    net.train()


class Net(nn.Module):
    def infer(self, x: Tensor):
        self.eval()
        with torch.no_grad():
            for v in x:
                return v.tolist()  # hazard
""",
}


@pytest.mark.parametrize("name", [*BUILT, *LOADED, *ELSEWHERE])
def test_a_waiver_is_true(name: str) -> None:
    assert wrong(net=HEAD + {**BUILT, **LOADED, **ELSEWHERE}[name]) == []


def test_a_star_import_calls_too() -> None:
    helper = (
        "import torch\n\n\ndef told(x):\n    return torch.relu(x).tolist()  # hazard\n\n\nTABLE = told(torch.ones(3))\n"
    )
    net = HEAD + (
        "from module.helper import *\n\n\nclass Net(nn.Module):\n    def forward(self, x):\n        return told(x)\n"
    )
    assert wrong(helper=helper, net=net) == []


TRAINER = """import torch
from module import models


def main(loader, net, optimizer):
    net.register_forward_hook(seen)
    for epoch in range(3):
        train(loader, net, optimizer)


def seen(module, given, result):
    print(result.mean().item())  # hazard


def train(loader, net, optimizer):
    for step, x in enumerate(loader):
        loss = net(x).mean()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            evaluate(net, loader)
        shown(loss)


def evaluate(net, loader):
    for x, lengths in loader:
        y = torch.relu(net(x))
        print(y[0, : y.sum().item()].tolist())  # waived


def shown(loss):
    print(torch.relu(loss).item())  # hazard


def unused(x):
    return torch.relu(x).tolist()  # waived


if __name__ == "__main__":
    main([], None, None)
"""


def test_between_steps_means_between_steps() -> None:
    assert wrong(models=HEAD, train_net=TRAINER) == []


def test_a_waiver_tells_what_it_rests_on() -> None:
    text = HEAD + LOADED["a loader and what only it calls"]
    told = {reason for _, _, state, reason in reasons(net=text) if state == "waived"}
    assert any("cut is called only at module/tpu/net.py" in reason for reason in told)
