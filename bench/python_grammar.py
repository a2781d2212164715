"""Every construct of Python's own tests as a module of upstream: what the tool cannot take.

    python bench/python_grammar.py [PATTERN...] [--all]

The files are those of the package `test` of the Python that runs this, and with --all those of its whole library;
nothing of them is kept. Each that Python itself can compile is put beside a small module as module/x.py, and ported
in this process. Counted are tracebacks, refusals with their sentence, files that are no Python any more, and lines that
differ without an edit. Status 1 where there is any but a refusal.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

_BESIDE = "import torch\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x.cuda()\n"
_SLOW = 60.0  # seconds


def main() -> int:
    """Port each file, print what went wrong and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("patterns", nargs="*", default=["test_*.py"], help="names of files; default: test_*.py")
    parser.add_argument("--all", action="store_true", help="the whole library, not only its tests")
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for path in sources(arguments.patterns, everything=arguments.all):
            start = time.perf_counter()
            what, told = outcome(path, Path(folder))
            if time.perf_counter() - start > _SLOW:
                what, told = "too slow", f"{time.perf_counter() - start:.0f} s"
            counts[what] += 1
            if what != "fine":
                print(f"{path.name}: {what}: {told}", flush=True)
    print(", ".join(f"{count} {what}" for what, count in counts.most_common()))
    return int(bool(counts - Counter({"fine": counts["fine"], "refused": counts["refused"]})))


def sources(patterns: Sequence[str], *, everything: bool) -> Iterator[Path]:
    """Files of the library that compile."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted((library if everything else library / "test").rglob("*.py")):
        if "site-packages" in path.parts or not any(fnmatch(path.name, pattern) for pattern in patterns):
            continue
        if not error_of(path.read_bytes()):
            yield path


def error_of(content: bytes) -> str:
    """Why bytes are no Python file, or ""."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(content, "x.py", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return str(error) or type(error).__name__
    return ""


def outcome(path: Path, folder: Path) -> tuple[str, str]:
    """What became of one file, in a word, and what there is to tell."""
    from porter.changes.hunks import hunks_of
    from porter.errors import PortError
    from porter.generate import Settings, build
    from porter.inputs.upstream import open_upstream

    module = folder / "upstream" / "module"
    module.mkdir(parents=True, exist_ok=True)
    (module / "__init__.py").write_text("")
    (module / "models.py").write_text(_BESIDE)
    (module / "x.py").write_bytes(path.read_bytes())
    try:
        built = build(open_upstream(str(module.parent)), Settings())
    except PortError as error:
        # A rule that fails is told in a sentence too, and is no refusal of the file.
        return ("a rule failed" if error.__cause__ is not None else "refused"), str(error)
    except Exception:
        return "traceback", traceback.format_exc(limit=-3)
    why = error_of(built.base.generated["module/tpu/x.py"])
    if why:
        return "no Python", why
    try:
        hunks_of(built.manifest, built.base)
    except PortError as error:
        return "differs", str(error)
    return "fine", ""


if __name__ == "__main__":
    sys.exit(main())
