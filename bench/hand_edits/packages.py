"""Cases that go through `generate`: a made-up upstream, a package edited by hand, the upstream moved on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random

from porter.errors import PortError
from porter.generate import GenerateOutcome, Settings, generate
from porter.inputs.upstream import open_upstream
from porter.package.base import Base, read_base
from porter.package.manifest import read
from porter.package.store import Place

from .cases import Case, Text, edit
from .judge import lost

_MODULE = "GPT_SoVITS/module"
_RULE = '''"""Swap."""

import libcst as cst

from porter.rule import Example, Rule, Safety


class Swap(Rule):
    """Swap one function for another that no library has."""

    code = "SYN900"
    title = "swap me"
    safety = Safety.EXACT
    message = "it was there to be swapped"
    examples = (Example(before="import torch\\n\\ntorch.swap_me(1)\\n", after="import torch\\n\\ntorch.swapped(1)\\n"),)

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) == "torch.swap_me":
            self.replace(node, node.with_changes(func=cst.parse_expression("torch.swapped")))
'''
_COMMON = ("", "", "# a comment", "print(1)", "import torch")
_RUNTIME = "module/tpu/utils.py"


def judge_package(chance: Random, folder: Path) -> tuple[list[str], int]:
    """What one case lost, in words, and how many conflicts it has. `folder` is empty."""
    (folder / "rules").mkdir()
    (folder / "rules" / "swap.py").write_text(_RULE)
    rules = (folder / "rules",)
    places = [chance.random() for _ in range(2)]
    old = _upstream(chance)
    new = {name: text.copy() for name, text in old.items()}
    for name, text in new.items():
        if name.endswith("models.py") or chance.random() < 0.5:
            for number in range(chance.choice((1, 1, 2))):
                edit(chance, text, f"upstream_{Path(name).stem}_{number}", chance.choice(places), 1, _line)
    if chance.random() < 0.2:
        del new[f"{_MODULE}/extra.py"]
    if chance.random() < 0.2:
        new[f"{_MODULE}/mine.py"] = Text(["import torch", "upstream_mine__1 = 1"])
    first = _write(folder / "upstream", old)
    second = _write(folder / "upstream-later", new)
    place = Place(folder / "out")
    generate(open_upstream(str(first)), place, Settings(rules=rules, ignore=chance.choice(((), (), ("SYN900",)))))
    before = _base(place)
    edited, deleted = _edit_by_hand(chance, place, before.generated, places)
    settings = Settings(rules=rules, ignore=chance.choice(((), (), ("SYN900",))))
    outcome = generate(open_upstream(str(second)), place, settings)
    moved = {line for text in new.values() for line in text.moved}
    moved |= {line.replace("swap_me", "swapped") for line in moved}
    found = [*_judge(place, outcome, before, edited, deleted, moved)]
    clean = Place(folder / "clean")
    generate(open_upstream(str(second)), clean, settings)
    for name in ("port.json", "port.base"):
        if (place.root / name).read_bytes() != (clean.root / name).read_bytes():
            found.append(f"{name} is not that of a package without hand edits")
    return found, sum(conflict.kind in ("both changed", "both added") for conflict in outcome.conflicts)


def _judge(
    place: Place, outcome: GenerateOutcome, before: Base, edited: Mapping[str, Text], deleted: set[str], moved: set[str]
) -> list[str]:
    now = _base(place).generated
    found = []
    told: dict[str, set[str]] = {}
    for conflict in outcome.conflicts:
        told.setdefault(conflict.kind, set()).add(conflict.file)
    marked = told.get("both changed", set()) | told.get("both added", set())
    for name, ours in edited.items():
        path = place.root / name
        if not path.is_file():
            found.append(f"{name} is gone")
            continue
        content = path.read_bytes()
        broken = name in now and name not in marked and not _is_python(content)
        if broken != (name in told.get("not Python", ())):
            found.append(f"{name} is no Python, and not told, or told and is")
        if name not in now or now[name] == before.generated.get(name):
            if content != ours.content:
                found.append(f"{name} is not as it was edited")
            if (name in before.generated and name not in now) != (name in told.get("gone upstream", ())):
                found.append(f"{name} is gone upstream, and not told, or told and not gone")
            continue
        base, theirs = _text(before.generated.get(name, b"")), _text(now[name])
        theirs.moved |= moved
        found += [f"{name}: {words}" for words in lost(Case(base, ours, theirs, 0), content, count=False)]
        if (b"<<<<<<< edited by hand" in content) != (name in marked):
            found.append(f"{name} has conflicts that are not told, or is told and has none")
    for conflict in outcome.conflicts:
        line = (place.root / conflict.file).read_bytes().splitlines()[conflict.line - 1]
        if conflict.kind in ("both changed", "both added") and line != b"<<<<<<< edited by hand":
            found.append(f"{conflict.file}:{conflict.line} is no conflict")
    for name in set(now) - set(edited):
        if (place.root / name).read_bytes() != now[name]:
            found.append(f"{name}, which nobody edited, is not as it is generated")
    if set(outcome.restored) != deleted & set(now):
        found.append(f"deleted: {sorted(deleted & set(now))}, told: {list(outcome.restored)}")
    return found


def _edit_by_hand(
    chance: Random, place: Place, generated: Mapping[str, bytes], places: list[float]
) -> tuple[dict[str, Text], set[str]]:
    """Edit some files on disk, add one, delete one."""
    edited: dict[str, Text] = {}
    names = [name for name in generated if name.startswith("module/tpu/") and "ops/" not in name]
    chosen = {"module/tpu/models.py", *chance.sample(sorted(names), 2), chance.choice((_RUNTIME, "module/__init__.py"))}
    for name in sorted(chosen):
        text = _text(generated[name])
        for number in range(chance.choice((1, 1, 2))):
            share = 0.0 if chance.random() < 0.15 else chance.choice(places)  # the header, now and then
            edit(chance, text, f"hand_{number}", share, 0, _line)
        if text.content != generated[name]:
            edited[name] = text
    if chance.random() < 0.5:
        edited["module/tpu/mine.py"] = Text(["hand_mine__1 = 1", "", "hand_mine__2 = 1"])
    for name, text in edited.items():
        (place.root / name).write_bytes(text.content)
    deleted = {chance.choice(sorted({*names} - {*edited}))} if chance.random() < 0.3 else set()
    for name in deleted:
        (place.root / name).unlink()
    return edited, deleted


def _upstream(chance: Random) -> dict[str, Text]:
    files = {f"{_MODULE}/__init__.py": Text([])}
    for name in ("models", "commons", "extra"):
        lines = [_line(chance, f"base_{name}", number) for number in range(chance.choice((5, 20, 60)))]
        files[f"{_MODULE}/{name}.py"] = Text(["import torch", *lines])
    return files


def _line(chance: Random, name: str, number: int) -> str:
    if chance.random() < 0.3:
        return chance.choice(_COMMON)
    return f"{name}__{number} = {chance.choice(('1', 'torch.swap_me(1)'))}"


def _write(root: Path, files: Mapping[str, Text]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.content)
    return root


def _is_python(content: bytes) -> bool:
    try:
        compile(content, "<edited>", "exec", dont_inherit=True)  # ast.parse takes a `return` outside a function
    except SyntaxError:
        return False
    return True


def _text(content: bytes) -> Text:
    text = content.decode()
    return Text(text.split("\n")[:-1] if text.endswith("\n") else text.split("\n"), ended=text.endswith("\n"))


def _base(place: Place) -> Base:
    manifest = read(place.root)
    if manifest is None:
        raise PortError(f"{place.root} has no package")
    return read_base(place.root, manifest)
