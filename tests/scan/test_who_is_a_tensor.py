"""Who is a tensor: followed through calls, attributes and containers of the project, and told apart from settings."""

from __future__ import annotations

import pytest

from tests.scan.marked import HEAD, reasons, wrong

FOLLOWED = {
    "a forward takes tensors": """
class Net(nn.Module):
    def forward(self, x, lengths):
        return x * int(lengths.max())  # hazard
""",
    "what a forward calls gets them": """
class Net(nn.Module):
    def forward(self, x, lengths):
        return self.cut(x, lengths)

    def cut(self, x, lengths):
        return [shorten(v, n) for v, n in zip(x, lengths)]


def shorten(v, n):
    return v[: int(n)]  # hazard
""",
    "through two functions, by keyword and by star": """
class Net(nn.Module):
    def forward(self, x: Tensor):
        return outer(x, scale=x.mean())


def outer(*args, **options):
    return inner(*args, **options)


def inner(x, scale):
    return x / float(scale)  # hazard
""",
    "what a function returns": """
def level(x):
    return x.abs().mean(), x.size(0)


class Net(nn.Module):
    def forward(self, x: Tensor):
        loud, many = level(x)
        n = int(many)  # clean
        return x / float(loud) * n  # hazard
""",
    "a submodule's result": """
class Gate(nn.Module):
    def forward(self, x):
        return torch.sigmoid(x).mean()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = Gate()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        if self.gate(x) > 0.5:  # hazard
            return x
        return x if self.linear(x).sum() > 0 else -x  # hazard
""",
    "layers of a list": """
class Layer(nn.Module):
    def forward(self, x, count):
        return x[:, : int(count)]  # hazard


class Net(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.layers = nn.ModuleList([Layer() for _ in range(depth)])

    def run(self, x: Tensor, lengths: Tensor):
        for layer in self.layers:
            x = layer(x, lengths.max())
        return x
""",
    "attributes that constructors and methods set": """
class Net(nn.Module):
    def __init__(self, size, rate=0.5):
        super().__init__()
        self.size = size
        self.rate = rate
        self.seen = torch.zeros(size)
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor):
        self.last = x.mean()
        return int(self.size) * float(self.rate) * x  # clean

    def told(self):
        return float(self.last)  # hazard

    def counted(self):
        return self.seen.tolist()  # hazard

    def heaviest(self):
        return max(self.weight)  # hazard
""",
    "fields of a dataclass": """
from dataclasses import dataclass


@dataclass
class Batch:
    x: Tensor
    lengths: "torch.LongTensor"
    name: str
    rate: int = 16000


def run(batch: Batch):
    n = int(batch.rate)  # clean
    return batch.x[: int(batch.lengths[0])], n, str(batch.name)  # hazard


def made(x: Tensor):
    return float(Batch(x, x, "a").x.mean())  # hazard
""",
    "dictionaries and lists of tensors": """
def run(x: Tensor, y: Tensor):
    losses = {"a": x.mean(), "b": y.mean()}
    for name, loss in losses.items():
        print(name, float(loss))  # hazard
    for name in losses:
        print(name.upper(), [1, 2][int(name)])  # clean
    kept = []
    kept.append(x.sum())
    sizes = []
    sizes.append(x.size(0))
    return float(kept[0]), int(sizes[0])  # hazard


def sized(x: Tensor):
    sizes = [x.size(0)]
    sizes.append(x.size(1))
    return int(sizes[-1])  # clean
""",
    "what a module holds": """
def saved(net: nn.Module):
    table = net.state_dict()
    for key in table:
        print(key)  # clean
        table[key] = table[key].cpu()  # hazard
    return [float(p.grad.norm()) for p in net.parameters()]  # hazard
""",
    "annotations of all sorts": """
from __future__ import annotations
from typing import Dict, List, Optional, Union


def a(x: Optional[Tensor] = None):
    return float(x)  # hazard


def b(x: "Tensor"):
    return float(x)  # hazard


def c(xs: List[Tensor]):
    return float(xs[0])  # hazard


def d(xs: Dict[str, torch.Tensor]):
    return [float(v) for v in xs.values()]  # hazard


def e(x: Tensor | None):
    return x.tolist()  # hazard


def f(x: Union[Tensor, float]):
    return float(x)  # hazard


def g(xs: tuple[Tensor, int]):
    return int(xs[1])  # clean


def h(n: Optional[int] = None, names: List[str] = ()):
    return int(n), [int(name) for name in names]  # clean


def i(x: np.ndarray):
    return int(x.max()), x.tolist()  # clean


def j(x: Float[Tensor, "b t"], keep: Bool[Tensor, "b t"]):
    return x[keep]  # hazard
""",
    "what numpy's arrays can do as well": """
class Net(nn.Module):
    def forward(self, x):
        if x.mean() > 0:  # hazard
            return x
        return x * float(x.max())  # hazard


def loud(x):
    return float(x.abs().mean())  # hazard
""",
    "builtins of tensors": """
def run(x: Tensor, y: Tensor):
    loudest = max(abs(x.min()), x.max())  # hazard
    total = sum([x.mean(), y.mean()])
    power = pow(x.mean(), 2)
    return float(total), int(power), float(loudest)  # hazard
""",
    "functions of a function": """
class Net(nn.Module):
    def forward(self, x: Tensor):
        def scaled(v):
            return v / float(v.max())  # hazard

        return scaled(x)
""",
    "objects of another class of the project": """
class Box:
    def __init__(self, value):
        self.value = value

    def loud(self):
        return self.value.max() > 1


class Net(nn.Module):
    def forward(self, x: Tensor):
        box = Box(x)
        if box.loud():  # hazard
            return x
        return float(box.value.mean()) * x  # hazard
""",
    "a mask by what is done with it": """
class Net(nn.Module):
    def forward(self, x, keep):
        y = x.masked_fill(~keep, 0)
        return y[keep]  # hazard


def chosen(x: Tensor):
    return picked(x, x > 0)


def picked(x, where):
    return x[where]  # hazard


def by_name(x: Tensor, pad_mask):
    return x[pad_mask]  # hazard
""",
    "inherited methods": """
class Base(nn.Module):
    def told(self, x):
        return float(x)  # hazard


class Net(Base):
    def forward(self, x: Tensor):
        return self.told(x.mean())
""",
    "nothing is known": """
def unknown(a, b, c):
    first = a.tolist()  # hazard
    second = b.values.numpy()  # hazard
    return first, second, float(c), int(c), c.item(), c.cpu()  # hazard
""",
    "guards keep what callers give": """
class Net(nn.Module):
    def forward(self, x: Tensor):
        return number(x.mean()) * x


def number(x):
    return x.item() if isinstance(x, Tensor) else x  # hazard
""",
}
SETTINGS = {
    "numbers of a constructor": """
class Net(nn.Module):
    def __init__(self, channels, ratio, names):
        super().__init__()
        self.width = int(channels * ratio)  # clean
        self.kept = [int(n) for n in names]  # clean
        self.ratio = ratio

    def forward(self, x):
        return x[:, : int(x.size(1) * self.ratio)]  # clean
""",
    "shapes": """
class Net(nn.Module):
    def forward(self, x):
        b, t = x.shape
        half = int(t / 2)  # clean
        sizes = [int(n) for n in x.size()]  # clean
        return x.view(b, int(half), -1), max(sizes)  # clean
""",
    "configurations": """
def run(hps, x: Tensor):
    return x[:, : int(hps.data.hop_length * 2)], float(hps.train.rate)  # clean


def parsed():
    import argparse
    import json

    args = argparse.ArgumentParser().parse_args()
    with open(args.config) as f:
        table = json.load(f)
    return int(table["size"]), float(args.rate), [int(n) for n in table["sizes"]]  # clean
""",
    "only Python's numbers are given": """
class Net(nn.Module):
    def forward(self, x):
        return x * factor(x.size(1), 0.5)


def factor(n, rate):
    return int(n * rate) + float(rate)  # clean
""",
    "of numpy": """
def table(n: int):
    grid = np.linspace(0, 1, n)
    return grid.tolist(), float(grid.max()), [int(v) for v in grid]  # clean


def read(path):
    data = np.load(path)
    if data.max() > 1:  # clean
        data = data / data.max()
    return data.astype(np.float32).tolist()  # clean
""",
    "guards": """
def number(x):
    return x.item() if isinstance(x, torch.Tensor) else float(x)  # clean


def counted(x):
    return int(x.item()) if torch.is_tensor(x) else int(x)  # clean


def listed(x):
    if isinstance(x, Tensor):
        x = x.tolist()  # clean
    return x


def whole(x):
    if isinstance(x, (int, float)):
        return int(x)  # clean
    return x
""",
    "only called while the file is imported": """
def listed(names):
    return [n + 1 for n in names.tolist()]  # clean


TABLE = listed(torch.arange(3))
""",
    "modes and flags": """
class Net(nn.Module):
    def forward(self, x, mode, infer, layers=None):
        if mode == "train":  # clean
            return x
        if infer:  # clean
            return -x
        return x if layers is None else x * 2  # clean
""",
    "texts": """
def run(x: Tensor, name: str):
    parts = name.split("-")
    return x * int(parts[0]), float(name[1:])  # clean
""",
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_tensor_is_known_wherever_it_comes_from(name: str) -> None:
    assert wrong(net=_with_head(FOLLOWED[name])) == []


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_no_tensor_is_not_listed(name: str) -> None:
    assert wrong(net=_with_head(SETTINGS[name])) == []


def _with_head(text: str) -> str:
    future = "from __future__ import annotations\n"
    return f"{future}{HEAD}{text.replace(future, '')}" if future in text else HEAD + text


def test_values_are_followed_from_file_to_file() -> None:
    helper = HEAD + "def told(v, n):\n    return float(v), int(n)  # hazard\n"
    net = HEAD + (
        "from module import helper\n\n\nclass Net(nn.Module):\n    def forward(self, x: Tensor):\n"
        "        return helper.told(x.mean(), x.size(0))\n"
    )
    assert wrong(helper=helper, net=net) == []
    told = [reason for code, _, _, reason in reasons(helper=helper, net=net) if code == "SYN"]
    assert told == ["float(v) waits for the device"]


def test_a_doubt_says_so() -> None:
    text = HEAD + "def told(v):\n    return v.tolist(), int(v)\n"
    found = [reason for _, _, _, reason in reasons(net=text)]
    assert sum("cannot tell whether v is a tensor" in reason for reason in found) == 2


def test_a_chain_of_a_hundred_calls_is_followed() -> None:
    steps = "".join(f"def f{i}(v):\n    return f{i + 1}(v)\n\n\n" for i in range(100))
    text = f"{HEAD}{steps}def f100(v):\n    return float(v)  # hazard\n\n\ndef run(x: Tensor):\n    return f0(x)\n"
    assert wrong(net=text) == []


def test_functions_that_call_each_other_end() -> None:
    text = HEAD + (
        "def even(x, n):\n    return x if n == 0 else odd(x, n - 1)\n\n\n"
        "def odd(x, n):\n    return -x if n == 0 else even(x, n - 1)\n\n\n"
        "def run(x: Tensor):\n    return float(even(x, 3).sum())  # hazard\n"
    )
    assert wrong(net=text) == []


def test_what_is_handed_back_is_what_each_caller_gave() -> None:
    text = HEAD + (
        "def default(value, other):\n    return value if value is not None else other\n\n\n"
        "def run(x: Tensor, n: int):\n    level = default(x.mean(), 1.0)\n    many = default(n, 4)\n"
        "    steps = int(many)  # clean\n    return float(level) * steps  # hazard\n"
    )
    assert wrong(net=text) == []


def test_numpy_code_is_no_alarm_where_a_file_knows_no_torch() -> None:
    text = (
        "import numpy as np\n\n\ndef loud(wave):\n    frames = wave.reshape(-1, wave.shape[0])\n"
        "    return np.abs(frames[wave > 0]), float(frames.max()), frames.tolist()  # clean\n\n\n"
        "def run(path):\n    return loud(np.load(path))\n"
    )
    assert wrong(net=text) == []


def test_what_isinstance_guards_is_derived_from_no_tensor() -> None:
    text = HEAD + (
        "def width(n, heads: int):\n    size = n.div(heads) if isinstance(n, Tensor) else n // heads\n"
        "    if size * heads != n:  # clean\n        raise ValueError\n    return int(size)  # clean\n"
    )
    assert wrong(net=text) == []
