"""Ranking metrics per query, on arrays: trec_eval's definitions and its order of ties.

Source: trec_eval (through pytrec_eval-terrier, which the tests compare with). Gain is linear, the discount is
1/log2(rank + 1), the ideal order is taken from all judged documents, retrieved or not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.errors import DataError, UsageError

__all__ = ["DEFAULT_METRICS", "Qrels", "cutoff_of", "order_hits", "qrels_of", "retrieval_metrics", "tied_at"]

Rows = NDArray[np.int64]
Float = NDArray[np.float32]
Double = NDArray[np.float64]

DEFAULT_METRICS = ("ndcg@10", "mrr@10", "recall@100", "map@100", "success@10", "precision@10")


@dataclass(frozen=True)
class Qrels:
    """Judgements as arrays: those of query i stand at offsets[i]:offsets[i + 1].

    offsets   int64 [q + 1]
    rows      int64 [m], ascending within a query; row of the judged document, -1 where the corpus lacks it
    gains     float64 [m]; above 0 is relevant, 0 and below is judged and not relevant
    """

    offsets: Rows
    rows: Rows
    gains: Double

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def relevant(self) -> Rows:
        """Relevant documents per query, int64 [q]; those that the corpus lacks count too."""
        running = np.concatenate([[0], np.cumsum(self.gains > 0)])
        return running[self.offsets[1:]] - running[self.offsets[:-1]]


def qrels_of(judged: Sequence[Mapping[int, float]]) -> Qrels:
    """Judgements from one mapping {document row: gain} per query; rows below 0 are documents the corpus lacks.

    raises    DataError: a gain that is not finite
    """
    offsets = np.cumsum([0, *map(len, judged)]).astype(np.int64)
    pairs = [pair for query in judged for pair in sorted(query.items())]
    rows = np.array([row for row, _ in pairs], dtype=np.int64)
    gains = np.array([gain for _, gain in pairs], dtype=np.float64)
    if not np.isfinite(gains).all():
        query = int(np.searchsorted(offsets, int((~np.isfinite(gains)).argmax()), side="right")) - 1
        raise DataError(f"query {query} has a judgement that is not finite; a relevance is a finite number")
    return Qrels(offsets, np.maximum(rows, -1), gains)


def order_hits(rows: ArrayLike, scores: ArrayLike, tie_order: ArrayLike | None = None) -> tuple[Rows, Float]:
    """Results in trec_eval's order: score descending as 32-bit floats, ties by document id descending.

    rows        int64 [q, k]; -1 is an empty place
    scores      [q, k]; compared as float32, so 1 and 1 + 1e-9 tie
    tie_order   int64 [n], rank of each document's id in string order; None: the rows are in that order
    returns     rows int64 [q, k], scores float32 [q, k], empty places last
    raises      DataError: shapes differ, a score of a document is not finite, or a query lists a document twice
    """
    rows, scores = np.asarray(rows, dtype=np.int64), np.asarray(scores).astype(np.float32)
    if rows.ndim != 2 or rows.shape != scores.shape:
        raise DataError(f"rows {rows.shape} and scores {scores.shape} need one shape [queries, k]")
    found = rows >= 0
    if (bad := found & ~np.isfinite(scores)).any():
        query, place = (int(axis[0]) for axis in bad.nonzero())
        words = f"query {query} scores document row {rows[query, place]} with {scores[query, place]}"
        raise DataError(f"{words}; a score that is not finite cannot be ranked. Mend the model or search behind it")
    ranks = rows if tie_order is None else np.asarray(tie_order, dtype=np.int64)[rows]
    keys = np.where(found, ranks, -1)
    keyed = np.where(found, scores, -np.inf)
    order = np.lexsort((-keys, -keyed), axis=1)
    rows, keyed = np.take_along_axis(rows, order, axis=1), np.take_along_axis(keyed, order, axis=1)
    _refuse_repeats(rows)
    return rows, keyed


def _refuse_repeats(rows: Rows) -> None:
    by_row = np.sort(rows, axis=1)
    repeated = (by_row[:, 1:] == by_row[:, :-1]) & (by_row[:, 1:] >= 0)
    if repeated.any():
        query, place = (int(axis[0]) for axis in repeated.nonzero())
        raise DataError(f"query {query} lists document row {by_row[query, place]} twice; a ranking names it once")


def tied_at(rows: Rows, scores: Float, rank: int) -> NDArray[np.bool_]:
    """Whether equal scores stand on both sides of `rank` (1-based), where chance decides what is counted: bool [q]."""
    if rank >= rows.shape[1]:
        return np.zeros(len(rows), dtype=bool)
    tied: NDArray[np.bool_] = (scores[:, rank - 1] == scores[:, rank]) & (rows[:, rank] >= 0)
    return tied


def retrieval_metrics(
    rows: ArrayLike,
    scores: ArrayLike,
    qrels: Qrels,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    tie_order: ArrayLike | None = None,
) -> dict[str, Double]:
    """Each metric per query, float64 [q], in 0..1.

    rows, scores  results per query, in any order: see `order_hits`
    qrels         judgements of the same queries; a query without a relevant document gets 0 everywhere
    metrics       names with a cutoff: ndcg, expected_ndcg (mean over random orders of ties), mrr, map, recall,
                  capped_recall (of min(relevant, k)), success, precision. map divides by all relevant documents,
                  precision by k even where fewer came back
    raises        DataError: see `order_hits`; UsageError: an unknown metric

    >>> one = qrels_of([{0: 1.0, 2: 2.0}])                        # found at ranks 2 and 1 of 3
    >>> {k: round(float(v[0]), 4) for k, v in retrieval_metrics(
    ...     [[2, 1, 0]], [[.9, .5, .4]], one, metrics=["ndcg@3", "map@2"]).items()}
    {'ndcg@3': 0.9502, 'map@2': 0.5}
    """
    rows, scores = order_hits(rows, scores, tie_order)
    if len(rows) != len(qrels):
        raise DataError(f"{len(rows)} queries have results and {len(qrels)} have judgements; pass both for the same")
    hits = _Hits(gains=_gains(rows, qrels), scores=scores, found=rows >= 0, qrels=qrels, relevant=qrels.relevant())
    values = {}
    for name in metrics:
        cutoff = cutoff_of(name)
        values[name] = _METRICS[name.partition("@")[0]](hits, cutoff)
    return values


def cutoff_of(metric: str) -> int:
    """The k of a metric's name: 10 for "ndcg@10". UsageError: no such metric, or no cutoff of 1 or more."""
    kind, _, cutoff = metric.partition("@")
    if kind not in _METRICS or not cutoff.isdigit() or int(cutoff) < 1:
        raise UsageError(f'unknown metric "{metric}"; known, each with a cutoff: {", ".join(_METRICS)} (as ndcg@10)')
    return int(cutoff)


