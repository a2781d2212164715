"""Checkpoints that load on any machine, and that a killed trainer never leaves torn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, takewhile
from typing import ClassVar

import libcst as cst

from porter.analysis.listings import head_calls, is_settled, listed, lists_checkpoints, lists_files
from porter.analysis.project import SourceFile
from porter.analysis.steps import training_loop
from porter.rule import Example, Needed, Rule, Safety
from porter.syntax.calls import argument, has_star, method_call
from porter.syntax.predicates import is_plain, last_parts, only_small, only_target
from porter.syntax.walk import descendants, holds_any, key, own_descendants, own_of_type, same

_SAVES = ("torch.save", "torch.serialization.save")
_MOVES = ("shutil.move", "os.rename", "os.replace")


class SaveFromHost(Rule):
    """Save CPU tensors, and the whole file at once.

    `torch.save` writes tensors of an XLA device so that only a machine with torch_xla can load them, and a trainer that
    is killed meanwhile leaves half a file. The runtime's `save` copies every tensor to the CPU first, writes beside the
    place where the file belongs, and renames it. Upstream's detour over a temporary file in the working folder, which
    `shutil.move` copies where that is another disk, is then no longer needed; bytes that a saving function writes itself
    take the same way.
    """

    code = "DEV013"
    title = "save checkpoints from the CPU, whole"
    safety = Safety.EXACT
    message = "tensors are copied to the CPU first, and a kill leaves the old file or the new one, never half of one"
    calls: ClassVar = last_parts(_SAVES)
    examples: ClassVar = (
        Example(
            before="""
                import os
                import shutil
                import time

                import torch


                def store(net, path):
                    part = '%s.part' % time.time()
                    # a name that torch can write
                    torch.save(net.state_dict(), part)
                    shutil.move(part, os.path.abspath(path))
                    print(path)
                """,
            after="""
                import os
                import shutil
                import time

                import torch
                from .. import training


                def store(net, path):
                    # a name that torch can write
                    training.save(net.state_dict(), os.path.abspath(path))
                    print(path)
                """,
            path="train_net.py",
        ),
        Example(
            before="""
                import io
                import os
                import tempfile

                import torch


                def store(x):
                    with tempfile.TemporaryDirectory() as folder:
                        path = os.path.join(folder, 'x.pth')
                        buffer = io.BytesIO()
                        torch.save({'x': x}, buffer)
                        data = b'03' + buffer.getvalue()[2:]
                        with open(path, 'wb') as file:
                            file.write(data)
                        with open(path, 'rb') as file:
                            return torch.load(io.BytesIO(b'PK' + file.read()[2:]))['x']
                """,
            after="""
                import io
                import os
                import tempfile

                import torch
                from .. import training


                def store(x):
                    with tempfile.TemporaryDirectory() as folder:
                        path = os.path.join(folder, 'x.pth')
                        buffer = io.BytesIO()
                        training.save({'x': x}, buffer)
                        data = b'03' + buffer.getvalue()[2:]
                        training.write(data, path)
                        with open(path, 'rb') as file:
                            return torch.load(io.BytesIO(b'PK' + file.read()[2:]))['x']
                """,
            call="store(x)",
            inputs="x = torch.linspace(-1, 1, 5)",
            path="train_net.py",
            on_device=False,
        ),
        Example(
            before="""
                import shutil

                import torch


                def twice(x, part, path):
                    torch.save(x, part)
                    shutil.copy(part, path)
                """,
            after="""
                import shutil

                import torch
                from .. import training


                def twice(x, part, path):
                    training.save(x, part)
                    shutil.copy(part, path)
                """,
            path="train_net.py",
        ),
    )
    untouched: ClassVar = (
        """
        def store(data, path):
            with open(path, 'wb') as file:
                file.write(data)
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if not _saves(self.file, node):
            return
        moved = _moved_after(self.file, node)
        if moved is None:
            self.replace(node.func, self.runtime("training.save"))
            return
        line, target = moved
        place = node.args[1].value
        made = _made_before(self.file, node, place)
        if made is not None:
            self.replace(made, [], until=line)
        self.replace(node.func, self.runtime("training.save"), until=line)
        self.replace(place, target)
        self.replace(line, [])

    def visit_With(self, node: cst.With) -> None:
        written = _written(self.file, node)
        if written is not None:
            data, path = written
            call = self.fill("__f(__d, __p)", f="training.write", d=data, p=path)
            self.replace(node, [cst.SimpleStatementLine([cst.Expr(call)])])


