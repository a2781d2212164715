"""torch's stub files: parameters and results of what is not written in Python."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

import torch


@dataclass
class Stub:
    """The overloads of one name: signatures as text, and the annotations of their results."""

    signatures: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)


@dataclass
class Stubs:
    """What the stubs say of functions (by module) and of tensors."""

    functions: dict[str, Stub]
    neural: dict[str, Stub]
    methods: dict[str, Stub]
    attributes: dict[str, str]


def read() -> Stubs:
    """The stubs of the installed torch."""
    folder = Path(torch.__file__).parent / "_C"
    base = next(
        n for n in _parse(folder / "__init__.pyi").body if isinstance(n, ast.ClassDef) and n.name in ("TensorBase",)
    )
    methods, attributes = _functions(base.body, skip_first=True), _attributes(base.body)
    general = _functions(_parse(folder / "__init__.pyi").body)
    return Stubs(
        functions={**general, **_functions(_parse(folder / "_VariableFunctions.pyi").body)},
        neural=_functions(_parse(folder / "_nn.pyi").body),
        methods=methods,
        attributes=attributes,
    )


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _is_property(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "property" for d in node.decorator_list)


def _functions(body: list[ast.stmt], skip_first: bool = False) -> dict[str, Stub]:
    found: dict[str, Stub] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not _is_property(node):
            stub = found.setdefault(node.name, Stub())
            stub.signatures.append(signature_text(node.args, skip_first))
            stub.results.append(ast.unparse(node.returns) if node.returns is not None else "")
    return found


def _attributes(body: list[ast.stmt]) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = ast.unparse(node.annotation)
        elif isinstance(node, ast.FunctionDef) and _is_property(node):
            found[node.name] = ast.unparse(node.returns) if node.returns is not None else ""
    return {name: note for name, note in found.items() if not name.startswith("_")}


def signature_text(args: ast.arguments, skip_first: bool = False) -> str:
    """A signature in the form of `porter.torch_facts.signatures`."""
    plain = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(args.defaults)) + list(args.defaults)
    parts = [_part(a, d) for a, d in zip(plain, defaults, strict=True)][int(skip_first) :]
    if args.vararg is not None:
        parts.append(f"*{args.vararg.arg}")
    elif args.kwonlyargs:
        parts.append("*")
    parts += [_part(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    if args.kwarg is not None:
        parts.append(f"**{args.kwarg.arg}")
    return " ".join(parts)


def _part(arg: ast.arg, default: ast.expr | None) -> str:
    kind = ":T" if arg.annotation is not None and is_tensor_type(ast.unparse(arg.annotation)) else ""
    if default is None:
        return f"{arg.arg}{kind}"
    try:
        text = repr(ast.literal_eval(default))
    except ValueError:
        text = "..."
    return f"{arg.arg}{kind}={text if ' ' not in text and text != 'Ellipsis' else '...'}"


def is_tensor_type(note: str) -> bool:
    """Whether an annotation allows nothing but tensors (and None)."""
    bare = note.replace("torch.", "").replace("Optional[Tensor]", "Tensor").replace(" ", "")
    return set(bare.split("|")) <= {"Tensor", "None"} and "Tensor" in bare
