"""Join a dense and a lexical answer to the same query into one, as functions on arrays.

By scores (min-max over the union of both, one weight, chosen on judgements) or, where there are no judgements, by ranks
(Cormack, Clarke and Buettcher, SIGIR 2009). Storage plays no part: the index and the judge call the same functions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import NotEnoughData

__all__ = [
    "Candidates",
    "FusionWeight",
    "fuse_scores",
    "gather_candidates",
    "rank_fusion",
    "score_fusion",
    "tune_weight",
]

Rows = NDArray[np.int64]
Scores = NDArray[np.float32]
Side = tuple[Rows, Scores]

MIN_JUDGED = 30


@dataclass(frozen=True)
class Candidates:
    """The union of both sides' best for one query, both scores known for every row: rows int64 [m] ascending,
    dense and lexical float32 [m]."""

    rows: Rows
    dense: Scores
    lexical: Scores


@dataclass(frozen=True)
class FusionWeight:
    """What `tune_weight` chose.

    weight        on all judged queries: share of the dense side
    score         mean of the metric over queries, each judged with the weight chosen on the other folds: honest
    fold_weights  the weight of each fold; far apart means that the queries are too few to tell
    curve         the mean metric of every grid weight, on all queries
    """

    weight: float
    score: float
    fold_weights: tuple[float, ...]
    curve: dict[float, float]


def fuse_scores(dense: Scores, lexical: Scores, weight: float) -> NDArray[np.float64]:
    """weight * z(dense) + (1 - weight) * z(lexical), z = min-max over the given rows; equal scores give z = 0.

    dense, lexical   float [m], aligned
    weight           0 (lexical alone) to 1 (dense alone)

    >>> fuse_scores(np.array([0.2, 0.6]), np.array([4.0, 0.0]), 0.25)
    array([0.75, 0.25])
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight is {weight}; it must lie in 0..1 (the share of the dense side)")
    return weight * _min_max(dense) + (1 - weight) * _min_max(lexical)


def score_fusion(dense: Side, lexical: Side, weight: float) -> tuple[Rows, Scores]:
    """One ranking of the union of two answers: rows int64 [m], scores float32 [m], best first, equal scores by row.

    dense, lexical   (rows [n], scores [n]); rows -1 are empty places. A row that one side does not list takes the
                     lowest score listed there (dense) or 0 (lexical: no matching term); `gather_candidates` fills in
                     what both sides really say, which is better where it can be had
    """
    union = gather_candidates(dense, lexical)
    return ranked(union.rows, fuse_scores(union.dense, union.lexical, weight))


def gather_candidates(
    dense: Side,
    lexical: Side,
    *,
    dense_scores: Callable[[Rows], Scores] | None = None,
    lexical_scores: Callable[[Rows], Scores] | None = None,
) -> Candidates:
    """The union of two answers with both scores of every row.

    dense_scores, lexical_scores   rows int64 [n] -> scores float32 [n], asked for the rows that a side did not list;
                                   without them such rows take the side's lowest score (dense) or 0 (lexical)
    """
    sides = [(rows[rows >= 0], scores[rows >= 0]) for rows, scores in (dense, lexical)]
    union = np.union1d(sides[0][0], sides[1][0]).astype(np.int64)
    floor = float(sides[0][1].min()) if len(sides[0][1]) else 0.0
    filled = [
        _fill(union, *side, scorer, missing)
        for side, scorer, missing in zip(sides, (dense_scores, lexical_scores), (floor, 0.0), strict=True)
    ]
    return Candidates(union, *filled)


def rank_fusion(*sides: Side, constant: float = 60.0) -> tuple[Rows, Scores]:
    """Reciprocal rank fusion: sum over sides of 1 / (constant + rank), rank from 1, over the union of the sides.

    >>> rank_fusion((np.array([7, 3]), np.array([0.9, 0.8])), (np.array([3]), np.array([5.0])))[0]
    array([3, 7])
    """
    listed = [rows[rows >= 0] for rows, _ in sides]
    union = np.unique(np.concatenate(listed)).astype(np.int64) if listed else np.empty(0, dtype=np.int64)
    total = np.zeros(len(union), dtype=np.float64)
    for rows in listed:
        total[np.searchsorted(union, rows)] += 1.0 / (constant + np.arange(1, len(rows) + 1))
    return ranked(union, total)


