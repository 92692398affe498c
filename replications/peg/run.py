"""Row 7, PEG: negatives weighted by difficulty and progress, and the number of negatives in one and the same batch."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replications.bench.head import Head, apply_head, new_head, train_head
from replications.bench.job import Job, Measures, Outcome
from replications.bench.judge import reciprocal_rank
from replications.bench.lists import as_records, mined_ranks
from replications.bench.protocol import (
    TEMPERATURE,
    Scale,
    batches_of,
    retrieval_arm,
    retrieval_measures,
    scale_of,
    start_measures,
)
from vecsmith.data.batch import Batch
from vecsmith.data.dataset import Dataset
from vecsmith.objectives.info_nce import info_nce
from vecsmith.objectives.progressive import tilted
from vecsmith.training.encoding import EncodedLoss
from vecsmith.training.objective import StageObjective

RANKS, NEGATIVES, MOST = (10, 60), 5, 4.0
ARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tilt 0 to 4": {"tilt": {"from": 0.0, "to": MOST}},
    "tilt 4": {"tilt": MOST},
    "curricular": {"curriculum": "curricular"},
}
LARGE, BLOCK, LARGE_STEPS, DEV = 512, 32, 150, 500
RATES = (1e-3, 3e-4)
SIZES: dict[str, tuple[dict[str, Any], int, int]] = {  # options, rows, steps
    "512, all": ({}, LARGE, LARGE_STEPS),
    "512, blocks of 32": ({"block": BLOCK}, LARGE, LARGE_STEPS),
    "32, equal pairs": ({}, BLOCK, LARGE_STEPS * LARGE // BLOCK),
}


def replicate(job: Job) -> Outcome:
    """Arms of both claims over the seeds, and the mechanisms."""
    scale = scale_of(job)
    data = as_records(scale.bed, mined_ranks(scale.bed, scale.bed.train, ranks=RANKS, count=NEGATIVES))
    results: dict[str, list[Measures]] = {"start": [start_measures(scale.bed) for _ in job.seeds]}
    for name, options in ARMS.items():
        objective = {"retrieval": [{"info_nce": {"temperature": TEMPERATURE, **options}}]}
        results[name] = retrieval_arm(job, scale, name, [scale.phase(data, objective)])
    results |= sizes(job, scale)
    seen = [mechanisms(scale, data, seed) for seed in job.seeds]
    values: dict[str, Any] = {name: [each[name] for each in seen] for name in seen[0]}
    return Outcome(results, values, scale.bed.describe(), notes=_notes(results, values))


def sizes(job: Job, scale: Scale) -> dict[str, list[Measures]]:
    """The arms of the number of negatives, each at the rate that its dev side chose."""
    dev = min(DEV, scale.bed.trains // 4)
    rows = np.arange(scale.bed.trains - dev)
    data = as_records(scale.bed, rows=rows)
    results: dict[str, list[Measures]] = {}
    for name, (options, size, steps) in SIZES.items():
        objective = {"retrieval": [{"info_nce": {"temperature": TEMPERATURE, **options}}]}
        steps = min(steps, scale.steps) if job.quick else steps
        tried = []
        for rate in RATES:
            phase = scale.phase(data, objective, steps=steps, rows=min(size, len(rows)), rate=rate)

            def make(phase: Any = phase, seed: int = 0) -> dict[str, Any]:
                head = train_head([phase], seed=seed)
                return {**retrieval_measures(head, scale.bed), "dev mrr@10": dev_figure(head, scale, dev)}

            tried.append([job.arm(f"{name}, rate {rate:g}", s, lambda s=s, make=make: make(seed=s)) for s in job.seeds])  # type: ignore[misc]
        figures = [float(np.mean([each["dev mrr@10"] for each in seeds])) for seeds in tried]
        results[name] = [{**each, "rate": RATES[int(np.argmax(figures))]} for each in tried[int(np.argmax(figures))]]
    return results


def dev_figure(head: Head, scale: Scale, dev: int) -> float:
    """MRR@10 on the last `dev` things of the train side, which no size arm trains on."""
    side = slice(scale.bed.trains - dev, scale.bed.trains)
    queries, documents = (apply_head(head, scale.bed.vectors[view][side]) for view in ("words", "summary"))
    return float(reciprocal_rank(queries, documents).mean())


def mechanisms(scale: Scale, data: Dataset, seed: int) -> dict[str, float]:
    """Figures of the checks, on batches of frozen vectors."""
    batches = batches_of(scale, data, count=5, rows=64, seed=seed)
    masses = [np.mean([hard_mass(*each, tilt=MOST * t / 10) for each in batches]) for t in range(11)]
    batch, queries, documents = batches[0]
    plain, off = (info_nce(queries, documents, batch, **options).value.item() for options in ({}, {"tilt": 0.0}))
    return {
        "mass at the start": float(masses[0]),
        "mass at the end": float(masses[-1]),
        "least growth": float(np.diff(masses).min()),
        "limit": abs(plain - off),
        "cache": cached_difference(batch, queries, documents, seed),
    }


def hard_mass(batch: Batch, queries: Tensor, documents: Tensor, tilt: float) -> float:
    """Softmax mass that the hardest tenth of a row's negatives has among all of them, mean over rows."""
    units = torch.nn.functional.normalize(documents, dim=1)
    cosines = torch.nn.functional.normalize(queries, dim=1)[batch.query_index] @ units.T
    own = torch.zeros_like(cosines, dtype=torch.bool).scatter_(1, batch.positives, True)
    own[batch.known[:, 0], batch.known[:, 1]] = True
    logits = tilted(cosines / TEMPERATURE, cosines, tilt).masked_fill(own, -1e9)
    shares = logits.softmax(dim=1)
    return float(shares.topk(max(1, (cosines.shape[1] - 1) // 10), dim=1).values.sum(dim=1).mean())


def cached_difference(batch: Batch, queries: Tensor, documents: Tensor, seed: int) -> float:
    """Largest difference of the trainer's cached gradient, in chunks of 16, and the plain one, as a share."""
    head = new_head(queries.shape[1], seed)
    torch.nn.init.normal_(head.outer.weight, std=0.02)
    sides = [replace(b, features={"input_ids": v}) for b, v in ((batch.queries, queries), (batch.documents, documents))]
    held = replace(batch, queries=sides[0], documents=sides[1], progress=0.5)
    objective = StageObjective({"retrieval": [{"info_nce": {"temperature": TEMPERATURE, **ARMS["tilt 0 to 4"]}}]})
    gradients = []
    for size in (None, 16):
        head.zero_grad()
        EncodedLoss(_Frozen(head), objective, size)(held).backward()
        gradients.append([each.grad.clone() for each in head.parameters() if each.grad is not None])
    pairs = zip(*gradients, strict=True)
    return max(float((one - two).abs().max() / one.abs().max().clamp_min(1e-12)) for one, two in pairs)


class _Frozen(torch.nn.Module):
    """A head in the place of a model: its "tokens" are frozen vectors."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"sentence_embedding": self.head(features["input_ids"])}


def _notes(results: dict[str, list[Measures]], values: dict[str, Any]) -> list[str]:
    start, end = np.mean(values["mass at the start"]), np.mean(values["mass at the end"])
    figures = {name: np.mean([np.mean(each["mrr@10"]) for each in results[name]]) for name in SIZES}
    rates = {name: float(results[name][0]["rate"]) for name in SIZES}
    return [
        f"the hardest tenth of the negatives has {start:.1%} of their mass at the start, {end:.1%} at the end",
        "number of negatives: " + "; ".join(f"{name} (rate {rates[name]:g}) {figures[name]:.4f}" for name in SIZES),
    ]
