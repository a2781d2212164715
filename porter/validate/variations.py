"""Variations of a case: small named changes of its sizes, its model's state, its values or its precision.

Each is applied to any case: the base case runs first, then its variations, one after the other, on the same model and
in the same process. What a variation cannot be applied to (a case without masks has no masks to move) it leaves out.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from porter.validate.cases.base import Batch, Case, Subjects, Told
from porter.validate.settings import Settings

Axis = Literal["size", "state", "values", "precision", "result"]
Change = Callable[[Case, Batch, torch.Generator], Batch | None]
Prepare = Callable[["Session", Subjects], None]
Mode = Literal["backward", "forward", "gradients", "inference"]

_EVERYWHERE = ("cpu", "forms", "xla")
_RATE = 1e-3  # learning rate of the optimizer's steps, large enough that stale weights show
_DECAY, _EPSILON = 1e-2, 1e-9  # AdamW's
_PART = 0.97  # what weights are multiplied by, where no optimizer moves them
_ODD_FRAMES, _SHORT_FRAMES, _LEAST_FRAMES, _LONG_FRAMES = 129, 9, 3, 703
_LARGE = 1e3
_HUGE = 1e25  # whose square is infinite in float32
_MASK = "mask"
_LENGTHS = ("length", "_lens")


class Session:
    """What the variations of one model share: gradients of upstream's base step."""

    def __init__(self, gradients: Mapping[str, Tensor]) -> None:
        """`gradients` by the names of parameters, on any device."""
        self.gradients = gradients
        self.weights: dict[str, Tensor] = {}  # on the CPU, once an optimizer moved them


@dataclass(frozen=True)
class Variation:
    """One change; what it does not name is as in the base case."""

    name: str
    axis: Axis
    about: str
    sizes: Callable[[Settings], Settings] | None = None  # of the batch
    change: Change | None = None  # of the batch's values; None from it: there is nothing to change
    same_batch: bool = False  # the base case's own batch instead of another one
    prepare: Prepare | None = None  # done to the model before the step
    around: Callable[[str], AbstractContextManager[object]] = nullcontext  # of a device type
    training: bool | None = None  # train() or eval() for the step, None for the case's own
    mode: Mode = "backward"  # a case without gradients runs forward
    dtype: torch.dtype | None = None  # of weights and inputs during the step, None for their own
    precision: str = ""  # whose tolerances count, "" for each tensor's own
    only: Callable[[Case], bool] = lambda case: True  # which cases it is for
    devices: tuple[str, ...] = ("cpu", "forms")
    shared: bool = True  # whether cases of the same code take turns with it

    def applies(self, case: Case, device: str, turn: int) -> bool:
        """Whether a case is run so on a device: "cpu", "forms" (a TPU's, on the CPU) or "xla".

        `turn` is its place among all variations.
        """
        if not case.varies or self.name in case.left_out:
            return False
        mine = not self.shared or turn % case.turns == case.turn
        return mine and (device in self.devices or case.on_host) and self.only(case)

    def batch(
        self, case: Case, model: Subjects, told: Told, settings: Settings, base: Batch, seed: int
    ) -> Batch | None:
        """The tensors of its step, on the CPU; None where there is nothing to change."""
        generator = torch.Generator().manual_seed(seed + zlib.crc32(self.name.encode()))
        sized = self.sizes(settings) if self.sizes else settings
        try:
            made = base if self.same_batch else case.batch(model, told, sized, generator)
        except (RuntimeError, ValueError):  # nobody could make a batch of these sizes
            return None
        return made if self.change is None else self.change(case, {**made}, generator)


def varied(case: Case, batch: Batch, device: str) -> Iterator[Variation]:
    """The variations of a case on a device, in the order in which they run."""
    for turn, variation in enumerate((*VARIATIONS, *_pairs(case, batch))):
        if variation.applies(case, device, turn):
            yield variation


def _pairs(case: Case, batch: Batch) -> Iterator[Variation]:
    """Of a case that may keep what it computed: calls of which each differs from the one before in one input alone."""
    if case.gradients or case.on_host:
        return
    others: list[str] = []
    for name, value in batch.items():
        if value.numel():
            others.append(name)
            change = _exchanging(tuple(others))
            yield Variation(
                f"another {name.partition('/')[2]}",
                "values",
                f"the inputs before it, but for {name}",
                change=change,
                same_batch=True,
                mode="forward",
                devices=_EVERYWHERE,
                shared=False,
            )


def _exchanging(names: tuple[str, ...]) -> Change:
    """The base batch with other values of these members, the same ones for each call."""

    def change(case: Case, batch: Batch, generator: torch.Generator) -> Batch:
        for name in names:
            own = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            value = batch[name]
            flat = value.reshape(-1)
            batch[name] = flat[torch.randperm(value.numel(), generator=own)].reshape(value.shape)
            if value.is_floating_point() and not is_mask(name, value):
                batch[name] = batch[name] * 0.9
        return batch

    return change


