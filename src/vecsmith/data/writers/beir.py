"""A dataset as a retrieval set in the layout of BEIR."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vecsmith.data.dataset import Dataset
from vecsmith.data.inputs import content_id
from vecsmith.data.writers.packing import packed_file, write_json_lines
from vecsmith.data.writers.rows import Carriers, Losses, records_of

__all__ = ["write_beir"]

UNSPLIT = "test"  # what judgements without a split are called


def write_beir(dataset: Dataset, folder: Path, losses: Losses, *, packing: str = "") -> None:
    """corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv.

    Documents are written whole in "text", attributes as "metadata". Grades are those of the judges, else the scores,
    else 1; negatives that some document carries are graded 0. A query without an id is called by its content id.
    Outer white space of texts is not kept: readers of this layout take it away.
    """
    losses.documents(dataset, ids=True, attributes=True, named=None)
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    write_json_lines(folder / f"corpus.jsonl{packing}", _corpus(dataset))
    queries: dict[str, dict[str, Any]] = {}
    grades: dict[str, list[tuple[str, str, float]]] = {}
    carriers = Carriers(dataset)
    for record in records_of(dataset):
        kept = ("id", "grades", "scores", "instruction_query")
        if not losses.records(record, kept, ("retrieval",)):
            continue
        name = record.cells.get("id") or content_id(record.query)
        query = {"_id": name, "text": record.query, "instruction": record.cells["instruction_query"]}
        if queries.setdefault(name, query) != query:
            losses.add(f'the id "{name}" of another query', f"record {record.row}")
            continue
        judged = grades.setdefault(record.cells["split"] or UNSPLIT, [])
        given = record.cells.get("grades") or record.cells["scores"] or [1.0] * len(record.positives)
        for place, row in enumerate(record.rows):
            documents = carriers.of(row)
            if not documents:
                losses.add("a positive or negative that no document carries", f"record {record.row}")
            grade = given[place] if place < len(record.positives) else 0.0
            judged += [(name, document.id, grade) for document in documents]
    write_json_lines(folder / f"queries.jsonl{packing}", queries.values())
    for split, judged in grades.items():
        _write_judgements(folder / "qrels" / f"{split}.tsv{packing}", judged, losses)


def _corpus(dataset: Dataset) -> Iterator[dict[str, Any]]:
    for document in dataset.documents:
        metadata = {name: value for name, value in document.attributes.items() if value is not None}
        yield {"_id": document.id, "text": document.text, "metadata": metadata or None}


def _write_judgements(path: Path, judged: list[tuple[str, str, float]], losses: Losses) -> None:
    with packed_file(path) as file:
        file.write(b"query-id\tcorpus-id\tscore\n")
        for query, document, grade in judged:
            if any(mark in query + document for mark in "\t\n\r"):
                losses.add("an id with a tab or a line end", f'query "{query}", document "{document}"')
                continue
            file.write(f"{query}\t{document}\t{grade:g}\n".encode())
