"""What names CUDA in a file, and whether the rules translate it."""

from __future__ import annotations

import libcst as cst

from ..syntax.calls import keywords, method_call
from ..syntax.values import Instance, Kind, is_tensor
from ..syntax.walk import descendants, dotted
from .project import SourceFile

# Calls that only manage CUDA, and are dropped as statements.
MANAGEMENT = frozenset(f"torch.cuda.{n}" for n in ("empty_cache", "synchronize", "ipc_collect"))
# The process's choice of a CUDA device, and the seeds of its generators: dropped as statements too.
CHOICES = frozenset(f"torch.cuda.{n}" for n in ("set_device", "manual_seed", "manual_seed_all"))
SETTINGS = ("torch.backends.cudnn.", "torch.backends.cuda.")
SCALERS = frozenset(
    f"torch.{n}" for n in ("cuda.amp.GradScaler", "cuda.amp.grad_scaler.GradScaler", "amp.GradScaler")
) | {"torch.amp.grad_scaler.GradScaler"}
AUTOCASTS = frozenset(("torch.autocast", "torch.amp.autocast", "torch.amp.autocast_mode.autocast"))
_REDIRECTED = SCALERS | {"torch.cuda.amp.autocast", "torch.cuda.amp.autocast_mode.autocast"}
_DEVICE_TYPES = ("cuda", "cpu", "mps", "xpu", "npu", "mlu", "privateuseone")


def is_cuda_text(node: cst.CSTNode) -> bool:
    """`"cuda"`, `"cuda:1"`, `f"cuda:{rank}"` or `"cuda:%d" % rank`."""
    return _device_type(node) == "cuda"


def _device_type(node: cst.CSTNode) -> str:
    """The part before the colon of a text that may name a device; empty for anything else."""
    if type(node) is cst.BinaryOperation:
        return _device_type(node.left) if type(node.operator) is cst.Modulo else ""
    if type(node) is cst.FormattedString:
        first = node.parts[0] if node.parts else None
        text = first.value if type(first) is cst.FormattedStringText else ""
    else:
        text = str(node.evaluated_value) if type(node) is cst.SimpleString else ""
    return text.split(":")[0]


def is_cuda_device(file: SourceFile, node: cst.CSTNode) -> bool:
    """A text that names CUDA, or `torch.device` of one."""
    if type(node) is cst.Call and file.resolve(node.func) == "torch.device":
        return bool(node.args) and len(node.args) <= 2 and is_cuda_text(node.args[0].value)
    return is_cuda_text(node)


def is_other_device(file: SourceFile, node: cst.CSTNode) -> bool:
    """A text or `torch.device` that names another device, or a choice between such: what CUDA is preferred to."""
    if type(node) is cst.IfExp:
        return is_other_device(file, node.body) and is_other_device(file, node.orelse)
    if type(node) is cst.Call and file.resolve(node.func) == "torch.device" and len(node.args) == 1:
        node = node.args[0].value
    return _device_type(node) in _DEVICE_TYPES and not is_cuda_text(node)


def asks_for_cuda(file: SourceFile, node: cst.CSTNode) -> bool | None:
    """True for `torch.cuda.is_available()`, False for its negation, None for any other condition."""
    if type(node) is cst.UnaryOperation and type(node.operator) is cst.Not:
        inner = asks_for_cuda(file, node.expression)
        return None if inner is None else not inner
    if type(node) is cst.Call and file.resolve(node.func) == "torch.cuda.is_available" and not node.args:
        return True
    return None


def is_choice(file: SourceFile, node: cst.CSTNode | None) -> bool:
    """`"cuda" if torch.cuda.is_available() else "cpu"`, either way round."""
    if not isinstance(node, cst.IfExp):
        return False
    asked = asks_for_cuda(file, node.test)
    there, gone = (node.body, node.orelse) if asked else (node.orelse, node.body)
    return asked is not None and is_cuda_device(file, there) and is_other_device(file, gone)


def moves_to_cuda(file: SourceFile, node: cst.CSTNode) -> bool:
    """`x.cuda(...)` of a tensor or a network, or of what may be one: torch is imported, and no class has its own."""
    found = method_call(node, "cuda")
    if found is None:
        return False
    receiver, call = found
    kind = file.kind(receiver)
    if is_tensor(kind):
        return True
    return (
        (kind in (Kind.UNKNOWN, Kind.MODULE, Kind.MAYBE) or isinstance(kind, Instance))
        and file.resolve(call.func) is None
        and file.imports("torch")
        and "cuda" not in file.project.methods
        and sum(a.keyword is None for a in call.args) <= 1
        and not any(a.star for a in call.args)
        and keywords(call).keys() <= {"device", "non_blocking"}
    )


