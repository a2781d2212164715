"""The data from what several pairs said: what differs between them is kept with the versions it is true for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Raw = dict[str, Any]


def merge(raws: list[Raw]) -> dict[str, Raw]:
    """The tables of the data by file name. The newest pair has run all samples; of the others, kernels tell."""
    raws = sorted(raws, key=_minor)
    newest, older = raws[-1], raws[:-1]
    made_with = [raw["versions"] for raw in raws]
    return {
        "signatures": {
            "made_with": made_with,
            "aliases": _joined(raws, "aliases"),
            **{kind: _signatures(raws, kind) for kind in ("native", "python")},
        },
        "results": {
            "made_with": made_with,
            "attributes": _joined(raws, "attributes"),
            "calls": _joined(raws, "results"),
        },
        "operators": {
            "made_with": made_with,
            "ran_with": newest["versions"],
            "families": newest["families"],
            "lacks": _lacks(newest, older),
        },
    }


def _minor(raw: Raw) -> tuple[int, ...]:
    return tuple(int(part) for part in str(raw["versions"]["torch_xla"]).split(".")[:2])


def _text(raw: Raw) -> str:
    return ".".join(map(str, _minor(raw)))


def _joined(raws: list[Raw], table: str) -> dict[str, str]:
    """What any version says of a name, the newest if it says something."""
    found: dict[str, str] = {}
    for raw in raws:
        found.update(raw[table])
    return dict(sorted(found.items()))


def _signatures(raws: list[Raw], kind: str) -> dict[str, list[str]]:
    """All signatures of any version, the newest first; but for those that lack only what another may be given too."""
    found: dict[str, list[str]] = {}
    for raw in reversed(raws):
        for name, texts in raw["signatures"][kind].items():
            known = found.setdefault(name, [])
            known += [t for t in texts if not any(_covers(k, t) for k in known)]
    other = {"native": "python", "python": "native"}[kind]
    newest = {name: k for raw in raws for k in ("native", "python") for name in raw["signatures"][k]}
    return {
        name: found[name] for name in sorted(found) if newest[name] == kind or name not in raws[-1]["signatures"][other]
    }


def _covers(text: str, other: str) -> bool:
    """Whether a signature takes every call that another takes, in the same way."""
    parts, fewer = text.split(), other.split()
    same = [p == f or f == f"{p.partition('=')[0]}=..." for p, f in zip(parts, fewer, strict=False)]
    return len(same) == len(fewer) and all(same) and all("=" in p or p == "*" for p in parts[len(fewer) :])


def _lacks(newest: Raw, older: list[Raw]) -> dict[str, Raw]:
    """What the newest pair lacks, with the versions where an older one has a kernel for it; and what older pairs lack
    that the newest has got, by the functions named like the operator.
    """
    raws = [*older, newest]
    found: dict[str, Raw] = {}
    for name, told in newest["lacks"].items():
        found[name] = {
            **told,
            **{stage: _with_versions(told[stage], raws) for stage in ("forward", "backward") if stage in told},
        }
    for operator, instead in newest["kernels"].items():
        lacking = [_text(raw) for raw in older if operator not in raw["kernels"]]
        base = operator.removeprefix("aten::").partition(".")[0].rstrip("_")
        if not lacking or instead == "autograd" or operator.endswith("out"):
            continue
        condition = {"only": lacking} if instead == "nothing" else {"may": True, "only": lacking}
        for name in (f"{folder}.{base}{end}" for folder in ("torch", "torch.Tensor") for end in ("", "_")):
            if name in newest["results"] and not found.get(name, {}).get("forward"):
                found.setdefault(name, {})["forward"] = {operator: condition}
    return dict(sorted(found.items()))


def _with_versions(told: Raw, raws: list[Raw]) -> Raw:
    """Conditions by operator, with `only` where an older pair has a kernel that the newest has not."""
    newest = raws[-1]["kernels"]
    marked: Raw = {}
    for operator, condition in told.items():
        lacking = [_text(raw) for raw in raws if operator in newest or operator not in raw["kernels"]]
        marked[operator] = condition if len(lacking) == len(raws) else {**condition, "only": lacking}
    return marked


def write(folder: Path, tables: dict[str, Raw]) -> None:
    """The tables as JSON, a line for each name."""
    for name, table in tables.items():
        (folder / f"{name}.json").write_text(_lines(table), encoding="utf-8")


def _lines(table: Raw) -> str:
    parts = []
    for key, value in table.items():
        if isinstance(value, dict):
            rows = ",\n".join(f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in value.items())
            parts.append(f"{json.dumps(key)}:{{\n{rows}\n}}")
        else:
            parts.append(f"{json.dumps(key)}:{json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
