"""Text in, sound out: `python -m module.tpu.speak --gpt FILE --sovits FILE --ref WAV --ref-lang L --text T ...`."""

import argparse
import contextlib
import io
import sys
import time
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch

from . import utils
from .training.files import write

_SHORTEST, _LONGEST = 3, 10  # seconds of a reference that upstream takes
_GPT, _SYNTHESIZER = "weights of the GPT (s1)", "weights of the synthesizer (s2)"
_INPUTS = {"gpt": "file", "sovits": "file", "ref": "file", "bert": "folder", "hubert": "folder"}  # by option
_SEEDS = 1 << 32  # those of numpy, which upstream seeds too
_SILENT = 1e-4  # a reference whose samples, of 1 at most, are all smaller is silence
_PHONEMES = {322: 512, 732: 732}  # rows of upstream's tables, of v1 and of later versions: synthesizer's and GPT's


class Refused(Exception):  # noqa: N818  # what the user can change, in one sentence
    """Input that cannot be used."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m module.tpu.speak",
        description="Speak a text with GPT-SoVITS: GPT, synthesizer and vocoder on the device, the rest on the host.",
    )
    add = found.add_argument
    add("--gpt", required=True, metavar="CKPT", help="weights of the GPT (s1), a .ckpt of upstream's")
    add(
        "--sovits",
        required=True,
        metavar="PTH",
        help="weights of the synthesizer (s2), a .pth of either trainer",
    )
    add("--ref", required=True, metavar="WAV", help="a clip of the voice, 3 to 10 seconds")
    add("--ref-text", default="", metavar="TEXT", help="what the clip says")
    add("--ref-lang", default="", metavar="LANG", help="the clip's language; default: that of --lang")
    add("--text", required=True, help="what to say; a long one is split as upstream does")
    add("--lang", required=True, help="the text's language, such as en, zh, ja or auto")
    add("--out", required=True, metavar="WAV", help="where the sound goes: 16 bits, one channel")
    add("--bert", metavar="FOLDER", help="chinese-roberta-wwm-ext-large; default: upstream's pretrained_models")
    add("--hubert", metavar="FOLDER", help="chinese-hubert-base; default: upstream's pretrained_models")
    add("--seed", type=int, default=-1, help="of the noise; default: another one each time")
    add("--device", choices=("xla", "cpu"), help="default: xla where torch_xla is there")
    add("--stream", action="store_true", help="synthesise in chunks, and tell when the first one is there")
    add("--warm", action="store_true", help="speak once before, so that all is compiled, and tell how long that took")
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Speak; 0, or 2 for what cannot be used, which stderr tells in one sentence."""
    options = parser().parse_args(given)
    try:
        _speak(options)
    except Refused as error:
        print(f"speak: {error}", file=sys.stderr)
        return 2
    return 0


def _speak(options: argparse.Namespace) -> None:
    _check(options)
    utils.use_device(options.device)
    with contextlib.redirect_stdout(sys.stderr):  # upstream tells a lot
        speaker = _loaded(options)
        _check_pair(options, speaker)
        _check_language(options, speaker)
        _listen(options, speaker)
        inputs = _inputs(options)
        if options.warm:
            begun, before = time.monotonic(), utils.compiles()
            list(_spoken(speaker, inputs))
            _tell(f"compiled {utils.compiles() - before} graphs in {time.monotonic() - begun:.1f} s")
        begun, before = time.monotonic(), utils.compiles()
        pieces: list[tuple[int, Any]] = []
        for piece in _spoken(speaker, inputs):
            if options.stream and not pieces:
                _tell(f"the first chunk is there after {time.monotonic() - begun:.1f} s")
            pieces.append(piece)
    rate = pieces[0][0]
    sound = numpy.concatenate([samples for _, samples in pieces])
    _write(Path(options.out), rate, sound)
    compiled = utils.compiles() - before
    more = f", {compiled} graphs compiled" if options.warm or compiled else ""
    _tell(f"{options.out}: {len(sound) / rate:.1f} s of sound in {time.monotonic() - begun:.1f} s{more}")


def _check(options: argparse.Namespace) -> None:
    """What can be told before anything is loaded."""
    for name, kind in _INPUTS.items():
        path = getattr(options, name)
        if path is not None and not (Path(path).is_file() if kind == "file" else Path(path).is_dir()):
            raise Refused(f"--{name}: there is no {kind} {path}")
    if not any(letter.isalnum() for letter in options.text):
        raise Refused("--text holds nothing to say")
    if not -1 <= options.seed < _SEEDS:
        raise Refused(f"--seed: {options.seed} is none of 0 to {_SEEDS - 1}, nor -1, for another one each time")
    if not Path(options.out).absolute().parent.is_dir() or Path(options.out).is_dir():
        raise Refused(f"--out: {options.out} is no place for a file")
    _check_clip(Path(options.ref))


def _check_clip(path: Path) -> None:
    """Refuse a clip of a length that upstream refuses, or a silent one; what only upstream can read is left to it."""
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2:
                return
            samples = numpy.frombuffer(file.readframes(file.getnframes()), "<i2")
            seconds = file.getnframes() / file.getframerate()
    except (wave.Error, EOFError):
        return
    _check_loud(path, numpy.abs(samples.astype(numpy.int32)).max(initial=0) / 32768)
    if not _SHORTEST <= seconds <= _LONGEST:
        raise Refused(f"--ref: {path} lasts {seconds:.1f} s; a clip of {_SHORTEST} to {_LONGEST} seconds is needed")


