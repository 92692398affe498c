"""What another form of a model costs on judged tasks: int8 against float32, a static model against its teacher."""

import datetime
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vecsmith.evaluation.evaluate import evaluate
from vecsmith.progress import SILENT, Progress

__all__ = ["loss_of"]


def loss_of(
    model: Any,
    other: Any,
    *,
    suite: str | Path = "small_english",
    tasks: Sequence[str] | None = None,
    data_root: str | os.PathLike[str] | None = None,
    names: tuple[str, str] = ("model", "export"),
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Both judged on the same tasks, as plain values for a contract's record.

    model, other   models or encoders; `other` is the form that was made of `model`
    names          what their scores are called
    returns        {"date", "suite", task: {"metric", names[0], names[1], "difference", "interval"}}; the difference is
                   other - model, with its 95 % interval from a paired bootstrap
    raises         UsageError, DataError, NotEnoughData, as `evaluate`
    """
    reports = [evaluate(each, suite, tasks=tasks, data_root=data_root, progress=progress) for each in (other, model)]
    found: dict[str, Any] = {"date": datetime.date.today().isoformat(), "suite": str(suite)}
    for row in reports[0].compare(reports[1]).rows:
        interval = row.interval
        found[row.task] = {
            "metric": row.metric,
            names[0]: _rounded(row.b),
            names[1]: _rounded(row.a),
            "difference": None if interval is None else _rounded(interval.mean),
            "interval": None if interval is None else [_rounded(interval.low), _rounded(interval.high)],
        }
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 5)
