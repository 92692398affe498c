"""`vecsmith data transform`: any records to retrieval, graded pairs, classes or triplets."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecsmith.cli.data_source import Data, SourceOptions, names, opened, parsed_range
from vecsmith.cli.options import JSON, progress_for

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset
    from vecsmith.data.pairs.transform import TransformReport

__all__ = ["command"]


def command(
    data: Data,
    to: Annotated[str, typer.Option(help="What the records become: retrieval, scored, class or triplets.")],
    output: Annotated[Path, typer.Option(help="Folder of the dataset to make.")],
    labels: Annotated[
        str | None, typer.Option(help="What labels mean: related=0.5,-=skip; before the known words.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="What grades a pair that has both: score or label.")] = None,
    positive_from: Annotated[float, typer.Option(help="Least grade of a positive (retrieval, triplets).")] = 1.0,
    negative_to: Annotated[float, typer.Option(help="Greatest grade of a negative (retrieval, triplets).")] = 0.0,
    negatives: Annotated[int, typer.Option(help="Texts of other classes per record of class.")] = 1,
    seed: Annotated[int, typer.Option(help="With the texts, all that the draw of negatives hangs on.")] = 0,
    query: SourceOptions.Query = None,
    document: SourceOptions.Document = None,
    label: SourceOptions.Label = None,
    score: SourceOptions.Score = None,
    score_range: SourceOptions.ScoreRange = None,
    split_column: SourceOptions.SplitColumn = None,
    ignore: SourceOptions.Ignore = None,
    kind: SourceOptions.Kind = None,
    format: SourceOptions.Format = None,
    split: SourceOptions.Split = None,
    limit: SourceOptions.Limit = None,
    collection: SourceOptions.Collection = None,
    data_root: SourceOptions.DataRoot = None,
    replace: Annotated[bool, typer.Option("--replace", help="Exchange a dataset that is there.")] = False,
    json: JSON = False,
) -> None:
    """Change records into a kind of problem that training has objectives for.

    vecsmith data transform pairs.tsv --query premise --document hypothesis --label label --to scored --output out/nli

    vecsmith data transform SNLI --collection published_sets --data-root data --to triplets --output out/triplets

    scored: pairs with grades 0..1; labels true/false, yes/no, entailment/neutral/contradiction have theirs.
    retrieval: a query with its positives and negatives. class: a text with texts of other classes. triplets: a
    premise with what it entails and what contradicts it.
    """
    from vecsmith.data.pairs.grades import parse_labels
    from vecsmith.data.pairs.transform import transform

    progress = progress_for(json)
    _refuse_existing(output, replace)
    span = parsed_range(score_range)
    # A label in words beside two texts grades a pair; read alone, such a table could not say what its rows are.
    kind = kind or ("pair" if query and label and to != "class" and score is None else None)
    of_labels = span if kind == "pair" and score is None else None
    options: dict[str, Any] = {
        "query": query,
        "document": document,
        "label": label,
        "score": score,
        "split": split_column,
    }
    options |= {"ignore": names(ignore), "kind": kind, "format": format}
    options["score_range"] = None if of_labels is not None else span
    how: dict[str, Any] = {"split": split, "limit": limit, "collection": collection, "data_root": data_root}
    with opened(data, options, progress=progress, **how) as (dataset, origin):
        made, report = transform(
            dataset,
            to,
            labels=parse_labels(labels or ""),
            score_range=of_labels,
            by=by,
            positive_from=positive_from,
            negative_to=negative_to,
            negatives=negatives,
            seed=seed,
            origin=origin,
            progress=progress,
        )
        saved = made.save(output, replace=replace)
    _print(saved, report, json)


def _refuse_existing(output: Path, replace: bool) -> None:
    from vecsmith.errors import UsageError

    if output.exists() and not replace:
        raise UsageError(f"{output} is there already; name another folder, or exchange it: --replace")


def _print(made: "Dataset", report: "TransformReport", as_json: bool) -> None:
    if as_json:
        print(json_module.dumps({"output": str(made.path), **report.to_dict()}, ensure_ascii=False))
        return
    beside = f", {report.negatives:,} negatives" if report.negatives else ""
    positives = f", {report.positives:,} positives" if report.to in ("retrieval", "triplets") else ""
    print(f"{report.written:,} records of {report.to}{positives}{beside} in {made.path}")
    read = ", ".join(f"{count:,} of kind {kind}" for kind, count in sorted(report.read.items()))
    print(f"  read     {read}")
    graded = sorted(report.grades.items(), key=lambda entry: (-entry[1], entry[0]))
    shown = ", ".join(f"{name} {count:,}" for name, count in graded[:6])
    more = f" and {len(graded) - 6:,} more" if len(graded) > 6 else ""
    print(f"  {'classes' if report.to == 'class' else 'graded '}  {shown}{more}")
    for reason, count in sorted(report.dropped.items()):
        print(f"  left out {count:,} {reason}")
    print(f"Train on it: data: [{{path: {made.path}}}]")
