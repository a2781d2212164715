"""What runs in a side's own process: start weights, or a trainer from start to end.

    python -m bench.training.program ORDER.json

The order is JSON: `bench.training.running` writes it. The trainer's own `main` runs; changed around it are:

- `torch.multiprocessing.spawn` calls the function in this process.
- Decoding of audio, for which upstream asks for ffmpeg, reads the wave file.
- What upstream lists from a set of names comes sorted, not as the hash of a string has it.
- Products of float32 stay float32, also where a trainer asks for less.
- Random draws of the generator's forward pass are those of `bench.training.noise`.

A plain run has the first two of these alone.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from bench.training.noise import NoiseAtPlaces
from porter.validate.cases.base import accepted
from porter.validate.weights import prepare

_GENERATOR = "SynthesizerTrn"  # upstream's generators begin their names with it
_DISCRIMINATOR = "MultiPeriodDiscriminator"
_TRANSFORMER = "DiT"  # of version 3 and later, whose generator is trained alone
Shapes = list[list[int]]


class Steps:
    """Tells steps apart by the generator's forward pass, and notes what each costs, a line of JSON a step."""

    def __init__(self, trainer: ModuleType, noise: NoiseAtPlaces, file: Path, xla: bool) -> None:
        """`file` gets the lines, each once its step is over."""
        self._trainer, self._noise, self._file = trainer, noise, file
        self._figures: Callable[[], Mapping[str, int]] | None = None
        if xla:
            from porter.validate.counting import figures

            self._figures = figures
        self._last: tuple[int, Mapping[str, int], float] | None = None
        self.shapes: dict[int, Shapes] = {}  # of a batch's tensors, by step

    def number(self) -> int:
        """The number that the trainer gives to the step that it is in."""
        return int(self._trainer.global_step)

    def wrap(self, network: type[nn.Module]) -> None:
        """Let each forward pass of training of a class begin a step and draw from the noise."""
        forward = network.forward

        @functools.wraps(forward)
        def counted(model: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if not model.training:
                return forward(model, *args, **kwargs)
            self._begin()
            with self._noise:
                return forward(model, *args, **kwargs)

        network.forward = counted

    def end(self) -> None:
        """The last step is over."""
        if self._last is not None:
            step, before, started = self._last
            now = self._figures() if self._figures is not None else {}
            told = {
                "step": step,
                "seconds": time.perf_counter() - started,
                "shapes": self.shapes.pop(step, []),
                "draws": dict(sorted(self._noise.drawn.items())),
                "unshared": [str(finding) for finding in self._noise.findings()],
                "figures": {name: count - before.get(name, 0) for name, count in now.items() if count},
            }
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(told)}\n")
        self._last = None

    def _begin(self) -> None:
        self.end()
        self._noise.begin_step(self.number())
        before = dict(self._figures()) if self._figures is not None else {}
        self._last = (self.number(), before, time.perf_counter())


def loader_class(
    base: type[Any], steps: Steps, extra: int, like: Mapping[int, Shapes], dtype: torch.dtype
) -> type[Any]:
    """A DataLoader that notes the shapes of its batches, gives them the `dtype` and pads them further.

    By `extra` frames, or to the shapes that the same step has in `like`.
    """

    class Loader(base):  # type: ignore[misc]  # a class that is known at run time only
        def __iter__(self) -> Iterator[Any]:
            first = steps.number()
            for index, batch in enumerate(super().__iter__(), first):
                padded = tuple(part.to(dtype) if part.is_floating_point() else part for part in batch)
                padded = widened(padded, extra) if extra else padded
                if index in like:
                    padded = tuple(padded_to(part, shape) for part, shape in zip(padded, like[index], strict=True))
                steps.shapes[index] = [list(part.shape) for part in padded]
                yield padded

    return Loader


def widened(batch: Sequence[Tensor], extra: int) -> tuple[Tensor, ...]:
    """A batch with `extra` more frames of zeros, and as many phones; sounds get the samples of those frames."""
    features = [part.shape for part in batch if part.dim() == 3 and part.shape[1] > 1]
    frames = max(shape[-1] for shape in features)

    def wider(part: Tensor) -> Tensor:
        if part.dim() == 3 and part.shape[1] == 1:
            return F.pad(part, (0, extra * round(part.shape[-1] / frames)))
        if part.dim() == 3 or (part.dim() == 2 and not part.is_floating_point()):
            return F.pad(part, (0, extra))
        return part

    return tuple(wider(part) for part in batch)


