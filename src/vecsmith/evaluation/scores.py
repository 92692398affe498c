"""What judging one task gives: a number, the values per query that it is the mean of, and what was left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scores"]


@dataclass(frozen=True)
class Scores:
    """One model or search on one task.

    kind        "retrieval", "scored", "pair_classification", "classification" or "clustering"
    metric      name of the main metric
    value       the main score; None where the task failed
    values      every score by name
    per_query   float64 [q] by name, for one query (pair, text) each. For retrieval and classification the keys are
                metrics, whose mean is the score; otherwise what the score is computed from: "prediction" and "gold",
                or "cluster" and "gold"
    counts      what was judged and what was left out, by name
    items       ids of the queries, or empty: their order is then that of the data
    failed      why there is no score, or None
    """

    kind: str
    metric: str
    value: float | None
    values: Mapping[str, float]
    per_query: Mapping[str, NDArray[np.float64]]
    counts: Mapping[str, float] = field(default_factory=dict)
    items: tuple[str, ...] = ()
    failed: str | None = None
