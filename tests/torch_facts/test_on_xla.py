"""The data against the installed torch and torch_xla, by running calls on XLA and reading its counters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest
import torch

from porter.torch_facts.operators import ABSENT, lacking, normal
from porter.torch_facts.reading import table
from porter.torch_facts.signatures import signatures

pytestmark = [
    pytest.mark.xla,
    pytest.mark.skipif(
        version("torch") != table("operators")["ran_with"]["torch"], reason="the samples ran with another torch"
    ),
]

# Beside the samples of the script's own: operators of which it has torch's.
CALLS = (
    *(
        ("torch." + name, f"torch.{name}(t(3))")
        for name in "lgamma sinc exp2 sgn digamma i0 frac logcumsumexp".split()[:7]
    ),
    *(("torch." + name, f"torch.{name}(t(3, 3))") for name in "inverse det trace tril cholesky_inverse".split()),
    *(("torch.linalg." + name, f"torch.linalg.{name}(t(3, 3))") for name in "det inv qr norm".split()),
    *(("torch.nn.functional." + name, f"F.{name}(t(2, 4))") for name in "glu softplus mish silu normalize".split()),
    *(("torch.nn.functional." + name, f"F.{name}(t(3), t(3))") for name in "huber_loss l1_loss smooth_l1_loss".split()),
    *(("torch." + name, f"torch.{name}(t(3))") for name in "unique nonzero median mode cumsum sort isnan relu".split()),
    ("torch.logcumsumexp", "torch.logcumsumexp(t(3), 0)"),
    ("torch.bincount", "torch.bincount(n(3))"),
    ("torch.bucketize", "torch.bucketize(t(3), torch.linspace(0, 1, 4).to(device))"),
    ("torch.searchsorted", "torch.searchsorted(torch.linspace(0, 1, 4).to(device), t(3))"),
    ("torch.polar", "torch.polar(t(3), t(3))"),
    ("torch.cross", "torch.cross(t(2, 3), t(2, 3), dim=1)"),
    ("torch.kthvalue", "torch.kthvalue(t(3), 1)"),
    ("torch.equal", "torch.equal(t(3), t(3))"),
    ("torch.fft.rfft", "torch.fft.rfft(t(4))"),
    ("torch.repeat_interleave", "torch.repeat_interleave(t(3), n(3) + 1)"),
    ("torch.repeat_interleave", "torch.repeat_interleave(t(3), 2)"),
    ("torch.addmm", "torch.addmm(t(2, 2), t(2, 2), t(2, 2))"),
    ("torch.addmm", "torch.addmm(t(2, 2), t(2, 2), t(2, 2), beta=0.5)"),
    ("torch.nn.functional.interpolate", "F.interpolate(t(1, 2, 4), scale_factor=2, mode='linear')"),
    ("torch.nn.functional.interpolate", "F.interpolate(t(1, 2, 4, 4), scale_factor=2, mode='bicubic')"),
    ("torch.nn.functional.unfold", "F.unfold(t(1, 2, 4, 4), 2)"),
    ("torch.nn.functional.grid_sample", "F.grid_sample(t(1, 1, 3, 3), t(1, 2, 2, 2))"),
    ("torch.nn.functional.adaptive_avg_pool1d", "F.adaptive_avg_pool1d(t(1, 2, 9), 3)"),
    ("torch.nn.functional.adaptive_avg_pool1d", "F.adaptive_avg_pool1d(t(1, 2, 9), 1)"),
    ("torch.nn.functional.avg_pool2d", "F.avg_pool2d(t(1, 1, 4, 4), 2, padding=1)"),
    ("torch.nn.functional.avg_pool2d", "F.avg_pool2d(t(1, 1, 4, 4), 2, divisor_override=3)"),
    ("torch.nn.functional.avg_pool2d", "F.avg_pool2d(t(1, 1, 4, 4), 2, ceil_mode=True)"),
    ("torch.nn.functional.max_pool2d", "F.max_pool2d(t(1, 1, 4, 4), 2)"),
    ("torch.nn.functional.pad", "F.pad(t(1, 2, 4), (1, 1), 'reflect')"),
    ("torch.nn.functional.one_hot", "F.one_hot(n(3))"),
    ("torch.nn.functional.one_hot", "F.one_hot(n(3), 4)"),
    ("torch.nn.GRU", "layer(nn.GRU(2, 3))(t(4, 1, 2))[0]"),
    ("torch.nn.GLU", "layer(nn.GLU())(t(2, 4))"),
    ("torch.nn.HuberLoss", "layer(nn.HuberLoss())(t(2, 4), t(2, 4))"),
    ("torch.nn.BatchNorm1d", "layer(nn.BatchNorm1d(2, momentum=None))(t(3, 2))"),
    ("torch.nn.BatchNorm1d", "layer(nn.BatchNorm1d(2))(t(3, 2))"),
    ("torch.nn.MultiheadAttention", "layer(nn.MultiheadAttention(4, 2))(t(2, 1, 4), t(2, 1, 4), t(2, 1, 4))[0]"),
)

PROGRAM = """
import json, sys, warnings
warnings.simplefilter("ignore")
import torch_xla.core.xla_model as xm
xm.xla_device()
from tools.torch_facts.measuring import run
from tools.torch_facts.own import own
from tools.torch_facts.own_samples import SAMPLES
calls = [*SAMPLES, *map(tuple, json.loads(sys.argv[1]))]
print(json.dumps([[name, text, run(own(name, text), wait=False)] for name, text in calls]))
"""


def test_calls_on_xla_fall_back_where_the_data_says_so() -> None:
    command = [sys.executable, "-c", PROGRAM, json.dumps(CALLS)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PJRT_DEVICE": "CPU"})
    assert done.returncode == 0, done.stderr[-2000:]
    ran = [(name, text, told) for name, text, told in json.loads(done.stdout.splitlines()[-1]) if told is not None]
    assert len({name for name, _, _ in ran}) > 120
    for name, text, told in ran:
        seen = {(o, stage == "backward") for stage in ("forward", "backward") for o in told[stage]}
        if "raised" in told:
            assert table("operators")["lacks"].get(name, {}).get("raises") == told["raised"], text
            continue
        lacks = lacking(name, lambda p, name=name, told=told: _value(name, told, p))  # type: ignore[misc]
        assert {(x.operator, x.backward) for x in lacks if x.certain} <= seen, text
        assert seen <= {(x.operator, x.backward) for x in lacks}, text


def _value(name: str, told: dict[str, list[str]], parameter: str) -> str | None:
    """What a call gave for a parameter, by the first signature that fits it."""
    for signature in signatures(name):
        places = signature.place(len(told["args"]), told["kwargs"])
        if places is None:
            continue
        place = places.get(parameter)
        if isinstance(place, int):
            return _class(told["args"][place])
        if isinstance(place, str):
            return _class(told["kwargs"][place])  # type: ignore[call-overload]
        defaults = [p.default for p in signature.parameters if p.name == parameter]
        return normal(defaults[0]) if defaults else ABSENT
    return None


def _class(value: str) -> str:
    return "tensor" if value.startswith("tensor") else value


WITHOUT_KERNEL = """
import json
from tools.torch_facts.callables import functions
from tools.torch_facts.operators import without_kernel
print(json.dumps([name for name, value in functions() if without_kernel(name, value)]))
"""


def test_what_has_no_kernel_of_its_own_is_listed() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_KERNEL], capture_output=True, text=True)
    names = json.loads(done.stdout.splitlines()[-1])
    assert len(names) > 60
    views = {name for name in names if hasattr(torch, f"{name.removeprefix('torch.')}_copy")}  # XLA copies instead
    assert set(names) - set(table("operators")["lacks"]) <= views
