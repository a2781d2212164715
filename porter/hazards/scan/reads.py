"""Places where Python asks a tensor for its value: by a method, a builtin, the standard library, or a condition."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import libcst as cst

from ...analysis.guards import asks_host
from ...analysis.project import SourceFile
from ...syntax.calls import keywords
from ...syntax.predicates import called, is_name, is_text, last_part, negated, of_self, text_of
from ...syntax.scopes import Binding
from ...syntax.values import Kind, Record, Value, is_tensor
from ...syntax.walk import brief, dotted
from . import known
from .asking import Found, for_an_error, holds_tensors, is_sequence, on_host, tensors_of, told
from .follow.shapes import is_cpu

_Values = Sequence[cst.BaseExpression]


def methods(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """`x.item()`, `x.cpu()`, `x.to("cpu")`, `x.equal(y)`; and methods that put what they are given into text."""
    assert isinstance(node, cst.Call)
    if not isinstance(node.func, cst.Attribute) or file.resolve(node.func) is not None:
        return
    name, receiver = node.func.attr.value, node.func.value
    if name in known.READS:
        yield from _read(file, node, name, receiver)
    elif name in known.READING_METHODS:
        yield from told(file, "SYN", node, receiver, f"{name}() waits for the device")
    elif name == "to":
        if any(is_cpu(file, a.value) for a in node.args):
            yield from told(file, "SYN", node, receiver, "to the CPU waits for the device")
    else:
        yield from _text(file, node, name, receiver)


def _text(file: SourceFile, node: cst.Call, name: str, receiver: cst.BaseExpression) -> Iterator[Found]:
    """Methods that put what they are given into text: those of a text, or of a logger."""
    if name == "join" and is_text(receiver):
        if node.args and holds_tensors(file.kind(node.args[0].value)):
            yield "SYN", node, "join() asks for values, which waits for the device"
    elif _formats(name, receiver, file.kind(receiver)) and not for_an_error(file, node):
        yield from _any_argument(file, node, f"{name}() puts {{}} into text, which waits for the device")


def _formats(name: str, receiver: cst.BaseExpression, kind: Value) -> bool:
    """Whether a method is the `format` of a text, or reports what it is given, as those of a logger do."""
    if name == "format":
        return is_text(receiver) or kind is Kind.HOST
    return name in known.REPORTS and not is_tensor(kind)


def _read(file: SourceFile, node: cst.Call, name: str, receiver: cst.BaseExpression) -> Iterator[Found]:
    why, kind = known.READS[name], file.kind(receiver)
    if is_tensor(kind):
        yield "SYN", node, why
    elif kind not in (Kind.UNKNOWN, Kind.MAYBE):
        return
    elif not on_host(file, node):
        yield "SYN", node, f"{why}; cannot tell whether {brief(receiver, 40)} is a tensor"
    elif name in ("item", "cpu") and not node.args:
        yield "SYN", node, why


def builtins(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """`float(x)`, `max(x, 1)`, `any(x > 0)`, `map(int, x)`, `getattr(x, "item")()`."""
    assert isinstance(node, cst.Call)
    name = called(node) or ""
    values = [a.value for a in node.args if a.keyword is None]
    if name in _BUILTINS and node.args and file.index.scope_of(node.func).lookup(name) is None:
        yield from _BUILTINS[name](file, node, name, values)


def _converted(file: SourceFile, node: cst.Call, name: str, values: _Values) -> Iterator[Found]:
    doubtful = name in ("float", "int")
    for value in values:
        yield from told(file, "SYN", node, value, f"{name}({brief(value, 40)}) waits for the device", unknown=doubtful)


def _printed(file: SourceFile, node: cst.Call, name: str, values: _Values) -> Iterator[Found]:
    for value in values:
        for tensor in tensors_of(file, value):
            yield from told(file, "SYN", node, tensor, f"printing {brief(tensor)} waits for the device")


def _each_truth(file: SourceFile, node: cst.Call, name: str, values: _Values) -> Iterator[Found]:
    if name == "filter" and isinstance(values[0], cst.Lambda):
        yield from _truth(file, node, values[0].body)
        return
    what = f"{name}() asks each item for its truth, which waits for the device"
    yield from told(file, "SYN", node, values[-1], what)


def _mapped(file: SourceFile, node: cst.Call, name: str, values: _Values) -> Iterator[Found]:
    if len(values) > 1 and _reads_each(file, values[0]):
        yield from told(file, "SYN", node, values[1], f"{dotted(values[0])}() of each item waits for the device")


def _asked_by_name(file: SourceFile, node: cst.Call, name: str, values: _Values) -> Iterator[Found]:
    """`getattr(x, "item")`."""
    asked = text_of(values[1]) if len(values) > 1 else None
    if asked in known.READS or asked in known.READING_METHODS:
        yield from told(file, "SYN", node, values[0], f"{asked}() waits for the device", unknown=True)


def _reads_each(file: SourceFile, function: cst.BaseExpression) -> bool:
    """`float`, `print` or `torch.Tensor.item`, handed on."""
    target = file.resolve(function) or ""
    method = target.removeprefix("torch.Tensor.")
    if method != target:
        return method in known.READS or method in known.READING_METHODS
    return dotted(function) in (*known.READING_BUILTINS, "print") or target.partition(".")[0] == "math"


def _compared(file: SourceFile, node: cst.Call, name: str, values: _Values) -> Iterator[Found]:
    """`max`, `min` and `sorted` ask which of two is greater; by a key, which of two keys."""
    by = keywords(node).get("key")
    what = f"{name}() compares on the host, which waits for the device"
    if isinstance(by, cst.Lambda):
        yield from told(file, "SYN", node, by.body, what)
    if by is not None:
        return
    for value in values:
        if isinstance(file.kind(value), Record):
            continue  # what is compared of a dictionary is its keys
        for tensor in tensors_of(file, value):
            yield from told(file, "SYN", node, tensor, what)
            return


_BUILTINS: dict[str, Callable[[SourceFile, cst.Call, str, _Values], Iterator[Found]]] = {
    **dict.fromkeys(("map",), _mapped),
    **dict.fromkeys(("getattr",), _asked_by_name),
    **dict.fromkeys(("any", "all", "filter"), _each_truth),
    **dict.fromkeys(("max", "min", "sorted"), _compared),
    **dict.fromkeys(("print",), _printed),
    **dict.fromkeys(known.READING_BUILTINS, _converted),
}


def libraries(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Functions of NumPy and of the standard library, and those of torch that give Python values."""
    assert isinstance(node, cst.Call)
    target = file.full_name(node.func)
    top, _, rest = target.partition(".")
    if top == "torch":
        yield from _torch_function(file, node, rest)
    elif top == "numpy" and not target.startswith("numpy.random."):
        yield from _any_argument(file, node, f"{target} of a tensor waits for the device")
    elif rest in known.READING_OPERATORS if top == "operator" else _asks_for_values(top):
        yield from _any_argument(file, node, f"{target} asks for the value of {{}}, which waits for the device")


