"""What the objectives report of each batch, summed: for the log since the last line, for the card over the stage."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

__all__ = ["Tally", "removed"]


class Tally:
    """Counts `removed_*` as sums, every other number as a mean over batches; by dataset, "mixed" for mixed batches."""

    def __init__(self) -> None:
        self.totals: dict[str, _Sums] = {}
        self.recent = _Sums()

    def add(self, dataset: str, rows: int, parts: Mapping[str, float]) -> None:
        """A batch of so many rows, and what `Loss.parts` said of it."""
        self.totals.setdefault(dataset, _Sums()).add(rows, parts)
        self.recent.add(rows, parts)

    @property
    def rows(self) -> int:
        """Rows of all batches."""
        return sum(each.rows for each in self.totals.values())

    def since(self) -> dict[str, float]:
        """Numbers of the batches since the last call."""
        found, self.recent = self.recent.numbers(), _Sums()
        return found

    def facts(self) -> dict[str, dict[str, float]]:
        """Dataset -> batches, rows and its numbers, over all batches."""
        return {
            name: {"batches": each.batches, "rows": each.rows, **each.numbers()}
            for name, each in sorted(self.totals.items())
        }

    def state(self) -> dict[str, Any]:
        """As JSON, for a checkpoint."""
        return {"totals": {name: vars(each) for name, each in self.totals.items()}, "recent": vars(self.recent)}

    def load(self, state: Mapping[str, Any]) -> None:
        self.totals = {name: _Sums(**each) for name, each in state["totals"].items()}
        self.recent = _Sums(**state["recent"])


class _Sums:
    def __init__(
        self,
        batches: int = 0,
        rows: int = 0,
        sums: dict[str, float] | None = None,
        counts: dict[str, int] | None = None,
    ) -> None:
        self.batches, self.rows, self.sums, self.counts = batches, rows, dict(sums or {}), dict(counts or {})

    def add(self, rows: int, parts: Mapping[str, float]) -> None:
        self.batches += 1
        self.rows += rows
        for name, value in parts.items():
            if isfinite(value):
                self.sums[name] = self.sums.get(name, 0.0) + float(value)
                self.counts[name] = self.counts.get(name, 0) + 1

    def numbers(self) -> dict[str, float]:
        return {
            name: round(value) if _is_count(name) else round(value / self.counts[name], 6)
            for name, value in self.sums.items()
        }


def removed(numbers: Mapping[str, float]) -> str:
    """The removed pairs in words, the most first: "120 by known, 3 by group"; "" where none were.

    >>> removed({"removed_key": 3, "accuracy": 0.5, "info_nce/removed_known": 120, "removed_label": 0})
    '120 by known, 3 by key'
    """
    reasons: dict[str, int] = {}
    for name, value in numbers.items():
        if _is_count(name) and value:
            reason = name.rpartition("removed_")[2]
            reasons[reason] = reasons.get(reason, 0) + round(value)
    ranked = sorted(reasons.items(), key=lambda each: -each[1])
    return ", ".join(f"{count:,} by {reason}" for reason, count in ranked)


def _is_count(name: str) -> bool:
    return name.rpartition("/")[2].startswith("removed_")
