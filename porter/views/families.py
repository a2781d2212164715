"""What each family of hazards is about, in a few sentences."""

from __future__ import annotations

from collections.abc import Mapping

ABOUT: Mapping[str, str] = {
    "RNG": "A random draw that the host makes: its result is uploaded each step, and the device's seed has no say in "
    "it. Drawn on the device it is part of the graph.",
    "SYN": "A tensor's value that Python asks for: the step is cut there, and the host waits until the device has "
    "computed it.",
    "SHP": "A shape that follows the data, or a place that the host counts: every new one is a new graph, and each "
    "graph is compiled.",
    "LOW": "An operator that PyTorch/XLA has no lowering for, forward or backward: its inputs go to the host and its "
    "result comes back, or it fails.",
    "DEV": "Code that names CUDA, or makes tensors on the host where the device needs them: one fails without CUDA, "
    "the other uploads in each step.",
    "JIT": "A function compiled with torch.jit: XLA cannot see into it, and fuses better itself.",
    "GRF": "What decides where one graph ends and the next begins.",
    "DST": "A call that needs a process group, or CUDA's way of training in parallel. On XLA one program runs on all "
    "chips.",
    "TPU": "Code that lowers as it is, and wastes most of a TPU: the same mathematics in a form that fills its tiles. "
    "Other devices keep the form they had.",
    "RUN": "Bad input to a training run that upstream takes without a word: a missing file, a torn checkpoint. "
    "It is told in one sentence, before anything compiles.",
    "EXT": "A call that hands tensors to another package, or to a part of upstream that is not ported: nobody has "
    "looked at what it does with them.",
    "PKG": "What makes the package whole: it imports its own files and its runtime, never upstream's copies.",
}
