"""A training starts from the weights that it is meant to start from."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.rule import Example, Rule, Safety
from porter.syntax.calls import positional
from porter.syntax.walk import code, holds_any, own_of_type, spelled

_HELPERS = """import glob


def latest(folder, pattern):
    files = glob.glob(folder + "/" + pattern)
    return files[-1]


def restore(path, net):
    return 1
"""


class ResumeFromPairs(Rule):
    """Resume from checkpoints of one step.

    A trainer of two networks resumes each from its own newest checkpoint. Where one of the files is lost, or was never
    written because the process was killed between the two, it goes on with networks of two different steps, or starts
    anew beside a checkpoint without a word. The runtime's check names the file that stands alone.
    """

    code = "RUN007"
    title = "resume from pairs of checkpoints"
    safety = Safety.EXACT
    message = "a checkpoint of one network without that of the other is named; nothing is trained from it"
    examples: ClassVar = (
        Example(
            before="""
                import helpers


                def run(hps, d, g, loss):
                    # resume
                    try:
                        helpers.restore(helpers.latest('%s/logs' % hps.dir, 'D_*.pth'), d)
                        step = helpers.restore(helpers.latest('%s/logs' % hps.dir, 'G_*.pth'), g)
                    except IndexError:
                        step = 1
                    loss.backward()
                    return step
                """,
            after="""
                import helpers
                from .. import training


                def run(hps, d, g, loss):
                    # resume
                    training.paired('%s/logs' % hps.dir, ('D_*.pth', 'G_*.pth'))
                    try:
                        helpers.restore(helpers.latest('%s/logs' % hps.dir, 'D_*.pth'), d)
                        step = helpers.restore(helpers.latest('%s/logs' % hps.dir, 'G_*.pth'), g)
                    except IndexError:
                        step = 1
                    loss.backward()
                    return step
                """,
            path="train_net.py",
            others={"helpers.py": _HELPERS},
        ),
    )
    untouched: ClassVar = (
        # one network, two folders, no trainer, a folder that is made in the call
        f"{_HELPERS}\n\ndef run(net, loss):\n    loss.backward()\n    try:\n        restore(latest('x', 'G_*.pth'), net)\n    except IndexError:\n        pass\n",
        f"{_HELPERS}\n\ndef run(d, g, loss):\n    loss.backward()\n    try:\n        restore(latest('x', 'D_*.pth'), d)\n        restore(latest('y', 'G_*.pth'), g)\n    except IndexError:\n        pass\n",
        f"{_HELPERS}\n\ndef run(d, g):\n    try:\n        restore(latest('x', 'D_*.pth'), d)\n        restore(latest('x', 'G_*.pth'), g)\n    except IndexError:\n        pass\n",
        f"{_HELPERS}\n\ndef run(d, g, loss, new):\n    loss.backward()\n    try:\n        restore(latest(new(), 'D_*.pth'), d)\n        restore(latest(new(), 'G_*.pth'), g)\n    except IndexError:\n        pass\n",
    )

    def visit_Try(self, node: cst.Try) -> None:
        if not self.file.is_trainer or self.file.follows_runtime(node, "training.paired"):
            return
        found = [found for call in own_of_type(node.body, cst.Call) if (found := self._search(call)) is not None]
        folders = {code(folder) for folder, _ in found}
        patterns = list(dict.fromkeys(code(pattern) for _, pattern in found))
        if len(folders) != 1 or len(patterns) < 2 or holds_any(found[0][0], cst.Call):
            return
        asked = cst.parse_expression(f"({', '.join(patterns)})")
        check = self.fill("__f(__d, __p)", f="training.paired", d=found[0][0].deep_clone(), p=asked)
        line = cst.SimpleStatementLine([cst.Expr(check)], leading_lines=node.leading_lines)
        self.replace(node, [line, node.with_changes(leading_lines=[])])

    def _search(self, call: cst.Call) -> tuple[cst.BaseExpression, cst.SimpleString] | None:
        """Folder and pattern, where a call asks a function of the project for one of the files that match."""
        given = positional(call)
        called = self.file.project.function(self.file.resolve(call.func)) if len(given) == len(call.args) == 2 else None
        if called is None or not isinstance(given[1], cst.SimpleString):
            return None
        pattern = str(given[1].evaluated_value)
        globs = any(called[0].resolve(n.func) == "glob.glob" for n in own_of_type(called[1].body, cst.Call))
        return (given[0], given[1]) if globs and pattern.count("*") == 1 and "/" not in pattern else None


class WantNamedWeights(Rule):
    """Do not begin from noise where the config names weights.

    Upstream loads the weights that the config names only if the file is there; with a typing error in the path it
    trains from noise without a word. The runtime's `exists` answers no only where none are named.
    """

    code = "RUN008"
    title = "want the weights that are named"
    safety = Safety.EXACT
    message = "a file of weights that is named and not there ends the run with a sentence"
    examples: ClassVar = (
        Example(
            before="""
                import os
                import torch


                def run(hps, net, loss):
                    loss.backward()
                    if hps.train.begin != '' and os.path.exists(hps.train.begin):
                        net.load_state_dict(torch.load(hps.train.begin))
                """,
            after="""
                import os
                import torch
                from .. import training


                def run(hps, net, loss):
                    loss.backward()
                    if hps.train.begin != '' and training.exists(hps.train.begin, 'train.begin'):
                        net.load_state_dict(torch.load(hps.train.begin))
                """,
            path="train_net.py",
        ),
    )
    untouched: ClassVar = (
        # something else is done without it, nothing is loaded, no trainer
        """
        import os
        import torch


        def run(hps, net, loss):
            loss.backward()
            if os.path.exists(hps.begin):
                net.load_state_dict(torch.load(hps.begin))
            else:
                net.reset()
        """,
        """
        import os


        def run(hps, loss):
            loss.backward()
            if os.path.exists(hps.begin):
                print(hps.begin)
        """,
        """
        import os
        import torch


        def run(hps, net):
            if os.path.exists(hps.begin):
                net.load_state_dict(torch.load(hps.begin))
        """,
    )

    def visit_If(self, node: cst.If) -> None:
        if not self.file.is_trainer or node.orelse is not None:
            return
        calls = own_of_type(node.body, cst.Call)
        loaded = {spelled(c.args[0].value) for c in calls if c.args and self.file.resolve(c.func) == "torch.load"}
        for asked in _parts(node.test):
            path = self._asked(asked)
            _, _, key = spelled(path).partition(".")
            if path is not None and key and spelled(path) in loaded:
                name = cst.SimpleString(repr(key))
                self.replace(asked, self.fill("__f(__p, __k)", f="training.exists", p=path, k=name))

    def _asked(self, node: cst.BaseExpression) -> cst.BaseExpression | None:
        """The path of `os.path.exists(path)`."""
        if not isinstance(node, cst.Call) or len(node.args) != 1:
            return None
        asks = self.file.resolve(node.func) in ("os.path.exists", "os.path.isfile")
        return node.args[0].value if asks else None


def _parts(test: cst.BaseExpression) -> list[cst.BaseExpression]:
    """What has to be true, all of it, for a condition to be."""
    if isinstance(test, cst.BooleanOperation) and isinstance(test.operator, cst.And):
        return [*_parts(test.left), *_parts(test.right)]
    return [test]
