"""The documents table as it grows: attributes get their types when all values are known, without a second reading.

Blocks are written with the types so far. When a type widens, a new segment begins; at the end, segments whose types
are not the final ones are written once more, block by block. A source with steady types is written once.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vecsmith.data.attributes import ARROW_TYPES, Column, kind_of, retype
from vecsmith.data.layout import DOCUMENT_FIELDS, arrow_file
from vecsmith.data.table_files import TableFile
from vecsmith.errors import DataError

__all__ = ["DocumentTable"]


class DocumentTable:
    """Documents in memory, or in `folder` under the name that a dataset gives them."""

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.rows = folder, 0
        self.columns: dict[str, Column] = {}
        self._readings: tuple[str, ...] = ()
        self._segments: list[tuple[dict[str, str], TableFile]] = []

    def declare(self, names: Iterable[str], readings: Sequence[str] = ()) -> None:
        """Attributes in this order; their text, and that of later ones, may be read as `readings`."""
        self._readings = tuple(readings)
        for name in names:
            self.columns.setdefault(name, Column(readings))

    def add(
        self,
        ids: list[str],
        inputs: np.ndarray,
        groups: list[str | None],
        splits: list[str | None],
        attributes: list[dict[str, Any]],
    ) -> None:
        """A block of documents; all lists of one length."""
        if not ids:
            return
        values = self._see(ids, attributes)
        kinds = {name: column.kind or "text" for name, column in self.columns.items()}
        if not self._segments or self._segments[-1][0] != kinds:
            self._begin(kinds)
        fixed = [
            pa.array(ids, pa.string()),
            pa.array(inputs),
            pa.array(groups, pa.string()),
            pa.array(splits, pa.string()),
        ]
        arrays = [
            retype(values[name], kind) if name in values else pa.nulls(len(ids), ARROW_TYPES[kind])
            for name, kind in kinds.items()
        ]
        segment = self._segments[-1][1]
        segment.write(pa.record_batch(fixed + arrays, schema=segment.schema))
        self.rows += len(ids)

    def _see(self, ids: list[str], attributes: list[dict[str, Any]]) -> dict[str, list[Any]]:
        names = dict.fromkeys(name for row in attributes for name in row)
        values = {name: [_without_nan(row.get(name)) for row in attributes] for name in names}
        for name, column in values.items():
            try:
                self.columns.setdefault(name, Column(self._readings)).see(column)
            except TypeError as error:
                raise DataError(f'document "{_culprit(ids, column)}", attribute "{name}": {error}') from error
        return values

    def _begin(self, kinds: dict[str, str]) -> None:
        if self._segments:
            self._segments[-1][1].close()
        path = None if self.folder is None else self.folder / f"documents-{len(self._segments)}.arrow"
        self._segments.append((kinds, TableFile(_schema(kinds), path)))

    def finish(self) -> pa.Table:
        """The table with its final types."""
        final = {name: column.final for name, column in self.columns.items()}
        target = None if self.folder is None else arrow_file(self.folder, "documents")
        if len(self._segments) == 1 and self._segments[0][0] == final:
            segment = self._segments[0][1]
            if target is not None and segment.path is not None:
                segment.close()
                os.rename(segment.path, target)
                segment.path = target
            return segment.finish()
        whole = TableFile(_schema(final), target)
        for kinds, segment in self._segments:
            for batch in segment.batches():
                whole.write(_retyped(batch, kinds, final, whole.schema))
            if segment.path is not None:
                os.unlink(segment.path)
        return whole.finish()

    def close(self) -> None:
        for _, segment in self._segments:
            segment.close()


def _schema(kinds: dict[str, str]) -> pa.Schema:
    return pa.schema([*DOCUMENT_FIELDS, *((name, ARROW_TYPES[kind]) for name, kind in kinds.items())])


def _retyped(batch: pa.RecordBatch, kinds: dict[str, str], final: dict[str, str], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [batch.column(field.name) for field in DOCUMENT_FIELDS]
    for name, kind in final.items():
        column = batch.column(name) if name in kinds else pa.nulls(batch.num_rows)
        if column.null_count == len(column):
            column = pa.nulls(len(column), ARROW_TYPES[kind])
        elif kinds[name] != kind:
            column = retype(column.to_pylist(), kind)
        arrays.append(column)
    return pa.record_batch(arrays, schema=schema)


def _culprit(ids: list[str], values: list[Any]) -> str:
    """The first document whose value has no type."""
    for name, value in zip(ids, values, strict=True):
        try:
            if value is not None:
                kind_of(value)
        except TypeError:
            return name
    return "?"


def _without_nan(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value
