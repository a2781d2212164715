"""Which exceptions of checks are taken, by whom."""

from __future__ import annotations

import libcst as cst
import pytest

from porter.analysis.catching import Catching
from porter.analysis.project import Project

CHECK = """import contextlib
import torch
from elsewhere import Odd, Words, quiet

words = Words("en")


class Bad(ValueError):
    pass


class Worse(Bad):
    pass


class Quiet:
    def __exit__(self, *told):
        return True


class Loud:
    def __exit__(self, *told):
        print(told)


@contextlib.contextmanager
def timed():
    print()
    yield


def check(x):
    if x.max() > 1:
        raise WHAT
    return x


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Identity()

    def forward(self, x):
        return check(x)


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = Net()
        self.count = 0

    def forward(self, x):
        AROUND
"""


def is_taken(around: str, what: str = "ValueError('x')") -> bool:
    body = around.replace("\n", "\n        ")
    project = Project.parse({"module/a.py": ("a.py", CHECK.replace("WHAT", what).replace("AROUND", body))})
    file = project.files["module/a.py"]
    check = next(n for n in file.index.nodes if isinstance(n, cst.If))
    return project.fact(Catching).takes(file, check)


def tried(handler: str, body: str = "check(x)") -> str:
    return f"try:\n    return {body}\n{handler}\n    return x"


@pytest.mark.parametrize(
    ("handler", "what"),
    [
        ("except:", "ValueError"),
        ("except ValueError:", "Worse('x') from None"),
        ("except Bad:", "Worse"),
        ("except (OSError, Exception) as error:", "KeyError(1)"),
        ("except IOError:", "FileNotFoundError"),
        ("except Odd:", "ValueError"),
        ("except ValueError:", "Odd()"),
        ("except* ValueError:", "ValueError"),
    ],
)
def test_handlers_take_their_class_and_those_below(handler: str, what: str) -> None:
    text = tried(handler) if "*" not in handler else "try:\n    x = check(x)\nexcept* ValueError:\n    x = 0\nreturn x"
    assert is_taken(text, what)


@pytest.mark.parametrize(
    ("handler", "what"),
    [("except KeyError:", "ValueError"), ("except Worse:", "Bad"), ("except (OSError, TypeError):", "Worse()")],
)
def test_others_go_on(handler: str, what: str) -> None:
    assert not is_taken(tried(handler), what)


@pytest.mark.parametrize(
    "around",
    [
        tried("except ValueError:", "self.layer(x)"),
        tried("except ValueError:", "[f(x) for f in [check]][0]"),
        tried("except ValueError:", "super().forward(x)"),
        "with contextlib.suppress(ValueError):\n    return self.layer(x)",
        "with Quiet():\n    return check(x)",
        "with quiet():\n    return check(x)",
        "try:\n    return check(x)\nfinally:\n    return x",
    ],
)
def test_callers_take_what_they_may_call(around: str) -> None:
    assert is_taken(around)


@pytest.mark.parametrize(
    "around",
    [
        "return check(x)",
        tried("except ValueError:", "x.view(-1).max()"),
        tried("except ValueError:", "Net()"),
        tried("except ValueError:", "words(x)"),
        tried("except ValueError:", "Words(x).layer(x)"),
        "try:\n    x = x + 1\nexcept ValueError:\n    return check(x)\nelse:\n    return check(x)",
        "with torch.no_grad(), Loud(), timed():\n    return check(x)",
        "quiet = torch.no_grad() if self.training else contextlib.nullcontext()\nwith quiet:\n    return check(x)",
        "with contextlib.suppress(KeyError):\n    return check(x)",
        "from rich.progress import Progress\nwith Progress(transient=True) as bar:\n    return check(x)",
    ],
)
def test_what_calls_no_check_takes_nothing(around: str) -> None:
    assert not is_taken(around)


@pytest.mark.parametrize("what", ["StopIteration", "SystemExit(1)", "KeyboardInterrupt"])
def test_python_itself_takes_what_controls_it(what: str) -> None:
    assert is_taken("return check(x)", what)


@pytest.mark.parametrize(("call", "taken"), [("", False), ("\n\n\ndef g(x):\n    return played(check, x)", True)])
def test_code_that_nothing_reaches_takes_nothing(call: str, taken: bool) -> None:
    text = CHECK.replace("WHAT", "ValueError").replace("AROUND", "return x")
    player = (
        "from module.a import check\n\n\ndef played(function, x):\n    try:\n        return check(x)\n"
        "    except Exception:\n        return function(x)\n\n\ndef used(x):\n    return x\n"
    )
    imports = "from player import played, used\n" + text + "\n\ndef f(x):\n    return used(x)\n" + call + "\n"
    project = Project.parse({"module/a.py": ("a.py", imports), "player.py": ("player.py", player)})
    file = project.files["module/a.py"]
    check = next(n for n in file.index.nodes if isinstance(n, cst.If))
    assert project.fact(Catching).takes(file, check) is taken