class SaveTogether(Rule):
    """Let the files of one checkpoint appear together.

    Generator and discriminator are two files. A trainer that is killed between them resumes from one that is an epoch
    ahead of the other. In the runtime's `saved_together` both are written first and renamed after that, and what a kill
    interrupts is finished or undone by whoever reads or saves there next.
    """

    code = "DEV014"
    title = "save what belongs together at once"
    safety = Safety.EXACT
    message = "these files belong together: all of them appear, or none, also when the process is killed between them"
    examples: ClassVar = (
        Example(
            before="""
                from helpers import keep


                def store(a, b, folder):
                    print(folder)
                    # both nets
                    keep(a, folder + '/a.pth')
                    keep(b, folder + '/b.pth')  # the judge
                    print('done')
                """,
            after="""
                from helpers import keep
                from .. import training


                def store(a, b, folder):
                    print(folder)
                    # both nets
                    with training.saved_together():
                        keep(a, folder + '/a.pth')
                        keep(b, folder + '/b.pth')  # the judge
                    print('done')
                """,
            path="train_net.py",
            others={
                "helpers.py": """
                    import torch


                    def keep(net, path):
                        write({'net': net.state_dict()}, path)


                    def write(value, path):
                        torch.save(value, path)
                        print(f'wrote {path}')
                    """
            },
        ),
        Example(
            before="""
                import torch


                def store(a, b):
                    torch.save(a, 'a.pth')
                    torch.save(b, 'b.pth')
                """,
            after="""
                import torch
                from .. import training


                def store(a, b):
                    with training.saved_together():
                        torch.save(a, 'a.pth')
                        torch.save(b, 'b.pth')
                """,
            path="train_net.py",
        ),
    )
    untouched: ClassVar = (
        """
        from helpers import keep


        def store(a, b):
            keep(a)
            keep(b)
        """,
    )

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> None:
        if not self.file.in_trainers or not _stores(self.file, node) or _is_together(self.file, node):
            return
        run = self._run(node)
        if len(run) < 2:
            return
        # Copies, since the lines themselves go; what is inside them is the same and may be edited.
        body = [node.with_changes(leading_lines=()), *(line.with_changes() for line in run[1:])]
        together = self.fill("__f()", f="training.saved_together")
        places = chain.from_iterable(self.file.project.reached(self.file, line) for line in run)
        whole = [Needed(place, (SaveFromHost.code,)) for place in places]
        block = cst.With(items=[cst.WithItem(together)], body=cst.IndentedBlock(body))
        self.replace(node, [block], needs=whole)
        for line in run[1:]:
            self.replace(line, [])

    def _run(self, node: cst.SimpleStatementLine) -> list[cst.BaseStatement]:
        """The saves that begin with a line, one right behind the other; none where one is right before."""
        around = self.file.siblings(node)
        at = around.index(node)
        if at and _stores(self.file, around[at - 1]):
            return []
        return list(takewhile(self._is_save, around[at:]))

    def _is_save(self, line: cst.BaseStatement) -> bool:
        return isinstance(line, cst.SimpleStatementLine) and _stores(self.file, line)


