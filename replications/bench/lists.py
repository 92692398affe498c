"""Records from the bed: the words of a name ask for its summary, against summaries mined on the frozen vectors."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from replications.bench.bed import Bed
from vecsmith.data.dataset import Dataset
from vecsmith.topk import top_k

__all__ = ["as_records", "body_scores", "mined_ranks"]

Rows = NDArray[np.int64]
Double = NDArray[np.float64]


def mined_ranks(bed: Bed, side: slice, *, ranks: tuple[int, int], count: int, seed: int = 0) -> Rows:
    """For each query of a side, other things of it: int64 [n, count], numbers within the side.

    ranks   [low, high) of the frozen cosine of words and summary, the own one left out; of these `count` are drawn by
            `seed`, or the first `count` where the range is as long as that
    """
    words, summaries = bed.vectors["words"][side], bed.vectors["summary"][side]
    low, high = ranks
    found, _ = top_k(words, summaries, min(high + 1, len(summaries)))
    draw, chosen = np.random.default_rng(seed), np.empty((len(words), count), dtype=np.int64)
    for query, rows in enumerate(found):
        others = rows[rows != query][low:high]
        kept = others if len(others) == count else others[np.sort(draw.permutation(len(others))[:count])]
        chosen[query] = kept
    return chosen


def body_scores(bed: Bed, side: slice, lists: Rows) -> Double:
    """A teacher's view: cosine of the own body with the body of each in a row's list, float64 [n, k]."""
    bodies = bed.vectors["body"][side].astype(np.float64)
    return np.asarray(np.einsum("nd,nkd->nk", bodies, bodies[lists]))


def as_records(
    bed: Bed,
    lists: Rows | None = None,
    *,
    name: str = "bed",
    rows: Rows | None = None,
    positives: Rows | None = None,
    scores: Double | None = None,
    query: Callable[[int], str] | None = None,
    document: Callable[[int], str] | None = None,
) -> Dataset:
    """Retrieval records of the train side.

    lists       int64 [trains, k], negatives; None has none
    rows        which things are queries; None all of the train side
    positives   int64 [trains], the positive where it is not the own one (label noise)
    scores      float64 [trains, 1 + k], teacher scores of positive and negatives
    query, document   thing -> text; by default its words and its summary
    """
    query, document = query or bed.words.__getitem__, document or bed.summary.__getitem__
    with Dataset.build(name=name) as builder:
        for row in range(bed.trains) if rows is None else rows.tolist():
            builder.add_record(
                query=query(row),
                positives=[document(row if positives is None else int(positives[row]))],
                negatives=[] if lists is None else [document(int(other)) for other in lists[row]],
                teacher_scores=None if scores is None else scores[row].tolist(),
            )
        return builder.finish()
