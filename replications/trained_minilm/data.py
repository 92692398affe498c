"""The records that the trained arms share: at most 1,280 of each set, each with one negative at most."""

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from replications.bench.bed import encode_texts
from vecsmith.data.dataset import Dataset
from vecsmith.progress import SILENT, Progress
from vecsmith.topk import top_k

__all__ = ["open_records"]

MOST, RANKS, BELOW = 1_280, (5, 30), 0.95
Row = tuple[str, str, str | None]  # query, positive, a negative where the source has one


def open_records(data: Path, work: Path, *, progress: Progress = SILENT) -> dict[str, Dataset]:
    """name -> Dataset, made once and kept in `work`.

    Where a source has no negative, one is mined with the start model: of ranks 5 to 30 among the set's documents the
    first whose cosine is below 0.95 of the positive's; a record without such a one has none.
    """
    folder, found = work / "records", {}
    for name, rows in (
        ("wikiqa", wikiqa(data)),
        ("quora", quora(data)),
        ("nli", nli(data)),
        ("scifact", scifact(data)),
        ("stsb_pairs", stsb_pairs(data)),
    ):
        if not (folder / name).is_dir():
            _pairs(name, list(rows)[:MOST], work, progress).save(folder / name)
        found[name] = Dataset.open(folder / name)
    with Dataset.build(name="stsb") as builder:
        for row in table(data / "stsb" / "stsbenchmark.tsv.gz"):
            if row["split"] == "train":
                score = float(row["score"]) / 5
                builder.add_record(query=row["sentence1"], positives=[row["sentence2"]], scores=[score], kind="scored")
        found["stsb"] = builder.finish()
    with Dataset.build(name="clinc150") as builder:
        for row in table(data / "clinc150" / "clinc150.tsv.gz"):
            if row["split"] == "train":
                builder.add_record(query=row["text"], label=row["intent"], kind="class")
        found["clinc150"] = builder.finish()
    return found


def table(file: Path) -> Iterator[dict[str, str]]:
    """Rows of a gzipped table without quoting."""
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


def wikiqa(data: Path) -> Iterator[Row]:
    """Questions, their first answer, and the first sentence that was judged none."""
    groups: dict[str, dict[str, str]] = {}
    with gzip.open(data / "wikiqa" / "wikiqa_train.tsv.gz", "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            label = "answer" if row["label"] == "1" else "none"
            groups.setdefault(row["question"], {}).setdefault(label, row["sentence"])
    for question, own in groups.items():
        if "answer" in own:
            yield question, own["answer"], own.get("none")


def quora(data: Path) -> Iterator[Row]:
    """Duplicate questions."""
    for row in table(data / "quora_pairs" / "quora_dev.tsv.gz"):
        if row["is_duplicate"] == "1":
            yield row["question1"], row["question2"], None


def nli(data: Path) -> Iterator[Row]:
    """Premises with what they entail, and with what contradicts them."""
    groups: dict[str, dict[str, str]] = {}
    for row in table(data / "nli_snli" / "snli_dev.tsv.gz"):
        groups.setdefault(row["premise"], {}).setdefault(row["label"], row["hypothesis"])
    for premise, own in groups.items():
        if "entailment" in own:
            yield premise, own["entailment"], own.get("contradiction")


def scifact(data: Path) -> Iterator[Row]:
    """Claims of the train side and the abstracts that were judged."""
    folder = data / "scifact"
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        corpus = {row["_id"]: f"{row['title']} {row['text']}".strip() for row in map(json.loads, lines)}
    with open(folder / "queries.jsonl", encoding="utf-8") as lines:
        queries = {row["_id"]: row["text"] for row in map(json.loads, lines)}
    with open(folder / "qrels" / "train.tsv", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            if int(row["score"]) > 0:
                yield queries[row["query-id"]], corpus[row["corpus-id"]], None


def stsb_pairs(data: Path) -> Iterator[Row]:
    """Pairs of the train side graded 4 or more."""
    for row in table(data / "stsb" / "stsbenchmark.tsv.gz"):
        if row["split"] == "train" and float(row["score"]) >= 4:
            yield row["sentence1"], row["sentence2"], None


def _pairs(name: str, rows: list[Row], work: Path, progress: Progress) -> Dataset:
    """Retrieval records, negatives mined where the source has none."""
    rows = [(query, positive, negative) for query, positive, negative in rows if query.strip() and positive.strip()]
    progress.say(f"{name}: {len(rows):,} records")
    mined: list[str | None] = [negative for _, _, negative in rows]
    if all(negative is None for negative in mined):
        documents = list(dict.fromkeys(positive for _, positive, _ in rows))
        asked = encode_texts([query for query, _, _ in rows], work, progress)
        vectors = encode_texts(documents, work, progress)
        place = {text: number for number, text in enumerate(documents)}
        found, scores = top_k(asked, vectors, RANKS[1])
        own = np.einsum("nd,nd->n", asked, vectors[[place[positive] for _, positive, _ in rows]])
        for number, (query, positive, _) in enumerate(rows):
            good = [
                documents[other]
                for other, score in zip(found[number, RANKS[0] :], scores[number, RANKS[0] :], strict=True)
                if score < BELOW * own[number] and documents[other] not in (query, positive)
            ]
            mined[number] = good[0] if good else None
    with Dataset.build(name=name) as builder:
        for (query, positive, _), negative in zip(rows, mined, strict=True):
            builder.add_record(query=query, positives=[positive], negatives=[negative] if negative else [])
        return builder.finish()
