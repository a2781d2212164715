"""How close is close enough: data, by device and dtype."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """Least signal-to-noise ratios, in dB."""

    results: float
    gradients: float
    buffers: float

    def of(self, group: str) -> float:
        """The limit for one group of tensors."""
        return {"results": self.results, "gradients": self.gradients, "buffers": self.buffers}[group]


# Float32 carries 24 bits, 144 dB; hundreds of layers in another order of summation leave less. On XLA's CPU device,
# with noise and kinks shared, SynthesizerTrn and MultiPeriodDiscriminator at full size have their worst result at
# 117 dB and their worst gradient at 98 dB; eagerly, both are equal. A layer norm's epsilon of 1e-6 instead of 1e-5,
# which shall not pass, leaves 104 dB in the results. Those of the TPU are for products in full float32, not measured.
# What is stored in float16 was computed in float32: of thousands of values that are as near as those should be, one or
# two are rounded the other way, which leaves 106 dB; were all of them, it would be 66.
_TABLE: dict[tuple[str, str], Tolerance] = {
    ("cpu", "float32"): Tolerance(results=120, gradients=95, buffers=120),
    ("xla", "float32"): Tolerance(results=110, gradients=85, buffers=110),
    ("tpu", "float32"): Tolerance(results=80, gradients=60, buffers=80),
    ("cpu", "float64"): Tolerance(results=200, gradients=180, buffers=200),
    ("xla", "float64"): Tolerance(results=200, gradients=180, buffers=200),
    ("tpu", "float64"): Tolerance(results=80, gradients=60, buffers=80),
    ("cpu", "float16"): Tolerance(results=85, gradients=60, buffers=85),
    ("cpu", "bfloat16"): Tolerance(results=30, gradients=15, buffers=30),
    ("xla", "bfloat16"): Tolerance(results=30, gradients=15, buffers=30),
    ("tpu", "bfloat16"): Tolerance(results=30, gradients=15, buffers=30),
}

NARROW = ("bfloat16", "float16")  # types of which a few bits are all that can be equal

NEGLIGIBLE = 1e-5
"""A tensor this much smaller than its siblings is taken for zero, and its noise measured against theirs.

In SynthesizerTrn the gradients of attention key biases are at 2e-6 and below, and all others at 7e-3 and above.
"""

_NEGLIGIBLE_NARROW = 0.1  # the same where products are of bfloat16, whose eight bits leave noise of 0.4 % in each


VARIED = 20.0
"""dB that a variation may be below the limits before it is run again in float64, as the base case is where it fails.

Flow matching under other sizes has its worst gradient at 91 dB eagerly, where its base case has 123.
"""


def negligible(dtype: str) -> float:
    """How much smaller than its siblings a tensor is that is taken for zero, where `dtype` is computed in."""
    return _NEGLIGIBLE_NARROW if dtype == "bfloat16" else NEGLIGIBLE


def tolerance(device: str, dtype: str) -> Tolerance:
    """Limits for tensors of a dtype on a device; those of float32 for types that are not listed."""
    return _TABLE.get((device, dtype)) or _TABLE[device, "float32"]
