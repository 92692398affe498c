"""Row 13, QZhou-Embedding: masked class data, graded pairs under CoSENT, and two stages against one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from replications.bench.bed import Bed
from replications.bench.head import Head, Phase, apply_head, train_head
from replications.bench.job import Job, Measures, Outcome
from replications.bench.judge import class_gap, nearest_class, spearman
from replications.bench.lists import as_records, mined_ranks
from replications.bench.protocol import TEMPERATURE, Scale, batches_of, retrieval_measures, scale_of, start_measures
from vecsmith.data.dataset import Dataset
from vecsmith.objectives.info_nce import info_nce
from vecsmith.topk import top_k

RANKS, NEGATIVES = (10, 30), 7  # of the paper
GROUPS = {
    "numbers": ("numpy", "scipy", "sympy", "pandas", "networkx"),
    "learning": ("torch", "sklearn"),
    "language": ("transformers", "sentence_transformers", "peft", "datasets", "accelerate", "huggingface_hub"),
}
FIRST, THEN, RETRIEVAL_SHARE = 400, 200, 0.5
CLASS_STEPS, CLASS_ROWS, NEAR, GRADES = 300, 128, 10, 5

RETRIEVAL = {"info_nce": {"temperature": TEMPERATURE, "query_query": True}}
GRADED = {"cosent": {"temperature": TEMPERATURE}}
CLASSES = {"info_nce": {"temperature": TEMPERATURE}}
ALL = {"retrieval": [RETRIEVAL], "scored": [GRADED], "class": [CLASSES]}


def replicate(job: Job) -> Outcome:
    """The arms of the three parts over the seeds, and the mask on a batch of one class."""
    scale = scale_of(job)
    bed = scale.bed
    retrieval = as_records(bed, mined_ranks(bed, bed.train, ranks=RANKS, count=NEGATIVES), name="retrieval")
    graded, classes = graded_records(bed), class_records(bed)
    results: dict[str, list[Measures]] = {"start": [measures(None, bed) for _ in job.seeds]}
    for name, phases in arms(job, scale, retrieval, graded, classes).items():
        results[name] = [
            job.arm(name, seed, lambda phases=phases, seed=seed: measures(train_head(phases, seed=seed), bed))  # type: ignore[misc]
            for seed in job.seeds
        ]
    left = max(pairs_left(scale, seed) for seed in job.seeds)
    return Outcome(results, {"pairs left": left}, bed.describe(), notes=[_note(results)])


def arms(job: Job, scale: Scale, retrieval: Dataset, graded: Dataset, classes: Dataset) -> dict[str, list[Phase]]:
    """The phases of each arm."""
    bed, every = scale.bed, [retrieval, graded, classes]
    first, then = (4, 2) if job.quick else (FIRST, THEN)
    total = first + then

    def mixed(steps: int, share: float) -> Phase:
        rest = (1 - share) / 2
        return Phase(every, [bed.vectors_of(each) for each in every], ALL, steps=steps, shares=[share, rest, rest])

    same = (first + then * RETRIEVAL_SHARE) / total
    rows, steps = (32, 4) if job.quick else (CLASS_ROWS, CLASS_STEPS)
    unmasked = {"info_nce": {**CLASSES["info_nce"], "mask_labels": False}}
    half = Phase(every[:2], [bed.vectors_of(each) for each in every[:2]], ALL, steps=total, shares=[0.5, 0.5])
    return {
        "two stages": [scale.phase(retrieval, {"retrieval": [RETRIEVAL]}, steps=first), mixed(then, RETRIEVAL_SHARE)],
        "one stage": [mixed(total, RETRIEVAL_SHARE)],
        "one stage, same batches": [mixed(total, same)],
        "retrieval only": [scale.phase(retrieval, {"retrieval": [RETRIEVAL]}, steps=total)],
        "graded half": [half],
        "classes, masked": [scale.phase(classes, {"class": [CLASSES]}, steps=steps, rows=rows)],
        "classes, unmasked": [scale.phase(classes, {"class": [unmasked]}, steps=steps, rows=rows)],
    }


def measures(head: Head | None, bed: Bed) -> dict[str, Any]:
    """Retrieval, order of graded pairs, classes; None is the start model."""
    vectors = bed.vectors["summary"] if head is None else apply_head(head, bed.vectors["summary"])
    coarse = groups_of(bed)
    pairs, grades = graded_pairs(bed, bed.test)
    test = vectors[bed.test]
    return {
        **(start_measures(bed) if head is None else retrieval_measures(head, bed)),
        "spearman": spearman((test[pairs[:, 0]] * test[pairs[:, 1]]).sum(axis=1), grades),
        "nearest 10": nearest_class(test, coarse[bed.test], vectors[bed.train], coarse[bed.train]),
        "gap": class_gap(test, coarse[bed.test]),
    }


def groups_of(bed: Bed) -> NDArray[np.int64]:
    """The coarse class of each thing."""
    number = {name: place for place, names in enumerate(GROUPS.values()) for name in names}
    return np.array([number[bed.names[package]] for package in bed.package], dtype=np.int64)


def class_records(bed: Bed) -> Dataset:
    """Summaries of the train side with their coarse class."""
    names, coarse = list(GROUPS), groups_of(bed)
    with Dataset.build(name="classes") as builder:
        for row in range(bed.trains):
            builder.add_record(query=bed.summary[row], label=names[coarse[row]], kind="class")
        return builder.finish()


def graded_pairs(bed: Bed, side: slice) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each thing with one of the 50 of nearest body and with one of all: int64 [m, 2], cosines of bodies [m]."""
    bodies = bed.vectors["body"][side]
    near, _ = top_k(bodies, bodies, min(51, len(bodies)))
    draw, things = np.random.default_rng(13), np.arange(len(bodies))
    partners = [near[things, draw.integers(1, near.shape[1], len(bodies))], draw.integers(0, len(bodies), len(bodies))]
    pairs = np.concatenate([np.stack([things, other], axis=1) for other in partners])
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return pairs, (bodies[pairs[:, 0]] * bodies[pairs[:, 1]]).sum(axis=1).astype(np.float64)


