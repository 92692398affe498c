"""Order pairs by their grades: CoSENT, over all pairs of pairs in n log n.

CoSENT (Su, 2022; Huang et al., TASLP 2024, doi 10.1109/TASLP.2024.3402087), as QZhou-Embedding trains graded pairs.
[ours]: row weights, and that grades are compared within one dataset only.
"""

import torch
from torch import Tensor

from vecsmith.data.batch import Batch
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.candidates import unit
from vecsmith.objectives.loss import Loss

__all__ = ["cosent", "graded_pairs", "ordering"]

NEEDS = {"cosent": ("positives", "scores")}


def cosent(queries: Tensor, documents: Tensor, batch: Batch, *, temperature: float = 0.05) -> Loss:
    """log(1 + sum over pairs with y_i > y_j of exp((s_j - s_i) / temperature)), s the cosine of query and document.

    queries, documents   float [Uq, d], [Ud, d], before any Normalize module
    batch                a row is a pair: its query and its first positive; y is that place of `scores`
    temperature          > 0; 0.05 is the usual scale of 20
    returns     value, not divided by the number of rows; parts `pairs` (how many y_i > y_j there are), `left_out` (rows
                without a positive or a score, or of weight 0)
    raises      NotEnoughData: no row has a score; ValueError: the temperature is not above 0

    All rows of the batch are compared, but only within one dataset: grades of two have no common scale. Equal grades
    (or one row) give log 1 = 0, no gradient and `pairs` 0. Weights multiply a term, w_i w_j, relative to their mean.
    Worked by hand: grades 1 and 0, cosines 0.5 and 0.5, temperature 1: log(1 + e^0) = 0.6931.
    """
    with torch.autocast(queries.device.type, enabled=False):
        rows, places = graded_pairs(batch, objective="cosent")
        asked, found = unit(queries)[batch.query_index[rows]], unit(documents)[places]
        return ordering((asked * found).sum(dim=1), batch, rows, temperature)


def graded_pairs(batch: Batch, *, objective: str) -> tuple[Tensor, Tensor]:
    """Rows whose first positive has a score, int64 [n], and that positive's place in the document block, int64 [n].

    raises   NotEnoughData: there is none
    """
    if batch.scores is None or not batch.positives.shape[1]:
        raise NotEnoughData(f"{objective} needs scores and positives; none of {len(batch)} rows has both")
    first = batch.positives[:, 0]
    rows = ((first >= 0) & torch.isfinite(batch.scores[:, 0]) & (batch.weights > 0)).nonzero()[:, 0]
    if not len(rows):
        raise NotEnoughData(f"{objective} needs scores; none of {len(batch)} rows has one for its first positive")
    return rows, first[rows]


def ordering(similarities: Tensor, batch: Batch, rows: Tensor, temperature: float) -> Loss:
    """The loss of `cosent` for any similarity of the pairs: float [n], `rows` int64 [n] of the batch."""
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it divides similarities and must be above 0")
    assert batch.scores is not None
    grades, weights = batch.scores[rows, 0].to(similarities.dtype), batch.weights[rows].to(similarities.dtype)
    logits, weight_logs = similarities / temperature, (weights / weights.mean()).log()
    terms, pairs = [logits.new_zeros(1)], 0
    for number in batch.dataset[rows].unique():
        own = batch.dataset[rows] == number
        found, count = _terms(logits[own], weight_logs[own], grades[own])
        terms.append(found)
        pairs += count
    value = torch.logsumexp(torch.cat(terms), dim=0) + logits.sum() * 0.0  # in the graph though no pair is ordered
    return Loss(value, {"pairs": float(pairs), "left_out": float(len(batch) - len(rows))})


def _terms(logits: Tensor, weight_logs: Tensor, grades: Tensor) -> tuple[Tensor, int]:
    """For each row i that has a lower one: log of the sum over y_j < y_i of w_i w_j e^(l_j - l_i); and how many pairs.

    Rows in order of grade: all lower ones of a row are a prefix, and one running logsumexp serves every row.
    """
    grades, order = grades.sort(stable=True)
    logits, weight_logs = logits[order], weight_logs[order]
    lower = torch.searchsorted(grades, grades, right=False)  # how many stand below each
    below = torch.logcumsumexp(logits + weight_logs, dim=0)
    some = lower > 0
    return below[lower[some] - 1] + weight_logs[some] - logits[some], int(lower.sum())
