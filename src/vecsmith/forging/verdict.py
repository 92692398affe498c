"""From the per-query scores of every arm to one honest answer: which arm won, by how much, and what the cheaper cost.

Arithmetic and words only: no model, no file. An arm is a way to search: a model alone (dense), BM25 (lexical), or both
(fused). The measure that decides is nDCG@10; differences are paired over queries with 95 % bootstrap intervals.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith.evaluation.statistics import Interval, bootstrap_mean, paired_bootstrap

__all__ = ["MEASURES", "Arm", "Cost", "Verdict", "decide", "gate_passes"]

MEASURES = ("ndcg@10", "mrr@10", "recall@100")
DECISIVE = "ndcg@10"
ENOUGH_QUERIES = 30
WORTH_NAMING = 1.5  # times cheaper: less is noise of the clock

Gate = Literal["better", "not-worse"]
Preference = Literal["quality", "speed"]


@dataclass(frozen=True)
class Cost:
    """What an arm costs: processor seconds to prepare 1,000 documents, processor ms per query, bytes per document."""

    prepare_seconds_per_1000: float
    query_milliseconds: float
    bytes_per_document: float


@dataclass(frozen=True)
class Arm:
    """A way to search, with its scores: `scores[measure]` is float64 [queries], the same queries for all arms."""

    name: str
    kind: Literal["dense", "lexical", "fused"]
    model: str | None
    fitted: bool
    weight: float | None
    scores: dict[str, NDArray[np.float64]]
    cost: Cost


@dataclass
class Verdict:
    """The answer. `lines` are for people; the first says whose queries were used."""

    winner: str
    best: str
    tied: list[str]
    lines: list[str]
    enough: bool
    summary: list[dict[str, Any]] = field(default_factory=list)
    fitting: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON value with the same names."""
        return asdict(self)


def decide(
    arms: Sequence[Arm], *, queries: str, real_queries: bool, prefer: Preference = "quality", seed: int = 7
) -> Verdict:
    """Choose among arms and say why.

    arms          at least one; equal numbers of queries
    queries       words for whose queries these are: "1,500 queries made from your headings"
    real_queries  True for judgements that a person made
    prefer        among the arms whose paired interval against the best includes 0: "quality" takes the best mean,
                  "speed" the one that prepares documents fastest (within 1.5 times: the simpler, then the better)
    returns       Verdict; the `summary` has a row per arm, best first: means with intervals, the paired difference to
                  the best arm, the cost
    """
    count = len(arms[0].scores[DECISIVE])
    ranked = sorted(arms, key=lambda arm: (-_mean(arm), arm.cost.prepare_seconds_per_1000, arm.name))
    best = ranked[0]
    to_best = {arm.name: _difference(arm, best, seed) for arm in ranked}
    tied = [arm for arm in ranked if arm is best or to_best[arm.name].high >= 0]
    winner = best if prefer == "quality" else _cheapest(tied)
    fitting = _fitting(arms, seed)
    enough = count >= ENOUGH_QUERIES
    lines = [_whose(queries, real_queries)]
    lines += _fitting_lines(fitting, enough)
    lines += _winner_lines(winner, best, tied, to_best, enough, prefer)
    lines += _cheaper_lines(winner, ranked, seed)
    return Verdict(
        winner=winner.name,
        best=best.name,
        tied=[arm.name for arm in tied],
        lines=lines,
        enough=enough,
        summary=[_row(arm, to_best[arm.name], seed) for arm in ranked],
        fitting={
            model: {"difference": asdict(interval), "helped": _word(interval)} for model, interval in fitting.items()
        },
    )


def _cheapest(arms: Sequence[Arm]) -> Arm:
    """Of the arms whose costs the clock cannot tell apart from the lowest: one side before two, then the best mean."""
    limit = WORTH_NAMING * min(arm.cost.prepare_seconds_per_1000 for arm in arms)
    near = [arm for arm in arms if arm.cost.prepare_seconds_per_1000 <= limit]
    return min(near, key=lambda arm: (arm.kind == "fused", -_mean(arm), arm.name))