def graded_records(bed: Bed) -> Dataset:
    """Pairs of summaries of the train side, graded in five equal parts by the cosine of their bodies."""
    pairs, cosines = graded_pairs(bed, bed.train)
    edges = np.quantile(cosines, np.arange(1, GRADES) / GRADES)
    grades = np.searchsorted(edges, cosines)
    with Dataset.build(name="graded") as builder:
        for (one, two), grade in zip(pairs.tolist(), grades.tolist(), strict=True):
            score = grade / (GRADES - 1)
            builder.add_record(query=bed.summary[one], positives=[bed.summary[two]], scores=[score], kind="scored")
        return builder.finish()


def pairs_left(scale: Scale, seed: int) -> float:
    """Candidates per batch of one class beyond the rows' own negatives, under the class mask."""
    bed, coarse = scale.bed, groups_of(scale.bed)
    rows = np.flatnonzero(coarse[bed.train] == 0)[:200]
    others = np.flatnonzero(coarse[bed.train] == 1)
    with Dataset.build(name="one class") as builder:
        for place, row in enumerate(rows.tolist()):
            negative = bed.summary[int(others[place % len(others)])]
            builder.add_record(query=bed.summary[row], negatives=[negative], label="numbers", kind="class")
        data = builder.finish()
    batch, queries, documents = batches_of(scale, data, count=1, rows=min(64, len(rows)), seed=seed)[0]
    loss = info_nce(queries, documents, batch, other_negatives=False)
    return loss.parts["candidates"] - 1.0


def _note(results: dict[str, list[Measures]]) -> str:
    names = ("start", "one stage", "one stage, same batches", "two stages", "retrieval only")
    figures = {name: np.mean([np.mean(each["mrr@10"]) for each in results[name]]) for name in names}
    return "held-out MRR@10: " + "; ".join(f"{name} {value:.4f}" for name, value in figures.items())
