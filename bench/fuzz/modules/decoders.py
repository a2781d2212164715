"""Chains of residual and of gated layers."""

from __future__ import annotations

from functools import partial

from ..kinds import Tensor
from ..writer import Writer
from .defining import define, signal, wrapped


def residual(w: Writer) -> tuple[str, str]:
    """Blocks of residual layers, and a decoder that stretches signals with them."""
    block, name, x = w.top_name("Block"), w.top_name("Decoder"), signal(w)
    slope = w.one_of("0.1", "0.2", "SLOPE").replace("SLOPE", f"{w.prefix}_SLOPE")
    act = w.mostly("{F}.leaky_relu(v, S)", "{F}.leaky_relu(v, negative_slope=S)", "{F}.relu(v)").replace(
        "S)", f"{slope})"
    )
    masked = w.chance(0.4)
    mask_line = "            if x_mask is not None:\n                v = v * x_mask\n" if masked else ""
    total = w.mostly("x = c2(v) + x", "x = x + c2(v)", "x = c2(v) * 0.5 + x", "x += c2(v)", "x = x - c2(v)")
    conv = w.lib("torch.nn.Conv1d")
    norm = w.lib("torch.nn.utils.weight_norm") if w.chance(0.5) else ""
    made = partial(wrapped, norm)
    up = made(
        f"{{nn}}.ConvTranspose1d(8 >> i, 8 >> (i + 1), {w.one_of('4, 2, padding=1', 'k, u, padding=(k - u) // 2', '2 * u, u, padding=u // 2')})"
    )
    define(
        w,
        f"""
{w.prefix}_SLOPE = 0.1


class {block}({{nn}}.Module):
    def __init__(self, width, kernel=3, dilation=(1, 2)):
        super().__init__()
        self.convs1 = {{nn}}.ModuleList([{made(f"{conv}(width, width, kernel, 1, dilation=d, padding=d * (kernel - 1) // 2)")} for d in dilation])
        self.convs2 = {{nn}}.ModuleList([{made(f"{conv}(width, width, kernel, padding=(kernel - 1) // 2)")} for _ in dilation])

    def forward(self, x{", x_mask=None" if masked else ""}):
        for c1, c2 in zip(self.convs1, self.convs2):
            v = x
            v = {act}
{mask_line}            v = c1(v)
            v = {act}
{mask_line}            {total}
        return {"x * x_mask if x_mask is not None else x" if masked and w.chance(0.5) else "x"}


class {name}({{nn}}.Module):
    def __init__(self, rates=(2, 2), kernels=(4, 4)):
        super().__init__()
        self.n = len(rates)
        self.pre = {conv}(4, 8, 7, 1, padding=3)
        self.ups = {{nn}}.ModuleList()
        self.blocks = {{nn}}.ModuleList()
        for i, (u, k) in enumerate(zip(rates, kernels)):
            self.ups.append({up})
            for kernel in (3, 5):
                self.blocks.append({block}(8 >> (i + 1), kernel))
        self.post = {conv}(8 >> self.n, 1, 7, 1, padding=3, bias={w.one_of("False", "True")})

    def forward(self, {x}):
        x = self.pre({x})
        for i in range(self.n):
            x = {w.one_of("{F}.leaky_relu(x, 0.1)", "{F}.leaky_relu(x)", "{F}.relu(x)")}
            x = self.ups[i](x)
            xs = None
            for j in range(2):
                if xs is None:
                    xs = self.blocks[i * 2 + j](x)
                else:
                    xs {w.mostly("= xs + self.blocks[i * 2 + j](x)", "+= self.blocks[i * 2 + j](x)")}
            x = xs / {w.mostly("2", "x.size(0)", "2.0")}
        x = {{F}}.leaky_relu(x)
        return {w.mostly("{t}.tanh(self.post(x))", "self.post(x).tanh()", "{t}.tanh(self.post(x)), x")}
""",
    )
    return name, w.one_of("()", "()", "().eval()")


def gated(w: Writer) -> tuple[str, str]:
    """A chain of gated layers."""
    gate, name, x = w.top_name("gate"), w.top_name("Chain"), signal(w)
    torch = w.style.modules[-1][1]
    told = w.parameter(Tensor("float32", ("B", "3", "1")), "", "g", "cond") if w.chance(0.5) else ""
    script = f"@{torch}.jit.script" if w.chance(0.4) else "# gate"
    mask = w.parameter(Tensor("float32", ("B", "1", "T")), "", "x_mask", "mask")
    conv = w.lib("torch.nn.Conv1d")
    norm = w.one_of("", w.lib("torch.nn.utils.weight_norm"), f"{w.lib('torch.nn.utils')}.parametrizations.weight_norm")
    first = f"{conv}(4, 8, 3, dilation=2**i, padding=2**i)"
    count = w.one_of(
        "{t}.IntTensor([self.width])",
        "{t}.IntTensor([self.width])",
        "{t}.LongTensor([self.width])",
        "{t}.IntTensor([self.width])" if script[0] == "@" else "[self.width]",
    )
    last = w.one_of("output = output + rest", "output = output + rest", "output += rest", "output = output + 2 * rest")
    define(
        w,
        f"""
{script}
def {gate}(a, b, n_channels):
    n = n_channels[0]
    both = a + b
    return {torch}.tanh(both[:, :n, :]) * {torch}.sigmoid(both[:, n:, :])


class {name}({{nn}}.Module):
    def __init__(self, n_layers=3, p={w.one_of("0", "0.0", "0.2")}):
        super().__init__()
        self.width = 4
        self.n_layers = n_layers
        self.ins = {{nn}}.ModuleList()
        self.outs = {{nn}}.ModuleList()
        self.drop = {{nn}}.Dropout(p)
        self.tell = {f"{conv}(3, 8 * n_layers, 1)" if told else "None"}
        for i in range(n_layers):
            self.ins.append({f"{norm}({first})" if norm else first})
            self.outs.append({conv}(4, 8 if i < n_layers - 1 else 4, 1))

    def forward(self, {x}, {mask}{", " + told if told else ""}):
        x = {x}
        output = {{t}}.zeros_like(x)
        count = {count}
        {f"g_all = self.tell({told})" if told else "g_all = None"}
        for i in range(self.n_layers):
            x_in = self.ins[i](x)
            if g_all is not None:
                offset = i * 2 * self.width
                g_l = g_all[:, offset : offset + 2 * self.width, :]
            else:
                g_l = {{t}}.zeros_like(x_in)
            acts = {gate}(x_in, g_l, count)
            acts = self.drop(acts)
            rest = self.outs[i](acts)
            if i < self.n_layers - 1:
                x = (x + rest[:, : self.width, :]) * {mask}
                output = output + rest[:, self.width :, :]
            else:
                {last}
        return output * {mask}{w.one_of("", "", ", x")}
""",
    )
    return name, w.one_of("()", "(2)", "().eval()")
