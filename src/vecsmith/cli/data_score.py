"""`vecsmith data score`: a teacher scores every candidate of every record."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecsmith.cli.data_source import Data, SourceOptions, names, opened, parsed_range
from vecsmith.cli.options import JSON, progress_for
from vecsmith.progress import Progress

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset

__all__ = ["command"]


def command(
    data: Data,
    teacher: Annotated[str, typer.Option(help="A folder, or a name: of a model (embedder), smol (likelihood).")],
    kind: Annotated[str, typer.Option(help="What the teacher is: cross-encoder, embedder or likelihood.")],
    output: Annotated[Path, typer.Option(help="Folder of the dataset to make.")],
    scores: Annotated[Path | None, typer.Option(help="Folder where raw scores are kept; OUTPUT.scores.")] = None,
    normalise: Annotated[str, typer.Option(help="Per list: none, minmax, standard, softmax or rank.")] = "none",
    answers: Annotated[
        str | None, typer.Option(help="likelihood: positives, labels, or a table of query and answer. positives")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="likelihood: question, continuation, example, or text with {key}, {query}.")
    ] = None,
    key_tokens: Annotated[int | None, typer.Option(help="likelihood: most tokens of a candidate. 512")] = None,
    context: Annotated[int | None, typer.Option(help="likelihood: most tokens in all. 1024")] = None,
    dtype: Annotated[str | None, typer.Option(help="embedder, likelihood: float32 or bfloat16.")] = None,
    query: SourceOptions.Query = None,
    document: SourceOptions.Document = None,
    label: SourceOptions.Label = None,
    score: SourceOptions.Score = None,
    score_range: SourceOptions.ScoreRange = None,
    split_column: SourceOptions.SplitColumn = None,
    ignore: SourceOptions.Ignore = None,
    record_kind: Annotated[str | None, typer.Option(help="What the records are: retrieval, pair, scored.")] = None,
    format: SourceOptions.Format = None,
    split: SourceOptions.Split = None,
    limit: SourceOptions.Limit = None,
    collection: SourceOptions.Collection = None,
    data_root: SourceOptions.DataRoot = None,
    replace: Annotated[bool, typer.Option("--replace", help="Exchange a dataset that is there.")] = False,
    json: JSON = False,
) -> None:
    """Have a teacher score the candidates of every record: each distinct pair once, resumed after a kill.

    vecsmith data score out/mined --teacher out/reranker --kind cross-encoder --output out/taught

    vecsmith data score faq.csv --query question --document answer --teacher smol --kind likelihood --output out/rewards

    The dataset gets teacher_scores, positives first, then negatives; objectives such as soft_labels train on them.
    """
    from vecsmith.errors import UsageError

    if output.exists() and not replace:
        raise UsageError(f"{output} is there already; name another folder, or exchange it: --replace")
    columns: dict[str, Any] = {"query": query, "document": document, "label": label, "score": score}
    columns |= {"split": split_column, "ignore": names(ignore), "kind": record_kind, "format": format}
    columns["score_range"] = parsed_range(score_range)
    options = {"template": template, "key_tokens": key_tokens, "context": context, "dtype": dtype}
    _refuse_foreign(kind, options)
    progress = progress_for(json)
    how: dict[str, Any] = {"split": split, "limit": limit, "collection": collection, "data_root": data_root}
    with opened(data, columns, progress=progress, **how) as (dataset, _):
        kept = scores or output.with_name(f"{output.name}.scores")
        report, scored = _score(dataset, teacher, kind, answers, options, kept, normalise, progress)
        scored.save(output, replace=replace)
    _print({"output": str(output), "scores": str(kept), **report}, json)


def _refuse_foreign(kind: str, options: dict[str, Any]) -> None:
    """Options that the kind of teacher has no use for are refused, not dropped."""
    from vecsmith.errors import UsageError

    allowed = {"likelihood": set(options), "embedder": {"dtype"}}.get(kind, set())
    for name, value in options.items():
        if value is not None and name not in allowed:
            raise UsageError(f"--{name.replace('_', '-')} is no option of a teacher of kind {kind}")


def _score(
    dataset: "Dataset",
    teacher: str,
    kind: str,
    answers: str | None,
    options: dict[str, Any],
    folder: Path,
    how: str,
    progress: Progress,
) -> tuple[dict[str, Any], "Dataset"]:
    import numpy as np

    from vecsmith.data.score_store import ScoreStore
    from vecsmith.data.teachers import check_how, fill_scores, with_scores
    from vecsmith.models.scorers import open_scorer

    check_how(how)
    given = {name: value for name, value in options.items() if value is not None}
    scorer = open_scorer(teacher, kind=kind, answers=_answers(dataset, kind, answers), **given)
    store = ScoreStore(folder, scorer.description)
    before = len(store)
    now = fill_scores(dataset, store, scorer, progress=progress)
    scored = with_scores(dataset, store, given=getattr(scorer, "given", None), how=how)
    lists = scored.records["teacher_scores"].combine_chunks()
    values = lists.flatten().to_numpy()
    spreads = [float(np.ptp(part)) for part in lists.to_numpy(zero_copy_only=False) if len(part) > 1]
    return {
        "teacher": scorer.description["name"],
        "kind": kind,
        "normalise": how,
        "records": scored.records.num_rows,
        "candidates": len(values),
        "scored": now,
        "found": before,
        "cut": int(getattr(scorer, "cut", 0)),
        "least": float(values.min()),
        "most": float(values.max()),
        "spread": round(float(np.mean(spreads)), 4) if spreads else None,
    }, scored


def _answers(dataset: "Dataset", kind: str, source: str | None) -> dict[str, str] | None:
    from vecsmith.data.pairs.read_records import read_records
    from vecsmith.errors import UsageError
    from vecsmith.models.scorers import answers_of

    if kind != "likelihood":
        if source is not None:
            raise UsageError(f"--answers belong to the kind likelihood; a teacher of kind {kind} reads pairs alone")
        return None
    if source in (None, "positives", "labels"):
        return answers_of(dataset, source or "positives")
    table, _ = read_records(source, query="query", document="answer", ignore="*")
    return answers_of(table, "positives")


def _print(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json_module.dumps(report, ensure_ascii=False))
        return
    print(f"{report['candidates']:,} candidates of {report['records']:,} records in {report['output']}")
    print(f"  teacher  {report['teacher']} ({report['kind']})")
    cut = f", {report['cut']:,} longer than it reads and cut" if report["cut"] else ""
    print(f"  pairs    {report['scored']:,} scored now{cut}; {report['found']:,} were in {report['scores']}")
    spread = f", {report['spread']:.3g} between best and worst of a list" if report["spread"] is not None else ""
    print(f"  scores   {report['least']:.3g} to {report['most']:.3g}{spread}")
    print(f"Train on it: data: [{{path: {report['output']}}}], objective: [{{soft_labels: {{}}}}]")
