"""What the scan lists for want of a lowering, and what it does not."""

from __future__ import annotations

import pytest

from porter.analysis.project import Project
from porter.codemod.engine import rewrite
from porter.hazards.account import account
from porter.hazards.hazard import Status

_HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n\n\n"


def listed(text: str) -> list[tuple[str, str]]:
    """Code and reason of each hazard in a function of a tensor, as no rule has touched it."""
    source = f"{_HEAD}def f(x: torch.Tensor, n, mode, *rest):\n    return {text}\n"
    found = account(rewrite(Project.parse({"module/a.py": ("a.py", source)}), ()))
    return [(h.code[:3], h.reason) for h in found if h.status is Status.RESIDUAL]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("torch.lgamma(x)", "lgamma has no lowering (aten::lgamma), nor has its gradient (aten::digamma)"),
        ("x.lgamma()", "lgamma has no lowering (aten::lgamma), nor has its gradient (aten::digamma)"),
        (
            "torch.linalg.det(x)",
            "det has no lowering (aten::_linalg_det), nor has its gradient (aten::linalg_lu_solve)",
        ),
        ("F.huber_loss(x, x)", "huber_loss has no lowering"),
        ("F.glu(x)", "the gradient of glu has no lowering (aten::glu_backward)"),
        ("nn.GLU()(x)", "the gradient of GLU has no lowering (aten::glu_backward)"),
        ("nn.Unfold(3)", "Unfold has no lowering (aten::im2col)"),
        ("nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))", "weight_norm has no lowering"),
        ("torch.logdet(x)", "the gradient of logdet raises on XLA"),
        ("torch.kaiser_window(8, device=x.device)", "kaiser_window raises on XLA"),
        ("torch.istft(x, 16)", "istft ends the process on XLA"),
        ("torch.functional.stft(x, 16)", "stft has no lowering"),
        ("F.adaptive_avg_pool1d(x, 3)", "adaptive_avg_pool1d has no lowering"),
        ("F.adaptive_avg_pool1d(x, n)", "with some arguments adaptive_avg_pool1d has no lowering"),
        ("x.multinomial(4)", "multinomial has no lowering"),
        ("torch.multinomial(x, n)", "with some arguments multinomial has no lowering"),
        ("F.interpolate(x, scale_factor=2, mode='linear')", "interpolate has no lowering (aten::upsample_linear1d)"),
        ("F.interpolate(x, scale_factor=2, mode=mode)", "with some arguments interpolate has no lowering"),
        ("F.max_pool2d(x, 2, dilation=2)", "max_pool2d has no lowering"),
        ("torch.addmm(x, x, x, beta=0.5)", "addmm has no lowering"),
        ("torch.median(x)", "median has no lowering (aten::median)"),
        ("torch.bitwise_left_shift(x, 1)", "(aten::bitwise_left_shift.Tensor in PyTorch/XLA 2.5, 2.6, 2.7)"),
        ("list(map(torch.lgamma, rest))", "lgamma has no lowering"),
        ("F.gaussian_nll_loss(x, x, x)", "gaussian_nll_loss waits for the device"),
        ("torch.combinations(x)", "the number of results follows the data"),
    ],
)
def test_what_runs_on_the_host_is_listed(text: str, told: str) -> None:
    assert any(told in reason for _, reason in listed(text)), listed(text)


@pytest.mark.parametrize(
    "text",
    [
        *("nn.GRU(2, 2)", "nn.Linear(2, 2)", "nn.MultiheadAttention(4, 2)", "nn.Conv1d(2, 2, 3)", "nn.PReLU()"),
        *("nn.LayerNorm(4)", "nn.BatchNorm1d(4)", "nn.GroupNorm(2, 4)", "nn.utils.spectral_norm(nn.Linear(2, 2))"),
        *("nn.BatchNorm1d(4, momentum=n)", "nn.AvgPool2d(2)", "nn.AdaptiveAvgPool1d(1)", "nn.MaxPool2d(2)"),
        *("F.pad(x, (1, 1), 'reflect')", "F.pad(x, (1, 1), mode='replicate')", "F.softplus(x)", "F.mish(x)"),
        *("torch.kthvalue(x, 1)", "torch.cumsum(x, 0)", "torch.gather(x, 0, x.long())", "torch.sort(x)", "x.topk(2)"),
        *("F.scaled_dot_product_attention(x, x, x)", "F.conv_transpose1d(x, x)", "F.max_pool1d(x, 2)", "x.max(1)"),
        *("F.avg_pool1d(x, 2)", "F.avg_pool2d(x, 2, padding=1)", "F.normalize(x, p=2, dim=-1)", "F.normalize(x)"),
        *("F.adaptive_avg_pool2d(x, (1, 1))", "torch.addmm(x, x, x)", "torch.multinomial(x, 1)", "x.round()"),
        *("torch.multinomial(x, 4, True)", "torch.multinomial(x, 4, replacement=True)", "F.one_hot(x, n)"),
        *("F.interpolate(x, scale_factor=2, mode='bilinear').detach()", "x.repeat_interleave(2)")[1:],
        *("torch.randperm(4, device=x.device)", "torch.nn.utils.clip_grad_norm_(rest, 1.0)", "x.index_put_((n,), x)"),
        *(
            "isinstance(n, nn.GLU)",
            "torch.stack([x, x])",
            "torch.linspace(0, 1, 5, device=x.device)",
            "torch.where(x > 0, x, 0)",
        ),
    ],
)
def test_what_is_lowered_is_not_listed(text: str) -> None:
    assert listed(text) == []
