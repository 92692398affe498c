"""How long texts are: quantiles in characters and tokens, and how many are longer than models read."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["LIMITS", "SAMPLE", "Lengths", "Quantiles", "Tokens", "lengths_of", "quantiles", "sample_rows"]

LIMITS = (256, 512)  # tokens that common models read
SAMPLE = 20_000  # texts whose tokens are counted


@dataclass(frozen=True)
class Quantiles:
    """Least, 5 %, 50 %, 95 %, 99 % and greatest of some values, and their mean."""

    least: float
    p5: float
    median: float
    p95: float
    p99: float
    greatest: float
    mean: float


@dataclass(frozen=True)
class Tokens:
    """Of `texts` texts (a sample where there are many); `over`: limit -> share of texts that are longer, 0..1."""

    texts: int
    quantiles: Quantiles
    over: dict[int, float]


@dataclass(frozen=True)
class Lengths:
    """Of the distinct texts of one part: queries, documents, or texts where both are of one kind."""

    texts: int
    characters: Quantiles
    tokens: Tokens | None


def quantiles(values: np.ndarray) -> Quantiles:
    """Of numbers [n], n >= 1; each quantile is one of the values (no value between two is made up).

    >>> quantiles(np.array([3, 1, 2])).median
    2.0
    """
    cuts = np.quantile(values, [0, 0.05, 0.5, 0.95, 0.99, 1], method="inverted_cdf").tolist()
    least, p5, median, p95, p99, greatest = map(float, cuts)
    return Quantiles(least, p5, median, p95, p99, greatest, float(np.mean(values)))


def sample_rows(rows: np.ndarray, keys: np.ndarray, most: int = SAMPLE) -> np.ndarray:
    """Of row numbers [n] at most `most`, sorted: those with the lowest keys, so that their order decides nothing.

    keys    int64 [N], of all rows; hashes, so that the choice is as good as a random one
    """
    if len(rows) <= most:
        return np.sort(rows)
    return np.sort(rows[np.argpartition(keys[rows], most)[:most]])


def lengths_of(
    rows: np.ndarray,
    characters: np.ndarray,
    keys: np.ndarray,
    count_tokens: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Lengths | None:
    """Lengths of some texts; None where there are none.

    rows            int64 [n]: which texts
    characters, keys   int64 [N], of all texts
    count_tokens    rows -> int64 [n], tokens of each; asked for at most `SAMPLE` of them
    """
    if not len(rows):
        return None
    tokens = None
    if count_tokens is not None:
        counts = count_tokens(sample_rows(rows, keys))
        over = {limit: float((counts > limit).mean()) for limit in LIMITS}
        tokens = Tokens(len(counts), quantiles(counts), over)
    return Lengths(len(rows), quantiles(characters[rows]), tokens)