@dataclass(frozen=True)
class _Hits:
    gains: Double  # [q, k] of what came back, in order; 0 unjudged
    scores: Float  # [q, k]
    found: NDArray[np.bool_]  # [q, k]
    qrels: Qrels
    relevant: Rows  # [q]


def _gains(rows: Rows, qrels: Qrels) -> Double:
    """Gain of each result, float64 [q, k]: one sorted search over (query, row) keys."""
    width = int(max(rows.max(initial=0), qrels.rows.max(initial=0))) + 2
    owner = np.repeat(np.arange(len(qrels)), np.diff(qrels.offsets))
    keys = owner * width + qrels.rows + 1
    wanted = np.arange(len(rows))[:, None] * width + rows + 1
    if not len(keys):
        return np.zeros(rows.shape)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    judged = (keys[place] == wanted) & (rows >= 0)
    gains: Double = np.where(judged, np.maximum(qrels.gains[place], 0.0), 0.0)
    return gains


def _discounts(count: int) -> Double:
    discounts: Double = 1.0 / np.log2(np.arange(2, count + 2))
    return discounts


def _share(part: Double, whole: Double | Rows) -> Double:
    return np.divide(part, whole, out=np.zeros(len(part)), where=np.asarray(whole) > 0)


def _ideal(qrels: Qrels, k: int) -> Double:
    """DCG at k of the best order of all judged documents, float64 [q]."""
    owner = np.repeat(np.arange(len(qrels)), np.diff(qrels.offsets))
    order = np.lexsort((-qrels.gains, owner))
    place = np.arange(len(owner)) - qrels.offsets[owner]
    kept = place < k
    worth = np.maximum(qrels.gains[order], 0.0)[kept] * _discounts(k)[place[kept]]
    dcg: Double = np.bincount(owner[kept], weights=worth, minlength=len(qrels)).astype(np.float64)
    return dcg


def _ndcg(hits: _Hits, k: int) -> Double:
    gains = hits.gains[:, :k]
    return _share(gains @ _discounts(gains.shape[1]), _ideal(hits.qrels, k))


def _expected_ndcg(hits: _Hits, k: int) -> Double:
    """nDCG averaged over all orders of equal scores; a tie that runs past the last result counts what came back."""
    starts = np.ones(hits.gains.shape, dtype=bool)
    starts[:, 1:] = hits.scores[:, 1:] != hits.scores[:, :-1]
    group = np.cumsum(starts.ravel()) - 1
    mean = np.bincount(group, weights=hits.gains.ravel()) / np.bincount(group)
    return _ndcg(_Hits(mean[group].reshape(hits.gains.shape), hits.scores, hits.found, hits.qrels, hits.relevant), k)


def _mrr(hits: _Hits, k: int) -> Double:
    relevant = hits.gains[:, :k] > 0
    return np.where(relevant.any(axis=1), 1.0 / (relevant.argmax(axis=1) + 1), 0.0)


def _map(hits: _Hits, k: int) -> Double:
    relevant = hits.gains[:, :k] > 0
    precision = np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)
    return _share((precision * relevant).sum(axis=1), hits.relevant)


def _found_relevant(hits: _Hits, k: int) -> Double:
    return (hits.gains[:, :k] > 0).sum(axis=1).astype(np.float64)


def _recall(hits: _Hits, k: int) -> Double:
    return _share(_found_relevant(hits, k), hits.relevant)


def _capped_recall(hits: _Hits, k: int) -> Double:
    return _share(_found_relevant(hits, k), np.minimum(hits.relevant, k))


def _success(hits: _Hits, k: int) -> Double:
    return (_found_relevant(hits, k) > 0).astype(np.float64)


def _precision(hits: _Hits, k: int) -> Double:
    return _found_relevant(hits, k) / k


_METRICS: dict[str, Callable[[_Hits, int], Double]] = {
    "ndcg": _ndcg,
    "expected_ndcg": _expected_ndcg,
    "mrr": _mrr,
    "map": _map,
    "recall": _recall,
    "capped_recall": _capped_recall,
    "success": _success,
    "precision": _precision,
}