def _torch_function(file: SourceFile, node: cst.Call, name: str) -> Iterator[Found]:
    if name in known.READING_FUNCTIONS:
        yield from _any_argument(file, node, f"torch.{name} gives a Python value, which waits for the device")
    elif name == "save" and not file.in_trainers and node.args:
        yield from told(file, "SYN", node, node.args[0].value, "torch.save copies a tensor to the host")


def _asks_for_values(top: str) -> bool:
    """Whether a module of the standard library does more with a value than hand it on."""
    return top in sys.stdlib_module_names and top not in known.LEAVE_VALUES_ALONE


def _any_argument(file: SourceFile, node: cst.Call, what: str) -> Iterator[Found]:
    """A find for the first tensor among the arguments of a call; `{}` in its wording is that argument."""
    for arg in node.args:
        for tensor in tensors_of(file, arg.value):
            yield from told(file, "SYN", node, tensor, what.replace("{}", brief(tensor, 40)))
            return


def formats(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Tensors put into text, unless the text is for an error."""
    assert isinstance(node, cst.FormattedStringExpression)
    if not for_an_error(file, node):
        for tensor in tensors_of(file, node.expression):
            yield from told(file, "SYN", node.expression, tensor, f"formatting {brief(tensor)} waits for the device")


def percents(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """`"%.3f" % x`."""
    assert isinstance(node, cst.BinaryOperation)
    if isinstance(node.operator, cst.Modulo) and is_text(node.left) and not for_an_error(file, node):
        for tensor in tensors_of(file, node.right):
            yield from told(file, "SYN", node, tensor, f"formatting {brief(tensor)} waits for the device")


def conditions(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Python asking a tensor for its truth."""
    assert isinstance(node, (cst.If, cst.While, cst.Assert, cst.IfExp, cst.CompIf))
    yield from _truth(file, node.test, node.test)


def truths(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """`not x`, `x and y` of tensors as values."""
    assert isinstance(node, (cst.UnaryOperation, cst.BooleanOperation))
    parent = file.parent(node)
    if isinstance(parent, cst.BooleanOperation) or getattr(parent, "test", None) is node:
        return  # part of what is looked at as a whole
    if isinstance(node, cst.BooleanOperation):
        asked = None if asks_host(node) else node.left
    else:
        asked = None if isinstance(parent, cst.UnaryOperation) else negated(node)
    if asked is not None:
        yield from _truth(file, node, asked)


def _truth(file: SourceFile, place: cst.CSTNode, test: cst.BaseExpression) -> Iterator[Found]:
    """The truth of a condition, if a part of it that Python may come to ask is a tensor's."""
    for part in _asked(test):
        kind = file.kind(part)
        if is_tensor(kind) or kind is Kind.MAYBE:
            yield from told(file, "SYN", place, part, f"the truth of {brief(test)} waits for the device")
            return


def _asked(test: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    if asks_host(test):
        return  # no part of it is asked about a device tensor
    if isinstance(test, cst.BooleanOperation):
        yield from _asked(test.left)
        yield from _asked(test.right)
    elif isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
        yield from _asked(test.expression)
    else:
        yield test


def comparisons(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """`n in x`, `x in (1, 2)`, and `0 < x < 1`, which asks whether its first half is true."""
    assert isinstance(node, cst.Comparison)
    values = [node.left, *(c.comparator for c in node.comparisons)]
    for left, target in zip(values, node.comparisons, strict=False):
        if isinstance(target.operator, (cst.In, cst.NotIn)):
            yield from _looked_for(file, node, left, target.comparator)
    if len(values) > 2 and not _is_condition(file, node) and any(is_tensor(file.kind(value)) for value in values):
        yield "SYN", node, f"the truth of {brief(node)} waits for the device"


def _looked_for(
    file: SourceFile, node: cst.Comparison, left: cst.BaseExpression, right: cst.BaseExpression
) -> Iterator[Found]:
    """`left in right`."""
    asked = left if is_tensor(file.kind(left)) and _compares_items(file, right) else right
    kind = file.kind(asked)
    if isinstance(kind, Record) or (is_text(left) and not is_tensor(kind)):
        return  # a dictionary looks for a key
    if is_tensor(kind) or holds_tensors(kind) or kind is Kind.MAYBE:
        yield from told(file, "SYN", node, asked, f"{brief(node)} compares on the host, which waits for the device")


def _compares_items(file: SourceFile, node: cst.BaseExpression) -> bool:
    return isinstance(node, (cst.Tuple, cst.List)) or file.kind(node) in (Kind.HOST, Kind.SEQUENCE, Kind.TENSOR)


def _is_condition(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether a value is part of what an `if` or the like asks, which is looked at as a whole."""
    parent = file.parent(node)
    while isinstance(parent, (cst.BooleanOperation, cst.UnaryOperation)):
        node, parent = parent, file.parent(parent)
    return getattr(parent, "test", None) is node


def cases(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """`match` on a tensor's value."""
    assert isinstance(node, cst.Match)
    if any(isinstance(case.pattern, (cst.MatchValue, cst.MatchOr)) for case in node.cases):
        yield from told(file, "SYN", node.subject, node.subject, f"matching {brief(node.subject)} waits for the device")


_LISTS = frozenset({"list", "tuple", "sorted", "range"})
_MODULE_LISTS = frozenset(f"torch.nn.{name}" for name in ("ModuleList", "ParameterList", "Sequential"))


def positions(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """A text, list or tuple of Python's, or a list of modules, indexed by a tensor."""
    assert isinstance(node, cst.Subscript)
    index = node.slice[0].slice
    if len(node.slice) == 1 and isinstance(index, cst.Index) and is_tensor(file.kind(index.value)):
        shape = isinstance(node.value, cst.Attribute) and node.value.attr.value == "shape"
        if shape or is_sequence(file.kind(node.value)) or _is_listing(file, node.value):
            yield "SYN", node, f"{brief(index.value)} picks from a list of Python's, which waits for the device"


def repeats(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """A text or list of Python's repeated as often as a tensor says: `[0] * n`."""
    assert isinstance(node, cst.BinaryOperation)
    if not isinstance(node.operator, cst.Multiply):
        return
    for listing, count in ((node.left, node.right), (node.right, node.left)):
        if is_tensor(file.kind(count)) and _is_listing(file, listing):
            yield "SYN", node, f"{brief(count)} says how often a list is repeated, which waits for the device"


def _is_listing(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether an expression is a text or a list, or a name or attribute that only ever is one."""
    match node:
        case cst.Name():
            bound = file.bindings(node)
            return bool(bound) and all(_binds_listing(file, binding) for binding in bound)
        case cst.Attribute():
            owner, name = file.owner(node), of_self(node)
            return owner is not None and name is not None and _makes_listing(file, file.attribute_value(owner, name))
        case cst.Call():
            return called(node) in _LISTS or file.resolve(node.func) in _MODULE_LISTS
    return is_text(node) or isinstance(node, (cst.List, cst.Tuple, cst.ListComp))


def _makes_listing(file: SourceFile, value: cst.BaseExpression | None) -> bool:
    """Whether what is assigned is a text or a list, and not by another name."""
    return value is not None and not is_name(value) and _is_listing(file, value)


def _binds_listing(file: SourceFile, binding: Binding) -> bool:
    if isinstance(binding, cst.Param) and binding.annotation is not None:
        note = binding.annotation.annotation
        name = dotted(note.value if isinstance(note, cst.Subscript) else note)
        return last_part(name) in ("list", "List", "tuple", "Tuple", "Sequence", "str")
    once = file.assigned_once([binding])
    if once is None or not isinstance(once[0], cst.Name):
        return False  # a part of what is assigned, among others
    return _makes_listing(file, once[1])
