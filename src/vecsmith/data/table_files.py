"""Batches in, a table out: kept in memory, or written to an Arrow file as they come and mapped at the end."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from vecsmith.data.layout import map_table

__all__ = ["TableFile"]


class TableFile:
    """Collects batches of one schema; with `path` they go to that file and no longer take memory."""

    def __init__(self, schema: pa.Schema, path: Path | None) -> None:
        self.schema, self.path, self.rows = schema, path, 0
        self._batches: list[pa.RecordBatch] = []
        self._writer = pa.ipc.new_file(str(path), schema) if path is not None else None

    def write(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        self.rows += batch.num_rows
        if self._writer is not None:
            self._writer.write_batch(batch)
        else:
            self._batches.append(batch)

    def finish(self) -> pa.Table:
        """The table: of the batches, or mapped from the closed file."""
        self.close()
        return map_table(self.path) if self.path is not None else pa.Table.from_batches(self._batches, self.schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches once more, one at a time in memory: read, not mapped, since mapped pages would stay resident."""
        self.close()
        if self.path is None:
            yield from self._batches
            return
        with pa.OSFile(str(self.path)) as file:
            reader = pa.ipc.open_file(file)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
