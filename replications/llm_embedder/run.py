"""Row 30, LLM-Embedder: rewards as a graded list, against plain KL and the best alone; batches of one task."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from replications.bench.bed import MODEL, Bed, encode_texts
from replications.bench.head import Head, Phase, apply_head, train_head
from replications.bench.job import Job, Measures, Outcome
from replications.bench.judge import list_ndcg, list_order, reciprocal_rank
from replications.bench.lists import as_records, body_scores, mined_ranks
from replications.bench.protocol import TEMPERATURE, Scale, retrieval_measures, scale_of, start_measures
from vecsmith.data.dataset import Dataset

RANKS, NEGATIVES = (0, 50), 7
SCALES: dict[str, tuple[float, ...]] = {"flat": (1.0,), "mixed scales": (1.0, 20.0, 200.0), "sharp": (200.0,)}
INFO_NCE = {"info_nce": {"temperature": TEMPERATURE}}
KL = {"soft_labels": {"temperature": TEMPERATURE, "teacher_temperature": 1.0}}
OBJECTIVES: dict[str, list[dict[str, Any]]] = {
    "KL": [KL],
    "KL and InfoNCE": [KL, {"info_nce": {"temperature": TEMPERATURE, "weight": 0.2}}],
    "graded": [{"graded_distillation": {"temperature": TEMPERATURE, "positive_first": False}}],
}
REAL_STEPS, FOLDS = 60, 4


def replicate(job: Job) -> Outcome:
    """Synthetic scales, batches of one task, and real rewards where they have been computed."""
    scale = scale_of(job)
    bed = scale.bed
    lists = mined_ranks(bed, bed.train, ranks=RANKS, count=NEGATIVES, seed=30)
    own = np.arange(bed.trains)[:, None]
    rewards = body_scores(bed, bed.train, np.concatenate([own, lists], axis=1))
    results: dict[str, list[Measures]] = {"start": [measures(None, bed) for _ in job.seeds]}
    results["best alone"] = _arm(job, bed, "best alone", scale.phase(as_records(bed, lists), {"retrieval": [INFO_NCE]}))
    for words, scales in SCALES.items():
        each = np.random.default_rng(31).choice(scales, size=(bed.trains, 1))
        data = as_records(bed, lists, scores=rewards * each)
        for name, terms in OBJECTIVES.items():
            arm = f"{words}: {name}"
            results[arm] = _arm(job, bed, arm, scale.phase(data, {"retrieval": terms}))
    results |= tasks(job, scale, lists)
    real, notes = real_rewards(job, scale)
    return Outcome({**results, **real}, {}, bed.describe(), [_gains(results), *notes])


def _gains(results: dict[str, list[Measures]]) -> str:
    """Graded distillation against KL on each scale, in words."""
    figure = {name: float(np.mean([np.mean(each["mrr@10"]) for each in seeds])) for name, seeds in results.items()}
    gains = "; ".join(f"{words} {figure[f'{words}: graded'] - figure[f'{words}: KL']:+.4f}" for words in SCALES)
    return f"graded distillation less KL, MRR@10, by the scale of the synthetic rewards: {gains}"


def _arm(job: Job, bed: Bed, name: str, phase: Phase) -> list[Measures]:
    return [
        job.arm(name.replace(": ", ", "), seed, lambda seed=seed: measures(train_head([phase], seed=seed), bed))  # type: ignore[misc]
        for seed in job.seeds
    ]


def measures(head: Head | None, bed: Bed) -> dict[str, Any]:
    """Retrieval, and nDCG of test lists against the order of their rewards; None is the start model."""
    lists = mined_ranks(bed, bed.test, ranks=RANKS, count=NEGATIVES, seed=32)
    lists = np.concatenate([np.arange(len(lists))[:, None], lists], axis=1)
    rewards = body_scores(bed, bed.test, lists)
    words, summaries = (bed.vectors[view][bed.test] for view in ("words", "summary"))
    if head is not None:
        words, summaries = apply_head(head, words), apply_head(head, summaries)
    cosines = np.einsum("nd,nkd->nk", words, summaries[lists]).astype(np.float64)
    found = start_measures(bed) if head is None else retrieval_measures(head, bed)
    return {**found, "ndcg of rewards": list_ndcg(cosines, rewards)}


def tasks(job: Job, scale: Scale, lists: NDArray[np.int64]) -> dict[str, list[Measures]]:
    """Two tasks (words ask for a summary, a summary for its body), a task a batch or both in one."""
    bed = scale.bed
    two = [
        as_records(bed, lists, name="words"),
        as_records(bed, lists, name="bodies", query=bed.summary.__getitem__, document=bed.body.__getitem__),
    ]
    results = {}
    for name, share in (("one task a batch", 0.0), ("tasks mixed", 1.0)):
        vectors = [bed.vectors_of(data) for data in two]
        phase = Phase(two, vectors, {"retrieval": [INFO_NCE]}, steps=scale.steps, mixed_share=share)
        results[name] = [
            job.arm(name, seed, lambda phase=phase, seed=seed: both_tasks(train_head([phase], seed=seed), bed))  # type: ignore[misc]
            for seed in job.seeds
        ]
    return results


def both_tasks(head: Head, bed: Bed) -> dict[str, Any]:
    """`measures`, and the second task's retrieval."""
    summaries, bodies = (apply_head(head, bed.vectors[view][bed.test]) for view in ("summary", "body"))
    return {**measures(head, bed), "bodies mrr@10": reciprocal_rank(summaries, bodies)}


