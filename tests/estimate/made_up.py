"""An outcome with everything in it."""

from __future__ import annotations

from porter.estimate.exchange import Sizes
from porter.estimate.fit import Found, Probe
from porter.estimate.outcome import Compiled, EstimateOutcome, Fit, GraphOutcome, Said
from porter.validate.outcome import Fusion

FAST = Compiled(2e12, 4e9, 300_000_000, 50_000_000, 40_000_000, 10_000_000, 5_000_000, 12.0, 1_500_000_000, 0)
SLOW = Compiled(3e9, 6e10, 3_000_000_000, 50_000_000, 40_000_000, 0, 9_000_000, 240.0, 20_000_000_000, 5_000_000_000)
STRANGE = "what <the> compiler & friends say"


def outcome() -> EstimateOutcome:
    sizes = Sizes(8, 400, 100)
    graphs = (
        GraphOutcome(
            "net.forward",
            1000,
            20_000_000,
            (("v5e", Said("compiles", FAST, 500_000_000)),),
            notes=(("v5e", "no kernel <fast>"),),
            fusions=(("v5e", (Fusion("dec", "residual", ""), Fusion("flow", "", "no chain from mul"))),),
        ),
        GraphOutcome("net.forward/dec", 900, 10, (("v5e", Said("compiles", SLOW, 3_100_000_000, cached=True)),)),
        GraphOutcome("big", 800, 0, (("v5e", Said("too large", None, 40_000_000_000, STRANGE)),)),
        GraphOutcome("hangs", 700, 0, (("v5e", Said("timeout", error="not compiled after 9 s (--timeout)")),)),
        GraphOutcome("old", unavailable="models.py of this upstream has no Old"),
        GraphOutcome("split", problem="it is no single graph"),
    )
    fits = (
        Fit(
            "net.forward",
            "v5e",
            "batch",
            sizes,
            Found(30, 16_000_000_000, 31, False, (Probe(8, True, 5, "a"), Probe(31, False, 6, "b"))),
        ),
        Fit("net.forward", "v5e", "frames", sizes, Found(None, 0, None, False, (), "it broke")),
    )
    versions = {"torch_xla": "2.9.0", "jax": "0.10.2", "jaxlib": "0.10.2", "libtpu": "0.0.52"}
    named = {"jax": "0.7.1", "jaxlib": "0.7.1", "libtpu": "0.0.21"}
    return EstimateOutcome("up", "abc", "generated", "full", sizes, False, 9.0, ("v5e",), versions, graphs, fits, named)