def gate_passes(verdict: Verdict, gate: Gate) -> bool:
    """Whether fitting passed: "better" needs a gain whose interval lies above 0; "not-worse" one not wholly below 0.

    Where several models were fitted one that passes is enough; where none was fitted, "better" fails.
    """
    differences = [entry["difference"] for entry in verdict.fitting.values()]
    if gate == "better":
        return verdict.enough and any(difference["low"] > 0 for difference in differences)
    return not differences or any(difference["high"] >= 0 for difference in differences)


def _mean(arm: Arm) -> float:
    return float(arm.scores[DECISIVE].mean())


def _difference(a: Arm, b: Arm, seed: int) -> Interval:
    """Paired difference of the decisive measure; one query says nothing of others, so its interval is all there is."""
    if len(a.scores[DECISIVE]) < 2:
        return Interval(float(a.scores[DECISIVE][0] - b.scores[DECISIVE][0]), -1.0, 1.0)
    return paired_bootstrap(a.scores[DECISIVE], b.scores[DECISIVE], seed=seed)


def _interval(values: NDArray[np.float64], seed: int) -> Interval:
    if len(values) < 2:
        return Interval(float(values[0]), 0.0, 1.0)
    return bootstrap_mean(values, seed=seed)


def _fitting(arms: Sequence[Arm], seed: int) -> dict[str, Interval]:
    """Per model: the dense fitted arm minus the dense start arm."""
    starts = {arm.model: arm for arm in arms if arm.kind == "dense" and not arm.fitted}
    return {
        str(arm.model): _difference(arm, starts[arm.model], seed)
        for arm in arms
        if arm.kind == "dense" and arm.fitted and arm.model in starts
    }


def _word(interval: Interval) -> str:
    return "yes" if interval.low > 0 else "no, it made it worse" if interval.high < 0 else "too small to tell"


def _whose(queries: str, real_queries: bool) -> str:
    line = f"Judged on {queries}."
    return line if real_queries else f"{line} Real queries may rank the arms otherwise; --labels FILE judges on yours."


def _fitting_lines(fitting: dict[str, Interval], enough: bool) -> list[str]:
    lines = []
    for model, interval in fitting.items():
        word = _word(interval) if enough else "too small to tell"
        lines.append(f"Did fitting {model} help? {word[0].upper()}{word[1:]}: nDCG@10 {_signed(interval)}.")
    return lines


def _winner_lines(
    winner: Arm, best: Arm, tied: Sequence[Arm], to_best: dict[str, Interval], enough: bool, prefer: Preference
) -> list[str]:
    if not enough:
        count = len(winner.scores[DECISIVE])
        return [f"Too small to tell the arms apart ({count} queries); {winner.name} has the best mean, and is used."]
    line = f"Winner: {winner.name}, nDCG@10 {_mean(winner):.3f}."
    others = [arm.name for arm in tied if arm is not winner]
    if others:
        line += f" Too close to tell from it: {', '.join(others)}."
    if winner is not best:
        line += f" {best.name} has the best mean ({_mean(best):.3f}); --prefer {prefer} took the cheapest of those."
    return [line]


def _cheaper_lines(winner: Arm, ranked: Sequence[Arm], seed: int) -> list[str]:
    """What choosing a cheaper arm than the winner would lose: the best arm at each lower cost."""
    lines, limit = [], winner.cost.prepare_seconds_per_1000
    for arm in ranked:
        if arm is winner or arm.cost.prepare_seconds_per_1000 * WORTH_NAMING > limit:
            continue
        loss = _difference(arm, winner, seed)
        times = winner.cost.prepare_seconds_per_1000 / max(arm.cost.prepare_seconds_per_1000, 1e-9)
        lines.append(f"Cheaper: {arm.name} prepares documents {_times(times)} faster, at nDCG@10 {_signed(loss)}.")
        limit = arm.cost.prepare_seconds_per_1000
    return lines


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def _row(arm: Arm, to_best: Interval, seed: int) -> dict[str, Any]:
    return {
        "name": arm.name,
        "kind": arm.kind,
        "model": arm.model,
        "fitted": arm.fitted,
        "weight": arm.weight,
        "queries": len(arm.scores[DECISIVE]),
        "measures": {measure: asdict(_interval(arm.scores[measure], seed)) for measure in MEASURES},
        "to_best": asdict(to_best),
        "cost": asdict(arm.cost),
    }
