"""A synthesizer of the tests' own that asks for lengths where upstream's does: codes, text and references to sound."""

from typing import Any

import torch
from torch import Tensor, nn

from porter.runtime import ops

CODES, SYMBOLS, BANDS, WIDTH, LATENTS = 20, 9, 6, 8, 4
SAMPLES = 6  # of a frame


class _Reference(nn.Module):
    """Means over time, behind a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.Conv1d(BANDS, WIDTH, 1)
        self.wide = nn.Conv1d(WIDTH, WIDTH, 5, padding=2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.wide(torch.tanh(self.narrow(x))) * mask
        return x.sum(2, keepdim=True) / mask.sum(2, keepdim=True)


class _Encoder(nn.Module):
    """Frames see a mean of the text; both under masks."""

    def __init__(self) -> None:
        super().__init__()
        self.out_channels = LATENTS
        self.text = nn.Embedding(SYMBOLS, WIDTH)
        self.wide = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)
        self.proj = nn.Conv1d(WIDTH, 2 * LATENTS, 1)

    def forward(
        self,
        y: Tensor,
        y_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        ge: Tensor,
        speed: float = 1,
        result_length: int | None = None,
        overlap_frames: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        mask, there = _mask(y_lengths, y.shape[2]), _mask(text_lengths, text.shape[1])
        said = (self.text(text).transpose(1, 2) * there).sum(2, keepdim=True) / there.sum(2, keepdim=True)
        y = self.wide((y + said + ge) * mask)
        if result_length is not None:
            y, mask = y[:, :, -result_length:], mask[:, :, -result_length:]
        if overlap_frames is not None:
            count = overlap_frames.shape[2]
            window = torch.sin(torch.arange(2 * count) * torch.pi / (2 * count)).to(y.device)
            mixed = window[:count] * y[:, :, :count] + window[count:] * overlap_frames
            y = torch.cat([mixed, y[:, :, count:]], 2)
        kept, kept_mask = y, mask
        if speed != 1:
            y = ops.interpolate(y, size=int(y.shape[-1] / speed) + 1, mode="linear")
            mask = ops.interpolate(mask, size=y.shape[-1])
        mean, logs = torch.split(self.proj(y) * mask, LATENTS, dim=1)
        return y, mean, logs, mask, kept, kept_mask


class _Block(nn.Module):
    """Residual convolutions, which take a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv1d(WIDTH, WIDTH, 3, padding=d, dilation=d) for d in (1, 3)])

    def forward(self, x: Tensor, x_mask: Tensor | None = None) -> Tensor:
        for conv in self.convs:
            found = torch.tanh(x)
            x = x + conv(found if x_mask is None else found * x_mask)
        return x


