"""The winning arm as an index: built once, upserted while its model and kind stay the same."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from vecsmith.atomic import open_atomic
from vecsmith.data.dataset import Dataset, Document
from vecsmith.forging.pictures import shorten
from vecsmith.index.index import Index
from vecsmith.progress import SILENT, Progress

__all__ = ["ask", "build_index"]

BLOCK = 20_000


def build_index(
    served: Dataset,
    folder: Path,
    *,
    kind: str,
    model: Path,
    weight: float | None,
    marks: Path,
    key: str,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Make `folder` hold exactly the served documents.

    kind      "dense", "lexical" or "fused": the side or sides that the index has, and its default mode
    weight    of the dense side in fused searches; None fuses by ranks
    marks     a file that remembers what was indexed, by id and content, so that the next run changes only what changed
    key       of model, kind and schema: another key builds anew
    returns   JSON: documents, added, changed, deleted, anew
    """
    marked = _read_marks(marks, key) if folder.exists() else None
    anew, before = marked is None, marked or {}
    now = dict(
        zip(served.documents.table["id"].to_pylist(), served.keys(served.documents.inputs).tolist(), strict=True)
    )
    if anew:
        shutil.rmtree(folder, ignore_errors=True)
        marks.unlink(missing_ok=True)
        dense = kind != "lexical"
        index = Index.create(
            folder, model=model if dense else None, schema=_schema(served), lexical=kind != "dense", dense=dense
        )
    else:
        index = Index.open(folder)
    changed = [row for row, (name, mark) in enumerate(now.items()) if before.get(name) != mark]
    gone = [name for name in before if name not in now]
    with index, progress.task("Index", total=len(changed), unit="documents") as task:
        index.set_defaults(mode=kind, weight=weight)
        for block in _blocks(served, changed):
            index.upsert(block)
            task.advance(len(block))
        if gone:
            index.delete(ids=gone)
        if not anew:
            index.compact()
    _write_marks(marks, key, now)
    names = list(now)
    added = sum(names[row] not in before for row in changed)
    return {
        "documents": len(now),
        "added": added,
        "changed": len(changed) - added,
        "deleted": len(gone),
        "anew": anew,
        "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
    }


def _blocks(served: Dataset, rows: list[int]) -> Iterator[list[Document]]:
    for start in range(0, len(rows), BLOCK):
        yield list(served.select(documents=rows[start : start + BLOCK], records=[]).documents)


def _schema(served: Dataset) -> dict[str, str]:
    """Names of the index's types for the dataset's Arrow types."""
    return {name: _type_name(kind) for name, kind in served.documents.attributes.items()}


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return "set"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "timestamp"
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind):
        return "int"
    return "float" if pa.types.is_floating(kind) else "string"


def _read_marks(path: Path, key: str) -> dict[str, int] | None:
    if not path.exists():
        return None
    with pa.ipc.open_file(str(path)) as reader:
        table = reader.read_all()
    if (table.schema.metadata or {}).get(b"key") != key.encode():
        return None
    return dict(zip(table["id"].to_pylist(), table["mark"].to_pylist(), strict=True))


def _write_marks(path: Path, key: str, now: dict[str, int]) -> None:
    table = pa.table({"id": pa.array(now.keys(), pa.string()), "mark": pa.array(now.values(), pa.int64())})
    table = table.replace_schema_metadata({"key": key})
    with open_atomic(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def ask(folder: Path, questions: list[tuple[str, str | None]], *, count: int = 3) -> list[dict[str, Any]]:
    """Answers of the index to some questions, each with an optional filter."""
    answers = []
    with Index.open(folder) as index:
        for query, where in questions:
            hits = index.search(query, k=count, where=where)
            rows = [{"id": hit.id, "score": round(float(hit.score), 4), "snippet": shorten(hit.text)} for hit in hits]
            answers.append({"query": query, "where": where, "hits": rows, "passing": hits.passing})
    return answers
