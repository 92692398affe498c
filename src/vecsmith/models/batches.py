"""Which inputs go together: batches by length, under a budget of tokens."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["plan_batches", "plan_rows"]

Rows = NDArray[np.int64]


def plan_rows(counts: Rows, *, token_budget: int) -> list[Rows]:
    """Which inputs share a row without padding: rows of `counts` in batches, longest first.

    counts    int64 [n], tokens of each input as the model will see it
    returns   batches of rows whose tokens sum to at most token_budget, unless the batch is one input
    """
    order = np.argsort(-counts, kind="stable")
    filled = np.cumsum(np.maximum(counts[order], 1))
    batches: list[Rows] = []
    start, used = 0, 0
    while start < len(order):
        stop = max(start + 1, int(np.searchsorted(filled, used + token_budget, side="right")))
        batches.append(order[start:stop])
        start, used = stop, int(filled[stop - 1])
    return batches


def plan_batches(counts: Rows, *, token_budget: int, waste_limit: float) -> list[Rows]:
    """Which inputs go together: rows of `counts` in batches, longest first (what does not fit memory fails at once).

    counts        int64 [n], tokens of each input as the model will see it
    returns       batches of rows; rows x longest <= token_budget unless the batch is one input, and the padded share
                  <= waste_limit
    """
    order = np.argsort(-counts, kind="stable")
    batches: list[Rows] = []
    start = 0
    lengths = counts[order]
    while start < len(order):
        longest = max(1, int(lengths[start]))
        room = max(1, token_budget // longest)
        filled = np.cumsum(lengths[start : start + room])
        used = filled / (longest * np.arange(1, len(filled) + 1))
        # Lengths only fall, so the used share does too: the first batch size below the limit ends the batch.
        size = max(1, int(np.searchsorted(-used, -(1 - waste_limit), side="right")))
        batches.append(order[start : start + size])
        start += size
    return batches
