"""`vecsmith data synthesise`: a language model adds to a dataset."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecsmith.cli.data_source import Data, SourceOptions, names, opened, parsed_range
from vecsmith.cli.options import JSON, progress_for
from vecsmith.errors import UsageError

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset
    from vecsmith.data.pairs.synthesis import SynthesisReport
    from vecsmith.data.pairs.synthesis_steps import Search

__all__ = ["command"]

SHOWN = 2  # prompts of --dry-run


def command(
    data: Data,
    step: Annotated[str, typer.Option(help="paraphrase, augment, hard-negatives, queries or relabel.")],
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="A server that speaks /v1/chat/completions.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model that the server is asked for.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the dataset to make.")] = None,
    key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable that holds the key; it is never written.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Ask about the first so many texts or records.", min=1)] = None,
    count: Annotated[int, typer.Option(help="Texts to ask for at a time.")] = 2,
    side: Annotated[str, typer.Option(help="What is paraphrased: query or document.")] = "query",
    search: Annotated[
        str | None,
        typer.Option(help="Model that finds passages: the round trip of queries, the choices of relabel."),
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Passages that --search finds.")] = 10,
    prompts: Annotated[Path | None, typer.Option(help="Your prompts: YAML, step -> {user, system}.")] = None,
    answers: Annotated[Path | None, typer.Option(help="Keeps every answer; by default beside the output.")] = None,
    temperature: Annotated[float, typer.Option(help="Of the answers, 0 to 2.")] = 0.7,
    most_tokens: Annotated[int, typer.Option(help="Of one answer.")] = 2048,
    timeout_seconds: Annotated[float, typer.Option(help="Of one request.")] = 120.0,
    concurrency: Annotated[int, typer.Option(help="Requests under way at once.")] = 4,
    tries: Annotated[int, typer.Option(help="Answers to one thing, before it is left out and counted.")] = 3,
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
    collection: SourceOptions.Collection = None,
    data_root: SourceOptions.DataRoot = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the first two prompts; send nothing.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Exchange a dataset that is there.")] = False,
    json: JSON = False,
) -> None:
    """Have a language model add to a dataset; the same command goes on where it was stopped.

    vecsmith data synthesise out/nli --step queries --endpoint http://localhost:8000/v1 --model qwen --output out/more

    vecsmith data synthesise faq.csv --step queries --search default --dry-run

    paraphrase: other wordings, which share their source's key and so are never its negatives. augment: pairs on
    neighbouring topics. hard-negatives: passages that only look like answers. queries: kept where they find their
    passage again. relabel: the best passage found takes the positive's place.
    """
    progress = progress_for(json)
    options: dict[str, Any] = {"query": query, "document": document, "label": label, "score": score}
    options |= {"split": split_column, "ignore": names(ignore), "kind": kind, "format": format}
    options["score_range"] = parsed_range(score_range)
    how: dict[str, Any] = {"count": count, "side": side, "limit": limit, "k": k, "prompts": prompts}
    where: dict[str, Any] = {"split": split, "collection": collection, "data_root": data_root}
    if dry_run:
        with opened(data, options, progress=progress, **where) as (dataset, _):
            _show(_first(dataset, step, search, how), json)
        return
    if output is None or endpoint is None or model is None:
        raise UsageError("name --endpoint URL, --model NAME and --output DIR (or --dry-run to see the first prompts)")
    if output.exists() and not replace:
        raise UsageError(f"{output} is there already; name another folder, or exchange it: --replace")
    from vecsmith.data.pairs.synthesis import synthesise
    from vecsmith.models.chat import ChatEndpoint

    ask = ChatEndpoint(
        endpoint,
        model=model,
        key_env=key_env,
        temperature=temperature,
        most_tokens=most_tokens,
        timeout_seconds=timeout_seconds,
    )
    with opened(data, options, progress=progress, **where) as (dataset, _):
        how |= {"tries": tries, "concurrency": concurrency, "search": _search(dataset, search), "progress": progress}
        how["answers"] = answers or output.with_name(f"{output.name}.answers.jsonl")
        made, report = synthesise(dataset, step, ask, model=ask.identity, **how)
        saved = made.save(output, replace=replace)
    _write_report(output, ask.name, report)
    _print(saved, report, how["answers"], json)


def _first(dataset: "Dataset", step: str, search: str | None, how: dict[str, Any]) -> list[Any]:
    from vecsmith.data.pairs.synthesis import first_messages

    return first_messages(dataset, step, shown=SHOWN, search=_search(dataset, search), **how)


def _show(found: list[Any], as_json: bool) -> None:
    if as_json:
        print(json_module.dumps({"requests": found}, ensure_ascii=False))
        return
    for number, messages in enumerate(found, start=1):
        for message in messages:
            print(f"--- request {number}, {message['role']}\n{message['content'].rstrip()}")
    print(f"Nothing was sent; these are the first {len(found)}.")


def _search(dataset: "Dataset", model: str | None) -> "Search | None":
    """The distinct passages of a dataset, searched by a model's vectors."""
    if model is None:
        return None
    import numpy as np

    from vecsmith.models.encoder import open_encoder
    from vecsmith.topk import top_k

    positives = dataset.records["positives"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    rows = np.unique(dataset.documents.inputs if len(dataset.documents) else positives.astype(np.int64))
    encoder = open_encoder(model)
    vectors = encoder.encode_document(dataset.texts(rows))

    def found(texts: list[str], k: int) -> tuple[Any, Any]:
        scores, places = top_k(encoder.encode_query(texts), vectors, min(k, len(rows)))
        return rows[places], scores

    return found


def _write_report(output: Path, endpoint: str, report: "SynthesisReport") -> None:
    """`synthesis.json` beside the tables: what made them."""
    from vecsmith.atomic import write_json

    write_json(output / "synthesis.json", {"endpoint": endpoint, **report.to_dict()})


def _print(made: "Dataset", report: "SynthesisReport", answers: Path, as_json: bool) -> None:
    if as_json:
        result = {"output": str(made.path), "answers": str(answers), **report.to_dict()}
        print(json_module.dumps(result, ensure_ascii=False))
        return
    found = ", ".join(f"{number:,} {what}" for what, number in sorted(report.made.items())) or "nothing"
    print(f"{found}; {report.records:,} records in {made.path}")
    print(
        f"  asked    {report.asked:,}, answered {report.answered:,}, sent {report.requests:,}, kept {report.reused:,}"
    )
    for name, counter in (("left out", report.dropped), ("failed", report.failed), ("retried", report.retried)):
        for reason, number in sorted(counter.items()):
            print(f"  {name:<8} {number:,} {reason}")
    print(f"Answers are kept in {answers}")
