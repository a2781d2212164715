"""How close is close enough: data, by device and dtype."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """Least signal-to-noise ratios, in dB."""

    results: float
    gradients: float
    buffers: float
    strays: float  # for the few gradients that a kink may have spoilt

    def of(self, group: str) -> float:
        """The limit for one group of tensors."""
        return {"results": self.results, "gradients": self.gradients, "buffers": self.buffers}[group]


# Float32 carries 24 bits, 144 dB; hundreds of layers in another order of summation leave some 124 dB of that. A
# layer norm's epsilon of 1e-6 instead of 1e-5 leaves 104 dB in the results of SynthesizerTrn, and shall not pass.
#
# Gradients stray: where an activation is within rounding of a leaky ReLU's kink, either slope is right, and all that
# lies before it shifts by that one sample. In MultiPeriodDiscriminator at full size (112 gradients), 2 were found at
# 69 dB; eager float32 against float64 has its worst at 72 dB. Such strays are few and bounded, so a few may be.
#
# The TPU's are set for products in full float32, and not measured.
_TABLE: dict[tuple[str, str], Tolerance] = {
    ("cpu", "float32"): Tolerance(results=120, gradients=95, buffers=120, strays=60),
    ("xla", "float32"): Tolerance(results=110, gradients=75, buffers=110, strays=60),
    ("tpu", "float32"): Tolerance(results=80, gradients=60, buffers=80, strays=50),
    ("cpu", "float64"): Tolerance(results=200, gradients=180, buffers=200, strays=150),
    ("xla", "float64"): Tolerance(results=200, gradients=180, buffers=200, strays=150),
    ("tpu", "float64"): Tolerance(results=80, gradients=60, buffers=80, strays=50),
    ("cpu", "bfloat16"): Tolerance(results=30, gradients=15, buffers=30, strays=10),
    ("xla", "bfloat16"): Tolerance(results=30, gradients=15, buffers=30, strays=10),
    ("tpu", "bfloat16"): Tolerance(results=30, gradients=15, buffers=30, strays=10),
}

STRAYS = 0.05
"""The part of all gradients that may stray; at least one may."""

NEGLIGIBLE = 1e-5
"""A tensor this much smaller than its siblings is taken for zero, and its noise measured against theirs.

In SynthesizerTrn the gradients of attention key biases are at 2e-6 and below, and all others at 7e-3 and above.
"""


def tolerance(device: str, dtype: str) -> Tolerance:
    """Limits for tensors of a dtype on a device; those of float32 for types that are not listed."""
    return _TABLE.get((device, dtype)) or _TABLE[device, "float32"]
