"""Findings in the forms that other programs read: SARIF, GitHub's annotations, JUnit's XML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import click

from ..package.store import TOOL
from ..views.sarif import About, Finding, sarif_log
from ..views.visible import visible
from .output import print_log

if TYPE_CHECKING:
    from ..package.manifest import UpstreamRecord
    from .forms import Form

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def log(
    form: Form,
    command: str,
    findings: Sequence[Finding],
    rules: Sequence[About],
    upstream: UpstreamRecord,
    scope: str = "ported",
    looked_at: Sequence[str] = (),
) -> None:
    """Print the findings of `command` on stdout. `looked_at` are files where something could have been found."""
    if form == "sarif":
        print_log(sarif_log(command, findings, rules, upstream, scope))
    else:
        print_findings(form, command, findings, looked_at)


def print_findings(form: Form, command: str, findings: Sequence[Finding], looked_at: Sequence[str]) -> None:
    """Print them on stdout, as GitHub's annotations or as JUnit's XML."""
    text = workflow_commands(findings) if form == "github" else junit(command, findings, looked_at)
    click.echo(text, nl=False)


def workflow_commands(findings: Sequence[Finding]) -> str:
    """Workflow commands of GitHub Actions, a line for each finding that counts; waived ones do not."""
    return "".join(
        f"::{_COMMANDS[f.level]} {_properties(f)}::{_escaped(f.message)}\n"
        for f in findings
        if f.level in _COMMANDS and f.waiver is None
    )


def junit(command: str, findings: Sequence[Finding], looked_at: Sequence[str]) -> str:
    """One test suite: a test for each finding, and one that passes for each place of `looked_at` without any.

    Errors fail, what is waived counts as skipped with its reason, and all else passes.
    """
    found = {finding.path for finding in findings}
    suite = ElementTree.Element("testsuite", name=f"{TOOL} {command}")
    for finding in findings:
        name = f"{finding.code} at line {finding.line}" if finding.line else finding.code
        case = _case(suite, finding.path, name)
        if finding.line:
            case.set("line", str(finding.line))
        if finding.waiver is not None:
            ElementTree.SubElement(case, "skipped", message=visible(finding.waiver.reason))
        elif finding.level in ("error", "warning"):
            failure = ElementTree.SubElement(case, "failure", message=visible(finding.message), type=finding.level)
            failure.text = visible(f"{_place(finding)}: {finding.code} {finding.message}")
    for path in looked_at:
        if path not in found:
            _case(suite, path, command)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suite.set("errors", "0")
    whole = ElementTree.Element("testsuites")
    whole.append(suite)
    ElementTree.indent(whole)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(whole, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, path: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=visible(path), name=visible(name))


def _place(finding: Finding) -> str:
    return f"{finding.path}:{finding.line}" if finding.line else finding.path


def _properties(finding: Finding) -> str:
    """File, line and title of a workflow command; commas and colons would end a value."""
    told = {"title": f"{TOOL} ({finding.code})"}
    if finding.line:
        told = {"file": finding.path, "line": str(finding.line), **told}
    return ",".join(f"{name}={_escaped(value).replace(':', '%3A').replace(',', '%2C')}" for name, value in told.items())


def _escaped(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
