"""`vecsmith.write`: a dataset in the formats that other tools read, so that reading it again gives the same."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from vecsmith.data.dataset import Dataset
from vecsmith.data.readers.unpacking import ENDINGS, unpacked_name
from vecsmith.data.writers.beir import write_beir
from vecsmith.data.writers.examples import EXAMPLE_WRITERS
from vecsmith.data.writers.packing import write_json_lines
from vecsmith.data.writers.rows import Losses
from vecsmith.data.writers.tables import table_rows, write_delimited, write_parquet
from vecsmith.errors import DataError, UsageError

__all__ = ["WRITABLE", "write"]

TABLES: dict[str, Callable[[Path, Iterable[dict[str, Any]]], None]] = {
    "jsonl": write_json_lines,
    "parquet": write_parquet,
    "csv": lambda path, rows: write_delimited(path, rows, delimiter=","),
    "tsv": lambda path, rows: write_delimited(path, rows, delimiter="\t"),
}
WRITABLE = (*TABLES, *EXAMPLE_WRITERS, "beir")


def write(dataset: Dataset, path: str | Path, *, format: str | None = None, lossy: bool = False) -> Path:
    """Write a dataset as another tool reads it; returns the path.

    path      a file, packed where its name ends in .gz, .xz, .bz2 or .zst; or a folder (no ending): then a file for
              each split is written into it (train.jsonl, dev.jsonl, ...), records without a split into all.jsonl.
              Of beir always a folder; "scifact.gz" packs the files in the folder "scifact"
    format    csv, tsv, jsonl, parquet, flagembedding, tevatron, messages or beir; None: by the ending
    lossy     leave out what the format cannot hold, where it would be an error
    raises    DataError: something that the format cannot hold (which, and where); UsageError: an unknown format, or
              several splits for one file that is no table

    >>> write(data, "train.jsonl", format="flagembedding")  # doctest: +SKIP
    PosixPath('train.jsonl')
    """
    path = Path(path)
    packing = path.suffix.lower() if path.suffix.lower() in ENDINGS else ""
    ending = Path(unpacked_name(path.name)).suffix.lower().removeprefix(".")
    if format is None and ending not in TABLES:
        raise UsageError(f'"{path.name}" says no format; say it: format= one of {", ".join(WRITABLE)}')
    format = format or ending
    if format not in WRITABLE:
        raise UsageError(f'format is "{format}"; known: {", ".join(WRITABLE)}')
    losses = Losses(format, lossy)
    if format == "beir":
        write_beir(dataset, folder := path.with_name(unpacked_name(path.name)), losses, packing=packing)
        return folder
    rows = (
        EXAMPLE_WRITERS[format](dataset, losses)
        if format in EXAMPLE_WRITERS
        else table_rows(dataset, losses, lists=format in ("jsonl", "parquet"))
    )
    by_split: dict[str | None, list[dict[str, Any]]] = {}
    for split, row in rows:
        by_split.setdefault(split, []).append(row)
    if not by_split:
        raise DataError(f"dataset {dataset.name} has no record that the format {format} could hold")
    if ending:
        return _one_file(path, format, by_split, losses)
    folder = path.with_name(unpacked_name(path.name))
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows_of in by_split.items():
        TABLES.get(format, write_json_lines)(
            folder / f"{split or 'all'}.{format if format in TABLES else 'jsonl'}{packing}", rows_of
        )
    return folder


def _one_file(path: Path, format: str, by_split: dict[str | None, list[dict[str, Any]]], losses: Losses) -> Path:
    """All rows in one file; a table has their split as a column."""
    if len(by_split) > 1 and format not in TABLES:
        splits = ", ".join(str(split) for split in by_split)
        raise UsageError(f"{path.name} is one file, and the records are of several splits ({splits}). Name a folder")
    rows = []
    for split, rows_of in by_split.items():
        if split is not None and format not in TABLES:
            losses.add(f'the split "{split}" (a folder would have a file for it)', "a record")
        rows += [{**row, "split": split} for row in rows_of] if split and format in TABLES else rows_of
    TABLES.get(format, write_json_lines)(path, rows)
    return path
