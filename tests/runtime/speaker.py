"""A decoder of codes of the tests' own, with the parameters of upstream's, that reads everything again for each token."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from porter.runtime.decoding import Options, Row


class _Tokens(nn.Module):
    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(count, channels)


class _Places(nn.Module):
    def __init__(self, channels: int, count: int, alpha: float) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor([alpha]))
        self.x_scale = 1.5
        self.pe = torch.randn(1, count, channels)


class _Layers(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


class Speaker(nn.Module):
    """Phonemes and codes in, codes out; random weights that favour no token for long."""

    def __init__(self, channels: int = 16, heads: int = 2, layers: int = 2, vocabulary: int = 13, places: int = 400):
        super().__init__()
        self.num_head, self.EOS = heads, vocabulary - 1
        self.ar_text_embedding = _Tokens(20, channels)
        self.bert_proj = nn.Linear(1024, channels)
        self.ar_text_position = _Places(channels, places, 0.7)
        self.ar_audio_embedding = _Tokens(vocabulary, channels)
        self.ar_audio_position = _Places(channels, places, 1.3)
        self.h = _Layers(
            [
                nn.TransformerEncoderLayer(channels, heads, 4 * channels, dropout=0.0, batch_first=True)
                for _ in range(layers)
            ]
        )
        self.ar_predict_layer = nn.Linear(channels, vocabulary, bias=False)
        self.eval()

    def logits(self, row: Row, codes: Tensor) -> Tensor:
        """(V) behind `codes` (any number), without a cache."""
        text = self.ar_text_embedding.word_embeddings(row.phonemes) + self.bert_proj(row.bert.t())
        sound = self.ar_audio_embedding.word_embeddings(codes)
        hidden = torch.cat([_placed(text, self.ar_text_position), _placed(sound, self.ar_audio_position)])[None]
        count, length = text.shape[0], hidden.shape[1]
        place = torch.arange(length)
        hides = (place >= count) & ((place[:, None] < count) | (place > place[:, None]))
        bias = torch.zeros(length, length).masked_fill(hides, -torch.inf)
        for layer in self.h.layers:
            hidden = layer(hidden, src_mask=bias)
        result: Tensor = self.ar_predict_layer(hidden[0, -1])
        return result


def _placed(hidden: Tensor, places: nn.Module) -> Tensor:
    assert isinstance(places, _Places)
    return hidden * places.x_scale + places.alpha * places.pe[0, : hidden.shape[0]]


def chances(logits: Tensor, before: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """Penalised logits (V), and chances of the tokens that may be drawn, one option after the other."""
    logits = logits.clone()
    for token in set(before.tolist()):
        value = logits[token]
        logits[token] = value * options.repetition_penalty if value < 0 else value / options.repetition_penalty
    order = logits.argsort(descending=True, stable=True)
    kept, mass = [], 0.0
    for rank, token in enumerate(order.tolist()):
        mass += float(logits.softmax(-1)[token])
        if rank == 0 or mass <= options.top_p or options.top_p >= 1:
            kept.append(token)
    kept = kept[: options.top_k]
    result = torch.zeros_like(logits)
    result[kept] = (logits[kept] / options.temperature).softmax(-1)
    return logits, result


def speak(
    model: Speaker, row: Row, options: Options, most: int, noise: Callable[[int], Tensor]
) -> tuple[list[int], bool]:
    """Codes of one row, without the end, and whether it came; `noise` gives (V) for a step."""
    codes = row.prompt
    for index in range(most):
        logits = model.logits(row, codes)
        if index < 11:
            logits[model.EOS] = -torch.inf
        logits, chance = chances(logits, codes, options)
        token = int((chance / noise(index)).argmax())
        if model.EOS in (token, int(logits.argmax())):
            return codes[row.prompt.shape[0] :].tolist(), True
        codes = torch.cat([codes, torch.tensor([token])])
    return codes[row.prompt.shape[0] :].tolist(), False


def a_row(seed: int, phonemes: int, codes: int) -> Row:
    own = torch.Generator().manual_seed(seed)
    return Row(
        torch.randint(20, (phonemes,), generator=own),
        torch.randn(1024, phonemes, generator=own),
        torch.randint(12, (codes,), generator=own),
    )


def drawn(seed: int, vocabulary: int = 13) -> Tensor:
    """Noise for all steps of one row."""
    return torch.empty(200, vocabulary).exponential_(generator=torch.Generator().manual_seed(seed))
