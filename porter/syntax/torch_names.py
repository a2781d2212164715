"""What torch's functions and methods take and return, as far as kinds of values go."""

from __future__ import annotations

from typing import TypeVar

from ..torch_facts.reading import canonical
from ..torch_facts.results import attributes, result
from ..torch_facts.signatures import signatures

V = TypeVar("V")

TENSOR_TYPES = frozenset(
    "Tensor FloatTensor LongTensor IntTensor DoubleTensor HalfTensor BoolTensor ByteTensor ShortTensor".split()
)

# Functions that make a tensor from shapes or Python values, on the default device unless told otherwise.
RANDOM_FACTORIES = frozenset(f"torch.{n}" for n in "rand randn randint randperm normal".split())
PLAIN_FACTORIES = frozenset(
    f"torch.{n}"
    for n in (
        "zeros ones full empty arange linspace logspace eye tensor as_tensor scalar_tensor hann_window hamming_window "
        "blackman_window bartlett_window kaiser_window tril_indices triu_indices"
    ).split()
)
TYPE_FACTORIES = frozenset(f"torch.{n}" for n in TENSOR_TYPES)
FACTORIES = RANDOM_FACTORIES | PLAIN_FACTORIES | TYPE_FACTORIES

HOST_ATTRIBUTES = attributes("host")
TENSOR_ONLY_ATTRIBUTES = frozenset("dtype ndim is_cuda".split()) | {"device", "shape"}
# Methods by which a function shows that it takes a parameter for a tensor.
TENSOR_ONLY_METHODS = frozenset(
    (
        "unsqueeze squeeze transpose permute view reshape contiguous expand expand_as masked_fill masked_fill_ "
        "masked_scatter gather scatter scatter_ index_select detach float half long double bfloat16 size dim numel "
        "softmax log_softmax sigmoid tanh relu clamp clamp_ clamp_min flatten repeat_interleave matmul bmm norm "
        "argmax argmin topk new_zeros new_ones new_tensor type_as uniform_ normal_ zero_ fill_ mul_ add_ sub_ "
        "div_ clone backward requires_grad_ unbind chunk unfold nonzero"
    ).split()
)

# Methods of a module that give the module itself, and those that give no tensor.
MODULE_KEEPING_METHODS = frozenset(
    "to cuda cpu half float double bfloat16 train eval apply requires_grad_ share_memory".split()
)
MODULE_HOST_METHODS = frozenset(
    (
        "state_dict load_state_dict parameters named_parameters buffers named_buffers children named_children modules "
        "named_modules zero_grad get_submodule"
    ).split()
)

# Methods that give a tensor of the kind of their receiver.
_KEEPING = frozenset(
    "detach unsqueeze squeeze transpose view expand contiguous reshape permute clone repeat to flatten".split()
)
_HOST_FUNCTIONS = frozenset({"torch.load"})  # torch says nothing of it
_HOST_PREFIXES = (
    "torch.cuda.",
    "torch.distributed.",
    "torch.backends.",
    "torch.utils.",
    "torch.jit.",
    "torch.version",
)

_TENSOR_MODULES = frozenset(
    {"torch", "torch.nn.functional", "torch.linalg", "torch.fft", "torch.special", "torch.Tensor"}
)

HOST_BUILTINS = frozenset("len int float bool str range isinstance hasattr min max abs round type repr open id".split())
ARITHMETIC_BUILTINS = frozenset("abs divmod max min pow round sum".split())  # of tensors, these give tensors
HOST_BUILTINS -= ARITHMETIC_BUILTINS


def makes_tensor(target: str) -> bool:
    """Whether calling `target` makes a new tensor from Python values."""
    return target in FACTORIES or (target.endswith("_like") and target.startswith("torch."))


def takes_tensor_first(target: str) -> bool:
    """Whether the first argument of `target` is a tensor."""
    if target.rpartition(".")[0] not in _TENSOR_MODULES or canonical(target) in FACTORIES:
        return False
    first = [s.parameters[0] for s in signatures(target) if s.parameters]
    return any(p.tensor or p.name == "input" for p in first)  # what torch calls `input` is a tensor


def torch_result(target: str, tensor: V, mask: V, host: V, unknown: V) -> V:
    """The kind of what a torch function returns."""
    if target in _HOST_FUNCTIONS or target.startswith(_HOST_PREFIXES):
        return host
    last = target.rsplit(".", 1)[-1]
    if last in TENSOR_TYPES or last == "Parameter":
        return tensor
    given = result(target)
    if given <= {"mask", "host"}:
        return mask if given == {"mask"} else host if given else unknown
    return tensor


def method_result(name: str, base: V, tensor: V, mask: V, host: V, sequence: V) -> V:
    """The kind of what a method of a tensor returns."""
    if name in _KEEPING:
        return base
    kinds = {"mask": mask, "host": host, "sequence": sequence}
    given = result(f"torch.Tensor.{name}")
    return kinds.get(next(iter(given)), tensor) if len(given) == 1 else tensor