def ranked(rows: Rows, scores: NDArray[np.float64]) -> tuple[Rows, Scores]:
    """Best first, equal scores by row ascending."""
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order].astype(np.float32)


def tune_weight(
    candidates: Sequence[Candidates],
    relevance: Sequence[Mapping[int, float]],
    *,
    metric: Callable[[Rows, Mapping[int, float]], float] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> FusionWeight:
    """Choose the weight of score fusion on judged queries, over the grid 0, 0.05, ..., 1.

    candidates   per query
    relevance    per query: row -> grade, greater is better, 0 irrelevant
    metric       (rows best first, grades) -> value; nDCG@10 by default
    folds        cross-validation of `score`; the weight itself is chosen on all queries. Of equal weights the one
                 nearest to 0.5 wins
    raises       NotEnoughData under 30 queries with a relevant row: a weight from fewer is noise; fuse by ranks
    """
    judged = [i for i, grades in enumerate(relevance) if any(grade > 0 for grade in grades.values())]
    if len(judged) < MIN_JUDGED:
        raise NotEnoughData(
            f"{len(judged)} judged queries cannot choose a fusion weight; judge at least {MIN_JUDGED}, or fuse by ranks"
        )
    measure = metric or ndcg_at_10
    grid = np.round(np.linspace(0, 1, 21), 2)
    table = np.array([[_judge(candidates[i], relevance[i], w, measure) for w in grid] for i in judged])  # [q, 21]
    order = np.random.default_rng(seed).permutation(len(judged))
    parts = np.array_split(order, min(folds, len(judged)))
    held_out, chosen = np.empty(len(judged)), []
    for part in parts:
        rest = np.setdiff1d(order, part)
        best = _best(table[rest].mean(axis=0), grid)
        chosen.append(float(grid[best]))
        held_out[part] = table[part, best]
    means = table.mean(axis=0)
    curve = {float(w): float(m) for w, m in zip(grid, means, strict=True)}
    return FusionWeight(float(grid[_best(means, grid)]), float(held_out.mean()), tuple(chosen), curve)


def ndcg_at_10(rows: Rows, grades: Mapping[int, float]) -> float:
    """trec_eval's nDCG@10: gain = grade, discount 1 / log2(rank + 1).

    >>> round(ndcg_at_10(np.array([5, 9]), {9: 1.0}), 4)
    0.6309
    """
    discount = 1.0 / np.log2(np.arange(2, 12))
    gains = np.array([max(0.0, grades.get(int(row), 0.0)) for row in rows[:10]])
    ideal = np.sort([g for g in grades.values() if g > 0])[::-1][:10]
    return float((gains * discount[: len(gains)]).sum() / (ideal * discount[: len(ideal)]).sum()) if len(ideal) else 0.0


def _judge(one: Candidates, grades: Mapping[int, float], weight: float, measure: Callable[..., float]) -> float:
    return measure(ranked(one.rows, fuse_scores(one.dense, one.lexical, weight))[0], grades)


def _best(means: NDArray[np.float64], grid: NDArray[np.float64]) -> int:
    """The place of the greatest mean; of equal ones (to 1e-12) the weight nearest to 0.5, then the lower."""
    best = np.flatnonzero(means >= means.max() - 1e-12)
    return int(best[np.argmin(np.abs(grid[best] - 0.5))])


def _min_max(scores: Scores) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if not len(values):
        return values
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _fill(union: Rows, rows: Rows, scores: Scores, scorer: Callable[[Rows], Scores] | None, missing: float) -> Scores:
    """A side's scores for every row of the union."""
    filled = np.full(len(union), missing, dtype=np.float32)
    listed = np.searchsorted(union, rows)
    filled[listed] = scores
    if scorer is not None:
        absent = np.ones(len(union), dtype=bool)
        absent[listed] = False
        if absent.any():
            filled[absent] = scorer(union[absent])
    return filled