def is_mask(name: str, value: Tensor) -> bool:
    """Whether a member of a batch is a mask: zeros and ones."""
    return _MASK in name and bool(((value == 0) | (value == 1)).all())


def is_length(name: str, value: Tensor) -> bool:
    """Whether a member of a batch tells how long its samples are."""
    return not value.is_floating_point() and value.dim() == 1 and any(part in name for part in _LENGTHS)


# -- sizes --------------------------------------------------------------------------------------------------------


def _sized(batch: int, frames: int, phonemes: int, samples: int) -> Callable[[Settings], Settings]:
    """Settings of the batch; `samples` are those beyond the base case's."""
    return lambda s: replace(
        s, batch=batch, frames=frames or s.frames, phonemes=phonemes or s.phonemes, samples=s.samples + samples
    )


# -- values -------------------------------------------------------------------------------------------------------


def _floats(change: Callable[[str, Tensor, torch.Generator], Tensor | None]) -> Change:
    """A change of all floating-point inputs but masks."""

    def changed(case: Case, batch: Batch, generator: torch.Generator) -> Batch | None:
        found = {}
        for name, value in batch.items():
            if value.is_floating_point() and value.numel() and not is_mask(name, value):
                new = change(name, value, generator)
                if new is not None:
                    found[name] = new
        return {**batch, **found} if found else None

    return changed


def _zeros(name: str, value: Tensor, generator: torch.Generator) -> Tensor:
    return torch.zeros_like(value)


