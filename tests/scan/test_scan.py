"""The hazard scan: finds what no rule fixed, waives what is no hazard, and says where both stand upstream."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter.analysis.project import Project
from porter.codemod.engine import rewrite
from porter.codemod.rulebook import load
from porter.generate import Settings, build
from porter.hazards.account import account
from porter.hazards.hazard import Hazard, Status, count
from porter.inputs.upstream import open_upstream

BOOK = load().selected()


def hazards(text: str, path: str = "module/a.py", rules: bool = True, **others: str) -> tuple[Hazard, ...]:
    files = {path: (path.split("/", 1)[1], text)}
    files |= {f"module/{name}.py": (f"{name}.py", other) for name, other in others.items()}
    return account(rewrite(Project.parse(files), BOOK if rules else ()))


def residual(text: str, **others: str) -> list[tuple[str, int]]:
    return [(h.code[:3], h.line) for h in hazards(text, "module/a.py", True, **others) if h.status is Status.RESIDUAL]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("if x.sum() > 1:\n        x = x * 2", "SYN"),
        ("n = int(x.sum())", "SYN"),
        ("y = x[: x.sum().item()]", "SYN"),
        ("y = x.tolist()", "SYN"),
        ("y = x.cpu()", "SYN"),
        ("while x.any():\n        x = x - 1", "SYN"),
        ("y = x[0] if x.max() > 0 else x", "SYN"),
        ("for i in range(x.max()):\n        pass", "SYN"),
        ("y = numpy.abs(x)", "SYN"),
        ("y = x[x > 0]", "SHP"),
        ("y = torch.nonzero(x)", "SHP"),
        ("y = torch.where(x > 0)", "SHP"),
        ("y = torch.unique(x)", "SHP"),
        ("y = x.masked_select(x > 0)", "SHP"),
        ("y = torch.zeros(x.sum(), device=x.device)", "SHP"),
        ("y = torch.repeat_interleave(x, x.long())", "SHP"),
        ("for i in range(n):\n        y = x[:, : lengths[i]]", "SYN"),
        ("y = torch.searchsorted(x, x)", "LOW"),
        ("y = torch.istft(x, 16, return_complex=True)", "LOW"),
        ("y = torch._weight_norm(x, x[:, :1], 0)", "LOW"),
        ("y = torch.ops.aten.col2im(x, [4, 4], [2, 2], [1, 1], [0, 0], [1, 1])", "LOW"),
        ("y = torch.fft.rfft(x)", "LOW"),
        ("y = x.median()", "LOW"),
        ("y = F.grid_sample(x, x)", "LOW"),
        ("y = torch.cuda.FloatTensor(3)", "DEV"),
        ("y = x + torch.tensor([1, 2, 3])", "DEV"),
        ("y = x + torch.from_numpy(table)", "DEV"),
        ("y = CACHE[n] = x * 2", "DEV"),
        ("y = numpy.random.rand(3)", "RNG"),
        ("y = torch.manual_seed(0)", "RNG"),
        ("y = torch.jit.trace(f, x)", "JIT"),
        ("torch.distributed.barrier()", "DST"),
    ],
)
def test_what_no_rule_fixes_is_residual(line: str, code: str) -> None:
    text = (
        "import numpy\nimport torch\nimport torch.nn.functional as F\n\nCACHE = {}\n\n\n"
        f"def f(x, n, lengths, table):\n    x = torch.relu(x)\n    {line}\n    return x\n"
    )
    if "CACHE[n]" in line:
        text = text.replace("y = CACHE[n]", "CACHE[n]")
    assert code in [c for c, _ in residual(text)]
    assert all(at >= 10 for _, at in residual(text))


@pytest.mark.parametrize(
    "text",
    [
        "import torch\n\n\ndef f(x):\n    b, c, t = x.shape\n    return torch.relu(x)[:, : t // 2] * c if b > 1 else x\n",
        "import torch\n\n\ndef f(x, lengths):\n    return torch.arange(x.size(1), device=x.device) < lengths[:, None]\n",
        "import math\n\n\ndef f(n):\n    if n > 2:\n        return int(math.sqrt(n))\n    return [0] * n\n",
        "import torch\n\n\ndef f(x, mask=None):\n    if mask is not None:\n        x = x.masked_fill(mask == 0, -1e4)\n    return x\n",
        "class A:\n    def __init__(self, n):\n        self.n = n\n\n    def f(self):\n        return self.n.item if self.n else None\n",
    ],
)
def test_ordinary_code_is_no_hazard(text: str) -> None:
    assert hazards(text) == ()


def test_host_code_is_waived_with_its_reason() -> None:
    text = (
        "import torch\n\n\nclass Set(torch.utils.data.Dataset):\n    def __getitem__(self, i):\n"
        "        x = torch.zeros(3)\n        return x[: int(x.sum())].tolist()\n\n\n"
        "def helper(n):\n    return torch.linspace(0, 1, n).tolist()\n\n\n"
        "class Layer(torch.nn.Module):\n    def __init__(self, n):\n        super().__init__()\n"
        "        self.steps = helper(n)\n        if torch.det(torch.eye(n)) < 0:\n            raise ValueError\n\n\n"
        "if __name__ == '__main__':\n    print(torch.ones(2).tolist())\n"
    )
    found = hazards(text)
    assert {h.status for h in found} == {Status.WAIVED}
    reasons = " ".join(h.reason for h in found)
    for part in (
        "in the data loader",
        "when the module is built",
        "helper is called only at module/tpu/a.py:17",
        "script",
    ):
        assert part in reasons


def test_a_helper_that_the_device_also_calls_is_not_waived() -> None:
    text = (
        "import torch\n\n\ndef helper(x):\n    x = torch.relu(x)\n    return x.tolist()\n\n\n"
        "class Layer(torch.nn.Module):\n    def __init__(self, x):\n        self.steps = helper(x)\n\n"
        "    def forward(self, x):\n        return helper(x)\n"
    )
    assert residual(text) == [("SYN", 6)]


def test_a_helper_kept_in_an_attribute_may_be_called_from_anywhere() -> None:
    text = (
        "import torch\n\n\ndef helper(x):\n    x = torch.relu(x)\n    return x.tolist()\n\n\n"
        "class Layer(torch.nn.Module):\n    def __init__(self):\n        self.extract = helper\n"
    )
    assert residual(text) == [("SYN", 6)]


def test_a_note_waives_what_the_maintainer_wants_kept() -> None:
    text = "import torch\n\n\ndef f(x):\n    x = torch.relu(x)\n    return x.tolist()  # port: ignore[SYN]\n"
    found = hazards(text)
    assert [(h.status, h.line) for h in found] == [(Status.WAIVED, 6)]
    assert "port: ignore[SYN]" in found[0].reason


def test_code_that_only_a_process_group_reaches_is_waived() -> None:
    text = (
        "import torch\n\n\ndef gather(x):\n    if not torch.distributed.is_initialized():\n        return x\n"
        "    torch.distributed.all_reduce(x)\n    return x\n"
    )
    found = hazards(text)
    assert [h.status for h in found] == [Status.WAIVED] and "guarded at module/tpu/a.py:5" in found[0].reason


def test_dependencies_are_judged_by_what_upstream_reaches_of_them() -> None:
    net = (
        "import torch\n\n\ndef used(x):\n    return torch.nonzero(x)\n\n\ndef unused(x):\n    return torch.nonzero(x)\n"
    )
    files = {
        "module/a.py": ("a.py", "from net.parts import used\n\n\ndef f(x):\n    return used(x)\n"),
        "net/parts.py": ("net/parts.py", net),
    }
    found = account(rewrite(Project.parse(files), BOOK))
    assert [(h.line, h.status) for h in found] == [(5, Status.RESIDUAL), (9, Status.WAIVED)]
    assert "neither upstream's networks nor its trainers reach unused" in found[1].reason


@pytest.mark.parametrize(
    ("used", "status"),
    [
        ("torch.relu(x)", Status.WAIVED),
        ("torch.nn.functional.multi_head_attention_forward(x)", Status.RESIDUAL),
        ("torch.nn.MultiheadAttention(4, 2)(x)", Status.RESIDUAL),
    ],
)
def test_what_takes_the_place_of_torchs_own_is_reached_by_who_calls_that(used: str, status: Status) -> None:
    net = (
        "import torch\nfrom torch.nn import functional as F\n\n\ndef patched(x):\n    return torch.nonzero(x)\n\n\n"
        "F.multi_head_attention_forward = patched\n"
    )
    files = {
        "module/a.py": ("a.py", f"import torch\nimport net.parts\n\n\ndef f(x):\n    return {used}\n"),
        "net/parts.py": ("net/parts.py", net),
    }
    found = account(rewrite(Project.parse(files), BOOK))
    assert [h.status for h in found if h.line == 6 and "nonzero" in h.reason] == [status]


def test_fixed_hazards_are_counted_with_their_line() -> None:
    found = hazards("import torch\n\n\ndef f(x):\n    return x + torch.randn(3).to(x.device)\n")
    assert [(h.code, h.line, h.status) for h in found] == [("RNG001", 5, Status.FIXED)]
    assert count(found) == {"fixed": 1, "waived": 0, "residual": 0}


def test_an_import_of_an_unported_sibling_is_residual() -> None:
    text = "import module.other\n\n\ndef f(x):\n    return module.other.g(x)\n"
    assert residual(text, other="def g(x):\n    return x\n") == [("PKG", 1)]
    assert residual(text.replace("module.other", "torch.nn")) == []


def test_a_tensor_in_a_text_is_residual_but_not_in_an_error() -> None:
    text = "import torch\n\n\ndef f(x, log):\n    x = torch.relu(x)\n    log(f'{x}')\n    if x.ndim > 3:\n        raise ValueError(f'{x}')\n"
    assert residual(text) == [("SYN", 6)]


def test_lines_are_upstream_lines_although_edits_moved_them() -> None:
    text = (
        "import torch\n\n\ndef cut(x, s, n):\n    r = torch.zeros_like(x[:, :, :n])\n    for i in range(x.size(0)):\n"
        "        r[i] = x[i, :, s[i] : s[i] + n]\n    return torch.nonzero(r)\n"
    )
    left = [h for h in hazards(text) if h.status is Status.RESIDUAL]
    assert [(h.line, h.target_line) for h in left] == [(8, 7)]


def test_without_rules_the_scan_finds_what_the_rules_would_fix() -> None:
    text = (
        "import torch\nimport torch.nn.functional as F\nfrom torch.nn.utils import weight_norm\n\n\n"
        "def f(x):\n    y = F.interpolate(x, scale_factor=2)\n    return y + torch.randn(3)\n\n\n"
        "layer = weight_norm\n"
    )
    codes = [h.code for h in hazards(text, rules=False) if h.status is Status.RESIDUAL]
    assert codes.count("LOW") >= 1 and "RNG" in codes


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def f(x):\n    return x[x > 0].mean()\n", "SHP"),
        ("def f(x):\n    x = x.float()\n    if x.dim() == 2: return x[x > 0]\n    return x\n", "SHP"),
        ("def f(x, m):\n    x = x.float()\n    match m:\n        case 1:\n            return x[x > 0]\n", "SHP"),
        ("def f(x):\n    ok = not torch.any(x > 0)\n    return ok\n", "SYN"),
        ("def f(xs):\n    return [x for x in xs if torch.any(x > 0)]\n", "SYN"),
        ("def f(x):\n    return torch.relu(x).to('cpu')\n", "SYN"),
        ("def f(x, s, n):\n    return [x[i, s[i] : s[i] + n] for i in range(n)]\n", "SYN"),
        ("def f(x, s, n):\n    for i in range(n):\n        a = s[i]\n        y = x[i, a : a + n]\n", "SYN"),
        ("pick = lambda x: torch.nonzero(x)\n", "SHP"),
        (
            "class A:\n    def __init__(self, m):\n        def hook(m, i, o):\n            return torch.nonzero(o)\n\n"
            "        m.register_forward_hook(hook)\n",
            "SHP",
        ),
        (
            "class A(torch.nn.Module):\n    def forward(self, x):\n        if self.is_initialized():\n"
            "            return torch.nonzero(x)\n        return x\n",
            "SHP",
        ),
        ("class A(torch.nn.Module):\n    def __call__(self, batch):\n        return torch.nonzero(batch)\n", "SHP"),
        ("def f(x, config):\n    if config.on_host():\n        return torch.nonzero(x)\n    return x\n", "SHP"),
    ],
)
def test_nothing_hides_behind_its_layout_or_a_borrowed_name(text: str, code: str) -> None:
    assert code in {found for found, _ in residual(f"import torch\n\n\n{text}")}


def test_a_note_that_only_the_scan_heeds_is_no_unused_one(tmp_path: Path) -> None:
    module = tmp_path / "module"
    module.mkdir()
    (module / "__init__.py").touch()
    source = (
        "import torch\n\n\ndef f(x):\n"
        "    y = torch.nonzero(x\n    )  # port: ignore[SHP]\n"
        "    return y, x + 1  # port: ignore[SHP]\n"
    )
    (module / "models.py").write_text(source)
    manifest = build(open_upstream(str(tmp_path)), Settings()).manifest
    assert {h["status"] for h in manifest["hazards"]["list"]} == {"waived"}
    assert [note["line"] for note in manifest["unused_ignores"]] == [7]


TRAINER = """import torch


