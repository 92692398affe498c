"""From the values behind a score to its interval, and from two models' values to the interval of their difference.

What is resampled: queries, pairs or test texts. For clustering it is the draws of the protocol, which share their
documents: that interval holds for other draws from these documents, not for other documents.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import DataError, NotEnoughData
from vecsmith.evaluation.correlation import spearman_difference, spearman_interval
from vecsmith.evaluation.pair_classification import average_precision
from vecsmith.evaluation.scores import Scores
from vecsmith.evaluation.statistics import (
    Interval,
    bootstrap_mean,
    paired_bootstrap,
    percentile_interval,
    permutation_p,
)

__all__ = ["difference", "interval_of"]

Double = NDArray[np.float64]

MOST_SLOW = 1000  # resamples of a statistic that is computed anew for each


def interval_of(scores: Scores, *, resamples: int = 10_000, seed: int = 0) -> Interval | None:
    """Bootstrap interval of the main score; None where the task failed or has fewer than 2 items.

    Means take `resamples`, rank correlations 2,000 at most, average precision 1,000 at most.
    """
    if scores.failed is not None:
        return None
    values = scores.per_query
    try:
        if scores.kind == "scored":
            return spearman_interval(values["prediction"], values["gold"], resamples=min(2000, resamples), seed=seed)
        if scores.kind == "pair_classification":
            prediction, gold = values["prediction"], values["gold"]
            drawn = _resampled(lambda rows: average_precision(prediction[rows], gold[rows]), gold, resamples, seed)
            return percentile_interval(scores.value or 0.0, drawn)
        return bootstrap_mean(values[scores.metric], resamples=resamples, seed=seed)
    except NotEnoughData:
        return None


def difference(a: Scores, b: Scores, *, resamples: int = 10_000, seed: int = 0) -> tuple[Interval, float | None]:
    """Paired interval of a's main score minus b's, and the permutation p (None for clustering, which has no pairing).

    raises   DataError: the two were not judged on the same items or by the same metric; NotEnoughData: fewer than 2
    """
    if (a.kind, a.metric, a.items) != (b.kind, b.metric, b.items):
        raise DataError(f"{a.kind} by {a.metric} and {b.kind} by {b.metric} on other items cannot be paired")
    if a.kind in ("scored", "pair_classification"):
        gold = a.per_query["gold"]
        if not np.array_equal(gold, b.per_query["gold"]):
            raise DataError("the gold values differ; judge both models on the same pairs")
        both = a.per_query["prediction"], b.per_query["prediction"]
        if a.kind == "scored":
            return spearman_difference(*both, gold, resamples=min(2000, resamples), permutations=resamples, seed=seed)
        return _precision_difference(*both, gold, resamples=min(MOST_SLOW, resamples), seed=seed)
    one, two = a.per_query[a.metric], b.per_query[b.metric]
    interval = paired_bootstrap(one, two, resamples=resamples, seed=seed)
    if a.kind == "clustering":
        return interval, None
    return interval, permutation_p(one, two, resamples=resamples, seed=seed)


def _precision_difference(a: Double, b: Double, gold: Double, *, resamples: int, seed: int) -> tuple[Interval, float]:
    """Average precision: pairs are redrawn; the permutation swaps the two models' ranks pair by pair."""
    value = average_precision(a, gold) - average_precision(b, gold)

    def redrawn(rows: NDArray[np.int64]) -> float:
        return average_precision(a[rows], gold[rows]) - average_precision(b[rows], gold[rows])

    interval = percentile_interval(value, _resampled(redrawn, gold, resamples, seed))
    ranks = [np.unique(values, return_inverse=True)[1] for values in (a, b)]
    rng, reached = np.random.default_rng(seed), 0
    for _ in range(resamples):
        swapped = rng.random(len(gold)) < 0.5
        one, two = np.where(swapped, ranks[1], ranks[0]), np.where(swapped, ranks[0], ranks[1])
        reached += abs(average_precision(one, gold) - average_precision(two, gold)) >= abs(value) - 1e-12
    return interval, (1 + reached) / (resamples + 1)


def _resampled(statistic: Callable[[NDArray[np.int64]], float], gold: Double, resamples: int, seed: int) -> list[float]:
    """The statistic on redrawn rows; draws with one label only, which have no average precision, are drawn again."""
    rng = np.random.default_rng(seed)
    values: list[float] = []
    while len(values) < min(MOST_SLOW, resamples):
        rows = rng.integers(0, len(gold), len(gold))
        if gold[rows].any():
            values.append(statistic(rows))
    return values
