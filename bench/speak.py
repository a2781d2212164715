"""Tokens of upstream's GPT and of the static decoder: whether they are equal, and how many come in a second.

    python bench/speak.py UPSTREAM [DIR] [--size small] [--size real] [--device xla] [--upstream-on-xla N]

Each row is compared with upstream's own loop for that row alone, eager on the CPU, with the same noise: greedy and
drawn, for several seeds, alone and four together. DIR holds a generated package (default: generated). With
`--device xla` the port's tokens come from XLA; compiles, reads and fallbacks are those of a second sentence, which has
other lengths in the same bucket. `--upstream-on-xla` lets upstream decode so many tokens there, with the last size; its
graphs want `sysctl -w vm.max_map_count=2000000`. Exit status 1 where a token differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from porter.inputs.upstream import open_upstream
from porter.validate.cases.t2s import upstream_tokens
from porter.validate.tree import UpstreamTree

_VOCABULARY, _PHONEMES, _BERT = 1025, 732, 1024
_GRAPHS = 6  # of steps that are timed alone: as many as a cache has room for
_RUNS = 3  # of each decoder, of which the fastest counts
_KINDS: dict[str, dict[str, Any]] = {
    "greedy": {"top_k": 1, "repetition_penalty": 1.35},
    "drawn": {"top_k": 15, "top_p": 1.0, "temperature": 1.0, "repetition_penalty": 1.35},
}


class Size(NamedTuple):
    """Of a GPT."""

    layers: int
    width: int
    heads: int


_SIZES = {"small": Size(4, 128, 4), "real": Size(24, 512, 16)}


def main() -> int:
    """Decode, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("directory", nargs="?", default="generated", type=Path)
    parser.add_argument("--size", action="append", choices=_SIZES)
    parser.add_argument("--device", default="cpu", choices=("cpu", "xla"))
    parser.add_argument("--tokens", default=200, type=int)
    parser.add_argument("--seeds", default=3, type=int)
    parser.add_argument("--upstream-on-xla", default=0, type=int, metavar="N")
    asked = parser.parse_args()
    equal = True
    costs: dict[str, list[str]] = {}
    tokens = Table("size", "rows", "kind", "equal tokens", title=f"the port on {asked.device}, upstream on the CPU")
    speeds = Table("size", "rows", "decoder", "tokens a second", "of upstream's", "CPU ms a token")
    with _both(asked.upstream, asked.directory) as (upstream, port), torch.no_grad():
        for name in asked.size or ["small"]:
            bench = Bench(_SIZES[name], upstream, port, asked.device, asked.tokens)
            for batch in (1, 4):
                for kind in _KINDS:
                    same, count = bench.compare(kind, batch, range(asked.seeds))
                    equal &= same == count
                    tokens.add_row(name, str(batch), kind, f"{same} of {count}")
                for decoder, rate, times, spent in bench.rates(batch):
                    speeds.add_row(name, str(batch), decoder, f"{rate:.1f}", f"{times:.1f}", f"{spent * 1000:.3f}")
            costs[name] = [*bench.costs()]
        Console().print(tokens, speeds, *(f"{name}: {line}" for name, lines in costs.items() for line in lines))
        sys.stdout.flush()  # upstream's graphs may end the process
        if asked.upstream_on_xla:
            Console().print(*bench.upstream_on_xla(asked.upstream_on_xla), sep="\n")
    return 0 if equal else 1


@contextmanager
def _both(upstream: str, directory: Path) -> Iterator[tuple[Any, Any]]:
    """The modules t2s_model of upstream and of the package."""
    with tempfile.TemporaryDirectory() as place:
        paths = UpstreamTree(open_upstream(upstream)).lay_out_reference(Path(place))
        sys.path[:0] = [str(directory.resolve()), *paths.search]
        yield import_module("AR.models.t2s_model"), import_module("module.tpu.AR.models.t2s_model")


