"""The trainers' own programs: a few steps from data that are made up, stopped and resumed, on the host.

A trainer runs as its user starts it, with a configuration and a folder of recordings. Changed around it is what a
process of a case cannot have: `spawn` calls its function here, batches are loaded in this process and only a few of
each epoch, sounds are read without a program, and the networks whose width no configuration names are made narrow.
All recordings have one length, and a plan of buckets that the port reads, so that both sides pad alike and noise fits.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import logging
import os
import socket
import sys
import tempfile
import wave
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, StringIO
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from porter.inputs.sources.layout import TRAINERS
from porter.validate.cases.adapters import as_peft
from porter.validate.cases.base import Batch, Case, Part, Unavailable, accepted, host_case
from porter.validate.cases.files import told, words
from porter.validate.cases.shapes import normal
from porter.validate.cases.standins import StandIns
from porter.validate.settings import Settings
from porter.validate.weights import prepare

_RATE, _HOP, _WINDOW = 32000, 640, 2048
_CLIPS, _FRAMES, _PHONEMES = 4, 63, 32  # upstream pads to 64 frames, as the port does beyond a boundary at 63
_BATCH, _STEPS = 3, 2  # samples of a batch, batches of an epoch
_SEGMENT = 4 * _HOP
_SYMBOLS = ("AA1", "B", "HH", "L", "ER1", "D", ",", ".", "!")
_NARROWER = 16  # how many times fewer channels the discriminators have
_DISCRIMINATOR = "MultiPeriodDiscriminator"
_TRANSFORMER = "DiT"
_PLOT = "plot_spectrogram_to_numpy"
_NOTHING = 1e-6
_VALUES = 64  # of a tensor

# Upstream's structure at a width that trains within seconds; it makes as many samples a frame as the data have.
_MODEL: dict[str, Any] = {
    "inter_channels": 32,
    "filter_channels": 64,
    "n_layers": 1,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3, 5]],
    "upsample_rates": [10, 8, 2, 2, 2],
    "upsample_initial_channel": 32,
    "upsample_kernel_sizes": [16, 16, 8, 2, 2],
}
# What a version has otherwise: features of its speakers wider, a bridge that takes what the text encoder makes.
_OF_VERSION: dict[str, dict[str, Any]] = {
    "v2Pro": {"gin_channels": 1024},
    "v3": {"inter_channels": 192},
    "v4": {"inter_channels": 192},
}
_SPEAKER = 20480  # features of a speaker, which the data of v2Pro have beside


def _recordings(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Quiet sound, features and phonemes of each recording, `KIND:INDEX`."""
    batch: Batch = {}
    for index in range(_CLIPS):
        batch[f"audio:{index}"] = torch.randint(-3000, 3000, (_FRAMES * _HOP,), generator=generator).short()
        batch[f"ssl:{index}"] = normal(generator, 1, 768, _FRAMES)
        batch[f"speaker:{index}"] = normal(generator, 1, _SPEAKER)
        batch[f"text:{index}"] = torch.randint(0, len(_SYMBOLS), (_PHONEMES,), generator=generator)
    return batch


