"""The picture of a diff in the README: a rule's own example, as `sovits-port rules CODE` prints it.

python -m tools.diff_picture RNG001 docs/images/diff.svg
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from porter.codemod import rulebook
from porter.errors import PortError
from porter.views.diff import style_of
from porter.views.rules import example_diff

_COLUMNS = 96


def draw(code: str) -> str:
    """An SVG of a rule's first example. PortError for an unknown rule."""
    rule = next((rule for rule in rulebook.load().rules if rule.code == code), None)
    if rule is None or not rule.examples:
        raise PortError(f"no rule with an example has the code {code!r}")
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble((rule.code, "bold cyan"), f"  {rule.title} · {rule.safety.value}"))
    console.print(Text(rule.message, style="dim"))
    console.print()
    for line in example_diff(rule.examples[0].before, rule.examples[0].after):
        console.print(Text(line.rstrip("\n"), style=style_of(line)))
    picture = console.export_svg(title="sovits-port diff", unique_id="diff")
    return re.sub(r"@font-face \{[^}]*\}\s*", "", picture)  # fonts from the network: the reader's own do


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(draw(sys.argv[1]), "utf-8")
