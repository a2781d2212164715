"""Everything that one pair of torch and torch_xla says of itself."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from . import operators, results, signatures, stubs
from .callables import aliases, classes, functions, others
from .measuring import measure


def collect(run: bool) -> dict[str, Any]:
    """Signatures, results, kernels and, after running all samples, what is lacking; by full name, with the versions."""
    read = stubs.read()
    texts = signatures.collect(read)
    returned, attributes = results.collect(read)
    known = {**dict(others()), **dict(functions()), **dict(classes())}
    said = {
        "versions": {name: version(name) for name in ("torch", "torch_xla")},
        "signatures": texts,
        "aliases": aliases(known),
        "attributes": attributes,
        "kernels": operators.kernels(),
    }
    if not run:
        return {**said, "results": returned}
    measured = list(measure())
    lacks = operators.collect(measured, texts)
    seen = operators.results(measured)
    # What was seen says more where a tensor holds truth values, and where the stubs only say None.
    better = {name: kind for name, kind in seen.items() if kind == "mask" or returned.get(name) == "host"}
    return {
        **said,
        "results": {**seen, **returned, **better},
        "lacks": lacks,
        "families": operators.families(lacks),
    }
