"""Arguments of constructors, told by what the parameters are called: sizes that go together, several ways."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from porter.validate.cases.base import Unavailable
from porter.validate.settings import Settings

_EMPTY = inspect.Parameter.empty
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_STYLE = 16  # channels of what conditions a network
# Channels by which widths differ from the input's, so that none is taken for another.
_MORE: Mapping[str, int] = {"hidden_channels": 8, "filter_channels": 16, "out_channels": 4}
# Parameters with a default that are given all the same: without them half of a network is missing.
_WANTED = frozenset({"gin_channels"})
_KNOWN: Mapping[str, Any] = {
    "n_heads": 2,
    "num_heads": 2,
    "n_head": 2,
    "heads": 2,
    "kernel_size": 3,
    "dilation_rate": 2,
    "dilation": (1, 3, 5),
    "stride": 1,
    "period": 3,
    "p_dropout": 0.1,
    "dropout": 0.1,
    "gin_channels": _STYLE,
    "n_speakers": 4,
    "n_vocab": 100,
    "vocab_size": 100,
    "resblock": "1",
    "gen_istft_n_fft": 16,
    "gen_istft_hop_size": 4,
    "subbands": 4,
    "post_n_fft": 16,
    "num_mels": 80,
    "upp": 8,
}
# What a name ends or begins with tells its kind, where the name itself is not known.
_ENDINGS: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("kernel_size", "kernel"), 3),
    (("dropout",), 0.1),
    (("dilations",), (1, 3, 5)),
    (("rate", "_sr"), 16000),
)
_WIDTHS = ("channels", "channel", "dim", "dims", "size", "features", "units", "width")
_COUNTS = ("n_", "num_")


def candidates(entry: Callable[..., Any], settings: Settings) -> Iterator[dict[str, Any]]:
    """Constructor arguments to try, the more telling first: widths that all differ, then all alike.

    Unavailable where a parameter without a default tells by its name no value.
    """
    try:
        parameters = inspect.signature(entry).parameters.values()
    except (TypeError, ValueError):
        raise Unavailable("its constructor shows no parameters") from None
    asked = [p for p in parameters if p.kind in _NAMED and (p.default is _EMPTY or p.name in _WANTED)]
    for alike in (False, True):
        widths = _Widths(settings, alike)
        yield {parameter.name: widths.value(parameter) for parameter in asked}


class _Widths:
    """Values for the parameters of one constructor."""

    def __init__(self, settings: Settings, alike: bool) -> None:
        self._settings, self._alike = settings, alike
        self._width = int(settings.model["inter_channels"])

    def value(self, parameter: inspect.Parameter) -> Any:
        """One argument. Unavailable where the name tells none."""
        name = parameter.name
        if name in _KNOWN:
            return _KNOWN[name]
        model = self._settings.model
        if name in model and not name.endswith("channels"):
            return model[name]
        if name in _MORE and not self._alike:
            return self._width + _MORE[name]
        if name == "spec_channels":
            return self._settings.spec_channels
        if name == "segment_size":
            return self._settings.segment
        if name in ("sr", "sampling_rate", "samp_rate", "sample_rate"):
            return self._settings.sampling_rate
        if parameter.annotation in (bool, "bool"):
            return False
        for endings, value in _ENDINGS:
            if name.endswith(endings):
                return value
        if name.startswith(_COUNTS):
            return 2
        if name.endswith(_WIDTHS):
            return self._width
        raise Unavailable(f"its constructor asks for {name}, whose name tells no value")
