"""What the scan looks for, node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import libcst as cst

from ..arguments import bind
from ..caches import fills
from ..contexts import DISTRIBUTED_ONLY, asks_host
from ..cuda import is_cuda_text, is_setting, moves_to_cuda
from ..factories import input_device, sizes
from ..listings import is_settled, lists_checkpoints
from ..project import SourceFile
from ..steps import ends_step, is_training_loop, read_step, training_loop
from ..syntax import torch_names as tn
from ..syntax.calls import argument, method_call, positional
from ..syntax.values import Kind, is_tensor
from ..syntax.walk import brief, dotted, own_descendants, own_of_type, same
from ..truths import is_tensor_truth
from . import known, operators

Found = tuple[str, cst.CSTNode, str]  # code, place, why
Detector = Callable[[SourceFile, cst.CSTNode], Iterator[Found]]


def calls(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Calls that leave the device, wait for it, or make tensors elsewhere."""
    assert isinstance(node, cst.Call)
    target = file.resolve(node.func)
    if target is not None:
        yield from _library_call(file, node, target)
        if lists_checkpoints(file, node) and not is_settled(file, node):
            yield "DEV", node, "what a killed process began to save here is listed half finished"
    yield from _method(file, node)
    yield from _builtin(file, node)


def _library_call(file: SourceFile, node: cst.Call, target: str) -> Iterator[Found]:
    if target in known.DYNAMIC:
        yield "SHP", node, f"{target}: {known.DYNAMIC[target]}"
    elif target == "torch.where" and len(node.args) == 1:
        yield "SHP", node, "torch.where with one argument: the number of results follows the data"
    elif target == "torch.repeat_interleave" and _tensor_count(file, node):
        yield "SHP", node, "repeat_interleave by a tensor: the length follows the data"
    elif target.startswith("torch.distributions.") and target.rsplit(".", 1)[-1][:1].isupper():
        if not bind(file, node, "validate_args") and "constraints" not in target:
            yield "SYN", node, "a distribution checks its parameters on the host"
    elif target.startswith("torch.distributed.") and target not in known.DISTRIBUTED_ALLOWED:
        yield "DST", node, f"{target} needs a process group"
    elif target in ("torch.nn.parallel.DistributedDataParallel", "torch.nn.DataParallel"):
        yield "DST", node, f"{target} is for CUDA and a process group"
    elif target.startswith("torch.jit.") and target.rsplit(".", 1)[-1] in (
        "script",
        "trace",
        "script_method",
    ):
        yield "JIT", node, f"{target} keeps the function from being traced"
    elif target in ("torch.manual_seed", "torch.random.manual_seed"):
        yield "RNG", node, "torch.manual_seed does not seed the device's generator"
    elif target.startswith("numpy.random."):
        yield "RNG", node, f"{target} draws on the host"
    elif target.startswith("numpy.") and any(is_tensor(file.kind(v)) for v in positional(node)):
        yield "SYN", node, f"{target} of a tensor waits for the device"
    elif target == "torch.from_numpy" and not _belongs_on_host(file, node):
        yield "DEV", node, "from_numpy makes a host tensor, which is uploaded each time"
    elif target == "torch.nn.utils.rnn.pad_sequence":
        yield (
            "SHP",
            node,
            "pad_sequence pads to the longest of the batch, so every batch has a shape of its own",
        )
    elif target in tn.FACTORIES:
        yield from _factory(file, node, target)


def _factory(file: SourceFile, node: cst.Call, target: str) -> Iterator[Found]:
    """A host tensor made where tensors are on the device. In constructors and data loading the host is right."""
    shaping = [v for v in sizes(file, node) if is_tensor(file.kind(v))]
    if shaping and target in tn.FACTORIES - {"torch.tensor", "torch.as_tensor"} and target not in ("torch.normal",):
        yield "SHP", node, f"the size {brief(shaping[0])} is a tensor's value"
    if _belongs_on_host(file, node):
        return
    device = (bind(file, node, "device") or {}).get("device")
    if target in ("torch.tensor", "torch.as_tensor") and not (node.args and is_tensor(file.kind(node.args[0].value))):
        if device is not None or not _used_as_constant(file, node):
            yield "DEV", node, f"{target} copies Python values to the host and uploads them each time"
    elif target in tn.TYPE_FACTORIES:
        yield "DEV", node, f"{target} makes a host tensor, which is uploaded each time"
    elif device is None:
        family = "RNG" if target in tn.RANDOM_FACTORIES else "DEV"
        yield family, node, f"{target} without a device makes a host tensor"


