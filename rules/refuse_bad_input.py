"""What a training run is given is looked at before anything compiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import ClassVar

import libcst as cst

from porter.analysis.config_keys import ConfigUse, callees, listing, longest
from porter.analysis.project import SourceFile
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import argument, has_star, method_call, with_keywords
from porter.syntax.predicates import functions, is_plain, of_self, only_index, only_target, targets, text_of
from porter.syntax.walk import descendants, dotted, own_of_type, spelled

_HELPERS = """import argparse
import glob
import json
import os
import torch


class Params:
    def __init__(self, **values):
        for key, value in values.items():
            setattr(self, key, Params(**value) if isinstance(value, dict) else value)


def read_params():
    parser = argparse.ArgumentParser()
    parser.add_argument("-c", "--config")
    with open(parser.parse_args().config) as f:
        return Params(**json.load(f))


def latest(folder, pattern):
    files = glob.glob(os.path.join(folder, pattern))
    files.sort()
    return files[-1]


def restore(path, model, optimizer=None):
    saved = torch.load(path, map_location="cpu")
    weights = saved["model"]
    kept = {}
    for k, v in model.state_dict().items():
        try:
            kept[k] = weights[k]
        except:
            kept[k] = v
    model.load_state_dict(kept)
    return saved["epoch"]


def store(params, weights):
    torch.save(weights, params.out_dir)
"""
_LATEST = """import glob


def latest(folder):
    files = sorted(glob.glob(folder + "/G_*.pth"))
    return files[-1]
