"""Faults of the decoder of codes: seen in the cases `t2s.*`."""

from __future__ import annotations

from bench.faults.record import Fault

_STEPS = "decoding/steps.py"
_SAMPLING = "decoding/sampling.py"

FAULTS = (
    Fault(
        "empty slots are seen",
        "mask",
        _STEPS,
        "advance",
        "visible(state.valid, __d)",
        "visible(state.valid | True, __d)",
    ),
    Fault("a code sees the ones behind it", "mask", _STEPS, "prefill", "__c[..., None] & after", "__c[..., None]"),
    Fault(
        "position of a code off by one",
        "position",
        _STEPS,
        "prefill",
        "filled - prompt.first[:, 0]",
        "filled - prompt.first[:, 0] + 1",
    ),
    Fault("slot of a code off by one", "position", _STEPS, "advance", "state.slot.add_(1)", "state.slot.add_(2)"),
    Fault(
        "likeliest token before the penalty",
        "penalty",
        _SAMPLING,
        "sample",
        "logits.argmax(-1)",
        "logits.abs().argmax(-1)",
    ),
    Fault(
        "new tokens are not penalised",
        "penalty",
        _STEPS,
        "advance",
        "vocabulary == token[:, None]",
        "vocabulary == -token[:, None] - 1",
    ),
    Fault(
        "the end may come one step later",
        "end",
        _STEPS,
        "step",
        "state.step >= drawing.forced",
        "state.step > drawing.forced",
    ),
    Fault(
        "a row ends one step late",
        "end",
        _STEPS,
        "advance",
        "torch.where(__w, state.step, state.ended)",
        "torch.where(__w, state.step + 1, state.ended)",
    ),
    Fault(
        "nucleus with one token more",
        "sampling",
        _SAMPLING,
        "sample",
        "__s.cumsum(-1) > drawing.top_p",
        "__s.cumsum(-1) - __s > drawing.top_p",
    ),
)
