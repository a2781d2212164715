"""What gathers batches, lists files, and averages over the samples of a batch."""

from __future__ import annotations

from ..kinds import SAMPLES, SIGNAL, Many, Tensor
from ..writer import Writer
from .defining import define, signal


def collated(w: Writer) -> tuple[str, str]:
    """What gathers a batch, pads it, and lists files."""
    name = w.top_name("Collate")
    batch = w.parameter(Many(Tensor("float32", ("4", "T"))), "", "batch")
    longest = w.one_of(
        "max([x.size(1) for x in batch])", "max(x.size(1) for x in batch)", "max([x.shape[1] for x in batch])"
    )
    rounding = w.one_of("longest = int(2 * ((longest // 2) + 1))", "pass", "longest = longest + 1")
    made = w.one_of(
        "{t}.FloatTensor(len(batch), 4, longest)\n        padded.zero_()",
        "{t}.zeros(len(batch), 4, longest)",
        "{t}.full((len(batch), 4, longest), 0.0)" if w.chance(0.3) else "{t}.zeros(len(batch), 4, longest)",
    )
    define(
        w,
        f"""
class {name}:
    def __init__(self, return_ids=False):
        self.return_ids = return_ids

    def __call__(self, batch):
        longest = {longest}
        {rounding}
        lengths = {{t}}.LongTensor(len(batch))
        padded = {made}
        for i in range(len(batch)):
            row = batch[i]
            padded[i, :, : row.size(1)] = row
            lengths[i] = row.size(1)
        return padded, lengths
""",
    )
    del batch
    return name, "()"


def clips(w: Writer) -> tuple[str, str]:
    """A dataset that gathers names as a set."""
    data, name = w.top_name("Clips"), w.top_name("listed")
    signal(w, grad=False)
    names = w.one_of(
        "set(os.listdir(folder))",
        "set([n for n in os.listdir(folder)])",
        "set(n[:2] for n in os.listdir(folder))",
        "set(os.listdir(folder)) | {'none'}",
    )
    kept = w.one_of(
        "list(names)",
        "list(names & set(wanted))",
        "list(names - {'x'})",
        "sorted(names)",
        "list(set(wanted) & names)",
        "list(set(range(len(names))))",
    )
    define(
        w,
        f"""
import os


class {data}({{t}}.utils.data.Dataset):
    def __init__(self, folder, wanted=("nn", "optim", "functional.py")):
        names = {names}
        self.clips = {kept}

    def __len__(self):
        return len(self.clips)


def {name}({w.parameters[0].name}):
    data = {data}(os.path.dirname({{t}}.__file__))
    return len(data), sorted(data.clips), {w.parameters[0].name} * len(data)
""",
    )
    return name, ""


def criterion(w: Writer) -> tuple[str, str]:
    """A flow that holds its criterion and averages over each sample's own range."""
    name, x = w.top_name("Matching"), signal(w)
    t = w.parameter(Tensor("float32", SIGNAL), "", "target", "mu")
    lens = w.parameter(Tensor("int64", SAMPLES), "lengths", "x_lens", "lengths")
    made = w.one_of("MSELoss()", "L1Loss()", "MSELoss(reduction='mean')", "SmoothL1Loss()")
    noise = w.one_of(
        "{t}.randn_like(x)",
        "{t}.randn(x.shape).to(x.device)",
        "{t}.rand([x.size(0)], device=x.device, dtype=x.dtype)[:, None, None] * x",
        "{t}.zeros_like(x)",
    )
    define(
        w,
        f"""
class {name}({{nn}}.Module):
    def __init__(self):
        super().__init__()
        self.lin = {w.lib("torch.nn.Conv1d")}(4, 4, 1)
        self.criterion = {{nn}}.{made}

    def forward(self, {x}, {t}, {lens}):
        x, loss = {x}, {w.one_of("0", "0.0")}
        z = {noise}
        b, _, n = x.shape
        prompt = {{t}}.zeros_like(x)
        for i in range(b):
            prompt[i, :, : {lens}[i]] = x[i, :, : {lens}[i]]
            {w.one_of(f"z[i, :, : {lens}[i]] = 0", f"z[i, :, {lens}[i] :] = 0", "pass")}
        y = self.lin(prompt + z)
        for i in range(b):
            loss += self.criterion(y[i, :, : {lens}[i]], {t}[i, :, : {lens}[i]])
        loss {w.one_of("/= b", "= loss / b", "= loss * 1")}
        return loss
""",
    )
    return name, "()"
