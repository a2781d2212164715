"""Writing the top-level definitions of a module."""

from __future__ import annotations

from ..kinds import SIGNAL, Tensor
from ..writer import Writer


def define(w: Writer, text: str) -> None:
    """Top-level code, with the file's names of libraries in the places of `{t}`, `{nn}` and `{F}`."""
    spelled = (
        text.replace("{t}", w.torch).replace("{nn}", w.lib("torch.nn")).replace("{F}", w.lib("torch.nn.functional"))
    )
    w.before += [*spelled.strip("\n").splitlines(), "", ""]


def signal(w: Writer, name: str = "x", grad: bool = True) -> str:
    """A parameter of `forward` that is a signal."""
    return w.parameter(Tensor("float32", SIGNAL), "grad" if grad else "", name)


def wrapped(function: str, inner: str) -> str:
    """A call of a function with one argument; the argument alone where there is none."""
    return f"{function}({inner})" if function else inner
