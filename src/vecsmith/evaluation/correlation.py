"""Rank correlation, and how sure the difference of two models' rank correlations is.

Spearman with average ranks (as scipy). A bootstrap sample is a vector of counts, and the average rank of a value is
then (items below + (items equal + 1) / 2): one running sum, no sort per resample.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.errors import DataError, NotEnoughData
from vecsmith.evaluation.statistics import Interval, percentile_interval, resample_counts, swap_signs

__all__ = ["average_ranks", "pearson", "spearman", "spearman_difference", "spearman_interval"]

Double = NDArray[np.float64]
Ranker = Callable[[NDArray[np.int64]], Double]


def average_ranks(values: ArrayLike) -> Double:
    """Ranks from 1, equal values sharing their mean rank; float64 [n].

    >>> average_ranks([0.3, 0.1, 0.3]).tolist()
    [2.5, 1.0, 2.5]
    """
    _, group, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Double = (ends - (counts - 1) / 2)[group.ravel()]
    return ranks


def pearson(a: ArrayLike, b: ArrayLike) -> float:
    """Linear correlation of two arrays [n], in float64. NotEnoughData: n < 2, or one of them is constant."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise DataError(f"arrays of shape {a.shape} and {b.shape} have no correlation; pass two of one length")
    if not (finite := np.isfinite(a) & np.isfinite(b)).all():
        raise DataError(f"pair {int((~finite).argmax())} has a value that is not finite")
    if len(a) < 2 or a.min() == a.max() or b.min() == b.max():
        raise NotEnoughData(
            f"a correlation needs two values that differ on both sides; got {len(a)} pairs, one constant"
        )
    one, two = np.subtract(a, a.mean()), np.subtract(b, b.mean())
    return float(np.clip((one @ two) / np.sqrt((one @ one) * (two @ two)), -1, 1))


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Rank correlation with average ranks. Errors as `pearson`; a value that is not finite is one."""
    for values in (np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)):
        if not (finite := np.isfinite(values)).all():
            raise DataError(f"pair {int((~finite).argmax())} has a value that is not finite; it has no rank")
    return pearson(average_ranks(a), average_ranks(b))


def spearman_interval(prediction: ArrayLike, gold: ArrayLike, *, resamples: int = 2000, seed: int = 0) -> Interval:
    """Percentile bootstrap interval over pairs of one model's rank correlation."""
    value, ranks, gold_ranks = spearman(prediction, gold), _ranker(prediction), _ranker(gold)
    counts = resample_counts(len(np.asarray(gold)), resamples=resamples, seed=seed)
    return percentile_interval(value, np.concatenate([_correlate(ranks(c), gold_ranks(c), c) for c in counts]))


def spearman_difference(
    a: ArrayLike, b: ArrayLike, gold: ArrayLike, *, resamples: int = 2000, permutations: int = 10_000, seed: int = 0
) -> tuple[Interval, float]:
    """Paired interval and permutation p of Spearman(a, gold) - Spearman(b, gold), over pairs [n].

    The interval redraws pairs and ranks anew. The permutation swaps the two models' ranks pair by pair, ranks as they
    are in the whole data.
    """
    value = spearman(a, gold) - spearman(b, gold)
    rank_a, rank_b, rank_gold = _ranker(a), _ranker(b), _ranker(gold)
    drawn = []
    for counts in resample_counts(len(np.asarray(gold)), resamples=resamples, seed=seed):
        wanted = rank_gold(counts)
        drawn.append(_correlate(rank_a(counts), wanted, counts) - _correlate(rank_b(counts), wanted, counts))
    return percentile_interval(value, np.concatenate(drawn)), _swap_p(a, b, gold, permutations, seed)


def _swap_p(a: ArrayLike, b: ArrayLike, gold: ArrayLike, permutations: int, seed: int) -> float:
    """p of |difference|: every sum in a correlation of swapped ranks is linear in the swaps."""
    ranks = [average_ranks(values) for values in (a, b, gold)]
    one, two, wanted = (values - values.mean() for values in ranks)
    squares, products = float((one**2 + two**2).sum()), float(((one + two) * wanted).sum())
    features = np.stack([one - two, one**2 - two**2, (one - two) * wanted], axis=1)
    n = len(wanted)

    def extremity(sums: Double) -> Double:
        # Sum of the first model is s/2, of the second -s/2 (centred ranks); likewise around the mean of each square.
        squared_mean = (sums[:, 0] / 2) ** 2 / n
        first = (products + sums[:, 2]) / np.sqrt(np.maximum(squares + sums[:, 1] - 2 * squared_mean, 1e-12))
        second = (products - sums[:, 2]) / np.sqrt(np.maximum(squares - sums[:, 1] - 2 * squared_mean, 1e-12))
        return np.asarray(np.abs(first - second), dtype=np.float64)

    return swap_signs(features, extremity, resamples=permutations, seed=seed, slack=1e-9 * float(np.sqrt(squares)))


def _ranker(values: ArrayLike) -> Ranker:
    """Counts int64 [r, n] -> average ranks within each resample, float64 [r, n]."""
    values = np.asarray(values)
    order = np.argsort(values, kind="stable")
    new = np.diff(values[order]) != 0
    starts = np.concatenate([[0], 1 + np.flatnonzero(new)])
    group = np.empty(len(values), dtype=np.int64)
    group[order] = np.concatenate([[0], np.cumsum(new)])

    def ranks(counts: NDArray[np.int64]) -> Double:
        equal = np.add.reduceat(counts[:, order], starts, axis=1)
        mean_rank = np.cumsum(equal, axis=1) - (equal - 1) / 2
        return np.asarray(mean_rank[:, group], dtype=np.float64)

    return ranks


def _correlate(a: Double, b: Double, counts: NDArray[np.int64]) -> Double:
    """Pearson of each row of ranks, weighted by counts; 0 where a resample is constant."""
    middle = (counts.shape[1] + 1) / 2
    a, b = a - middle, b - middle
    weighted = a * counts
    covariance = (weighted * b).sum(axis=1)
    scale = np.sqrt((weighted * a).sum(axis=1) * (counts * b * b).sum(axis=1))
    return np.divide(covariance, scale, out=np.zeros(len(counts)), where=scale > 0)