def main(net, optimizer, batches, epochs):
    for epoch in range(epochs):
        train(net, optimizer, batches)


def train(net, optimizer, batches):
    step = 0
    for x in batches:
        loss = net(x).mean()
        loss.backward()
        optimizer.step()
{tail}    print(loss.item())


def unused(x):
    return x.cpu()


if __name__ == "__main__":
    main(None, None, [], 0)
"""


def trained(tail: str, rules: bool = True) -> list[tuple[str, str, str]]:
    files = {"train_net.py": ("trainers/train_net.py", TRAINER.format(tail=tail))}
    found = account(rewrite(Project.parse(files), BOOK if rules else ()))
    return [(h.code[:3], h.status.value, h.reason) for h in found if h.status is not Status.FIXED]


def test_a_training_loop_ends_its_step_and_logs_after_it() -> None:
    found = trained("        if step % 10 == 0:\n            print(loss.item())\n        step += 1\n")
    assert {status for _, status, _ in found} == {"waived"}
    reasons = " ".join(reason for _, _, reason in found)
    assert "runs after the step, at log steps only" in reasons
    assert "outside the loop over batches" in reasons
    assert "nothing calls unused" in reasons


def test_a_log_that_caps_what_it_shows_is_read_after_the_step() -> None:
    capped = "            if shown > 75:\n                shown = 75\n            print(f'{shown:.3f}')\n"
    found = trained("        shown = loss.detach()\n        if step % 10 == 0:\n" + capped)
    assert {status for code, status, _ in found if code == "SYN"} == {"waived"}
    later = trained("        shown = loss.detach()\n        if step % 10 == 0:\n" + capped + "        step = shown\n")
    assert ("SYN", "residual") in {(code, status) for code, status, _ in later}


@pytest.mark.parametrize(
    "tail",
    [
        "        if step:\n            print(loss.item())\n",  # in each step
        "        if step % 10 == 0:\n            best = loss.item()\n        step = best\n",
    ],
)
def test_a_read_in_the_middle_of_a_step_is_residual(tail: str) -> None:
    assert ("SYN", "residual") in {(code, status) for code, status, _ in trained(tail)}


def test_a_loop_with_a_loop_of_several_steps_in_it_is_one_over_batches_all_the_same() -> None:
    inner = "        for _ in range(2):\n            net(x).sum().backward()\n            optimizer.step()\n"
    found = trained(f"{inner}        print(loss.item())\n")
    assert ("SYN", "residual") in {(code, status) for code, status, _ in found}


def test_a_training_loop_that_does_not_end_its_step_is_residual() -> None:
    left = [f for f in trained("", rules=False) if f[0] == "GRF"]
    assert left == [("GRF", "residual", "this training loop never ends its step: its iterations become one graph")]
    assert not [f for f in trained("") if f[0] == "GRF"]


def test_an_iteration_that_may_be_left_early_is_residual() -> None:
    text = TRAINER.format(tail="").replace(
        "        optimizer", "        if x is None:\n            continue\n        optimizer"
    )
    found = account(rewrite(Project.parse({"t.py": ("trainers/t.py", text)}), BOOK))
    assert [(h.code, h.status.value) for h in found if h.code.startswith("GRF")] == [("GRF", "residual")]
