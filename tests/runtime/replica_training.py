"""A small training run as a trainer would write it; prints one JSON line of what came out and what it cost."""

import copy
import importlib
import json
import sys
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from porter.runtime import utils
from porter.runtime.training import DeviceLoader


class Tones(Dataset[tuple[torch.Tensor, torch.Tensor, int]]):
    """Clips of two lengths, eight of one and then eight of the other."""

    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        generator = torch.Generator().manual_seed(index)
        length = (40, 56)[index // 8 % 2]
        wave = torch.randn(3, length, generator=generator)
        return wave, torch.randn(2, length, generator=generator), index


def train(rank: int, workers: int, wrapped: bool) -> dict[str, Any]:
    """Six steps with dropout and AdamW on batches of eight, of a network that is wrapped or not."""
    metrics: Any = importlib.import_module("torch_xla.debug.metrics")
    utils.manual_seed(7)
    device = utils.get_xla_device()
    layers = nn.Sequential(nn.Conv1d(3, 8, 3, padding=1), nn.ReLU(), nn.Dropout(0.3), nn.Conv1d(8, 2, 3, padding=1))
    start = copy.deepcopy(layers.state_dict())
    layers = layers.to(device)
    net = utils.Replicated(layers, device_ids=[rank]) if wrapped else utils.replicate(layers)
    layers.load_state_dict(start)  # as a trainer does that goes on from a checkpoint
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2, betas=(0.8, 0.99), eps=1e-9)
    scaler = utils.GradScaler(enabled=True)
    losses: list[float] = []
    steps: list[dict[str, int]] = []
    size = 8 // utils.replica_batch(1)
    batches = DataLoader(
        Tones(), batch_size=utils.replica_batch(size), num_workers=workers, persistent_workers=workers > 0
    )
    for wave, target, index in DeviceLoader(batches):
        metrics.clear_all()
        optimizer.zero_grad(set_to_none=True)
        error = (net(wave) - target).square().mean((1, 2))
        loss = (error * (1 + index % 3)).mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

        @utils.after_step
        def note(loss: torch.Tensor = loss) -> None:
            losses.append(loss.item())

        utils.mark_step()
        steps.append({name: int(metrics.counter_value(name) or 0) for name in metrics.counter_names()})
    return {
        "losses": losses,
        "compiles": [step.get("UncachedCompile", 0) for step in steps],
        "graphs": [step.get("UncachedCompile", 0) + step.get("CachedCompile", 0) for step in steps],
        "from disk": sum(step.get("PersistentCacheHit", 0) for step in steps),
        "fallbacks": sorted({name for step in steps for name in step if name.startswith("aten::")}),
        "gradients": [p.grad.cpu().flatten().tolist() for p in net.parameters() if p.grad is not None],
        "weights": [p.detach().cpu().flatten().tolist() for p in net.parameters()],
        "world": [utils.get_world_size(), utils.get_rank(), utils.is_distributed()],
    }


def main() -> None:
    """Train under `start_replicas`; the arguments are the number of loader workers, and 1 for a wrapped network."""
    processes = utils.start_replicas()

    def run(rank: int, workers: int, wrapped: int) -> None:
        told = {"processes": processes, "devices": utils.replica_batch(1)}
        print(json.dumps(told | train(rank, workers, bool(wrapped))))

    utils.launch(run, nprocs=processes, args=tuple(map(int, sys.argv[1:])))


if __name__ == "__main__":
    main()
