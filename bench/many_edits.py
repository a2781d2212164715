"""How long each command takes with the number of edits, in milliseconds an edit.

    python bench/many_edits.py [EDITS...]

Upstreams are made here: many small functions in one file, one long function, many files, and files that hold nothing to
rewrite. Each is generated, checked, shown, listed and compared, in this process. Time an edit should stay the same
when edits double, and below the limit.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LIMIT = 3.0  # milliseconds an edit, of each command
_HEAD = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n\n\n"
# Lines of several rules; `{n}` tells them apart.
_LINES = (
    "    x = x.cuda()",
    "    m{n} = torch.zeros(3, {n})",
    "    x = F.interpolate(x, scale_factor=2)",
    "    x[x > {n}] = 0",
    "    y{n} = x.sum() + {n}",
    "    print('step {n}', x.mean().item())",
    "    s{n} = torch.stft(x, 512, 128, 512, return_complex=False)",
    "    z{n} = x.masked_fill(x > {n}, 0.0)",
)


def functions(edits: int) -> Mapping[str, str]:
    """One file with a small function for every few edits."""
    made = []
    for first in range(0, edits, len(_LINES)):
        body = "\n".join(line.format(n=first + i) for i, line in enumerate(_LINES))
        made.append(f"def step_{first}(x):\n{body}\n    return x\n\n\n")
    return {"x.py": _HEAD + "".join(made)}


def long_function(edits: int) -> Mapping[str, str]:
    """One function with all edits in one block."""
    body = "\n".join(_LINES[n % len(_LINES)].format(n=n) for n in range(edits))
    return {"x.py": f"{_HEAD}def step(x):\n{body}\n    return x\n"}


def methods(edits: int) -> Mapping[str, str]:
    """One class with many methods that call each other."""
    made = []
    for first in range(0, edits, len(_LINES)):
        body = "\n".join("    " + line.format(n=first + i) for i, line in enumerate(_LINES))
        made.append(f"    def step_{first}(self, x):\n{body}\n        return self.step_{max(0, first - 8)}(x)\n\n")
    return {"x.py": f"{_HEAD}class Net(nn.Module):\n{''.join(made)}"}


def files(edits: int) -> Mapping[str, str]:
    """Many small files."""
    return {f"x{n}.py": text for n in range(edits // 32) for text in functions(32).values()}


def quiet(lines: int) -> Mapping[str, str]:
    """A file with nothing to rewrite, of five lines an edit of the others."""
    return {"x.py": _HEAD + "".join(f"def f{n}(a, b):\n    c = a + b * {n}\n    return c\n\n\n" for n in range(lines))}


def long_line(size: int) -> Mapping[str, str]:
    """One line with a number an edit of the others."""
    return {"x.py": f"{_HEAD}TABLE = [{', '.join(map(str, range(size * 20)))}]\n"}


SHAPES: Mapping[str, Callable[[int], Mapping[str, str]]] = {
    "functions": functions,
    "long function": long_function,
    "methods": methods,
    "files": files,
    "nothing to do": quiet,
    "one long line": long_line,
}


def main() -> int:
    """Measure and print; status 1 where a command takes longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("edits", type=int, nargs="*", default=[1000, 2000, 4000, 8000, 16000])
    parser.add_argument("--shape", action="append", choices=list(SHAPES))
    arguments = parser.parse_args()
    slow = False
    for shape in arguments.shape or SHAPES:
        for edits in arguments.edits:
            with tempfile.TemporaryDirectory() as folder:
                for command, seconds, made in measured(SHAPES[shape](edits), Path(folder)):
                    each = seconds * 1000 / (made or edits)
                    slow |= each > LIMIT
                    told = f"{made:6} edits" if made else f"{edits:6} units"
                    print(f"{shape:14} {told} {command:9} {seconds:7.2f} s {each:6.2f} ms each", flush=True)
    return int(slow)


def measured(texts: Mapping[str, str], folder: Path) -> Iterator[tuple[str, float, int]]:
    """Each command, how many seconds it took, and how many edits there are."""
    import json

    module = folder / "upstream" / "module"
    module.mkdir(parents=True)
    (module / "__init__.py").write_text("")
    for name, text in texts.items():
        (module / name).write_text(text)
    upstream, out = str(module.parent), str(folder / "out")
    seconds = run("generate", upstream, "--out", out)
    edits = len(json.loads((folder / "out" / "port.json").read_bytes())["edits"])
    yield "generate", seconds, edits
    yield "check", run("check", upstream), edits
    yield "diff", run("diff", out), edits
    yield "review", run("review", out, "--list"), edits
    for name in texts:
        with (module / name).open("a") as sink:
            sink.write("\n# another comment\n")
    yield "status", run("status", upstream, out), edits


def run(*arguments: str) -> float:
    """Seconds that a command takes in this process."""
    from porter.cli import cli

    start = time.perf_counter()
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.redirect_stderr(io.StringIO()):
        cli.main(arguments, prog_name="sovits-port", standalone_mode=False)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
