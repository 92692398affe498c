"""Exact top-k of inner products in bounded memory: the score matrix is never whole.

Pure numpy; the one top-k that the judge, the miner and the exact index share. Sorting every score would cost as much
as making it. Here a score is compared once with the worst that its query keeps, and few pass. Before a query keeps
k, the maxima of groups of columns give a bound that is nearly as good.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["merge_top_k", "top_k"]

Float = NDArray[np.float32]
Rows = NDArray[np.int64]
Keys = NDArray[np.uint64]

GROUP = 16  # columns folded into one maximum
BLOCK_DOCUMENTS, BLOCK_SCORES = 4_096, 1 << 22  # 16 MB of scores, near the caches
MOST_DOCUMENTS = 2**32 - 1
NOTHING = np.uint64(2**64 - 1)  # the key of an empty place: behind every score
LOW = np.uint64(2**32 - 1)


def top_k(
    queries: Float,
    documents: Float,
    k: int,
    *,
    block_rows: int | None = None,
    allowed: "NDArray[np.bool_] | None" = None,
    on_block: Callable[[int], None] | None = None,
) -> tuple[Rows, Float]:
    """The k documents of greatest inner product for each query, best first.

    queries     float32 [q, d]
    documents   float32 or float16 [n, d]; may be a memory map, read block by block
    k           1 or more
    block_rows  documents scored at once (default 4,096, for few queries more); queries are cut so that a block of
                scores takes about 16 MB
    allowed     bool [n]: only these rows can be found
    on_block    called with the number of documents done since the last call
    returns     rows int64 [q, k] and scores float32 [q, k]; equal scores by row ascending; where fewer than k
                documents can be found, rows are -1 and scores -inf
    raises      ValueError: widths differ, k < 1, or a score is not finite (the document row or query is named)
    """
    if queries.ndim != 2 or documents.ndim != 2 or queries.shape[1] != documents.shape[1]:
        raise ValueError(f"queries {queries.shape} and documents {documents.shape} need two axes and equal width")
    if k < 1:
        raise ValueError(f"k is {k}; it must be 1 or more")
    count, total = len(queries), len(documents)
    if total > MOST_DOCUMENTS:
        raise ValueError(f"{total:,} documents; at most {MOST_DOCUMENTS:,} can be searched at once")
    keys: Keys = np.full((count, k), NOTHING, dtype=np.uint64)
    block = block_rows or max(BLOCK_DOCUMENTS, min(1 << 16, BLOCK_SCORES // max(1, count)))
    step = max(1, BLOCK_SCORES // min(block, max(1, total)))
    room = np.empty(min(count, step) * min(block, total), dtype=np.float32)  # one buffer: fresh pages are slow
    largest = _largest(queries)
    for start in range(0, total, block):
        stop = min(total, start + block)
        part = np.asarray(documents[start:stop], dtype=np.float32)
        is_safe = _largest(part) * largest * queries.shape[1] < 1e38  # then no score overflows; NaN is not safe
        for first in range(0, count, step):
            some = queries[first : first + step]
            with np.errstate(over="ignore", invalid="ignore"):  # said below, with the row
                scored = np.matmul(some, part.T, out=room[: len(some) * len(part)].reshape(len(some), len(part)))
            if not is_safe:
                _require_finite(scored, some, first, start)
            if allowed is not None:
                scored[:, ~allowed[start:stop]] = -np.inf
            keys[first : first + step] = _offer(keys[first : first + step], scored, start)
        if on_block is not None:
            on_block(stop - start)
    keys.sort(axis=1)
    return _decode(keys)


def _largest(vectors: Float) -> float:
    """The largest magnitude of a component; NaN where there is one."""
    with np.errstate(invalid="ignore"):
        return max(float(vectors.max()), -float(vectors.min())) if vectors.size else 0.0


def _require_finite(scored: Float, queries: Float, first: int, start: int) -> None:
    finite = np.isfinite(scored)
    if finite.all():
        return
    if not (whole := np.isfinite(queries).all(axis=1)).all():
        raise ValueError(f"query row {first + int((~whole).argmax())} has NaN or infinity; scores need finite vectors")
    bad = start + int((~finite).any(axis=0).argmax())
    raise ValueError(f"document row {bad} or a query has NaN or infinity; scores need finite vectors")


def _offer(keys: Keys, scored: Float, offset: int) -> Keys:
    """The k best of what was kept and a new block of later documents; the last column is the worst kept.

    keys [q, k] and scored [q, w] -> keys [q, k]
    """
    width = scored.shape[1]
    k = keys.shape[1]
    bar = _decode(keys[:, -1])[1]
    is_full = not np.isneginf(bar).any()
    groups = min(width, max(width // GROUP, 2 * k))
    if not is_full and groups > k:
        best = scored[:, :groups].copy()
        for begin in range(groups, width, groups):
            folded = scored[:, begin : begin + groups]
            np.maximum(best[:, : folded.shape[1]], folded, out=best[:, : folded.shape[1]])
        # k groups hold a score of at least this, so that what is below cannot be among the k best of the block.
        worst = np.partition(best, groups - k, axis=1)[:, groups - k]
        bar = np.maximum(bar, np.nextafter(worst, np.float32(-np.inf)))
    places = np.flatnonzero(scored > bar[:, None])
    if not len(places):
        return keys
    row, column = np.divmod(places, width)
    return _keep(keys, row, _encode(scored.ravel()[places], column + offset))


def _keep(keys: Keys, row: Rows, found: Keys) -> Keys:
    """The k smallest keys of each row of what was kept and what was found; `row` ascends."""
    count, k = keys.shape
    sizes = np.bincount(row, minlength=count)
    starts = np.cumsum(sizes) - sizes
    wide = np.full((count, k + int(sizes.max())), NOTHING, dtype=np.uint64)
    wide[:, :k] = keys
    wide[row, k + np.arange(len(row)) - starts[row]] = found
    wide.partition(k - 1, axis=1)
    return wide[:, :k]


def _encode(scores: Float, rows: Rows) -> Keys:
    """Numbers that ascend as scores fall, and with equal scores as rows rise."""
    bits = (scores + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0, which it equals
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return ((~ascending).astype(np.uint64) << np.uint64(32)) | rows.astype(np.uint64)


def _decode(keys: Keys) -> tuple[Rows, Float]:
    """Rows and scores of keys; -1 and -inf for an empty place."""
    ascending = ~(keys >> np.uint64(32)).astype(np.uint32)
    bits = np.where(ascending >> 31, ascending & np.uint32(2**31 - 1), ~ascending)
    empty = keys == NOTHING
    rows = np.where(empty, -1, (keys & LOW).astype(np.int64))
    return rows, np.where(empty, np.float32(-np.inf), bits.astype(np.uint32).view(np.float32))


def merge_top_k(rows_a: Rows, scores_a: Float, rows_b: Rows, scores_b: Float, k: int) -> tuple[Rows, Float]:
    """The k best of two result lists per query; rows -1 are empty places. Equal scores by row ascending."""
    rows = np.concatenate([rows_a, rows_b], axis=1)
    scores = np.concatenate([scores_a, scores_b], axis=1)
    by_row = np.where(rows < 0, np.iinfo(np.int64).max, rows)
    order = np.lexsort((by_row, -scores), axis=1)[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
