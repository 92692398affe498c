"""`vecsmith.read`: a table, a folder of documents or a saved dataset as a Dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vecsmith.data.dataset import Dataset
from vecsmith.data.layout import DESCRIPTION
from vecsmith.data.readers.tables import read_table
from vecsmith.errors import DataError
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
    if path.is_dir():
        if (path / DESCRIPTION).exists():
            return Dataset.open(path)
        raise DataError(
            "a folder that holds no dataset. Name a table in it; documents (.md, .txt, .html, .py) are read by "
            "vecsmith forge",
            file=path,
        )
    table = read_table(
        path,
        query=query,
        document=document,
        attributes=attributes,
        group=group,
        id=id,
        progress=progress,
        **columns,
    )
    with Dataset.build(name=name or path.name.split(".")[0], folder=folder, replace=replace) as builder:
        table.write(builder)
        dataset = builder.finish()
    if table.skipped or table.without_query:
        progress.say(
            f"{path}: {table.skipped:,} rows without a document were skipped; {table.without_query:,} rows without a "
            "query gave their document only"
        )
    return dataset
