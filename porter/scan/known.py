"""Names that leave the device, by what they do there. Measured on torch_xla 2.9.0; docs/hazards.md tells how."""

from __future__ import annotations

# Functions with no lowering (forward or backward), by full name.
UNLOWERED = {
    "torch.istft": "istft aborts the process on XLA",
    "torch.stft": "stft has no lowering",
    "torch.searchsorted": "searchsorted has no lowering",
    "torch.bucketize": "bucketize has no lowering",
    "torch.bincount": "bincount has no lowering",
    "torch.histc": "histc has no lowering",
    "torch.multinomial": "multinomial without replacement has no lowering",
    "torch.cdist": "the gradient of cdist has no lowering",
    "torch.median": "median has no lowering",
    "torch.nanmedian": "median has no lowering",
    "torch.logcumsumexp": "logcumsumexp has no lowering",
    "torch.polar": "polar has no lowering",
    "torch.sinc": "sinc has no lowering",
    "torch.special.sinc": "sinc has no lowering",
    "torch.kaiser_window": "kaiser_window raises on XLA",
    "torch.logdet": "the gradient of logdet raises on XLA",
    "torch.inverse": "inverse has no lowering",
    "torch.linalg.inv": "inverse has no lowering",
    "torch.view_as_complex": "complex tensors have no gradient on XLA",
    "torch.view_as_real": "complex tensors have no gradient on XLA",
    "torch.nn.functional.interpolate": "1-D interpolation has no lowering",
    "torch.nn.functional.upsample": "1-D interpolation has no lowering",
    "torch.nn.functional.grid_sample": "grid_sample has no lowering",
    "torch.nn.functional.ctc_loss": "ctc_loss has no lowering",
    "torch.nn.functional.glu": "the gradient of glu has no lowering",
    "torch.nn.functional.unfold": "unfold has no lowering",
    "torch.nn.functional.fold": "fold has no lowering",
    "torch.nn.CTCLoss": "ctc_loss has no lowering",
    "torch.nn.GLU": "the gradient of glu has no lowering",
    "torch.nn.LSTM": "each step of an LSTM sends scalars to the device",
    "torch.nn.Unfold": "unfold has no lowering",
    "torch.nn.Fold": "fold has no lowering",
    "torch.nn.Upsample": "1-D interpolation has no lowering",
    "torch.nn.utils.weight_norm": "weight norm has no lowering",
    "torch.nn.utils.parametrizations.weight_norm": "weight norm has no lowering",
}
UNLOWERED_PREFIXES = {
    "torch.fft.": "Fourier transforms have no lowering",
    "torchaudio.transforms.": "torchaudio's transforms use the FFT, which has no lowering",
    "torchaudio.functional.": "torchaudio's functions use operators with no lowering",
}
UNLOWERED_METHODS = {
    "stft": "stft has no lowering",
    "istft": "istft aborts the process on XLA",
    "bincount": "bincount has no lowering",
    "multinomial": "multinomial without replacement has no lowering",
    "median": "median has no lowering",
    "unfold": "unfold has no lowering",
    "logdet": "the gradient of logdet raises on XLA",
    "inverse": "inverse has no lowering",
    "logcumsumexp": "logcumsumexp has no lowering",
}

# The shape of the result follows the data.
DYNAMIC = {
    "torch.nonzero": "the number of results follows the data",
    "torch.argwhere": "the number of results follows the data",
    "torch.masked_select": "the number of results follows the data",
    "torch.unique": "the number of results follows the data",
    "torch.unique_consecutive": "the number of results follows the data",
}
DYNAMIC_METHODS = {"nonzero", "argwhere", "masked_select", "unique", "unique_consecutive"}

READS = {
    "item": "item() waits for the device",
    "tolist": "tolist() waits for the device",
    "numpy": "numpy() waits for the device",
    "cpu": "cpu() waits for the device",
}

DISTRIBUTED_ALLOWED = {
    "torch.distributed.is_available",
    "torch.distributed.is_initialized",
}
