"""Read what a task names: tables of pairs or labelled texts, and retrieval folders in the layout of BEIR."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from vecsmith.data.readers.beir import one_of, read_judgements, read_texts
from vecsmith.data.readers.tables import TableRow, read_table
from vecsmith.errors import DataError, NotEnoughData
from vecsmith.evaluation.tasks import Task

__all__ = ["Labelled", "Pairs", "Retrieval", "read_beir", "read_labelled", "read_pairs", "read_task"]


@dataclass(frozen=True)
class Pairs:
    """Pairs of texts with a score in 0..1, or a label 0 or 1."""

    left: list[str]
    right: list[str]
    scores: list[float]

    def sides(self) -> tuple[list[str], ...]:
        return self.left, self.right

    def digest(self) -> str:
        return _digest(zip(self.left, self.right, self.scores, strict=True))


@dataclass(frozen=True)
class Retrieval:
    """Queries, documents and judgements; fits `retrieval.Judged`."""

    query_ids: list[str]
    query_texts: list[str]
    document_ids: list[str]
    document_texts: list[str]
    relevance: dict[int, dict[str, float]]

    def sides(self) -> tuple[list[str], ...]:
        return self.query_texts, self.document_texts

    def digest(self) -> str:
        documents = zip(self.document_ids, self.document_texts, strict=True)
        queries = zip(self.query_ids, self.query_texts, strict=True)
        judged = ((query, sorted(grades.items())) for query, grades in sorted(self.relevance.items()))
        return _digest((*documents, *queries, *judged))


@dataclass(frozen=True)
class Labelled:
    """Texts with labels; the training side is empty where the task has none."""

    texts: list[str]
    labels: list[str]
    train_texts: list[str]
    train_labels: list[str]

    def sides(self) -> tuple[list[str], ...]:
        return (self.texts,)

    def digest(self) -> str:
        test = zip(self.texts, self.labels, strict=True)
        return _digest((*test, None, *zip(self.train_texts, self.train_labels, strict=True)))


def read_task(task: Task, root: Path) -> Pairs | Retrieval | Labelled:
    """The data of a task below the data root. DataError: missing or broken files; NotEnoughData: no row left."""
    paths = [root / path for path in task.path]
    if task.kind == "retrieval":
        return read_beir(paths[0], task.split)
    if task.kind in ("scored", "pair_classification"):
        return read_pairs(paths, task)
    return read_labelled(paths, task)


def read_pairs(paths: list[Path], task: Task) -> Pairs:
    """Rows of tables with the columns left, right and score (or label), quotes taken as plain characters in tsv."""
    score = task.columns.get("score") or task.columns["label"]
    columns = {"query": task.columns["left"], "document": task.columns["right"], "score": score}
    rows = list(_rows(paths, task, kind="scored", score_range=task.score_range, **columns))
    if not rows:
        raise NotEnoughData(f"{task.name}: no row of {paths[0]} has {dict(task.where)}")
    return Pairs(
        [row.query or "" for row in rows], [row.documents[0] for row in rows], [float(row.score or 0.0) for row in rows]
    )


def read_labelled(paths: list[Path], task: Task) -> Labelled:
    """Rows of tables with the columns text and label; a column `split` parts "train" from the task's split."""
    rows = list(_rows(paths, task, document=task.columns["text"], label=task.columns["label"]))
    test = [row for row in rows if row.split in (None, task.split)]
    train = [row for row in rows if row.split == "train"]
    if not test:
        raise NotEnoughData(f'{task.name}: {paths[0]} has no row of the split "{task.split}"')
    sides = [([row.documents[0] for row in side], [str(row.label) for row in side]) for side in (test, train)]
    return Labelled(*sides[0], *sides[1])


def _rows(paths: list[Path], task: Task, **columns: Any) -> Iterator[TableRow]:
    """Rows that fit `where`. Text files that are not csv, jsonl or parquet by name are read as tsv."""
    for path in paths:
        known = any(ending in (".csv", ".jsonl", ".parquet", ".tsv") for ending in path.suffixes)
        format = None if known else "tsv"
        quoting = False if not known or ".tsv" in path.suffixes else None
        table = read_table(path, attributes=sorted(task.where), ignore="*", format=format, quoting=quoting, **columns)
        for row in table:
            if all(str(row.attributes[name]) == value for name, value in task.where.items()):
                yield row


def read_beir(folder: Path, split: str) -> Retrieval:
    """`corpus.jsonl`, `queries.jsonl` (plain or .gz) and `qrels/SPLIT.tsv`: the judged queries and every document.

    A document's text is its title, a space and its text, without outer white space (as mteb).

    raises   DataError: a file missing, an id twice, a judgement of an unknown query
    """
    corpus, queries = one_of(folder, "corpus.jsonl"), one_of(folder, "queries.jsonl")
    documents, texts = _by_id(corpus, titles=True), _by_id(queries, titles=False)
    grades: dict[str, dict[str, float]] = {}
    file = one_of(folder / "qrels", f"{split}.tsv")
    for row, query, document, gain in read_judgements(file):
        if query not in texts:
            raise DataError(f'judges the query "{query}", which {queries.name} lacks', file=file, row=row)
        grades.setdefault(query, {})[document] = gain
    ids = list(grades)
    relevance = {place: grades[query] for place, query in enumerate(ids)}
    return Retrieval(ids, [texts[query] for query in ids], list(documents), list(documents.values()), relevance)


def _by_id(file: Path, *, titles: bool) -> dict[str, str]:
    texts: dict[str, str] = {}
    for each in read_texts((file,), titles=titles):
        if each.id in texts:
            raise DataError(
                f'the id "{each.id}" stands twice; judgements need one text per id', file=file, row=each.row
            )
        texts[each.id] = each.text
    return texts


def _digest(values: Iterable[object]) -> str:
    """16 hex digits of the content, whatever files it came from."""
    state = xxhash.xxh3_64()
    for value in values:
        state.update(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return state.hexdigest()
