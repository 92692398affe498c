"""Judge anything that ranks documents: a model, BM25, a fusion, an index. All are one callable to this module."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import DataError, NotEnoughData
from vecsmith.evaluation.metrics import (
    DEFAULT_METRICS,
    Qrels,
    cutoff_of,
    order_hits,
    qrels_of,
    retrieval_metrics,
    tied_at,
)
from vecsmith.evaluation.scores import Scores
from vecsmith.progress import SILENT, Progress
from vecsmith.topk import top_k

__all__ = ["Judged", "Search", "dense_search", "judge_retrieval", "unit_rows"]

Rows = NDArray[np.int64]
Float = NDArray[np.float32]

Search = Callable[[list[str], int], tuple[Rows, Float]]
"""(queries, k) -> rows int64 [q, k] (-1 where fewer than k were found), scores float32 [q, k], higher is nearer."""

_QUERIES_AT_ONCE = 2048


class Judged(Protocol):
    """What is judged against; `Dataset.judgements()` gives one.

    query_texts    one text per query
    document_ids   one id per document, in the order of the rows that a search returns
    relevance      query position -> {document id: gain}
    """

    @property
    def query_texts(self) -> Sequence[str]: ...

    @property
    def document_ids(self) -> Sequence[str]: ...

    @property
    def relevance(self) -> Mapping[int, Mapping[str, float]]: ...


def judge_retrieval(
    search: Search,
    judgements: Judged,
    document_ids: Sequence[str] | None = None,
    *,
    k: int | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    exclude: Sequence[str | None] | None = None,
    mteb_compat: bool = False,
    progress: Progress = SILENT,
) -> Scores:
    """Ask `search` every judged query and score what it returns.

    search         see `Search`; asked for at most 2,048 queries at a time
    judgements     see `Judged`
    document_ids   ids of the rows that this search returns; default `judgements.document_ids`
    k              results asked for at least; default what `metrics` need. Ties within them are ordered as
                   trec_eval does; which of the documents that tie at place k come back is up to the search
    metrics        the first is the main one; see `retrieval_metrics`
    exclude        per query the id of a document that never counts (the query itself, in duplicate search), or None
    mteb_compat    keep queries without a relevant document, as score 0; default leaves them out and counts them
    returns        per_query: metric -> float64 [judged queries]; counts: queries, documents, excluded_queries,
                   judged, missing_documents (judged, but not in the corpus), tied_share (queries with a tie across the
                   main cutoff). `failed` where every query's results all score the same
    raises         NotEnoughData: no query with a relevant document; DataError: repeated ids, scores or judgements
                   that are not finite, a row outside the corpus
    """
    ids = judgements.document_ids if document_ids is None else document_ids
    row_of = {identifier: row for row, identifier in enumerate(ids)}
    if len(row_of) != len(ids):
        raise DataError(f"{len(ids) - len(row_of)} document ids occur twice; judgements need one document per id")
    relevance = _relevance(judgements, exclude)
    # "not <= 0", so that a NaN is kept here and named below.
    kept = [query for query in sorted(relevance) if mteb_compat or any(not g <= 0 for g in relevance[query].values())]
    qrels, missing = _qrels([relevance[query] for query in kept], row_of)
    if not len(qrels) or not qrels.relevant().any():
        raise NotEnoughData("no query has a relevant document (a relevance above 0); nothing can be judged")
    cutoffs = [cutoff_of(name) for name in metrics]
    depth = max(k or 0, *cutoffs, cutoffs[0] + 1)  # one more than the main cutoff shows whether a tie runs across it
    queries = [judgements.query_texts[query] for query in kept]
    rows, scores = _ask(search, queries, depth + (exclude is not None), progress)
    if (rows >= len(ids)).any():
        raise DataError(f"the search returned document row {rows.max()} of a corpus of {len(ids)}")
    if exclude is not None:
        rows, scores = _drop(rows, scores, [row_of.get(exclude[query] or "", -1) for query in kept])
    counts: dict[str, float] = {
        "queries": len(kept),
        "documents": len(ids),
        "excluded_queries": len(judgements.query_texts) - len(kept),
        "judged": len(qrels.rows),
        "missing_documents": missing,
    }
    tie_order = np.argsort(np.argsort(np.array(ids, dtype=object), kind="stable"))
    rows, scores = order_hits(rows, scores, tie_order)
    names = tuple(map(str, getattr(judgements, "query_ids", ())))
    items = tuple(names[query] for query in kept) if names else ()
    return _scores(rows[:, :depth], scores[:, :depth], qrels, metrics, tie_order, counts, items)


def _scores(
    rows: Rows,
    scores: Float,
    qrels: Qrels,
    metrics: Sequence[str],
    tie_order: Rows,
    counts: dict[str, float],
    items: tuple[str, ...],
) -> Scores:
    per_query = retrieval_metrics(rows, scores, qrels, metrics=metrics, tie_order=tie_order)
    values = {name: float(numbers.mean()) for name, numbers in per_query.items()}
    failed = "all results of every query score the same: the ranking is chance" if _constant(rows, scores) else None
    return Scores(
        kind="retrieval",
        metric=metrics[0],
        value=None if failed else values[metrics[0]],
        values=values,
        per_query=per_query,
        counts={**counts, "tied_share": float(tied_at(rows, scores, cutoff_of(metrics[0])).mean())},
        items=items,
        failed=failed,
    )


def dense_search(
    vectors: NDArray[np.floating], encode_query: Callable[[list[str]], NDArray[np.floating]], *, cosine: bool = True
) -> Search:
    """Exact search over document vectors [n, d] (float32 or float16, may be a memory map), by cosine or inner product.

    encode_query   texts -> [q, d]
    cosine         both sides are brought to unit length first; vectors that have it already are not copied
    """
    documents = np.asanyarray(unit_rows(vectors) if cosine else vectors)

    def search(queries: list[str], k: int) -> tuple[Rows, Float]:
        encoded = np.asarray(encode_query(queries), dtype=np.float32)
        return top_k(unit_rows(encoded) if cosine else encoded, documents, k)

    return search


def unit_rows(vectors: NDArray[np.floating], *, block: int = 16_384) -> NDArray[np.floating]:
    """Rows at unit length, zero rows left; the same array where all have it already, as far as the dtype can say."""
    tolerance = 1e-3 if vectors.dtype == np.float16 else 1e-6
    starts = range(0, len(vectors), block)
    lengths = [np.linalg.norm(np.asarray(vectors[i : i + block], dtype=np.float32), axis=1) for i in starts]
    norms = np.concatenate([np.zeros(0, dtype=np.float32), *lengths])
    if np.allclose(norms, 1.0, rtol=0, atol=tolerance):
        return vectors
    if not np.isfinite(norms).all():
        raise DataError(f"vector {int((~np.isfinite(norms)).argmax())} has NaN or infinity; it cannot be compared")
    return np.asarray(vectors, dtype=np.float32) / np.where(norms > 0, norms, np.float32(1))[:, None]


def _relevance(judgements: Judged, exclude: Sequence[str | None] | None) -> dict[int, dict[str, float]]:
    """Judged queries -> {document id: gain}, without the documents that never count."""
    total = len(judgements.query_texts)
    if outside := [query for query in judgements.relevance if not 0 <= query < total]:
        raise DataError(f"judgements name query {outside[0]}, and there are {total} queries")
    if exclude is not None and len(exclude) != total:
        raise DataError(f"{len(exclude)} documents to leave out for {total} queries; give one, or None, for each")
    return {
        query: {name: float(gain) for name, gain in grades.items() if exclude is None or name != exclude[query]}
        for query, grades in judgements.relevance.items()
        if grades
    }


def _qrels(judged: Sequence[Mapping[str, float]], row_of: Mapping[str, int]) -> tuple[Qrels, int]:
    """Judgements by row, and how many name a document that the corpus lacks."""
    by_row, missing = [], 0
    for grades in judged:
        rows = {}
        for identifier, gain in grades.items():
            row = row_of.get(identifier)
            if row is None:
                missing += 1
                row = -missing
            rows[row] = gain
        by_row.append(rows)
    return qrels_of(by_row), missing


def _ask(search: Search, queries: list[str], depth: int, progress: Progress) -> tuple[Rows, Float]:
    rows, scores = [], []
    with progress.task("search", total=len(queries), unit="queries") as task:
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            block = queries[start : start + _QUERIES_AT_ONCE]
            found, found_scores = search(block, depth)
            if found.ndim != 2 or len(found) != len(block) or found.shape != found_scores.shape:
                shapes = f"{found.shape} and {found_scores.shape}"
                raise DataError(f"the search returned rows and scores of shape {shapes} for {len(block)} queries")
            rows.append(_to_width(found, depth, -1))
            scores.append(_to_width(found_scores, depth, -np.inf))
            task.advance(len(block))
    return np.concatenate(rows).astype(np.int64), np.concatenate(scores).astype(np.float32)


def _to_width(values: NDArray, width: int, empty: float) -> NDArray:
    """Columns cut or filled to `width`: a search over a small corpus may return fewer."""
    values = values[:, :width]
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=empty)


def _drop(rows: Rows, scores: Float, unwanted: Sequence[int]) -> tuple[Rows, Float]:
    """Empty the place of one document per query; -1 drops none."""
    hit = (rows == np.array(unwanted)[:, None]) & (rows >= 0)
    return np.where(hit, -1, rows), np.where(hit, np.float32(-np.inf), scores)


def _constant(rows: Rows, scores: Float) -> bool:
    """Whether no query tells any two of its results apart, with at least two results somewhere."""
    found = rows >= 0
    several = found.sum(axis=1) > 1
    spread = np.where(found, scores, -np.inf).max(axis=1) > np.where(found, scores, np.inf).min(axis=1)
    return bool(several.any() and not spread[several].any())
