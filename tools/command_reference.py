"""The reference of all commands, as one page in Markdown, from the commands themselves.

python -m tools.command_reference > docs/commands.md
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from porter.cli import cli, first_sentence


def page() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="sovits-port", **cli.context_settings)
    names = cli.list_commands(context)
    lines = [
        "# Commands",
        "",
        "<!-- made by: python -m tools.command_reference > docs/commands.md -->",
        "",
        *_prose(cli.help),
        "",
        "All but `init` print one JSON object with `--json`, also for an error: [JSON](json.md) has their fields. "
        "Data goes to stdout, notes and progress to stderr; `-q` leaves the latter out.",
        "",
        "A shell completes commands, options, codes and cases: "
        '`eval "$(_SOVITS_PORT_COMPLETE=bash_source sovits-port)"` in '
        "`~/.bashrc`, `zsh_source` and `fish_source` for those shells.",
        "",
        *(f"- [`{name}`](#{name}): {first_sentence(_command(name, context).help)}" for name in names),
        "",
        *_table(cli, context),
    ]
    for name in names:
        command = _command(name, context)
        own = click.Context(command, info_name=name, parent=context, **command.context_settings)
        usage = " ".join(command.collect_usage_pieces(own))
        lines += ["", f"## {name}", "", f"`sovits-port {name} {usage}`", "", *_prose(command.help), ""]
        lines += _table(command, own)
    return "\n".join(lines) + "\n"


def _command(name: str, context: click.Context) -> click.Command:
    command = cli.get_command(context, name)
    assert command is not None
    return command


def _prose(text: str | None) -> Iterator[str]:
    for number, paragraph in enumerate(inspect.cleandoc(text or "").split("\n\n")):
        if number:
            yield ""
        yield " ".join(paragraph.replace("\b", "").split())


def _table(command: click.Command, context: click.Context) -> list[str]:
    """The options of a command, as its own --help shows them."""
    options = [option for option in command.get_params(context) if isinstance(option, click.Option)]
    rows = [record for option in options if (record := option.get_help_record(context)) is not None]
    cells = [(f"`{names}`".replace("|", "\\|"), " ".join(told.split()).replace("|", "\\|")) for names, told in rows]
    return ["| option | |", "|---|---|", *(f"| {names} | {told} |" for names, told in cells)]


if __name__ == "__main__":
    click.echo(page(), nl=False)
