"""Real likelihood rewards for LLM-Embedder's replication: 400 WikiQA questions x 8 candidates, by a 135M model. [ours]

The paper rewards a passage by the likelihood of the short answer that it holds. WikiQA has no short answers, only
sentences judged to answer, so here

    output       the question's first sentence judged an answer (at most 40 words)
    candidates   column 0: that sentence, as the paper's gold passage holds the answer; then up to four other sentences
                 of its article, judged too; then the nearest sentences of other articles (the small static model)
    reward       mean log likelihood of the output's tokens after "Knowledge: candidate, Question: ..., Answer:"

Column 0 is read off by copying, as a gold passage partly is; what a list teaches beyond labels stands in columns 1 to
7: how much a sentence that is not the answer helps to say it. Candidates are cut at 64 tokens.

    python replications/llm_embedder/rewards.py --data DATA --work WORK [--questions 400]

Seen (2026-11-24, 602 CPU seconds): gold -0.43 and always best, siblings -2.84, the last neighbour -2.93; the seven
others of a list spread by a deviation of 0.13.

A killed run goes on where it was. Result in WORK/llm_embedder: scores/ (the store), dataset/ (a vecsmith dataset with
teacher scores, kind retrieval), rewards.npz (queries [q] and documents [q, 8]: content ids; rewards, labels float).
"""

import argparse
import csv
import gzip
import json
import time
from pathlib import Path

import numpy as np

from vecsmith.atomic import open_atomic, write_json
from vecsmith.data.dataset import Dataset
from vecsmith.data.inputs import content_id
from vecsmith.data.teachers import teach
from vecsmith.progress import Bars

QUESTIONS, CANDIDATES, SIBLINGS, KEY_TOKENS, MOST_WORDS = 400, 8, 4, 64, 40
List = tuple[str, list[str], list[float]]  # question, candidates, labels


def main() -> None:
    """Score, write, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with wikiqa")
    parser.add_argument("--work", type=Path, required=True, help="folder of the result; not in the checkout")
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    given = parser.parse_args()
    print(json.dumps(rewards(given.data, given.work / "llm_embedder", questions=given.questions)))


def rewards(data: Path, folder: Path, *, questions: int = QUESTIONS) -> dict[str, float]:
    """Make rewards.npz and dataset/ in `folder`; returns what they look like."""
    from vecsmith.models.language_model import load_language_model
    from vecsmith.models.likelihood import LikelihoodScorer

    lists = candidate_lists(data, questions)
    answers = {question: candidates[0] for question, candidates, _ in lists}
    started = time.process_time()
    scorer = LikelihoodScorer(load_language_model("smol"), answers, key_tokens=KEY_TOKENS)
    scored = teach(as_dataset(lists), scorer, folder / "scores", progress=Bars())
    found = np.array(scored.records["teacher_scores"].to_pylist(), dtype=np.float64)
    scored.save(folder / "dataset", replace=True)
    with open_atomic(folder / "rewards.npz") as file:
        np.savez(
            file,
            queries=np.array([content_id(question) for question, _, _ in lists]),
            documents=np.array([[content_id(text) for text in candidates] for _, candidates, _ in lists]),
            rewards=found,
            labels=np.array([labels for _, _, labels in lists], dtype=np.float32),
        )
    report = {**looks(found), "keys_cut": scorer.cut, "cpu_seconds": round(time.process_time() - started, 1)}
    write_json(folder / "report.json", report)
    return report


def looks(found: np.ndarray) -> dict[str, float]:
    """Means by column group, and how often the answer's own sentence has the best reward."""
    others = found[:, 1:]
    return {
        "questions": len(found),
        "gold_is_best": round(float((found[:, 0] > others.max(axis=1)).mean()), 4),
        "gold_beats_last": round(float((found[:, 0] > found[:, -1]).mean()), 4),
        "mean_gold": round(float(found[:, 0].mean()), 4),
        "mean_first_sibling": round(float(found[:, 1].mean()), 4),
        "mean_last": round(float(found[:, -1].mean()), 4),
        "mean_deviation_of_others": round(float(others.std(axis=1).mean()), 4),
    }


def candidate_lists(data: Path, questions: int) -> list[List]:
    """Questions in the order of their content id, so that fewer of them are the first of more."""
    by_question: dict[str, dict[str, float]] = {}
    with gzip.open(data / "wikiqa" / "wikiqa_train.tsv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            by_question.setdefault(row["question"], {}).setdefault(row["sentence"], float(row["label"]))
    gold = {
        question: answer
        for question, sentences in by_question.items()
        if (answer := next((text for text, label in sentences.items() if label > 0), None)) is not None
        and 4 <= len(answer.split()) <= MOST_WORDS
    }
    chosen = sorted(gold, key=content_id)[:questions]
    near = _nearest(chosen, by_question)
    return [_list(question, gold[question], by_question[question], near[question]) for question in chosen]


def _list(question: str, gold: str, own: dict[str, float], near: list[str]) -> List:
    siblings = sorted((text for text in own if text != gold), key=content_id)[:SIBLINGS]
    others = [text for text in near if text not in own]
    candidates = [gold, *siblings, *others][:CANDIDATES]
    return question, candidates, [own.get(text, 0.0) for text in candidates]


def _nearest(questions: list[str], by_question: dict[str, dict[str, float]]) -> dict[str, list[str]]:
    """The nearest sentences of each question among all, by the model that ships with vecsmith."""
    from vecsmith.models.encode import encode
    from vecsmith.models.load import load

    model = load("default")
    sentences = sorted({text for own in by_question.values() for text in own})
    rows = encode(model, questions) @ encode(model, sentences, on_truncation="cut").T
    best = np.argsort(-rows, axis=1, kind="stable")[:, :64]
    return {question: [sentences[row] for row in best[place]] for place, question in enumerate(questions)}


def as_dataset(lists: list[List]) -> Dataset:
    """The lists as records of kind retrieval: the first candidate is the positive, the others negatives in order."""
    builder = Dataset.build(name="wikiqa_rewards")
    for question, candidates, _ in lists:
        builder.add_record(query=question, positives=candidates[:1], negatives=candidates[1:])
    return builder.finish()


if __name__ == "__main__":
    main()
