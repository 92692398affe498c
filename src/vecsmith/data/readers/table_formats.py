"""A file per format as a stream of (row, {column: cell}): delimited text, JSON lines, parquet.

Rows count from 1 without the header; in JSON lines the row is the line. Cells of delimited text are strings; the
others keep their types.
"""

import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from vecsmith.data.readers.features import class_names, named_classes
from vecsmith.data.readers.table_lines import check_file, open_bytes, read_lines
from vecsmith.data.readers.unpacking import ENDINGS, unpacked_name
from vecsmith.errors import DataError

__all__ = ["FORMATS", "Cells", "Told", "format_of", "read_delimited", "read_json_lines", "read_parquet", "table_format"]

Cells = tuple[int, dict[str, Any]]
Told = Callable[[int], None] | None

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".arrow": "arrow",
    ".parquet": "parquet",
    ".pq": "parquet",
}
LONGEST_CELL = 64 << 20
SAMPLE = 1000  # lines


def table_format(path: Path) -> str | None:
    """The format that the ending of a name stands for, whatever way the file is packed; None: it stands for none."""
    return FORMATS.get(Path(unpacked_name(path.name)).suffix.lower())


def format_of(path: Path) -> str:
    """`table_format`. DataError: the name says none."""
    if (format := table_format(path)) is not None:
        return format
    ending = Path(unpacked_name(path.name)).suffix.lower()
    raise DataError(
        f'"{ending}" is no table format; known: {", ".join(FORMATS)}, each also packed ({" ".join(ENDINGS)}); '
        'or say which: format="tsv"',
        file=path,
    )


def read_delimited(
    path: Path,
    *,
    delimiter: str | None = None,
    quoting: bool | None = None,
    header: Sequence[str] | bool = True,
    told: Told = None,
) -> Iterator[Cells]:
    """Rows of csv or tsv; the first line names the columns.

    delimiter    None: tab for .tsv; for .csv the comma, or what the header has instead of it (semicolon, tab, bar)
    quoting      whether "..." encloses cells that may hold delimiters and line ends. None: yes for csv; for tsv only
                 where the first 1,000 lines cannot be read otherwise, since quotes in tsv are mostly plain characters
    header       names of the columns of a file whose first line is a row; False: they are called "1", "2", ...
    raises       DataError: ragged row (its number, cells found and expected), a quote that never ends, a column name
                 that is missing or stands twice
    """
    check_file(path)
    lines = read_lines(path, told, header=1)
    sample = list(islice(lines, SAMPLE))
    if delimiter is None:
        delimiter = "\t" if table_format(path) == "tsv" else _delimiter(sample[0] if sample else "")
    if quoting is None:
        quoting = delimiter != "\t" or _needs_quoting(sample, delimiter)
    rows = _quoted if quoting else _plain
    stream = rows(chain(sample, lines), delimiter, path)
    first = next(stream, (0, []))
    names = first[1] if header is True else list(header or map(str, range(1, len(first[1]) + 1)))
    is_spaced = quoting and len(names) > 1 and all(name.startswith(" ") for name in names[1:])
    if is_spaced:  # ", " parts the cells
        names = [name.strip() for name in names]
    _check_header(names, path)
    if header is not True:
        stream = ((number + 1, cells) for number, cells in chain([first], stream))
    for row, cells in stream:
        if len(cells) != len(names):
            raise _ragged(cells, names, row, quoting, path)
        yield row, dict(zip(names, (cell.strip() for cell in cells) if is_spaced else cells, strict=True))


def _delimiter(header: str) -> str:
    return "," if "," in header else next((mark for mark in ";\t|" if mark in header), ",")


def _plain(lines: Iterator[str], delimiter: str, _: Path) -> Iterator[tuple[int, list[str]]]:
    row = 0
    for line in lines:
        if cells := line.removesuffix("\r"):
            yield row, cells.split(delimiter)
            row += 1


