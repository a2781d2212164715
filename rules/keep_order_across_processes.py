"""Processes that train together have to see a dataset in the same order."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.project import SourceFile
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import method_call
from porter.syntax.walk import dotted, own_descendants

_DATASETS = ("torch.utils.data.Dataset", "torch.utils.data.IterableDataset", "torch.utils.data.dataset.Dataset")
_STRINGS = ("os.path.basename", "os.path.join", "os.path.dirname")
_KEEPS = ("strip", "lstrip", "rstrip", "lower", "upper", "replace", "removeprefix", "removesuffix", "format")

_BEFORE = """import os
import torch.utils.data


class Clips(torch.utils.data.Dataset):
    def __init__(self, folder, texts):
        features = set([name[:-3] for name in list(os.listdir(folder))])
        names = set(os.listdir(folder)) | features
        self.clips = list(set(texts) & names)

    def __len__(self):
        return len(self.clips)
"""


class KeepOrderAcrossProcesses(Rule):
    """Sort names that a dataset gathers as a set.

    The order of a set of strings follows PYTHONHASHSEED, which differs from process to process. Hosts that each pick
    their part of a shuffled list would overlap and leave clips out, and a second start would train in another order.
    Sorted is one of the orders that upstream may give. Done only where the elements are surely strings: names of
    files, and sets that share elements with those.
    """

    code = "DST008"
    title = "the same order in every process"
    safety = Safety.EXACT
    message = "the order of a set of strings differs between processes; sorted, all of them agree"
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_BEFORE.replace("list(set(texts)", "sorted(set(texts)"),
            call="len(Clips('.', ['nowhere', 'at all']))",
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        # numbers, or who knows what
        "import torch.utils.data\n\n\nclass Clips(torch.utils.data.Dataset):\n    def __init__(self, texts, others):\n"
        "        self.clips = list(set(texts) & set(others))\n",
        # no dataset
        "import os\n\n\ndef names(folder):\n    return list(set(os.listdir(folder)))\n",
        # in the order that the folder has, the same for all
        "import os\nimport torch.utils.data\n\n\nclass Clips(torch.utils.data.Dataset):\n    def __init__(self, folder):\n"
        "        self.clips = list(os.listdir(folder))\n",
    )

    def visit_Call(self, node: cst.Call) -> None:
        if not (isinstance(node.func, cst.Name) and node.func.value == "list" and len(node.args) == 1):
            return
        arg, function, owner = node.args[0], self.file.function(node), self.file.owner(node)
        if arg.star or arg.keyword is not None or function is None or owner is None:
            return
        scope = self.file.index.scope_of(node)
        if any(scope.lookup(name) is not None for name in ("list", "set", "sorted")):
            return
        dataset = any(self.file.resolve(base.value) in _DATASETS for base in owner.bases)
        if dataset and function.name.value == "__init__" and _is_string_set(self.file, function, arg.value):
            self.replace(node.func, cst.Name("sorted"))


def _is_string_set(file: SourceFile, function: cst.FunctionDef, node: cst.BaseExpression) -> bool:
    """Whether an expression is a set whose elements are surely strings."""
    if isinstance(node, cst.BinaryOperation):
        left, right = (_is_string_set(file, function, side) for side in (node.left, node.right))
        if isinstance(node.operator, cst.BitAnd):  # what is in both is equal to a string
            return (left and _is_set(file, function, node.right)) or (right and _is_set(file, function, node.left))
        if isinstance(node.operator, (cst.BitOr, cst.BitXor)):
            return left and right
        return isinstance(node.operator, cst.Subtract) and left
    if isinstance(node, cst.Name):
        values = _assigned(function, node.value)
        return bool(values) and all(_is_string_set(file, function, value) for value in values)
    if isinstance(node, cst.SetComp):
        return _is_string(file, node.elt, _string_names(file, function, node.for_in))
    return _makes_set(node) and isinstance(node, cst.Call) and _is_strings(file, function, node.args[0].value)


def _is_set(file: SourceFile, function: cst.FunctionDef, node: cst.BaseExpression) -> bool:
    if isinstance(node, cst.BinaryOperation):
        return _is_set(file, function, node.left) and _is_set(file, function, node.right)
    if isinstance(node, cst.Name):
        values = _assigned(function, node.value)
        return bool(values) and all(_is_set(file, function, value) for value in values)
    return isinstance(node, (cst.SetComp, cst.Set)) or _makes_set(node)


def _makes_set(node: cst.BaseExpression) -> bool:
    return (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Name)
        and node.func.value == "set"
        and len(node.args) == 1
    )


def _assigned(function: cst.FunctionDef, name: str) -> list[cst.BaseExpression]:
    """All that a function assigns to a local name; nothing where something else binds it too."""
    values = []
    for node in own_descendants(function.body):
        if isinstance(node, cst.Assign):
            if any(dotted(t.target) == name for t in node.targets):
                values.append(node.value)
        elif (isinstance(node, (cst.AugAssign, cst.For, cst.NamedExpr)) and dotted(node.target) == name) or (
            isinstance(node, cst.AsName) and dotted(node.name) == name
        ):
            return []
    return [] if any(p.name.value == name for p in function.params.params) else values


def _is_strings(file: SourceFile, function: cst.FunctionDef, node: cst.BaseExpression) -> bool:
    """Whether an expression is an iterable of strings: names of files, or a list made of them."""
    if isinstance(node, (cst.ListComp, cst.GeneratorExp)):
        return _is_string(file, node.elt, _string_names(file, function, node.for_in))
    if isinstance(node, cst.Call):
        if file.resolve(node.func) in ("os.listdir", "glob.glob"):
            return True
        if isinstance(node.func, cst.Name) and node.func.value in ("list", "sorted", "tuple", "set") and node.args:
            return _is_strings(file, function, node.args[0].value)
    if isinstance(node, cst.Name):
        values = _assigned(function, node.value)
        return bool(values) and all(_is_strings(file, function, value) for value in values)
    return False


def _string_names(file: SourceFile, function: cst.FunctionDef, clause: cst.CompFor) -> set[str]:
    """The names that the clauses of a comprehension give strings to."""
    found = set()
    current: cst.CompFor | None = clause
    while current is not None:
        if isinstance(current.target, cst.Name) and _is_strings(file, function, current.iter):
            found.add(current.target.value)
        current = current.inner_for_in
    return found


def _is_string(file: SourceFile, node: cst.BaseExpression, known: set[str]) -> bool:
    if isinstance(node, (cst.SimpleString, cst.FormattedString)):
        return not (isinstance(node, cst.SimpleString) and "b" in node.prefix.lower())
    if isinstance(node, cst.Name):
        return node.value in known
    if isinstance(node, cst.Subscript):
        if _is_string(file, node.value, known):
            return True  # a character, or a slice
        split = method_call(node.value, "split", "rsplit", "partition", "rpartition")
        parts = split[0] if split is not None else None
        if isinstance(node.value, cst.Call) and file.resolve(node.value.func) == "os.path.splitext":
            parts = node.value.args[0].value
        return parts is not None and _is_string(file, parts, known) and isinstance(node.slice[0].slice, cst.Index)
    if isinstance(node, cst.Call):
        if file.resolve(node.func) in _STRINGS:
            return True
        found = method_call(node, *_KEEPS)
        return found is not None and _is_string(file, found[0], known)
    return False