def real_rewards(job: Job, scale: Scale) -> tuple[dict[str, list[Measures]], list[str]]:
    """The arms on likelihoods of a language model, where `rewards.py` has left them in the work folder."""
    folder = job.work / "llm_embedder" / "dataset"
    if job.quick or not folder.is_dir():
        return {}, ["real rewards: not computed here; replications/llm_embedder/rewards.py makes them"]
    data = Dataset.open(folder)
    vectors = encode_texts(data.texts(list(range(data.inputs.num_rows))), job.work, job.progress)
    results: dict[str, list[Measures]] = {"real: start": [real_measures(data, vectors, None, 0) for _ in job.seeds]}
    for name, terms in {"best alone": [INFO_NCE], **OBJECTIVES}.items():
        results[f"real: {name}"] = [
            job.arm(f"real, {name}", seed, lambda terms=terms, seed=seed: real_measures(data, vectors, terms, seed))  # type: ignore[misc]
            for seed in job.seeds
        ]
    rewards = np.array(data.records["teacher_scores"].to_pylist())
    spread = np.ptp(rewards[:, 1:], axis=1).mean()
    return results, [
        f"real rewards: {len(rewards)} questions with {rewards.shape[1]} candidates each, mean log likelihoods of a "
        f"135M language model; mean spread of a list without its gold sentence {spread:.3f}; the figures of `real:` "
        f"arms are of held-out questions ({FOLDS} folds), vectors of {MODEL}"
    ]


def real_measures(data: Dataset, vectors: NDArray[np.float32], terms: Any, seed: int) -> dict[str, Any]:
    """Each fold's questions judged by a head trained on the others; None judges the start model."""
    queries = data.records["query"].to_numpy()
    sides = (data.records["positives"].to_pylist(), data.records["negatives"].to_pylist())
    lists = np.array([[*first, *rest] for first, rest in zip(*sides, strict=True)])
    rewards = np.array(data.records["teacher_scores"].to_pylist(), dtype=np.float64)
    fold = np.random.default_rng(33).permutation(len(queries)) % FOLDS
    cosines = np.empty(rewards.shape)
    for number in range(FOLDS):
        held = fold == number
        moved = vectors
        if terms is not None:
            part = Dataset(data.inputs, data.documents.table, data.records.filter((~held).tolist()), name=data.name)
            phase = Phase([part], [vectors], {"retrieval": terms}, steps=REAL_STEPS)
            moved = apply_head(train_head([phase], seed=seed), vectors)
        cosines[held] = np.einsum("nd,nkd->nk", moved[queries[held]], moved[lists[held]])
    return {
        "ndcg of rewards": list_ndcg(cosines, rewards),
        "order without gold": list_order(cosines[:, 1:], rewards[:, 1:]),
        "gold first": (cosines.argmax(axis=1) == 0).astype(np.float64),
    }
