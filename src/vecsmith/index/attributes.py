"""The attributes of a segment: one write-once file, mapped on open, and the rows that a filter lets through.

`attributes.bin` is a header (magic, length and hash of the JSON that follows, the JSON: rows, schema, place of every
array), then the arrays of `columns.py`, each at a multiple of 64 bytes, little endian. Opening reads the header only.
"""

import json
import mmap
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from vecsmith.atomic import open_atomic
from vecsmith.errors import Damaged, SchemaError
from vecsmith.index.columns import Dictionary, arrays_of, values_of
from vecsmith.index.masks import mask_of
from vecsmith.index.schema import Schema
from vecsmith.index.where_check import check
from vecsmith.index.where_tree import Tree

__all__ = ["Attributes", "write_attributes"]

FILE = "attributes.bin"
_MAGIC = b"VSATTR\x00\x01"
_PREAMBLE = struct.Struct("<8sQQ")  # magic, bytes of JSON, xxh3-64 of the JSON
_ALIGN = 64
_IDS = "_id"  # no field can have this name


def write_attributes(
    folder: Path, columns: Mapping[str, Sequence[object]], schema: Schema, ids: Sequence[str]
) -> list[Path]:
    """Write the attributes of a segment's rows; they are checked first, and nothing is written where one fails.

    folder    exists; gets `attributes.bin`, fsynced
    columns   field -> values, one per id, None for null; a field of the schema left out is all null
    ids       the document ids, distinct, in row order; they go into messages, `Ids` filters and `rows_of`
    returns   the files written
    raises    SchemaError, LimitExceeded: see `Schema.check`; an id twice (both rows named); DiskFull
    """
    checked = schema.check(columns, ids)
    _check_ids(ids)
    arrays = {
        (name, part): array for name, kind in schema.pairs for part, array in arrays_of(kind, checked[name]).items()
    }
    arrays |= {(_IDS, part): array for part, array in arrays_of("string", ids).items()}
    arrays[_IDS, "row_of"] = np.argsort(arrays[_IDS, "codes"], kind="stable").astype(np.int32)
    path = Path(folder) / FILE
    _write(path, {"rows": len(ids), "schema": schema.to_json()}, arrays)
    return [path]


