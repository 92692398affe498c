"""`vecsmith forge`: flags in, the report's answer out."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vecsmith.cli.options import JSON, progress_for

__all__ = ["command", "show"]


def command(
    source: Annotated[str, typer.Argument(help="A folder of documents, a table, or docstrings:installed.")],
    output: Annotated[Path, typer.Option(help="Folder for the model, the index and the report.")],
    query: Annotated[str | None, typer.Option(help="Column that holds the query.")] = None,
    document: Annotated[str | None, typer.Option(help="Column that holds the document.")] = None,
    attributes: Annotated[str | None, typer.Option(help="Columns to filter by, comma separated.")] = None,
    group: Annotated[str | None, typer.Option(help="Column, file or folder never on both sides of the split.")] = None,
    ignore: Annotated[str | None, typer.Option(help="Columns to leave out, comma separated.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Your judgements: TSV of query, document_id, relevance.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Start model; may be given more than once.")] = None,
    minutes: Annotated[float, typer.Option(help="Bound for fitting and judging.")] = 10.0,
    prefer: Annotated[
        Literal["quality", "speed"], typer.Option(help="What decides where arms are too close to tell.")
    ] = "quality",
    gate: Annotated[
        Literal["better", "not-worse"] | None,
        typer.Option(help="Exit code 1 where the fitted model is not this, against its start."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Read at most this many documents.")] = None,
    refit: Annotated[bool, typer.Option("--refit", help="Fit anew even where few training pairs changed.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")] = False,
    json: JSON = False,
) -> int:
    """Your text to a fitted, judged, searchable model.

    \b
    vecsmith forge my-docs --output out
    vecsmith forge faq.csv --query question --document answer --output out

    The same command goes on where it was interrupted, and does nothing where nothing changed.
    """
    from vecsmith.forging.run import forge, plan_only

    options: dict[str, Any] = {
        "query": query,
        "document": document,
        "attributes": _names(attributes),
        "group": group,
        "ignore": _names(ignore),
        "labels": labels,
        "models": tuple(model or ("default",)),
        "minutes": minutes,
        "limit": limit,
        "seed": seed,
        "progress": progress_for(json),
    }
    if dry_run:
        _print_plan(plan_only(source, **options), json)
        return 0
    report = forge(source, output=output, prefer=prefer, gate=gate, refit=refit, **options)
    return show(report, json)


def show(report: dict[str, Any], as_json: bool) -> int:
    """Print the answer of a report; returns the exit code of its gate."""
    from vecsmith.forging.words import answer

    if as_json:
        import json

        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        print(answer(report))
    return 0 if report["gate"] is None or report["gate"]["passed"] else 1


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def _print_plan(plan: dict[str, Any], as_json: bool) -> None:
    from vecsmith.forging.words import plan_words

    if as_json:
        import json

        print(json.dumps(plan, indent=2, ensure_ascii=False))
    else:
        print(plan_words(plan))
