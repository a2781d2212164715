"""Sounds are read without ffmpeg where it would change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import libcst as cst

from porter.analysis.module_uses import asked_in_functions
from porter.analysis.project import SourceFile
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import method_call
from porter.syntax.predicates import only_index, only_target
from porter.syntax.walk import dotted, own_of_type

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
    run = method_call(node, "run")
    piped = run[0] if run is not None else None
    output = method_call(piped, "output") if isinstance(piped, cst.Call) else None
    inner = output[0] if output is not None else None
    if not isinstance(piped, cst.Call) or not isinstance(inner, cst.Call):
        return None
    if file.resolve(inner.func) != "ffmpeg.input" or not _takes_output(file, node) or _tells_errors(file):
        return None
    path, given = _one_and_named(inner)
    pipe, made = _one_and_named(piped)
    started = _keywords(node.args)
    if path is None or pipe is None or given is None or made is None or started is None:
        return None
    if path.keyword is not None or path.star or _text(pipe.value) not in ("-", "pipe:", "pipe:1"):
        return None
    rate = _rate_of_floats(made)
    if rate is None or given.keys() - {"threads"} or not _takes_stdout_alone(started):
        return None
    return path.value, rate


def _one_and_named(call: cst.Call) -> tuple[cst.Arg | None, dict[str, cst.BaseExpression] | None]:
    """The first argument of a call, and the others by name."""
    return (call.args[0], _keywords(call.args[1:])) if call.args else (None, None)


def _rate_of_floats(made: dict[str, cst.BaseExpression]) -> cst.BaseExpression | None:
    """The rate, where options of an output ask for one channel of raw float32 and nothing else."""
    made = dict(made)
    kinds = [_text(made.pop(name)) for name in ("format", "f") if name in made]
    codec = _text(made.pop("acodec")) if "acodec" in made else "pcm_f32le"
    channels, rate = made.pop("ac", None), made.pop("ar", None)
    one = isinstance(channels, cst.Integer) and channels.value == "1"
    return rate if kinds == ["f32le"] and codec == "pcm_f32le" and one and not made else None


def _takes_stdout_alone(started: dict[str, cst.BaseExpression]) -> bool:
    """Whether a run is of the plain command, and gives back what that writes."""
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
    read = [n for n in own_of_type(file.space(node), cst.Name) if n.value == names[1]]
    return all(_is_assigned(file, n) for n in read)


def _is_assigned(file: SourceFile, name: cst.Name) -> bool:
    element = file.parent(name)
    target = file.parent(element) if isinstance(element, cst.Element) else None
    return isinstance(target, (cst.Tuple, cst.List)) and isinstance(file.parent(target), cst.AssignTarget)


def _tells_errors(file: SourceFile) -> bool:
    """Whether the file names the class of ffmpeg's errors, so that others would not be caught as they are."""
    return any(type(n) is cst.Attribute and file.resolve(n) == "ffmpeg.Error" for n in file.index.nodes)