def _belongs_on_host(file: SourceFile, node: cst.Call) -> bool:
    """In a constructor or data loader, with a host generator, or on its way to be uploaded as a constant."""
    if bind(file, node, "generator"):
        return True
    reason = file.host_reason(node)
    if reason is not None and not reason.startswith(DISTRIBUTED_ONLY):
        return True
    return any(
        isinstance(a, cst.Call) and (dotted(a.func) or "").endswith("utils.constant") for a in file.ancestors(node)
    )


def _used_as_constant(file: SourceFile, node: cst.Call) -> bool:
    return file.function(node) is None


def _tensor_count(file: SourceFile, node: cst.Call) -> bool:
    count = (bind(file, node, "repeats") or {}).get("repeats")
    return count is not None and is_tensor(file.kind(count))


def _method(file: SourceFile, node: cst.Call) -> Iterator[Found]:
    if not isinstance(node.func, cst.Attribute) or file.resolve(node.func) is not None:
        return
    name, receiver = node.func.attr.value, node.func.value
    kind = file.kind(receiver)
    tensor = is_tensor(kind)
    if name in known.READS and not node.args and (tensor or (kind is Kind.UNKNOWN and name in ("item", "cpu"))):
        yield "SYN", node, known.READS[name]
    elif moves_to_cuda(file, node):
        yield "DEV", node, "cuda() names one backend"
    elif not tensor:
        return
    elif name in known.DYNAMIC_METHODS:
        yield "SHP", node, f"{name}(): the number of results follows the data"
    elif name == "repeat_interleave" and _tensor_count(file, node):
        yield "SHP", node, "repeat_interleave by a tensor: the length follows the data"
    elif name == "to" and any(_is_cpu(file, a.value) for a in node.args):
        yield "SYN", node, "to the CPU waits for the device"


def _is_cpu(file: SourceFile, node: cst.BaseExpression) -> bool:
    if isinstance(node, cst.Call) and file.resolve(node.func) == "torch.device" and node.args:
        node = node.args[0].value
    return isinstance(node, cst.SimpleString) and node.evaluated_value == "cpu"


def _builtin(file: SourceFile, node: cst.Call) -> Iterator[Found]:
    if not isinstance(node.func, cst.Name) or not node.args:
        return
    name, tensors = node.func.value, [a.value for a in node.args if is_tensor(file.kind(a.value))]
    if not tensors:
        return
    if name in ("float", "int", "bool", "range", "str", "repr", "complex"):
        yield "SYN", node, f"{name}({brief(tensors[0])}) waits for the device"
    elif name == "print":
        yield "SYN", node, f"printing {brief(tensors[0])} waits for the device"