def _prepare(folder: Path, given: Batch, settings: dict[str, Any], version: str) -> Path:
    """An experiment's folder, as upstream's preparation leaves it, and the configuration of a trainer."""
    data = folder / "experiment"
    for name in ("4-cnhubert", "5-wav32k", "7-sv_cn", f"logs_s2_{version}", "weights"):
        (data / name).mkdir(parents=True)
    lines = []
    for index in range(_CLIPS):
        name = f"clip_{index}.wav"
        with wave.open(str(data / "5-wav32k" / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(_RATE)
            file.writeframes(given[f"audio:{index}"].numpy().tobytes())
        torch.save(given[f"ssl:{index}"].clone(), data / "4-cnhubert" / f"{name}.pt")
        torch.save(given[f"speaker:{index}"].clone(), data / "7-sv_cn" / f"{name}.pt")
        spoken = " ".join(_SYMBOLS[place] for place in given[f"text:{index}"].tolist())
        lines.append(f"{name}\t{spoken}\t[{_PHONEMES}]\tclip {index}\n")
    (data / "2-name2text.txt").write_text("".join(lines), encoding="utf-8")
    plan = {
        "schema": 1,
        "boundaries": [_PHONEMES + 16, _FRAMES],  # none where phonemes have one
        "tokens": [_PHONEMES],
        "sampling_rate": _RATE,
        "hop_length": _HOP,
        "version": version,
        "clips": _CLIPS,
        "lengths": hashlib.sha256(",".join([str(_FRAMES)] * _CLIPS).encode()).hexdigest(),
    }
    (data / "buckets.json").write_text(json.dumps(plan), encoding="utf-8")
    config = {
        "train": {
            "log_interval": 1,
            "eval_interval": 500,
            "seed": 1234,
            "epochs": 1,
            "learning_rate": 0.0001,
            "betas": [0.8, 0.99],
            "eps": 1e-9,
            "batch_size": _BATCH,
            "fp16_run": False,
            "lr_decay": 0.9,
            "segment_size": _SEGMENT,
            "init_lr_ratio": 1,
            "warmup_epochs": 0,
            "c_mel": 45,
            "c_kl": 1.0,
            "text_low_lr_rate": 0.4,
            "grad_ckpt": False,
            "pretrained_s2G": "",
            "pretrained_s2D": "",
            "if_save_latest": 0,
            "if_save_every_weights": True,
            "save_every_epoch": 1,
            "gpu_numbers": "0",
            "lora_rank": "32",
        },
        "data": {
            "max_wav_value": 32768.0,
            "sampling_rate": _RATE,
            "filter_length": _WINDOW,
            "hop_length": _HOP,
            "win_length": _WINDOW,
            "n_mel_channels": 128,
            "mel_fmin": 0.0,
            "mel_fmax": None,
            "add_blank": True,
            "n_speakers": 300,
            "cleaned_text": True,
            "exp_dir": str(data),
        },
        "model": {**settings, **_MODEL, **_OF_VERSION.get(version, {}), "version": version},
        "s2_ckpt_dir": str(data),
        "content_module": "cnhubert",
        "save_weight_dir": str(data / "weights"),
        "name": "judged",
        "version": version,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def _read(file: str, rate: int, *ignored: object) -> npt.NDArray[np.float32]:
    with wave.open(str(file), "rb") as sound:
        samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
    return samples[: len(samples) * rate // _RATE].astype(np.float32) / np.float32(32768)  # at another rate, fewer


# -- around a trainer ---------------------------------------------------------------------------------------------


def _call_here(function: Callable[..., None], args: Iterable[Any] = (), nprocs: int = 1, **ignored: Any) -> None:
    """What stands for torch.multiprocessing.spawn."""
    function(0, *args)


def _free_port(least: int, most: int) -> int:
    """What stands for a trainer's own draw of a port, at which its process group of one meets."""
    with socket.socket() as place:
        place.bind(("localhost", 0))
        return int(place.getsockname()[1])


class _Writer:
    """What stands for TensorBoard's writer: it keeps its place, the scalars, and of images their sizes."""

    def __init__(self, kept: list[object], folder: Path, *, log_dir: str) -> None:
        self._kept = kept
        kept.append(told(os.path.relpath(log_dir, folder)))

    def add_scalar(self, name: str, value: object, step: int) -> None:
        self._kept.append({f"{name} {step}": told(value.detach().clone() if isinstance(value, Tensor) else value)})

    def add_image(self, name: str, value: Any, step: int, *ignored: object, **others: object) -> None:
        self._kept.append({f"{name} {step}": told(list(value.shape))})


def _sorted(values: Iterable[Any] = ()) -> list[Any]:
    """What stands for `list` where lists are made of sets of names, whose order is another in each process."""
    return sorted(values) if isinstance(values, (set, frozenset)) else list(values)


def _few(base: type[Any]) -> type[Any]:
    """A DataLoader that loads the first batches of an epoch in this process, and draws no seed for others."""

    class Loader(base):  # type: ignore[misc]  # a class that is known at run time only
        def __init__(self, *args: Any, **named: Any) -> None:
            for name in ("num_workers", "persistent_workers", "prefetch_factor"):
                named.pop(name, None)
            super().__init__(*args, **named)

        def __len__(self) -> int:
            """So few that each batch is a large part of them, as progress is printed."""
            return _STEPS + 1

        def __iter__(self) -> Iterator[Any]:
            for indices in islice(self.batch_sampler, _STEPS):
                yield self.collate_fn([self.dataset[index] for index in indices])

    return Loader


@contextmanager
def _narrow(network: type[nn.Module]) -> Iterator[None]:
    """Let a class make its convolutions with fewer channels and groups, where they have as many."""
    make = network.__init__
    plain: Any = _ConvNd.__init__

    def init(conv: nn.Module, wide_in: int, wide_out: int, *sizes: Any, **named: Any) -> None:
        # kernel, stride, padding, dilation, transposed, output padding; then groups, bias and padding mode
        *before, groups, bias, mode = sizes[:9]
        scaled = [max(1, number // _NARROWER) for number in (wide_in, wide_out, groups)]
        plain(conv, *scaled[:2], *before, scaled[2], bias, mode, *sizes[9:], **named)

    @functools.wraps(make)
    def made(model: nn.Module, *args: Any, **named: Any) -> None:
        with mock.patch.object(_ConvNd, "__init__", init):
            make(model, *args, **named)

    with mock.patch.object(network, "__init__", made):
        yield


@contextmanager
def _small(transformer: type[nn.Module]) -> Iterator[None]:
    """Let a class of transformers have one layer and one head."""
    make = transformer.__init__

    @functools.wraps(make)
    def made(model: nn.Module, *, dim: int, depth: int, heads: int, **named: Any) -> None:
        make(model, dim=dim // heads, depth=1, heads=1, **named)

    with mock.patch.object(transformer, "__init__", made):
        yield


@contextmanager
def _watched_steps(kept: list[object]) -> Iterator[None]:
    """Keep the gradients that each step of an optimizer is given, thinned."""
    plain = torch.optim.AdamW.step

    def step(optimizer: torch.optim.AdamW, *args: Any, **named: Any) -> Any:
        given = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        kept.append(_gist(given))
        return plain(optimizer, *args, **named)

    with mock.patch.object(torch.optim.AdamW, "step", step):
        yield


def _gist(tensors: Collection[Tensor]) -> object:
    """Many tensors in few: how large each is, and some values of each in units of that.

    What is smaller by far than the largest holds nothing but rounding, and counts as zero.
    """
    found = [value.detach().reshape(-1) for value in tensors if value.numel()]
    sizes = torch.stack([torch.linalg.vector_norm(v, dtype=torch.float64) / v.numel() ** 0.5 for v in found])
    units = torch.where(sizes > _NOTHING * sizes.max(), sizes, torch.inf)
    thinned = [v[:: max(1, v.numel() // _VALUES)].double() / unit for v, unit in zip(found, units, strict=True)]
    sizes = torch.where(units.isinf(), 0.0, sizes)
    kinds = {value.dtype for value in tensors}
    kind = torch.float16 if kinds == {torch.float16} else torch.float32  # as fine as what is compared
    return {"count": len(found), "sizes": sizes.float(), "values": torch.cat(thinned).to(kind)}


def _imported(near: Any, trainer: str) -> ModuleType:
    """The trainer beside a function of its helpers, all of its side imported anew, and nothing scripted.

    TorchScript's gradients of tanh and sigmoid round unlike torch's own, and AdamW's first steps are as long for
    rounding as for anything else.
    """
    package = near.__module__.rpartition(".")[0]
    folder = _file(near, trainer).parent
    root = folder.parent if folder.name == TRAINERS else folder
    for name in [name for name, module in sys.modules.items() if _is_below(module, root)]:
        del sys.modules[name]
    torch.jit._state.disable()  # type: ignore[no-untyped-call]  # it takes back nothing: this process has one case
    try:
        return StandIns().import_module(f"{package}.{trainer}" if package else trainer)
    except ModuleNotFoundError as error:  # as a wheel may lack what one of its own files imports
        raise Unavailable(f"{trainer}.py of this upstream cannot be imported: {error}") from None


def _file(near: Any, trainer: str) -> Path:
    """Where a trainer is, beside a function of its helpers. Unavailable where it is not."""
    path = Path(inspect.getfile(near)).resolve().with_name(f"{trainer}.py")
    if not path.is_file():
        raise Unavailable(f"this upstream has no {trainer}.py")
    return path


def _is_below(module: ModuleType, root: Path) -> bool:
    around = getattr(module, "__path__", ())
    places = [getattr(module, "__file__", None), *(around if isinstance(around, Iterable) else ())]
    return any(isinstance(place, str) and Path(place).resolve().is_relative_to(root) for place in places)


def _data_utils(trainer: Any) -> Any:
    return inspect.getmodule(trainer.DistributedBucketSampler)


def _train(name: str, versions: Sequence[str]) -> Callable[[Any, Batch], object]:
    """Train the first of these versions that the trainer's own text names, and resume it; then begin with the last."""

    def call(near: Any, given: Batch) -> object:
        text = _file(near, name).read_text(encoding="utf-8").replace("'", '"')
        first = next((one for one in versions if f'"{one}"' in text), versions[-1])
        chosen = dict.fromkeys((first, versions[-1]))
        return {version: _trained(near, name, given, version, resumed=version == first) for version in chosen}

    return call


def _trained(near: Any, name: str, given: Batch, version: str, resumed: bool) -> object:
    """What a trainer says, logs, draws and leaves of one version."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trainer-")))
        model = json.loads(bytes(given["model"].tolist()))
        path = _prepare(folder, given, model, version)
        stack.enter_context(chdir(folder))
        printed = stack.enter_context(redirect_stdout(StringIO()))
        stack.enter_context(redirect_stderr(StringIO()))
        stack.enter_context(mock.patch.object(sys, "argv", [name, "-c", str(path)]))
        stack.enter_context(mock.patch.dict(os.environ, {"SOVITS_PORT_DEVICE": "cpu"}))
        stack.enter_context(mock.patch.dict(sys.modules, {"peft": as_peft()}))
        stack.enter_context(mock.patch.object(torch.multiprocessing, "spawn", _call_here))
        levels = stack.enter_context(_watched_levels(name))
        trainer: Any = _imported(near, name)
        torch.set_float32_matmul_precision("highest")
        scalars: list[object] = []
        gradients: list[object] = []
        stack.enter_context(mock.patch.object(trainer, "randint", _free_port, create=True))
        writer = functools.partial(_Writer, scalars, folder)
        stack.enter_context(mock.patch.object(trainer, "SummaryWriter", writer))
        stack.enter_context(mock.patch.object(trainer, "DataLoader", _few(trainer.DataLoader)))
        data = _data_utils(trainer)
        stack.enter_context(mock.patch.object(data, "load_audio", _read))
        stack.enter_context(mock.patch.object(data, "list", _sorted, create=True))
        if hasattr(trainer, _DISCRIMINATOR):
            stack.enter_context(_narrow(getattr(trainer, _DISCRIMINATOR)))
        transformer = getattr(inspect.getmodule(trainer.SynthesizerTrn), _TRANSFORMER, None)
        if transformer is not None:
            stack.enter_context(_small(transformer))
        stack.enter_context(_watched_steps(gradients))
        switches = stack.enter_context(_watched_switches(trainer))
        plots: list[object] = []
        if hasattr(trainer.utils, _PLOT):
            stack.enter_context(mock.patch.object(trainer.utils, _PLOT, _plotting(plots)))
        stack.enter_context(torch.enable_grad())  # type: ignore[no-untyped-call]
        _start(trainer, folder)
        trainer.main()
        _end_group()
        if resumed:
            _resume(trainer.hps.train)
            trainer.main()
            _end_group()
        data_folder = folder / "experiment"
        said = [printed.getvalue(), *(_log(path) for path in sorted(data_folder.glob("**/train.log")))]
        # Exported weights name the class of their configuration as upstream does.
        stack.enter_context(mock.patch.dict(sys.modules, {"utils": trainer.utils}))
        return {
            "scalars": scalars,
            "gradients": gradients,
            "plots": plots,
            "levels": told(levels),
            "autocast": told(switches),
            "said": [words(text.replace(str(folder), "")) for text in said],
            "files": _left(data_folder, version),
        }


@contextmanager
def _watched_switches(trainer: Any) -> Iterator[list[bool]]:
    """For each block under autocast, whether it is switched on."""
    kept: list[bool] = []
    plain = trainer.autocast

    def autocast(*args: Any, enabled: bool = True, **named: Any) -> Any:
        kept.append(bool(enabled))
        return plain(*args, enabled=enabled, **named)

    with mock.patch.object(trainer, "autocast", autocast):
        yield kept


@contextmanager
def _watched_levels(trainer: str) -> Iterator[dict[str, object]]:
    """Which levels a trainer's own file sets for loggers, by their names."""
    kept: dict[str, object] = {}
    plain = logging.Logger.setLevel

    def set_level(logger: logging.Logger, level: Any) -> None:
        if Path(sys._getframe(1).f_code.co_filename).stem == trainer:
            kept[logger.name] = level
        plain(logger, level)

    with mock.patch.object(logging.Logger, "setLevel", set_level):
        yield kept


def _start(trainer: Any, folder: Path) -> None:
    """Files of weights to start from, the generator's with a codebook that needs no first batch."""
    hps = trainer.hps
    network = trainer.SynthesizerTrn(
        hps.data.filter_length // 2 + 1, _SEGMENT // _HOP, n_speakers=hps.data.n_speakers, **hps.model
    )
    prepare(network, hps.train.seed)
    weights = network.state_dict()
    weights.popitem()  # as in a file of an older version, one is missing
    hps.train.pretrained_s2G = _saved(weights, folder / "start.pth")
    if hasattr(trainer, _DISCRIMINATOR):
        kind = getattr(trainer, _DISCRIMINATOR)
        discriminator = kind(hps.model.use_spectral_norm, **accepted(kind, {"version": hps.model.version}))
        prepare(discriminator, hps.train.seed + 1)
        hps.train.pretrained_s2D = _saved(discriminator.state_dict(), folder / "start of the other.pth")


def _saved(weights: Mapping[str, Tensor], path: Path) -> str:
    torch.save({"weight": weights}, path)
    return str(path)


def _resume(told: Any) -> None:
    """What a second run is told: to go on, to say less, and to keep the latest checkpoint alone."""
    told.epochs = 2
    told.log_interval = 2
    told.if_save_latest = 1


def _plotting(kept: list[object]) -> Callable[[Any], npt.NDArray[np.uint8]]:
    """What stands for a plot of a spectrogram, whose package may be missing: it keeps what it is given."""

    def plot(spectrogram: Any) -> npt.NDArray[np.uint8]:
        kept.append({"shape": told(list(spectrogram.shape)), "gist": _gist([torch.as_tensor(spectrogram)])})
        return np.zeros((*spectrogram.shape, 3), np.uint8)

    return plot


def _log(path: Path) -> str:
    """What a log says, without the times of its lines."""
    return "\n".join(line.partition("\t")[2] for line in path.read_text(encoding="utf-8").splitlines())


def _end_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _left(folder: Path, version: str) -> object:
    """What checkpoints and exported weights hold, the latter's first two bytes apart."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob(f"logs_s2_{version}*/*.pth")):
        saved = torch.load(path, weights_only=False)
        model, optimizer = saved.pop("model"), saved.pop("optimizer")
        moments = [value for state in optimizer["state"].values() for value in state.values() if value.dim()]
        found[path.name] = {"others": told(saved), "model": _named(model), "moments": _gist(moments)}
        found[path.name] |= {"groups": told(optimizer["param_groups"])}
    for path in sorted((folder / "weights").iterdir()):
        raw = path.read_bytes()
        saved = torch.load(BytesIO(b"PK" + raw[2:]), weights_only=False)
        found[path.name] = {"head": told(raw[:2]), "weight": _named(saved["weight"]), "info": told(saved["info"])}
    return found


def _named(weights: Mapping[str, Tensor]) -> object:
    kinds = [f"{name} {tuple(value.shape)} {value.dtype}" for name, value in weights.items()]
    return {"kinds": told("; ".join(kinds)), "gist": _gist(weights.values())}


def _with_model(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    model = torch.tensor(list(json.dumps(dict(settings.model)).encode()), dtype=torch.uint8)
    return {**_recordings(subject, settings, generator), "model": model}


def _case(name: str, trainer: str, *versions: str) -> Case:
    part = Part(f"{TRAINERS}.utils", "get_hparams", _with_model, call=_train(trainer, versions), label=trainer)
    return host_case(f"trainers.{name}", part)


CASES = (
    _case("s2", "s2_train", "v2Pro", "v2"),
    _case("s2_v3", "s2_train_v3", "v3"),
    _case("s2_v3_lora", "s2_train_v3_lora", "v4"),
)
