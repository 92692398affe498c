"""The records of a dataset as numpy arrays, made once, so that a batch is gathered without a loop over its rows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecsmith.errors import DataError, NotEnoughData

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset

__all__ = ["Instructions", "Ragged", "RecordColumns", "content_keys", "input_keys"]


@dataclass(frozen=True)
class Ragged:
    """Lists of different length in one array: list i is values[offsets[i]:offsets[i + 1]]."""

    offsets: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, column: pa.ChunkedArray | pa.Array | None, rows: int) -> "Ragged":
        """From an Arrow list column; an absent column is `rows` empty lists, a null an empty list."""
        if column is None:
            return cls(np.zeros(rows + 1, np.int64), np.zeros(0, np.int64))
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        lengths = np.asarray(pc.list_value_length(array).fill_null(0), dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return cls(offsets, array.flatten().to_numpy(zero_copy_only=False))

    def length(self, row: int) -> int:
        return int(self.offsets[row + 1] - self.offsets[row])

    def row(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def padded(self, rows: np.ndarray) -> np.ndarray:
        """int64 [B, longest], -1 where a list has ended."""
        starts, lengths = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        width = int(lengths.max(initial=0))
        steps = np.arange(width)
        inside = steps < lengths[:, None]
        return np.where(inside, self.values[np.where(inside, starts[:, None] + steps, 0)] if width else -1, -1)


@dataclass(frozen=True)
class Instructions:
    """Instructions of records as codes: `words[query[i]]` opens the query of record i; code 0 is none."""

    words: list[str]
    query: np.ndarray
    document: np.ndarray


class RecordColumns:
    """Records as arrays.

    query int64 [R]; positives, negatives Ragged; scores, teacher_scores Ragged or None; weights float32 [R];
    groups int64 [R] or None (-1 none); classes int64 [R] (-1 none); keys, labels int64 [inputs]; kind; name;
    content int64 [inputs], equal for equal inputs only (`keys` is equal for paraphrases that declare a source too);
    usable int64, records that can be a row; lone int64, one record of each class that has no second text
    """

    def __init__(self, dataset: "Dataset", *, kind: str | None = None) -> None:
        """Read the columns of a dataset's records; `kind` keeps only those records where it is given.

        raises   DataError: records of several kinds without `kind`; a score or weight that is not finite
                 NotEnoughData: no record, or none with a positive (for `retrieval` and `pair`)
        """
        self.name, records = dataset.name, dataset.records
        kinds = records.column("kind").unique().to_pylist() if records.num_rows else []
        if kind is None and len(kinds) > 1:
            raise DataError(f"dataset {self.name} has records of the kinds {', '.join(sorted(kinds))}; name one")
        self.kind = kind or (kinds[0] if kinds else "retrieval")
        kept = np.flatnonzero(np.asarray(records.column("kind").to_numpy(zero_copy_only=False)) == self.kind)
        if not len(kept):
            raise NotEnoughData(f"dataset {self.name}: no positives: it holds no record of kind {self.kind}")
        records = records.take(pa.array(kept))
        self.rows, count = kept.astype(np.int64), len(kept)
        optional = {name: records.column(name) for name in records.column_names}
        self.query = records.column("query").to_numpy().astype(np.int64)
        self.positives = Ragged.of(optional.get("positives"), count)
        self.negatives = Ragged.of(optional.get("negatives"), count)
        self.weights = self._finite("weight", optional.get("weight"), count)
        self.scores = self._scores("scores", optional.get("scores"), count)
        self.teacher_scores = self._scores("teacher_scores", optional.get("teacher_scores"), count)
        self.groups = _codes(optional.get("group"))
        self.instructions = _instructions(optional, count)
        self.keys = input_keys(dataset.inputs)
        self.content = content_keys(dataset.inputs)
        classes = _codes(optional.get("label"))
        self.classes = np.full(count, -1, np.int64) if classes is None else classes
        self.labels = self._input_labels()
        self._find_known()
        self._find_members()
        self.usable, self.lone = self._usable(), self._lone()

    def __len__(self) -> int:
        return len(self.query)

    def positives_of(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """int64 [B, P] rows of inputs; for `class` records another text of the class, drawn by (seed, key)."""
        if self.kind != "class":
            return self.positives.padded(rows)
        classes = self.classes[rows]
        first, sizes = self._members.offsets[classes], np.diff(self._members.offsets)[classes]
        draw = _mix(self.keys[self.query[rows]], seed) % np.maximum(sizes - 1, 1).astype(np.uint64)
        chosen = draw.astype(np.int64)
        chosen += chosen >= self._place[rows]  # step over the row's own text
        inside = sizes > 1
        values = self._members.values[np.where(inside, first + chosen, 0)]
        return np.where(inside, values, -1)[:, None]

    def negatives_of(self, rows: np.ndarray, seed: int, *, lone: bool = True) -> np.ndarray:
        """int64 [B, N] rows of inputs; with `lone`, some rows of `class` records get the text of a lone class.

        Such a text can be no row, for want of a positive. It comes about once an epoch, which of them by (seed, key).
        """
        own = self.negatives.padded(rows)
        if not lone or not len(self.lone):
            return own
        wanted = len(rows) * len(self.lone) / len(self.usable)
        chance = int(_mix(np.array([len(rows)], np.int64), seed)[0]) / 2**64
        count = min(int(wanted + chance), len(rows), len(self.lone))
        texts = self.query[self.lone]
        chosen = texts[np.argsort(_mix(self.keys[texts], seed), kind="stable")[:count]]
        added = np.full(len(rows), -1, np.int64)
        added[:count] = chosen
        return np.concatenate([own, added[:, None]], axis=1) if count else own

    def known(self, query_inputs: np.ndarray, block: np.ndarray) -> np.ndarray:
        """int64 [M, 2]: (row, place in `block`) of every known positive of the row's query that the block holds."""
        return self._known_pairs(self._key_codes[query_inputs], self._key_codes[block])

    def known_keys(self, query_keys: np.ndarray, block_keys: np.ndarray) -> np.ndarray:
        """The same by key, for queries and documents that may be another dataset's."""
        return self._known_pairs(self._codes_of(query_keys), self._codes_of(block_keys))

    def _codes_of(self, keys: np.ndarray) -> np.ndarray:
        places = np.minimum(np.searchsorted(self._key_values, keys), len(self._key_values) - 1)
        return np.where(self._key_values[places] == keys, places, -1)

    def _known_pairs(self, queries: np.ndarray, block: np.ndarray) -> np.ndarray:
        """From codes of queries and of the block, -1 for what is not of this dataset."""
        order = np.argsort(block, kind="stable")
        codes = block[order]
        starts = np.where(queries >= 0, self._known.offsets[queries], 0)
        ends = np.where(queries >= 0, self._known.offsets[queries + 1], 0)
        rows = np.repeat(np.arange(len(queries)), ends - starts)
        wanted = self._known.values[_ranges(starts, ends)]
        left, right = np.searchsorted(codes, wanted, "left"), np.searchsorted(codes, wanted, "right")
        found = np.stack([np.repeat(rows, right - left), order[_ranges(left, right)]], axis=1)
        return np.unique(found, axis=0) if len(found) else np.zeros((0, 2), np.int64)

    def _find_known(self) -> None:
        """Known positives by key: query code -> codes of all positives of all its records."""
        self._key_values, self._key_codes = np.unique(self.keys, return_inverse=True)
        width = max(len(self._key_values), 1)
        queries = np.repeat(self._key_codes[self.query], np.diff(self.positives.offsets))
        pairs = np.unique(queries * width + self._key_codes[self.positives.values])  # one number a pair sorts faster
        counts = np.bincount(pairs // width, minlength=width)
        self._known = Ragged(np.concatenate([[0], np.cumsum(counts)]), pairs % width)

    def _find_members(self) -> None:
        """Texts of each class, each key once, and the place of each record's own text among them."""
        labelled = np.flatnonzero(self.classes >= 0)
        codes = self._key_codes[self.query[labelled]]
        pairs, first = np.unique(np.stack([self.classes[labelled], codes], axis=1), axis=0, return_index=True)
        counts = np.bincount(pairs[:, 0], minlength=int(self.classes.max(initial=-1)) + 1)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        self._members = Ragged(offsets, self.query[labelled][first])
        order = np.full(len(self), -1, np.int64)
        width = int(codes.max(initial=0)) + 1
        places = np.searchsorted(pairs[:, 0] * width + pairs[:, 1], self.classes[labelled] * width + codes)
        order[labelled] = places - offsets[self.classes[labelled]]
        self._place = order

    def _usable(self) -> np.ndarray:
        """int64: records that can be a row: with a positive; of class data those whose class has two texts."""
        if self.kind == "class":
            sizes = np.diff(self._members.offsets)
            good = (self.classes >= 0) & (np.append(sizes, 0)[self.classes] > 1)
        elif self.kind == "plain":
            good = np.ones(len(self), bool)
        else:
            good = np.diff(self.positives.offsets) > 0
        good &= self.weights > 0
        if not good.any():
            what = "a class with two texts" if self.kind == "class" else "a positive and a weight above 0"
            raise NotEnoughData(f"dataset {self.name}: no positives: none of {len(self):,} records has {what}")
        return np.flatnonzero(good)

    def _lone(self) -> np.ndarray:
        """int64: a record of each class that has one text; it serves as a negative only."""
        if self.kind != "class":
            return np.zeros(0, np.int64)
        sizes = np.append(np.diff(self._members.offsets), 0)
        alone = np.flatnonzero((self.classes >= 0) & (sizes[self.classes] == 1) & (self.weights > 0))
        return alone[np.unique(self.classes[alone], return_index=True)[1]]

    def _input_labels(self) -> np.ndarray:
        """int64 [inputs]: the class of each text, by its query or positive role; -1 unknown or contradicting."""
        labels = np.full(len(self.keys), -1, np.int64)
        inputs = np.concatenate([self.query, self.positives.values.astype(np.int64)])
        classes = np.concatenate([self.classes, np.repeat(self.classes, np.diff(self.positives.offsets))])
        inputs, classes = inputs[classes >= 0], classes[classes >= 0]
        labels[inputs] = classes
        labels[inputs[labels[inputs] != classes]] = -1
        return labels

    def _finite(self, column: str, values: pa.ChunkedArray | None, count: int) -> np.ndarray:
        if values is None:
            return np.ones(count, np.float32)
        array = values.fill_null(1.0).to_numpy().astype(np.float32)
        if len(bad := np.flatnonzero(~np.isfinite(array) | (array < 0))):
            raise self._not_finite(column, int(bad[0]), array[bad[0]])
        return array

    def _scores(self, column: str, values: pa.ChunkedArray | None, count: int) -> Ragged | None:
        if values is None or values.null_count == len(values):
            return None
        ragged = Ragged.of(values, count)
        scores = np.asarray(ragged.values, dtype=np.float32)
        if len(bad := np.flatnonzero(~np.isfinite(scores))):
            raise self._not_finite(column, int(np.searchsorted(ragged.offsets, bad[0], "right")) - 1, scores[bad[0]])
        listed = np.diff(self.positives.offsets) + np.diff(self.negatives.offsets)
        lengths = np.diff(ragged.offsets)
        if len(bad := np.flatnonzero((lengths != listed) & (lengths > 0))):
            raise DataError(
                f"{lengths[bad[0]]} scores for {listed[bad[0]]} positives and negatives; they must be aligned",
                file=self.name,
                row=int(self.rows[bad[0]]) + 1,
                column=column,
            )
        return Ragged(ragged.offsets, scores)

    def _not_finite(self, column: str, record: int, value: float) -> DataError:
        return DataError(
            f"{value}: a number that is finite and at least 0 was expected; mend or drop the record",
            file=self.name,
            row=int(self.rows[record]) + 1,
            column=column,
        )


def _codes(column: pa.ChunkedArray | None) -> np.ndarray | None:
    """Strings as int64 codes, -1 for null; None where the column is absent or all null."""
    if column is None or column.null_count == len(column):
        return None
    encoded = column.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.fill_null(-1), dtype=np.int64)