def padded_to(part: Tensor, shape: Sequence[int]) -> Tensor:
    """A tensor with zeros after its last axis up to `shape`; ValueError where it is longer, or another axis differs."""
    if list(part.shape[:-1]) != list(shape[:-1]) or part.shape[-1] > shape[-1]:
        raise ValueError(f"a batch of shape {list(part.shape)} cannot be padded to {list(shape)}")
    return F.pad(part, (0, shape[-1] - part.shape[-1]))


def compute_in_float64() -> None:
    """Let what is float32 by default, or by `float()`, be float64: then rounding hides and explains nothing.

    Datasets still make float32; the loader converts.
    """
    torch.set_default_dtype(torch.float64)
    tensors: Any = Tensor
    tensors.float = Tensor.double


def narrow(network: type[nn.Module], factor: int) -> None:
    """Let a class make its convolutions with `factor` times fewer channels and groups, where they have as many.

    Upstream's configuration has no width for the discriminators, which take most of a small model's time.
    """
    make = network.__init__

    @functools.wraps(make)
    def made_narrow(model: nn.Module, *args: Any, **kwargs: Any) -> None:
        old: Any = _ConvNd.__init__

        def init(conv: nn.Module, wide_in: int, wide_out: int, *sizes: Any, **named: Any) -> None:
            # kernel, stride, padding, dilation, transposed, output padding; then groups, bias and padding mode
            *before, groups, bias, mode = sizes[:9]
            scaled = [max(1, number // factor) for number in (wide_in, wide_out, groups)]
            old(conv, *scaled[:2], *before, scaled[2], bias, mode, *sizes[9:], **named)

        patched: Any = _ConvNd
        patched.__init__ = init
        try:
            make(model, *args, **kwargs)
        finally:
            patched.__init__ = old

    patched_network: Any = network
    patched_network.__init__ = made_narrow


def narrow_transformer(network: type[nn.Module], factor: int) -> None:
    """Let a class of transformers have `factor` times fewer channels, heads and layers than it is asked for.

    Upstream's configuration says nothing of them either.
    """
    make = network.__init__

    @functools.wraps(make)
    def made_narrow(model: nn.Module, *, dim: int, depth: int, heads: int, **named: Any) -> None:
        fewer = {"dim": dim // factor, "depth": max(1, depth // factor), "heads": max(1, heads // factor)}
        make(model, **fewer, **named)

    patched: Any = network
    patched.__init__ = made_narrow


def train(order: Mapping[str, Any]) -> None:
    """Run a trainer's `main`."""
    if order["double"]:
        compute_in_float64()
    processes: Any = torch.multiprocessing
    processes.spawn = call_here
    stand_in_for_audio(order["package"])
    sys.argv = [order["trainer"], "-c", order["config"]]
    trainer: Any = importlib.import_module(order["trainer"])
    if order["plain"]:
        trainer.main()
        return
    torch.set_float32_matmul_precision("highest")
    data: Any = importlib.import_module(f"{order['package']}.data_utils")
    data.list = sorted_list
    transformer = getattr(importlib.import_module(f"{order['package']}.models"), _TRANSFORMER, None)
    if transformer is not None:
        narrow_transformer(transformer, order["narrow"])
    steps = Steps(
        trainer, NoiseAtPlaces(order["seed"], [Path(p) for p in order["search"]]), Path(order["steps"]), order["xla"]
    )
    for member in {value for value in vars(trainer).values() if isinstance(value, type)}:
        if issubclass(member, nn.Module) and member.__name__.startswith(_GENERATOR):
            steps.wrap(member)
        if issubclass(member, nn.Module) and member.__name__ == _DISCRIMINATOR:
            narrow(member, order["narrow"])
    like = {int(step): shapes for step, shapes in order["like"].items()}
    dtype = torch.get_default_dtype()
    trainer.DataLoader = loader_class(trainer.DataLoader, steps, order["extra_frames"], like, dtype)
    trainer.main()
    steps.end()


def make_start(order: Mapping[str, Any]) -> None:
    """Write start weights of the networks that the order has files for, as upstream's own pretrained files do."""
    config = json.loads(Path(order["config"]).read_text(encoding="utf-8"))
    data, model = config["data"], config["model"]
    stand_in_for_audio(order["package"])
    models = importlib.import_module(f"{order['package']}.models")
    alone = "discriminator" not in order
    if alone:
        narrow_transformer(getattr(models, _TRANSFORMER), order["narrow"])
    torch.manual_seed(order["seed"])
    networks: dict[str, nn.Module] = {}
    networks["generator"] = getattr(models, f"{_GENERATOR}V3" if alone else _GENERATOR)(
        data["filter_length"] // 2 + 1,
        config["train"]["segment_size"] // data["hop_length"],
        n_speakers=data["n_speakers"],
        **model,
    )
    if not alone:
        offered = {"use_spectral_norm": model["use_spectral_norm"], "version": model["version"]}
        constructor = getattr(models, _DISCRIMINATOR)
        taken = accepted(constructor, offered)
        narrow(constructor, order["narrow"])
        networks["discriminator"] = constructor(**taken)
    for key, network in networks.items():
        prepare(network, order["seed"])
        torch.save({"weight": network.state_dict()}, order[key])


def speak(order: Mapping[str, Any]) -> None:
    """Write what `infer` of a side's synthesizer says with weights that a trainer exported: [1, 1, samples]."""
    stand_in_for_audio(order["package"])
    content = Path(order["weights"]).read_bytes()
    exported = torch.load(BytesIO(b"PK" + content[2:]), map_location="cpu", weights_only=False)  # a version in front
    config = exported["config"]
    models = importlib.import_module(f"{order['package']}.models")
    model = getattr(models, _GENERATOR)(
        config.data.filter_length // 2 + 1,
        config.train.segment_size // config.data.hop_length,
        n_speakers=config.data.n_speakers,
        **config.model,
    )
    loaded = model.load_state_dict({name: value.float() for name, value in exported["weight"].items()}, strict=False)
    if loaded.unexpected_keys or any(not name.startswith("enc_q.") for name in loaded.missing_keys):
        raise RuntimeError(f"the weights do not fit: {loaded}")
    generator = torch.Generator().manual_seed(0)
    frames = 60
    features = torch.randn(1, 768, frames, generator=generator)
    spectrogram = torch.rand(1, config.data.filter_length // 2 + 1, frames, generator=generator)
    text = torch.randint(1, 100, (1, 20), generator=generator)
    torch.manual_seed(0)
    with torch.no_grad():
        sound, *_ = model.eval().infer(features, spectrogram, torch.tensor([frames]), text, torch.tensor([20]))
    torch.save(sound, order["target"])


def call_here(function: Callable[..., None], args: Iterable[Any] = (), nprocs: int = 1, **ignored: Any) -> None:
    """What stands for `torch.multiprocessing.spawn`: the function runs in this process. RuntimeError for several."""
    if nprocs != 1:
        raise RuntimeError(f"the trainer asks for {nprocs} processes, where one is compared")
    function(0, *args)


def sorted_list(values: Iterable[Any] = ()) -> list[Any]:
    """What stands for `list` in a module that makes lists of sets."""
    return sorted(values) if isinstance(values, (set, frozenset)) else list(values)


def stand_in_for_audio(package: str) -> None:
    """Stand in for the file of tools of which the loaders of a package take one function."""
    import soundfile

    def load_audio(file: str, sr: int, *ignored: Any) -> Any:
        samples, rate = soundfile.read(file, dtype="float32")
        if rate != sr:
            import librosa

            return librosa.resample(samples, orig_sr=rate, target_sr=sr)
        return samples

    for name in ("tools.my_utils", f"{package}.tools.my_utils"):  # upstream's own, and the port's
        tools: Any = ModuleType(name)
        tools.load_audio = load_audio
        sys.modules[name] = tools


def main() -> None:
    """Do what the order says."""
    order = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.path[:0] = order["search"]
    {"train": train, "start": make_start, "speak": speak}[order["do"]](order)


if __name__ == "__main__":
    main()
