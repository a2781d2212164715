"""What the scan knows besides what torch says of itself (`porter.torch_facts`). Measured on torch_xla 2.9.0."""

from __future__ import annotations

from ..torch_facts.operators import always

# What no counter of fallbacks shows.
SLOW = {
    "torch.view_as_complex": "complex tensors have no gradient on XLA",
    "torch.view_as_real": "complex tensors have no gradient on XLA",
    "torch.nn.LSTM": "each step of an LSTM sends scalars to the device",
}
# Libraries beside torch.
UNLOWERED_PREFIXES = {
    "torchaudio.transforms.": "torchaudio's transforms use the FFT, which has no lowering",
    "torchaudio.functional.": "torchaudio's functions use operators with no lowering",
}

# The shape of the result follows the data.
DYNAMIC = dict.fromkeys(always("SHP"), "the number of results follows the data")
DYNAMIC_METHODS = {name.removeprefix("torch.Tensor.") for name in DYNAMIC if name.startswith("torch.Tensor.")}

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
