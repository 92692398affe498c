"""Attributes of documents, column by column: type, distinct values, missing ones, range, the most common."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

__all__ = ["Values", "hash_column", "values_of"]

COMMON = 3
BLOCK = 65_536


@dataclass(frozen=True)
class Values:
    """One attribute; of a list column, `distinct`, `least` ... speak of members.

    type        text, int, float, bool, time or list
    missing     documents without a value
    least, greatest    of numbers and times; None for others
    common      ((value, documents), ...), the most frequent
    """

    type: str
    documents: int
    missing: int
    distinct: int
    least: Any
    greatest: Any
    common: tuple[tuple[Any, int], ...]


def values_of(column: pa.ChunkedArray) -> Values:
    """What stands in an attribute column; values are compared by a hash of 64 bits, so memory is 16 bytes a row."""
    kind, missing = _kind(column.type), column.null_count
    members = pc.list_flatten(column) if kind == "list" else column
    hashes = hash_column(members)
    found, counts = np.unique(hashes[hashes > 0], return_counts=True)
    least = greatest = None
    if kind in ("int", "float", "time") and len(found):
        range_of = pc.min_max(members)
        least, greatest = (_plain(range_of[name].as_py()) for name in ("min", "max"))
    order = np.argsort(-counts, kind="stable")[: COMMON + 50]
    common = (
        [(_value(members, hashes, found[place]), int(counts[place])) for place in order]
        if len(found) < len(hashes) or len(found) <= COMMON
        else []
    )
    common = sorted(common, key=lambda entry: (-entry[1], str(entry[0])))[:COMMON]
    return Values(kind, len(column), missing, len(found), least, greatest, tuple(common))


def hash_column(column: pa.ChunkedArray) -> np.ndarray:
    """uint64 [n]: equal for equal values (as text), 0 for null."""
    hashes = np.zeros(len(column), dtype=np.uint64)
    start = 0
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        for place in range(0, len(chunk), BLOCK):
            for value in chunk.slice(place, BLOCK).to_pylist():
                if value is not None:
                    hashes[start] = xxhash.xxh3_64_intdigest(str(value).encode("utf-8", "surrogatepass")) | 1
                start += 1
    return hashes


def _value(column: pa.ChunkedArray, hashes: np.ndarray, wanted: np.uint64) -> Any:
    return _plain(column[int(np.argmax(hashes == wanted))].as_py())


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _kind(type_: pa.DataType) -> str:
    checks = (
        ("list", pa.types.is_list),
        ("bool", pa.types.is_boolean),
        ("int", pa.types.is_integer),
        ("float", pa.types.is_floating),
        ("time", pa.types.is_temporal),
    )
    return next((name for name, is_it in checks if is_it(type_)), "text")
