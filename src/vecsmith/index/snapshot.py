"""One generation of an index, opened: its segments, its living rows, and every kind of search over them.

Nothing here changes; a snapshot answers the same as long as it is held, whatever writers do.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import LimitExceeded, SchemaError, UsageError
from vecsmith.index.catalog import Pin
from vecsmith.index.engine import exact_scores, nearest, plan_for
from vecsmith.index.fusion import fuse_scores, gather_candidates, rank_fusion
from vecsmith.index.lexical import LexicalIndex
from vecsmith.index.result import Result
from vecsmith.index.schema import Schema
from vecsmith.index.segment import Segment, id_keys
from vecsmith.index.tombstones import read_alive
from vecsmith.index.where import Field, as_tree
from vecsmith.index.where_canonical import canonical_text

if TYPE_CHECKING:
    from vecsmith.index.where_tree import Tree

__all__ = ["Snapshot"]

Float = NDArray[np.float32]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
Side = tuple[Rows, Float]
Where = "str | Tree | Field | None"

MOST_HITS = 1_000_000
KEPT_FILTERS = 16


class Snapshot:
    """A pinned generation.

    schema, settings   of the index
    segments, alive    per segment: the mapped files, and bool [n] of rows that live (None: all)
    """

    def __init__(self, folder: Path, pin: Pin) -> None:
        self.folder, self.generation, self.settings, self.pin = folder, pin.generation, pin.settings, pin
        self.schema = Schema.from_json(self.settings["schema"] or {"fields": [], "assume_utc": False})
        self.segments: list[Segment] = []
        self.alive: list[Mask | None] = []
        for live in pin.segments:
            segment = Segment.open(folder / "segments" / live.name, live.body, self.schema)
            self.segments.append(segment)
            marks = live.tombstones
            self.alive.append(read_alive(folder / "tombstones", marks, segment.rows) if marks else None)
        self.starts = [int(start) for start in np.cumsum([0, *(segment.rows for segment in self.segments)])]
        self.total = sum(
            segment.rows if alive is None else int(alive.sum())
            for segment, alive in zip(self.segments, self.alive, strict=True)
        )
        self._masks: dict[str, tuple[list[Mask | None], int]] = {}

    def __len__(self) -> int:
        return self.total

    @property
    def width(self) -> int | None:
        """Components of a vector; None without a dense side, or before the first add."""
        width: int | None = self.settings["width"]
        return width

    def search_many(
        self,
        texts: Sequence[str | None],
        vectors: Float | None,
        k: int = 10,
        *,
        mode: str,
        weight: float | None = None,
        where: "str | Tree | Field | None" = None,
        fields: Sequence[str] | None = None,
        offset: int = 0,
    ) -> list[Result]:
        """The answers to several queries under one filter; arguments as in `Index.search`.

        texts     the queries, None where only a vector is known
        vectors   float32 [q, width], finite (of unit length for cosine), or None in mode lexical
        mode      "dense", "lexical" or "fused"
        """
        self._check(k, offset, mode, fields)
        clock = _Clock()
        with clock("filter"):
            masks, passing = self.masks(where)
        wanted = min(k + offset, passing)
        depth = wanted if mode != "fused" else min(passing, max(100, 4 * wanted))
        with clock("search"):
            dense = self._dense(vectors, masks, depth) if mode != "lexical" and wanted else []
            answers = []
            for place, text in enumerate(texts):
                near = dense[place] if dense else None
                query = None if vectors is None else vectors[place]
                answers.append(self._answer(text, query, near, masks, passing, wanted, depth, weight, mode))
        return [
            self._result(rows[offset:], scores[offset:], _Clock(clock.spent, len(texts)), mode, passing, k, fields)
            for rows, scores in answers
        ]

    def _result(
        self, rows: Rows, scores: Float, clock: "_Clock", mode: str, passing: int, k: int, fields: Sequence[str] | None
    ) -> Result:
        with clock("read"):
            ids, texts, shown = self._read(rows, fields)
        return Result(
            ids=ids,
            scores=[float(score) for score in scores],
            texts=texts,
            fields=shown,
            mode=mode,
            plan=plan_for(passing, self.total),
            passing=passing,
            total=self.total,
            exact=True,
            expected_recall=1.0,
            short=len(ids) < k,
            generation=self.generation,
            timings=clock.rounded(),
        )

    def masks(self, where: "str | Tree | Field | None") -> tuple[list[Mask | None], int]:
        """Per segment the rows that live and pass (None: all of them), and how many."""
        tree = as_tree(where, self.schema)
        key = canonical_text(tree)
        found = self._masks.get(key)
        if found is None:
            everything = where is None
            masks: list[Mask | None] = []
            for segment, alive in zip(self.segments, self.alive, strict=True):
                mask = None if everything else segment.attributes.mask(tree)
                masks.append(alive if mask is None else mask if alive is None else mask & alive)
            passing = sum(
                segment.rows if mask is None else int(mask.sum())
                for segment, mask in zip(self.segments, masks, strict=True)
            )
            found = masks, passing
            while len(self._masks) >= KEPT_FILTERS:
                self._masks.pop(next(iter(self._masks)))
            self._masks[key] = found
        return found

    def allowed(self, where: "str | Tree | Field | None") -> Mask:
        """Which rows live and pass: bool [all rows]."""
        return self._joined(self.masks(where)[0])

    def find(self, ids: Sequence[str]) -> Rows:
        """The living row of each id, -1 where there is none: int64 [m]."""
        found = np.full(len(ids), -1, dtype=np.int64)
        keys = id_keys(ids)
        for segment, alive, start in zip(self.segments, self.alive, self.starts, strict=False):
            rows = segment.find(keys, ids)
            here = rows >= 0
            if alive is not None:
                here[here] = alive[rows[here]]
            found[here] = rows[here] + start
        return found

    def ids(self, rows: Rows) -> list[str]:
        """The ids of some rows."""
        return self._gather(rows, lambda segment, inside: segment.ids(inside))

    def texts(self, rows: Rows) -> list[str]:
        """The texts of some rows."""
        return self._gather(rows, lambda segment, inside: segment.texts(inside))

    def values(self, name: str, rows: Rows) -> list[Any]:
        """The values of one field for some rows."""
        return self._gather(rows, lambda segment, inside: segment.attributes.values(name, inside))

    @cached_property
    def lexical(self) -> LexicalIndex:
        """BM25 over the living rows."""
        parts = tuple(
            (segment.postings, alive)
            for segment, alive in zip(self.segments, self.alive, strict=True)
            if segment.postings is not None
        )
        return LexicalIndex(parts)

    def _check(self, k: int, offset: int, mode: str, fields: Sequence[str] | None) -> None:
        if k < 0 or offset < 0:
            raise UsageError(f"k is {k} and offset {offset}; both must be 0 or more")
        if k + offset > MOST_HITS:
            raise LimitExceeded(f"k + offset is {k + offset:,}; at most {MOST_HITS:,} hits come back at once")
        has = {"dense": bool(self.settings["dense"]), "lexical": bool(self.settings["lexical"])}
        has["fused"] = all(has.values())
        if mode not in has:
            raise UsageError(f'no mode "{mode}"; modes: dense, lexical, fused')
        if not has[mode]:
            sides = " and ".join(side for side in ("dense", "lexical") if has[side])
            raise UsageError(f"{self.folder} has only a {sides} side and cannot be searched in mode {mode}")
        unknown = [name for name in fields or () if name not in self.schema.types]
        if unknown:
            raise SchemaError(f'"{unknown[0]}" is no field of this index; {self.schema.nearest(unknown[0])}')

    def _dense(self, vectors: Float | None, masks: Sequence[Mask | None], depth: int) -> list[Side]:
        if vectors is None:
            raise UsageError("a dense or fused search needs a vector, or a text and the index's model")
        return [self._cut(*side, depth) for side in nearest(vectors, [s.part for s in self.segments], masks, depth)]

    def _answer(
        self,
        text: str | None,
        query: Float | None,
        near: Side | None,
        masks: Sequence[Mask | None],
        passing: int,
        wanted: int,
        depth: int,
        weight: float | None,
        mode: str,
    ) -> Side:
        """Rows and scores of one query, best first."""
        if not wanted:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        if mode == "dense":
            assert near is not None
            return near
        if text is None:
            raise UsageError(f"a {mode} search needs the query's text; pass it, or use mode dense")
        allowed = None if all(mask is None for mask in masks) else self._joined(masks)
        terms = self._cut(*self.lexical.hits(text, depth, allowed=allowed), depth)
        if mode == "lexical":
            return terms
        assert near is not None
        assert query is not None
        if weight is None:
            return self._cut(*rank_fusion(near, terms), wanted)
        union = gather_candidates(
            near,
            terms,
            dense_scores=lambda rows: exact_scores(query, [segment.part for segment in self.segments], rows),
            lexical_scores=lambda rows: self.lexical.scores(text, rows),
        )
        return self._cut(union.rows, fuse_scores(union.dense, union.lexical, weight).astype(np.float32), wanted)

    def _joined(self, masks: Sequence[Mask | None]) -> Mask:
        whole = [
            np.ones(segment.rows, dtype=bool) if mask is None else mask
            for segment, mask in zip(self.segments, masks, strict=True)
        ]
        return np.concatenate(whole) if whole else np.empty(0, dtype=bool)

    def _cut(self, rows: Rows, scores: Float, k: int) -> Side:
        """The k best, equal scores by id: the rows' numbers depend on how they are cut into segments, ids do not."""
        ids = self.ids(rows)
        order = sorted(range(len(rows)), key=lambda place: (-scores[place], ids[place]))[:k]
        return rows[order], scores[order]

    def _read(self, rows: Rows, fields: Sequence[str] | None) -> tuple[list[str], list[str], list[dict[str, Any]]]:
        names = self.schema.fields if fields is None else fields
        columns = {name: self.values(name, rows) for name in names}
        shown = [{name: values[place] for name, values in columns.items()} for place in range(len(rows))]
        return self.ids(rows), self.texts(rows), shown

    def _gather(self, rows: Rows, read: Callable[[Segment, Rows], list[Any]]) -> list[Any]:
        """What `read` gives for the rows of each segment, in the order of `rows`."""
        found: list[Any] = [None] * len(rows)
        for segment, start in zip(self.segments, self.starts, strict=False):
            inside = np.flatnonzero((rows >= start) & (rows < start + segment.rows))
            if len(inside):
                for place, value in zip(inside, read(segment, rows[inside] - start), strict=True):
                    found[place] = value
        return found

    def live_rows(self) -> Iterator[tuple[Segment, Rows]]:
        """Each segment with its living rows, its own numbers."""
        for segment, alive in zip(self.segments, self.alive, strict=True):
            yield segment, np.arange(segment.rows) if alive is None else np.flatnonzero(alive)


class _Clock:
    """Milliseconds by step; those `spent` together by some queries are shared out among them."""

    def __init__(self, spent: Mapping[str, float] | None = None, queries: int = 1) -> None:
        self.spent = {step: spent_by_all / queries for step, spent_by_all in (spent or {}).items()}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.spent[step] = self.spent.get(step, 0.0) + 1000 * (time.perf_counter() - start)

    def rounded(self) -> dict[str, float]:
        return {step: round(spent, 3) for step, spent in self.spent.items()}