"""
_HELPER = {"helpers.py": _HELPERS}


class StartAnewWithoutCheckpoint(Rule):
    """Start a training anew only where there is no checkpoint yet.

    A bare `except:` around the loading of the latest checkpoint takes every error for "no checkpoint yet": one that
    is torn, or of another model, and days of training start from scratch without a word. The search for the latest
    file indexes the list of those that there are, so an IndexError is what says that there is none.
    """

    code = "RUN001"
    title = "start anew only without a checkpoint"
    safety = Safety.EXACT
    message = "only the search's IndexError says that there is no checkpoint yet; other errors are not to be hidden"
    examples: ClassVar = (
        Example(
            before=f"{_LATEST}\n\ndef run(folder, loss):\n    try:\n        step = len(latest(folder))\n    except:\n        step = 1\n    loss.backward()\n    return step\n",
            after=f"{_LATEST}\n\ndef run(folder, loss):\n    try:\n        step = len(latest(folder))\n    except IndexError:\n        step = 1\n    loss.backward()\n    return step\n",
            call="run('/nowhere', (x**2).sum())",
            inputs="x = torch.ones(2, requires_grad=True)",
            path="train_net.py",
            on_device=False,
        ),
        Example(
            before="""
                import helpers


                def run(folder, net, loss):
                    try:
                        epoch = helpers.restore(helpers.latest(folder, 'G_*.pth'), net)
                    except:  # the first time
                        epoch = 1
                    loss.backward()
                    return epoch
                """,
            after="""
                import helpers


                def run(folder, net, loss):
                    try:
                        epoch = helpers.restore(helpers.latest(folder, 'G_*.pth'), net)
                    except IndexError:  # the first time
                        epoch = 1
                    loss.backward()
                    return epoch
                """,
            path="train_net.py",
            others=_HELPER,
        ),
    )
    untouched: ClassVar = (
        # what is caught here may mean anything
        """
        def run(load, net, loss):
            try:
                load(net)
            except:
                pass
            loss.backward()
        """,
        """
        def run(files, load, net, loss):
            try:
                load(files[-1])
            except OSError:
                pass
            loss.backward()
        """,
    )

    def visit_Try(self, node: cst.Try) -> None:
        if not self.file.is_trainer or len(node.handlers) != 1 or node.handlers[0].type is not None:
            return
        if any(_indexes_found_files(self.file, call) for call in own_of_type(node.body, cst.Call)):
            handler = node.handlers[0]
            named = handler.with_changes(type=cst.Name("IndexError"), whitespace_after_except=cst.SimpleWhitespace(" "))
            self.replace(handler, named)


def _indexes_found_files(file: SourceFile, call: cst.Call) -> bool:
    """Whether a call reaches a function of the project that takes an item of what `glob.glob` found."""
    called = file.project.function(file.resolve(call.func))
    if called is None:
        return False
    other, function = called
    found = {
        name
        for assign in own_of_type(function.body, cst.Assign)
        for part in own_of_type(assign.value, cst.Call)
        if other.resolve(part.func) in ("glob.glob", "os.listdir") and (name := dotted(assign.targets[0].target))
    }
    return any(
        dotted(part.value) in found and isinstance(part.slice[0].slice, cst.Index)
        for part in own_of_type(function.body, cst.Subscript)
    )


class LoadFittingWeights(Rule):
    """Check that weights fit their network before they are loaded.

    `load_state_dict(..., strict=False)` passes over whatever does not fit, so a checkpoint of another version of the
    model starts a training from noise; one that cannot be read ends in a page of traceback. The runtime's check says
    in one sentence which file it is and what is wrong with it.
    """

    code = "RUN002"
    title = "load weights that fit"
    safety = Safety.EXACT
    message = "weights of another version, and files that are no checkpoints, are refused with one sentence"
    calls: ClassVar = ("load_state_dict",)
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def run(path, net, loss):
                    loss.backward()
                    net.load_state_dict(torch.load(path, map_location="cpu")["weight"], strict=False)
                    return net.bias
                """,
            after="""
                import torch
                from .. import training


                def run(path, net, loss):
                    loss.backward()
                    net.load_state_dict(training.weights(net, path, "weight", map_location="cpu"), strict=False)
                    return net.bias
                """,
            call="run(path, net, (x**2).sum())",
            inputs="""
                import tempfile
                x = torch.ones(2, requires_grad=True)
                net = torch.nn.Linear(2, 1)
                torch.nn.init.ones_(net.bias)
                path = tempfile.mkstemp()[1]
                torch.save({'weight': net.state_dict()}, path)
                """,
            path="train_net.py",
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def run(weights, net, loss):
            loss.backward()
            net.load_state_dict(weights)
        """,
        # several entries, or one that is not written down
        """
        import torch


        def run(path, net, loss, key):
            loss.backward()
            net.load_state_dict(torch.load(path)[key])
        """,
        # no trainer
        """
        import torch


        def load(path, net):
            net.load_state_dict(torch.load(path)['weight'])
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        found = method_call(node, "load_state_dict") if self.file.is_trainer else None
        if found is None or not node.args or node.args[0].star:
            return
        weights = node.args[0].value
        key: cst.BaseExpression | None = None
        loaded = weights
        if isinstance(weights, cst.Subscript):
            key, loaded = only_index(weights), weights.value
            if not isinstance(key, cst.SimpleString):
                return
        if not isinstance(loaded, cst.Call) or self.file.resolve(loaded.func) != "torch.load":
            return
        if any(map(is_plain, loaded.args[:1])):
            self.replace(weights, self._fitting(found[0], loaded, key))

    def _fitting(self, network: cst.BaseExpression, loaded: cst.Call, key: cst.BaseExpression | None) -> cst.Call:
        """The call of the runtime that gives the weights of a checkpoint, at a key of it, which fit a network."""
        path, *options = loaded.args
        given = [cst.Arg(network), cst.Arg(path.value)]
        if key is not None or options:
            given.append(cst.Arg(key if key is not None else cst.Name("None")))
        return loaded.with_changes(func=self.runtime("training.weights"), args=[*given, *options])


