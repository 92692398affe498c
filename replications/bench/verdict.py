"""From figures to checks and a verdict, by rules that stand in the replication's config before it runs."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from replications.bench.interval import seeds_and_queries
from replications.bench.job import Outcome
from vecsmith.errors import RecipeError
from vecsmith.evaluation.statistics import Interval

__all__ = ["Check", "Config", "Passed", "judge", "read_config"]

CONFIG_KEYS = {"row", "key", "paper", "claim", "baseline", "open", "headline", "check"}
HEADLINE_KEYS = {"arm", "against", "metric", "words", "at_least", "margin"}
CHECK_KEYS = {
    "name",
    "accept",
    "kind",
    "arm",
    "against",
    "metric",
    "value",
    "at_least",
    "at_most",
    "above",
    "each_seed_at_least",
}
KINDS = ("claim", "not worse", "mechanism", "exactness")


@dataclass(frozen=True)
class Check:
    """One line of the acceptance.

    kind   "claim" is what the paper says; "not worse" a margin that noise may not exceed; "mechanism" that the method
           does what it says; "exactness" that it is implemented as written
    what   difference of two arms (arm, against, metric) or a named value of the outcome
    """

    name: str
    accept: str
    kind: str
    what: dict[str, Any]


@dataclass(frozen=True)
class Config:
    """`config.toml` of a replication."""

    row: int
    key: str
    paper: str
    claim: str
    baseline: str
    open: list[str]
    headline: dict[str, Any]
    checks: list[Check]


@dataclass(frozen=True)
class Passed:
    """What came of the checks: verdict, the difference that decides it with its words, and a row per check.

    The deciding difference is the headline's, but where a check of the claim contradicts it, that check's.
    """

    verdict: str
    deciding: Interval
    words: str
    headline: Interval
    checks: list[dict[str, Any]]


def read_config(file: Path) -> Config:
    """Read and check a config. RecipeError names the key that is unknown or missing."""
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    _known(file, values, CONFIG_KEYS, required=CONFIG_KEYS - {"open", "check"})
    _known(file, values["headline"], HEADLINE_KEYS, required=HEADLINE_KEYS - {"at_least", "margin"})
    checks = []
    for entry in values.get("check", []):
        _known(file, entry, CHECK_KEYS, required={"name", "accept", "kind"})
        if entry["kind"] not in KINDS:
            raise RecipeError(
                f'check "{entry["name"]}": kind "{entry["kind"]}" is none of {", ".join(KINDS)}', file=file
            )
        what = {name: value for name, value in entry.items() if name not in ("name", "accept", "kind")}
        checks.append(Check(entry["name"], entry["accept"], entry["kind"], what))
    fields = {name: values[name] for name in ("row", "key", "paper", "claim", "baseline")}
    return Config(**fields, open=values.get("open", []), headline=values["headline"], checks=checks)


def judge(config: Config, outcome: Outcome) -> Passed:
    """The verdict.

    shown                    the headline difference is at least `at_least` (by default the border) with its whole
                             interval above the border, and every check passed
    contradicted             its whole interval lies below the border, or a check of kind "claim" failed with its whole
                             interval below 0
    not shown at this scale  anything else: the difference is inside noise, or a check failed

    The border is 0. Where the claim is "not worse", the headline has a `margin`, and the border is -margin.
    """
    head = config.headline
    interval, border = _difference(outcome, head), -float(head.get("margin", 0.0))
    rows, wrong = [], interval.high < border
    deciding, words = interval, str(head["words"])
    for check in config.checks:
        row, found = _checked(check, outcome)
        rows.append(row)
        if check.kind == "claim" and not row["passed"] and found is not None and found.high < 0 and not wrong:
            wrong, deciding = True, found
            words = f"{check.name}: {check.what['arm']} less {check.what['against']}, {check.what['metric']}"
    if wrong:
        verdict = "contradicted"
    elif interval.low > border and interval.mean >= head.get("at_least", border) and all(row["passed"] for row in rows):
        verdict = "shown"
    else:
        verdict = "not shown at this scale"
    return Passed(verdict, deciding, words, interval, rows)


def _checked(check: Check, outcome: Outcome) -> tuple[dict[str, Any], Interval | None]:
    what = check.what
    row: dict[str, Any] = {"name": check.name, "kind": check.kind, "accept": check.accept}
    interval = None
    if "value" in what:
        each = np.atleast_1d(np.asarray(outcome.values[what["value"]], dtype=np.float64))
    else:
        interval = _difference(outcome, what)
        each = (outcome.of_arm(what["arm"], what["metric"]) - outcome.of_arm(what["against"], what["metric"])).mean(
            axis=1
        )
        row |= {"low": round(interval.low, 5), "high": round(interval.high, 5)}
    mean = float(each.mean())
    passed = np.isfinite(mean)
    passed &= mean >= what.get("at_least", -np.inf)
    passed &= mean <= what.get("at_most", np.inf)
    passed &= mean > what.get("above", -np.inf)
    passed &= float(each.min()) >= what.get("each_seed_at_least", -np.inf)
    return {
        **row,
        "found": _short(mean),
        "each": [_short(float(value)) for value in each],
        "passed": bool(passed),
    }, interval


def _difference(outcome: Outcome, what: dict[str, Any]) -> Interval:
    metric = what["metric"]
    return seeds_and_queries(outcome.of_arm(what["arm"], metric) - outcome.of_arm(what["against"], metric))


def _short(value: float) -> float:
    """Five digits that count."""
    return float(f"{value:.5g}")


def _known(file: Path, values: dict[str, Any], known: set[str], required: set[str]) -> None:
    for name in values:
        if name not in known:
            raise RecipeError(f'unknown key "{name}" (known: {", ".join(sorted(known))})', file=file)
    for name in sorted(required - values.keys()):
        raise RecipeError(f'"{name}" is missing', file=file)
