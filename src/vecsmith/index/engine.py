"""The exact nearest rows under a mask, over any number of segments: pure functions on arrays.

Every approximate engine is held to these answers. A float32 matrix product ranks the rows; it may differ in its last
digits with where a row stands, so the rows that can be among the best are scored again, each on its own in float64:
scores and order then depend neither on how rows are cut into segments nor on the plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.topk import top_k

__all__ = ["Part", "exact_scores", "nearest", "plan_for"]

Float = NDArray[np.float32]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

GATHER_SHARE = 1 / 32  # below it, copying the passing vectors together is cheaper than scanning all
RESCORED_ROWS = 16_384


@dataclass(frozen=True)
class Part:
    """One segment's vectors.

    vectors     float32 [v, d], or int8 codes of them; each is carried by at least one row
    vector_of   uint32 [n]: row -> vector
    norm        length of the longest row of `vectors`, for the bound on rounding
    line        of codes: offsets and steps, float32 [d] each; a component is offset + code * step
    """

    vectors: "Float | NDArray[np.int8]"
    vector_of: NDArray[np.uint32]
    norm: float = 1.0
    line: tuple[Float, Float] | None = None

    def numbers(self, chosen: "NDArray[np.integer[Any]]") -> NDArray[np.float64]:
        """Some vectors, codes turned back: float64 [m, d]."""
        found = self.vectors[chosen].astype(np.float64)
        return found if self.line is None else found * self.line[1] + self.line[0]

    def ranking(self, queries: Float) -> Float:
        """Queries whose products with `vectors` rank these: q (offset + code step) = constant + (q step) code."""
        return queries if self.line is None else queries * self.line[1]

    @cached_property
    def _by_vector(self) -> "tuple[Rows, Rows] | None":
        """Rows sorted by vector, and where each vector's rows begin; None where row i carries vector i."""
        if len(self.vectors) == len(self.vector_of) and (self.vector_of == np.arange(len(self.vectors))).all():
            return None
        order = np.argsort(self.vector_of, kind="stable")
        return order, np.searchsorted(self.vector_of[order], np.arange(len(self.vectors) + 1))

    def rows_of(self, chosen: Rows) -> Rows:
        """Every row that carries one of the vectors."""
        if self._by_vector is None:
            return chosen
        order, starts = self._by_vector
        spans = [order[starts[vector] : starts[vector + 1]] for vector in chosen]
        return np.concatenate(spans) if spans else np.empty(0, dtype=np.int64)


def plan_for(passing: int, total: int) -> str:
    """ "empty" (nothing passes), "exact" (gather what passes) or "scan_all" (score every vector)."""
    if passing == 0:
        return "empty"
    return "exact" if passing < total * GATHER_SHARE else "scan_all"


def nearest(queries: Float, parts: Sequence[Part], masks: Sequence[Mask | None], k: int) -> list[tuple[Rows, Float]]:
    """For each query the k rows of greatest inner product, and every row that ties with the last of them.

    queries   float32 [q, d], finite
    masks     per part: bool [n], the rows that may be found; None for all
    returns   per query: rows int64 [m] (numbered on from part to part) and scores float32 [m], best first, equal scores
              by row; m >= k unless fewer rows pass
    """
    found: list[list[tuple[Rows, Float]]] = [[] for _ in queries]
    start = 0
    for part, mask in zip(parts, masks, strict=True):
        for place, (rows, scores) in enumerate(_nearest_in(queries, part, mask, k)):
            found[place].append((rows + start, scores))
        start += len(part.vector_of)
    return [_best(answers, k) for answers in found]


def exact_scores(query: Float, parts: Sequence[Part], rows: Rows) -> Float:
    """Inner products of one query, float32 [d], with given rows, int64 [m]: float32 [m], the same in every plan."""
    scores = np.empty(len(rows), dtype=np.float32)
    start = 0
    for part in parts:
        inside = np.flatnonzero((rows >= start) & (rows < start + len(part.vector_of)))
        if len(inside):
            scores[inside] = _dots(query, part, part.vector_of[rows[inside] - start])
        start += len(part.vector_of)
    return scores


def _nearest_in(queries: Float, part: Part, mask: Mask | None, k: int) -> list[tuple[Rows, Float]]:
    """`nearest` in one part, its own row numbers."""
    none = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    vectors, allowed, numbers = _passing_vectors(part, mask)
    held = len(vectors) if allowed is None else int(allowed.sum())
    answers: list[tuple[Rows, Float]] = [none] * len(queries)
    waiting = np.arange(len(queries)) if k > 0 and held else np.empty(0, dtype=np.int64)
    depth = min(k + 16, held)
    ranking = part.ranking(queries)
    while len(waiting):
        near, scores = top_k(ranking[waiting], vectors, depth, allowed=allowed)
        left = []
        for place, which in enumerate(waiting):
            query, border = queries[which], scores[place]
            if depth < held and border[-1] >= border[min(k, depth) - 1] - _margin(ranking[which], part.norm):
                left.append(which)  # a vector beyond the last one listed could tie with, or round above, the k-th
                continue
            rows = part.rows_of(near[place] if numbers is None else numbers[near[place]])
            rows = rows if mask is None else rows[mask[rows]]
            answers[which] = _best([(rows, _dots(query, part, part.vector_of[rows]))], k)
        waiting, depth = np.array(left, dtype=np.int64), min(4 * depth, held)
    return answers


def _passing_vectors(part: Part, mask: Mask | None) -> tuple[NDArray[Any], Mask | None, Rows | None]:
    """Vectors to score, which of them pass (None: all), and their numbers where they were gathered (None: in order)."""
    if mask is None:
        return part.vectors, None, None
    allowed = np.zeros(len(part.vectors), dtype=bool)
    allowed[part.vector_of[mask]] = True
    numbers = np.flatnonzero(allowed)
    if len(numbers) < len(allowed) * GATHER_SHARE:
        return part.vectors[numbers], None, numbers
    return part.vectors, allowed, None


def _margin(query: Float, norm: float) -> float:
    """Twice what float32 rounding can do to an inner product: d * 2^-24 * |x| * |q|."""
    return 2.0 * len(query) * 2.0**-24 * norm * float(np.sqrt(query.astype(np.float64) @ query))


def _dots(query: Float, part: Part, chosen: NDArray[np.integer]) -> Float:
    """Inner products row by row in float64, rounded to float32: each depends on its row alone."""
    wide = query.astype(np.float64)
    scores = np.empty(len(chosen), dtype=np.float32)
    for low in range(0, len(chosen), RESCORED_ROWS):
        block = part.numbers(chosen[low : low + RESCORED_ROWS])
        scores[low : low + RESCORED_ROWS] = (block * wide).sum(axis=1)
    return scores


def _best(answers: Sequence[tuple[Rows, Float]], k: int) -> tuple[Rows, Float]:
    """The k best of several answers, and all that tie with the last."""
    if not answers:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    rows = np.concatenate([rows for rows, _ in answers])
    scores = np.concatenate([scores for _, scores in answers])
    if k < len(rows):
        keep = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
        rows, scores = rows[keep], scores[keep]
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]
