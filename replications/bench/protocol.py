"""What the replications of the frozen-feature protocol share: the bed at its scale, a head's figures, a first batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replications.bench.bed import Bed, open_bed
from replications.bench.head import Head, Phase, apply_head, train_head
from replications.bench.job import Job, Measures
from replications.bench.judge import reciprocal_rank
from vecsmith.data.batch import Batch, gather_batch
from vecsmith.data.columns import RecordColumns
from vecsmith.data.dataset import Dataset

__all__ = ["TEMPERATURE", "Scale", "batches_of", "retrieval_arm", "retrieval_measures", "scale_of", "start_measures"]

TEMPERATURE = 0.05
QUICK_STEPS, QUICK_THINGS = 6, 160


@dataclass(frozen=True)
class Scale:
    """The bed and the steps of an arm."""

    bed: Bed
    steps: int

    def phase(self, dataset: Dataset, objective: Mapping[str, Sequence[Mapping[str, Any]]], **options: Any) -> Phase:
        """One dataset of the bed under an objective."""
        options = {"steps": self.steps, **options}
        return Phase([dataset], [self.bed.vectors_of(dataset)], dict(objective), **options)  # type: ignore[arg-type]


def scale_of(job: Job, *, steps: int = 600) -> Scale:
    """The whole bed, or a corner of it for a quick job."""
    torch.set_num_threads(1)  # the products are small: more threads wait for each other
    bed = open_bed(job.work, most=QUICK_THINGS if job.quick else None, progress=job.progress)
    return Scale(bed, min(steps, QUICK_STEPS) if job.quick else steps)


def retrieval_measures(head: Head, bed: Bed) -> dict[str, Any]:
    """Words ask for the summary among all of the test side."""
    queries, documents = (apply_head(head, bed.vectors[view][bed.test]) for view in ("words", "summary"))
    return {"mrr@10": reciprocal_rank(queries, documents)}


def start_measures(bed: Bed) -> dict[str, Any]:
    """The same without a head: what the frozen vectors give."""
    return {"mrr@10": reciprocal_rank(bed.vectors["words"][bed.test], bed.vectors["summary"][bed.test])}


def retrieval_arm(job: Job, scale: Scale, name: str, phases: Sequence[Phase]) -> list[Measures]:
    """One arm over all seeds."""
    return [
        job.arm(name, seed, lambda seed=seed: retrieval_measures(train_head(phases, seed=seed), scale.bed))  # type: ignore[misc]
        for seed in job.seeds
    ]


def batches_of(
    scale: Scale, dataset: Dataset, *, count: int, rows: int, seed: int
) -> list[tuple[Batch, Tensor, Tensor]]:
    """Batches of random records with their frozen vectors, for mechanisms."""
    columns, vectors = RecordColumns(dataset), torch.from_numpy(scale.bed.vectors_of(dataset))
    draw = np.random.default_rng(seed)
    found = []
    for number in range(count):
        chosen = draw.permutation(columns.usable)[:rows]
        batch = gather_batch(columns, chosen, seed=seed * 1_000 + number)
        found.append((batch, vectors[batch.queries.rows], vectors[batch.documents.rows]))
    return found
