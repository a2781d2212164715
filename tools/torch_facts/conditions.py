"""For which arguments an operator falls back, read from the sample calls where it did and where it did not."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

from porter.torch_facts.operators import GIVEN, MASKS, TENSOR, normal
from porter.torch_facts.signatures import Signature, parse

Feature = tuple[str, str]  # a parameter, and `'linear'`, `!1` (anything but 1) or `tensor`
_NO_MATTER = frozenset({"out", "device", "layout", "generator", "pin_memory", "requires_grad"})
_FOUND_OUT = ("!None", "!-1")  # other than the default by which the function finds a value itself
_MOST = 3  # features of one condition; more would tell of the samples


def condition(samples: list[dict[str, Any]], lacks: list[bool], signatures: list[Signature]) -> dict[str, Any]:
    """`{}` when all samples lack it; `{"when": [{parameter: value}, ...]}` if one of these combinations makes them lack
    it; `{"unless": {parameter: values}}` if each of these values keeps them from it; `{"may": True}` when no argument
    tells.
    """
    if all(lacks):
        return {}
    seen = [features(sample, signatures) for sample in samples]
    if any(f is None for f in seen):
        return {"may": True}
    lacking = [f for f, lack in zip(seen, lacks, strict=True) if lack and f is not None]
    fine = [f for f, lack in zip(seen, lacks, strict=True) if not lack and f is not None]
    causes = _causes(lacking, fine)
    if causes is not None:
        return {"when": [dict(sorted(cause)) for cause in causes]}
    excuses = _excuses(lacking, fine)
    if not excuses:
        return {"may": True}
    names = sorted({name for name, _ in excuses})
    return {"unless": {name: sorted(v for n, v in excuses if n == name) for name in names}}


def features(sample: dict[str, Any], signatures: list[Signature]) -> frozenset[Feature] | None:
    """What may be said of the arguments of one call; None if no signature fits it."""
    if sample["unknown"]:
        return None
    everywhere = set.intersection(*({p.name for p in s.parameters} for s in signatures)) if signatures else set()
    for signature in signatures:
        places = signature.place(len(sample["args"]), sample["kwargs"])
        if places is None:
            continue
        found: set[Feature] = set()
        for parameter in signature.parameters:
            place, default = places.get(parameter.name), normal(parameter.default)
            value = default if place is None else _given(sample, place)
            if value is None or value == "..." or parameter.name in _NO_MATTER:
                continue
            if value == MASKS:
                found.add((parameter.name, MASKS))
            elif value.startswith("tensor"):
                found.add((parameter.name, TENSOR))
            elif value[0] in "'TFN" or value in ("1", default):
                # Of numbers 1, the size that changes nothing, and the default: others may be there by chance.
                found.add((parameter.name, value))
            if default not in (None, "...", value):
                found.add((parameter.name, f"!{default}"))
            if default is None and parameter.name not in everywhere:
                found.add((parameter.name, GIVEN))
        return frozenset(found)
    return None


def _given(sample: dict[str, Any], place: int | str | tuple[int, ...]) -> str | None:
    if isinstance(place, tuple):
        return None
    value: str = sample["args"][place] if isinstance(place, int) else sample["kwargs"][place]
    return value


def _causes(lacking: list[frozenset[Feature]], fine: list[frozenset[Feature]]) -> list[frozenset[Feature]] | None:
    """Features, or pairs of them, of which each call has one that lacks the operator, and no other call has any."""
    left, chosen = lacking, list[frozenset[Feature]]()
    while left and len(chosen) < _MOST:
        found = _best(left, fine, 1) or _best(left, fine, 2)
        if found is None:
            return None
        chosen.append(found)
        left = [call for call in left if not found <= call]
    return chosen if not left else None


def _best(left: list[frozenset[Feature]], fine: list[frozenset[Feature]], size: int) -> frozenset[Feature] | None:
    """The combination of so many features that most of the calls have, and none of the others; a pair is no chance only
    where several have it.
    """
    counts = Counter(frozenset(c) for call in left for c in combinations(sorted(call), size))
    pure = [c for c, count in counts.items() if count >= size and not any(c <= call for call in fine)]
    weights = {c: (counts[c], sum(v.startswith("!") for _, v in c), sorted(c)) for c in pure}
    return max(pure, key=weights.__getitem__) if pure else None


def _excuses(lacking: list[frozenset[Feature]], fine: list[frozenset[Feature]]) -> list[Feature]:
    """Features that no call has that lacks the operator."""
    guilty = frozenset().union(*lacking)
    counts = Counter(f for call in fine for f in call - guilty)
    return sorted(f for f, count in counts.items() if count > 1 and (f[1][0] != "!" or f[1] in _FOUND_OUT))


def parsed(texts: list[str], native: bool) -> list[Signature]:
    """Signatures from their texts."""
    return [parse(text, native) for text in texts]
