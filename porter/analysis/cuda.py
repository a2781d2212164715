"""What names CUDA in a file, and whether the rules translate it."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ..syntax.calls import has_star, keywords, method_call, positional
from ..syntax.predicates import is_name, negated, only_comparison
from ..syntax.values import Instance, Kind, is_tensor
from ..syntax.walk import descendants, dotted, same, spelled
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
    if type(node) is cst.SimpleString and "cuda" not in node.value and "\\" not in node.value:
        return False  # without evaluating it, as almost every text
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
    behind = negated(node)
    if behind is not None:
        inner = asks_for_cuda(file, behind)
        return None if inner is None else not inner
    if type(node) is cst.Call and file.resolve(node.func) == "torch.cuda.is_available" and not node.args:
        return True
    return None


def implies_cuda(file: SourceFile, test: cst.CSTNode) -> bool | None:
    """True where a condition holds only with CUDA, False where it fails only with it, None where nothing tells.

    It asks for CUDA, alone or with more; or by a name of the file's that is bound once to such a question.
    """
    behind = negated(test)
    if behind is not None:
        inner = implies_cuda(file, behind)
        return None if inner is None else not inner
    if type(test) is cst.BooleanOperation:
        decides = type(test.operator) is cst.And
        parts = (implies_cuda(file, test.left), implies_cuda(file, test.right))
        return decides if decides in parts else None
    match only_comparison(test):
        case left, (cst.Equal() | cst.NotEqual()) as operator, right if is_cuda_text(right):
            if spelled(left).endswith(".type"):
                return type(operator) is cst.Equal
    value = bound_once(file, test)
    return asks_for_cuda(file, test) if value is None else implies_cuda(file, value)


def bound_once(file: SourceFile, node: cst.CSTNode) -> cst.BaseExpression | None:
    """What a name is bound to, if nothing else of its scope binds it."""
    once = file.assigned_once(file.bindings(node)) if type(node) is cst.Name else None
    return once[1] if once is not None and type(once[0]) is cst.Name else None


def uses(file: SourceFile, target: cst.Name) -> Iterator[cst.Name]:
    """Where the value of a name is read in its scope, or bound again."""
    bound = file.bindings(target)
    for node in file.index.named(target.value) if bound else ():
        reads = isinstance(node, cst.Name) and node is not target and not file.is_label(node)
        if reads and isinstance(node, cst.Name) and file.bindings(node) is bound:
            yield node


def chosen_device(file: SourceFile, node: cst.If) -> cst.Assign | None:
    """The assignment of a device in `if torch.cuda.is_available(): name = "cuda"`, whose other branches, down to an
    `else`, assign other devices to the same name.
    """
    first = _only_assignment(node.body) if asks_for_cuda(file, node.test) else None
    if first is None or isinstance(file.parent(node), cst.If) or not is_cuda_device(file, first.value):
        return None
    other = node.orelse
    while other is not None:
        assign = _only_assignment(other.body)
        if assign is None or not same(assign.targets[0].target, first.targets[0].target):
            return None
        if not is_other_device(file, assign.value):
            return None
        if isinstance(other, cst.Else):
            return first
        other = other.orelse
    return None


def _only_assignment(block: cst.BaseSuite) -> cst.Assign | None:
    """The assignment to one name that a block consists of."""
    smalls = [small for s in block.body for small in (s.body if isinstance(s, cst.SimpleStatementLine) else [s])]
    only = smalls[0] if len(smalls) == 1 else None
    return only if isinstance(only, cst.Assign) and len(only.targets) == 1 else None


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
    possible = kind in (Kind.UNKNOWN, Kind.MODULE, Kind.MAYBE) or isinstance(kind, Instance)
    torchs = file.resolve(call.func) is None and file.imports("torch") and "cuda" not in file.project.methods
    return possible and torchs and _fits_cuda(call)


def _fits_cuda(call: cst.Call) -> bool:
    """Whether arguments are those of torch's `cuda`."""
    return len(positional(call)) <= 1 and not has_star(call) and keywords(call).keys() <= {"device", "non_blocking"}


def names_cuda(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether code fails where there is no CUDA: it says so in a text, moves there, or calls what is CUDA's."""
    if is_cuda_text(node) or moves_to_cuda(file, node) or is_setting(file, node):
        return True
    return is_name(node) and file.full_name(node).startswith("torch.cuda.")


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
    args = (file.parent(node) for node in file.index.named(name) if type(node) is cst.Name and not file.is_label(node))
    return any(isinstance(arg, cst.Arg) and _is_device_argument(file, arg) for arg in args)


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
    return file.full_name(target).startswith(SETTINGS)


def _is_visible_devices(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.SimpleString) and node.evaluated_value == "CUDA_VISIBLE_DEVICES"


def is_translated(file: SourceFile, root: cst.CSTNode) -> bool:
    """Whether rules translate all that names CUDA in a tree. What a tree imports may be anything."""
    return all(_translated(file, node) for node in descendants(root))


def _translated(file: SourceFile, node: cst.CSTNode) -> bool:
    match node:
        case cst.Import() | cst.ImportFrom():
            return False
        case cst.SimpleString() | cst.FormattedString() if is_cuda_text(node):
            return _text_translated(file, node)
        case cst.Attribute(attr=cst.Name(value="cuda")) if file.resolve(node) is None:
            call = file.call_of(node)
            return call is not None and moves_to_cuda(file, call)
    if not is_name(node) or isinstance(file.parent(node), cst.Attribute):
        return True
    target = file.full_name(node)
    if not target.startswith(("torch.cuda.", *SETTINGS)) or target in _REDIRECTED | _ASKED:
        return True
    return _is_management(file, node, target)


_ASKED = frozenset({"torch.cuda.is_available", "torch.cuda.device_count"})


def _is_management(file: SourceFile, node: cst.CSTNode, target: str) -> bool:
    """Whether a name of `torch.cuda` only manages the device: a call of its own, or a setting."""
    call = file.parent(node)
    line = file.parent(call) if call is not None else None
    if target in MANAGEMENT and isinstance(call, cst.Call) and isinstance(line, cst.Expr):
        return True
    statements = (around for around in file.ancestors(node) if isinstance(around, (cst.Assign, cst.Expr)))
    return any(is_setting(file, around) for around in statements)


def _text_translated(file: SourceFile, node: cst.BaseExpression) -> bool:
    parent = file.parent(node)
    if isinstance(parent, cst.BinaryOperation):
        node, parent = parent, file.parent(parent)
    if stands_for_device(file, node) or is_choice(file, parent):
        return True
    call = file.call_with(node)
    target = (file.resolve(call.func) or dotted(call.func)) if call is not None else None
    return call is not None and (is_cuda_device(file, call) or target in AUTOCASTS | SCALERS)
