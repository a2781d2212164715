"""Where functions and classes of a project are named, and what a use of one is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator

import libcst as cst

from ..syntax.predicates import called, last_part, of_self, only_target, own_name, targets
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
_NAMING = frozenset({cst.Name, cst.Attribute})


def references_in(project: Project) -> dict[cst.CSTNode, list[Reference]]:
    """Where the functions and classes at the top of files are named, by definition."""
    names = {name for file in project.files.values() for name in _defined(file)}
    found: dict[cst.CSTNode, list[Reference]] = defaultdict(list)
    for file in project.files.values():
        for node in file.index.nodes:
            named = type(node) in _NAMING and own_name(node) in names  # asked of every node
            if named and _is_reference(file, node):
                definition = project.definition(file.resolve(node) or _starred(file, node))
                if definition is not None:
                    found[definition[1]].append((file, node))
    return found


def _defined(file: SourceFile) -> Iterator[str]:
    """The names of the functions and classes at the top of a file."""
    for name, bound in file.index.root.bindings.items():
        if any(isinstance(b, (cst.FunctionDef, cst.ClassDef)) for b in bound):
            yield name


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


def _starred(file: SourceFile, node: cst.CSTNode) -> str | None:
    """What a name means that only `from ... import *` can have brought."""
    if type(node) is not cst.Name or not file.stars or file.index.scope_of(node).lookup(node.value) is not None:
        return None
    names = (f"{module}.{node.value}" for module in file.stars)
    return next((name for name in names if file.project.definition(name) is not None), None)


def kept_name(file: SourceFile, use: cst.CSTNode) -> cst.Name | None:
    """The name to which a statement at the top of a file binds what it makes, in `name = Class(...)`."""
    call = file.call_of(use)
    line = file.parent(call) if call is not None else None
    target = only_target(line)
    if line is None or not isinstance(target, cst.Name):
        return None
    return target if file.function(line) is None and file.owner(line) is None else None


def top_definition(file: SourceFile, node: cst.CSTNode) -> cst.FunctionDef | cst.ClassDef | None:
    """The outermost function or class around (or at) a node."""
    found = [a for a in (node, *file.ancestors(node)) if type(a) is cst.FunctionDef or type(a) is cst.ClassDef]
    return found[-1] if found else None


def is_run(file: SourceFile, use: cst.CSTNode) -> bool:
    """Whether a function is called where it is named, or started there as a process."""
    starter = file.call_with(use)
    return file.call_of(use) is not None or (starter is not None and last_part(called(starter)) in _STARTERS)


def handed_on(function: cst.FunctionDef | cst.ClassDef) -> bool:
    """Whether a decorator may give a function to somebody else."""
    return any(last_part(called(d.decorator) or dotted(d.decorator)) not in _KEEPING for d in function.decorators)


def given_to_loader(file: SourceFile, use: cst.CSTNode) -> str | None:
    """`DataLoader(..., collate_fn=use)`, `collate_fn=use(...)`, or by the name of a variable."""
    node = file.call_of(use) or use  # an object of a class
    target = only_target(file.parent(node))
    if not isinstance(target, cst.Name):
        return LOADS if _is_loading_argument(file, node) else None
    asked = [n for n in _named(file.space(target), {target.value}) if n is not target and not _is_keyword(file, n)]
    return LOADS if asked and all(_is_loading_argument(file, n) for n in asked) else None


def _named(space: cst.CSTNode, names: Container[str]) -> Iterator[cst.Name]:
    """Where one of some names stands in code."""
    return (n for n in descendants(space) if isinstance(n, cst.Name) and n.value in names)


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
    if file.call_of(use) is not None:
        return True
    parent = file.parent(use)
    while isinstance(parent, cst.IfExp):
        parent = file.parent(parent)
    bound, function = targets(parent), file.function(use)
    names = {target.value for target in bound if isinstance(target, cst.Name)}
    if not names or len(names) < len(bound) or function is None:
        return False
    return all(n in bound or file.call_of(n) is not None for n in _named(function.body, names))


def host_argument(file: SourceFile, use: cst.CSTNode) -> str | None:
    """The call hands over host copies, and else only settings: `helper(utils.to_host(x), self.size)`."""
    call = file.call_of(use)
    values = [arg.value for arg in call.args] if call is not None else []
    copies = [v for v in values if (called(v) or "").endswith("utils.to_host")]
    return COPIED if copies and all(v in copies or _is_setting(file, v) for v in values) else None


def _is_setting(file: SourceFile, value: cst.BaseExpression) -> bool:
    if isinstance(value, (cst.Integer, cst.Float, cst.SimpleString)) or dotted(value) in ("True", "False", "None"):
        return True
    owner, name = file.owner(value), of_self(value)
    if owner is None or name is None:
        return False
    given = file.attribute_value(owner, name)
    return isinstance(given, (cst.Name, cst.Integer, cst.Float)) and name not in file.buffers(owner)
