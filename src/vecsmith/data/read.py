"""`vecsmith.read`: a table, a folder of documents or a saved dataset as a Dataset."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vecsmith.data.dataset import Dataset
from vecsmith.data.dataset_builder import DatasetBuilder
from vecsmith.data.formats import FORMAT_NAMES, Found, find
from vecsmith.data.readers.retrieval import RetrievalColumns, write_retrieval
from vecsmith.data.readers.tables import read_table
from vecsmith.errors import DataError, UsageError
from vecsmith.progress import SILENT, Progress

__all__ = ["read"]


def read(
    path: str | Path,
    *,
    query: str | None = None,
    document: str | None = None,
    attributes: Sequence[str] | str | None = None,
    group: str | None = None,
    id: str | None = None,
    name: str | None = None,
    folder: str | Path | None = None,
    replace: bool = False,
    progress: Progress = SILENT,
    **columns: Any,
) -> Dataset:
    """Read a table (csv, tsv, jsonl, parquet, each also .gz), or open a folder that holds a saved dataset.

    query, document, attributes, group, id    columns; what is not named is recognised by name
    columns     further arguments of `read_table`: score, label, negatives, split, weight, ignore, kind, format,
                delimiter, quoting, score_range, on_empty
    name        what the records call the dataset; default: the name of the file without its endings
    folder      where the dataset is written, in bounded memory whatever the size of the table; None: in memory
    replace     a dataset at `folder` is exchanged
    raises      DataError with file, row and column: see `read_table`

    >>> read("faq.csv", query="question", document="answer", attributes=["product", "year"])  # doctest: +SKIP
    Dataset faq: 412 inputs, 206 documents, 206 records
    """
    path = Path(path)
    options = {"query": query, "document": document, "attributes": attributes, "group": group, "id": id, **columns}
    format = options.pop("format", None)
    found = find(path, format=format)
    if found.format == "saved_dataset":
        return Dataset.open(path)
    if found.format in ("documents", "unknown"):
        raise _unreadable(path, found)
    with Dataset.build(name=name or path.name.split(".")[0], folder=folder, replace=replace) as builder:
        notes = READERS[found.format](builder, found, format, options, progress)
        dataset = builder.finish()
    if any(notes.values()):
        progress.say(f"{path}: " + "; ".join(f"{count:,} {reason}" for reason, count in notes.items()))
    return dataset


def _table(
    builder: DatasetBuilder, found: Found, format: str | None, options: dict[str, Any], progress: Progress
) -> Mapping[str, int]:
    notes: Counter[str] = Counter()
    for files in found.files.values():
        for file in files:
            table = read_table(file, **options, format=format, progress=progress)
            table.write(builder)
            notes["rows without a document were skipped"] += table.skipped
            notes["rows without a query gave their document only"] += table.without_query
    return notes


def _retrieval(
    builder: DatasetBuilder, found: Found, format: str | None, options: dict[str, Any], progress: Progress
) -> Mapping[str, int]:
    chosen = take_options(found, options, ("attributes", "ignore", "on_empty", "on_repeat"))
    columns = RetrievalColumns(chosen.get("attributes"), chosen.get("ignore") or ())
    how = {name: chosen[name] for name in ("on_empty", "on_repeat") if name in chosen}
    return write_retrieval(builder, found.parts, columns, **how)


READERS: dict[str, Any] = {"table": _table, "beir": _retrieval}


def take_options(found: Found, options: dict[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """The options that a format knows. UsageError: another one is given."""
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := sorted(given.keys() - set(known)):
        raise UsageError(
            f'"{unknown[0]}" is no option of {FORMAT_NAMES[found.format]} ({found.how}); it has: {", ".join(known)}'
        )
    return given


def _unreadable(path: Path, found: Found) -> DataError:
    if found.format == "documents":
        return DataError(
            "a folder that holds no dataset. Name a table in it; documents (.md, .txt, .html, .py) are read by "
            "vecsmith forge"
            if path.is_dir()
            else "a document, not a table; documents (.md, .txt, .html, .py) are read by vecsmith forge",
            file=path,
        )
    return DataError(
        f"a folder that holds no dataset: {found.how}. Name a table in it" if path.is_dir() else found.how, file=path
    )
