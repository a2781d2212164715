"""Codebooks and other modules whose buffers decide what is done."""

from __future__ import annotations

from ..kinds import ROWS, Plain, Tensor
from ..writer import Writer
from .defining import define, signal


def codebook(w: Writer) -> tuple[str, str]:
    """A codebook that is initialised once, kept by averages, and whose dead codes are replaced."""
    pick, name = w.top_name("pick"), w.top_name("Book")
    rows = w.parameter(Tensor("float32", (*ROWS[:1], "4")), "", "rows", "samples")
    flag = w.one_of("{t}.Tensor([False])", "{t}.tensor([False])", "{t}.Tensor([True])", "{t}.zeros(1)", "{t}.tensor(0)")
    test = w.one_of(
        "if self.inited:",
        "if self.inited:",
        "if not self.inited:",
        "if self.inited.item():",
        "if bool(self.inited):",
        "if self.inited[0]:",
    )
    early = w.one_of("if not {t}.any(expired):", "if not expired.any():", "if expired.sum() == 0:")
    drawn = w.one_of(
        "{t}.randperm(n, device=samples.device)[:num]",
        "{t}.randperm(n, device=samples.device)[:num]",
        "{t}.arange(n, device=samples.device)[:num]",
    )
    replace = w.one_of(
        "        changed = {t}.where(mask[..., None], picked(samples, self.size), self.embed)\n        self.embed.data.copy_(changed)",
        "        changed = {t}.where(mask[..., None], samples[:1], self.embed)\n        self.embed.data.copy_(changed)",
        "        new = picked(samples, mask.sum())\n        self.embed.data[mask] = new",
        "        self.embed.data[mask] = samples.mean(0)",
    ).replace("picked", pick)
    start = (
        [f"        {test}", "            return"]
        if "not" not in test
        else [f"        {test}", "            self.embed.data.copy_(begin)", "        return"]
    )
    init = (
        f"        begin = {pick}(data, self.size)\n"
        if w.chance(0.7)
        else "        begin = data.mean(0, keepdim=True).expand(self.size, -1)\n"
    )
    define(
        w,
        f"""
def {pick}(samples, num):
    n = samples.shape[0]
    if n >= num:
        chosen = {drawn}
    else:
        chosen = {{t}}.randint(0, n, (num,), device=samples.device)
    return samples[chosen]


class {name}({{nn}}.Module):
    def __init__(self, size=5, dim=4):
        super().__init__()
        self.size = size
        self.register_buffer("inited", {flag})
        self.register_buffer("cluster", {w.one_of("{t}.zeros(size)", "{t}.arange(size).float()", "{t}.ones(size) * 3")})
        self.register_buffer("embed", {w.one_of("{t}.zeros(size, dim)", "{t}.arange(size * dim).float().view(size, dim) / 9")})

    {"@{t}.no_grad()" if w.chance(0.2) else "# first batch"}
    def start(self, data):
{chr(10).join(start)}
{init}        self.embed.data.copy_(begin)
        self.inited.data.copy_({w.one_of("{t}.Tensor([True])", "{t}.ones_like(self.inited)", "{t}.tensor([1.0])[0]")})

    def renew(self, samples, mask):
{replace}

    def expire(self, data):
        expired = self.cluster < {w.one_of("2", "1.5", "0")}
        {early}
            return
        data = data.reshape(-1, data.shape[-1])
        {w.one_of("self.renew(data, mask=expired)", "self.renew(data, expired)")}

    def forward(self, {rows}):
        x = {rows}.reshape(-1, 4)
        self.start(x{w.one_of("", ".detach()")})
        dist = {w.one_of("{t}.cdist(x, self.embed)", "-(x.pow(2).sum(1, keepdim=True) - 2 * x @ self.embed.t() + self.embed.pow(2).sum(1))", "(x[:, None] - self.embed[None]).pow(2).sum(-1)")}
        code = dist.{w.one_of("argmin(-1)", "max(dim=-1).indices", "min(-1)[1]")}
        onehot = {{F}}.one_hot(code, self.size).type(x.dtype)
        if self.training:
            {w.one_of("self.expire(x)", "self.expire(x)", "pass")}
            self.cluster.data.mul_(0.9).add_(onehot.sum(0), alpha=0.1)
        return {w.one_of("code, self.embed[code]", "{F}.embedding(code, self.embed)", "code.tolist(), dist.mean()", "self.embed * 1")}
""",
    )
    return name, w.one_of("()", "()", "().eval()", "(3)")


