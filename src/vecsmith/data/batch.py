"""What an objective reads: the distinct inputs of both sides of a batch, and the indices that tie rows to them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vecsmith.data.columns import RecordColumns

__all__ = ["Batch", "Block", "gather_batch"]


@dataclass(frozen=True)
class Block:
    """One side of a batch: U distinct (instruction, input) pairs.

    rows      int64 [U]   rows of the dataset's `inputs`
    keys      int64 [U]   equal key = the same thing, on both sides
    labels    int64 [U]   class within its dataset, -1 unknown
    teacher   float32 [U, dt] or None   vectors of a guide or teacher
    features  what the encoder takes, or None
    """

    rows: Tensor
    keys: Tensor
    labels: Tensor
    teacher: Tensor | None = None
    features: Mapping[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Batch:
    """B rows over two blocks; P and N are the most positives and negatives of a row.

    query_index        int64 [B]       row -> query block
    positives          int64 [B, P]    row -> document block, -1 where absent
    negatives          int64 [B, N]    the same
    known              int64 [M, 2]    (row, document block): every known positive present, sampled or not
    weights            float32 [B]
    dataset            int64 [B]
    scores, teacher_scores   float32 [B, P+N] or None; NaN where absent
    groups             int64 [B] or None; -1 is no group
    kind, in_batch     one value for the batch
    progress           0..1 of the run, for curricula
    seed               an objective's draws are a function of (seed, keys), never of position
    state              the few numbers an objective keeps between steps
    """

    queries: Block
    documents: Block
    query_index: Tensor
    positives: Tensor
    negatives: Tensor
    known: Tensor
    weights: Tensor
    dataset: Tensor
    scores: Tensor | None = None
    teacher_scores: Tensor | None = None
    groups: Tensor | None = None
    kind: str = "retrieval"
    in_batch: bool = True
    progress: float = 0.0
    seed: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.query_index)

    def select(self, rows: Tensor) -> "Batch":
        """The batch with these rows only, in this order; the blocks stay whole, so they are candidates still.

        rows   int64 [b], each at most once
        """
        place = torch.full((len(self),), -1, dtype=torch.int64)
        place[rows] = torch.arange(len(rows))
        kept = place[self.known[:, 0]] >= 0
        known = torch.stack([place[self.known[kept, 0]], self.known[kept, 1]], dim=1)
        chosen = {
            name: value[rows]
            for name in ("query_index", "positives", "negatives", "weights", "dataset", *_OPTIONAL)
            if (value := getattr(self, name)) is not None
        }
        return replace(self, known=known, **chosen)

    def to_dict(self) -> dict[str, Any]:
        """A plain, nested dict for the Trainer, which moves its tensors; None is left out; no key is `labels`."""
        result = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        for side in ("queries", "documents"):
            block = result[side]
            result[side] = {f.name: value for f in fields(block) if (value := getattr(block, f.name)) is not None}
        return result

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Batch":
        """The batch a `to_dict` came from; keys that are no fields are left aside."""
        own = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        return cls(**{**own, **{side: Block(**own[side]) for side in ("queries", "documents")}})


_OPTIONAL = ("scores", "teacher_scores", "groups")

Encode = Callable[[str, np.ndarray, list[str] | None], Mapping[str, Any]]


def gather_batch(
    columns: RecordColumns,
    record_rows: np.ndarray,
    *,
    in_batch: bool = True,
    dataset: int = 0,
    progress: float = 0.0,
    seed: int = 0,
    teacher: np.ndarray | None = None,
    encode: Encode | None = None,
    lone: bool = True,
) -> Batch:
    """Gather records into a batch; every distinct (instruction, input) of a side stands once.

    columns      the dataset's records as arrays (`RecordColumns`); all of one kind
    record_rows  int64 [B], rows of `records`
    in_batch     whether other rows' documents may be candidates
    dataset      its number in the run, for `Batch.dataset`
    teacher      float32 [inputs, dt]: a teacher's vector of each input, or None
    encode       (side, input rows, instructions or None) -> features of the encoder; None leaves features out
    lone         of `class` data, classes with one text lend it as a negative (`RecordColumns.negatives_of`)
    """
    rows = np.asarray(record_rows, dtype=np.int64)
    query_inputs, positives = columns.query[rows], columns.positives_of(rows, seed)
    negatives, instructions = columns.negatives_of(rows, seed, lone=lone), columns.instructions
    query_codes = instructions.query[rows] if instructions else None
    document_codes = instructions.document[rows] if instructions else None
    query_block, query_index, query_asked = _distinct(query_inputs[:, None], query_codes)
    both = np.concatenate([positives, negatives], axis=1)
    document_block, document_index, document_asked = _distinct(both, document_codes)
    width = positives.shape[1]

    def block(side: str, inputs: np.ndarray, asked: np.ndarray | None) -> Block:
        words = [instructions.words[code] for code in asked] if instructions and asked is not None else None
        return Block(
            rows=torch.from_numpy(inputs),
            keys=torch.from_numpy(columns.keys[inputs]),
            labels=torch.from_numpy(columns.labels[inputs]),
            teacher=None if teacher is None else torch.from_numpy(np.asarray(teacher[inputs], dtype=np.float32)),
            features=None if encode is None else encode(side, inputs, words),
        )

    return Batch(
        queries=block("query", query_block, query_asked),
        documents=block("document", document_block, document_asked),
        query_index=torch.from_numpy(query_index[:, 0]),
        positives=torch.from_numpy(document_index[:, :width].copy()),
        negatives=torch.from_numpy(document_index[:, width:].copy()),
        known=torch.from_numpy(columns.known(query_inputs, document_block)),
        weights=torch.from_numpy(columns.weights[rows]),
        dataset=torch.full((len(rows),), dataset, dtype=torch.int64),
        scores=_aligned(columns, "scores", rows, width, negatives.shape[1]),
        teacher_scores=_aligned(columns, "teacher_scores", rows, width, negatives.shape[1]),
        groups=None if columns.groups is None else torch.from_numpy(columns.groups[rows]),
        kind=columns.kind,
        in_batch=in_batch,
        progress=progress,
        seed=seed,
    )


def _distinct(inputs: np.ndarray, instruction: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Distinct inputs [U] in order of input row, places int64 like `inputs` (-1 stays), instruction codes [U]."""
    absent = inputs < 0
    if instruction is None:
        values, places = np.unique(np.where(absent, _LAST, inputs), return_inverse=True)
        asked = None
    else:
        pairs = np.where(absent, _LAST, inputs * (int(instruction.max(initial=0)) + 1) + instruction[:, None])
        codes, places = np.unique(pairs, return_inverse=True)
        values, asked = np.divmod(codes, int(instruction.max(initial=0)) + 1)
        values = np.where(codes == _LAST, _LAST, values)
    count = len(values) - bool(absent.any())
    places = np.where(absent, -1, places.reshape(inputs.shape)).astype(np.int64)
    return values[:count].astype(np.int64), places, None if asked is None else asked[:count]


_LAST = np.iinfo(np.int64).max


def _aligned(columns: RecordColumns, name: str, rows: np.ndarray, positives: int, negatives: int) -> Tensor | None:
    """float32 [B, P+N] of a list column that stands in the order positives then negatives; NaN where absent."""
    ragged = getattr(columns, name)
    if ragged is None:
        return None
    starts, ends = ragged.offsets[rows][:, None], ragged.offsets[rows + 1][:, None]
    own = (columns.positives.offsets[rows + 1] - columns.positives.offsets[rows])[:, None]
    first, second = np.arange(positives)[None], own + np.arange(negatives)[None]  # places in the row's list
    places = np.concatenate([np.where(first < own, first, _LAST // 2), second], axis=1) + starts
    inside = places < ends  # a row without scores has an empty list
    result = np.full(places.shape, np.nan, dtype=np.float32)
    result[inside] = ragged.values[places[inside]]
    return torch.from_numpy(result)
