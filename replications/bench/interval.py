"""Intervals over queries and seeds at once."""

import numpy as np
from numpy.typing import NDArray

from vecsmith.evaluation.statistics import Interval, percentile_interval, resample_counts

__all__ = ["HOW", "seeds_and_queries"]

HOW = (
    "95 % percentile interval of 10,000 resamples: queries are redrawn (the same for all seeds and both arms, hence "
    "paired), and seeds are redrawn, each resample's mean over both"
)


def seeds_and_queries(differences: NDArray[np.float64], *, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Interval of the mean of paired differences, float64 [seeds, queries], both of which are redrawn.

    All seeds are judged on the same queries, so a resample draws queries once and seeds once: the variance is that of
    queries (paired within a seed) and of seeds together. A single query (a figure without values behind it) leaves the
    seeds alone. Of three seeds alone an interval is coarse: it is then the range of their means.
    """
    seeds, queries = differences.shape
    rng = np.random.default_rng([seed, 1])
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds  # [r, s]
    means = np.empty(resamples)
    start = 0
    for counts in resample_counts(queries, resamples=resamples, seed=seed):
        stop = start + len(counts)
        per_seed = counts @ differences.T / queries  # [block, s]
        means[start:stop] = (per_seed * drawn[start:stop]).sum(axis=1)
        start = stop
    return percentile_interval(float(differences.mean()), means)
