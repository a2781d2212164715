"""Steps of optimizers: one graph for each step of Adam, and no scaling of gradients."""

import contextlib
import math
import weakref
from collections.abc import Iterator
from typing import Any

import torch

from . import collectives, mesh, xla

_marked: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()  # whose state is said to be on every replica


def optimizer_step(optimizer: torch.optim.Optimizer) -> Any:
    """`optimizer.step()`, with the gradients averaged over XLA's processes first if there are several.

    Does not end the step: call `mark_step` for that. Gradients that DistributedDataParallel has reduced
    already are not reduced again. With Adam and AdamW every step has the same graph, the first one too; what
    `state_dict` gives is torch's own.
    """
    if not collectives.process_group() and collectives.is_distributed():
        xla.model().reduce_gradients(optimizer)
    if not isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW)):
        return optimizer.step()
    _make_adam_state(optimizer)
    with _steady_bias_correction(optimizer):
        return optimizer.step()


class GradScaler:
    """In the place of torch's GradScaler: bfloat16 has the range of float32, so nothing is scaled."""

    def __init__(self, *ignored: Any, **also_ignored: Any) -> None:
        pass

    def scale(self, outputs: Any) -> Any:
        """`outputs` as they are."""
        return outputs

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Nothing to undo."""

    def step(self, optimizer: torch.optim.Optimizer, *ignored: Any, **also_ignored: Any) -> Any:
        """`optimizer_step(optimizer)`."""
        return optimizer_step(optimizer)

    def update(self, new_scale: object = None) -> None:
        """Nothing to adapt."""

    def get_scale(self) -> float:
        """Always 1."""
        return 1.0

    def is_enabled(self) -> bool:
        """Always False."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Empty, like that of a torch scaler that is not enabled."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A scale saved elsewhere has no meaning here."""


def _adam_parameters(
    optimizer: torch.optim.Optimizer,
) -> Iterator[tuple[dict[str, Any], torch.Tensor]]:
    """Each XLA parameter that the next step updates, after its group, where steps are counted on the host."""
    for group in optimizer.param_groups:
        if not group["capturable"] and not group["fused"]:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.device.type == "xla":
                    yield group, parameter


def _make_adam_state(optimizer: torch.optim.Optimizer) -> None:
    """The state that the first step would make, as data: zeros made on the device are part of its graph."""
    for group, parameter in _adam_parameters(optimizer):
        state = optimizer.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            for name in ("exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * bool(group["amsgrad"])):
                zeros = torch.zeros(parameter.shape, dtype=parameter.dtype, device="cpu")
                state[name] = mesh.sent(zeros, parameter.device)
    if mesh.current is not None and optimizer not in _marked:  # a loaded state is not known to be replicated
        held = [value for state in optimizer.state.values() for value in state.values()]
        mesh.mark_replicated(*[value for value in held if isinstance(value, torch.Tensor)])
        _marked.add(optimizer)
        optimizer.register_load_state_dict_post_hook(_marked.discard)


def _steady_step(taken: float, fast: float, slow: float) -> float | None:
    """The count of steps that Adam's bias corrections shall be computed from in place of `taken`, if of another.

    They are data of the graph, but 1 is a constant: when they reach it in float32, after some 1650 steps
    with a beta of 0.99, the step would compile again. Equal numbers are one parameter of a graph: in the first
    step `sqrt(1 - 0.99)` is the 0.1 of a network, and the second would compile again. The difference is less
    than 2e-7 of an update.
    """
    if not fast <= slow or not 0 < slow < 1:
        return None
    if taken == 0:
        return 2.0**-23
    last = int(math.log(2.0**-22) / math.log(slow))
    return last - 1 if taken >= last else None


@contextlib.contextmanager
def _steady_bias_correction(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Keep Adam's bias corrections away from numbers that other graphs do not have, for the step."""
    held: list[tuple[dict[str, Any], torch.Tensor]] = []
    for group, parameter in _adam_parameters(optimizer):
        state = optimizer.state[parameter]
        step = state["step"]
        steady = _steady_step(float(step), *map(float, group["betas"]))
        if steady is not None:
            held.append((state, step))
            state["step"] = torch.full_like(step, steady)
    try:
        yield
    except BaseException:
        for state, step in held:
            state["step"] = step
        raise
    for state, step in held:
        state["step"] = step.add_(1)
