"""The terminal's side of `review`: one hunk on the screen, one key a decision."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from ..changes.decisions.editing import edited
from ..changes.decisions.model import What
from ..changes.decisions.splicing import lines_for
from ..changes.decisions.walk import TO_DO
from ..changes.decisions.writing import write
from ..errors import PortError
from ..views.console import screen_console
from ..views.review import print_help, print_hunk, print_rule_texts

if TYPE_CHECKING:
    from rich.console import Console

    from ..changes.decisions.walk import Walk
    from ..changes.hunks import Hunk

_UP, _DOWN = ("\x1b[A", "\x1bOA", "k"), ("\x1b[B", "\x1bOB", "j")
_PAGE_UP, _PAGE_DOWN = ("\x1b[5~",), ("\x1b[6~", " ")
_NEXT, _BACK = ("s", "n", "\x1b[C", "\x1bOC"), ("b", "p", "\x1b[D", "\x1bOD")
_QUIT = ("q", "\x04", "")  # an empty read: the terminal is gone


class _ResizedError(Exception):
    """The terminal has another size now."""


def ask(walk: Walk, file: Path, folders: Sequence[Path] = ()) -> None:
    """Ask about each hunk of `walk` from where it stands; every decision is in `file` before the next question.

    `folders` hold rules of the user's own.
    """
    with _Screen() as screen:
        asking = _Asking(screen, walk, file, folders)
        while walk.hunk is not None:
            asking.top = screen.show(walk, walk.hunk, asking.top, asking.message)
            key = screen.key()
            if key is None:
                continue
            if key in _QUIT:
                return
            asking.message = ""
            asking.answer(walk.hunk, key)


@dataclass(slots=True)
class _Asking:
    """Where the questions stand: the first row that is shown, what there is to say, and what was searched for."""

    screen: _Screen
    walk: Walk
    file: Path
    folders: Sequence[Path]
    top: int = 0
    message: str = ""
    sought: str = ""

    def answer(self, hunk: Hunk, key: str) -> None:
        """Do what a key says."""
        rows = self._rows(key)
        if rows is not None:
            self.top += rows
        elif key in _NEXT or key in _BACK:
            self._go(max(0, self.walk.at + (1 if key in _NEXT else -1)))
        elif key == "?":
            self.screen.page(print_help)
        elif key == "t":
            self.screen.page(partial(print_rule_texts, codes=hunk.rules, folders=self.folders))
        elif key == "/":
            self._search()
        elif key in ("A", "R"):
            self._decide_alike(hunk, "accept" if key == "A" else "reject")
        else:
            self._decide(hunk, key)

    def _rows(self, key: str) -> int | None:
        """How many rows a key moves the hunk by, None where it is another key."""
        page = max(1, self.screen.height - 6)
        moves = ((_UP, -1), (_DOWN, 1), (_PAGE_UP, -page), (_PAGE_DOWN, page))
        return next((rows for keys, rows in moves if key in keys), None)

    def _go(self, at: int) -> None:
        self.walk.at, self.top = at, 0

    def _search(self) -> None:
        self.sought = self.screen.line("Search for (nothing: again)") or self.sought
        at = self.walk.find(self.sought) if self.sought else None
        if at is None and self.sought:
            self.message = f"no hunk has {self.sought!r}"
        self._go(self.walk.at if at is None else at)

    def _decide_alike(self, hunk: Hunk, what: What) -> None:
        before = self.walk.decisions
        self.message = _decide_alike(self.screen, self.walk, hunk, what)
        if self.walk.decisions != before:
            write(self.file, self.walk.decisions)
            self._go(next((i for i, h in enumerate(self.walk.hunks) if self.walk.state(h) in TO_DO), self.walk.at))

    def _decide(self, hunk: Hunk, key: str) -> None:
        before = self.walk.decisions
        told = _decide(self.screen, self.walk, hunk, key)
        if told is None:
            return
        self.message = told
        if not told:
            if self.walk.decisions != before:
                write(self.file, self.walk.decisions)
            self._go(self.walk.at + (key != "u"))


def _decide(screen: _Screen, walk: Walk, hunk: Hunk, key: str) -> str | None:
    """Do what a key says; None where nothing was decided, else why it may not be, or ""."""
    if key == "a":
        return walk.decide(hunk, "accept")
    if key == "r":
        return walk.decide(hunk, "reject")
    if key == "w":
        reason = screen.line("Why is it no hazard? (nothing: go back)")
        return walk.decide(hunk, "reject", reason=reason) if reason else None
    if key == "u":
        return walk.undo(hunk) if walk.told(hunk) is not None else "nothing was decided here"
    if key == "e":
        return _edit(screen, walk, hunk)
    return f"{key!a} means nothing here" if key.isprintable() else None


def _decide_alike(screen: _Screen, walk: Walk, hunk: Hunk, what: What) -> str:
    """Decide the same about all undecided hunks of a rule or of a file; what came of it, in words."""
    rule, file = walk.alike(hunk, "rule"), walk.alike(hunk, "file")
    offered = f"r: {len(rule)} of {' and '.join(hunk.rules)}, f: {len(file)} of {hunk.target} (nothing: go back)"
    answer = screen.line(f"{what.capitalize()} all undecided hunks? {offered}").lower()
    chosen = {"r": rule, "f": file}.get(answer)
    if not chosen:
        return "" if chosen is None else "none is undecided"
    refused = [why for other in chosen if (why := walk.decide(other, what))]
    done = f"{len(chosen) - len(refused)} {_DONE[what]}"
    return f"{done}; {len(refused)} cannot be: {refused[0]}" if refused else done


_DONE: dict[What, str] = {"accept": "accepted", "reject": "rejected"}


def _edit(screen: _Screen, walk: Walk, hunk: Hunk) -> str | None:
    """Let a person write the lines of a hunk; as `_decide`. What may not be is kept for the next try."""
    told = walk.told(hunk)
    before = "".join(lines_for(hunk, told) if told is not None and told.what == "edit" else hunk.new)
    before = screen.drafts.get(hunk.key, before.replace("\r\n", "\n"))
    try:
        with screen.left():
            text = edited(before, hunk.target)
    except PortError as error:
        return str(error)
    if text is None and hunk.key not in screen.drafts:
        return "nothing was changed"
    text = before if text is None else text
    screen.drafts.pop(hunk.key, None)
    if text == "".join(hunk.new).replace("\r\n", "\n"):
        return "these are the rules' own lines; press a to accept them"
    if text == "".join(hunk.old).replace("\r\n", "\n"):
        return "these are upstream's own lines; press r or w to reject the rewrite"
    why = walk.decide(hunk, "edit", text=text)
    if why:
        screen.drafts[hunk.key] = text
        return f"{why}; press e to go on with your lines"
    return ""


class _Screen:
    """The terminal's second screen while a person decides; the first comes back whatever happens."""

    def __init__(self) -> None:
        self._console = screen_console()
        self._waiting = self._other_size = False
        self.drafts: dict[str, str] = {}  # by key of a hunk: lines that could not be taken

    @property
    def height(self) -> int:
        """Rows."""
        return self._console.size.height

    def show(self, walk: Walk, hunk: Hunk, top: int, message: str) -> int:
        """Draw a hunk; the first row that is shown."""
        self._other_size = False
        return print_hunk(self._console, walk, hunk, top, message)

    def key(self) -> str | None:
        """The next key, or None where the screen has to be drawn again. Ctrl-C is KeyboardInterrupt."""
        try:
            self._waiting = True
            if self._other_size:  # since this screen began to be drawn
                return None
            return click.getchar()
        except _ResizedError:
            return None
        except EOFError:
            return "q"
        finally:
            self._waiting = False

    def page(self, draw: Callable[[Console], None]) -> None:
        """Draw something else until a key is pressed."""
        draw(self._console)
        self.key()

    def line(self, question: str) -> str:
        """A line of text."""
        click.echo()
        return " ".join(str(click.prompt(question, default="", show_default=False)).split())

    @contextmanager
    def left(self) -> Iterator[None]:
        """The first screen, for another program."""
        self._console.set_alt_screen(False)
        try:
            yield
        finally:
            self._console.set_alt_screen(True)

    def __enter__(self) -> _Screen:
        self._console.set_alt_screen(True)
        self._before = signal.signal(signal.SIGWINCH, self._resized)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGWINCH, self._before)
        self._console.set_alt_screen(False)

    def _resized(self, _: int, __: FrameType | None) -> None:
        self._other_size = True
        if self._waiting:
            raise _ResizedError
