"""A dataset that grows: texts that were made for it join its inputs, and say whose paraphrase they are."""

from typing import Any

import numpy as np
import pyarrow as pa

from vecsmith.data.columns import input_keys
from vecsmith.data.dataset import Dataset
from vecsmith.data.inputs import CONTENT_BYTES, content_digest, normalise
from vecsmith.data.known import KnownIds, as_pairs
from vecsmith.data.pairs.record_rows import RecordRows

__all__ = ["Extension"]

BLOCK = 65_536


class Extension:
    """New texts and records over a dataset, whose own rows keep their numbers.

    >>> with Dataset.build(name="tiny") as builder:
    ...     builder.add_record(query="reset it", positives=["Hold the button."])
    ...     data = builder.finish()
    >>> more = Extension(data)
    >>> more.row("Hold the button."), more.row("Press it long.", same_as=1)
    (1, 2)
    >>> more.key("Press it long.") == more.key("Hold the button.")
    True
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._keys = input_keys(dataset.inputs)
        self._known = KnownIds()
        for chunk in dataset.inputs["content"].chunks:
            for start in range(0, len(chunk), BLOCK):
                digests = b"".join(chunk.slice(start, BLOCK).to_pylist())
                self._known.rows(as_pairs(digests))
        self._rows: dict[bytes, int] = {}
        self._texts: list[str] = []
        self._sources: list[bytes | None] = []

    def find(self, text: str) -> int | None:
        """The row of a text that is there; None: it is new."""
        digest = content_digest(text)
        if digest in self._rows:
            return self._rows[digest]
        row = self._known.find(as_pairs(digest))
        return None if row is None else int(row)

    def key(self, text: str) -> int:
        """The key that batches compare: of the text, or of the source it shares its key with."""
        row = self.find(text)
        return _first_half(content_digest(text)) if row is None else self.key_of(row)

    def first_key(self, text: str) -> int:
        """As `key`, as it was before anything joined: what may be asked by other threads meanwhile."""
        digest = content_digest(text)
        row = self._known.find(as_pairs(digest))
        return _first_half(digest) if row is None else int(self._keys[row])

    def key_of(self, row: int) -> int:
        """The key of a row, old or new."""
        if row < len(self._keys):
            return int(self._keys[row])
        place = row - len(self._keys)
        return _first_half(self._sources[place] or content_digest(self._texts[place]))

    def text(self, row: int) -> str:
        """The text of a row, old or new."""
        return self.dataset.text(row) if row < len(self._keys) else self._texts[row - len(self._keys)]

    def row(self, text: str, *, same_as: int | None = None) -> int:
        """The row of a text, which joins where it is new.

        same_as    the row that a new text is a paraphrase of: they share a key. A text that is there keeps its own
        """
        if (found := self.find(text)) is not None:
            return found
        text = normalise(text)
        row = len(self._keys) + len(self._texts)
        self._rows[content_digest(text)] = row
        self._texts.append(text)
        self._sources.append(None if same_as is None else self._root(same_as))
        return row

    def finish(self, records: RecordRows) -> Dataset:
        """The dataset with all texts and these records, in memory; `save` writes it."""
        inputs = self.dataset.inputs
        if self._texts:
            digests = [content_digest(text) for text in self._texts]
            columns: dict[str, Any] = {"content": digests, "text": self._texts, "same_as": self._sources}
            if any(self._sources) and "same_as" not in inputs.column_names:
                inputs = inputs.append_column("same_as", pa.nulls(inputs.num_rows, pa.binary(CONTENT_BYTES)))
            schema = inputs.schema
            arrays = [pa.array(columns.get(field.name, [None] * len(digests)), field.type) for field in schema]
            inputs = pa.concat_tables([inputs, pa.Table.from_arrays(arrays, schema=schema)])
        return Dataset(inputs, self.dataset.documents.table, records.finish(), name=self.dataset.name)

    def _root(self, row: int) -> bytes:
        """The content of the row, or of the source it names: a paraphrase of a paraphrase is one of the first."""
        if row >= len(self._keys):
            place = row - len(self._keys)
            return self._sources[place] or content_digest(self._texts[place])
        cells = self.dataset.inputs.slice(row, 1).to_pylist()[0]
        return bytes(cells.get("same_as") or cells["content"])


def _first_half(digest: bytes) -> int:
    return int(np.frombuffer(digest, dtype=">i8", count=1)[0])
