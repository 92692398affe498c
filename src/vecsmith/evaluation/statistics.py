"""How sure a difference is: bootstrap intervals, sign-flip permutation, correction for many tasks.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), 13 and 14 (percentile, BCa); Phipson and Smyth (2010)
for the + 1 of a permutation p; Holm (1979). Random numbers come from `seed` alone; memory stays near 32 MB.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.errors import DataError, NotEnoughData

__all__ = [
    "Interval",
    "benjamini_hochberg",
    "bootstrap_mean",
    "holm",
    "paired_bootstrap",
    "percentile_interval",
    "permutation_p",
    "resample_counts",
    "swap_signs",
]

Double = NDArray[np.float64]

_BLOCK = 2_000_000  # random numbers held at once


@dataclass(frozen=True)
class Interval:
    """A mean (or other statistic) with the ends of its interval; `level` 0.95 is a 95 % interval."""

    mean: float
    low: float
    high: float
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside: the sign of the difference is shown at this level."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, *, resamples: int = 10_000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Interval of the mean of a - b over paired queries; above 0 where `a` is better.

    a, b        finite [n], the same queries in the same order
    resamples   bootstrap samples; 10,000 keeps the ends within about .01 of their own width
    returns     percentile interval; for n < 100 BCa, which corrects bias and skew
    raises      DataError: lengths differ or a value is not finite; NotEnoughData: fewer than 2 queries
    """
    return bootstrap_mean(_differences(a, b), resamples=resamples, seed=seed, level=level)


def bootstrap_mean(values: ArrayLike, *, resamples: int = 10_000, seed: int = 0, level: float = 0.95) -> Interval:
    """Interval of the mean of values [n]: percentile, or BCa for n < 100. Errors as `paired_bootstrap`."""
    values = _finite(values)
    if len(values) < 2:
        raise NotEnoughData(f"{len(values)} queries give no interval; judge at least 2")
    means = np.empty(resamples)
    rng = np.random.default_rng(seed)
    for block in _blocks(resamples, len(values)):
        chosen = rng.integers(0, len(values), size=(block.stop - block.start, len(values)), dtype=np.int32)
        means[block] = values[chosen].mean(axis=1)
    mean = float(values.mean())
    if len(values) >= 100:
        return percentile_interval(mean, means, level=level)
    # The mean without one value: the jackknife that BCa takes its acceleration from.
    return _bca(mean, means, (values.sum() - values) / (len(values) - 1), level)


def percentile_interval(value: float, resampled: ArrayLike, *, level: float = 0.95) -> Interval:
    """The middle `level` of resampled statistics [r] around the statistic `value` of the whole sample."""
    tail = (1 - level) / 2
    low, high = np.quantile(np.asarray(resampled, dtype=np.float64), [tail, 1 - tail])
    return Interval(value, float(low), float(high), level)


def _bca(value: float, resampled: Double, jackknife: Double, level: float) -> Interval:
    spread = jackknife.mean() - jackknife
    scale = float((spread**2).sum())
    below = float(((resampled < value).mean() + (resampled <= value).mean()) / 2)
    if scale <= 1e-24 * max(1.0, value**2) or not 0 < below < 1:
        return percentile_interval(value, resampled, level=level)
    normal = NormalDist()
    bias, acceleration = normal.inv_cdf(below), float((spread**3).sum()) / (6 * scale**1.5)
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        shifted = bias + normal.inv_cdf(tail)
        ends.append(normal.cdf(bias + shifted / (1 - acceleration * shifted)))
    low, high = np.quantile(resampled, ends)
    return Interval(value, float(low), float(high), level)


def permutation_p(a: ArrayLike, b: ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided sign-flip p of "a and b are exchangeable", T = mean(a - b): (1 + #{|T*| >= |T|}) / (resamples + 1).

    a, b      finite [n], the same queries in the same order; at 1 query the p is 1
    raises    DataError: lengths differ or a value is not finite; NotEnoughData: no query
    """
    differences = _differences(a, b)
    return swap_signs(differences[:, None], lambda sums: np.abs(sums[:, 0]), resamples=resamples, seed=seed)


def swap_signs(
    differences: Double,
    extremity: Callable[[Double], Double],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    slack: float | None = None,
) -> float:
    """Permutation p of a statistic that depends on the data only through sums of sign-flipped differences.

    differences   float64 [n, c]: what swapping the two models turns into its negative, per item
    extremity     float64 [r, c] of sums -> float64 [r], greater is further from the null
    slack         what counts as equal: sums of the same numbers in another order differ in the last digits
    """
    n = len(differences)
    if n == 0:
        raise NotEnoughData("no query to compare; judge at least 1")
    total = differences.sum(axis=0)
    observed = float(extremity(total[None])[0])
    slack = 1e-12 * max(abs(observed), float(np.abs(differences).sum())) if slack is None else slack
    rng, reached = np.random.default_rng(seed), 0
    for block in _blocks(resamples, n):
        drawn = rng.integers(0, 256, size=(block.stop - block.start, (n + 7) // 8), dtype=np.uint8)
        kept = np.unpackbits(drawn, axis=1, count=n).astype(np.float64)
        reached += int((extremity(2 * (kept @ differences) - total) >= observed - slack).sum())
    return (1 + reached) / (resamples + 1)


def resample_counts(n: int, *, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each of n items is drawn, int64 [block, n] at a time, `resamples` rows in all."""
    rng = np.random.default_rng(seed)
    for block in _blocks(resamples, n):
        size = block.stop - block.start
        chosen = rng.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
        yield np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the chance of any false claim stays below the level. Order kept.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return [float(value) for value in np.minimum(1.0, stepped)[np.argsort(order, kind="stable")]]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's step-up correction: the expected share of false claims stays below the level."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(-p, kind="stable")
    stepped = np.minimum.accumulate(p[order] * len(p) / np.arange(len(p), 0, -1))
    return [float(value) for value in np.minimum(1.0, stepped)[np.argsort(order, kind="stable")]]


def _blocks(resamples: int, n: int) -> Iterator[slice]:
    if resamples < 1:
        raise DataError(f"resamples is {resamples}; it must be 1 or more")
    size = max(1, _BLOCK // max(1, n))
    for start in range(0, resamples, size):
        yield slice(start, min(resamples, start + size))


def _finite(values: ArrayLike) -> Double:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1:
        raise DataError(f"values have shape {values.shape}; pass one number per query")
    if not (finite := np.isfinite(values)).all():
        raise DataError(f"value {int((~finite).argmax())} is not finite; a failed query needs a score, not NaN")
    return values


def _differences(a: ArrayLike, b: ArrayLike) -> Double:
    a, b = _finite(a), _finite(b)
    if len(a) != len(b):
        raise DataError(f"{len(a)} and {len(b)} values cannot be paired; judge both on the same queries")
    return a - b