class _Decoder(nn.Module):
    """Two stages of upsampling, by 3 and by 2."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(LATENTS, WIDTH, 7, padding=3)
        self.ups = nn.ModuleList(
            [nn.ConvTranspose1d(WIDTH, WIDTH, 5, 3, padding=1), nn.ConvTranspose1d(WIDTH, WIDTH, 4, 2, padding=1)]
        )
        self.blocks = nn.ModuleList([_Block(), _Block()])
        self.last = nn.Conv1d(WIDTH, 1, 7, padding=3)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        x = self.first(x) + g
        for up, block in zip(self.ups, self.blocks, strict=True):
            x = block(up(x))
        return torch.tanh(self.last(x))


class Synthesizer(nn.Module):
    """Two frames to a code."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Embedding(CODES, WIDTH)
        self.ssl_proj = nn.Conv1d(BANDS, CODES, 2, stride=2)
        self.ref_enc, self.enc_p, self.dec = _Reference(), _Encoder(), _Decoder()
        self.eval()

    def extract_latent(self, x: Tensor) -> Tensor:
        codes: Tensor = self.ssl_proj(x).argmax(1, keepdim=True)
        return codes

    def decode(
        self, codes: Tensor, text: Tensor, refer: Any, noise_scale: float = 0.5, speed: float = 1, **chunk: Any
    ) -> Tensor:
        return self.decode_streaming(codes, text, refer, noise_scale, speed)[0]

    def decode_streaming(
        self,
        codes: Tensor,
        text: Tensor,
        refer: Any,
        noise_scale: float = 0.5,
        speed: float = 1,
        result_length: int | None = None,
        overlap_frames: Tensor | None = None,
        padding_length: int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        device = codes.device
        styles = [
            self.ref_enc(r, torch.ones(1, 1, r.shape[2], device=device))
            for r in (refer if isinstance(refer, list) else [refer])
        ]
        ge = torch.stack(styles).mean(0)
        y = self.codes(codes[0]).transpose(1, 2).repeat_interleave(2, 2)
        lengths = [torch.full((1,), count, device=device) for count in (y.shape[2], text.shape[1])]
        last = None if result_length is None else 2 * result_length
        _, mean, logs, mask, *kept = self.enc_p(y, lengths[0], text, lengths[1], ge, speed, last, overlap_frames)
        z = mean + torch.randn_like(mean) * torch.exp(logs) * noise_scale
        sound = self.dec(z * mask, g=ge)
        return sound, kept[0], kept[1]


class _Layers(nn.Module):
    """A convolution under a mask, at a rate of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv1d(WIDTH, WIDTH, 5, padding=2)

    def forward(self, x: Tensor, x_lengths: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        mask = _mask(x_lengths, x.shape[2])
        return self.wide(torch.tanh(x + g) * mask) * mask, mask


class _Quantizer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(CODES, WIDTH)

    def decode(self, codes: Tensor) -> Tensor:
        found: Tensor = self.table(codes[0]).transpose(1, 2)
        return found


class _Estimator(nn.Module):
    """Looks at time and condition, and keeps something from the first step."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed = nn.Linear(WIDTH, LATENTS)

    def forward(self, x: Tensor, mu: Tensor, t: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        kept = self.mixed(mu).transpose(1, 2) if kept is None else kept
        return torch.tanh(x + kept + t), kept


class Matching(nn.Module):
    """Flow matching in a few steps from noise."""

    def __init__(self) -> None:
        super().__init__()
        self.estimator = _Estimator()

    def inference(self, mu: Tensor, steps: int, temperature: float = 1.0) -> Tensor:
        x = torch.randn([mu.shape[0], LATENTS, mu.shape[1]], device=mu.device, dtype=mu.dtype) * temperature
        t, kept = 0.0, None
        for _ in range(steps):
            found, kept = self.estimator(x, mu, torch.ones(1, 1, 1, device=mu.device) * t, kept)
            x, t = x + found / steps, t + 1 / steps
        return x


class FlowSynthesizer(nn.Module):
    """What gives a flow its condition: 15 frames to 4 codes, as in v3, or 4 to one, as in v4."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.quantizer, self.ref_enc, self.enc_p, self.layers = _Quantizer(), _Reference(), _Encoder(), _Layers()
        self.scale = scale
        self.eval()

    def decode_encp(
        self, codes: Tensor, text: Tensor, refer: Tensor, ge: Tensor | None = None, speed: float = 1
    ) -> tuple[Tensor, Tensor]:
        device = codes.device
        if ge is None:
            ge = self.ref_enc(refer, torch.ones(1, 1, refer.shape[2], device=device))
        assert ge is not None
        # Upstream's count is not always that of the frames: with some speeds it leaves the last one out.
        count = int(codes.shape[2] * 2 * self.scale / speed) + (speed != 1)
        lengths = [torch.full((1,), n, device=device) for n in (codes.shape[2] * 2, text.shape[1], count)]
        y = self.quantizer.decode(codes).repeat_interleave(2, 2)
        hidden = self.enc_p(y, lengths[0], text, lengths[1], ge, speed)[0]
        hidden = ops.interpolate(hidden, scale_factor=self.scale, mode="nearest")
        return self.layers(hidden, lengths[2], ge)[0], ge


def _mask(lengths: Tensor, most: int) -> Tensor:
    return (torch.arange(most, device=lengths.device) < lengths[:, None])[:, None].float()


def spoken(seed: int, codes: int, text: int, *frames: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Codes (1, 1, codes), text (1, text), and a reference (1, BANDS, n) for each of `frames`."""
    own = torch.Generator().manual_seed(seed)
    return (
        torch.randint(CODES, (1, 1, codes), generator=own),
        torch.randint(SYMBOLS, (1, text), generator=own),
        [torch.randn(1, BANDS, count, generator=own) for count in frames],
    )


def repeated(function: Any, *given: Any, **named: Any) -> Any:
    """A result with the same noise whenever it is asked for."""
    torch.manual_seed(7)
    return function(*given, **named)


__all__ = ["FlowSynthesizer", "Matching", "Synthesizer", "repeated", "spoken"]