class SettleBeforeListing(Rule):
    """Finish what a killed trainer began to save before its checkpoints are listed.

    A trainer that is killed while several files take their places leaves the rest to whoever comes next. Resuming looks
    for the newest file of each sort, so it has to do that first.
    """

    code = "DEV015"
    title = "settle checkpoints before listing them"
    safety = Safety.EXACT
    message = "what a killed process began to save here is finished or undone before the checkpoints are listed"
    examples: ClassVar = (
        Example(
            before="""
                import glob
                import os


                def newest(folder, pattern='G_*.pth'):
                    return sorted(glob.glob(os.path.join(folder, pattern)))[-1]
                """,
            after="""
                import glob
                import os
                from .. import training


                def newest(folder, pattern='G_*.pth'):
                    training.settle(folder)
                    return sorted(glob.glob(os.path.join(folder, pattern)))[-1]
                """,
            path="train_net.py",
        ),
        Example(
            before="""
                import os


                def prune(hps):
                    found = [n for n in os.listdir(hps.folder) if n.endswith('.pth')]
                    return found[:-3]
                """,
            after="""
                import os
                from .. import training


                def prune(hps):
                    training.settle(hps.folder)
                    found = [n for n in os.listdir(hps.folder) if n.endswith('.pth')]
                    return found[:-3]
                """,
            path="train_net.py",
        ),
        Example(  # before a block whose head lists them, and by a pattern that is no path joined
            before="""
                import glob
                import os


                def prune(folder, root, step):
                    if step:
                        for name in os.listdir(folder):
                            if name.endswith('.pth'):
                                print(name)
                    # all
                    with os.scandir(root) as entries:
                        found = list(entries)
                    if glob.glob(root + '/G_*.pth'):
                        pass
                    elif glob.glob(f'{folder}/D_*.pth'):
                        print(step)
                    return found, glob.glob('%s/%s/D_*.pth' % (root, step)), glob.glob('{}/*.pth'.format(root))
                """,
            after="""
                import glob
                import os
                from .. import training


                def prune(folder, root, step):
                    if step:
                        training.settle(folder)
                        for name in os.listdir(folder):
                            if name.endswith('.pth'):
                                print(name)
                    # all
                    training.settle(root)
                    with os.scandir(root) as entries:
                        found = list(entries)
                    training.settle(root + '/G_*.pth')
                    training.settle(f'{folder}/D_*.pth')
                    if glob.glob(root + '/G_*.pth'):
                        pass
                    elif glob.glob(f'{folder}/D_*.pth'):
                        print(step)
                    training.settle('%s/%s/D_*.pth' % (root, step))
                    training.settle('{}/*.pth'.format(root))
                    return found, glob.glob('%s/%s/D_*.pth' % (root, step)), glob.glob('{}/*.pth'.format(root))
                """,
            path="train_net.py",
        ),
    )
    untouched: ClassVar = (
        # where the folder is, shows only as the block runs
        """
        import os


        def prune(folders):
            return [n for folder in folders for n in os.listdir(folder) if n.endswith('.pth')]
        """,
        """
        import os


        def wait(root):
            while not os.listdir(root):
                print('no .pth')
        """,
        """
        import os


        def sounds(folder):
            return sorted(n for n in os.listdir(folder) if n.endswith('.wav'))
        """,
    )

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> None:
        self._settle(node)

    def visit_For(self, node: cst.For) -> None:
        self._settle(node)

    def visit_With(self, node: cst.With) -> None:
        self._settle(node)

    def visit_If(self, node: cst.If) -> None:
        above = self.file.parent(node)
        if not (isinstance(above, cst.If) and above.orelse is node):
            self._settle(node)

    def _settle(self, statement: cst.SimpleStatementLine | cst.For | cst.With | cst.If) -> None:
        places: dict[object, cst.BaseExpression] = {}
        for place in self._unsettled(statement) if self.file.in_trainers and self.file.fact(lists_files) else ():
            places.setdefault(key(place), place)
        if places:
            calls = [self.fill("__f(__d)", f="training.settle", d=place) for place in places.values()]
            listing = statement.with_changes(leading_lines=())  # comments and empty lines stay above all
            self.replace(statement, [*(cst.SimpleStatementLine([cst.Expr(call)]) for call in calls), listing])

    def _unsettled(self, statement: cst.BaseStatement) -> Iterator[cst.BaseExpression]:
        """The places that a statement lists checkpoints in, of which nothing has settled what is there."""
        for call in head_calls(self.file, statement):
            place = listed(self.file, call) if lists_checkpoints(self.file, call) else None
            if place is not None and not is_settled(self.file, call):
                yield place


# --- what is saved, and where --------------------------------------------------------------------------------------


