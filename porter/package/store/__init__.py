"""The package on disk: replaced whole or not at all, and only where it is ours."""

from porter.package.store.find import find_package
from porter.package.store.made_with import MadeWith, remember, remembered
from porter.package.store.package import (
    ChangedMeanwhileError,
    edited_files,
    is_ours,
    recover,
    refuse_foreign,
    state_of,
    write_package,
)
from porter.package.store.place import MANIFEST, PACKAGE, TOOL, Place
from porter.package.store.single import write_file

__all__ = [
    "MANIFEST",
    "PACKAGE",
    "TOOL",
    "ChangedMeanwhileError",
    "MadeWith",
    "Place",
    "edited_files",
    "find_package",
    "is_ours",
    "recover",
    "refuse_foreign",
    "remember",
    "remembered",
    "state_of",
    "write_file",
    "write_package",
]
