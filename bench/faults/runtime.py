"""Faults in the emitted runtime: on the CPU where its one form runs there too, else on XLA."""

from __future__ import annotations

from bench.faults.record import Fault

FAULTS = (
    Fault(
        "segments one late",
        "off by one",
        "ops/segments.py",
        "slice_segments",
        "__a + torch.arange(size, device=__d)",
        "(__a + torch.arange(size, device=__d) + 1).clamp(max=x.shape[-1] - 1)",
    ),
    Fault(
        "written where the mask is not",
        "swapped arguments",
        "ops/masked_write.py",
        "masked_write_",
        "torch.where(__m, __a, __b)",
        "torch.where(__m, __b, __a)",
    ),
    Fault("ranges one longer", "off by one", "ops/ranges.py", "range_mask", "__a < __b", "__a <= __b"),
    Fault(
        "mean over the padding too",
        "missing factor",
        "ops/ranges.py",
        "_range_errors",
        "__m.expand_as(difference).flatten(1).sum(1)",
        "torch.ones_like(difference).flatten(1).sum(1)",
    ),
    Fault("first row drawn for none", "off by one", "ops/sample_rows.py", "sample_rows", "__m.sub(1)", "__m"),
    Fault("norm over all axes", "wrong axis", "ops/weight_norm.py", "weight_norm", "-1 if dim is None else dim", "-1"),
    Fault(
        "weight norm stays on", "stale value", "ops/weight_norm.py", "remove_weight_norm", "hook.remove(module)", "None"
    ),
    Fault(
        "rounded down to a bucket",
        "off by one",
        "ops/buckets.py",
        "_default_boundary",
        "-(-length // step) * step",
        "length // step * step",
    ),
    Fault(
        "flag read as false",
        "stale value",
        "ops/host_flags.py",
        "HostFlags.host_flag",
        "bool(buffer)",
        "not bool(buffer)",
    ),
    # The forms that only XLA runs.
    Fault(
        "nearest one to the right",
        "off by one",
        "ops/interpolate.py",
        "nearest_positions",
        "np.minimum(__p, source - 1)",
        "np.minimum(__p + 1, source - 1)",
        device="xla",
    ),
    Fault(
        "linear weights swapped",
        "swapped arguments",
        "ops/interpolate.py",
        "_linear",
        "__a * rest + __b * weight",
        "__a * weight + __b * rest",
        device="xla",
    ),
    Fault(
        "spectrum without its window",
        "missing factor",
        "ops/stft.py",
        "_by_products",
        "frames * shape",
        "frames",
        device="xla",
    ),
    Fault(
        "angles twice as wide",
        "missing factor",
        "ops/stft.py",
        "_dft_table",
        "2 * np.pi / n_fft",
        "np.pi / n_fft",
        device="xla",
    ),
    Fault(
        "weight norm without its length",
        "missing factor",
        "ops/weight_norm.py",
        "_factor",
        "length.to(wide) / __n",
        "1 / __n",
        device="xla",
    ),
    Fault(
        "inverse's gradient with the wrong sign",
        "lost gradient",
        "ops/linalg.py",
        "_Inverse.backward",
        "-(__a @ __g @ __b)",
        "__a @ __g @ __b",
        device="xla",
    ),
    Fault(
        "determinant without gradient",
        "lost gradient",
        "ops/linalg.py",
        "logdet",
        "_LogDet.apply(input)",
        "torch.logdet(input.detach())",
        device="xla",
    ),
)