def _quoted(lines: Iterator[str], delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))  # the module's own limit of 128 kB is its only knob
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, strict=True)
    row = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"line {reader.line_num}: {error}; a cell that opens with a quote must end with one, quotes inside it "
                "are doubled. Where quotes are plain characters, say quoting=False",
                file=path,
                row=row,
            ) from error
        if cells:
            yield row, cells
            row += 1


def _needs_quoting(sample: list[str], delimiter: str) -> bool:
    """Whether a tsv can only be read with quotes: not by plain cutting, but by the csv rules."""
    if not any('"' in line for line in sample):
        return False
    plain = [cells for _, cells in _plain(iter(sample), delimiter, Path())]
    widths, header = {len(cells) for cells in plain}, plain[0]
    if all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in header):
        return True
    if len(widths) == 1:
        return False
    try:
        rows = [
            cells for cells in csv.reader((line + "\n" for line in sample), delimiter=delimiter, strict=True) if cells
        ]
    except csv.Error:
        return False
    return len({len(cells) for cells in rows}) == 1


def _check_header(header: list[str], path: Path) -> None:
    for place, name in enumerate(header, 1):
        if not name.strip():
            raise DataError(f"column {place} of the header has no name; every column needs one", file=path)
        if header.count(name) > 1:
            raise DataError("this name stands twice in the header; rename one", file=path, column=name)


def _ragged(cells: list[str], header: list[str], row: int, quoting: bool, path: Path) -> DataError:
    way = "Quote cells that hold the delimiter" if quoting else "Take out the extra tabs, or say quoting=True"
    return DataError(
        f"{len(cells)} cells where the header has {len(header)} ({', '.join(header)}). {way}", file=path, row=row
    )


def read_json_lines(path: Path, *, told: Told = None) -> Iterator[Cells]:
    """Rows of a file with one JSON object per line; empty lines are passed over. DataError: no JSON, or no object."""
    check_file(path)
    decode = json.JSONDecoder().decode
    for row, line in enumerate(read_lines(path, told), 1):
        if not line or line.isspace():
            continue
        try:
            cells = decode(line)
        except (ValueError, RecursionError) as error:
            found = line if len(line) <= 60 else f"{line[:60]}..."
            raise DataError(f"no JSON ({error}): {found}. Each line holds one object", file=path, row=row) from error
        if not isinstance(cells, dict):
            raise DataError(f"a JSON {type(cells).__name__}; each line holds one object", file=path, row=row)
        if "\\ud" in line or "\\uD" in line:
            _refuse_halves(cells, path, row)
        yield row, cells


def _refuse_halves(cells: dict[str, Any], path: Path, row: int) -> None:
    """JSON can escape half of a surrogate pair, which no text can hold."""
    for name, cell in cells.items():
        try:
            json.dumps([name, cell], ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"an escape (\\u{ord(error.object[error.start]):04x}) that is half of a surrogate pair, "
                "which is no text. Write the source again as valid UTF-8",
                file=path,
                row=row,
                column=name.encode("utf-8", "replace").decode(),
            ) from error


def read_parquet(path: Path, *, told: Told = None) -> Iterator[Cells]:
    """Rows of a parquet file, block by block; a packed one is unpacked beside the other temporary files first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_file(path)
    with tempfile.TemporaryDirectory() as folder:
        plain = path
        if path.suffix.lower() in ENDINGS:
            plain = Path(folder) / "table.parquet"
            with open_bytes(path) as (packed, _), open(plain, "wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
        row = 0
        size = path.stat().st_size
        try:
            with pq.ParquetFile(plain, memory_map=True, pre_buffer=False) as file:
                names = class_names(file.schema_arrow, path)
                for block in file.iter_batches(batch_size=4096, use_threads=False):
                    block.validate(full=True)
                    for cells in block.to_pylist():
                        row += 1
                        yield row, named_classes(cells, names)
                    if told is not None:
                        told(size * block.num_rows // max(1, file.metadata.num_rows))
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise DataError(
                f"no parquet file that can be read ({error}). Fetch or write it again", file=path
            ) from error
