"""`sovits-port rules`: the rule book."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import PortError
from .completion import complete_codes
from .forms import Form, output_options, quiet_option
from .options import rules_option
from .output import is_quiet, print_json

if TYPE_CHECKING:
    from ..answers import FoundAnswer, FullRulesAnswer, RulesAnswer, TrialAnswer
    from ..answers.tool import FullRule, RuleRecord
    from ..rule import Rule

_LIKENESS = 0.65  # of a mistyped code and one that is suggested


@click.command()
@click.argument("codes", nargs=-1, metavar="[CODE]...", shell_complete=complete_codes)
@rules_option
@click.option(
    "--find", "name", metavar="NAME", help="What is done with torch.stft, F.pad or Tensor.item: hazards, and rules."
)
@click.option("--test", "tested", is_flag=True, help="Try the examples: those of CODE, of --rules, or of all rules.")
@quiet_option("With --test: print only what failed.")
@output_options("json", "markdown")
def rules(
    codes: tuple[str, ...],
    folders: tuple[Path, ...],
    name: str | None,
    tested: bool,
    form: Form,
) -> None:
    """List the rules, or tell some in full with their examples as diffs.

    CODE is a rule's, or a family's such as RNG, which lists its rules. Exit status 1 where --test finds something.
    """
    book = _book(folders)
    if name is None and tested:
        _test(codes, [rule for rule in book if rule.examples or not rule.ours], folders, form)
    elif name is None:
        _list(codes, book, form)
    elif codes or form == "markdown" or tested:
        raise PortError("--find tells of one name, so neither CODE, --markdown nor --test goes with it")
    else:
        _find(name, book, form)


def _list(codes: tuple[str, ...], book: list[type[Rule]], form: Form) -> None:
    picked = _picked(codes, book) if codes else book
    if form == "markdown":
        from ..views.rules_page import rules_page

        click.echo(rules_page(picked), nl=False)
    elif form == "json":
        _print_json(picked, full=bool(codes))
    elif not codes:
        from ..views.rules import print_book

        print_book(book)
    else:
        _print_chosen([(code.upper(), _meant(book, code)) for code in codes])


def _book(folders: tuple[Path, ...]) -> list[type[Rule]]:
    """All rules, with those that the engine brings along itself."""
    from ..codemod import rulebook
    from ..codemod.imports import RuntimeImport

    return sorted([*rulebook.load(folders).rules, RuntimeImport], key=lambda rule: rule.code)


def _picked(codes: tuple[str, ...], book: list[type[Rule]]) -> list[type[Rule]]:
    """The rules that these codes mean, each once."""
    return list(dict.fromkeys(rule for code in codes for rule in _meant(book, code)))


def _meant(book: list[type[Rule]], code: str) -> list[type[Rule]]:
    """The rule with this code, or those whose codes begin with it. PortError, naming near ones, if there is none."""
    wanted = code.upper()
    exact = [rule for rule in book if rule.code == wanted]
    found = exact or [rule for rule in book if wanted and rule.code.startswith(wanted)]
    if found:
        return found
    if code and Path(code).is_dir():
        raise PortError(f"{code} is a folder, where the code of a rule belongs; a folder of rules goes with --rules")
    raise PortError(f"no rule has the code {code!r}; {_instead(book, wanted)}")


def _instead(book: list[type[Rule]], wanted: str) -> str:
    """Which codes there are that are like another, or else which families."""
    near = get_close_matches(wanted, [rule.code for rule in book], n=3, cutoff=_LIKENESS)
    if near:
        last = f"{', '.join(near[:-1])} or {near[-1]}" if near[1:] else near[0]
        return f"did you mean {last}?"
    families = sorted({rule.code.rstrip("0123456789") for rule in book})
    return f"the families are {', '.join(families)}"


def _test(codes: tuple[str, ...], book: list[type[Rule]], folders: tuple[Path, ...], form: Form) -> None:
    """Try examples, and end with status 1 where one is not as it says."""
    from ..codemod.examples.trial import can_execute, try_rules
    from .progress import Progress

    own = [rule for rule in book if not rule.ours] if folders else book
    picked = _picked(codes, book) if codes else own
    results = []
    with Progress() as progress:
        for result in try_rules(picked, folders):
            results.append(result)
            progress.step(f"{result.rule}, {result.text}")
    if form == "json":
        trial: TrialAnswer = {"executed": can_execute(), "results": results}
        print_json("rules", trial)
    else:
        from ..views.rules import print_trial

        print_trial(results, executed=can_execute(), quiet=is_quiet())
    if not all(result.passed for result in results):
        click.get_current_context().exit(1)


def _find(name: str, book: list[type[Rule]], form: Form) -> None:
    """Tell what is done with a name."""
    from ..hazards.named import find

    found = find(name, [rule for rule in book if rule.examples])
    if form != "json":
        from ..views.rules import print_named

        print_named(found)
        return
    told: FoundAnswer = {
        "name": found.name,
        "hazards": [{"code": code, "reason": reason} for code, reason in found.hazards],
        "rules": [{**_short(use.rule), "before": use.before, "after": use.after} for use in found.uses],
    }
    print_json("rules", told)


def _print_json(picked: list[type[Rule]], *, full: bool) -> None:
    if full:
        whole: FullRulesAnswer = {"rules": [_full(rule) for rule in picked]}
        print_json("rules", whole)
    else:
        short: RulesAnswer = {"rules": [_short(rule) for rule in picked]}
        print_json("rules", short)


def _print_chosen(chosen: list[tuple[str, list[type[Rule]]]]) -> None:
    from ..views.rules import print_family, print_rule

    for number, (code, found) in enumerate(chosen):
        if number:
            click.echo()
        if found[0].code == code:
            print_rule(found[0])
        else:
            print_family(code, found)


def _short(rule: type[Rule]) -> RuleRecord:
    from ..views.rules import family

    return {
        "code": rule.code,
        "title": rule.title,
        "safety": rule.safety.value,
        "family": family(rule),
        "default": rule.safety.value != "changed",
    }


def _full(rule: type[Rule]) -> FullRule:
    from ..views.rules import can_be_kept_off, documentation

    return {
        **_short(rule),
        "message": rule.message,
        "documentation": documentation(rule),
        "examples": [{"before": e.before, "after": e.after} for e in rule.examples],
        "untouched": list(rule.untouched),
        "ignore": {"line": f"# port: ignore[{rule.code}]", "everywhere": f"--ignore {rule.code}"}
        if can_be_kept_off(rule)
        else None,
    }
