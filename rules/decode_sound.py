"""Sounds are read without ffmpeg where it would change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import libcst as cst

from porter.analysis.module_uses import asked_in_functions
from porter.analysis.project import SourceFile
from porter.rule import Example, Rule, Safety
from porter.syntax.predicates import is_plain, only_index, only_target
from porter.syntax.walk import dotted, own_names, own_of_type

_BEFORE = """import ffmpeg
import numpy as np


def load(file, rate):
    out, _ = (
        ffmpeg.input(file, threads=0)
        .output("-", format="f32le", acodec="pcm_f32le", ac=1, ar=rate)
        .run(cmd=["ffmpeg", "-nostdin"], capture_stdout=True, capture_stderr=True)
    )
    return np.frombuffer(out, np.float32)
"""
_AFTER = """from .. import training
ffmpeg = training.import_later("ffmpeg")
import numpy as np


def load(file, rate):
    out, _ = (
        training.decoded(file, rate)
    )
    return np.frombuffer(out, np.float32)
"""
_USER = {"module/data.py": "from helpers import load\n\n\ndef f(x):\n    return load(x, 32000)\n"}


class DecodeSound(Rule):
    """Read sounds that are what the loader wants without ffmpeg.

    Upstream's loader starts the command ffmpeg for each clip and step, through a package of its own, to make one
    channel of float32 at the model's rate. Its own tools write just that beforehand, in 16 bits, and dividing them by
    32768 is all that ffmpeg then does. The runtime reads such a file itself, with the same samples to the bit, and runs
    the command for all others; where it is not installed that is one sentence.
    """

    code = "RUN006"
    title = "read sounds without ffmpeg"
    safety = Safety.EXACT
    message = "a file that already has one channel at that rate is read as it stands; others take the command ffmpeg"
    fixes_hazard = False
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_AFTER,
            path="helpers.py",
            others=_USER,
        ),
        Example(  # inside the folder, by another name
            before="""
                import ffmpeg as f


                def load(file, rate):
                    return f.input(file).output('pipe:', f='f32le', ac=1, ar=str(rate)).run(capture_stdout=True)[0]
                """,
            after="""
                from . import training
                f = training.import_later("ffmpeg")


                def load(file, rate):
                    return training.decoded(file, str(rate))[0]
                """,
        ),
    )
    untouched: ClassVar = (
        # two channels, integers, options of other kinds, errors that somebody tells apart
        """
        import ffmpeg


        def load(f, r):
            return ffmpeg.input(f).output('-', format='f32le', ac=2, ar=r).run(capture_stdout=True)[0]
        """,
        """
        import ffmpeg


        def load(f, r):
            return ffmpeg.input(f).output('-', format='s16le', ac=1, ar=r).run(capture_stdout=True)[0]
        """,
        """
        import ffmpeg


        def load(f, r):
            return ffmpeg.input(f, ss=3).output('-', format='f32le', ac=1, ar=r).run(capture_stdout=True)[0]
        """,
        """
        import ffmpeg


        def load(f, r):
            return ffmpeg.input(f).output('-', format='f32le', ac=1, ar=r, af='volume=2').run(capture_stdout=True)[0]
        """,
        """
        import ffmpeg


        def load(f, r):
            return ffmpeg.input(f).output('-', format='f32le', ac=1, ar=r).run()
        """,
        """
        import ffmpeg


        def load(f, r):
            try:
                return ffmpeg.input(f).output('-', format='f32le', ac=1, ar=r).run(capture_stdout=True)[0]
            except ffmpeg.Error:
                return None
        """,
    )

    def visit_Import(self, node: cst.Import) -> None:
        line = self.file.alone(node)
        bound = _bound_to_ffmpeg(node)
        if line is None or bound is None or self.file.parent(line) is not self.file.module:
            return
        uses = asked_in_functions(self.file, bound.value)
        calls = [n for n in self.file.index.of_type(cst.Call) if decoding(self.file, n) is not None]
        inside = {name for call in calls for name in own_of_type(call.func, cst.Name)}
        if uses and inside.issuperset(uses):
            later = self.fill("__f(__n)", f="training.import_later", n=cst.SimpleString('"ffmpeg"'))
            self.replace(line, [cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(bound)], later)])])

    def visit_Call(self, node: cst.Call) -> None:
        found = decoding(self.file, node)
        if found is not None:
            self.replace(node, self.fill("__f(__p, __r)", f="training.decoded", p=found[0], r=found[1]))


def _bound_to_ffmpeg(node: cst.Import) -> cst.Name | None:
    """The name that `import ffmpeg` binds, with or without another one."""
    match node.names:
        case [cst.ImportAlias(name=cst.Name(value="ffmpeg") as name, asname=None)]:
            return name
        case [cst.ImportAlias(name=cst.Name(value="ffmpeg"), asname=cst.AsName(name=cst.Name() as name))]:
            return name
    return None


def decoding(file: SourceFile, node: cst.Call) -> tuple[cst.BaseExpression, cst.BaseExpression] | None:
    """File and rate, where a call runs ffmpeg for one channel of float32 and takes its standard output alone."""
    calls = _piped(node)
    if calls is None or not _takes_output(file, node) or not _takes_stdout_alone(node) or _tells_errors(file):
        return None
    path, rate = _path(file, calls[0]), _rate_of_floats(calls[1])
    return (path, rate) if path is not None and rate is not None else None


def _piped(node: cst.Call) -> tuple[cst.Call, cst.Call] | None:
    """The calls of `input` and `output` in `ffmpeg.input(…).output(…).run()`."""
    match node.func:
        case cst.Attribute(
            attr=cst.Name(value="run"), value=cst.Call(func=cst.Attribute() as func, args=[_, *_]) as piped
        ):
            match func:
                case cst.Attribute(attr=cst.Name(value="output"), value=cst.Call(args=[_, *_]) as inner):
                    return inner, piped
    return None


def _path(file: SourceFile, call: cst.Call) -> cst.BaseExpression | None:
    """The file that a call of `ffmpeg.input` reads, all of it."""
    given = _keywords(call.args[1:])
    whole = given is not None and given.keys() <= {"threads"} and is_plain(call.args[0])
    return call.args[0].value if whole and file.resolve(call.func) == "ffmpeg.input" else None


def _rate_of_floats(call: cst.Call) -> cst.BaseExpression | None:
    """The rate, where an output to a pipe is asked for one channel of raw float32 and nothing else."""
    made = _keywords(call.args[1:])
    if made is None or _text(call.args[0].value) not in ("-", "pipe:", "pipe:1"):
        return None
    kinds = [_text(made.pop(name)) for name in ("format", "f") if name in made]
    codec = _text(made.pop("acodec", cst.SimpleString("'pcm_f32le'")))
    channels, rate = made.pop("ac", None), made.pop("ar", None)
    one = isinstance(channels, cst.Integer) and channels.value == "1"
    return rate if kinds == ["f32le"] and codec == "pcm_f32le" and one and not made else None


def _takes_stdout_alone(run: cst.Call) -> bool:
    """Whether a run is of the plain command, and gives back what that writes."""
    started = _keywords(run.args)
    if started is None:
        return False
    others = started.keys() - {"capture_stdout", "cmd", "capture_stderr", "quiet"}
    takes = dotted(started.get("capture_stdout", cst.Name("False"))) == "True"
    return takes and _plain_command(started.get("cmd")) and not others


def _keywords(arguments: Sequence[cst.Arg]) -> dict[str, cst.BaseExpression] | None:
    """Arguments by keyword; None where one has none."""
    found = {arg.keyword.value: arg.value for arg in arguments if arg.keyword is not None and not arg.star}
    return found if len(found) == len(arguments) else None


def _text(node: cst.BaseExpression) -> str | None:
    return str(node.evaluated_value) if isinstance(node, cst.SimpleString) else None


def _plain_command(node: cst.BaseExpression | None) -> bool:
    """Whether that is the command ffmpeg with no options but such as say nothing about the sound."""
    if node is None or _text(node) == "ffmpeg":
        return True
    if not isinstance(node, (cst.List, cst.Tuple)) or not node.elements:
        return False
    words = [_text(element.value) for element in node.elements]
    return words[0] == "ffmpeg" and set(words[1:]) <= {"-nostdin", "-hide_banner"}


def _takes_output(file: SourceFile, node: cst.Call) -> bool:
    """Whether only the first of standard output and standard error is used: `out, _ = …` or `…[0]`."""
    parent = file.parent(node)
    index, target = only_index(parent), only_target(parent)
    if index is not None:
        return isinstance(index, cst.Integer) and index.value == "0"
    names = [dotted(e.value) for e in target.elements] if isinstance(target, (cst.Tuple, cst.List)) else []
    if len(names) != 2 or names[1] is None:
        return False
    return all(_is_assigned(file, n) for n in own_names(file.space(node)).get(names[1], ()))


def _is_assigned(file: SourceFile, name: cst.Name) -> bool:
    element = file.parent(name)
    target = file.parent(element) if isinstance(element, cst.Element) else None
    return isinstance(target, (cst.Tuple, cst.List)) and isinstance(file.parent(target), cst.AssignTarget)


def _tells_errors(file: SourceFile) -> bool:
    """Whether the file names the class of ffmpeg's errors, so that others would not be caught as they are."""
    return any(type(n) is cst.Attribute and file.resolve(n) == "ffmpeg.Error" for n in file.index.nodes)
