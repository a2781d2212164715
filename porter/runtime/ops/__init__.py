"""Operations that upstream needs and XLA lacks: same values and gradients, static shapes, no host syncs."""

from porter.runtime.ops.alignment import maximum_path
from porter.runtime.ops.attention import scaled_dot_product_attention, scores
from porter.runtime.ops.bincount import bincount
from porter.runtime.ops.buckets import Pads, bucket, buckets, set_buckets, use_pads
from porter.runtime.ops.cdist import cdist
from porter.runtime.ops.cumsum import cumsum
from porter.runtime.ops.dropout import Dropout, matmul
from porter.runtime.ops.extremes import amax, amin
from porter.runtime.ops.features import features_on_chip
from porter.runtime.ops.feed_forward import wide
from porter.runtime.ops.folded_layers import fold_time
from porter.runtime.ops.forms import device_forms, wants_tpu_form
from porter.runtime.ops.gated import gated_on_chip
from porter.runtime.ops.glu import GLU, glu
from porter.runtime.ops.grouped import Conv1d
from porter.runtime.ops.host_flags import HostFlags
from porter.runtime.ops.in_place import keep_in_place
from porter.runtime.ops.interpolate import Upsample, interpolate, upsample
from porter.runtime.ops.istft import istft
from porter.runtime.ops.lengths import static_max
from porter.runtime.ops.linalg import inverse, logdet
from porter.runtime.ops.lstm import LSTM
from porter.runtime.ops.masked_write import masked_write_
from porter.runtime.ops.parametrized import parametrized_spectral_norm, parametrized_weight_norm
from porter.runtime.ops.periodic import Conv2d
from porter.runtime.ops.ranges import copy_ranges_, fill_ranges_, range_mask, ranges_l1, ranges_mse
from porter.runtime.ops.recomputed import leaky_relu
from porter.runtime.ops.rectified import relu
from porter.runtime.ops.relative import relative_scores, relative_values
from porter.runtime.ops.residual import residual_on_chip
from porter.runtime.ops.sample_rows import sample_rows
from porter.runtime.ops.segments import slice_segments
from porter.runtime.ops.sinc import sinc
from porter.runtime.ops.spectra import complex_abs, complex_angle, complex_parts, phasor_parts, polar_parts
from porter.runtime.ops.stft import stft, stft_as_real, stft_magnitude
from porter.runtime.ops.weight_norm import fold_weight_norms, remove_weight_norm, weight_norm

__all__ = [
    "GLU",
    "LSTM",
    "Conv1d",
    "Conv2d",
    "Dropout",
    "HostFlags",
    "Pads",
    "Upsample",
    "amax",
    "amin",
    "bincount",
    "bucket",
    "buckets",
    "cdist",
    "complex_abs",
    "complex_angle",
    "complex_parts",
    "copy_ranges_",
    "cumsum",
    "device_forms",
    "features_on_chip",
    "fill_ranges_",
    "fold_time",
    "fold_weight_norms",
    "gated_on_chip",
    "glu",
    "interpolate",
    "inverse",
    "istft",
    "keep_in_place",
    "leaky_relu",
    "logdet",
    "masked_write_",
    "matmul",
    "maximum_path",
    "parametrized_spectral_norm",
    "parametrized_weight_norm",
    "phasor_parts",
    "polar_parts",
    "range_mask",
    "ranges_l1",
    "ranges_mse",
    "relative_scores",
    "relative_values",
    "relu",
    "remove_weight_norm",
    "residual_on_chip",
    "sample_rows",
    "scaled_dot_product_attention",
    "scores",
    "set_buckets",
    "sinc",
    "slice_segments",
    "static_max",
    "stft",
    "stft_as_real",
    "stft_magnitude",
    "upsample",
    "use_pads",
    "wants_tpu_form",
    "weight_norm",
    "wide",
]
