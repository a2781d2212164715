"""A few layers with a forward of all kinds of statements; recurrent ones; parameters in plain objects."""

from __future__ import annotations

from ..kinds import SIGNAL, Tensor
from ..statements import body
from ..writer import Writer
from .defining import define, signal


def _statements(w: Writer, count: int) -> list[str]:
    """Lines of a method with statements of the grammar, and what it returns."""
    w.depth, w.in_method = 2, True
    body(w, count)
    w.line(f"return {w.results()}")
    lines, w.lines = w.lines, []
    return lines


def layers(w: Writer) -> tuple[str, str]:
    """A few layers, buffers and numbers, and a forward of all kinds of statements."""
    name, x = w.top_name("Net"), signal(w)
    conv = w.lib("torch.nn.Conv1d")
    norm = w.one_of(
        "torch.nn.utils.weight_norm",
        "torch.nn.utils.weight_norm",
        "torch.nn.utils.parametrizations.weight_norm",
        "torch.nn.utils.spectral_norm",
        "torch.nn.utils.parametrizations.spectral_norm",
        "",
    )
    made = f"{conv}(4, 4, {w.one_of('3, padding=1', 'kernel_size=3, stride=1, padding=1', '1', '5, 1, 2, bias=False', '3, padding=1, groups=2', '3, 1, 1, 1, 4')})"
    if norm:
        made = f"{w.lib(norm)}({made}{w.one_of('', ', name=' + chr(34) + 'weight' + chr(34), ', dim=0' if 'weight' in norm else '')})"
    nn = w.lib("torch.nn")
    drop, act = w.one_of("0.0", "0.3", "p=0.1"), w.one_of("ReLU()", "LeakyReLU(0.1)", "GELU()", "GLU(dim=1)", "Tanh()")
    act_fits = "GLU" not in act
    start = [
        f"class {name}({nn}.Module):",
        "    def __init__(self, width=4):",
        "        super().__init__()",
        f"        self.pre = {made}",
        f"        self.act = {nn}.{act}",
        f"        self.drop = {nn}.Dropout({drop})",
        f"        self.lin = {nn}.Linear(width, {w.one_of('width', '4')})",
        f'        self.register_buffer("scale_of", {w.torch}.{w.one_of("ones(1)", "tensor(2.0)", "arange(4).float().view(1, 4, 1)")})',
        "        self.last = 0.0",
        "        self.calls = 0",
    ]
    forward = ["    def forward(self, {signature}):"]
    h = w.fresh("h", "hidden")
    w.depth = 2
    w.line(f"{h} = self.pre({x})" + w.one_of("", " * self.scale_of", f" + {x}"))
    if act_fits:
        w.line(f"{h} = self.act({h})")
    w.line(f"{h} = self.drop({h})")
    if w.chance(0.5):
        w.line(f"{h} = self.lin({h}.transpose(1, 2)).transpose(1, 2)")
    w.env[h] = Tensor("float32", SIGNAL)
    if w.chance(0.4):
        w.line(
            w.one_of(
                f"self.last = {h}.mean().item()",
                f"self.last = float({h}.abs().max())",
                "self.calls += 1",
                f"self.last = {h}.detach().mean()",
                f"self.scale_of.data.copy_({h}.mean().detach() * {w.torch}.ones_like(self.scale_of))",
                "self.scale_of += 1",
                f"if {h}.isnan().any(): raise ValueError('bad')",
            )
        )
    lines = w.lines
    w.lines = []
    lines = lines + _statements(w, w.rng.randint(0, 2))
    signature = ", ".join(p.name for p in w.parameters)
    w.before += [*start, "", *[f.replace("{signature}", signature) for f in forward], *lines, "", ""]
    if w.chance(0.2):
        w.before[-2:] = [
            "",
            "    def remove(self):",
            f"        {w.lib('torch.nn.utils.remove_weight_norm')}(self.pre)",
            "",
            "",
        ]
    return name, w.one_of("()", "()", "().eval()")


def recurrent(w: Writer) -> tuple[str, str]:
    """An LSTM."""
    name, x = w.top_name("Memory"), signal(w)
    lstm = w.lib("torch.nn.LSTM")
    sizes = w.one_of("4, 5", "input_size=4, hidden_size=3", "4, 4, 2", "4, hidden_size=3, num_layers=2")
    options = w.one_of(
        "batch_first=True",
        "batch_first=True, bidirectional=True",
        "bidirectional=True",
        "bias=False, batch_first=True",
        "batch_first=True, dropout=0.0",
        "",
    )
    call = w.one_of("self.lstm(x)", "self.lstm(x)", "self.lstm(input=x)", "self.lstm(x, None)")
    result = w.one_of("out", "out, hidden[0]", "hidden[0][-1]", "hidden[1].sum(), out.mean()", "out[:, -1]")
    shaped = f"{x}.transpose(1, 2)" if "batch_first=True" in options else f"{x}.permute(2, 0, 1)"
    define(
        w,
        f"""
class {name}({{nn}}.Module):
    def __init__(self):
        super().__init__()
        self.lstm = {lstm}({sizes}{", " + options if options else ""})
        {w.one_of("self.lstm.flatten_parameters()", "pass", "self.n = 1")}

    def forward(self, {x}):
        x = {shaped}
        out, hidden = {call}
        return {result}
""",
    )
    return name, w.one_of("()", "().eval()")


def held(w: Writer) -> tuple[str, str]:
    """Parameters in plain objects, lists and dictionaries."""
    plain, name, x = w.top_name("Held"), w.top_name("Holder"), signal(w)
    kept = w.one_of(
        f"{plain}(self.lin.weight)",
        "[self.lin.weight]",
        '{"w": self.lin.weight}',
        "self.lin.weight.detach()",
        "(self.lin.weight, self.lin.bias)",
    )
    used = {
        f"{plain}(": "self.held(x)",
        "[": "x @ self.held[0].t()",
        "{": 'x @ self.held["w"].t()',
        "s": "x @ self.held.t()",
        "(": "x @ self.held[0].t() + self.held[1]",
    }
    use = next(text for start, text in used.items() if kept.startswith(start))
    define(
        w,
        f"""
class {plain}:
    def __init__(self, weight):
        self.weight = weight
        self.n = weight.size(0)

    def __call__(self, x):
        return {{F}}.linear(x, self.weight) * {w.one_of("1", "self.n", "self.weight.sum()")}


class {name}({{nn}}.Module):
    def __init__(self):
        super().__init__()
        self.lin = {{nn}}.Linear(4, 4)
        self.held = {kept}

    def forward(self, {x}):
        x = {x}.transpose(1, 2)
        y = {use}
        {w.one_of("self.lin.weight.data.mul_(0.5)", "pass", "y = y + self.lin(x)")}
        return y
""",
    )
    return name, "()"