def names_cuda(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether code fails where there is no CUDA: it says so in a text, moves there, or calls what is CUDA's."""
    if is_cuda_text(node) or moves_to_cuda(file, node) or is_setting(file, node):
        return True
    return (
        (file.resolve(node) or "").startswith("torch.cuda.") if isinstance(node, (cst.Name, cst.Attribute)) else False
    )


def stands_for_device(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether a text that names CUDA is used as a device where it stands."""
    parent = file.parent(node)
    if isinstance(parent, cst.Assign):
        return all(isinstance(t.target, cst.Name) and _is_device_name(file, t.target.value) for t in parent.targets)
    return isinstance(parent, cst.Arg) and _is_device_argument(file, parent)


def _is_device_argument(file: SourceFile, arg: cst.Arg) -> bool:
    call = file.parent(arg)
    if not isinstance(call, cst.Call):
        return False
    named = arg.keyword is not None and arg.keyword.value == "device"
    return named or (method_call(call, "to") is not None and arg.keyword is None and call.args[0] is arg)


def _is_device_name(file: SourceFile, name: str) -> bool:
    """Whether the file moves something to what it calls `name`."""
    return any(
        type(n) is cst.Arg and type(n.value) is cst.Name and n.value.value == name and _is_device_argument(file, n)
        for n in file.index.nodes
    )


def is_setting(file: SourceFile, node: cst.CSTNode) -> bool:
    """A statement that only sets something of CUDA's: a switch of its libraries, its device, its seed."""
    if type(node) is cst.Assign:
        return all(_is_switch(file, t.target) for t in node.targets)
    if type(node) is not cst.Expr or type(node.value) is not cst.Call:
        return False
    call = node.value
    target = file.resolve(call.func) or ""
    if target == "os.environ.setdefault":
        return bool(call.args) and _is_visible_devices(call.args[0].value)
    if target == "torch.set_float32_matmul_precision":
        return file.in_trainers
    return target in CHOICES or target.startswith(SETTINGS)


def _is_switch(file: SourceFile, target: cst.BaseExpression) -> bool:
    if type(target) is cst.Subscript:
        index = target.slice[0].slice
        return (
            file.resolve(target.value) == "os.environ" and type(index) is cst.Index and _is_visible_devices(index.value)
        )
    return (file.resolve(target) or "").startswith(SETTINGS)


def _is_visible_devices(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.SimpleString) and node.evaluated_value == "CUDA_VISIBLE_DEVICES"


def is_translated(file: SourceFile, root: cst.CSTNode) -> bool:
    """Whether rules translate all that names CUDA in a tree. What a tree imports may be anything."""
    return all(_translated(file, node) for node in descendants(root))


def _translated(file: SourceFile, node: cst.CSTNode) -> bool:
    if isinstance(node, (cst.Import, cst.ImportFrom)):
        return False
    if isinstance(node, (cst.SimpleString, cst.FormattedString)) and is_cuda_text(node):
        return _text_translated(file, node)
    if isinstance(node, cst.Attribute) and node.attr.value == "cuda" and file.resolve(node) is None:
        call = file.parent(node)
        return isinstance(call, cst.Call) and call.func is node and moves_to_cuda(file, call)
    if not isinstance(node, (cst.Attribute, cst.Name)) or isinstance(file.parent(node), cst.Attribute):
        return True
    target = file.resolve(node) or ""
    if not target.startswith(("torch.cuda.", *SETTINGS)) or target in _REDIRECTED:
        return True
    if target in ("torch.cuda.is_available", "torch.cuda.device_count"):
        return True
    call = file.parent(node)
    line = file.parent(call) if call is not None else None
    alone = isinstance(call, cst.Call) and isinstance(line, cst.Expr)
    return (alone and target in MANAGEMENT) or any(
        is_setting(file, around) for around in file.ancestors(node) if isinstance(around, (cst.Assign, cst.Expr))
    )


def _text_translated(file: SourceFile, node: cst.BaseExpression) -> bool:
    parent = file.parent(node)
    if isinstance(parent, cst.BinaryOperation):
        node, parent = parent, file.parent(parent)
    if stands_for_device(file, node) or is_choice(file, parent):
        return True
    call = file.parent(parent) if isinstance(parent, cst.Arg) else None
    if not isinstance(call, cst.Call):
        return False
    target = file.resolve(call.func) or dotted(call.func)
    return is_cuda_device(file, call) or target in AUTOCASTS | SCALERS