class Bench:
    """Two decoders with the same weights."""

    def __init__(self, size: Size, upstream: Any, port: Any, device: str, tokens: int) -> None:
        torch.manual_seed(0)
        config = {
            "hidden_dim": size.width,
            "embedding_dim": size.width,
            "head": size.heads,
            "linear_units": 4 * size.width,
            "n_layer": size.layers,
            "vocab_size": _VOCABULARY,
            "phoneme_vocab_size": _PHONEMES,
            "dropout": 0.0,
            "EOS": _VOCABULARY - 1,
        }
        self.upstream = upstream.Text2SemanticDecoder(config={"model": config}).eval()
        self.upstream.ar_predict_layer.weight.mul_(2)  # random logits are flat
        ported = port.Text2SemanticDecoder(config={"model": config}).eval()
        ported.load_state_dict(self.upstream.state_dict())
        package = import_module("module.tpu.decoding")
        self.decoding, self.utils = package, import_module("module.tpu.utils")
        self.steps = import_module("module.tpu.decoding.steps")
        self.eager = package.Network.of(ported)
        self.network = self.eager if device == "cpu" else self.eager.to(self.utils.get_xla_device())
        self.tokens, self._upstream_rate = tokens, 0.0

    def row(self, seed: int) -> dict[str, Tensor]:
        """One sentence, with lengths of its own, all in one bucket; noise that never draws the end."""
        own = torch.Generator().manual_seed(seed)
        count = 40 + seed % 4
        noise = torch.empty(self.tokens, _VOCABULARY).exponential_(generator=own)
        noise[:, -1] = 1e9
        return {
            "phonemes": torch.randint(1, _PHONEMES, (count,), generator=own),
            "bert": torch.randn(_BERT, count, generator=own),
            "prompt": torch.randint(_VOCABULARY - 1, (64 - seed % 3,), generator=own),
            "noise": noise,
        }

    def compare(self, kind: str, batch: int, seeds: range) -> tuple[int, int]:
        """How many tokens are equal, of how many of upstream's."""
        same = count = 0
        for seed in seeds:
            rows = [self.row(10 * seed + index) for index in range(batch)]
            found = self._decoded(self.network, rows, **_KINDS[kind])
            for row, one in zip(rows, found, strict=True):
                wanted, end, _ = upstream_tokens(self.upstream, row, **_KINDS[kind])
                wanted = wanted if end < 0 else wanted[: int(end)]
                other = one.tokens[: len(wanted)]
                same += int((other == wanted[: len(other)]).sum()) if len(one.tokens) == len(wanted) else 0
                count += len(wanted)
        return same, count

    def rates(self, batch: int) -> Iterator[tuple[str, float, float, float]]:
        """Tokens a second of each decoder, as a multiple of upstream's, and seconds that processors spend on a token.

        Upstream decodes row after row. The processors' seconds are all threads', and the machine's load is not in them.
        """
        rows = [self.row(index) for index in range(batch)]
        options = _KINDS["drawn"]

        def alone() -> None:
            for row in rows:
                upstream_tokens(self.upstream, row, **options)

        decoders: dict[str, Callable[[], object]] = {
            "upstream, eager": alone,
            "the port, eager": lambda: self._decoded(self.eager, rows, **options),
        }
        if self.network is not self.eager:
            decoders["the port, XLA"] = lambda: self._decoded(self.network, rows, own_noise=True, **options)
            decoders["the port, XLA"]()  # compiles
        first = 0.0
        for name, decode in decoders.items():
            tokens = batch * self.tokens
            rate = tokens / min(timeit.repeat(decode, repeat=_RUNS, number=1))
            spent = min(timeit.repeat(decode, timer=time.process_time, repeat=_RUNS, number=1)) / tokens
            first = first or rate
            yield name, rate, rate / first, spent

    def costs(self) -> Iterator[str]:
        """What a step costs the host, and what a second sentence of the bucket asks of XLA."""
        traced, whole, steps = self._step_costs()
        together = f", {steps} of them in one graph" if steps > 1 else ""
        yield f"a step of one row: {whole * 1000:.3f} ms, {traced * 1000:.3f} of them the host's trace{together}"
        yield f"the products of its weights alone, by PyTorch on the host: {self._products() * 1000:.3f} ms"
        if self.network is self.eager:
            return
        metrics: Any = import_module("torch_xla.debug.metrics")
        metrics.clear_all()
        self._decoded(self.network, [self.row(7)], own_noise=True, **_KINDS["drawn"])
        counters = {name: metrics.counter_value(name) for name in metrics.counter_names()}
        reads = (metrics.metric_data("TransferFromDeviceTime") or [0])[0]
        fallbacks = {name for name in counters if name.startswith("aten::")} - {"aten::_local_scalar_dense"}
        compiles = counters.get("UncachedCompile", 0)
        yield f"a second sentence: {compiles} compiles, {reads} reads for {self.tokens} tokens"
        yield f"fallbacks: {', '.join(sorted(fallbacks)) or 'none'}"

    def _step_costs(self) -> tuple[float, float, int]:
        """Least seconds of a step's trace, and until its results are there, and how many steps make a graph."""
        state, drawing, device = self._state(), self._drawing(), self.network.device
        steps = self.decoding.driver.TURNS if self.steps.loops.fits(device) else 1
        noise = torch.empty(steps, 1, _VOCABULARY, device=device).exponential_()
        count = torch.tensor(steps).to(device)
        traces, wholes = [], []
        for _ in range(_GRAPHS):
            begun = time.perf_counter()
            if steps > 1:
                self.steps.several(self.network, state, noise, count, drawing)
            else:
                self.steps.step(self.network, state, noise[0], drawing)
            traces.append(time.perf_counter() - begun)
            self.utils.run_pending()
            state.step.cpu()  # waits
            wholes.append(time.perf_counter() - begun)
        return min(traces) / steps, min(wholes) / steps, steps

    def _products(self) -> float:
        """Least seconds of a step's products with weights, for one row: each weight is read once."""
        layers = self.eager.layers
        products = [part for layer in layers for part in (layer.qkv, layer.out, layer.widen, layer.narrow)]
        weights = [product.weight for product in (*products, self.eager.predict)]
        given = [torch.randn(weight.shape[1]) for weight in weights]
        return min(timeit.repeat(lambda: list(map(torch.mv, weights, given)), repeat=100, number=1))

    def upstream_on_xla(self, tokens: int) -> Iterator[str]:
        """Upstream's own loop on XLA; its blocks hold parameters in plain objects, which have to be sent by hand."""
        metrics: Any = import_module("torch_xla.debug.metrics")
        device = self.utils.get_xla_device()
        model = self.upstream.to(device)
        for block in model.t2s_transformer.blocks:
            for holder in (block, block.mlp):
                for name, value in list(vars(holder).items()):
                    if isinstance(value, (Tensor, nn.Parameter)):
                        setattr(holder, name, value.to(device))
        row = {name: value.to(device) for name, value in self.row(0).items()}
        row["noise"] = row["noise"][:tokens]
        metrics.clear_all()
        begun = time.perf_counter()
        upstream_tokens(model, row, **_KINDS["drawn"])
        seconds = time.perf_counter() - begun
        compiles = metrics.counter_value("UncachedCompile")
        reads = (metrics.metric_data("TransferFromDeviceTime") or [0])[0]
        rate = tokens / seconds
        yield f"upstream on XLA: {rate:.2f} tokens a second, {compiles} compiles and {reads} reads for {tokens}"

    def _decoded(self, network: Any, rows: list[dict[str, Tensor]], own_noise: bool = False, **options: Any) -> Any:
        # One tensor a step: a place in a larger one would be part of the step's graph.
        noise = [part.to(network.device) for part in torch.stack([row["noise"] for row in rows], 1)]
        given = [self.decoding.Row(row["phonemes"], row["bert"], row["prompt"]) for row in rows]
        replayed = None if own_noise else lambda index, shape: noise[index]
        return self.decoding.decode(network, given, self.decoding.Options(**options), most=self.tokens, noise=replayed)

    def _state(self) -> Any:
        prompt = import_module("module.tpu.decoding.prompt")
        row = self.row(0)
        laid = prompt.lay_out([self.decoding.Row(row["phonemes"], row["bert"], row["prompt"])], 112)
        return self.steps.prefill(self.network, type(laid)(*(t.to(self.network.device) for t in laid)), 512)

    def _drawing(self) -> Any:
        sampling = import_module("module.tpu.decoding.sampling")
        options = self.decoding.Options(**_KINDS["drawn"], forced=10**6).checked(_VOCABULARY)  # goes on
        return sampling.Drawing.of(options, lambda tensor: tensor.to(self.network.device))


if __name__ == "__main__":
    sys.exit(main())
