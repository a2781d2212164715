"""The package on disk: replaced whole or not at all, and only where it is ours."""

from porter.store.package import edited_files, is_ours, recover, refuse_foreign, write_package
from porter.store.place import MANIFEST, TOOL, Place
from porter.store.single import write_file

__all__ = [
    "MANIFEST",
    "TOOL",
    "Place",
    "edited_files",
    "is_ours",
    "recover",
    "refuse_foreign",
    "write_file",
    "write_package",
]