def _not_finite(name: str, value: Tensor, generator: torch.Generator) -> Tensor:
    """An infinity in the first sample, a NaN in the last."""
    made = value.clone()
    flat = made.view(-1)
    flat[int(torch.randint(0, max(1, flat.numel() // 2), (), generator=generator))] = torch.inf
    flat[-1 - int(torch.randint(0, max(1, flat.numel() // 2), (), generator=generator))] = torch.nan
    return made


def _masks(change: Callable[[Tensor, torch.Generator], Tensor]) -> Change:
    def changed(case: Case, batch: Batch, generator: torch.Generator) -> Batch | None:
        found = {name: change(value, generator) for name, value in batch.items() if is_mask(name, value)}
        return {**batch, **found} if found else None

    return changed


def _anywhere(mask: Tensor, generator: torch.Generator) -> Tensor:
    """Ones from somewhere to somewhere, each sample's own; of several axes along the last two."""
    result = torch.ones_like(mask)
    for axis in range(max(1, mask.dim() - 2), mask.dim()):
        size = mask.shape[axis]
        first = torch.randint(0, size, (mask.shape[0],), generator=generator)
        last = first + (torch.rand(mask.shape[0], generator=generator) * (size - first)).long()
        places = torch.arange(size)
        inside = (places >= first[:, None]) & (places <= last[:, None])
        result = result * inside.view(mask.shape[0], *(size if a == axis else 1 for a in range(1, mask.dim()))).to(
            mask.dtype
        )
    return result


def _extremes(case: Case, batch: Batch, generator: torch.Generator) -> Batch | None:
    """Zeros inside whole numbers, lengths of one sample at their least and of another at their most."""
    found = {}
    for name, value in batch.items():
        if is_length(name, value):
            found[name] = value.clone()
            found[name][0] = max(1, int(value.max()) // 3)  # a segment long: of less upstream can make none
            found[name][-1] = int(value.max())
        elif value.dtype == torch.int64 and value.dim() > 1 and value.shape[-1] > 2:
            found[name] = value.clone()
            found[name][..., 1 :: max(2, value.shape[-1] // 3)] = 0
    return {**batch, **found} if found else None


def _widened(case: Case, batch: Batch, generator: torch.Generator) -> Batch | None:
    """One channel more in every floating-point input of several."""
    found = {
        name: torch.cat([value, value[:, :1]], 1)
        for name, value in batch.items()
        if value.is_floating_point() and value.dim() == 3 and value.shape[1] > 1
    }
    return {**batch, **found} if found else None


# -- states -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def _advance(session: Session, model: Subjects) -> None:
    """A step of AdamW along upstream's gradients; where there are none, other weights in the same place.

    The port takes upstream's gradients, since its own were compared: AdamW's first steps are as long for a gradient
    that is nothing but rounding as for any other. They are the same at each step, so AdamW's averages are the gradient
    and its square, and need no room. It runs on the CPU, where its graphs need no compiler.
    """
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.is_floating_point()}
    if not session.weights:
        session.weights = {name: value.detach().cpu().clone() for name, value in named.items()}
    weights = session.weights
    if session.gradients.keys() & named.keys():
        for name, value in weights.items():
            if name in session.gradients:
                gradient = session.gradients[name].to("cpu", value.dtype)
                value.mul_(1 - _RATE * _DECAY).addcdiv_(gradient, gradient.abs().add_(_EPSILON), value=-_RATE)
    else:
        for value in weights.values():
            value.mul_(_PART)
    for name, parameter in named.items():
        parameter.copy_(weights[name])


@torch.no_grad()
def _load(session: Session, model: Subjects) -> None:
    """Other weights by way of `load_state_dict`."""
    state = {k: v.clone() * _PART if v.is_floating_point() else v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(state)


def _move(session: Session, model: Subjects) -> None:
    """To float64 and back by way of `.to()`, which replaces what parameters hold, with other weights meanwhile."""
    model.to(torch.float64)
    for parameter in model.parameters():
        parameter.data.mul_(_PART)
    model.to(torch.float32)


# -- which cases --------------------------------------------------------------------------------------------------


def _has_weights(case: Case) -> bool:
    return any(part.arguments is not None for part in case.parts)


def _may_change(case: Case) -> bool:
    """Whether weights may be changed once the model is made: some parts compute with them when it is settled."""
    return _has_weights(case) and all(part.unsettled for part in case.parts)


def _may_be_wide(case: Case) -> bool:
    return not case.on_host and all(part.unsettled for part in case.parts)


def _inferring(case: Case) -> bool:
    return not case.gradients and not case.on_host


@contextmanager
def _autocast(device: str) -> Iterator[None]:
    """bfloat16 autocast; what upstream asks of CUDA's is asked of this device's, as it would be there."""
    kind: Any = torch.amp.autocast_mode.autocast
    own = kind.__init__

    def initialise(self: object, device_type: str, *args: Any, **kwargs: Any) -> None:
        own(self, device if device_type == "cuda" else device_type, *args, **kwargs)

    kind.__init__ = initialise
    try:
        with torch.autocast(device, dtype=torch.bfloat16):
            yield
    finally:
        kind.__init__ = own


VARIATIONS: tuple[Variation, ...] = (
    Variation("step 2", "state", "another batch on weights that AdamW moved", prepare=_advance, only=_may_change,
              devices=_EVERYWHERE, shared=False),
    Variation("step 3", "state", "and another after one step more", prepare=_advance, only=_may_change,
              devices=_EVERYWHERE, shared=False),
    Variation("other batch", "state", "another batch after the first", only=lambda case: not _may_change(case),
              devices=_EVERYWHERE),
    Variation("loaded", "state", "after load_state_dict", prepare=_load, mode="forward", only=_may_change),
    Variation("moved", "state", "after .to()", prepare=_move, mode="forward", only=_may_change),
    Variation("in evaluation", "state", "after eval(), where the case is in training", training=False,
              mode="forward",
              only=lambda case: _has_weights(case) and case.training),
    Variation("again", "state", "the first batch again, after all that", same_batch=True, mode="forward"),
    Variation("gradients on", "result", "with gradients enabled: what requires one", same_batch=True, mode="gradients",
              only=_inferring),
    Variation("inference mode", "result", "under torch.inference_mode", mode="inference", only=_inferring),
    Variation("batch of one", "size", "a batch of one", sizes=_sized(1, 0, 0, 0)),
    Variation("odd", "size", "a batch of three, odd lengths", sizes=_sized(3, _ODD_FRAMES, 37, 331), shared=False),
    Variation("short", "size", "a short batch", sizes=_sized(2, _SHORT_FRAMES, 3, -1021)),
    Variation("shortest", "size", "shorter than windows and kernels", sizes=_sized(2, _LEAST_FRAMES, 1, -1801),
              mode="forward"),
    Variation("long", "size", "a long sample", sizes=_sized(1, _LONG_FRAMES, 211, 18459), mode="forward"),
    Variation("zeros", "values", "zeros in all inputs", change=_floats(_zeros), devices=("cpu",)),
    Variation("zeros", "values", "zeros in all inputs", change=_floats(_zeros), mode="forward",
              devices=("forms",)),  # true gradients are zero as well, and rounded in another order
    Variation("large", "values", "large inputs", change=_floats(lambda n, v, g: v * _LARGE), mode="forward"),
    Variation("huge", "values", "inputs whose squares are infinite", change=_floats(lambda n, v, g: v * _HUGE),
              mode="forward", devices=("cpu",)),
    Variation("not finite", "values", "an infinity and a NaN in each input", change=_floats(_not_finite),
              mode="forward", devices=("cpu",)),  # a TPU's forms multiply it by zeros
    Variation("extremes", "values", "zeros in texts and codes, least and greatest lengths", change=_extremes),
    Variation("masks anywhere", "values", "masks that begin and end anywhere", change=_masks(_anywhere)),
    Variation("masked out", "values", "masks of zeros alone", change=_masks(lambda m, g: torch.zeros_like(m))),
    Variation("too wide", "result", "one channel too many: which exception", change=_widened, mode="forward",
              shared=False),
    Variation("float64", "precision", "in float64: what is float32 by name", dtype=torch.float64, mode="forward",
              only=_may_be_wide, devices=("cpu",)),
    Variation("bfloat16", "precision", "under bfloat16 autocast", around=_autocast, precision="bfloat16",
              only=_has_weights),
)  # fmt: skip
