"""Where functions and classes of a project are named, and what a use of one is."""

from __future__ import annotations

from collections import defaultdict

import libcst as cst

from ..syntax.walk import descendants, dotted
from .project import Project, SourceFile

_LOADING_ARGUMENTS = ("collate_fn", "worker_init_fn", "sampler", "batch_sampler")
# Decorators behind which a function is still called by its own name, and by nobody else.
_KEEPING = ("no_grad", "inference_mode", "enable_grad", "lru_cache", "cache", "wraps", "staticmethod", "classmethod")
_STARTERS = ("spawn", "launch", "start_replicas", "Process", "Thread", "elastic_launch", "start_processes")
COPIED = "its tensors are copied to the host first"
LOADING = "in the data loader, on host tensors"
LOADS = f"it runs {LOADING}"
Reference = tuple[SourceFile, cst.CSTNode]


def references_in(project: Project) -> dict[cst.CSTNode, list[Reference]]:
    """Where the functions and classes at the top of files are named, by definition."""
    names = {
        name
        for file in project.files.values()
        for name, bound in file.index.root.bindings.items()
        if any(isinstance(b, (cst.FunctionDef, cst.ClassDef)) for b in bound)
    }
    found: dict[cst.CSTNode, list[Reference]] = defaultdict(list)
    for file in project.files.values():
        for node in file.index.nodes:
            last = node.value if type(node) is cst.Name else node.attr.value if type(node) is cst.Attribute else None
            if last not in names or not isinstance(node, (cst.Name, cst.Attribute)) or not _is_reference(file, node):
                continue
            definition = project.definition(file.resolve(node) or _starred(file, node))
            if definition is not None:
                found[definition[1]].append((file, node))
    return found


