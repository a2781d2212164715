"""Lines of code of the tool: of porter/ and rules/, without the runtime, which is emitted, and without the judge.

    python -m tools.code_lines [--files]

A line counts if it holds code: no blank line, no comment, no docstring. Examples of rules, and the texts that they are
made of, are data, and are counted apart.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_ELSEWHERE = ("porter/runtime/", "porter/validate/")
_DATA = ("examples", "untouched")  # attributes of rules
_NOTHING = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def main() -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", action="store_true", help="each file too, the longest first")
    arguments = parser.parse_args()
    code: Counter[str] = Counter()
    data = 0
    for path in sources():
        lines, of_examples = counted(path.read_text(encoding="utf-8"), rule=path.parts[len(ROOT.parts)] == "rules")
        code[path.relative_to(ROOT).as_posix()] = lines
        data += of_examples
    for name, lines in code.most_common() if arguments.files else ():
        print(f"{lines:6} {name}")
    print(f"{code.total()} lines of code in {len(code)} files, and {data} of examples of rules")
    return 0


def sources() -> Iterator[Path]:
    """The files that are counted."""
    for folder in ("porter", "rules"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.relative_to(ROOT).as_posix().startswith(_ELSEWHERE):
                yield path


def counted(text: str, *, rule: bool) -> tuple[int, int]:
    """Lines of code in a file, and, apart from them, those of examples where it is one of a `rule`."""
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in _NOTHING
        for line in range(token.start[0], token.end[0] + 1)
    }
    tree = ast.parse(text)
    lines -= {line for node in docstrings(tree) for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    data = (
        {line for node in examples(tree) for line in range(node.lineno, (node.end_lineno or 0) + 1)} if rule else set()
    )
    return len(lines - data), len(lines & data)


def docstrings(tree: ast.Module) -> Iterator[ast.stmt]:
    """The docstrings of a module, its classes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())) as first, *_]:
                    yield first


def examples(tree: ast.Module) -> Iterator[ast.stmt]:
    """What is data in a file of a rule: its examples, and names of texts at the top of the file."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if name in _DATA:
                yield node
    for statement in tree.body:
        match statement:
            case ast.Assign(value=ast.Constant(value=str(text))) if "\n" in text:
                yield statement


if __name__ == "__main__":
    raise SystemExit(main())
