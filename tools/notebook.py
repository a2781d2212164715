"""A page as a notebook, without outputs: `python -m tools.notebook PAGE > NOTEBOOK`.

Text becomes cells of text. A block under the comment `executed by` becomes a cell of code, in bash where it names no
language; one under `installs` is tagged so, for whoever executes the others. `cd` alone in a block lasts, as it does in
a shell. Blocks without a comment stay text.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"<!-- (executed by [^>]*|installs) -->\n```(\w*)\n(.*?)```\n", re.DOTALL)


def notebook(page: str) -> str:
    """The text of a notebook, format 4.4, that has the same steps as `page`."""
    told = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    whole = {"cells": [*_cells(page)], "metadata": told, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _cells(page: str) -> Iterator[dict[str, Any]]:
    end = 0
    for block in _BLOCK.finditer(page):
        yield from _text(page[end : block.start()])
        kind, language, code = block.groups()
        yield _code(_magic(code, language), ["installs"] if kind == "installs" else [])
        end = block.end()
    yield from _text(page[end:])


def _magic(code: str, language: str) -> str:
    """Code as IPython takes it."""
    if language == "python":
        return code
    return f"%{code}" if re.fullmatch(r"cd \S+\n", code) else f"%%bash\n{code}"


def _text(words: str) -> Iterator[dict[str, Any]]:
    # Beside a notebook there are no other pages: a link to one is its words.
    words = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"*\1*", words).strip()
    if words:
        yield {"cell_type": "markdown", "metadata": {}, "source": words.splitlines(keepends=True)}


def _code(code: str, tags: list[str]) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": tags} if tags else {},
        "outputs": [],
        "source": code.rstrip().splitlines(keepends=True),
    }


if __name__ == "__main__":
    sys.stdout.write(notebook(Path(sys.argv[1]).read_text("utf-8")))
