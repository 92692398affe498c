"""Means of token vectors of texts, in numpy.

Rows are added one after the other, as torch's embedding bags add them: the two agree to the last bits whatever the
length, which pairwise sums do not after some thousand tokens.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["token_means"]

Float = NDArray[np.float32]
Rows = NDArray[np.int64]

FEW = 8  # texts that are not worth sorting by length
SHORT = 64  # tokens; texts of one length up to this are added up together
GATHERED = 1_024  # token vectors of a step: what stays in the cache of a core
LONG_GATHERED = 16_384  # token vectors of a long text that are held at once


def token_means(table: "NDArray[Any]", ids: Rows, lengths: Rows) -> Float:
    """The mean vector of each text's tokens, zeros for a text without tokens: float32 [n, d].

    table     [vocabulary, d], any float dtype; sums are in float32
    ids       int64 [tokens], of all texts one after the other
    lengths   int64 [n], tokens of each text
    raises    IndexError: an id outside the table
    """
    sums = np.zeros((len(lengths), table.shape[1]), dtype=np.float32)
    starts = np.cumsum(lengths) - lengths
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    first, short = np.searchsorted(ordered, (0, SHORT), side="right").tolist() if len(order) > FEW else (0, 0)
    for length in np.unique(ordered[first:short]).tolist():
        low, high = np.searchsorted(ordered, length, side="left"), np.searchsorted(ordered, length, side="right")
        step = max(1, GATHERED // length)
        for at in range(int(low), int(high), step):
            rows = order[at : min(at + step, int(high))]
            places = starts[rows][:, None] + np.arange(length)
            sums[rows] = _gather(table, ids[places]).sum(axis=1)
    for row in order[short:].tolist():
        sums[row] = _sum(table, ids[starts[row] : starts[row] + lengths[row]])
    counts: Float = np.maximum(lengths, 1).astype(np.float32)
    sums /= counts[:, None]
    return sums


def _gather(table: "NDArray[Any]", ids: Rows) -> Float:
    return np.take(table, ids, axis=0).astype(np.float32, copy=False)


def _sum(table: "NDArray[Any]", ids: Rows) -> Float:
    total = _gather(table, ids[:LONG_GATHERED]).sum(axis=0)
    for at in range(LONG_GATHERED, len(ids), LONG_GATHERED):
        rows = _gather(table, ids[at : at + LONG_GATHERED])
        rows[0] += total  # so that the order of additions stays that of one pass
        total = rows.sum(axis=0)
    return total
