"""Layers whose results are all kept, and models made of components."""

from __future__ import annotations

from functools import partial

from ..kinds import Tensor
from ..writer import Writer
from .defining import define, signal, wrapped


def critic(w: Writer) -> tuple[str, str]:
    """Layers whose results are all kept, over periods or in groups."""
    name, x = w.top_name("Critic"), w.parameter(Tensor("float32", ("B", "1", "12")), "grad", "x", "wav")
    planes = w.chance(0.5)
    conv = w.lib("torch.nn.Conv2d" if planes else "torch.nn.Conv1d")
    norm = w.one_of("", w.lib("torch.nn.utils.weight_norm"), w.lib("torch.nn.utils.spectral_norm"))
    made = partial(wrapped, norm)
    if planes:
        items = [
            f"{conv}(1, 8, (5, 1), (3, 1), padding=(2, 0))",
            f"{conv}(8, 8, kernel_size=(3, 1), stride=({w.one_of('1', '3')}, 1), padding=(1, 0))",
        ]
        shape = [
            "        b, c, t = x.shape",
            f"        if t % {w.one_of('2', '5')} != 0:",
            "            n_pad = 5 - t % 5",
            f"            x = {{F}}.pad(x, (0, n_pad), {w.one_of(chr(34) + 'reflect' + chr(34), 'mode=' + chr(34) + 'constant' + chr(34))})",
            "            t = t + n_pad",
            f"        x = x[..., : t // 2 * 2].{w.one_of('view', 'reshape')}(b, c, t // 2, 2)",
        ]
    else:
        items = [
            f"{conv}(1, 8, {w.one_of('15, 1, padding=7', '5, padding=2')})",
            f"{conv}(8, 16, 5, 2, groups={w.one_of('4', '2', '1')}, padding=2)",
            f"{conv}(16, 16, 3, 1, 1, 1, 4)",
        ]
        shape = ["        x = x * 1"]
    last = f"{conv}(8, 1, (3, 1), 1, padding=(1, 0))" if planes else f"{conv}(16, 1, 3, 1, padding=1)"
    act = w.one_of(
        "{F}.leaky_relu(x, 0.2)",
        "{F}.leaky_relu(x, 0.1)",
        "{F}.leaky_relu(x)",
        "{t}.relu(x)",
        "{F}.leaky_relu(x, negative_slope=0.1)",
    )
    keep = w.one_of(
        "fmap.append(x)", "fmap.append(x)", "fmap += [x]", "fmap.append(x.detach())", "fmap.append(x.mean().item())"
    )
    layers_text = ",\n                ".join(made(item) for item in items)
    extra = w.one_of("", "", "\n        print(x.shape)", "\n        assert not x.isnan().any()")
    define(
        w,
        f"""
class {name}({{nn}}.Module):
    def __init__(self):
        super().__init__()
        self.convs = {{nn}}.ModuleList(
            [
                {layers_text},
            ]
        )
        self.post = {made(last)}

    def forward(self, {x}):
        x = {x}
        fmap = []
{chr(10).join(shape)}
        for l in self.convs:
            x = l(x)
            x = {act}
            {keep}
        x = self.post(x)
        fmap.append(x){extra}
        x = {w.one_of("{t}.flatten(x, 1, -1)", "x.flatten(1)")}
        return x, fmap
""",
    )
    return name, w.one_of("()", "()", "().eval()")


def composed(w: Writer) -> tuple[str, str]:
    """A model of components, and a list of judges."""
    first, second, name, x = w.top_name("Encoder"), w.top_name("Flow"), w.top_name("Model"), signal(w)
    many = w.chance(0.4)
    middle = w.one_of(
        "m = x.mean().item()",
        "print(x.shape)",
        "if x.isnan().any():\n            raise ValueError('bad')",
        "x = x * 1",
        "m = float(x.sum())",
    )
    inner = (
        f"self.parts = {{nn}}.ModuleList([{first}(), {second}()])"
        if many
        else f"self.enc = {first}()\n        self.flow = {second}({w.one_of('', '2', 'k=3')})"
    )
    run = (
        "        for part in self.parts:\n            x = part(x)\n            seen.append(x)"
        if many
        else f"        x = self.enc({x})\n        seen.append(x)\n        x = self.flow(x{w.one_of('', ', reverse=True', ', True')})"
    )
    define(
        w,
        f"""
class {first}({{nn}}.Module):
    def __init__(self):
        super().__init__()
        self.proj = {{nn}}.Linear(4, 4)

    def forward(self, x):
        return self.proj(x.transpose(1, 2)).transpose(1, 2)


class {second}({{nn}}.Module):
    def __init__(self, k=1):
        super().__init__()
        self.m = {{nn}}.Parameter({{t}}.zeros(4, 1) + k)
        self.logs = {{nn}}.Parameter({{t}}.zeros(4, 1))

    def forward(self, x, reverse=False):
        if not reverse:
            return self.m + {{t}}.exp(self.logs) * x
        return (x - self.m) * {{t}}.exp(-self.logs)


class {name}({{nn}}.Module):
    def __init__(self):
        super().__init__()
        {inner}

    def forward(self, {x}):
        x, seen = {x}, []
{run}
        {middle}
        return {w.one_of("x", "x, seen", "seen")}
""",
    )
    return name, "()"
