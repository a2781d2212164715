"""The command `sovits-port`: finds the subcommand, and turns errors into one sentence and an exit status."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from inspect import cleandoc
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import click

from .. import __version__
from ..errors import PortError
from ..views.visible import visible
from .forms import json_asked

# Imported when asked for: libcst, rich and torch take longer to load than most commands run.
_COMMANDS = {
    "init": "porter.cli.init:init",
    "generate": "porter.cli.generate:generate",
    "check": "porter.cli.check:check",
    "diff": "porter.cli.diff:diff",
    "review": "porter.cli.review:review",
    "status": "porter.cli.status:status",
    "validate": "porter.cli.validate:validate",
    "record": "porter.cli.record:record",
    "bench": "porter.cli.bench:bench",
    "buckets": "porter.cli.buckets:buckets",
    "estimate": "porter.cli.estimate:estimate",
    "rules": "porter.cli.rules:rules",
    "doctor": "porter.cli.doctor:doctor",
}
_LONG = frozenset({"validate", "record", "bench", "estimate", "doctor"})  # these run models, and make garbage all along
_JSON = "porter.json"  # in a context's meta: whether the command line asks for JSON
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_PIPE_CLOSED = 141  # 128 + SIGPIPE
_TERMINATED = 143  # 128 + SIGTERM


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used; those that are not installed are not listed."""

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        """`lazy` maps a command's name to `module:function`."""
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, in the order in which a person needs them."""
        there = [name for name, place in self._lazy.items() if _installed(place)]
        return [*there, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in self._lazy or not _installed(self._lazy[cmd_name]):
            return super().get_command(ctx, cmd_name)
        if cmd_name in _LONG:
            gc.enable()
        module, _, name = self._lazy[cmd_name].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is asked for. UsageError for another, with what may have been meant."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            near = get_close_matches(name, self.list_commands(ctx), n=2)
            ctx.fail(f"there is no command {name!r}" + f"; did you mean {' or '.join(near)}?" * bool(near))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, each with the whole first sentence of its help."""
        names = self.list_commands(ctx)
        told = {name: command for name in names if (command := self.get_command(ctx, name)) is not None}
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_sentence(command.help)) for name, command in told.items()])

    def make_context(self, info_name: str | None, args: list[str], *given: Any, **extra: Any) -> click.Context:
        """The context of a run, which knows from the start whether JSON is asked for."""
        as_json = json_asked(args)
        with _usage_as_json(as_json):
            context = super().make_context(info_name, args, *given, **extra)
        context.meta[_JSON] = as_json
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; unusable input ends in one sentence and status 2, and in an object where JSON is asked for."""
        try:
            with _usage_as_json(ctx.meta[_JSON]):
                result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except PortError as error:
            _refuse(ctx, str(error))
            ctx.exit(2)
        except (KeyboardInterrupt, click.Abort):
            ctx.exit(_INTERRUPTED)
        except BrokenPipeError:
            _close_stdout()
            ctx.exit(_PIPE_CLOSED)
        except OSError as error:
            _say_error(_system_error(error))
            _close_stdout()
            ctx.exit(2)
        except MemoryError:
            _refuse(ctx, "there is not enough memory for this")
            ctx.exit(2)


@click.command(
    cls=LazyGroup,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="sovits-port")
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The configuration.  [default: the nearest sovits-port.toml or pyproject.toml with tool.sovits-port]",
)
@click.option("--no-config", is_flag=True, help="Read no configuration.")
@click.pass_context
def cli(context: click.Context, config: Path | None, no_config: bool) -> None:
    """Port GPT-SoVITS from CUDA to TPU by rewriting its own sources.

    UPSTREAM is a directory, a git repository or URL with @REV, or pypi:NAME==VERSION; sovits-port.toml may name it, and
    whatever else is asked for again and again. Exit status: 0 fine, 1 the command found something, 2 wrong usage or
    unusable input.
    """
    # What Python says of upstream's code, "\\d" in a string for example, is no business of ours.
    warnings.filterwarnings("ignore", category=SyntaxWarning)
    warnings.filterwarnings("ignore", message="invalid (escape|octal escape) sequence", category=DeprecationWarning)
    from .configuration import find, read
    from .defaults import defaults

    found = None if no_config else find(Path()) if config is None else read(config)
    if found is not None:
        context.default_map = defaults(found)


def main() -> NoReturn:
    """Run the command line and leave with its exit status."""
    signal.signal(signal.SIGTERM, _end)
    # Most commands build syntax trees that live to the end, which is soon: walking them for garbage is a fifth of it.
    gc.disable()
    atexit.register(gc.freeze)
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an arrow is no reason to fail where stdout is ASCII
    try:
        try:
            cli.main(prog_name="sovits-port")
        finally:
            sys.stdout.flush()  # what --help printed, before Python does it where nobody can tell
    except KeyboardInterrupt:  # before or after a command
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        _close_stdout()
        sys.exit(_PIPE_CLOSED)
    except OSError as error:
        _say_error(_system_error(error))
        _close_stdout()
        sys.exit(2)
    sys.exit(0)


def _installed(place: str) -> bool:
    try:
        return find_spec(place.partition(":")[0]) is not None
    except ModuleNotFoundError:
        return False


def _end(signal_number: int, frame: object) -> NoReturn:
    """Ends like Ctrl-C does: processes are stopped and temporary folders removed on the way out."""
    raise SystemExit(_TERMINATED)


@contextlib.contextmanager
def _usage_as_json(wanted: bool) -> Iterator[None]:
    """Print wrong usage as JSON too, where that is wanted; click tells it on stderr and ends with its status."""
    try:
        yield
    except click.UsageError as error:
        if wanted:
            from .output import print_error

            print_error(error.format_message(), error.exit_code)
        raise


def _refuse(context: click.Context, text: str) -> None:
    """One sentence on stderr, and an object on stdout where JSON is asked for."""
    _say_error(text)
    if context.meta[_JSON]:
        from .output import print_error

        print_error(" ".join(text.split()), 2)


def first_sentence(text: str | None) -> str:
    """The first sentence of a command's help, in one line."""
    line = " ".join(cleandoc(text or "").split("\n\n")[0].split())
    return f"{line.partition('. ')[0].rstrip('.')}."


def _say_error(text: str) -> None:
    """One sentence on stderr, in one line; nothing where there is no stderr either."""
    with contextlib.suppress(OSError):
        click.echo(f"sovits-port: error: {visible(' '.join(text.split()))}", err=True)


def _system_error(error: OSError) -> str:
    """What the system says, and of which file."""
    why = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {why}" if error.filename else f"cannot write the output: {why}"


def _open_streams() -> None:
    """Put something where Python has None: a stream that was closed by whoever started it. Status 2 without stdout."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115  # it stays open
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115
    if sys.stdout is None:
        _say_error("stdout is closed, so there is nowhere to print to")
        sys.exit(2)


def _close_stdout() -> None:
    """Send what is left to nowhere, so that Python's own flush at exit does not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
