"""An attention with relative positions, and two convolutions behind it."""

from __future__ import annotations

from ..kinds import Tensor
from ..writer import Writer
from .defining import define, signal


def attending(w: Writer) -> tuple[str, str]:
    """An attention with relative positions, and two convolutions behind it."""
    name, x = w.top_name("Attention"), signal(w)
    mask = w.parameter(Tensor("float32", ("B", "1", "T")), "", "x_mask", "mask")
    conv = w.lib("torch.nn.Conv1d")
    fill = w.one_of("-1e4", "float('-inf')", "-1e4")
    act = w.one_of("{t}.relu(y)", "{F}.relu(y)", "y * {t}.sigmoid(1.702 * y)", "{F}.gelu(y)")
    relative = w.chance(0.5)
    drop = w.one_of("0.0", "0.1", "p=0.0")
    rel_scores = (
        """
        if self.window is not None:
            keys = self.near(self.emb_k, n)
            rel = {t}.matmul(q / math.sqrt(2), keys.unsqueeze(0).transpose(-2, -1))
            scores = scores + self.to_columns(rel)
"""
        if relative
        else "\n"
    )
    rel_values = (
        """
        if self.window is not None:
            y = y + {t}.matmul(self.to_offsets(p_attn), self.near(self.emb_v, n).unsqueeze(0))
"""
        if relative
        else "\n"
    )
    define(
        w,
        f"""
class {name}({{nn}}.Module):
    def __init__(self, heads=2, window=2):
        super().__init__()
        {w.one_of("self.heads = heads", "self.heads = heads", "self.heads, self.width = heads, 2")}
        self.window = window
        self.conv_q = {conv}(4, 4, 1)
        self.conv_k = {conv}(4, 4, 1)
        self.conv_v = {conv}(4, 4, 1)
        self.emb_k = {{nn}}.Parameter({{t}}.randn(1, window * 2 + 1, 2) * 0.5)
        self.emb_v = {{nn}}.Parameter({{t}}.randn(1, window * 2 + 1, 2) * 0.5)
        self.drop = {{nn}}.Dropout({drop})
        self.widen = {conv}(4, 8, 3)
        self.narrow = {conv}(8, 4, 3)
        self.attn = None

    def forward(self, {x}, {mask}):
        attn_mask = {mask}.unsqueeze(2) * {mask}.unsqueeze(-1)
        x = self.attend({x}, {x}, attn_mask)
        y = self.widen(self.around(x * {mask}))
        y = {act}
        y = self.drop(y)
        return self.narrow(self.around(y * {mask})) * {mask}{w.one_of("", ", self.attn")}

    def attend(self, x, c, mask=None):
        b, d, n = x.size()
        q = self.conv_q(x).view(b, self.heads, d // self.heads, n).transpose(2, 3)
        k = self.conv_k(c).view(b, self.heads, d // self.heads, n).transpose(2, 3)
        v = self.conv_v(c).view(b, self.heads, d // self.heads, n).transpose(2, 3)
        {w.one_of("n = q.size(2)", "n = q.size(2)", "pass")}
        scores = {{t}}.matmul(q / math.sqrt(2), k.transpose(-2, -1))
{rel_scores.strip(chr(10))}
        if mask is not None:
            scores = scores.masked_fill({w.one_of("mask == 0", "mask.eq(0)", "~mask.bool()")}, {fill})
        p_attn = {{F}}.softmax(scores, dim=-1)
        p_attn = self.drop(p_attn)
        y = {{t}}.matmul(p_attn, v)
{rel_values.strip(chr(10))}
        self.attn = p_attn
        return y.transpose(2, 3).contiguous().view(b, d, n)

    def around(self, x):
        return {{F}}.pad(x, {w.one_of("(1, 1)", "[1, 1]", "(2, 0)")})

    def near(self, table, n):
        pad = max(n - (self.window + 1), 0)
        start = max((self.window + 1) - n, 0)
        if pad > 0:
            table = {{F}}.pad(table, {w.one_of("[0, 0, pad, pad, 0, 0]", "(0, 0, pad, pad)")})
        return table[:, start : start + 2 * n - 1]

    def to_columns(self, x):
        b, h, n, _ = x.size()
        x = {{F}}.pad(x, (0, 1)).view(b, h, n * 2 * n)
        x = {{F}}.pad(x, (0, n - 1))
        return x.view(b, h, n + 1, 2 * n - 1)[:, :, :n, n - 1 :]

    def to_offsets(self, x):
        b, h, n, _ = x.size()
        x = {{F}}.pad(x, (0, n - 1)).view(b, h, n**2 + n * (n - 1))
        x = {{F}}.pad(x, (n, 0))
        return x.view(b, h, n, 2 * n)[:, :, :, 1:]
""",
    )
    return name, w.one_of("()", "(1)", "().eval()", "(2, 3)")
