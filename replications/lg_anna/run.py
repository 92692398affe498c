"""Row 14, LG-ANNA-Embedding: soft labels of a teacher beside labels of which a fifth are wrong; margins in mining."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replications.bench.bed import Bed
from replications.bench.head import Head, Phase, apply_head, train_head
from replications.bench.job import Job, Measures, Outcome
from replications.bench.judge import list_ndcg, list_order
from replications.bench.lists import body_scores, mined_ranks
from replications.bench.protocol import TEMPERATURE, Scale, retrieval_measures, scale_of, start_measures
from replications.lg_anna.planted import planted_shares
from vecsmith.data.dataset import Dataset
from vecsmith.errors import NotEnoughData

RANKS, NEGATIVES, WRONG = (0, 50), 7, 0.2
SCORED, JUDGED = 1_500, 800  # queries that the cross-encoder scores, of the train and the test side
INFO_NCE = {"info_nce": {"temperature": TEMPERATURE}}
ARMS: dict[str, list[dict[str, Any]]] = {
    "InfoNCE": [INFO_NCE],
    "InfoNCE and soft labels": [INFO_NCE, {"soft_labels": {"temperature": TEMPERATURE, "weight": 1.0}}],
    "soft labels alone": [{"soft_labels": {"temperature": TEMPERATURE}}],
}

Lists = NDArray[np.int64]
Double = NDArray[np.float64]


@dataclass(frozen=True)
class Teacher:
    """Scores of the first lists of both sides, float64 [n, 8]; the own summary is column 0 of a list."""

    name: str
    train: Double
    test: Double
    steps: int


def replicate(job: Job) -> Outcome:
    """Both teachers, their arms over the seeds."""
    scale = scale_of(job)
    bed = scale.bed
    lists = {side: own_lists(bed, side) for side in ("train", "test")}
    results: dict[str, list[Measures]] = {}
    notes = []
    for teacher in teachers(job, scale, lists):
        data = noisy_records(bed, lists["train"], teacher)
        results[f"{teacher.name}: start"] = [measures(None, bed, lists["test"], teacher) for _ in job.seeds]
        for name, terms in ARMS.items():
            phase = scale.phase(data, {"retrieval": terms}, steps=teacher.steps)
            results[f"{teacher.name}: {name}"] = _arm(job, bed, lists["test"], teacher, name, phase)
        first = (teacher.test.argmax(axis=1) == 0).mean()
        notes.append(f"teacher {teacher.name}: puts the true summary first in {first:.1%} of the held-out lists of 8")
    report = job.work / "lg_anna_teacher" / "report.json"
    if report.is_file():
        judged = json.loads(report.read_text(encoding="utf-8"))
        notes.append(
            f"the cross-encoder on held-out pairs: Spearman {judged['stsb_dev_spearman']:.3f} on graded, area under "
            f"the curve {judged['quora_dev_auc']:.3f} on duplicate ones; the start model's cosine has .867 and .865 "
            "there, so that this teacher is no better a judge than the student's start, only another one"
        )
    planted = planted_shares(bed)
    first, second, _ = planted.values()
    notes.append(f"planted answers among mined negatives: {first:.1%} by ranks alone, {second:.1%} by an own margin")
    values: dict[str, Any] = {**planted, "planted, fallen": first - second}
    return Outcome(results, values, bed.describe(), notes)


def _arm(job: Job, bed: Bed, lists: Lists, teacher: Teacher, name: str, phase: Phase) -> list[Measures]:
    return [
        job.arm(
            f"{teacher.name}, {name}",
            seed,
            lambda seed=seed: measures(train_head([phase], seed=seed), bed, lists, teacher),  # type: ignore[misc]
        )
        for seed in job.seeds
    ]


def own_lists(bed: Bed, side: str) -> Lists:
    """int64 [n, 8]: each thing, then 7 others that look like its words."""
    place = bed.train if side == "train" else bed.test
    mined = mined_ranks(bed, place, ranks=RANKS, count=NEGATIVES, seed=14)
    return np.concatenate([np.arange(len(mined))[:, None], mined], axis=1)


def teachers(job: Job, scale: Scale, lists: dict[str, Lists]) -> list[Teacher]:
    """The trained cross-encoder and the cosine of bodies."""
    bed = scale.bed
    bodies = Teacher(
        "bodies", body_scores(bed, bed.train, lists["train"]), body_scores(bed, bed.test, lists["test"]), scale.steps
    )
    if job.quick:  # no teacher is trained for a try: that of bodies stands in its place
        return [Teacher("cross-encoder", bodies.train, bodies.test, scale.steps), bodies]
    train, test = (
        cross_encoder_scores(job, bed, side, lists[side][:most]) for side, most in (("train", SCORED), ("test", JUDGED))
    )
    return [Teacher("cross-encoder", train, test, scale.steps // 2), bodies]


def cross_encoder_scores(job: Job, bed: Bed, side: str, lists: Lists) -> Double:
    """Logits of (words, summary), kept in the work folder; NotEnoughData where the teacher is not trained yet."""
    from vecsmith.data.teachers import ScoreStore, score_pairs
    from vecsmith.models.cross_encoder import CrossEncoderScorer

    model = job.work / "lg_anna_teacher" / "model"
    if not model.is_dir():
        raise NotEnoughData(
            f"no teacher in {model.parent}; train it first: "
            f"python replications/lg_anna/teacher.py --data DATA --work {job.work}"
        )
    shift = 0 if side == "train" else bed.trains
    pairs = [(bed.words[row[0] + shift], bed.summary[other + shift]) for row in lists for other in row]
    scorer = CrossEncoderScorer(model)
    store = ScoreStore(job.work / "lg_anna_scores", scorer.description)
    return np.asarray(score_pairs(pairs, store, scorer, progress=job.progress)).reshape(lists.shape)


def noisy_records(bed: Bed, lists: Lists, teacher: Teacher) -> Dataset:
    """Records with teacher scores; in a fifth of them another candidate stands as the positive."""
    draw = np.random.default_rng(15)
    count, width = teacher.train.shape
    wrong = draw.random(count) < WRONG
    chosen = np.where(wrong, draw.integers(1, width, count), 0)
    with Dataset.build(name=f"noisy {teacher.name}") as builder:
        for row in range(count):
            order = [int(chosen[row]), *(place for place in range(width) if place != chosen[row])]
            texts = [bed.summary[int(lists[row, place])] for place in order]
            builder.add_record(
                query=bed.words[row],
                positives=texts[:1],
                negatives=texts[1:],
                teacher_scores=teacher.train[row, order].tolist(),
            )
        return builder.finish()


def measures(head: Head | None, bed: Bed, lists: Lists, teacher: Teacher) -> dict[str, Any]:
    """True labels, and the teacher's order on held-out lists; None is the start model."""
    lists = lists[: len(teacher.test)]
    words, summaries = (bed.vectors[view][bed.test] for view in ("words", "summary"))
    if head is not None:
        words, summaries = apply_head(head, words), apply_head(head, summaries)
    cosines = np.einsum("nd,nkd->nk", words[: len(lists)], summaries[lists]).astype(np.float64)
    return {
        **(start_measures(bed) if head is None else retrieval_measures(head, bed)),
        "ndcg of teacher": list_ndcg(cosines, teacher.test),
        "pairs in its order": list_order(cosines, teacher.test),
    }
