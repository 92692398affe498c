"""What several verbs share: the `--json` flag and where progress goes."""

from typing import Annotated

import typer

from vecsmith.progress import Bars, JsonEvents, Progress

__all__ = ["JSON", "progress_for"]

JSON = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, progress events on stderr.")]


def progress_for(as_json: bool) -> Progress:
    """Bars for people, JSON lines for programs; both on stderr."""
    return JsonEvents() if as_json else Bars()
