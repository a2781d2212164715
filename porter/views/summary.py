"""What `generate` did: files, edits by rule or changes since the last time, hazards, and how to use the package."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..codemod import rulebook
from ..inputs.upstream.revision import short
from ..inputs.upstream.spec import is_path
from ..package.manifest import folder_around, folders_to_import
from ..package.store import PACKAGE, remembered
from .changes import print_changes
from .console import counts_line, plain_table, stdout_console
from .hazards import print_group, print_unused
from .scope import print_scope
from .trainers import modules

if TYPE_CHECKING:
    from ..generate import GenerateOutcome
    from ..package.manifest import Manifest


def print_summary(outcome: GenerateOutcome, folders: tuple[Path, ...] = (), *, verbose: bool = False) -> None:
    """Print it on stdout: the result first. With `verbose` the rules with their edits follow, and no list is cut."""
    manifest, place = outcome.manifest, outcome.place
    console = stdout_console()
    console.print(Text(f"{_upstream(manifest)} → {place.package_dir}", style="bold"))
    console.print(_files(manifest))
    print_scope(console, manifest)
    if outcome.changes is not None:
        print_changes(console, outcome.changes, whole=verbose)
    console.print()
    console.print(_edits(manifest, told=verbose))
    hazards = manifest["hazards"]
    console.print(
        counts_line({"fixed": hazards["fixed"], "waived": hazards["waived"], "residual": hazards["residual"]}).append(
            ", of what is ported"
        )
    )
    if outcome.changes is None:
        print_group(console, [h for h in hazards["list"] if h["status"] == "residual"])
    elif hazards["residual"]:
        console.print(Text("check lists those that are residual."))
    print_unused(console, manifest["unused_ignores"])
    if verbose:
        _print_rules(console, manifest, folders)
    console.print()
    console.print(Text(_usage(outcome)), soft_wrap=True)


def print_residual(manifest: Manifest) -> None:
    """Print on stdout what is residual; nothing where nothing is."""
    print_group(stdout_console(), [h for h in manifest["hazards"]["list"] if h["status"] == "residual"])


def _upstream(manifest: Manifest) -> str:
    told = manifest["upstream"]
    revision = short(told["revision"])
    return f"{told['spec']} ({revision})" if revision and revision not in told["spec"] else told["spec"]


def _files(manifest: Manifest) -> Text:
    kinds = Counter(record["origin"] for record in manifest["files"].values())
    edited = len({edit["target"] for edit in manifest["edits"]})
    return Text(
        f"{len(manifest['files'])} files: {kinds['rewritten']} of upstream ({edited} of them changed), "
        f"{kinds['runtime']} of the runtime, {kinds['import path'] + kinds['package']} that hold it together"
    )


def _edits(manifest: Manifest, *, told: bool) -> Text:
    """How many edits there are."""
    rules = manifest["rules"]
    if not rules:
        return Text("No rule found anything to change.")
    words = f"{sum(rules.values())} edits by {len(rules)} rules"
    return Text(words if told else f"{words} (-v counts them by rule)")


def _print_rules(console: Console, manifest: Manifest, folders: tuple[Path, ...]) -> None:
    if not manifest["rules"]:
        return
    titles = {rule.code: rule.title for rule in rulebook.load(folders).rules} | _own_titles()
    table = plain_table("Rule", "What it does", "Edits")
    table.columns[0].no_wrap = True
    table.columns[2].justify = "right"
    for code, count in manifest["rules"].items():
        table.add_row(Text(code, style="cyan"), Text(titles.get(code, "")), Text(str(count)))
    table.add_section()
    table.add_row(Text(""), Text("all edits"), Text(str(sum(manifest["rules"].values()))))
    console.print()
    console.print(table)


def _own_titles() -> dict[str, str]:
    from ..codemod.imports import RuntimeImport

    return {RuntimeImport.code: RuntimeImport.title}


def _usage(outcome: GenerateOutcome) -> str:
    """How the package is used: commands for the folder where generate ran."""
    manifest, place = outcome.manifest, outcome.place
    around = folder_around(manifest)
    checkout = _checkout(outcome)
    shown = checkout or Path("CHECKOUT")
    folders = [shown / folder for folder in folders_to_import(manifest)]
    if manifest["options"]["install"]:
        outer = f"{around}." if around and around != "GPT_SoVITS" else ""
        told = f"Installed. Where upstream imports module.models, import {outer}module.tpu.models instead."
    else:
        outer, folders = "", [place.root, *folders]
        told = f"To use it, put it before upstream's own folders and import {_entry(manifest)}."
    start = f"PYTHONPATH={':'.join(shlex.quote(str(folder)) for folder in folders)} python"
    told += f"\n  {start} …"
    told += "".join(f"\nTo train:\n  {start} -m {outer}{name} -c CONFIG" for name in modules(manifest)[:1])
    return told if checkout else f"{told}\nCHECKOUT is a checkout of {_upstream(manifest)}."


def _entry(manifest: Manifest) -> str:
    """The module of the port to import: `models` where there is one, else the first whose networks others build."""
    built = {network["file"] for network in manifest["scope"]["networks"]}
    names = [name for name, record in manifest["files"].items() if record["upstream"] in built]
    file = f"{PACKAGE}/models.py"
    chosen = file if file in manifest["files"] or not names else names[0]
    return chosen.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _checkout(outcome: GenerateOutcome) -> Path | None:
    """The folder that was ported, where it is one."""
    upstream = remembered(outcome.place.root, outcome.manifest["upstream"]["spec"]).upstream
    return Path(upstream) if upstream is not None and is_path(upstream) and Path(upstream).is_dir() else None
