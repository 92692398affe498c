"""`vecsmith doctor`: what is wrong with an environment, a model or an index, and the command that mends it."""

import json
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vecsmith.cli.finding import Finding
from vecsmith.cli.options import JSON

__all__ = ["command"]

MARKS = {"ok": "ok  ", "note": "note", "problem": "BAD "}


def command(
    path: Annotated[
        str | None, typer.Argument(metavar="[PATH]", help="A model, an index or a forge output; none: this machine.")
    ] = None,
    install: Annotated[
        str | None, typer.Option(help="Install what no extra brings: smol, a small language model.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Say what is wrong here and the command that mends it; exit code 0 where nothing is, 4 otherwise.

    \b
    vecsmith doctor
    vecsmith doctor demo-output/index
    """
    findings = list(_findings(path) if install is None else _installed(install, path))
    bad = [finding for finding in findings if finding.state == "problem"]
    if as_json:
        print(json.dumps({"ok": not bad, "findings": list(map(asdict, findings))}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(findings)))
        notes = sum(finding.state == "note" for finding in findings)
        print(f"\n{_count(len(bad), 'problem')}, {_count(notes, 'note')}, {len(findings)} checks")
    if bad:
        raise typer.Exit(4)


def _installed(name: str, path: str | None) -> Iterable[Finding]:
    from vecsmith.cli.doctor_install import install
    from vecsmith.errors import UsageError

    if path is not None:
        raise UsageError(f"--install installs {name}, and looks at no {path}; call the two one after the other")
    return install(name)


def _findings(path: str | None) -> Iterable[Finding]:
    if path is None:
        from vecsmith.cli.doctor_environment import environment_findings

        return environment_findings()
    from vecsmith.cli.doctor_folders import folder_findings
    from vecsmith.models.names import known_names, resolve_name

    is_name = path in ("default", *known_names()) and not Path(path).exists()
    return folder_findings(resolve_name(path), path) if is_name else folder_findings(Path(path))


def _lines(findings: list[Finding]) -> Iterable[str]:
    """A line per finding, wrapped to 80 columns; the way out below it."""
    width = min(24, max(len(finding.subject) for finding in findings))
    for finding in findings:
        head = f"{MARKS[finding.state]}  {finding.subject:<{width}}  "
        indent = " " * (8 + width)
        for line in finding.words.splitlines():
            yield textwrap.fill(
                line, 80, initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
            head = indent
        if finding.mend and finding.state != "ok":
            yield f"{indent}-> {finding.mend}"  # never wrapped: it is copied


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
