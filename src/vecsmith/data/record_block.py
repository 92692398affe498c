"""Records that wait for the rows of their texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vecsmith.data.layout import RECORDS

__all__ = ["RecordBlock"]

_PLAIN = ("scores", "teacher_scores", "label", "group", "instruction_query", "instruction_document", "kind", "split")
_PLAIN += ("id", "grades")  # type: ignore[assignment]


class RecordBlock:
    """Columns of records whose texts are numbers within a block of texts."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.clear()

    def clear(self) -> None:
        self._queries: list[int] = []
        self._positives: list[Sequence[int]] = []
        self._negatives: list[Sequence[int]] = []
        self._weights: list[float] = []
        self._plain: dict[str, list[Any]] = {name: [] for name in _PLAIN}

    def __len__(self) -> int:
        return len(self._queries)

    def add(self, query: int, positives: Sequence[int], negatives: Sequence[int], weight: float, **plain: Any) -> None:
        self._queries.append(query)
        self._positives.append(positives)
        self._negatives.append(negatives)
        self._weights.append(weight)
        for name, column in self._plain.items():
            column.append(plain[name])

    def batch(self, rows: np.ndarray) -> pa.RecordBatch:
        """The records as Arrow; `rows` int64 [m] are the rows of `inputs` of the block's texts."""
        arrays = {
            "query": pa.array(rows[np.asarray(self._queries, dtype=np.int64)]),
            "positives": _lists(self._positives, rows),
            "negatives": _lists(self._negatives, rows),
            "weight": pa.array(self._weights, pa.float32()),
            "dataset": pa.array([self.dataset] * len(self), pa.string()),
        }
        for name, values in self._plain.items():
            arrays[name] = pa.array(values, RECORDS.field(name).type)
        return pa.record_batch([arrays[name] for name in RECORDS.names], schema=RECORDS)


def _lists(lists: list[Sequence[int]], rows: np.ndarray) -> pa.ListArray:
    offsets = np.cumsum([0] + [len(members) for members in lists], dtype=np.int32)
    flat = np.fromiter((member for members in lists for member in members), dtype=np.int64, count=int(offsets[-1]))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows[flat], pa.int64()))