def _is_reference(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether a name stands for its value: it is no part of a longer one, of a definition, an import or a keyword."""
    parent = file.parent(node)
    match parent:
        case cst.Attribute():
            return parent.attr is not node
        case cst.FunctionDef() | cst.ClassDef() | cst.Param():
            return parent.name is not node
        case cst.Arg():
            return parent.keyword is not node
    return not isinstance(parent, (cst.ImportAlias, cst.ImportFrom, cst.AsName))


def _starred(file: SourceFile, node: cst.Name | cst.Attribute) -> str | None:
    """What a name means that only `from ... import *` can have brought."""
    if type(node) is not cst.Name or not file.stars or file.index.scope_of(node).lookup(node.value) is not None:
        return None
    names = (f"{module}.{node.value}" for module in file.stars)
    return next((name for name in names if file.project.definition(name) is not None), None)


def kept_name(file: SourceFile, use: cst.CSTNode) -> cst.Name | None:
    """The name to which a statement at the top of a file binds what it makes, in `name = Class(...)`."""
    call = file.parent(use)
    line = file.parent(call) if isinstance(call, cst.Call) and call.func is use else None
    if not isinstance(line, cst.Assign) or len(line.targets) != 1 or line.value is not call:
        return None
    target = line.targets[0].target
    outside = file.function(line) is None and file.owner(line) is None
    return target if outside and isinstance(target, cst.Name) else None


def top_definition(file: SourceFile, node: cst.CSTNode) -> cst.FunctionDef | cst.ClassDef | None:
    """The outermost function or class around (or at) a node."""
    found = [a for a in (node, *file.ancestors(node)) if type(a) is cst.FunctionDef or type(a) is cst.ClassDef]
    return found[-1] if found else None


def is_name(node: cst.CSTNode) -> bool:
    """Whether a node is a name, dotted or not."""
    return isinstance(node, (cst.Name, cst.Attribute))


def is_run(file: SourceFile, use: cst.CSTNode) -> bool:
    """Whether a function is called where it is named, or started there as a process."""
    call = file.parent(use)
    if isinstance(call, cst.Arg):
        call = file.parent(call)
        return isinstance(call, cst.Call) and (dotted(call.func) or "").rpartition(".")[2] in _STARTERS
    return isinstance(call, cst.Call) and call.func is use


def handed_on(function: cst.FunctionDef | cst.ClassDef) -> bool:
    """Whether a decorator may give a function to somebody else."""
    return any(
        (dotted(d.decorator.func if isinstance(d.decorator, cst.Call) else d.decorator) or "").rpartition(".")[2]
        not in _KEEPING
        for d in function.decorators
    )


def given_to_loader(file: SourceFile, use: cst.CSTNode) -> str | None:
    """`DataLoader(..., collate_fn=use)`, `collate_fn=use(...)`, or by the name of a variable."""
    node = use
    parent = file.parent(node)
    if isinstance(parent, cst.Call) and parent.func is node:  # an object of a class
        node, parent = parent, file.parent(parent)
    if isinstance(parent, cst.Assign) and len(parent.targets) == 1 and isinstance(parent.targets[0].target, cst.Name):
        target, function = parent.targets[0].target, file.function(parent)
        around: cst.CSTNode = function.body if function is not None else file.module
        uses = [n for n in descendants(around) if isinstance(n, cst.Name) and n.value == target.value]
        asked = [n for n in uses if n is not target and not _is_keyword(file, n)]
        return LOADS if asked and all(_is_loading_argument(file, n) for n in asked) else None
    return LOADS if _is_loading_argument(file, node) else None


def _is_keyword(file: SourceFile, node: cst.CSTNode) -> bool:
    parent = file.parent(node)
    return isinstance(parent, cst.Arg) and parent.keyword is node


def _is_loading_argument(file: SourceFile, node: cst.CSTNode) -> bool:
    arg = file.parent(node)
    return isinstance(arg, cst.Arg) and arg.keyword is not None and arg.keyword.value in _LOADING_ARGUMENTS


def is_static_use(file: SourceFile, use: cst.CSTNode) -> bool:
    """`Class.apply(...)`: the use runs the class's code there and then; a constructor call does not."""
    parent = file.parent(use)
    return isinstance(parent, cst.Attribute) and parent.attr.value == "apply"


def is_local_use(file: SourceFile, use: cst.CSTNode) -> bool:
    """A function called, or called by a local name; kept in an attribute or handed on, anyone may call it."""
    parent = file.parent(use)
    if isinstance(parent, cst.Call):
        return parent.func is use
    while isinstance(parent, cst.IfExp):
        parent = file.parent(parent)
    function = file.function(use)
    if not isinstance(parent, (cst.Assign, cst.AnnAssign)) or function is None:
        return False
    targets = [t.target for t in parent.targets] if isinstance(parent, cst.Assign) else [parent.target]
    names = {t.value for t in targets if isinstance(t, cst.Name)}
    others = [
        n for n in descendants(function.body) if isinstance(n, cst.Name) and n.value in names and n not in targets
    ]
    return len(names) == len(targets) and all(
        isinstance(call := file.parent(n), cst.Call) and call.func is n for n in others
    )


def host_argument(file: SourceFile, use: cst.CSTNode) -> str | None:
    """The call hands over host copies, and else only settings: `helper(utils.to_host(x), self.size)`."""
    call = file.parent(use)
    if not isinstance(call, cst.Call) or call.func is not use or not call.args:
        return None
    values = [arg.value for arg in call.args]
    copies = [v for v in values if isinstance(v, cst.Call) and (dotted(v.func) or "").endswith("utils.to_host")]
    return COPIED if copies and all(v in copies or _is_setting(file, v) for v in values) else None


def _is_setting(file: SourceFile, value: cst.BaseExpression) -> bool:
    if isinstance(value, (cst.Integer, cst.Float, cst.SimpleString)) or dotted(value) in ("True", "False", "None"):
        return True
    owner = file.owner(value)
    if owner is None or not isinstance(value, cst.Attribute) or dotted(value.value) != "self":
        return False
    given = file.attribute_value(owner, value.attr.value)
    return isinstance(given, (cst.Name, cst.Integer, cst.Float)) and value.attr.value not in file.buffers(owner)
