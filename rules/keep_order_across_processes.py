"""Processes that train together have to see a dataset in the same order."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.strings import Strings
from porter.rule import Example, Rule, Safety
from porter.syntax.predicates import called, is_plain

_DATASETS = ("torch.utils.data.Dataset", "torch.utils.data.IterableDataset", "torch.utils.data.dataset.Dataset")

_BEFORE = """import os
import torch.utils.data


class Clips(torch.utils.data.Dataset):
    def __init__(self, folder, texts):
        features = set([name[:-3] for name in list(os.listdir(folder))])
        names = set(os.listdir(folder)) | features
        self.clips = list(set(texts) & names)

    def __len__(self):
        return len(self.clips)
"""


_FILLED = """import os
import torch.utils.data


class Clips(torch.utils.data.Dataset):
    def __init__(self, folder):
        names, stems = set(os.listdir(folder)), set()
        more: set[str] = set()
        for name in os.listdir(folder):
            stem = name.rsplit(".", 1)[0]
            stems.add(stem)
        more.update(os.listdir(folder))
        names |= more
        self.clips = list(names - {"none"}) + list(stems)

    def __len__(self):
        return len(self.clips)
"""


class KeepOrderAcrossProcesses(Rule):
    """Sort names that a dataset gathers as a set.

    The order of a set of strings follows PYTHONHASHSEED, which differs from process to process. Hosts that each pick
    their part of a shuffled list would overlap and leave clips out, and a second start would train in another order.
    Sorted is one of the orders that upstream may give. Done only where the elements are surely strings: names of
    files, and sets that share elements with those.
    """

    code = "DST008"
    title = "the same order in every process"
    safety = Safety.EXACT
    message = "the order of a set of strings differs between processes; sorted, all of them agree"
    calls: ClassVar = ("list",)
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_BEFORE.replace("list(set(texts)", "sorted(set(texts)"),
            call="len(Clips('.', ['nowhere', 'at all']))",
            on_device=False,
        ),
        Example(
            before=_FILLED,
            after=_FILLED.replace("list(names", "sorted(names").replace("list(stems", "sorted(stems"),
            call="len(Clips('.'))",
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        # numbers, or who knows what
        """
        import torch.utils.data


        class Clips(torch.utils.data.Dataset):
            def __init__(self, texts, others):
                self.clips = list(set(texts) & set(others))
        """,
        # something else may fill it
        """
        import os
        import torch.utils.data


        class Clips(torch.utils.data.Dataset):
            def __init__(self, folder, read):
                names = set(os.listdir(folder))
                read(names)
                self.clips = list(names)
        """,
        """
        import os
        import torch.utils.data


        class Clips(torch.utils.data.Dataset):
            def __init__(self, folder, read):
                names = set(os.listdir(folder))
                names.add(read())
                self.clips = list(names)
        """,
        """
        import os
        import torch.utils.data


        class Clips(torch.utils.data.Dataset):
            def __init__(self, folder, read):
                names, numbers = read(folder)
                self.clips = list(names), list(set())
        """,
        # no dataset
        """
        import os


        def names(folder):
            return list(set(os.listdir(folder)))
        """,
        # in the order that the folder has, the same for all
        """
        import os
        import torch.utils.data


        class Clips(torch.utils.data.Dataset):
            def __init__(self, folder):
                self.clips = list(os.listdir(folder))
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if called(node) != "list" or len(node.args) != 1 or not is_plain(node.args[0]):
            return
        function = self.file.function(node)
        if function is None or function.name.value != "__init__" or not self._is_dataset(self.file.owner(node)):
            return
        scope = self.file.index.scope_of(node)
        if any(scope.lookup(name) is not None for name in ("list", "set", "sorted")):
            return
        if Strings(self.file, function).is_string_set(node.args[0].value):
            self.replace(node.func, cst.Name("sorted"))

    def _is_dataset(self, owner: cst.ClassDef | None) -> bool:
        return owner is not None and any(self.file.resolve(base.value) in _DATASETS for base in owner.bases)
