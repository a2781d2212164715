"""What the scan knows besides what torch says of itself (`porter.torch_facts`). Measured on torch_xla 2.9.0."""

from __future__ import annotations

from ...torch_facts.operators import always

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
DYNAMIC |= {
    f"torch.nn.utils.rnn.{name}": "the host packs by the lengths, and the number of rows follows the data"
    for name in ("pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "unpad_sequence")
}

# Functions that take a tensor where others of their kind take numbers, and read it: parameter, and place in the method.
SIZED_BY_TENSOR = {
    "narrow": ("start", 1),
    "tensor_split": ("tensor_indices_or_sections", 0),
}

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

# Methods and functions of torch that give a Python value, for which the device has to be asked.
READING_METHODS = frozenset({"item", "tolist", "numpy", "equal", "allclose", "is_nonzero", "__array__"})
READING_METHODS |= frozenset(f"__{name}__" for name in "bool int float complex index contains format repr str".split())
READING_FUNCTIONS = frozenset({"equal", "allclose", "is_nonzero"})

# Functions outside of torch's own tables that give tensors.
TENSORS_BESIDE = frozenset({"torch.nn.utils.clip_grad_norm_", "torch.nn.utils.get_total_norm", "torch.autograd.grad"})

NUMBER_TYPES = frozenset(
    f"torch.{name}"
    for name in (
        "float float16 float32 float64 half double bfloat16 int int8 int16 int32 int64 long short uint8 complex64 "
        "complex128"
    ).split()
)

# Methods of Python's own values that take whatever they are given and compute nothing with it.
HOST_METHODS = frozenset("format join get pop put write send index count remove".split())

# Builtins for which a tensor has to give its value.
READING_BUILTINS = frozenset(
    "float int bool complex str repr format range slice hex oct bin chr bytes bytearray round divmod".split()
)

# Modules of the standard library whose functions hand values on as they are, and functions of `operator` that do not.
LEAVE_VALUES_ALONE = frozenset(
    "copy functools itertools operator typing dataclasses contextlib collections weakref inspect types gc sys queue "
    "threading abc enum builtins traceback".split()
) - {"operator"}
READING_OPERATORS = frozenset("index truth not_ contains countOf indexOf".split())

# Methods of loggers and of writers of summaries, which put what they are given into text or files.
REPORTS = frozenset(
    "debug info warning error critical exception log add_scalar add_scalars add_histogram add_image add_images "
    "add_audio add_figure set_postfix set_description".split()
)

# What other packages do with tensors, where that is known: by the beginning of a full name.
OUTSIDE = {
    "einops": "einops only views, permutes and reduces, with torch's own functions",
    "x_transformers.x_transformers.apply_rotary_pos_emb": "it only multiplies and adds, with torch's own functions",
    "x_transformers.x_transformers.RotaryEmbedding": "it only multiplies and adds, with torch's own functions",
}

# What people call the objects that hold a configuration. What is read from one is a setting, not a tensor.
SETTINGS = frozenset("hps hparams h cfg conf config configs args opt opts options settings params model_config".split())
