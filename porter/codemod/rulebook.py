"""Loading rules from folders: ours and a user's are the same kind of thing."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..errors import PortError

if TYPE_CHECKING:
    from ..rule import Rule

_CODE = re.compile(r"[A-Z]+[0-9]+")

FAMILIES = {
    "RNG": "random draws",
    "SYN": "host syncs",
    "SHP": "static shapes",
    "LOW": "operators with no lowering",
    "DEV": "CUDA and device calls",
    "JIT": "scripting",
    "GRF": "graph breaks",
    "DST": "distributed",
    "TPU": "what a TPU does best",
    "RUN": "bad input to a training run",
    "EXT": "code outside of the port",
    "PKG": "the package itself",
}


def default_folder() -> Path:
    """Where the rules that come with the tool lie: in the wheel, or beside the package in a checkout."""
    inside = Path(__file__).parents[1] / "rules"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "rules"


@dataclass(frozen=True, slots=True)
class RuleBook:
    """Rules in order of code, and a hash of the files they came from."""

    rules: tuple[type[Rule], ...]

    def selected(self, select: Sequence[str] = (), ignore: Sequence[str] = ()) -> tuple[type[Rule], ...]:
        """Rules that are on: all but `changed` ones, or those selected; less those ignored. Prefixes count.

        PortError for a code that names nothing.
        """
        for prefix in (*select, *ignore):
            if not any(rule.code.startswith(prefix.upper()) for rule in self.rules):
                raise PortError(f"no rule has a code that begins with {prefix!r}; see 'sovits-port rules'")
        return tuple(
            rule
            for rule in self.rules
            if _on(rule, [s.upper() for s in select]) and not _named(rule, [i.upper() for i in ignore])
        )


def _named(rule: type[Rule], prefixes: Iterable[str]) -> bool:
    return any(rule.code.startswith(p) for p in prefixes)


def _on(rule: type[Rule], select: Sequence[str]) -> bool:
    if select:
        return _named(rule, select) or rule.code.startswith("PKG")
    return rule.safety.value != "changed"


def rule_files(folders: Iterable[Path]) -> list[Path]:
    """The Python files of rule folders, in a stable order. PortError for a folder that is none."""
    files: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise PortError(f"no folder of rules at {folder}")
        files += sorted(p for p in folder.glob("*.py") if not p.name.startswith("_"))
    for path in files:
        if not path.is_file():
            raise PortError(f"{path} is not a regular file, so no rule is read from it")
    return files


def fingerprint(folders: Iterable[Path]) -> str:
    """SHA-256 over the rule files, to notice that a rule changed without loading it."""
    digest = hashlib.sha256()
    for path in rule_files(folders):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def load(folders: Sequence[Path] = ()) -> RuleBook:
    """The default rules and those of extra folders. PortError names a file that cannot be loaded."""
    found: dict[str, type[Rule]] = {}
    for path in rule_files([default_folder(), *folders]):
        ours = path.parent == default_folder()
        for value in _rules_of(_load_file(path)):
            if not ours:
                _refuse_incomplete(value, path)
            if value.code in found:
                raise PortError(f"two rules have the code {value.code}; the second is in {path.name}")
            value.ours = ours
            found[value.code] = value
    return RuleBook(tuple(sorted(found.values(), key=lambda r: r.code)))


def _rules_of(module: ModuleType) -> Iterator[type[Rule]]:
    """The rules that a file defines, without what several of them share."""
    from ..rule import Rule

    kinds = dict.fromkeys(v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Rule))
    for value in kinds:
        shared = not hasattr(value, "code") and any(issubclass(other, value) for other in kinds if other is not value)
        if value.__module__ == module.__name__ and not shared:
            yield value


def _refuse_incomplete(rule: type[Rule], path: Path) -> None:
    """PortError for a rule of a user that does not say what every rule has to."""
    from ..rule import Safety

    name = f"the rule {rule.__name__} in {path.name}"
    for field in ("code", "title", "safety", "message"):
        if not hasattr(rule, field):
            raise PortError(f"{name} has no {field}")
        value, kind = getattr(rule, field), Safety if field == "safety" else str
        if not isinstance(value, kind):
            raise PortError(f"{name} has a {field} of the type {type(value).__name__}, where {kind.__name__} belongs")
    if not _CODE.fullmatch(rule.code):
        raise PortError(f"{name} has the code {rule.code!a}, where letters and digits such as LOW900 belong")


def _load_file(path: Path) -> ModuleType:
    name = f"sovits_port_rules.{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PortError(f"cannot load rules from {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PortError(f"the rule file {path.name} cannot be loaded: {type(error).__name__}: {error}") from error
    return module
