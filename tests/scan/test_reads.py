"""Reads: what asks a tensor for its value, or bakes a value into the graph, and what looks alike and does not."""

from __future__ import annotations

import pytest

from tests.scan.marked import HEAD, reasons, wrong

# Lines of a method that is given tensors x and y, a boolean mask, lengths, and the Python numbers n and width.
READS = [
    "return max(width, x.max())",
    "return min(x.sum(), y.sum())",
    "return sorted([x.sum(), y.sum()])",
    "return sorted(list(x), key=lambda v: v.sum())",
    "return max([x, y], key=lambda v: v.abs().mean())",
    "return any(x > 0)",
    "return all([(x > 0).any(), (y > 0).any()])",
    "return any((v > 0).all() for v in (x, y))",
    "return list(map(int, lengths))",
    "return list(filter(lambda v: v > 0, lengths))",
    "return math.floor(x.mean())",
    "return math.isnan(x.sum())",
    "return operator.index(lengths[0])",
    "return operator.truth(x.sum())",
    'return "%d of %d" % (n, lengths.max())',
    'return "mean {}".format(x.mean())',
    'return "mean {m:.2f}".format(m=x.mean())',
    'return f"{n}: {x.mean():.3f}"',
    'return ", ".join(map(str, lengths))',
    "return str(x.mean()) + '!'",
    "return repr(x)",
    "return format(x.mean(), '.2f')",
    "return complex(x.mean())",
    "return [0] * int(lengths.max())",
    "return np.asarray(x)",
    "return np.maximum(n, x)",
    "return np.stack([x, y])",
    "return np.clip(a=x, a_min=0, a_max=1)",
    "return x.__float__()",
    "return x.any().__bool__()",
    'return getattr(x, "tolist")()',
    "return x.numpy(force=True)",
    "return x.detach().cpu().numpy()",
    'return x.to(device="cpu")',
    'return x.to(torch.device("cpu"))',
    "return torch.equal(x, y)",
    "return x.allclose(y)",
    "return torch.is_nonzero(x.sum())",
    "return 0 < x.sum() < 1",
    "return n in lengths",
    "return lengths[0] in (1, 2, 3)",
    "return lengths[0] not in [n, width]",
    "return not (x > 0).any()",
    "return x.sum() and y",
    "return x if (x > 0).all() else y",
    "assert 0 <= x.min() <= 1; return x * float(x.max())",
    "while x.norm() > 1: x = x / 2",
    "return [v for v in x if v.sum() > 0]",
    "return [x, y][lengths.argmax()]",
    "return x.shape[lengths.argmax()]",
    "return 'abc'[lengths[0]]",
    "names = ['a', 'b']; return names[lengths[0]]",
    "return [0.0] * lengths[0]",
    "return lengths[0] * 'ab'",
    "return nn.ModuleList([nn.Linear(2, 2)])[lengths[0]](x)",
    "return x.new_tensor([1.0, 2.0])",
    "return x.type(torch.LongTensor)",
    "return x.type('torch.FloatTensor')",
    "return range(n, lengths.max())",
    "return slice(0, lengths.max())",
    "print('x', x.mean())",
    "torch.save(x, 'x.pt')",
    "return divmod(int(x.sum()), 2)",
    "return sum(v.item() for v in x)",
    "return bool(mask.any())",
    "return hex(lengths[0])",
    "return torch.distributions.Normal(x, 1.0).variance",
]
SIZES = [
    "return F.pad(x, [0, lengths.max() - n])",
    "return F.pad(x, pad=(0, width), value=x.min())",
    "return x.expand(lengths.max(), -1)",
    "return x.repeat(1, lengths.max())",
    "return x.view(-1, lengths.max())",
    "return x.reshape((lengths.max(), -1))",
    "return torch.reshape(x, (lengths.max(), -1))",
    "return x.new_zeros(lengths.max())",
    "return x.new_full((n, lengths.max()), 1.0)",
    "return x.narrow(1, 0, lengths.max())",
    "return torch.narrow(x, 1, lengths[0], n)",
    "return x.split(lengths.max(), 1)",
    "return torch.split(x, lengths.tolist(), 1)",
    "return torch.zeros(n, lengths.max(), device=x.device)",
    "return torch.zeros((n, lengths.max()), device=x.device)",
    "return torch.arange(lengths.max(), device=x.device)",
    "return torch.arange(0, end=lengths.max(), device=x.device)",
    "return F.interpolate(x, size=lengths.max())",
    "return F.interpolate(x, scale_factor=x.mean())",
    "return torch.tensor_split(x, lengths)",
    "return x.tensor_split(lengths, 1)",
    "return x.roll(lengths[0], 1)",
    "return torch.roll(x, shifts=lengths[0], dims=1)",
    "return F.one_hot(lengths.long())",
    "return F.one_hot(lengths.long(), num_classes=-1)",
    "return F.one_hot(lengths.long(), lengths.max() + 1)",
    "return torch.repeat_interleave(x, lengths, dim=1)",
    "return x.repeat_interleave(repeats=lengths, dim=1)",
    "return x.topk(lengths[0])",
    "return x.unflatten(1, (lengths[0], -1))",
    "return x[lengths[0] :]",
    "return x[:, lengths.min() : lengths.max()]",
    "return x[..., : int(lengths.max())]",
    "return nn.utils.rnn.pack_padded_sequence(x, lengths)",
    "return F.elu(x, x.mean())",
    "return x.chunk(lengths[0])",
]
MASKS = [
    "return x[mask]",
    "return x[:, mask]",
    "return x[~mask]",
    "return x[mask & (x > 0)]",
    "return x[torch.isnan(x)]",
    "return x[x.isfinite()]",
    "return x[mask.logical_not()]",
    "keep = x > 0; return x[keep].mean()",
    "keep = (x > 0) | mask; return y[keep]",
    "return torch.masked_select(x, mask)",
    "return x[lengths.to(torch.bool)]",
    "keep = torch.ones(4, dtype=torch.bool, device=x.device); return x[keep]",
    "x[mask] = y[mask]",
    "x[mask] += y[0, 0]",
    "return mask.nonzero()",
    "return torch.isnan(x).nonzero(as_tuple=True)",
]
CLEAN = [
    "return torch.distributions.Normal(0.0, 1.0).variance",
    "return max(n, width)",
    "return max(x.size(1), y.shape[1]) * x",
    "return min(x.dim(), 3)",
    "return sorted([x.size(0), n])",
    "return sorted({'b': x, 'a': y})",
    "layer = nn.Linear(2, 2).to(x.device); return sorted(layer.state_dict()), max(layer.state_dict())",
    "return any(s > 3 for s in x.shape)",
    "return sum([x, y])",
    "return sum(s for s in x.shape)",
    "return abs(x)",
    "return pow(x, 2)",
    "return math.sqrt(x.shape[-1])",
    "return math.ceil(x.size(1) / n)",
    'return "%d" % x.size(0)',
    'return f"{tuple(x.shape)} on {x.device}"',
    'return "{}".format(x.dtype)',
    "raise ValueError(f'{x}')",
    "return str(x.device)",
    "return int(x.shape[1] * 2)",
    "return float(n) * x",
    "return int(math.log2(width))",
    "return range(x.size(1))",
    "return len(x) * y",
    "return hash(n)",
    "return isinstance(x, Tensor)",
    "return x is None or n in (1, 2)",
    "return n in [1, 2] and width not in {3}",
    "return 0 < n < 10",
    "return x if n > 0 else y",
    "return x if self.training else y",
    "return not self.training and n",
    "return x[:, : n // 2]",
    "return x[:, : x.size(1) // 2]",
    "return x[lengths]",
    "return x[(y > 0).long()]",
    "return x[(y > 0).to(torch.long)]",
    "return x[(y > 0).to(lengths.dtype)]",
    "return x[mask.float().argmax(1)]",
    "return x[:, torch.arange(n, device=x.device)]",
    "return F.pad(x, (0, n))",
    "return F.pad(x, (0, width - x.size(-1)))",
    "return x.expand(n, -1).repeat(1, width)",
    "return x.view(x.size(0), -1)",
    "return x.new_zeros(n, width)",
    "return F.one_hot(lengths.long(), width)",
    "return x.masked_fill(mask, 0.0)",
    "return torch.where(mask, x, y)",
    "return x * mask",
    "return (mask & (x > 0)).sum()",
    "return operator.add(x, y)",
    "return torch.cat([x, y], 1)",
    "return [v * 2 for v in (x, y)]",
    "return dict(a=x, b=y)['a'] * 2",
    "return np.sqrt(n)",
    "return np.prod(x.shape)",
    "return x.size(0) and n",
    "return [n, width][0]",
    "return [x] * n",
    "return 'ab' * 2",
    "return x.type(torch.float16)",
    "return x.new_tensor(y)",
    "return list(zip([1, 2], [x, y]))",
    "return enumerate([x, y])",
    "a, b = x * 2, y; return b * torch.exp(a)",
    "a, b = x * 2, lengths; return a[b.long()]",
]
_METHOD = (
    "class Net(nn.Module):\n    def run(self, x: Tensor, y: Tensor, mask: torch.BoolTensor, lengths: torch.LongTensor, "
    "n: int, width: int):\n        {line}  # {mark}\n"
)


