"""Choose hard negatives from ranked candidates: drop what is known to answer, what may answer, and take n of the rest.

Order: positives, own text and duplicates out; ranks [low, high); positive-aware filters
(NV-Retriever, arXiv 2407.15831); the hardest n, or a seeded draw. Pure numpy on arrays; `models/mining.py` has vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import DataError, UsageError

__all__ = ["REASONS", "Mined", "MiningOptions", "select_negatives", "spread_margin"]

Float = NDArray[np.float32]
Rows = NDArray[np.int64]
Margin = Callable[[Float, Float], Float]

REASONS = ("known", "rank", "absolute_margin", "relative_margin", "margin", "max_score", "min_score")


@dataclass(frozen=True)
class MiningOptions:
    """What counts as a hard negative.

    negatives         n per record
    ranks             [low, high) among the candidates that are no known positive and not the query's own text
    relative_margin   keep s < p - m |p|: with p below 0, p (1 - m) would lie above p. 0.05 is NV-Retriever's 95 %
    absolute_margin   keep s < p - m
    margin            callable (scores [q, c], p [q]) -> thresholds [q]: keep s < threshold; an adaptive margin
    max_score         keep s <= it
    min_score         keep s >= it
    positive          which positive is p where a record has several: "smallest" score (none of them may be passed;
                      the default, as in sentence-transformers) or "largest" [ours]
    consistent_rank   drop the record where its best positive scores below the candidate of this rank (from 1)
    choose            "hardest", or "random": a draw by (seed, query key, document key)
    """

    negatives: int = 7
    ranks: tuple[int, int] = (10, 100)
    relative_margin: float | None = 0.05
    absolute_margin: float | None = None
    margin: Margin | None = None
    max_score: float | None = None
    min_score: float | None = None
    positive: str = "smallest"
    consistent_rank: int | None = None
    choose: str = "hardest"
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.ranks
        if self.negatives < 1:
            raise UsageError(f"negatives is {self.negatives}; it must be 1 or more")
        if not 0 <= low < high or high - low < self.negatives:
            raise UsageError(f"ranks {low}:{high} hold no {self.negatives} negatives; the range ends before its end")
        if self.positive not in ("smallest", "largest") or self.choose not in ("hardest", "random"):
            raise UsageError('positive is "smallest" or "largest", choose is "hardest" or "random"')
        if self.consistent_rank is not None and self.consistent_rank < 1:
            raise UsageError(f"consistent_rank is {self.consistent_rank}; ranks count from 1")
        for name in ("relative_margin", "absolute_margin", "max_score", "min_score"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and (value >= 0 or name.endswith("score"))):
                raise UsageError(f"{name} is {value}; a margin is 0 or more, a score a finite number")

    @property
    def depth(self) -> int:
        """Candidates that are looked at, besides what is known."""
        return max(self.ranks[1], self.consistent_rank or 0)


@dataclass(frozen=True)
class Mined:
    """rows int64 [q, n] (-1: fewer were found), scores float32 [q, n] (-inf there), hardest first.

    kept        bool [q]: false where `consistent_rank` drops the record
    reasons     int8 [q, c]: the first reason of `REASONS` that drops a candidate, -1: none
    """

    rows: Rows
    scores: Float
    kept: "NDArray[np.bool_]"
    reasons: "NDArray[np.int8]"

    def counts(self) -> dict[str, int]:
        """Candidates dropped, per reason."""
        found = np.bincount(self.reasons[self.reasons >= 0], minlength=len(REASONS))
        return {name: int(number) for name, number in zip(REASONS, found, strict=True) if number}


def spread_margin(share: float) -> Margin:
    """An adaptive margin: threshold = p - share (p - m), m the median score of the query's candidates.

    [ours] It hangs on no zero of the scale, so that it fits scores of a cross-encoder too.

    >>> round(float(spread_margin(0.25)(np.array([[0.8, 0.4, 0.2]]), np.array([0.8]))[0]), 6)
    0.7
    """

    def threshold(scores: Float, positives: Float) -> Float:
        finite = np.where(np.isfinite(scores), scores, np.nan)
        some = np.isfinite(finite).any(axis=1)
        middle = np.full(len(scores), -np.inf)
        middle[some] = np.nanmedian(finite[some], axis=1)
        middle[~some] = positives[~some]
        return np.asarray(positives - share * np.abs(positives - middle), dtype=np.float64)

    return threshold


def select_negatives(
    rows: Rows,
    scores: Float,
    *,
    is_known: "NDArray[np.bool_]",
    smallest_positive: Float,
    largest_positive: Float,
    options: MiningOptions,
    draws: "NDArray[np.uint64] | None" = None,
) -> Mined:
    """Negatives of each query from its ranked candidates.

    rows, scores        int64, float32 [q, c], best first; -1 and -inf where there are fewer candidates. The scores
                        are those that filters read: of vectors, or of a cross-encoder
    is_known            bool [q, c]: candidates that are known positives, or the query's own text
    smallest_positive   float32 [q]: the least and the greatest score of the record's positives
    draws               uint64 [q, c], for choose="random": the c with the smallest are taken
    raises              DataError: a score of a positive or a candidate that is NaN

    >>> found = select_negatives(
    ...     np.array([[4, 2, 9, 1]]), np.array([[0.9, 0.88, 0.8, 0.1]], np.float32),
    ...     is_known=np.array([[True, False, False, False]]), smallest_positive=np.array([0.9], np.float32),
    ...     largest_positive=np.array([0.9], np.float32), options=MiningOptions(negatives=2, ranks=(0, 3)))
    >>> found.rows.tolist(), found.counts()  # 0.88 is not below 0.9 - 0.05 * 0.9 = 0.855
    ([[9, 1]], {'known': 1, 'relative_margin': 1})
    """
    for name, values in (("positive", smallest_positive), ("positive", largest_positive), ("candidate", scores)):
        if np.isnan(values).any():
            raise DataError(f"query {int(np.argwhere(np.isnan(values))[0][0])}: the score of a {name} is NaN")
    reasons = _reasons(rows, scores, is_known, smallest_positive, largest_positive, options)
    kept = np.ones(len(rows), dtype=bool)
    if options.consistent_rank is not None:
        ranked = np.where((rows >= 0) & ~is_known, scores, -np.inf)
        if ranked.shape[1] >= options.consistent_rank:
            kept = largest_positive >= -np.sort(-ranked, axis=1)[:, options.consistent_rank - 1]
    free = (reasons < 0) & (rows >= 0)
    chosen = _choose(scores, free, options, draws)
    taken = np.take_along_axis(free, chosen, axis=1)
    return Mined(
        _wide(np.where(taken, np.take_along_axis(rows, chosen, axis=1), -1), options.negatives, -1),
        _wide(np.where(taken, np.take_along_axis(scores, chosen, axis=1), -np.inf), options.negatives, -np.inf),
        kept,
        reasons,
    )


def _reasons(
    rows: Rows, scores: Float, is_known: Any, smallest: Float, largest: Float, options: MiningOptions
) -> "NDArray[np.int8]":
    """The first reason against each candidate."""
    reasons = np.full(rows.shape, -1, dtype=np.int8)
    there = rows >= 0
    rank = np.cumsum(there & ~is_known, axis=1) - 1
    positive = (smallest if options.positive == "smallest" else largest)[:, None]
    low, high = options.ranks
    tests: dict[str, Any] = {"known": is_known, "rank": (rank < low) | (rank >= high)}
    if options.absolute_margin is not None:
        tests["absolute_margin"] = ~(scores < positive - np.float32(options.absolute_margin))
    if options.relative_margin is not None:
        tests["relative_margin"] = ~(scores < positive - np.float32(options.relative_margin) * np.abs(positive))
    if options.margin is not None:
        inside = np.where(there & ~tests["known"] & ~tests["rank"], scores, -np.inf)
        tests["margin"] = ~(scores < np.asarray(options.margin(inside, positive[:, 0])).reshape(-1, 1))
    if options.max_score is not None:
        tests["max_score"] = scores > options.max_score
    if options.min_score is not None:
        tests["min_score"] = scores < options.min_score
    for number, name in enumerate(REASONS):
        if name in tests:
            reasons[there & (reasons < 0) & tests[name]] = number
    return reasons


def _choose(scores: Float, free: Any, options: MiningOptions, draws: Any) -> Rows:
    """Places of the n chosen candidates, hardest first; of the free ones where there are enough."""
    by_score = np.argsort(np.where(free, -scores, np.inf), axis=1, kind="stable")
    if options.choose == "hardest":
        return by_score[:, : options.negatives]
    if draws is None:
        raise UsageError('choose="random" needs draws')
    late = np.where(free, draws, np.iinfo(np.uint64).max)
    drawn = np.argsort(late, axis=1, kind="stable")[:, : options.negatives]
    hardness = np.take_along_axis(np.where(free, -scores, np.inf), drawn, axis=1)
    return np.take_along_axis(drawn, np.argsort(hardness, axis=1, kind="stable"), axis=1)


def _wide(values: Any, width: int, filler: float) -> Any:
    """Columns up to `width`, where there were fewer candidates."""
    missing = width - values.shape[1]
    return values if missing <= 0 else np.pad(values, ((0, 0), (0, missing)), constant_values=filler)
