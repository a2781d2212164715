"""What an epoch in given buckets costs: batches, frames computed and wasted, bytes to upload, memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..runtime.training.dataset import WITH_SPEAKERS, Clip
from ..runtime.training.plan import padded_frames, padded_tokens
from .model import LATER, Model

# Temporary memory that a TPU compiler gave forward and backward, float32, batch 8, 400 frames, segments of 32 frames
# (20480 samples): 3.15 GB for the decoder and 2.78 GB for the discriminators, which see a segment of each clip, and
# 0.56 GB for the text encoder, which sees all frames.
_SEGMENT_BYTES = (3.15e9 + 2.78e9) / 8 / 20480  # a clip and sample
_FRAME_BYTES = 0.56e9 / 8 / 400  # a clip and frame
_FEATURES = 768
_SPEAKER = 20480
_MELS = 100
_FLOAT, _LONG = 4, 8  # bytes


@dataclass(frozen=True)
class Bucket:
    """Clips above `above` and up to `upto` frames, padded to `frames` and `tokens`; figures of an epoch.

    Of the frames `computed`, `filling` are those of clips that come once more to fill the last batch, and `real` hold
    sound, in such clips as in the others. `memory` is an estimate, in bytes, for one replica; None where nothing was
    measured to estimate it from.
    """

    above: int
    upto: int
    frames: int
    tokens: int
    clips: int
    batches: int
    computed: int
    filling: int
    real: float
    input_bytes: int
    memory: float | None

    @property
    def wasted(self) -> float:
        """Part of the frames computed that is padding."""
        return 1 - self.real / self.computed


def buckets_of(
    clips: Sequence[Clip], boundaries: Sequence[int], model: Model, *, repeats: int = 1, replicas: int = 1
) -> list[Bucket]:
    """The buckets that hold clips. Clips outside the boundaries are left out, as upstream's sampler does."""
    found = []
    step = model.batch_size * replicas
    ordered = sorted(clips, key=_frames)
    above = boundaries[0]
    for upto in boundaries[1:]:
        held = ordered[bisect_right(ordered, above, key=_frames) : bisect_right(ordered, upto, key=_frames)]
        if not held:
            continue
        frames, tokens = padded_frames(upto), padded_tokens(max(clip.phones for clip in held))
        batches = -(-len(held) * repeats // step)
        mean = sum(clip.frames for clip in held) / len(held)
        inputs = model.batch_size * clip_bytes(frames, tokens, model)
        found.append(
            Bucket(
                above=above,
                upto=upto,
                frames=frames,
                tokens=tokens,
                clips=len(held),
                batches=batches,
                computed=batches * step * frames,
                filling=(batches * step - len(held) * repeats) * frames,
                real=batches * step * mean,
                input_bytes=inputs,
                memory=_memory(frames, model, inputs),
            )
        )
        above = upto
    return found


def _frames(clip: Clip) -> int:
    return clip.frames


def clip_bytes(frames: int, tokens: int, model: Model) -> int:
    """Bytes of one clip in a batch, as upstream's collate function of the model's version lays it out."""
    floats = (_FEATURES + model.filter_length // 2 + 1) * frames
    if model.version in LATER:
        floats += _MELS * (2 * frames if model.version == "v4" else int(1.875 * frames))
    else:
        floats += frames * model.hop_length
    if model.version in WITH_SPEAKERS:
        floats += _SPEAKER
    return _FLOAT * floats + _LONG * (tokens + 4)  # and four lengths


def _memory(frames: int, model: Model, inputs: int) -> float | None:
    if model.version in LATER:
        return None
    return model.batch_size * (_SEGMENT_BYTES * model.segment_size + _FRAME_BYTES * frames) + inputs


def frames_of(buckets: Iterable[Bucket]) -> int:
    """The frames computed in all buckets."""
    return sum(bucket.computed for bucket in buckets)


def wasted(buckets: Sequence[Bucket]) -> float:
    """Part of the frames computed in all buckets that is padding; 0 for no bucket."""
    computed = frames_of(buckets)
    return 1 - sum(bucket.real for bucket in buckets) / computed if computed else 0.0


def filling(buckets: Sequence[Bucket]) -> float:
    """Part of the frames computed in all buckets for clips that fill a last batch; 0 for no bucket."""
    computed = frames_of(buckets)
    return sum(bucket.filling for bucket in buckets) / computed if computed else 0.0
