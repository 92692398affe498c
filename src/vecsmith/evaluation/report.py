"""What an evaluation says: scores with intervals, what made them, and how two models differ.

A report keeps the values of every query, so that any two reports on the same data can be compared later.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vecsmith.errors import DataError, UsageError
from vecsmith.evaluation.differences import difference
from vecsmith.evaluation.scores import Scores
from vecsmith.evaluation.statistics import Interval, benjamini_hochberg, holm

__all__ = ["Comparison", "Difference", "Report", "TaskResult"]

FORMAT = 1
CORRECTIONS = {"holm": holm, "benjamini_hochberg": benjamini_hochberg}


@dataclass(frozen=True)
class TaskResult:
    """One model on one task. `data` is the hash of what was judged on, `published` a score printed elsewhere."""

    task: str
    scores: Scores
    data: str
    interval: Interval | None = None
    published: float | None = None
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        scores = self.scores
        kept = {} if scores.failed else scores.per_query  # a failed task's values may not be finite
        return {
            "task": self.task,
            "kind": scores.kind,
            "metric": scores.metric,
            "score": scores.value,
            "interval": None if self.interval is None else [self.interval.low, self.interval.high],
            "published": self.published,
            "failed": scores.failed,
            "values": dict(scores.values),
            "counts": dict(scores.counts),
            "data": self.data,
            "seconds": round(self.seconds, 3),
            "items": list(scores.items),
            "per_query": {name: [float(value) for value in values] for name, values in kept.items()},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "TaskResult":
        scores = Scores(
            kind=content["kind"],
            metric=content["metric"],
            value=content["score"],
            values=content["values"],
            per_query={name: np.array(values, dtype=np.float64) for name, values in content["per_query"].items()},
            counts=content["counts"],
            items=tuple(content["items"]),
            failed=content["failed"],
        )
        ends = content["interval"]
        interval = None if ends is None else Interval(scores.value or 0.0, *ends)
        return cls(content["task"], scores, content["data"], interval, content["published"], content["seconds"])


@dataclass(frozen=True)
class Report:
    """One model on some tasks.

    model      what the model is called
    contract   fingerprint of its space, empty where it has none
    results    one per task, in the order of the suite
    versions   of what computed the scores
    """

    model: str
    contract: str
    results: tuple[TaskResult, ...]
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def scores(self) -> dict[str, float | None]:
        """Main score per task; None where it failed."""
        return {result.task: result.scores.value for result in self.results}

    @property
    def mean(self) -> float | None:
        """Mean of the main scores; None where a task failed: a mean over fewer tasks compares with nothing."""
        values = [result.scores.value for result in self.results]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known and len(known) == len(values) else None

    def __getitem__(self, task: str) -> TaskResult:
        for result in self.results:
            if result.task == task:
                return result
        raise KeyError(f"{task}; tasks: {', '.join(result.task for result in self.results)}")

    def __str__(self) -> str:
        made_by = f"{self.model}, space {self.contract}" if self.contract else self.model
        return "\n".join([made_by[:80], "", *_score_table(self)])

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "model": self.model,
            "contract": self.contract,
            "versions": dict(self.versions),
            "mean": self.mean,
            "results": [result.to_dict() for result in self.results],
        }

    def to_json(self) -> str:
        """One JSON document with the same names, values of every query included."""
        return json.dumps(self.to_dict(), indent=None, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """The report that `to_json` wrote. DataError: another format."""
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DataError(f"no evaluation report of format {FORMAT}; evaluate again")
        results = tuple(TaskResult.from_dict(result) for result in content["results"])
        return cls(content["model"], content["contract"], results, content["versions"])

    @classmethod
    def read(cls, path: str | Path) -> "Report":
        """The report in a file."""
        return cls.from_json(Path(path).read_text(encoding="utf-8"))

    def compare(
        self, other: "Report", *, resamples: int = 10_000, seed: int = 0, correction: str | None = None
    ) -> "Comparison":
        """This model minus the other on the tasks that both have, paired by query.

        correction   of the p-values over the tasks: "holm" (default up to 30 tasks), "benjamini_hochberg" (beyond)
        raises       UsageError: no task in common, unknown correction; DataError: a task was judged on other data
        """
        mine = {result.task: result for result in self.results}
        theirs = {result.task: result for result in other.results}
        shared = [task for task in mine if task in theirs]
        if not shared:
            raise UsageError(f"no task in common: {', '.join(mine) or 'none'} and {', '.join(theirs) or 'none'}")
        named = correction or ("holm" if len(shared) <= 30 else "benjamini_hochberg")
        if named not in CORRECTIONS:
            raise UsageError(f'correction is "{named}"; known: {", ".join(CORRECTIONS)}')
        rows = [_compare_task(mine[task], theirs[task], resamples, seed) for task in shared]
        tested = [number for number, row in enumerate(rows) if row.p is not None]
        corrected = CORRECTIONS[named]([rows[number].p or 0.0 for number in tested])
        for number, p in zip(tested, corrected, strict=True):
            row = rows[number]
            rows[number] = Difference(row.task, row.metric, row.a, row.b, row.interval, row.p, p, row.note)
        return Comparison(self.model, other.model, tuple(rows), named)


@dataclass(frozen=True)
class Difference:
    """Two models on one task: a - b with its interval, the permutation p and the p corrected over the tasks."""

    task: str
    metric: str
    a: float | None
    b: float | None
    interval: Interval | None
    p: float | None = None
    p_corrected: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """All shared tasks of two reports; `rows` in the order of the first."""

    a: str
    b: str
    rows: tuple[Difference, ...]
    correction: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "a": self.a,
            "b": self.b,
            "correction": self.correction,
            "tasks": [
                {
                    "task": row.task,
                    "metric": row.metric,
                    "a": row.a,
                    "b": row.b,
                    "difference": None if row.interval is None else row.interval.mean,
                    "interval": None if row.interval is None else [row.interval.low, row.interval.high],
                    "p": row.p,
                    "p_corrected": row.p_corrected,
                    "note": row.note,
                }
                for row in self.rows
            ],
        }

    def __str__(self) -> str:
        head = f"{'task':<20} {'a':>6} {'b':>6}  {'a - b':>6}  {'95 % interval':<17} {'p':>7}"
        lines = [f"a: {self.a}"[:80], f"b: {self.b}"[:80], "", head]
        lines += [
            f"{row.task[:20]:<20} {_number(row.a):>6} {_number(row.b):>6}  {_rest(row)}"[:80] for row in self.rows
        ]
        tested = sum(row.p is not None for row in self.rows)
        corrected = f", {self.correction} over {tested} tasks" if tested > 1 else ""
        return "\n".join([*map(str.rstrip, lines), *(["", f"p: permutation{corrected}"] if tested else [])])


def _rest(row: Difference) -> str:
    if row.interval is None:
        return row.note
    p = "" if row.p_corrected is None else f"{row.p_corrected:.4f}"
    ends = f"[{row.interval.low:+.3f}, {row.interval.high:+.3f}]"
    return f"{row.interval.mean:+.3f}  {ends:<17} {p:>7}"


def _compare_task(a: TaskResult, b: TaskResult, resamples: int, seed: int) -> Difference:
    metric = a.scores.metric
    if a.data != b.data:
        raise DataError(f"{a.task}: judged on data {a.data} and {b.data}; compare reports on the same data")
    failed = [side for side, result in (("a", a), ("b", b)) if result.scores.failed]
    if failed:
        return Difference(a.task, metric, a.scores.value, b.scores.value, None, note=f"failed: {' and '.join(failed)}")
    interval, p = difference(a.scores, b.scores, resamples=resamples, seed=seed)
    return Difference(a.task, metric, a.scores.value, b.scores.value, interval, p)


def _score_table(report: Report) -> list[str]:
    published = any(result.published is not None for result in report.results)
    head = f"{'task':<22} {'metric':<12} {'score':>7}  {'95 % interval':<14}"
    lines = [head + (f" {'published':>9} {'diff':>8}" if published else "")]
    lines[0] = lines[0].rstrip()
    for result in report.results:
        scores, interval = result.scores, result.interval
        line = f"{result.task[:22]:<22} {scores.metric[:12]:<12}"
        if scores.failed:
            lines.append(f"{line}  failed: {scores.failed}"[:80])
            continue
        ends = "" if interval is None else f"[{interval.low:.3f}, {interval.high:.3f}]"
        line += f" {scores.value:>7.4f}  {ends:<14}"
        if result.published is not None:
            line += f" {result.published:>9.4f} {round((scores.value or 0) - result.published, 4) + 0.0:>+8.4f}"
        lines.append(line.rstrip())
    if report.mean is not None and len(report.results) > 1:
        lines.append(f"{'mean':<22} {'':<12} {report.mean:>7.4f}")
    return lines + [note for result in report.results for note in _notes(result)]


def _notes(result: TaskResult) -> list[str]:
    """What a reader of the score must know."""
    counts, notes = result.scores.counts, []
    if (share := counts.get("unknown_share", 0)) > 0.05:
        notes.append(f"{result.task}: {share:.0%} of its tokens are unknown to the model")
    if (share := counts.get("tied_share", 0)) > 0.01:
        notes.append(f"{result.task}: ties across the cutoff in {share:.0%} of the queries")
    if missing := int(counts.get("missing_documents", 0)):
        notes.append(f"{result.task}: {missing} judged documents are not in the corpus")
    if left_out := int(counts.get("excluded_queries", 0)):
        notes.append(f"{result.task}: {left_out} queries without a relevant document left out")
    return [note[:80] for note in notes]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
