"""Tensors to files and back, between the processes of a case."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from porter.validate.cases.base import Batch
from porter.validate.noise import Draw


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors from any device; each gets storage of its own, which the format asks for."""
    held: set[int] = set()
    save_file({name: _alone(_plain(value), held) for name, value in tensors.items()}, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, on the CPU."""
    return dict(load_file(path))


def save_groups(groups: Mapping[str, Mapping[str, Tensor]], path: Path) -> dict[str, str]:
    """Write `GROUP/NAME` tensors, bfloat16 and half widened to float32; returns each one's own dtype."""
    flat = {f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()}
    dtypes = {name: str(value.dtype).removeprefix("torch.") for name, value in flat.items()}
    narrow = (torch.bfloat16, torch.float16)
    save_tensors({n: v.float() if v.dtype in narrow else v for n, v in flat.items()}, path)
    return dtypes


def save_state(model: nn.Module, path: Path) -> dict[str, Tensor]:
    """Write a model's state_dict as a trainer does, from any device; returns it, on the CPU."""
    state = model.state_dict()
    for name, value in state.items():
        state[name] = value.cpu()  # in place, since the dict also carries the modules' versions
    torch.save(state, path)
    return state


def load_state(path: Path) -> dict[str, Tensor]:
    """Read a state_dict, on the CPU."""
    found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def save_draws(draws: Iterable[Draw], folder: Path, name: str = "noise") -> None:
    """Write recorded noise."""
    kept = list(draws)
    save_tensors({str(index): draw.value for index, draw in enumerate(kept)}, folder / f"{name}.safetensors")
    told = [{"family": draw.family, "where": draw.where} for draw in kept]
    (folder / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")


def load_draws(folder: Path, name: str = "noise") -> list[Draw]:
    """Read recorded noise, in the order of the draws."""
    values = load_tensors(folder / f"{name}.safetensors")
    told = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return [Draw(entry["family"], values[str(i)], entry["where"]) for i, entry in enumerate(told)]


def save_masks(masks: Iterable[Tensor], path: Path) -> None:
    """Write recorded decisions at kinks, in order."""
    save_tensors({str(index): mask for index, mask in enumerate(masks)}, path)


def load_masks(path: Path) -> list[Tensor]:
    """Read recorded decisions, in order."""
    masks = load_tensors(path)
    return [masks[str(index)] for index in range(len(masks))]


def save_batches(batches: Iterable[Batch], path: Path) -> None:
    """Write one batch a step."""
    save_tensors({f"{step}/{name}": v for step, batch in enumerate(batches) for name, v in batch.items()}, path)


def load_batches(path: Path) -> list[Batch]:
    """Read the batches, in order."""
    result: dict[int, Batch] = {}
    for key, value in load_tensors(path).items():
        step, _, name = key.partition("/")
        result.setdefault(int(step), {})[name] = value
    return [result[step] for step in sorted(result)]


def _plain(value: Tensor) -> Tensor:
    return value.detach().cpu().resolve_conj().resolve_neg().contiguous()


def _alone(value: Tensor, held: set[int]) -> Tensor:
    """The tensor, or a copy where one of those whose memory is in `held` has the same; then `held` has its as well."""
    address = value.untyped_storage().data_ptr()
    if address and address in held:
        value = value.clone()
        address = value.untyped_storage().data_ptr()
    held.add(address)
    return value
