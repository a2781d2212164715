"""The TPUs that the compiler knows, as data: each figure with its source.

Peaks are those of bfloat16 products, since that is what the matrix units do: a float32 product at PyTorch/XLA's default
precision is one bfloat16 pass too, and at `highest` several. int8 is told for comparison; no graph of the port uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

_GIB = float(1 << 30)
_DOCS = "https://docs.cloud.google.com/tpu/docs"
_LIBTPU = "libtpu 0.0.21 and 0.0.52: what it calls available when a program asks for too much"


@dataclass(frozen=True)
class Figure:
    """A number and where it comes from."""

    value: float
    source: str


@dataclass(frozen=True)
class Chip:
    """One kind of TPU. A program runs on a whole chip: where it has two cores, they are one device."""

    name: str  # as --chip has it
    topology: str  # the smallest slice, as libtpu calls it
    cores: Figure  # TensorCores of a chip
    bf16: Figure  # FLOP/s of a chip
    int8: Figure  # operations a second of a chip
    hbm: Figure  # bytes of a chip
    bandwidth: Figure  # bytes a second of a chip
    usable: Figure  # bytes of HBM that a program may use

    @property
    def peak(self) -> float:
        """FLOP/s in bfloat16."""
        return self.bf16.value

    @property
    def speed(self) -> float:
        """Bytes a second between the chip and its HBM."""
        return self.bandwidth.value


CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip(
            "v4",
            "v4:1x1x1",
            cores=Figure(2, f"{_DOCS}/v4"),
            bf16=Figure(275e12, f"{_DOCS}/v4"),
            int8=Figure(275e12, f"{_DOCS}/v4"),
            hbm=Figure(32 * _GIB, f"{_DOCS}/v4"),
            bandwidth=Figure(1200e9, f"{_DOCS}/v4"),
            usable=Figure(30.75 * _GIB, _LIBTPU),
        ),
        Chip(
            "v5e",
            "v5e:1x1",
            cores=Figure(1, f"{_DOCS}/v5e"),
            bf16=Figure(197e12, f"{_DOCS}/v5e"),
            int8=Figure(393e12, f"{_DOCS}/v5e"),
            hbm=Figure(16e9, f"{_DOCS}/v5e"),
            bandwidth=Figure(819e9, f"{_DOCS}/v5e"),
            usable=Figure(15.75 * _GIB, _LIBTPU),
        ),
        Chip(
            "v5p",
            "v5p:1x1x1",
            cores=Figure(2, f"{_DOCS}/v5p"),
            bf16=Figure(459e12, f"{_DOCS}/v5p"),
            int8=Figure(918e12, f"{_DOCS}/v5p"),
            hbm=Figure(95 * _GIB, f"{_DOCS}/v5p"),
            bandwidth=Figure(2765e9, f"{_DOCS}/v5p"),
            usable=Figure(95.73 * _GIB, _LIBTPU),
        ),
        Chip(
            "v6e",
            "v6e:1x1",
            cores=Figure(1, f"{_DOCS}/v6e"),
            bf16=Figure(918e12, f"{_DOCS}/v6e"),
            int8=Figure(1836e12, f"{_DOCS}/v6e"),
            hbm=Figure(32e9, f"{_DOCS}/v6e"),
            bandwidth=Figure(1638e9, f"{_DOCS}/v6e"),
            usable=Figure(31.24 * _GIB, _LIBTPU),
        ),
    )
}