class ResumeFromFittingCheckpoint(Rule):
    """Check a checkpoint before a training is resumed from it.

    Helpers that restore a network tensor by tensor, and keep their own where the checkpoint's does not fit, resume
    from a checkpoint of another version with part of the network untrained. The runtime's check reads the file first,
    compares names and shapes, and gives the path back.
    """

    code = "RUN003"
    title = "resume from a checkpoint that fits"
    safety = Safety.EXACT
    message = "a torn checkpoint, and one of another version, are refused with one sentence"
    examples: ClassVar = (
        Example(
            before="""
                import helpers


                def run(folder, net, loss):
                    epoch = helpers.restore(helpers.latest(folder, 'G_*.pth'), net)
                    loss.backward()
                    return epoch
                """,
            after="""
                import helpers
                from .. import training


                def run(folder, net, loss):
                    epoch = helpers.restore(training.checked(helpers.latest(folder, 'G_*.pth'), net), net)
                    loss.backward()
                    return epoch
                """,
            path="train_net.py",
            others=_HELPER,
        ),
    )
    untouched: ClassVar = (
        """
        from helpers import restore


        def run(path, net, loss):
            restore(path, net)
            loss.backward()
        """,
        # it refuses what does not fit itself
        """
        import torch


        def restore(path, model):
            saved = torch.load(path)
            model.load_state_dict(saved['model'])


        def run(path, net, loss):
            restore(path, net)
            loss.backward()
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        called = self.file.project.function(self.file.resolve(node.func)) if self.file.is_trainer else None
        form = _tolerant_restore(*called) if called is not None else None
        if form is None or has_star(node):
            return
        path = argument(node, form[0][0], form[0][1])
        network = argument(node, form[1][0], form[1][1])
        if path is None or network is None or dotted(network) is None:
            return
        if self.file.calls_runtime(path, "training.checked"):
            return
        text = "__f(__p, __n)" if form[2] == "model" else f"__f(__p, __n, {form[2]!r})"
        self.replace(path, self.fill(text, f="training.checked", p=path, n=network))


_Parameter = tuple[str, int]


def _tolerant_restore(file: SourceFile, function: cst.FunctionDef) -> tuple[_Parameter, _Parameter, str] | None:
    """Of a function that loads a checkpoint and puts its tensors into a network one by one, keeping what does not
    fit: its parameters for path and network, and the key under which the checkpoint has the weights.
    """
    places = {p.name.value: i for i, p in enumerate(function.params.params)}
    weights = _loaded_weights(file, function, places)
    for attempt in own_of_type(function.body, cst.Try):
        assigned = chain.from_iterable(map(targets, own_of_type(attempt.body, cst.Assign)))
        filled = {dotted(target.value) for target in assigned if isinstance(target, cst.Subscript)}
        network = _loaded_with(function, filled) if attempt.handlers else None
        read = (weights.get(spelled(part.value)) for part in own_of_type(attempt.body, cst.Subscript))
        found = next(filter(None, read), None)
        if found is not None and network is not None and network in places:
            return (found[0], places[found[0]]), (network, places[network]), found[1]
    return None


def _loaded_weights(
    file: SourceFile, function: cst.FunctionDef, places: Mapping[str, int]
) -> dict[str, tuple[str, str]]:
    """Names that a function gives the weights of a checkpoint which it loads from a path that is a parameter.

    Each with that parameter, and the key under which the checkpoint has them.
    """
    loaded: dict[str | None, str] = {}  # name of what was loaded → parameter with its path
    weights: dict[str, tuple[str, str]] = {}
    for assign in own_of_type(function.body, cst.Assign):
        name = dotted(assign.targets[0].target)
        match assign.value:
            case cst.Call(func=func, args=[first, *_]) if name and file.resolve(func) == "torch.load":
                path = dotted(first.value)
                loaded |= {name: path} if path in places and path is not None else {}
            case cst.Subscript(value=value, slice=[cst.SubscriptElement(slice=cst.Index(value=index)), *_]) if name:
                key, source = text_of(index), loaded.get(dotted(value))
                weights |= {name: (source, key)} if key is not None and source is not None else {}
    return weights


def _loaded_with(function: cst.FunctionDef, names: set[str | None]) -> str | None:
    """The network, by its name, that a function loads a dictionary of one of these names into."""
    for call in own_of_type(function.body, cst.Call):
        found = method_call(call, "load_state_dict")
        if found is not None and call.args and dotted(call.args[0].value) in names - {None}:
            return spelled(found[0]).removesuffix(".module")
    return None


_DEPTH = 3  # calls that a part of the config is followed through


class ReadWholeConfig(Rule):
    """Read the config with all keys that the run needs.

    Upstream notices a missing key where it is first read: some after minutes of loading and compiling, some when the
    first epoch is saved. The rule collects what the trainer reads of its config, and what the project's classes and
    functions read that are given a part of it; the runtime's check names the file and the keys that it lacks. Those
    that the sources compute with are numbers: a text in quotes is named, which a comparison would pass over.
    """

    code = "RUN004"
    title = "read the whole config first"
    safety = Safety.EXACT
    message = "keys that the run will read are checked when the config is, and a missing one is named with its file"
    examples: ClassVar = (
        Example(
            before="""
                import helpers

                hps = helpers.read_params()
                import torch


                def run(hps, net, loss):
                    for _ in range(hps.train.epochs):
                        loss.backward()
                    if hasattr(hps, "note"):
                        print(hps.note)
                    helpers.store(hps, net(hps.train.seed, **hps.model))


                def main():
                    run(hps, None, None)


                if __name__ == '__main__':
                    main()
                """,
            after="""
                import helpers
                from .. import training

                hps = training.read_config(
                    helpers.read_params,
                    (
                        "model", "out_dir",
                        "train.epochs", "train.seed",
                    ),
                    (
                        "train.epochs",
                    ),
                )
                import torch


                def run(hps, net, loss):
                    for _ in range(hps.train.epochs):
                        loss.backward()
                    if hasattr(hps, "note"):
                        print(hps.note)
                    helpers.store(hps, net(hps.train.seed, **hps.model))


                def main():
                    run(hps, None, None)


                if __name__ == '__main__':
                    main()
                """,
            path="train_net.py",
            others=_HELPER,
        ),
    )
    untouched: ClassVar = (
        """
        import somewhere

        hps = somewhere.read_params()


        def run(hps, loss):
            loss.backward()
            return hps.train.seed
        """,
        # no config file is read
        """
        def defaults():
            return {}


        hps = defaults()


        def run(loss):
            loss.backward()
            return hps.train.seed
        """,
    )

    def visit_Assign(self, node: cst.Assign) -> None:
        name, call = dotted(only_target(node)), node.value
        if not self.file.is_trainer or self.file.function(node) is not None or name is None:
            return
        found = self.file.project.function(self.file.resolve(call.func)) if isinstance(call, cst.Call) else None
        if found is None or not isinstance(call, cst.Call) or not _reads_json(*found):
            return
        use = self.file.project.fact(ConfigUse)
        keys = longest(use.keys(self.file, self.file.module, name, _DEPTH))
        numbers = sorted(use.numbers(self.file, self.file.module, name, _DEPTH) - {""})
        if keys:
            self.replace(call, self._reading(call, keys, numbers))

    def _reading(self, call: cst.Call, keys: list[str], numbers: list[str]) -> cst.Call:
        """The call of the runtime that reads a configuration, of which the trainer asks for these keys."""
        read = self.fill("lambda: __c", c=call) if call.args else call.func
        given = [read, *(cst.parse_expression(listing(told)) for told in (keys, numbers) if told)]
        layout = cst.parse_expression("f(\n    a,\n" + "    b,\n" * (len(given) - 1) + ")")
        assert isinstance(layout, cst.Call)
        args = [arg.with_changes(value=value) for arg, value in zip(layout.args, given, strict=True)]
        return layout.with_changes(func=self.runtime("training.read_config"), args=args)


def _reads_json(file: SourceFile, function: cst.FunctionDef) -> bool:
    return any(
        file.resolve(call.func) in ("json.load", "json.loads", "yaml.safe_load", "yaml.load")
        for call in own_of_type(function.body, cst.Call)
    )


class CheckDatasetFirst(Rule):
    """Check the dataset before it is loaded.

    Upstream's dataset passes over clips whose feature file is missing, and puts silence in the place of one that
    cannot be loaded; NaN in a file makes a network of NaN. The runtime's check reads the folder as upstream's tools
    write it (`2-name2text.txt`, `4-cnhubert`, `5-wav32k`, `7-sv_cn`) and names the first file that is wrong. Where the
    dataset has a method that reads a file of `5-wav32k`, one clip is read with that, too.
    """

    code = "RUN005"
    title = "check the dataset first"
    safety = Safety.EXACT
    message = "a missing or broken file of the dataset is named before anything compiles"
    examples: ClassVar = (
        Example(
            before="""
                from module.data import Clips


                def run(hps, loss):
                    # all clips
                    data = Clips(hps.data, version=hps.model.version, val=True)
                    loss.backward()
                    return data
                """,
            after="""
                from module.data import Clips
                from .. import training


                def run(hps, loss):
                    # all clips
                    training.check_dataset(hps.data, version=hps.model.version)
                    data = Clips(hps.data, version=hps.model.version, val=True)
                    loss.backward()
                    return data
                """,
            path="train_net.py",
            others={
                "module/data.py": """
                    class Clips:
                        def __init__(self, params, version=None, val=False):
                            self.texts = "%s/2-name2text.txt" % params.exp_dir
                    """
            },
        ),
        Example(
            before="""
                from module.data import Clips


                def run(hps, loss):
                    data = Clips(hps.data)
                    loss.backward()
                    return data
                """,
            after="""
                from module.data import Clips
                from .. import training


                def run(hps, loss):
                    training.check_dataset(hps.data)
                    data = Clips(hps.data)
                    training.check_sample(data, data.read)
                    loss.backward()
                    return data
                """,
            path="train_net.py",
            others={
                "module/data.py": """
                    class Clips:
                        def __init__(self, params):
                            self.texts = "%s/2-name2text.txt" % params.exp_dir
                            self.sounds = "%s/5-wav32k" % params.exp_dir

                        def __getitem__(self, name):
                            return self.read("%s/%s" % (self.sounds, name))

                        def read(self, path):
                            return open(path).read()
                    """
            },
        ),
    )
    untouched: ClassVar = (
        """
        class Clips:
            def __init__(self, params):
                self.texts = params.exp_dir + '/list.txt'


        def run(hps, loss):
            data = Clips(hps.data)
            loss.backward()
            return data
        """,
    )

    def visit_Assign(self, node: cst.Assign) -> None:
        line, call = self.file.alone(node), node.value
        if not self.file.is_trainer or line is None or not isinstance(call, cst.Call):
            return
        constructors = list(callees(self.file, call.func))
        if not constructors or not all(_reads_texts(f) for _, f in constructors):
            return
        if not any(map(is_plain, call.args[:1])) or self.file.follows_runtime(line, "training.check_dataset"):
            return
        version = argument(call, "version")
        made = cst.Call(self.runtime("training.check_dataset"), [cst.Arg(call.args[0].value)])
        check = made if version is None else with_keywords(made, version=version)
        lines = [
            cst.SimpleStatementLine([cst.Expr(check)]),
            line.with_changes(leading_lines=[]),
            *self._sample(dotted(only_target(node)), constructors),
        ]
        self.replace(line, lines)

    def _sample(
        self, name: str | None, constructors: Sequence[tuple[SourceFile, cst.FunctionDef]]
    ) -> Iterator[cst.SimpleStatementLine]:
        """The line that reads a sound of the dataset with this name, where one method of all its classes reads them."""
        readers = {_reader(file, function) for file, function in constructors}
        if name is not None and len(readers) == 1 and None not in readers:
            sample = self.fill(f"__f({name}, {name}.{readers.pop()})", f="training.check_sample")
            yield cst.SimpleStatementLine([cst.Expr(sample)])


def _reads_texts(function: cst.FunctionDef) -> bool:
    """Whether a constructor reads the folder that upstream's tools prepare."""
    return any(
        isinstance(n, cst.SimpleString) and "2-name2text.txt" in str(n.evaluated_value) for n in descendants(function)
    )


def _reader(file: SourceFile, constructor: cst.FunctionDef) -> str | None:
    """The method of a dataset that is given the path of a file below the folder of sounds, and nothing else."""
    owner = file.owner(constructor)
    if owner is None:
        return None
    assigns = [a for a in own_of_type(constructor.body, cst.Assign) if _names_sounds(a.value)]
    given = chain.from_iterable(map(targets, assigns))
    folders = {dotted(target) for target in given if type(target) is cst.Attribute} - {None}
    known = {function.name.value for function in functions(owner)}
    for call in descendants(owner.body):
        match call:
            case cst.Call(func=func, args=[cst.Arg(keyword=None, value=value)]) if of_self(func) in known:
                if not folders.isdisjoint(map(dotted, descendants(value))):
                    return of_self(func)
    return None


def _names_sounds(value: cst.BaseExpression) -> bool:
    """Whether an expression has the name of the folder of sounds in it."""
    texts = (n for n in descendants(value) if isinstance(n, cst.SimpleString))
    return any("5-wav32k" in str(text.evaluated_value) for text in texts)