class RoundOnHost(Rule):
    """Round what is to be saved on the host.

    `weights[key].half()` between two steps is a graph of its own for each shape, some hundred of them with the first
    export; and of several hosts only the one that saves would run it, which all of them have to. Copied first, the
    CPU rounds it, to the same values.
    """

    code = "DEV016"
    title = "round exported weights on the host"
    safety = Safety.EXACT
    message = "rounded on the device each shape is a graph of its own, which one host would run alone"
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def export(weights):
                    rounded = {}
                    for key in weights:
                        rounded[key] = weights[key].half()
                    return rounded['x']
                """,
            after="""
                import torch
                from .. import training


                def export(weights):
                    rounded = {}
                    for key in weights:
                        rounded[key] = training.host_copy(weights[key]).half()
                    return rounded['x']
                """,
            call="export({'x': x})",
            inputs="x = torch.linspace(-1, 1, 5)",
            path="train_net.py",
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def f(x):
            return torch.relu(x).half()
        """,
        """
        import torch


        def f(batches, net, optimizer):
            for batch in batches:
                net(batch[0].half()).sum().backward()
                optimizer.step()
        """,
        """
        def f(pizza):
            return pizza[0].half()
        """,
    )
    _rounds: ClassVar = ("half", "bfloat16", "float")

    def visit_Call(self, node: cst.Call) -> None:
        found = next((f for name in self._rounds if (f := method_call(node, name)) is not None), None)
        if found is None or node.args or not isinstance(found[0], cst.Subscript) or not self.file.in_trainers:
            return
        if self.file.imports("torch") and training_loop(self.file, node) is None:
            copied = self.fill("__f(__x)", f="training.host_copy", x=found[0])
            self.replace(found[0], copied)


def _saves(file: SourceFile, node: cst.CSTNode) -> bool:
    """A call of `torch.save` in a trainer or a helper beside it."""
    return file.in_trainers and isinstance(node, cst.Call) and file.resolve(node.func) in _SAVES


def _moved_after(file: SourceFile, save: cst.Call) -> tuple[cst.SimpleStatementLine, cst.BaseExpression] | None:
    """The line right after a save that moves the file, which nothing else uses, and where to."""
    line = _line_of(file, save)
    if line is None or has_star(save) or not any(map(is_plain, save.args[1:2])):
        return None
    after = next(iter(file.following(line)), None)
    place = save.args[1].value
    match only_small(after):
        case cst.Expr(
            value=cst.Call(
                func=func,
                args=[cst.Arg(value=moved, keyword=None, star=""), cst.Arg(value=to, keyword=None, star="")],
            )
        ) if file.resolve(func) in _MOVES:
            if not same(place, moved) or holds_any(place, cst.Call):
                return None
            used = any(n not in (place, moved) and not _is_target(file, n) for n in _uses(file, place))
            return None if used else (cst.ensure_type(after, cst.SimpleStatementLine), to)
    return None


def _made_before(file: SourceFile, save: cst.Call, place: cst.BaseExpression) -> cst.SimpleStatementLine | None:
    """The line right before a save that made up the name it saves to, for nothing else."""
    line = _line_of(file, save)
    around = file.siblings(line) if line is not None else ()
    at = around.index(line) if line is not None else 0
    before = around[at - 1] if at else None
    target = only_target(only_small(before))
    bound = [n for n in _uses(file, place) if _is_target(file, n)]
    made = isinstance(place, cst.Name) and target is not None and bound == [target]
    return before if made and isinstance(before, cst.SimpleStatementLine) else None


def _line_of(file: SourceFile, call: cst.Call) -> cst.SimpleStatementLine | None:
    """The line that is this call and nothing else."""
    small = file.parent(call)
    return file.alone(small) if isinstance(small, cst.Expr) else None


def _uses(file: SourceFile, place: cst.BaseExpression) -> list[cst.CSTNode]:
    """Where the function around an expression has the same one."""
    function = file.function(place)
    return [n for n in descendants(function or file.module) if type(n) is type(place) and same(n, place)]


def _is_target(file: SourceFile, node: cst.CSTNode) -> bool:
    return isinstance(file.parent(node), cst.AssignTarget)


def _written(file: SourceFile, node: cst.With) -> tuple[cst.BaseExpression, cst.BaseExpression] | None:
    """Bytes and path of `with open(path, "wb") as f: f.write(bytes)` in a function that saves with torch."""
    function = file.function(node)
    if len(node.items) != 1 or function is None or not any(_saves(file, c) for c in _calls(function)):
        return None
    item = node.items[0]
    path = _opened_to_write(item.item)
    content = _only_write(node.body.body, item.asname.name) if item.asname is not None else None
    return (content, path) if content is not None and path is not None else None


