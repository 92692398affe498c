"""Records as a table: a row each, its columns named so that reading recognises them."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vecsmith.data.attributes import text_of
from vecsmith.data.dataset import Dataset
from vecsmith.data.inputs import content_id
from vecsmith.data.writers.packing import packed_file
from vecsmith.data.writers.rows import Carriers, Losses, Written, records_of
from vecsmith.errors import DataError

__all__ = ["table_rows", "write_delimited", "write_parquet"]

SIDES = {"pair": ("sentence1", "sentence2"), "scored": ("sentence1", "sentence2"), "retrieval": ("query", "document")}
CELLS = ("label", "weight", "group", "id")


def table_rows(dataset: Dataset, losses: Losses, *, lists: bool) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """(split, row) of each record; the documents' ids and attributes stand in the row of the record that names them.

    lists     whether a cell may hold several texts (jsonl, parquet)
    """
    carriers = Carriers(dataset)
    named: set[int] = set()
    weighted = any(weight != 1.0 for weight in dataset.records["weight"].unique().to_pylist())
    for record in records_of(dataset):
        if not losses.records(record, ("scores", "label", "weight", "group"), (*SIDES, "class", "plain")):
            continue
        row = _row(dataset, record, carriers, named, losses, lists=lists)
        yield record.cells["split"], {**row, "weight": record.cells["weight"]} if weighted else row
    for document in dataset.documents:
        if document.input not in named:
            losses.add("no record that names it", f'document "{document.id}"')


def _row(
    dataset: Dataset, record: Written, carriers: Carriers, named: set[int], losses: Losses, *, lists: bool
) -> dict[str, Any]:
    kind, where = record.cells["kind"], f"record {record.row}"
    if kind in SIDES:
        left, right = SIDES[kind]
        if len(record.positives) != 1 and not lists:
            losses.add(f"{len(record.positives)} positives, where a cell holds one text", where)
        texts: Any = record.positives if len(record.positives) > 1 and lists else "".join(record.positives[:1])
        row: dict[str, Any] = {left: record.query, right: texts}
        if lists and record.negatives:
            row["negatives"] = record.negatives
        else:
            row |= {f"negative_{place}": text for place, text in enumerate(record.negatives, 1)}
        carried = record.rows[: len(record.positives)]
    else:
        row = {"text": record.query}
        carried = [int(dataset.records["query"][record.row].as_py())]
    row["score"] = _score(record, losses)
    row |= {name: record.cells[name] for name in ("label", "group") if record.cells[name] is not None}
    for place, number in enumerate(carried):
        documents = carriers.of(number)
        own = [each for each in documents if each.attributes or each.id != content_id(each.text)]
        if own and (len(carried) > 1 or len(documents) > 1 or number in named):
            losses.add("an answer with an id or attributes that stands elsewhere too", where)
        elif own and place == 0:
            row |= _document(own[0].id, own[0].attributes, row, losses)
        named.add(number)
    return row


def _document(id: str, attributes: dict[str, Any], row: dict[str, Any], losses: Losses) -> dict[str, Any]:
    """The cells of a document. An attribute that is called as another cell cannot be held."""
    kept = {}
    for name, value in attributes.items():
        if name in row or name in (*CELLS, "split", "score"):
            losses.add(f'an attribute "{name}", which another column is called', f'document "{id}"')
        elif value is not None:
            kept[name] = value
    return {"id": id, **kept}


def _score(record: Written, losses: Losses) -> float | None:
    scores, end = record.cells["scores"], len(record.positives)
    if scores is None:
        return None
    if len({*scores[:end]}) > 1 or any(scores[end:]) or record.cells["kind"] not in SIDES:
        losses.add("scores that differ within it", f"record {record.row}")
    return float(scores[0])


def write_delimited(path: Path, rows: Iterable[dict[str, Any]], *, delimiter: str) -> None:
    """csv or tsv, every cell in quotes, so that texts may hold delimiters, quotes and line ends.

    raises   DataError: a NUL character, which no reader of such files takes
    """
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name, value in row.items() if value is not None))
    with packed_file(path) as file:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
        lines: list[list[Any]] = [names, *([row.get(name) for name in names] for row in rows)]
        for number, cells in enumerate(lines):
            texts = ["" if cell is None else text_of(cell) or "" for cell in cells]
            if any("\0" in cell for cell in texts):
                raise DataError("a NUL character, which no csv or tsv holds; write jsonl", file=path, row=number)
            writer.writerow(texts)
            file.write(text.getvalue().encode("utf-8"))
            text.seek(0)
            text.truncate()


def write_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Parquet with the columns that some row has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name, value in row.items() if value is not None))
    columns = {name: _one_type([row.get(name) for row in rows]) for name in names}
    with packed_file(path) as file:
        pq.write_table(pa.table(columns), pa.PythonFile(file, mode="w"))


def _one_type(cells: list[Any]) -> list[Any]:
    """Cells as lists, where one of them is a list."""
    if not any(isinstance(cell, list) for cell in cells):
        return cells
    return [cell if cell is None or isinstance(cell, list) else [cell] for cell in cells]