def _check_loud(path: Path, peak: float) -> None:
    if peak < _SILENT:
        raise Refused(f"--ref: {path} is silent")


def _loaded(options: argparse.Namespace) -> Any:
    """Upstream's TTS on the device, with these weights."""
    try:
        from .tts import TTS, TTS_Config
    except ImportError as error:
        raise Refused(
            f"upstream's TTS_infer_pack cannot be imported ({error}): run this in a checkout, with its folder "
            "GPT_SoVITS on PYTHONPATH and what its requirements.txt names installed"
        ) from None
    told = {
        "device": "cpu",
        "is_half": False,
        "version": "v2",  # upstream reads the synthesizer's own from its weights
        "t2s_weights_path": options.gpt,
        "vits_weights_path": options.sovits,
        "bert_base_path": options.bert,
        "cnhuhbert_base_path": options.hubert,
    }
    try:
        return TTS(TTS_Config({"custom": told}), _bar if sys.stderr.isatty() else None)
    except Exception as error:  # whatever reading a file that is no checkpoint, or another model's, raises
        for name, wanted in (("gpt", _GPT), ("sovits", _SYNTHESIZER)):
            found = _held(Path(getattr(options, name)))
            if found not in ("", wanted):
                raise Refused(f"--{name}: {getattr(options, name)} holds {found}; {wanted} are needed") from None
        raise Refused(f"the weights cannot be loaded: {_named(error)}") from None


def _held(path: Path) -> str:
    """What a file holds, in words; "" where it cannot be told."""
    data = path.read_bytes()
    if data[:2].isdigit():  # upstream writes the version of v2Pro and later over the mark of a zip file
        data = b"PK" + data[2:]
    try:
        held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)  # as upstream loads it
    except Exception:  # whatever pickle and zipfile raise
        return "no checkpoint"
    weights = held.get("weight", ()) if isinstance(held, dict) else ()
    if any(name.startswith("model.ar_") for name in weights):
        return _GPT
    if any(name.startswith(("enc_p.", "cfm.")) for name in weights):
        return _SYNTHESIZER
    if isinstance(held, dict) and {"model", "optimizer"} <= held.keys():
        return "a network with its optimizer, to go on training with"
    return ""


def _check_pair(options: argparse.Namespace, speaker: Any) -> None:
    """Refuse weights of two versions: they number phonemes in two ways, and nothing else tells."""
    known = speaker.t2s_model.model.ar_text_embedding.word_embeddings.weight.shape[0]
    encoder = getattr(speaker.vits_model, "enc_p", None)
    table = getattr(encoder, "text_embedding", None)
    if table is None:
        return
    needed = _PHONEMES.get(table.weight.shape[0], known)
    if known != needed:
        raise Refused(
            f"--gpt: {options.gpt} knows {known} phonemes, where a GPT for {options.sovits} knows {needed}: they are "
            "of different versions"
        )


def _listen(options: argparse.Namespace, speaker: Any) -> None:
    """Let upstream read the reference, which may be of any format that it reads."""
    path = Path(options.ref)
    try:
        speaker.set_ref_audio(options.ref)
    except Exception as error:  # each library that reads sound has its own
        # What upstream itself says of the clip is an OSError without a number; that of a file has one.
        if type(error) is OSError and error.errno is None and str(error):
            raise Refused(f"--ref: {path}: {_line(error)}") from None
        raise Refused(f"--ref: {path} cannot be read as sound: {_named(error)}") from None
    samples = speaker.prompt_cache.get("raw_audio")
    if samples is not None:
        _check_loud(path, float(samples.abs().max()))


def _check_language(options: argparse.Namespace, speaker: Any) -> None:
    known = list(speaker.configs.languages)
    for name in ("lang", "ref_lang"):
        asked = getattr(options, name)
        if asked and asked not in known:
            raise Refused(f"--{name.replace('_', '-')}: {asked} is none of {', '.join(known)}")


def _inputs(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "text": options.text,
        "text_lang": options.lang,
        "ref_audio_path": options.ref,
        "prompt_text": options.ref_text if options.ref_text.strip() else "",  # upstream looks at its last letter
        "prompt_lang": options.ref_lang or options.lang,
        "seed": options.seed,
        "parallel_infer": not options.stream,
        "streaming_mode": options.stream,
        "split_bucket": not options.stream,
    }


def _spoken(speaker: Any, inputs: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    """Samples per second and samples, int16, piece by piece."""
    if inputs["seed"] != -1:
        utils.manual_seed(inputs["seed"])
    try:
        yield from speaker.run(inputs)
    except (OSError, ValueError) as error:  # a clip that is too short, say
        raise Refused(_line(error)) from None
    except Exception as error:  # what upstream's front end lacks: data of nltk, or a model that it would download
        raise Refused(f"upstream's TTS cannot speak this: {_named(error)}") from error


def _write(path: Path, rate: int, samples: Any) -> None:
    """A whole wave file or none."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(numpy.asarray(samples, "<i2").tobytes())
    try:
        write(held.getvalue(), path)
    except OSError as error:
        raise Refused(f"--out: {path} cannot be written: {error.strerror or error}") from None


def _bar(codes: int) -> None:
    """How many codes there are, in place of the line before."""
    print(f"\rspeak: {'#' * min(40, codes // 16)} {codes} codes ", end="", file=sys.stderr, flush=True)


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _named(error: BaseException) -> str:
    name, line = type(error).__name__, _line(error)
    return name if line == name else f"{name}: {line}"


def _tell(words: str) -> None:
    print(f"speak: {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
