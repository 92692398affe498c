"""What forge will do in the time it has: steps and samples from counts and measured rates. Arithmetic only.

The time is shared: half for fitting, four tenths for judging, a tenth in hand. What does not fit is scaled down and
said, never dropped in silence.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vecsmith.errors import NotEnoughData

__all__ = ["Counts", "ModelPlan", "Plan", "Rates", "make_plan"]

FEWEST_DOCUMENTS = 10
FEWEST_TRAIN_PAIRS = 64
FEWEST_STEPS = 20
MOST_QUERIES = 1500
MOST_DEV_QUERIES = 500
FIT_SHARE, JUDGE_SHARE = 0.5, 0.4


@dataclass(frozen=True)
class Counts:
    """What the source holds: documents in all and per split, pairs per split."""

    documents: int
    train_pairs: int
    dev_pairs: int
    test_pairs: int
    dev_documents: int
    test_documents: int


@dataclass(frozen=True)
class Rates:
    """Measured on this machine: documents encoded and training steps done per wall second."""

    documents_per_second: float
    steps_per_second: float
    batch_size: int
    epochs: float


@dataclass(frozen=True)
class ModelPlan:
    """What one start model gets: training steps (0 = not fitted) and the seconds expected."""

    model: str
    steps: int
    batch_size: int
    fit_seconds: float
    judge_seconds: float


@dataclass(frozen=True)
class Plan:
    """All that the later steps need to know; a pure function of counts, rates and minutes."""

    test_queries: int
    dev_queries: int
    test_documents: int
    dev_documents: int
    models: tuple[ModelPlan, ...]
    minutes: float
    left_out: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """A JSON value with the same names."""
        return asdict(self)

    @property
    def seconds(self) -> float:
        """Expected wall seconds of fitting and judging."""
        return sum(model.fit_seconds + model.judge_seconds for model in self.models)


def make_plan(
    counts: Counts, rates: Mapping[str, Rates], *, minutes: float, labelled_queries: int | None = None
) -> Plan:
    """Scale the job to the time.

    counts            of the source; fewer than 10 documents raise NotEnoughData
    rates             per start model
    minutes           > 0, bound of fitting and judging together
    labelled_queries  number of the user's own judged queries: then these are the test, over all documents
    """
    if counts.documents < FEWEST_DOCUMENTS:
        raise NotEnoughData(
            f"{counts.documents} documents found; forge needs at least {FEWEST_DOCUMENTS} to fit and judge anything. "
            "Add documents, or check that the source is the one you meant"
        )
    left_out: list[str] = []
    seconds = minutes * 60
    # Every model encodes the judged documents twice: as it starts and as it is fitted.
    per_document = sum(2 / rate.documents_per_second for rate in rates.values())
    room = max(FEWEST_DOCUMENTS, int(seconds * JUDGE_SHARE / per_document))
    all_test = counts.documents if labelled_queries is not None else counts.test_documents
    test_documents = _scale("test documents", all_test, max(FEWEST_DOCUMENTS, int(room * 0.7)), left_out)
    dev_documents = _scale("dev documents", counts.dev_documents, max(FEWEST_DOCUMENTS, int(room * 0.3)), left_out)
    test_queries = labelled_queries
    if test_queries is None:
        test_queries = _scale("test queries", counts.test_pairs, min(MOST_QUERIES, test_documents), left_out)
    dev_queries = _scale("dev queries", counts.dev_pairs, min(MOST_DEV_QUERIES, dev_documents), left_out)
    judged = test_documents + dev_documents
    models = [
        _model_plan(name, rate, counts.train_pairs, judged, seconds * FIT_SHARE / len(rates), left_out)
        for name, rate in rates.items()
    ]
    return Plan(
        test_queries=test_queries,
        dev_queries=dev_queries,
        test_documents=test_documents,
        dev_documents=dev_documents,
        models=tuple(models),
        minutes=minutes,
        left_out=tuple(left_out),
    )


def _scale(what: str, found: int, room: int, left_out: list[str]) -> int:
    if found <= room:
        return found
    left_out.append(f"{found - room:,} of {found:,} {what} (a seeded sample of {room:,} is used)")
    return room


def _model_plan(name: str, rate: Rates, pairs: int, judged: int, seconds: float, left_out: list[str]) -> ModelPlan:
    batch_size = min(rate.batch_size, max(2, pairs))
    wanted = max(1, math.ceil(rate.epochs * pairs / batch_size))
    possible = int(seconds * rate.steps_per_second)
    steps = min(wanted, possible)
    if pairs < FEWEST_TRAIN_PAIRS:
        left_out.append(f"fitting {name}: {pairs} training pairs; at least {FEWEST_TRAIN_PAIRS} are needed")
        steps = 0
    elif steps < min(FEWEST_STEPS, wanted):
        left_out.append(
            f"fitting {name}: {steps} steps fit in the time, at least {min(FEWEST_STEPS, wanted)} are needed; "
            "give more --minutes"
        )
        steps = 0
    elif steps < wanted:
        left_out.append(f"{wanted - steps:,} of {wanted:,} training steps of {name} (give more --minutes for all)")
    return ModelPlan(
        model=name,
        steps=steps,
        batch_size=batch_size,
        fit_seconds=round(steps / rate.steps_per_second, 1),
        judge_seconds=round(judged * (2 if steps else 1) / rate.documents_per_second, 1),
    )
