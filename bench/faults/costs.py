"""Faults that change no value and cost time: seen in the graph budget on XLA."""

from __future__ import annotations

from bench.faults.record import Fault

FAULTS = (
    Fault(
        "reads a loss",
        "host sync",
        "losses.py",
        "generator_loss",
        "__g.append(__l)",
        "__g.append(__l * (1.0 if __l.item() < 1e9 else 2.0))",
        device="xla",
    ),
    Fault(
        "asks for the largest score",
        "host sync",
        "losses.py",
        "feature_loss",
        "__loss * 2",
        "__loss * 2 if __loss < 1e9 else __loss",
        device="xla",
    ),
    Fault(
        "a tensor as long as the samples",
        "new shape",
        "losses.py",
        "kl_loss",
        "z_mask.float()",
        "z_mask.float() + torch.zeros(int(z_mask.sum()) + 1, device=z_mask.device).sum()",
        device="xla",
    ),
    Fault(
        "boolean mask as an index",
        "new shape",
        "losses.py",
        "kl_loss",
        "torch.sum(__k * z_mask)",
        "torch.sum(__k[z_mask.expand_as(__k) > 0])",
        device="xla",
    ),
    Fault(
        "constant sent every step",
        "transfer",
        "losses.py",
        "generator_loss",
        "__loss += __l",
        "__loss += __l * torch.ones(7).to(__l.device).mean()",
        device="xla",
    ),
    Fault(
        "sum on the host",
        "transfer",
        "losses.py",
        "discriminator_loss",
        "__r + __g",
        "__r + (__g.cpu() * 1).to(__g.device)",
        device="xla",
    ),
    Fault(
        "operator without lowering",
        "fallback",
        "losses.py",
        "generator_loss",
        "torch.mean((1 - __d) ** 2)",
        "torch.mean(torch.special.log_ndtr(__d) * 0 + (1 - __d) ** 2)",
        device="xla",
    ),
    Fault(
        "graph cut in the middle",
        "graph break",
        "losses.py",
        "feature_loss",
        "__r.float().detach()",
        '(__r.float().detach(), __import__("torch_xla").sync())[0]',
        device="xla",
    ),
    Fault(
        "a new constant every step",
        "new graph",
        "losses.py",
        "mle_loss",
        "torch.sum(logdet)",
        'torch.sum(logdet) + 0 * torch.zeros(__import__("time").monotonic_ns() % 997 + 1, device=logdet.device).sum()',
        device="xla",
    ),
)
