"""Host tensors that each step builds from the same numbers and sends to the device again."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst

from ..syntax.calls import method_call
from ..syntax.predicates import of_self
from ..syntax.torch_names import PLAIN_FACTORIES, TENSOR_TYPES
from ..syntax.values import may_be_tensor
from ..syntax.walk import dotted, spelled
from .arguments import lacks
from .contexts import host_reason
from .cuda import moves_to_cuda
from .factories import read_move
from .project import SourceFile

_SHAPING = ("unsqueeze", "squeeze", "view", "reshape", "transpose", "t", "contiguous", "clone", "flatten", "permute")
_CASTING = ("float", "double", "half", "long", "int", "bool", "bfloat16", "type")


@dataclass(frozen=True, slots=True)
class Sent:
    """A move of a host tensor to a device."""

    tensor: cst.BaseExpression
    device: cst.BaseExpression | None  # None: the one in use


def resent(file: SourceFile, node: cst.Call) -> Sent | None:
    """The parts of `host.to(device)` where `host` is made in the constructor of a module from its settings.

    Either there, of a module that is built in each step; or later, of what such a constructor keeps in an attribute
    that is no buffer, and so stays on the host.
    """
    sent = _moved(file, node)
    if sent is None:
        return None
    owner, function = file.owner(node), file.function(node)
    if owner is None or function is None or not file.defines_module(owner):
        return None
    made: cst.BaseExpression | None = sent.tensor
    if function.name.value != "__init__":
        name = of_self(sent.tensor)
        made = file.attribute_value(owner, name) if name is not None else None
    return sent if made is not None and made_on_host(file, made) and host_reason(file, node) is None else None


def _moved(file: SourceFile, node: cst.Call) -> Sent | None:
    found = method_call(node, "to", "cuda")
    if found is None:
        return None
    if moves_to_cuda(file, node):
        return Sent(found[0], None)
    move = read_move(file, node) if method_call(node, "to") else None
    return None if move is None or move.device is None or move.dtype is not None else Sent(found[0], move.device)


def made_on_host(file: SourceFile, node: cst.BaseExpression) -> bool:
    """`torch.from_numpy(...)`, or a factory that is told no device, shaped and cast by methods."""
    while (found := method_call(node, *_SHAPING, *_CASTING)) is not None:
        if any(may_be_tensor(file.kind(arg.value)) and not _is_number(arg.value) for arg in found[1].args):
            return False
        node = found[0]
    if not isinstance(node, cst.Call):
        return False
    target = file.resolve(node.func) or ""
    if target == "torch.from_numpy":
        return True
    plain = target in PLAIN_FACTORIES or target.removeprefix("torch.") in TENSOR_TYPES
    return plain and lacks(file, node, "device", "out", "requires_grad")


def _is_number(node: cst.BaseExpression) -> bool:
    inner = node.expression if isinstance(node, cst.UnaryOperation) else node
    return isinstance(inner, cst.Integer)


def kept_on_host(file: SourceFile, node: cst.Call) -> bool:
    """Whether a constructor only keeps what is made in an attribute that methods send with `ops.uploaded`."""
    assign = next((a for a in file.ancestors(node) if isinstance(a, cst.Assign)), None)
    owner, name = file.owner(node), spelled(assign.targets[0].target) if assign is not None else ""
    if owner is None or not name.startswith("self."):
        return False
    calls = filter(None, map(file.call_of, file.index.named("uploaded")))
    sent = (call for call in calls if spelled(call.func).endswith("ops.uploaded") and file.owner(call) is owner)
    return any(dotted(call.args[0].value) == name for call in sent)
