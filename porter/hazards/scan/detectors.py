"""What the scan looks for, node by node."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ...analysis.arguments import bind
from ...analysis.caches import fills
from ...analysis.contexts import Contexts, host_reason
from ...analysis.cuda import is_cuda_text, is_setting, moves_to_cuda
from ...analysis.factories import input_device
from ...analysis.guards import DISTRIBUTED_ONLY
from ...analysis.listings import is_settled, lists_checkpoints
from ...analysis.numeric import is_number
from ...analysis.project import SourceFile
from ...analysis.resent import kept_on_host
from ...analysis.steps import ends_step, is_training_loop, read_step, training_loop
from ...syntax import torch_names as tn
from ...syntax.calls import method_call
from ...syntax.predicates import called, last_part, of_self
from ...syntax.values import is_tensor
from ...syntax.walk import brief, own_of_type, spelled
from . import known, operators, reads, sizes
from .asking import Detector, Found, torch_names
from .counting import counted
from .growing import growing
from .held import held_parameters
from .lengths import left_lengths, read_lengths
from .outside import outside
from .sizes import factory_sizes


def calls(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Calls that leave the device, wait for it, or make tensors elsewhere."""
    assert isinstance(node, cst.Call)
    target = file.resolve(node.func)
    if target is not None:
        yield from _library_call(file, node, target)
        if lists_checkpoints(file, node) and not is_settled(file, node):
            yield "DEV", node, "what a killed process began to save here is listed half finished"
    yield from _method(file, node)


def _library_call(file: SourceFile, node: cst.Call, target: str) -> Iterator[Found]:
    told = _by_name(target)
    if told is not None:
        yield told[0], node, told[1]
    elif target.startswith("torch.distributions."):
        yield from _distribution(file, node, target)
    elif target == "torch.from_numpy":
        if not _belongs_on_host(file, node):
            yield "DEV", node, "from_numpy makes a host tensor, which is uploaded each time"
    elif target in tn.FACTORIES:
        yield from _factory(file, node, target)


def _by_name(target: str) -> tuple[str, str] | None:
    """The hazard of each call of a function, whatever it is given, and why; None where there is none."""
    if target in _CALLED:
        return _CALLED[target]
    if target in ("torch.nn.parallel.DistributedDataParallel", "torch.nn.DataParallel"):
        return "DST", f"{target} is for CUDA and a process group"
    if target.startswith("torch.distributed.") and target not in known.DISTRIBUTED_ALLOWED:
        return "DST", f"{target} needs a process group"
    if target.startswith("torch.jit.") and last_part(target) in ("script", "trace", "script_method"):
        return "JIT", f"{target} keeps the function from being traced"
    return ("RNG", f"{target} draws on the host") if target.startswith("numpy.random.") else None


_SEEDS = "torch.manual_seed does not seed the device's generator"
_CALLED = {
    "torch.manual_seed": ("RNG", _SEEDS),
    "torch.random.manual_seed": ("RNG", _SEEDS),
    "torch.nn.utils.rnn.pad_sequence": (
        "SHP",
        "pad_sequence pads to the longest of the batch, so every batch has a shape of its own",
    ),
}


def _distribution(file: SourceFile, node: cst.Call, target: str) -> Iterator[Found]:
    of_numbers = bool(node.args) and all(is_number(file, a.value) for a in node.args)
    made = last_part(target)[:1].isupper() and "constraints" not in target
    if made and not of_numbers and not bind(file, node, "validate_args"):
        yield "SYN", node, "a distribution checks its parameters on the host"


def _factory(file: SourceFile, node: cst.Call, target: str) -> Iterator[Found]:
    """A host tensor made where tensors are on the device. In constructors and data loading the host is right."""
    yield from factory_sizes(file, node, target)
    if _belongs_on_host(file, node):
        return
    placed = bool(bind(file, node, "device"))
    if target in ("torch.tensor", "torch.as_tensor") and not (node.args and is_tensor(file.kind(node.args[0].value))):
        if placed or file.function(node) is not None:
            yield "DEV", node, f"{target} copies Python values to the host and uploads them each time"
    elif target in tn.TYPE_FACTORIES:
        yield "DEV", node, f"{target} makes a host tensor, which is uploaded each time"
    elif not placed:
        family = "RNG" if target in tn.RANDOM_FACTORIES else "DEV"
        yield family, node, f"{target} without a device makes a host tensor"


def _belongs_on_host(file: SourceFile, node: cst.Call) -> bool:
    """In a constructor or data loader, with a host generator, or on its way to be uploaded as a constant."""
    if bind(file, node, "generator"):
        return True
    reason = host_reason(file, node)
    if reason is not None and not reason.startswith(DISTRIBUTED_ONLY):
        return True
    return any(
        isinstance(a, cst.Call) and spelled(a.func).endswith(("utils.constant", "ops.uploaded"))
        for a in file.ancestors(node)
    ) or kept_on_host(file, node)


def _method(file: SourceFile, node: cst.Call) -> Iterator[Found]:
    if not isinstance(node.func, cst.Attribute) or file.resolve(node.func) is not None:
        return
    if moves_to_cuda(file, node):
        yield "DEV", node, "cuda() names one backend"
    if node.args and is_tensor(file.kind(node.func.value)):
        yield from _of_tensor(file, node, node.func.attr.value, node.args[0].value)


def _of_tensor(file: SourceFile, node: cst.Call, name: str, first: cst.BaseExpression) -> Iterator[Found]:
    """A method of a tensor."""
    if name == "new_tensor" and not is_tensor(file.kind(first)) and not _belongs_on_host(file, node):
        yield "DEV", node, "new_tensor copies Python values to the host and uploads them each time"
    elif name == "type" and _host_type(file, first):
        yield "SYN", node, f"type({brief(first)}) is a type of the CPU's, and to the CPU waits for the device"