@pytest.mark.parametrize("line", [*READS, *SIZES, *MASKS])
def test_a_read_is_listed(line: str) -> None:
    assert wrong(net=HEAD + _METHOD.format(line=line, mark="hazard")) == []


@pytest.mark.parametrize("line", CLEAN)
def test_what_reads_nothing_is_not(line: str) -> None:
    assert wrong(net=HEAD + _METHOD.format(line=line, mark="clean")) == []


@pytest.mark.parametrize(
    "body",
    [
        # grows with each turn
        "for _ in range(n):\n            x = torch.cat((x, y), dim=-1)  # hazard\n        return x",
        "while n > 0:\n            x = torch.cat([x, x[:, -1:]], 1)  # hazard\n            n -= 1\n        return x",
        "for i in range(x.size(1)):\n            new = torch.cat([x, y], 1)  # hazard\n            x = new\n        return x",
        "for _ in range(n):\n            x = F.pad(x, (0, 1))  # hazard\n        return x",
        "for t in y:\n            x = torch.hstack([x, t]) if n else t  # hazard\n        return x",
        "self.past = torch.cat([self.past, x], 1)  # hazard\n        return self.past",
        "cache = {'k': x}\n        cache['k'] = torch.cat([cache['k'], y], 1)  # hazard\n        return cache",
        # as long in every turn, or as many turns each time
        "for layer in self.layers:\n            x = torch.cat([x, layer(x)], 1)  # clean\n        return x",
        "for i in range(3):\n            x = torch.cat([x, y], 1)  # clean\n        return x",
        "for i in range(self.depth):\n            x = torch.cat([x, y], 1)  # clean\n        return x",
        "for i in range(len(self.layers)):\n            x = F.pad(x, (0, 1))  # clean\n        return x",
        "for _ in range(n):\n            x = torch.cat([x[:, 1:], y], 1)  # clean\n        return x",
        "for _ in range(n):\n            x = torch.cat([x, y], 1)[:, -8:]  # clean\n        return x",
        "for _ in range(n):\n            x = torch.cat([x, y], 1)  # clean\n            x = x[:, -8:]\n        return x",
        "for _ in range(n):\n            z = x * 2\n            z = torch.cat([z, y], 1)  # clean\n        return z",
        "parts = []\n        for t in (x, y):\n            parts.append(t)  # clean\n        return torch.cat(parts, 1)  # clean",
        # places that the host draws or counts
        "start = random.randint(0, 9)\n        return x[:, start : start + 8]  # hazard",
        "return x[random.choice([1, 2])]  # hazard",
        "return x * random.random()  # clean",
        "self.buffer[n % 100] = x.mean()  # hazard\n        return x",
        "return self.buffer[:, width + n]  # hazard",
        "place = n * 2\n        return self.buffer[place]  # hazard",
        "self.step += 1\n        self.buffer[self.step] = x.mean()  # hazard\n        return x",
        "for i in range(n):\n            x = self.layers[0](x)\n            self.buffer[i] = x  # hazard\n"
        "            if (x > 0).all():\n                break\n        return x",
        "return self.buffer[n : n + 1]  # hazard",
        "return self.buffer[x.size(1)]  # clean",
        "return self.buffer[self.depth]  # clean",
        "return self.buffer[0] + self.buffer[-1]  # clean",
        "return torch.stack([x[:, i] for i in range(x.size(1))])  # clean",
        "for i in range(n):\n            x = x + y[:, i]  # clean\n        return x",
        "return self.buffer[lengths]  # clean",
    ],
)
def test_what_differs_from_step_to_step_is_listed(body: str) -> None:
    text = (
        "class Net(nn.Module):\n    def __init__(self, depth):\n        super().__init__()\n        self.depth = depth\n"
        "        self.step = 0\n        self.past = torch.zeros(1, 0)\n        self.buffer = torch.zeros(100, 100)\n"
        "        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(depth)])\n\n"
        f"    def run(self, x: Tensor, y: Tensor, lengths: torch.LongTensor, n: int, width: int):\n        {body}\n"
    )
    assert wrong(net=HEAD + text) == []


def test_a_condition_whose_reading_part_is_kept_to_the_host_is_no_read() -> None:
    told = reasons(
        net=HEAD + "def checked(x: Tensor):\n    if x.dim() != 2 or x.size(1) < 2 or torch.max(x) > 9:\n"
        "        raise ValueError('bad')\n    assert x.dim() == 2 and not torch.isnan(x).any()\n    return x * 2\n"
    )
    assert {(code, state) for code, _, state, _ in told} == {("SYN002", "fixed")}