def _opened_to_write(opened: cst.BaseExpression) -> cst.BaseExpression | None:
    """The path of `open(path, "wb")`."""
    if not isinstance(opened, cst.Call) or not isinstance(opened.func, cst.Name) or opened.func.value != "open":
        return None
    mode = argument(opened, "mode", 1)
    binary = isinstance(mode, cst.SimpleString) and mode.evaluated_value == "wb"
    return argument(opened, "file", 0) if binary and len(opened.args) == 2 else None


def _only_write(body: Sequence[cst.CSTNode], name: cst.CSTNode) -> cst.BaseExpression | None:
    """The bytes of a body that is `name.write(bytes)` alone."""
    line = body[0] if len(body) == 1 else None
    small = line.body[0] if isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1 else line
    found = method_call(small.value, "write") if isinstance(small, cst.Expr) else None
    return found[1].args[0].value if found is not None and same(found[0], name) and len(found[1].args) == 1 else None


def _calls(function: cst.FunctionDef) -> Iterable[cst.Call]:
    return own_of_type(function.body, cst.Call)


def _stores(file: SourceFile, line: cst.CSTNode) -> bool:
    """A line that is a call which ends in files saved, none of which is looked at again before the call returns."""
    small = line.body[0] if isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1 else None
    call = small.value if isinstance(small, cst.Expr) else None
    return isinstance(call, cst.Call) and _ends_in_files(file, call, frozenset())


def _is_together(file: SourceFile, line: cst.CSTNode) -> bool:
    blocks = [around for around in file.ancestors(line) if isinstance(around, cst.With)]
    return any(method_call(item.item, "saved_together") is not None for block in blocks for item in block.items)


def _saves_whole(file: SourceFile, function: cst.FunctionDef) -> bool:
    """Whether all that a function saves itself is as it will stay, or for a buffer."""
    return all(_is_final(file, c) or _is_buffer(file, c) for c in _calls(function) if _saves(file, c))


def _ends_in_files(file: SourceFile, call: cst.Call, inside: frozenset[cst.CSTNode]) -> bool:
    if _saves(file, call):
        return _is_final(file, call)
    found = file.project.function(file.resolve(call.func))
    if found is None or found[1] in inside or not found[0].in_trainers:
        return False
    other, function = found
    if not _saves_whole(other, function):
        return False
    if any(_written(other, n) is not None for n in own_of_type(function.body, cst.With)):
        return True
    return any(_ends_in_files(other, c, inside | {function}) for c in _calls(function))


def _is_final(file: SourceFile, save: cst.Call) -> bool:
    """Whether a saved file is moved to its place at once, or not touched any more in the function that saves it."""
    place = argument(save, "f", 1)
    if place is None:
        return False
    if _moved_after(file, save) is not None:
        return True
    function = file.function(save)
    nodes = list(own_descendants(function.body)) if function is not None else []
    later = nodes[nodes.index(place) + 1 :] if place in nodes else []
    return not any(type(n) is type(place) and same(n, place) and not _is_shown(file, n) for n in later)


def _is_buffer(file: SourceFile, save: cst.Call) -> bool:
    """Whether what a save writes to is an object whose methods are called, not a path."""
    place = argument(save, "f", 1)
    if place is None:
        return False
    parents = [file.parent(n) for n in _uses(file, place) if n is not place and not _is_target(file, n)]
    return bool(parents) and all(isinstance(p, cst.Attribute) for p in parents)


def _is_shown(file: SourceFile, node: cst.CSTNode) -> bool:
    """Part of what is printed or logged."""
    for around in file.ancestors(node):
        if isinstance(around, cst.Call):
            name = around.func.attr.value if isinstance(around.func, cst.Attribute) else ""
            shown = isinstance(around.func, cst.Name) and around.func.value == "print"
            if shown or name in ("debug", "info", "warning", "error", "log"):
                return True
        elif isinstance(around, cst.BaseStatement):
            return False
    return False
