"""`vecsmith eval`: models on named tasks, beside published scores and against each other."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vecsmith.cli.options import JSON, progress_for

if TYPE_CHECKING:
    from vecsmith.evaluation.report import Report

__all__ = ["command"]


def command(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Names or folders of models.")],
    suite: Annotated[str, typer.Option(help="A suite or collection by name, or its YAML file.")] = "small_english",
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be given more than once.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder that the suite's paths start from; else VECSMITH_DATA.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Keep results here, a folder per model; a killed run goes on from them.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    json: JSON = False,
) -> int:
    """Judge models on named tasks, with intervals; the first is what the others are compared with.

    \b
    vecsmith eval default all-MiniLM-L6-v2 --data-root data
    vecsmith eval out/model default --task SciFact --output scores
    """
    from vecsmith.evaluation.evaluate import evaluate

    reports = []
    for model in models:
        folder = None if output is None else output / _folder_name(model)
        reports.append(
            evaluate(
                model, suite, tasks=task, data_root=data_root, output=folder, seed=seed, progress=progress_for(json)
            )
        )
    if json:
        print(_as_json(reports, seed))
    else:
        print(_as_text(reports, seed))
    return 0


def _folder_name(model: str) -> str:
    return re.sub(r"[^\w.-]+", "-", model).strip("-.") or "model"


def _as_text(reports: "list[Report]", seed: int) -> str:
    parts = [str(report) for report in reports]
    parts += [str(other.compare(reports[0], seed=seed)) for other in reports[1:]]
    return "\n\n".join(parts)


def _as_json(reports: "list[Report]", seed: int) -> str:
    from json import dumps

    comparisons = [other.compare(reports[0], seed=seed).to_dict() for other in reports[1:]]
    content = {"reports": [report.to_dict() for report in reports], "comparisons": comparisons}
    return dumps(content, ensure_ascii=False, allow_nan=False)
