"""A step that is repeated in one graph of XLA: traced and compiled once, whatever the number of times.

Like the files of `backend` this one talks to a backend. Off XLA, and with a torch_xla whose builder cannot tell which
parameter a tensor is, `fits` is false and the caller repeats its step itself.
"""

import importlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Step = Callable[..., tuple[Sequence[Tensor], Tensor]]

_HELD = 64  # loops in memory at a time: a few for each bucket
_loops: OrderedDict[object, "_Loop"] = OrderedDict()


class _Loop(NamedTuple):
    """A program of parameters (turn, most, over, state, each, fixed, constants); its results have the same order."""

    computation: Any
    constants: list[Tensor]  # numbers of the step that torch_xla holds as data


def fits(device: torch.device) -> bool:
    """Whether `repeat` can be used for tensors of a device."""
    if device.type != "xla":
        return False
    context = importlib.import_module("torch_xla")._XLAC.lowering.LoweringContext
    return hasattr(context, "device_parameter_id_tensor_mapping") and hasattr(_builder(), "create_placeholder_tensor")


def repeat(
    step: Step, state: Sequence[Tensor], each: Sequence[Tensor], fixed: Any, most: Tensor, over: Tensor
) -> tuple[list[Tensor], Tensor]:
    """What `state` and `over` are after `most` turns of `step`, or after the turn in which `over` became true.

    `step(state, each, fixed)` gives the next state and whether that was the last turn, a truth of no dimension; it is
    called with stand-ins that have no values, once for all calls of a function with the same shapes. `state` keeps its
    shapes; `each` are tensors of which turn i gets the i-th part along the first axis; `fixed` are tuples, lists or
    dicts of tensors and numbers. `most`, int64, and `over` have no dimension. All are on one XLA device.
    """
    leaves, form = pytree.tree_flatten(fixed)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    numbers = tuple(leaf for leaf in leaves if not isinstance(leaf, Tensor))
    shapes = tuple((tensor.shape, tensor.dtype) for tensor in (*state, *each, *tensors))
    key = step, len(state), len(each), shapes, form, numbers
    loop = _loops.get(key)
    if loop is None:
        loop = _traced(step, state, each, leaves, form)
        while len(_loops) >= _HELD:
            _loops.popitem(last=False)
        _loops[key] = loop
    _loops.move_to_end(key)
    turn = torch.zeros((), dtype=torch.int64, device=most.device)
    given = [turn, most, over, *state, *each, *tensors, *loop.constants]
    found = list(_native()._xla_user_computation("xla::repeat", given, loop.computation))
    return found[3 : 3 + len(state)], found[2]


def _traced(step: Step, state: Sequence[Tensor], each: Sequence[Tensor], leaves: list[Any], form: Any) -> _Loop:
    builder, native = _builder(), _native()

    def stand_in(shape: Sequence[int], like: Tensor) -> Tensor:
        found: Tensor = builder.create_placeholder_tensor(shape, like.dtype)
        return found

    states = [stand_in(tensor.shape, tensor) for tensor in state]
    parts = [stand_in(tensor.shape[1:], tensor) for tensor in each]
    others = [stand_in(leaf.shape, leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    # A clone, for the step may write into its state, and a parameter is found by what its tensor was.
    after, last = step([tensor.clone() for tensor in states], parts, pytree.tree_unflatten(others, form))
    context = native.lowering.LoweringContext("step")
    context.set_name_string("step")
    context.build([*after, last])
    body = builder.computation_from_module_proto("step", context.hlo())

    tensors = [leaf for leaf in others if isinstance(leaf, Tensor)]
    known = {context.tensor_parameter_id(tensor): 3 + place for place, tensor in enumerate((*states, *parts, *tensors))}
    held = context.device_parameter_id_tensor_mapping()
    given = 3 + len(states) + len(parts) + len(tensors)
    constants: list[Tensor] = []
    for number in sorted(held.keys() - known.keys()):
        known[number] = given + len(constants)
        constants.append(held[number].to(state[0].device))
    known.pop(-1, None)  # what the step does not read
    first = 3 + len(states)  # of `each`

    def goes_on(turn: Any, most: Any, over: Any, *rest: Any) -> Any:
        return (turn < most) & over.__not__()

    def once(turn: Any, most: Any, over: Any, *rest: Any) -> tuple[Any, ...]:
        now = [turn, most, over, *rest]
        read = [
            *now[:first],
            *(_part(whole, turn) for whole in now[first : first + len(parts)]),
            *now[first + len(parts) :],
        ]
        found = builder.Op.call(body, [read[known[number]] for number in range(len(known))])
        results = [found.get_tuple_element(place) for place in range(len(states) + 1)]
        one = builder.Op.scalar(turn.builder(), 1, dtype=builder.Type.S64)
        return turn + one, most, results[-1], *results[:-1], *now[first:]

    whole = builder.create_builder("repeat")
    count = builder.Shape.create(builder.Type.S64, ())
    truth = builder.Shape.create(builder.Type.PRED, ())
    shapes = [count, count, truth, *(builder.tensor_shape(t) for t in (*state, *each, *tensors, *constants))]
    parameters = tuple(builder.mkparam(whole, place, shape) for place, shape in enumerate(shapes))
    return _Loop(builder.Op.mkwhile(parameters, goes_on, once).build("repeat"), constants)


def _part(whole: Any, turn: Any) -> Any:
    """The part of an operand that is this turn's."""
    sizes = list(whole.shape().sizes)
    place = [turn, *[turn.zeros_like()] * (len(sizes) - 1)]
    return whole.dynamic_slice(place, [1, *sizes[1:]]).reshape(sizes[1:])


def _builder() -> Any:
    return importlib.import_module("torch_xla.core.xla_builder")


def _native() -> Any:
    return importlib.import_module("torch_xla")._XLAC
