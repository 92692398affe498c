"""The tables of a dataset as numpy arrays that the statistics read: numbers and hashes, no texts."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecsmith.data.dataset import Dataset
from vecsmith.data.inspection.repeats import record_keys
from vecsmith.data.inspection.values import hash_column
from vecsmith.data.layout import KINDS

__all__ = ["Arrays", "text_batches"]

BATCH_TEXTS, BATCH_CHARACTERS = 4096, 1 << 22


@dataclass(frozen=True)
class Arrays:
    """Of n inputs, d documents and m records; about 80 bytes a record.

    keys        int64 [n]: content keys, which also give examples an order that does not follow the rows
    inputs      int64 [d]: input of each document; document_sides int32 [d], document_groups uint64 [d] (0: none)
    queries     int64 [m]; positives, negatives: int64 [p], with the record each belongs to in ..._owners
    kinds       int32 [m]: place in `layout.KINDS`
    sides       int32 [m]: place in `side_names`, -1 where there is none
    labels      int32 [m]: place in `label_names`, -1 where there is none
    scores      float64 [m]: of the first positive, NaN where there is none
    grades      float64 [p]: of every positive, NaN where there is none
    groups      uint64 [m], 0 where there is none
    """

    keys: np.ndarray
    inputs: np.ndarray
    document_sides: np.ndarray
    document_groups: np.ndarray
    queries: np.ndarray
    positives: np.ndarray
    positive_owners: np.ndarray
    negatives: np.ndarray
    negative_owners: np.ndarray
    kinds: np.ndarray
    sides: np.ndarray
    labels: np.ndarray
    grades: np.ndarray
    groups: np.ndarray
    side_names: tuple[str, ...]
    label_names: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset) -> "Arrays":
        documents, records = dataset.documents.table, dataset.records
        side_names = tuple(dataset.splits)
        labels, label_names = _codes(records["label"])
        positive_owners, positives = _flat(records["positives"])
        negative_owners, negatives = _flat(records["negatives"])
        return cls(
            keys=dataset.keys(np.arange(dataset.inputs.num_rows)),
            inputs=documents["input"].to_numpy(),
            document_sides=_places(documents["split"], side_names),
            document_groups=hash_column(documents["group"]) if _has_any(documents["group"]) else _none(len(documents)),
            queries=records["query"].to_numpy(),
            positives=positives,
            positive_owners=positive_owners,
            negatives=negatives,
            negative_owners=negative_owners,
            kinds=_places(records["kind"], KINDS),
            sides=_places(records["split"], side_names),
            labels=labels,
            grades=_grades(records, positive_owners),
            groups=hash_column(records["group"]) if _has_any(records["group"]) else _none(len(records)),
            side_names=side_names,
            label_names=label_names,
        )

    def is_kind(self, *kinds: str) -> np.ndarray:
        """bool [m]: records of these kinds."""
        return np.isin(self.kinds, [KINDS.index(kind) for kind in kinds])

    @cached_property
    def record_keys(self) -> np.ndarray:
        """uint64 [m]: equal for records of the same texts."""
        symmetric = self.is_kind("pair", "scored")
        return record_keys(self.keys[self.queries], self.positive_owners, self.keys[self.positives], symmetric)

    @cached_property
    def scores(self) -> np.ndarray:
        """float64 [m]: the score of each record's first positive."""
        scores = np.full(len(self.queries), np.nan)
        scores[self.positive_owners[::-1]] = self.grades[::-1]
        return scores

    @cached_property
    def is_query(self) -> np.ndarray:
        """bool [n]: inputs that ask in a retrieval record."""
        found = np.zeros(len(self.keys), dtype=bool)
        found[self.queries[self.is_kind("retrieval")]] = True
        return found

    @cached_property
    def is_answer(self) -> np.ndarray:
        """bool [n]: inputs that are documents, or answers of a retrieval record."""
        found = np.zeros(len(self.keys), dtype=bool)
        found[self.inputs] = True
        asks = self.is_kind("retrieval")
        found[self.positives[asks[self.positive_owners]]] = True
        found[self.negatives[asks[self.negative_owners]]] = True
        return found


def text_batches(dataset: Dataset) -> Iterator[list[str]]:
    """The texts of all inputs in the order of their rows, some thousand at a time ("" for an input without text)."""
    for chunk in dataset.inputs["text"].chunks:
        waiting: list[str] = []
        size = 0
        for place in range(0, len(chunk), BATCH_TEXTS):
            for text in chunk.slice(place, BATCH_TEXTS).to_pylist():
                waiting.append(text or "")
                size += len(waiting[-1])
                if len(waiting) >= BATCH_TEXTS or size >= BATCH_CHARACTERS:
                    yield waiting
                    waiting, size = [], 0
        if waiting:
            yield waiting


def _flat(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """(row of each member, members) of a list column."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    return np.repeat(np.arange(len(column)), lengths), pc.list_flatten(column).to_numpy()


def _grades(records: pa.Table, positive_owners: np.ndarray) -> np.ndarray:
    """Of each positive the grade that a judge gave, else its score: the first ones of a list that goes on with the
    scores of the negatives."""
    grades = np.full(len(positive_owners), np.nan)
    counts = np.bincount(positive_owners, minlength=len(records))
    starts = np.cumsum(counts) - counts
    for name in ("scores", "grades"):
        if name not in records.column_names or not _has_any(records[name]):
            continue
        owners, values = _flat(records[name])
        place = np.arange(len(owners)) - np.searchsorted(owners, owners)
        inside = place < counts[owners]
        grades[starts[owners[inside]] + place[inside]] = values[inside]
    return grades


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, tuple[str, ...]]:
    names = sorted(name for name in pc.unique(column).to_pylist() if name is not None)
    return _places(column, names), tuple(names)


def _places(column: pa.ChunkedArray, names: "tuple[str, ...] | list[str]") -> np.ndarray:
    found = pc.index_in(column, value_set=pa.array(list(names), pa.string()))
    return pc.fill_null(found, -1).to_numpy().astype(np.int32)


def _has_any(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count < len(column))


def _none(rows: int) -> np.ndarray:
    return np.zeros(rows, dtype=np.uint64)
