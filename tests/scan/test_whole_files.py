"""Whole files in the style of such models, with what the scan has to say of each line."""

from __future__ import annotations

import pytest

from tests.scan.marked import HEAD, wrong

FILES = {
    "a module with all sorts of attributes": """
import logging
import random
import statistics
from typing import NamedTuple

STEP = 0


class Out(NamedTuple):
    x: Tensor
    n: int


class Net(nn.Module):
    scale: float = 2.0

    def __init__(self, size):
        super().__init__()
        self.register_buffer("keep", torch.ones(size, dtype=torch.bool))
        self.register_buffer("table", torch.zeros(size))
        self.register_parameter("gain", nn.Parameter(torch.ones(1)))
        self.ws = nn.ParameterList([nn.Parameter(torch.ones(1)) for _ in range(size)])
        self.loss = nn.MSELoss()
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.f = lambda x: float(x.mean())  # hazard
        setattr(self, "extra", torch.zeros(3))

    @property
    def factor(self):
        return self.log_scale.exp()

    def a(self, x: Tensor, y: Tensor):
        return float(self.table[0])  # hazard

    def b(self, x: Tensor):
        return float(self.gain) * x  # hazard

    def c(self, x: Tensor):
        return [float(w) for w in self.ws]  # hazard

    def d(self, x: Tensor, y: Tensor):
        if self.loss(x, y) > 1:  # hazard
            return x
        criterion = nn.L1Loss()
        return y if criterion(x, y) > 1 else x  # hazard

    def e(self, x: Tensor):
        return x * float(self.factor)  # hazard

    def f2(self, x: Tensor):
        return x[..., self.keep.bool()]  # hazard

    def g(self, x: Tensor):
        if (n := x.sum()) > 0:  # hazard
            return n
        return x.max(dim=1).values.tolist()  # hazard

    def h(self, x: Tensor):
        top, at = x.max(1)
        return int(at[0]), x.max(1)[0].item()  # hazard

    def i(self, x: Tensor):
        for n, v in enumerate(x):
            if v.sum() > n:  # hazard
                return n

    def j(self, x: Tensor):
        done = x > 0
        while not done.all():  # hazard
            done = done | (x > 1)
        return done

    def k(self, x: Tensor):
        return list(map(torch.Tensor.item, x))  # hazard

    def l(self, x: Tensor):
        return statistics.mean(x)  # hazard

    def m(self, x: Tensor):
        logging.info("loss %s", x.mean())  # hazard

    def n(self, x: Tensor):
        out = Out(x=x.mean(), n=3)
        k = int(out.n)  # clean
        return float(out.x) + k  # hazard

    def o(self, x: Tensor):
        global STEP
        STEP += 1
        self.table[STEP] = x.mean()  # hazard

    def p(self, x: Tensor):
        return int(x.numel()) + int(x.stride(0)) + int(x.shape.numel()) + x.element_size()  # clean

    def q(self, x: Tensor, y: Tensor):
        assert x.shape == y.shape and x.size(0) == len(y)  # clean
        return str(x.dtype).split(".")[-1], max(x.shape), min(len(x), 3)  # clean

    def r(self, x: Tensor):
        return float(self.extra.sum()) * self.scale  # hazard

    def s(self, x: Tensor, names: list):
        return names[x.argmax().item()]  # hazard

    def t(self, x: Tensor):
        return float(F.mse_loss(x, x))  # hazard

    def u(self, x: Tensor):
        return x * math.pi + float(self.scale)  # clean

    def v(self, x: Tensor):
        x = x.masked_fill_(x > 0, 0)  # clean
        return random.choice(x)  # hazard


class Star(nn.Module):
    def forward(self, *xs, **options):
        if options["mask"].any():  # hazard
            return xs
        return [x for x in xs if x > 0]  # hazard


class Noted(nn.Module):
    def run(self, *xs: Tensor, **named: Tensor):
        return max(xs), {k: float(v) for k, v in named.items()}  # hazard


class Child(Net):
    def forward(self, x):
        y = super().e(x)
        return y.sum().item()  # hazard
""",
    "a generator, and a decoder that grows": """
class Net(nn.Module):
    def stream(self, x: Tensor):
        for v in x:
            yield v.mean()

    def run(self, x: Tensor):
        for v in self.stream(x):
            print(float(v))  # hazard

    @torch.no_grad()
    def decode(self, tokens, steps: int = 10):
        out = tokens.unsqueeze(0)
        for i in range(steps):
            logits = self.step(out, i)
            nxt = torch.argmax(logits, dim=-1)
            out = torch.cat([out, nxt[None]], dim=1)  # hazard
            if nxt == 3:  # hazard
                break
        return out

    def step(self, x, i):
        return self.pos[:, i] + x.float()  # hazard

    def __init__(self, n):
        super().__init__()
        self.pos = nn.Parameter(torch.zeros(1, n))
""",
    "helpers of a trainer and of a model": """
@torch.no_grad()
def update(ema, new, decay: float):
    for name, p in new.named_parameters():
        if p.grad is None:  # clean
            continue
        ema[name].mul_(decay).add_(p, alpha=1 - decay)  # clean
    norm = torch.nn.utils.clip_grad_norm_(new.parameters(), 1.0)
    return float(norm)  # hazard


def scaled(x: Tensor, size: "int | None" = None, mode: str = "linear"):
    size = x.shape[-1] if size is None else int(size)  # clean
    if mode in ("linear", "nearest"):  # clean
        return F.avg_pool1d(x, size)  # clean
    return x.new_zeros(x.shape[0], size)  # clean


def windows(x: Tensor, width: int, hop: int):
    n = (x.size(-1) - width) // hop + 1
    return torch.stack([x[..., i * hop : i * hop + width] for i in range(n)])  # clean


def losses(outs: list[Tensor], fakes: list[Tensor]):
    total = 0
    for a, b in zip(outs, fakes):
        total = total + torch.mean((1 - a) ** 2) + b.mean()  # clean
    return total, [float(a.mean()) for a in outs]  # hazard
""",
    "constructors, hooks and samplers": """
import functools
import os


class Gen(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.pool = {"a": nn.Unfold(3)}["a"]  # hazard
        self.act = getattr(torch, "relu")
        self.norms = nn.ModuleList()
        for i in range(cfg.layers):
            self.norms.append(nn.LayerNorm(4))
        self.starts = [float(v) for v in torch.linspace(0, 1, cfg.layers)]  # waived
        self.apply(self._init_weights)
        self.register_forward_hook(self.seen)

    def _init_weights(self, m):
        if isinstance(m, nn.Linear):
            m.weight.data.normal_(0, 0.02)

    def seen(self, module, given, result: Tensor):
        self.peak = result.max().item()  # hazard

    @functools.lru_cache(maxsize=None)
    def table(self, n: int):
        return torch.relu(torch.arange(n)).tolist()  # hazard

    @classmethod
    def load(cls, path):
        net = cls(path)
        net.scale = float(torch.load(path)["scale"])  # clean
        return net

    def forward(self, x, lengths=None, lang: str = "en", speed: float = 1.0):
        if lang == "en" and speed > 1.0:  # clean
            x = x / speed
        if lengths is not None:  # clean
            x = x[:, : lengths.max()]  # hazard
        for norm in self.norms:
            x = norm(x)
        steps = int(x.shape[1] / speed)  # clean
        return x[:, :steps], os.environ.get("X")  # clean


class Sampler:
    def __init__(self, probs: Tensor):
        self.top = probs.argmax().item()  # hazard

    def draw(self):
        return self.top


def generate(net, x: Tensor):
    return Sampler(net(x)).draw()
""",
    "sizes, lists and settings of functions": """
def f0(x):
    x = torch.as_tensor(x)
    n = 0 if x is None else x.shape[0]
    k = min(n, 5)  # clean
    return x[:k], max(1, k), sum(range(k))  # clean


def f1(x: Tensor, top_k: int, top_p: float, temperature: float = 1.0):
    x = x / max(temperature, 1e-5)  # clean
    if top_k > 0:  # clean
        v, _ = torch.topk(x, min(top_k, x.size(-1)))  # clean
        x = torch.where(x < v[..., -1:], torch.full_like(x, -1e4), x)  # clean
    if top_p is not None and top_p < 1.0:  # clean
        x = x * top_p
    return x


def f2(a: Tensor, b: Tensor):
    if a.shape[-1] != b.shape[-1] or a.ndim > b.ndim or a.dtype != b.dtype:  # clean
        raise ValueError(f"{a.shape} {b.sum()}")  # clean
    loss = F.l1_loss(a, b)
    return {"loss": loss, "n": a.numel(), "ok": bool(loss < 1)}  # hazard


def f3(xs: list, y: Tensor):
    lens = [len(x) for x in xs]
    widest = max(lens)  # clean
    out = y.new_zeros(len(xs), widest)  # clean
    for i, x in enumerate(xs):
        out[i, : lens[i]] = 1  # clean
    return out


def f4(x: Tensor, lens: "list[int]"):
    return torch.split(x, lens, dim=0), [x[:n] for n in lens], sorted(lens)[0]  # clean


def f5(x: Tensor):
    lens = x.sum(1).tolist()  # hazard
    return torch.split(x, lens), [int(n) for n in lens]


def f6(x: Tensor, cond=None):
    cond = cond or {}
    scale = cond.get("scale", 1.0)
    return x * float(scale)  # hazard


def f7(x: Tensor):
    idx = x.argmax(-1)
    table = ["a", "b"]
    return [table[i] for i in idx]  # hazard


def f8(x: Tensor, eps=1e-5, dims=(1, 2)):
    assert len(dims) == 2 and eps > 0  # clean
    return x.mean(dims, keepdim=True).clamp(min=eps)  # clean


def f9(x: Tensor, names: tuple[str, ...], sizes: dict[str, int]):
    total = sum(sizes[n] for n in names)  # clean
    return x[..., :total].split([sizes[n] for n in names], -1)  # clean
""",
}


@pytest.mark.parametrize("name", FILES)
def test_each_line_is_told_as_it_is(name: str) -> None:
    assert wrong(net=HEAD + FILES[name]) == []
