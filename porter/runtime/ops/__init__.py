"""Operations that upstream needs and XLA lacks: same values and gradients, static shapes, no host syncs."""

from .alignment import maximum_path
from .attention import scaled_dot_product_attention
from .bincount import bincount
from .buckets import Pads, bucket, buckets, set_buckets, use_pads
from .cdist import cdist
from .cumsum import cumsum
from .dropout import Dropout, matmul
from .folded_layers import fold_time
from .forms import device_forms, wants_tpu_form
from .fused import Fusion, fused, fusions
from .glu import GLU, glu
from .grouped import Conv1d
from .host_flags import HostFlags
from .in_place import keep_in_place
from .interpolate import Upsample, interpolate, upsample
from .istft import istft
from .lengths import static_max
from .linalg import inverse, logdet
from .lstm import LSTM
from .masked_write import masked_write_
from .parametrized import parametrized_spectral_norm, parametrized_weight_norm
from .periodic import Conv2d
from .ranges import copy_ranges_, fill_ranges_, range_mask, ranges_l1, ranges_mse
from .recomputed import leaky_relu
from .rectified import relu
from .reductions import amax, amin, mean, nanmean, std, std_mean, sum, var, var_mean, vector_norm
from .sample_rows import sample_rows
from .segments import slice_segments
from .sinc import sinc
from .spectra import complex_abs, complex_angle, complex_parts, phasor_parts, polar_parts, view_as_real
from .stft import stft, stft_as_real, stft_magnitude
from .uploads import uploaded
from .weight_norm import fold_weight_norms, remove_weight_norm, weight_norm

__all__ = [
    "GLU",
    "LSTM",
    "Conv1d",
    "Conv2d",
    "Dropout",
    "Fusion",
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
    "fill_ranges_",
    "fold_time",
    "fold_weight_norms",
    "fused",
    "fusions",
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
    "mean",
    "nanmean",
    "parametrized_spectral_norm",
    "parametrized_weight_norm",
    "phasor_parts",
    "polar_parts",
    "range_mask",
    "ranges_l1",
    "ranges_mse",
    "relu",
    "remove_weight_norm",
    "sample_rows",
    "scaled_dot_product_attention",
    "set_buckets",
    "sinc",
    "slice_segments",
    "static_max",
    "std",
    "std_mean",
    "stft",
    "stft_as_real",
    "stft_magnitude",
    "sum",
    "uploaded",
    "upsample",
    "use_pads",
    "var",
    "var_mean",
    "vector_norm",
    "view_as_real",
    "wants_tpu_form",
    "weight_norm",
]
