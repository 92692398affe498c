"""A file of rows, whatever its format: (row, {column: cell}) one at a time."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from vecsmith.data.readers.arrow_datasets import read_arrow
from vecsmith.data.readers.line_formats import LINE_FORMATS
from vecsmith.data.readers.table_formats import (
    Cells,
    Told,
    format_of,
    read_delimited,
    read_json_lines,
    read_parquet,
)
from vecsmith.data.readers.table_lines import check_file, read_lines
from vecsmith.data.readers.table_shape import Shape
from vecsmith.errors import UsageError

__all__ = ["ROW_FORMATS", "open_rows"]

READERS: dict[str, Any] = {"jsonl": read_json_lines, "parquet": read_parquet, "arrow": read_arrow, **LINE_FORMATS}
ROW_FORMATS = ("csv", "tsv", *READERS)


def open_rows(
    path: Path,
    format: str | None = None,
    *,
    delimiter: str | None = None,
    quoting: bool | None = None,
    header: Sequence[str] | bool = True,
    shape: Shape | None = None,
    told: Told = None,
) -> Iterator[Cells]:
    """Rows of a table in any of ROW_FORMATS; memory is bounded by the longest row (of "json", by the file).

    format                       None: by the ending of the name
    delimiter, quoting, header   of csv and tsv, see `read_delimited`
    shape                        what is done to the rows as they come
    raises                       DataError with file and row, as the rows are read; UsageError: an unknown format
    """
    format = format or format_of(path)
    if format == "json" and _is_json_lines(path):
        format = "jsonl"
    if format in ("csv", "tsv"):
        delimiter = "\t" if format == "tsv" and delimiter is None else delimiter
        rows = read_delimited(path, delimiter=delimiter, quoting=quoting, header=header, told=told)
    elif format in READERS:
        rows = READERS[format](path, told=told)
    else:
        raise UsageError(f'format is "{format}"; known: {", ".join(ROW_FORMATS)}')
    return rows if shape is None or shape.is_plain else shape.apply(rows, path, open_rows)


def _is_json_lines(path: Path) -> bool:
    """Whether a .json file holds an object per line, as many that are called so do."""
    check_file(path)
    first = next((line for line in read_lines(path) if line.strip()), "")
    if not first.lstrip().startswith("{"):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return sum(1 for _ in islice(filter(str.strip, read_lines(path)), 2)) == 2