def _instructions(columns: dict[str, pa.ChunkedArray], count: int) -> Instructions | None:
    sides = [columns.get("instruction_query"), columns.get("instruction_document")]
    if all(side is None or side.null_count == len(side) for side in sides):
        return None
    words: dict[str, int] = {"": 0}
    codes = [
        np.array([words.setdefault(word or "", len(words)) for word in (side.to_pylist() if side else [""] * count)])
        for side in sides
    ]
    return Instructions(list(words), *codes)


def content_keys(inputs: pa.Table) -> np.ndarray:
    """int64 [inputs]: the first 64 bits of the content id."""
    return input_keys(inputs.select(["content"]))


def input_keys(inputs: pa.Table) -> np.ndarray:
    """int64 [inputs]: the first 64 bits of the content id, or of the source that `same_as` names."""
    content = inputs.column("content")
    if "same_as" in inputs.column_names:
        content = pc.coalesce(inputs.column("same_as"), content)
    array = content.combine_chunks()
    raw = np.frombuffer(array.buffers()[1] or b"", dtype=">u8", offset=array.offset * 16, count=len(array) * 2)
    return raw[::2].astype(np.uint64).view(np.int64)


def _ranges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The concatenation of arange(start, end) over all pairs."""
    lengths = ends - starts
    shift = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) if len(starts) else starts
    return np.arange(int(lengths.sum())) + shift


def _mix(keys: np.ndarray, seed: int) -> np.ndarray:
    """uint64: a hash of (key, seed), the finaliser of splitmix64."""
    value = keys.view(np.uint64) ^ np.uint64((seed * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    with np.errstate(over="ignore"):
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