def names(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Functions of libraries that have no place in the port, called or passed on."""
    assert isinstance(node, (cst.Attribute, cst.Name))
    if type(file.parent(node)) is cst.Attribute:
        return
    target = file.resolve(node)
    if target is None or not target.startswith("torch") or file.inside_import(node):
        return
    if target.startswith("torch.cuda."):
        yield "DEV", node, f"{target} names one backend"
    if target == "torch.inference_mode":
        yield "DEV", node, "inference tensors cannot be written to in slices on XLA"
    if target == "torch.utils.checkpoint.checkpoint":
        yield "DEV", node, "torch's checkpoint knows no XLA device"
    if target in ("torch.save", "torch.serialization.save") and file.in_trainers:
        yield "DEV", node, "torch.save writes tensors of the device as such, and a kill leaves half a file"


def texts(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """`"cuda"` as a device."""
    if is_cuda_text(node) and isinstance(file.parent(node), (cst.Arg, cst.IfExp, cst.Assign)):
        yield "DEV", node, '"cuda" names one backend'


def settings(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Statements that set something of CUDA's; those that call a function of torch.cuda are found by its name."""
    call = node.value if isinstance(node, cst.Expr) else None
    named = isinstance(call, cst.Call) and (file.resolve(call.func) or "").startswith("torch.cuda.")
    if is_setting(file, node) and not named:
        yield "DEV", node, f"{brief(node)} is a setting of CUDA's"


def conditions(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Python asking a tensor for its truth."""
    assert isinstance(node, (cst.If, cst.While, cst.Assert, cst.IfExp, cst.CompIf))
    if asks_host(node.test):
        return
    if is_tensor_truth(file, node.test):
        yield "SYN", node.test, f"the truth of {brief(node.test)} waits for the device"
    elif isinstance(node, cst.If) and any(
        (file.resolve(c.func) or "").startswith("random.") for c in own_of_type(node.test, cst.Call)
    ):
        yield "GRF", node.test, f"{brief(node.test)} picks between two graphs"


def truths(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """`not x`, `x and y` of tensors as values."""
    assert isinstance(node, (cst.UnaryOperation, cst.BooleanOperation))
    parent = file.parent(node)
    if isinstance(parent, cst.BooleanOperation) or getattr(parent, "test", None) is node:
        return  # part of what is looked at as a whole
    if isinstance(node, cst.BooleanOperation):
        if not asks_host(node) and is_tensor_truth(file, node.left):
            yield "SYN", node, f"the truth of {brief(node.left)} waits for the device"
        return
    negated = isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Not)
    if negated and not isinstance(parent, cst.UnaryOperation) and is_tensor_truth(file, node.expression):
        yield "SYN", node, f"the truth of {brief(node.expression)} waits for the device"


def subscripts(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Indexing by masks, and slicing by tensors."""
    assert isinstance(node, cst.Subscript)
    for element in node.slice:
        index = element.slice
        if isinstance(index, cst.Index):
            if file.kind(index.value) is Kind.MASK or _compares(index.value, node.value):
                yield (
                    "SHP",
                    node,
                    f"indexing by the mask {brief(index.value)}: the number of results follows the data",
                )
        elif isinstance(index, cst.Slice):
            for bound in (index.lower, index.upper, index.step):
                if bound is not None and (is_tensor(file.kind(bound)) or _sample_bound(file, bound)):
                    yield (
                        "SYN",
                        node,
                        f"slicing by {brief(bound)} reads its value and bakes it into the graph",
                    )


def _compares(index: cst.BaseExpression, indexed: cst.BaseExpression) -> bool:
    """`x[x > 0]`, whatever else is known of x."""
    if not isinstance(index, cst.Comparison) or not same(index.left, indexed):
        return False
    return not any(isinstance(c.operator, (cst.Is, cst.IsNot, cst.In, cst.NotIn)) for c in index.comparisons)


def _sample_bound(file: SourceFile, bound: cst.BaseExpression) -> bool:
    """`lengths[i]` with the variable of a loop, where `lengths` may well be a tensor."""
    for part in own_descendants(bound):
        if isinstance(part, cst.Name) and any(_sample_value(file, v) for v in _assigned_in_loop(file, part)):
            return True
        if _sample_value(file, part):
            return True
    return False


def _assigned_in_loop(file: SourceFile, name: cst.Name) -> Iterator[cst.BaseExpression]:
    """What the loops around a name assign to it, arithmetic taken apart."""
    for loop in file.ancestors(name):
        if isinstance(loop, (cst.For, cst.While)):
            for node in own_descendants(loop.body):
                if isinstance(node, cst.Assign) and any(dotted(t.target) == name.value for t in node.targets):
                    yield from (n for n in own_of_type(node.value, cst.Subscript))


def _sample_value(file: SourceFile, part: cst.CSTNode) -> bool:
    """`lengths[i]` with the variable of a loop (or comprehension) around it."""
    if not isinstance(part, cst.Subscript) or len(part.slice) != 1 or not isinstance(part.slice[0].slice, cst.Index):
        return False
    index = part.slice[0].slice.value
    if not isinstance(index, cst.Name) or file.kind(part.value) not in (Kind.UNKNOWN, Kind.TENSOR):
        return False
    for around in file.ancestors(part):
        if isinstance(around, cst.For) and dotted(around.target) == index.value:
            return True
        clause = getattr(around, "for_in", None)
        if isinstance(clause, cst.CompFor) and dotted(clause.target) == index.value:
            return True
        if isinstance(around, cst.While) and any(
            isinstance(n, cst.AugAssign) and dotted(n.target) == index.value for n in own_descendants(around.body)
        ):
            return True
    return False


def assignments(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Tensors of one graph kept for the next."""
    assert isinstance(node, cst.Assign)
    if fills(file, node) and not (
        isinstance(node.value, cst.Call) and (dotted(node.value.func) or "").endswith("utils.constant")
    ):
        yield "DEV", node, "a cached tensor of one graph is used by later ones"


def decorators(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Scripted functions."""
    assert isinstance(node, cst.Decorator)
    target = file.resolve(node.decorator) or ""
    if target in ("torch.jit.script", "torch.jit.script_method"):
        yield "JIT", node, "a scripted function is not traced"


def mask_lengths(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Calls that leave the length of a mask to the data."""
    assert isinstance(node, cst.Call)
    found = file.project.function(file.resolve(node.func))
    if found is None:
        return
    _other, function = found
    for part in own_descendants(function.body):
        if isinstance(part, cst.If) and isinstance(part.test, cst.Comparison) and isinstance(part.test.left, cst.Name):
            body = part.body.body[0]
            if "static_max" not in cst.Module([]).code_for_node(body):
                continue
            name = part.test.left.value
            params = [p.name.value for p in function.params.params]
            if name in params and argument(node, name, params.index(name)) is None:
                yield "SHP", node, f"without {name}, the length of the mask follows the data"


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
    uses = [(f, n) for f, n in file.project.contexts.references(function)] + _method_uses(file, function)
    placed = [f"{f.path}:{f.span(n).line}" for f, n in uses if _on_device(f, n)]
    if uses and len(placed) == len(uses):
        return f"its callers run it on their device (utils.on_device at {placed[0]})"
    return None


def _method_uses(file: SourceFile, function: cst.FunctionDef) -> list[tuple[SourceFile, cst.CSTNode]]:
    owner = file.owner(function)
    if owner is None:
        return []
    name = f"self.{function.name.value}"
    return [
        (file, n)
        for n in file.index.nodes
        if isinstance(n, cst.Attribute) and dotted(n) == name and file.owner(n) is owner
    ]


def _on_device(file: SourceFile, use: cst.CSTNode) -> bool:
    arg = file.parent(use)
    call = file.parent(arg) if isinstance(arg, cst.Arg) else None
    return isinstance(call, cst.Call) and (dotted(call.func) or "").endswith("utils.on_device")


def formats(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Tensors put into text, unless the text is for an error."""
    assert isinstance(node, cst.FormattedStringExpression)
    if any(isinstance(a, (cst.Raise, cst.Assert)) for a in file.ancestors(node)):
        return
    if is_tensor(file.kind(node.expression)):
        yield "SYN", node.expression, f"formatting {brief(node.expression)} waits for the device"


DETECTORS: dict[type[cst.CSTNode], tuple[Detector, ...]] = {
    cst.FormattedStringExpression: (formats,),
    cst.Call: (calls, operators.methods, mask_lengths, backward_passes),
    cst.For: (steps,),
    cst.Attribute: (names, operators.functions),
    cst.Name: (names, operators.functions),
    cst.SimpleString: (texts,),
    cst.FormattedString: (texts,),
    cst.BinaryOperation: (texts,),
    cst.If: (conditions,),
    cst.While: (conditions, steps),
    cst.Assert: (conditions,),
    cst.IfExp: (conditions,),
    cst.CompIf: (conditions,),
    cst.UnaryOperation: (truths,),
    cst.BooleanOperation: (truths,),
    cst.Subscript: (subscripts,),
    cst.Assign: (assignments, settings),
    cst.Expr: (settings,),
    cst.Decorator: (decorators,),
}