def _host_type(file: SourceFile, node: cst.BaseExpression) -> bool:
    """`torch.LongTensor`, or its name as text."""
    name = str(node.evaluated_value) if isinstance(node, cst.SimpleString) else file.resolve(node)
    return name in tn.TYPE_FACTORIES


def names(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Functions of libraries that have no place in the port, called or passed on."""
    target = file.fact(torch_names).get(node)
    if target is None:
        return
    if target.startswith("torch.cuda."):
        yield "DEV", node, f"{target} names one backend"
    if target in _NAMED:
        yield "DEV", node, _NAMED[target]
    if target in ("torch.save", "torch.serialization.save") and file.in_trainers:
        yield "DEV", node, "torch.save writes tensors of the device as such, and a kill leaves half a file"
    yield from operators.functions(file, node, target)


_NAMED = {
    "torch.inference_mode": "inference tensors cannot be written to in slices on XLA",
    "torch.utils.checkpoint.checkpoint": "torch's checkpoint knows no XLA device",
}


def texts(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """`"cuda"` as a device."""
    if is_cuda_text(node) and isinstance(file.parent(node), (cst.Arg, cst.IfExp, cst.Assign)):
        yield "DEV", node, '"cuda" names one backend'


def settings(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Statements that set something of CUDA's; those that call a function of torch.cuda are found by its name."""
    call = node.value if isinstance(node, cst.Expr) else None
    named = isinstance(call, cst.Call) and file.full_name(call.func).startswith("torch.cuda.")
    if is_setting(file, node) and not named:
        yield "DEV", node, f"{brief(node)} is a setting of CUDA's"


def choices(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Branches that Python's random generator chooses."""
    assert isinstance(node, cst.If)
    if any(file.full_name(c.func).startswith("random.") for c in own_of_type(node.test, cst.Call)):
        yield "GRF", node.test, f"{brief(node.test)} picks between two graphs"


def assignments(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Tensors of one graph kept for the next."""
    assert isinstance(node, cst.Assign)
    if fills(file, node) and not (
        isinstance(node.value, cst.Call) and spelled(node.value.func).endswith("utils.constant")
    ):
        yield "DEV", node, "a cached tensor of one graph is used by later ones"


def decorators(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Scripted functions."""
    assert isinstance(node, cst.Decorator)
    target = file.resolve(node.decorator) or ""
    if target in ("torch.jit.script", "torch.jit.script_method"):
        yield "JIT", node, "a scripted function is not traced"


def steps(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Training loops that do not end their step, which then grows into one graph with the next."""
    assert isinstance(node, (cst.For, cst.While))
    if not file.is_trainer or not is_training_loop(node):
        return
    step = read_step(file, node)
    if step is None:
        yield "GRF", node, "an iteration of this training loop may be left before its step ends"
    elif not any(ends_step(file, statement) for statement in step.after):
        yield "GRF", node, "this training loop never ends its step: its iterations become one graph"


def backward_passes(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Gradients that are computed outside of any loop that steps an optimizer."""
    assert isinstance(node, cst.Call)
    found = method_call(node, "backward")
    if found is None or not file.is_trainer or training_loop(file, node) is not None:
        return
    if file.function(node) is not None:
        yield "GRF", node.func, "gradients are computed where no training loop is in sight that could end the step"


def device_of_helper(file: SourceFile, node: cst.CSTNode) -> str | None:
    """Why a factory without a device is made on the right one after all: its callers say which."""
    function = file.function(node)
    if function is None or input_device(file, node) is not None:
        return None
    uses = [(f, n) for f, n in file.project.fact(Contexts).references(function)] + _method_uses(file, function)
    placed = [f"{f.path}:{f.span(n).line}" for f, n in uses if _on_device(f, n)]
    if uses and len(placed) == len(uses):
        return f"its callers run it on their device (utils.on_device at {placed[0]})"
    return None


def _method_uses(file: SourceFile, function: cst.FunctionDef) -> list[tuple[SourceFile, cst.CSTNode]]:
    owner = file.owner(function)
    named = (n for n in file.index.named(function.name.value) if of_self(n) is not None)
    return [(file, n) for n in named if owner is not None and file.owner(n) is owner]


def _on_device(file: SourceFile, use: cst.CSTNode) -> bool:
    return (called(file.call_with(use)) or "").endswith("utils.on_device")


DETECTORS: dict[type[cst.CSTNode], tuple[Detector, ...]] = {
    cst.FormattedStringExpression: (reads.formats,),
    cst.Call: (
        *(calls, reads.methods, reads.builtins, reads.libraries, sizes.results, sizes.numbers),
        *(left_lengths, read_lengths, operators.methods, outside, backward_passes),
    ),
    cst.For: (steps,),
    cst.FunctionDef: (held_parameters,),
    cst.Attribute: (names,),
    cst.Name: (names,),
    cst.SimpleString: (texts,),
    cst.FormattedString: (texts,),
    cst.BinaryOperation: (texts, reads.percents, reads.repeats),
    cst.If: (reads.conditions, choices),
    cst.While: (reads.conditions, steps),
    cst.Assert: (reads.conditions,),
    cst.IfExp: (reads.conditions,),
    cst.CompIf: (reads.conditions,),
    cst.UnaryOperation: (reads.truths,),
    cst.BooleanOperation: (reads.truths,),
    cst.Comparison: (reads.comparisons,),
    cst.Match: (reads.cases,),
    cst.Subscript: (sizes.subscripts, reads.positions, counted),
    cst.Assign: (assignments, settings, growing),
    cst.Expr: (settings,),
    cst.Decorator: (decorators,),
}
