"""What a search gives back, and how sure it is."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vecsmith.terminal import printable

__all__ = ["Collected", "Deleted", "Hit", "Result"]


@dataclass(frozen=True)
class Hit:
    """One document found: its rank from 1, score (higher is nearer), text and attributes."""

    rank: int
    id: str
    score: float
    text: str
    fields: dict[str, Any] = field(default_factory=dict)

    def snippet(self, width: int = 160) -> str:
        """The beginning of the text on one line, cut at a word."""
        line = " ".join(self.text[: 4 * width].split())
        if len(line) <= width:
            return line
        cut = line[: width - 3]
        return (cut[: cut.rfind(" ")] if " " in cut[width // 2 :] else cut) + "..."


@dataclass(frozen=True)
class Result:
    """The answer to one query; iterating gives `Hit`s.

    ids, scores, texts, fields   per hit, best first; equal scores by id
    mode               "dense", "lexical" or "fused"
    plan               "empty", "exact" (what passes was gathered) or "scan_all" (every row was scored)
    passing            rows that pass the filter, exactly
    total              rows that live
    exact              whether these are provably the best
    expected_recall    1.0 where exact
    short              whether fewer than k came back; with a dense side only where fewer than k pass, in lexical mode
                       also where fewer rows hold a term of the query
    generation         of the index
    timings            step -> milliseconds
    """

    ids: list[str]
    scores: list[float]
    texts: list[str]
    fields: list[dict[str, Any]]
    mode: str
    plan: str
    passing: int
    total: int
    exact: bool
    expected_recall: float
    short: bool
    generation: int
    timings: dict[str, float]

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Hit]:
        rows = zip(self.ids, self.scores, self.texts, self.fields, strict=True)
        for rank, (name, score, text, fields) in enumerate(rows, 1):
            yield Hit(rank, name, score, text, fields)

    def __getitem__(self, place: int) -> Hit:
        return list(self)[place]

    @property
    def milliseconds(self) -> float:
        """All steps but the encoding of the query."""
        return sum(spent for step, spent in self.timings.items() if step != "encode")

    def __str__(self) -> str:
        lines = [f"{hit.score:.2f}  {' '.join(hit.id.split())}  {hit.snippet(60)}" for hit in self]
        return printable("\n".join([*lines, self.summary()]))

    def summary(self) -> str:
        """How many of how many, how sure, how long: `2 of 286 passing rows (8,218 in all), exact, 0.4 ms`."""
        rows = f"{self.passing:,} passing rows ({self.total:,} in all)"
        if self.passing == self.total:
            rows = f"{self.total:,} rows"
        sure = "exact" if self.exact else f"expected recall {self.expected_recall:.2f}"
        return f"{len(self):,} of {rows}, {sure}, {self.milliseconds:.1f} ms"

    def to_json(self) -> dict[str, Any]:
        """The result with the same names, hits as a list."""
        hits = [
            {"rank": hit.rank, "id": hit.id, "score": hit.score, "text": hit.text, "fields": hit.fields} for hit in self
        ]
        names = ("mode", "plan", "passing", "total", "exact", "expected_recall", "short", "generation", "timings")
        return {"hits": hits, **{name: getattr(self, name) for name in names}}


class Deleted(NamedTuple):
    """Rows deleted, and ids asked for that were not there."""

    deleted: int
    missing: int


class Collected(NamedTuple):
    """Segments and tombstone files removed, and their bytes."""

    removed: int
    bytes: int
