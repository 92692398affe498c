"""`vecsmith mine`: hard negatives for the records of a dataset."""

import json as json_module
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from vecsmith.cli.data_source import Data, SourceOptions, names, opened, parsed_range
from vecsmith.cli.options import JSON, progress_for

__all__ = ["command"]


def command(
    data: Data,
    model: Annotated[str, typer.Option(help="Ranks the documents: a folder or a name.")],
    output: Annotated[Path, typer.Option(help="Folder of the dataset; the same command goes on where it was killed.")],
    negatives: Annotated[int, typer.Option(help="Negatives of a record.")] = 7,
    ranks: Annotated[str, typer.Option(help="Ranks that are looked at, low:high, high not among them.")] = "10:100",
    relative_margin: Annotated[float, typer.Option(help="Keep scores below p - m |p|; -1: off.")] = 0.05,
    absolute_margin: Annotated[float | None, typer.Option(help="Keep scores below p - m.")] = None,
    adaptive_margin: Annotated[float | None, typer.Option(help="Keep scores below p - m |p - median|.")] = None,
    max_score: Annotated[float | None, typer.Option(help="Keep scores up to this.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Keep scores from this.")] = None,
    positive: Annotated[str, typer.Option(help="Which positive is p: the smallest or largest score.")] = "smallest",
    consistent_rank: Annotated[
        int | None, typer.Option(help="Drop a record whose positives score below the candidate of this rank.")
    ] = None,
    choose: Annotated[str, typer.Option(help="Of what is left: hardest, or random (by key).")] = "hardest",
    seed: Annotated[int, typer.Option(help="Of random.")] = 0,
    rescore: Annotated[str | None, typer.Option(help="A cross-encoder's folder: its scores are filtered.")] = None,
    query: SourceOptions.Query = None,
    document: SourceOptions.Document = None,
    ignore: SourceOptions.Ignore = None,
    score_range: SourceOptions.ScoreRange = None,
    kind: SourceOptions.Kind = None,
    format: SourceOptions.Format = None,
    split: SourceOptions.Split = None,
    limit: SourceOptions.Limit = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Exchange a dataset that is there.")] = False,
    json: JSON = False,
) -> None:
    """Mine hard negatives, and keep their scores as teacher scores.

    vecsmith mine faq.csv --query question --document answer --model default --output out/mined

    vecsmith mine scifact --model all-MiniLM-L6-v2 --ranks 10:100 --rescore out/reranker --output out/mined

    Known positives, the query's own text and duplicates are never taken. OUTPUT/mining_report.json says what was
    dropped and why.
    """
    from vecsmith.atomic import write_json
    from vecsmith.data.mining import MiningOptions, spread_margin
    from vecsmith.errors import UsageError
    from vecsmith.models.mining import MiningReport, mine_dataset

    if output.exists() and not replace:
        raise UsageError(f"{output} is there already; name another folder, or exchange it: --replace")
    options: dict[str, Any] = {"negatives": negatives, "ranks": _ranks(ranks), "positive": positive, "choose": choose}
    options |= {"absolute_margin": absolute_margin, "max_score": max_score, "min_score": min_score, "seed": seed}
    options |= {"consistent_rank": consistent_rank, "relative_margin": None if relative_margin < 0 else relative_margin}
    options["margin"] = None if adaptive_margin is None else spread_margin(adaptive_margin)
    MiningOptions(**options)
    columns: dict[str, Any] = {"query": query, "document": document, "ignore": names(ignore), "kind": kind}
    columns |= {"format": format, "score_range": parsed_range(score_range)}
    progress = progress_for(json)
    with opened(data, columns, split=split, limit=limit, progress=progress) as (dataset, _):
        if dry_run:
            found = {"records": dataset.records.num_rows, "documents": len(dataset.documents), "output": str(output)}
            print(json_module.dumps(found) if json else "would mine " + ", ".join(f"{k} {v}" for k, v in found.items()))
            return
        report, work = MiningReport(), output.with_name(f"{output.name}.work")
        mined = mine_dataset(dataset, model, folder=work, scorer=rescore, report=report, progress=progress, **options)
        mined.save(output, replace=replace)
    write_json(output / "mining_report.json", report.to_dict())
    shutil.rmtree(work, ignore_errors=True)
    _print(output, report.to_dict(), json)


def _ranks(text: str) -> tuple[int, int]:
    from vecsmith.errors import UsageError

    try:
        low, high = map(int, text.split(":"))
    except ValueError as error:
        raise UsageError(f"--ranks is {text!r}; it is two numbers, such as 10:100") from error
    return low, high


def _print(output: Path, report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json_module.dumps({"output": str(output), **report}, ensure_ascii=False))
        return
    print(f"{report['negatives']:,} negatives for {report['records']:,} records in {output}")
    said = {
        "short": "records got fewer than asked",
        "inconsistent": "records dropped: their positives rank too low",
        "replaced": "negatives from before were replaced",
        "without_positive": "records have no positive and stay as they are",
        "other_kinds": "records of other kinds stay as they are",
    }
    for name, words in said.items():
        if report[name]:
            print(f"  {report[name]:>9,} {words}")
    for name, count in report["dropped"].items():
        print(f"  {count:>9,} candidates dropped: {name.replace('_', ' ')}")
        for example in report["examples"].get(name, []):
            score = "" if example["score"] is None else f"{example['score']:.3f} beside {example['positive_score']:.3f}"
            print(f"            {score}  {example['query'][:40]} | {example['document'][:60]}")
    print(f"Train on it: data: [{{path: {output}}}]")
