"""Records made one by one whose texts are rows of `inputs` already: what changes records, not texts, writes these."""

from typing import Any

import pyarrow as pa

from vecsmith.data.layout import RECORDS

__all__ = ["RecordRows"]

BLOCK = 8192


class RecordRows:
    """Takes records as dicts of `layout.RECORDS`, gives the table; what is not named is null, a weight 1, a list empty.

    >>> rows = RecordRows()
    >>> rows.add(query=0, positives=[1], kind="pair", dataset="tiny")
    >>> rows.finish().num_rows
    1
    """

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._clear()
        self.count = 0

    def add(self, **cells: Any) -> None:
        """One record; `query`, `positives`, `negatives` are rows of inputs."""
        for name, column in self._columns.items():
            column.append(cells.get(name, _DEFAULTS.get(name)))
        self.count += 1
        if len(self._columns["query"]) >= BLOCK:
            self._flush()

    def finish(self) -> pa.Table:
        """All records; nothing is added after it."""
        self._flush()
        return pa.Table.from_batches(self._batches, schema=RECORDS)

    def _flush(self) -> None:
        arrays = [pa.array(values, RECORDS.field(name).type) for name, values in self._columns.items()]
        self._batches.append(pa.record_batch(arrays, schema=RECORDS))
        self._clear()

    def _clear(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in RECORDS.names}


_DEFAULTS: dict[str, Any] = {"positives": (), "negatives": (), "weight": 1.0, "kind": "retrieval"}