def _check_ids(ids: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if not isinstance(name, str):
            raise SchemaError(
                f"row {row}: the id is {type(name).__name__} {name!r}; ids are strings, convert it with str()"
            )
        if first.setdefault(name, row) != row:
            raise SchemaError(
                f'the id "{name}" stands in rows {first[name]} and {row}; ids are distinct, drop one of them'
            )
        if not name.isascii():
            try:
                name.encode("utf-8")
            except UnicodeEncodeError as error:
                raise SchemaError(f"row {row}: the id {name!r} is broken unicode; rename the document") from error


def _write(path: Path, header: dict[str, Any], arrays: Mapping[tuple[str, str], NDArray[Any]]) -> None:
    places: dict[str, dict[str, list[object]]] = {}
    offset = 0
    for (name, part), array in arrays.items():
        places.setdefault(name, {})[part] = [array.dtype.newbyteorder("<").str, len(array), offset]
        offset += -(-array.nbytes // _ALIGN) * _ALIGN
    text = json.dumps({**header, "arrays": places, "bytes": offset}, ensure_ascii=True).encode("ascii")
    with open_atomic(path) as file:
        file.write(_PREAMBLE.pack(_MAGIC, len(text), xxhash.xxh3_64_intdigest(text)))
        file.write(text)
        file.write(b"\0" * (_data_start(len(text)) - _PREAMBLE.size - len(text)))
        for array in arrays.values():
            stored = array if sys.byteorder == "little" else array.astype(array.dtype.newbyteorder("<"))
            file.write(stored.tobytes())
            file.write(b"\0" * (-array.nbytes % _ALIGN))


def _data_start(header_bytes: int) -> int:
    return -(-(_PREAMBLE.size + header_bytes) // _ALIGN) * _ALIGN


class Attributes:
    """The mapped attributes of one segment; cheap to open, safe to share between threads.

    count    rows
    schema   as it was written; a schema that has grown since reads the new fields as all null
    """

    def __init__(self, path: Path, schema: Schema, header: dict[str, Any], memory: memoryview, start: int) -> None:
        self.path, self.schema = path, schema
        self.count: int = header["rows"]
        self._places: dict[str, dict[str, list[Any]]] = header["arrays"]
        self._memory, self._start = memory, start
        self._opened: dict[str, dict[str, NDArray[Any]]] = {}
        self._dictionaries: dict[str, Dictionary] = {}

    @classmethod
    def open(cls, folder: Path, schema: Schema | None = None) -> "Attributes":
        """Map the file of a segment.

        schema   what the index holds; None takes the stored one. A stored field of another type is `Damaged`
        raises   Damaged: missing, cut short, or a header that was changed
        """
        path = Path(folder) / FILE
        header, memory, start = _map(path)
        stored = Schema.from_json(header["schema"])
        schema = stored if schema is None else schema
        for name, kind in stored.pairs:
            if schema.types.get(name, kind) != kind:
                raise Damaged(f'{path}: "{name}" is stored as {kind}, the index declares {schema.types[name]}')
        return cls(path, schema, header, memory, start)

    def mask(self, tree: Tree) -> NDArray[np.bool_]:
        """Which rows pass: bool [n], a new array. Three-valued inside; unknown does not pass.

        raises   WhereError: a field or value that does not fit the schema; Damaged: lists that point outside the rows
        """
        check(tree, self.schema)
        try:
            return mask_of(tree, self)
        except IndexError as error:
            raise Damaged(
                f"{self.path}: its inverted lists are broken ({error}); run: vecsmith index verify"
            ) from error

    def values(self, field: str, rows: Sequence[int] | NDArray[Any]) -> list[Any]:
        """The values of some rows: str, int, float, bool, datetime in UTC, sorted list of str, or None."""
        kind = self.kind(field)
        chosen = np.asarray(rows, dtype=np.int64)
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < self.count):
            raise IndexError(f"rows {chosen.min()} to {chosen.max()} of {self.count:,}")
        arrays = self.arrays(field)
        return values_of(kind, arrays, chosen) if arrays else [None] * len(chosen)

    def column(self, field: str) -> list[Any]:
        """The values of all rows; what compaction reads."""
        return self.values(field, np.arange(self.count))

    def ids(self, rows: Sequence[int] | NDArray[Any] | None = None) -> list[str]:
        """The document ids of some rows, or of all."""
        chosen = np.arange(self.count) if rows is None else np.asarray(rows, dtype=np.int64)
        return values_of("string", self.arrays(_IDS), chosen)

    def rows_of(self, ids: Sequence[str]) -> list[int]:
        """The row of each id that this segment has, in the order of `ids`; others are left out."""
        return self.arrays(_IDS)["row_of"][self.dictionary(_IDS).find_all(ids)].tolist()

    def kind(self, field: str) -> str:
        """The type of a field; SchemaError with the nearest name where there is none."""
        kind = self.schema.types.get(field)
        if kind is None:
            raise SchemaError(f'"{field}" is no field of this index; {self.schema.nearest(field)}')
        return kind

    def arrays(self, field: str) -> dict[str, NDArray[Any]]:
        """The mapped, read-only arrays of a field; empty for one that was declared after this segment was written."""
        if field not in self._opened:
            self._opened[field] = {part: self._array(*place) for part, place in self._places.get(field, {}).items()}
        return self._opened[field]

    def dictionary(self, field: str) -> Dictionary:
        """The distinct texts of a string or set field."""
        if field not in self._dictionaries:
            arrays = self.arrays(field)
            self._dictionaries[field] = Dictionary(arrays["blob"], arrays["ends"])
        return self._dictionaries[field]

    def _array(self, dtype: str, count: int, offset: int) -> NDArray[Any]:
        if not count:
            return np.empty(0, dtype=dtype)
        return np.frombuffer(self._memory, dtype=dtype, count=count, offset=self._start + offset)


def _map(path: Path) -> tuple[dict[str, Any], memoryview, int]:
    """Header, mapped bytes, and where the arrays begin."""
    try:
        with open(path, "rb") as file:
            memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise Damaged(f"{path} is missing; restore the folder from a backup or build the index again") from None
    except ValueError:  # an empty file cannot be mapped
        raise Damaged(f"{path} is empty; restore the folder from a backup or build the index again") from None
    if len(memory) < _PREAMBLE.size:
        raise Damaged(f"{path} is cut short: {len(memory)} bytes; restore it or build the index again")
    magic, size, digest = _PREAMBLE.unpack(memory[: _PREAMBLE.size])
    text = memory[_PREAMBLE.size : _PREAMBLE.size + size]
    if magic != _MAGIC:
        raise Damaged(f"{path} is no attributes file of this version; restore it or build the index again")
    if len(text) != size or xxhash.xxh3_64_intdigest(text) != digest:
        raise Damaged(f"{path}: its header was changed or cut; restore it or build the index again")
    header = json.loads(bytes(text))
    start = _data_start(size)
    if len(memory) != start + header["bytes"]:
        raise Damaged(
            f"{path} has {len(memory):,} bytes, {start + header['bytes']:,} were written; restore it or build again"
        )
    return header, memory, start
