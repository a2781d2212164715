"""Whether a package is already what generating it again would make it, without parsing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import __version__
from ..changes.decisions import fingerprint
from ..errors import PortError
from ..inputs.sources import (
    Layout,
    Tree,
    digest,
    find_layout,
    licence,
    main_files,
    scope_digest,
    speaking_files,
    survey_scope,
    top_names,
    trainer_files,
)
from ..package.manifest import input_hashes
from ..package.store import Place
from .fingerprint import engine_hash
from .guard import survey
from .settings import Settings

if TYPE_CHECKING:
    from ..inputs.upstream import Snapshot
    from ..package.manifest import Manifest


def unchanged(snapshot: Snapshot, place: Place, settings: Settings, manifest: Manifest) -> bool:
    """Whether tool, options, rules, decisions and upstream are as `manifest` says, and every file is there, edited or
    not.
    """
    return survey(place, manifest).complete and same_inputs(snapshot, settings, manifest)


def same_inputs(snapshot: Snapshot, settings: Settings, manifest: Manifest) -> bool:
    """Whether tool, options, rules, decisions and upstream are as `manifest` says, whatever is on disk."""
    return (
        manifest["version"] == __version__
        and manifest["options"] == settings.record()
        and manifest["rulebook"] == settings.rulebook_hash()
        and manifest["decisions"]["hash"] == fingerprint(settings.decisions)
        and manifest["engine"] == engine_hash()
        and _same_upstream(snapshot, manifest, settings)
    )


def _same_upstream(snapshot: Snapshot, manifest: Manifest, settings: Settings) -> bool:
    told = manifest["upstream"]
    try:
        layout = find_layout(snapshot, settings.sources)
        if (snapshot.spec, layout.root, licence(snapshot)) != (told["spec"], told["module"], told["licence"]):
            return False
        tree = Tree(snapshot, layout)
        return (
            layout.flat == ("around" in told)
            and _same_files(tree, layout, manifest)
            and _same_scope(tree, manifest)
            and _same_imports(tree, manifest)
            and snapshot.revision == told["revision"]  # last: of a checkout it takes git a while
        )
    except PortError:
        return False  # reading it in earnest will say why


def _same_files(tree: Tree, layout: Layout, manifest: Manifest) -> bool:
    inputs, snapshot = input_hashes(manifest), tree.snapshot
    found = set(main_files(snapshot, layout))
    listed = {p for p in inputs if p.startswith(f"{layout.root}/") and not p.endswith("_onnx.py")}
    if not found <= inputs.keys() or (layout.is_module and listed != found):
        return False
    if not inputs.keys() >= {*trainer_files(tree), *speaking_files(snapshot, layout)}:
        return False
    known = {**inputs, **manifest["consulted"]}
    return all(digest(content) == known[path] for path, content in snapshot.read_many(known).items())


def _same_scope(tree: Tree, manifest: Manifest) -> bool:
    """Whether as much is ported, and as much is not, as port.json says."""
    scope = manifest.get("scope")
    ported = input_hashes(manifest)
    if scope is None or scope_digest(tree, ported) == scope["digest"]:
        return scope is not None
    from ..package.manifest.describe import (
        scope_record,  # late: only files that are not ported are others than they were
    )

    now = scope_record(survey_scope(tree, ported, [trainer["file"] for trainer in scope["trainers"]]))
    return {**now, "digest": ""} == {**scope, "digest": ""}


def _same_imports(tree: Tree, manifest: Manifest) -> bool:
    """Whether each import of the ported files still means the same file, or still none."""
    needs = manifest["needs"]
    names = top_names(tree, input_hashes(manifest), needs["upstream"])
    if tree.shape(names) != manifest["upstream"]["shape"]:
        return False
    training = (
        name for kind in (needs["trainers"], needs.get("later", {})) for names in kind.values() for name in names
    )
    foreign = (*needs["third_party"], *needs["optional"], *training)
    return not any(tree.exists(f"{base}/{name}" if base else name) for name in foreign for base in tree.bases)