def book(w: Writer) -> tuple[str, str]:
    """A codebook that draws new rows for its dead codes in one function."""
    pick, name = w.top_name("pick"), w.top_name("Codes")
    rows = w.parameter(Tensor("float32", ("B", "4")), "", "rows", "samples")
    drawn = w.mostly(
        "{t}.randperm(n, device=rows.device)[:count]",
        "{t}.randperm(n)[:count]",
        "{t}.arange(n, device=rows.device)[-count:]",
    )
    dead = w.mostly("self.use < 2", "self.use <= self.use.mean()", "~(self.use > 3)", "self.use < -1")
    early = w.mostly("if not {t}.any(dead):", "if not dead.any():", "if dead.sum() == 0:")
    made = w.mostly(
        f"{pick}(rows, dead.sum())",
        f"{pick}(rows, {{t}}.sum(dead))",
        f"{pick}(rows, num)",
        f"{pick}(rows, dead.sum().item())",
    )
    other = w.mostly(
        "{t}.zeros(dead.sum(), 4, device=self.codes.device)",
        "{t}.ones(int(dead.sum()), 4)",
        "rows[:1]",
    )
    define(
        w,
        f"""
def {pick}(rows, count):
    n = rows.shape[0]
    if n >= count:
        chosen = {drawn}
    else:
        chosen = {{t}}.randint(0, n, (count,), device=rows.device)
    return rows[chosen]


class {name}({{nn}}.Module):
    def __init__(self, size=5):
        super().__init__()
        self.register_buffer("use", {{t}}.arange(size).float())
        self.register_buffer("codes", {{t}}.zeros(size, 4))

    def forward(self, {rows}, main={w.one_of("True", "False")}):
        rows = {rows}
        dead = {dead}
        {early}
            return self.codes * 1
        {w.mostly("num = 3", "num = dead.sum()", "num = int(dead.sum())")}
        if main:
            new = {made}
        else:
            new = {other}
        {w.mostly("self.codes.data[dead] = new", "self.codes[dead] = new", "self.codes.data[dead] = new * 2")}
        {w.mostly("self.use += 1", "self.use[dead] = 5", "self.use.data.copy_({t}.where(dead, 9.0, self.use))")}
        return self.codes * 1{w.one_of("", ", num", ", dead")}
""",
    )
    return name, w.one_of("()", "(3)", "().eval()")


def flags(w: Writer) -> tuple[str, str]:
    """Buffers and attributes that are asked for their truth."""
    name, x = w.top_name("Flagged"), signal(w, grad=False)
    kind = w.one_of(
        "register_buffer('ready', {t}.tensor(False))",
        "register_buffer('ready', {t}.zeros(1))",
        "register_buffer(name='ready', tensor={t}.tensor([0]))",
    )
    ready = w.one_of(
        "self.ready",
        "not self.ready",
        "self.ready.item()",
        "bool(self.ready)",
        "self.ready > 0",
        "self.ready and self.training",
        "self.seen > 1",
    )
    setting = w.one_of(
        "self.ready.fill_(1)",
        "self.ready.data.copy_({t}.ones_like(self.ready))",
        "self.ready += 1",
        "self.ready = {t}.ones_like(self.ready)",
    )
    n = w.parameter(Plain("int"), "", "n", "times")
    define(
        w,
        f"""
class {name}({{nn}}.Module):
    def __init__(self):
        super().__init__()
        self.{kind}
        self.register_buffer("running", {{t}}.zeros(4))
        self.seen = 0

    def forward(self, {x}, {n}):
        if {ready}:
            out = {x} + self.running.view(1, 4, 1)
        else:
            out = {x} * {n}
            {setting}
        self.seen += 1
        self.running.mul_(0.9).add_({x}.mean((0, 2)).nan_to_num(), alpha=0.1)
        return out, {w.one_of("self.seen", "self.running.sum().item()", "self.running.tolist()", "self.ready")}
""",
    )
    return name, w.one_of("()", "().eval()")
