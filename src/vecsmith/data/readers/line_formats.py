"""Text files that are no tables by themselves, as rows: a text per line, lists of numbers, counted blocks, JSON arrays.

lines            {"text"}            every line that is not blank
json             objects             an array of objects, or an object with one such array in it (SQuAD's "data")
lists            {"row", "members"}  "3 2 485 3284": a count, then as many numbers; row counts from 0
counted blocks   {"block", ...}      "trace.v 78", then 78 lines of cells between tabs
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vecsmith.data.readers.table_formats import Cells, Told
from vecsmith.data.readers.table_lines import check_file, open_bytes, read_lines
from vecsmith.errors import DataError, LimitExceeded

__all__ = ["LINE_FORMATS", "read_counted_blocks", "read_json_array", "read_lists", "read_plain_lines"]

LARGEST_JSON = 1 << 30  # bytes: an array is held as a whole


def read_plain_lines(path: Path, *, told: Told = None) -> Iterator[Cells]:
    """Every line that is not blank as {"text": line}."""
    check_file(path)
    for row, line in enumerate(read_lines(path, told), 1):
        text = line.removesuffix("\r")
        if text and not text.isspace():
            yield row, {"text": text}


def read_json_array(path: Path, *, told: Told = None) -> Iterator[Cells]:
    """Objects of a JSON array, which is read whole. DataError: no array of objects; LimitExceeded: over 1 GB."""
    check_file(path)
    with open_bytes(path) as (file, position):
        content = file.read(LARGEST_JSON + 1)
        if len(content) > LARGEST_JSON:
            raise LimitExceeded(f"{path}: a JSON array over 1 GB is not read whole; write an object per line (.jsonl)")
        if told is not None:
            told(position())
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"no JSON ({error})", file=path) from error
    if isinstance(found, dict):
        arrays = [value for value in found.values() if isinstance(value, list)]
        found = arrays[0] if len(arrays) == 1 else None
    if not isinstance(found, list):
        raise DataError("no array of objects; write one object per line and call the file .jsonl", file=path)
    for row, cells in enumerate(found, 1):
        if not isinstance(cells, dict):
            raise DataError(f"a JSON {type(cells).__name__}; each member must be an object", file=path, row=row)
        yield row, cells


def read_lists(path: Path, *, told: Told = None) -> Iterator[Cells]:
    """Lines of whole numbers, the first saying how many follow. DataError: another count, or no number."""
    check_file(path)
    for row, line in enumerate(read_lines(path, told), 1):
        try:
            count, *members = map(int, line.split())
        except ValueError as error:
            raise DataError(f"{line[:60]!r} is no list of whole numbers", file=path, row=row) from error
        if count != len(members):
            raise DataError(f"says {count} numbers and has {len(members)}", file=path, row=row)
        yield row, {"row": row - 1, "members": members}


def read_counted_blocks(path: Path, *, told: Told = None) -> Iterator[Cells]:
    """Blocks "NAME COUNT" of COUNT lines, cells between tabs as "1", "2", ...; DataError: a block that is cut off."""
    check_file(path)
    name, left = "", 0
    row = 0
    for row, line in enumerate(read_lines(path, told), 1):
        if left:
            left -= 1
            yield row, {"block": name, **{str(place): cell for place, cell in enumerate(line.split("\t"), 1)}}
            continue
        if not line.strip():
            continue
        name, _, count = line.rpartition(" ")
        if not (name and count.isdecimal()):
            raise DataError(
                f"{line[:60]!r}: a block opens with its name and the count of its lines", file=path, row=row
            )
        left = int(count)
    if left:
        raise DataError(f"the last block, {name}, lacks {left:,} lines", file=path, row=row)


LINE_FORMATS: dict[str, Any] = {
    "lines": read_plain_lines,
    "json": read_json_array,
    "lists": read_lists,
    "counted_blocks": read_counted_blocks,
}
