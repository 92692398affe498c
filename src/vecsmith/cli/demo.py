"""`vecsmith demo`: forge on the docstrings that this machine has."""

from pathlib import Path
from typing import Annotated

import typer

from vecsmith.cli.options import JSON, progress_for

__all__ = ["command"]


def command(
    output: Annotated[Path, typer.Option(help="Folder for the model, the index and the report.")] = Path("demo-output"),
    limit: Annotated[int | None, typer.Option(help="Read at most this many docstrings.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Start model; may be given more than once.")] = None,
    minutes: Annotated[float, typer.Option(help="Bound for fitting and judging.")] = 4.0,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 7,
    json: JSON = False,
) -> int:
    """Run the whole way on the docstrings of this machine: fit, judge, index, search.

    \b
    vecsmith demo
    vecsmith demo --limit 2000 --output small

    The docstrings of the standard library and of the installed packages are parsed, never imported.
    """
    from vecsmith.cli.forge import show
    from vecsmith.forging.run import forge

    report = forge(
        "docstrings:installed",
        output=output,
        limit=limit,
        models=tuple(model or ("default",)),
        minutes=minutes,
        seed=seed,
        questions=QUESTIONS,
        progress=progress_for(json),
    )
    return show(report, json)


QUESTIONS = (
    ("parse a date from text", None),
    ("read rows of a csv file", None),
    ("compute a hash of bytes", "kind in ('function', 'method') and length > 80"),
)
