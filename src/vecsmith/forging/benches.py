"""The queries and documents that the arms are judged on: seeded samples of the held-out sides, or the user's labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vecsmith.data.dataset import Dataset
from vecsmith.errors import DataError, NotEnoughData
from vecsmith.forging.arms import Bench
from vecsmith.forging.plan import Plan
from vecsmith.forging.verdict import ENOUGH_QUERIES as FEWEST_TO_TELL

__all__ = ["Labels", "bench_of_labels", "bench_of_split", "benches_of", "read_labels"]

Labels = dict[str, dict[str, float]]


def benches_of(dataset: Dataset, served: Dataset, plan: Plan, labels: Labels | None, *, seed: int) -> dict[str, Bench]:
    """The "test" bench, and "dev" where there is one; with labels the test is theirs, over the served documents."""
    benches = {}
    if labels is not None:
        texts = served.texts(served.documents.inputs)
        documents = plan.test_documents
        benches["test"] = bench_of_labels(labels, served.documents.ids, texts, documents=documents, seed=seed)
    sizes = {
        "test": (plan.test_queries, plan.test_documents),
        "dev": (plan.dev_queries, plan.dev_documents),
    }
    for split, (queries, documents) in sizes.items():
        if split in benches:
            continue
        bench = bench_of_split(dataset, split, queries=queries, documents=documents, seed=seed)
        if bench is not None:
            benches[split] = bench
    if "test" not in benches:
        benches["test"] = _last_resort(dataset, seed)
    return benches


def _last_resort(dataset: Dataset, seed: int) -> Bench:
    """No test side, since the groups or queries are too few: any queries there are, so that the arms can run at all.

    With so few the verdict says that it cannot tell.
    """
    for split in ("dev", "train"):
        bench = bench_of_split(dataset, split, queries=FEWEST_TO_TELL - 1, documents=len(dataset.documents), seed=seed)
        if bench is not None:
            return bench
    ids, texts = dataset.documents.ids, dataset.texts(dataset.documents.inputs)
    rows = range(min(len(ids), FEWEST_TO_TELL - 1))
    return Bench([texts[row][:200] for row in rows], ids, texts, {row: {ids[row]: 1.0} for row in rows})


def bench_of_split(dataset: Dataset, split: str, *, queries: int, documents: int, seed: int) -> Bench | None:
    """A seeded sample of a side's queries, over all documents that answer them and a sample of the others.

    queries, documents   most of each; documents that answer a sampled query always stay
    returns              None where the side has no query
    """
    if split not in dataset.splits:
        return None
    side = dataset.split(split)
    judged = side.judgements()
    numbers = [number for number in range(len(judged.query_texts)) if judged.relevance.get(number)]
    if not numbers:
        return None
    random = np.random.default_rng(seed)
    chosen = sorted(random.permutation(numbers)[:queries].tolist())
    needed = {identifier for number in chosen for identifier in judged.relevance[number]}
    ids, rows = judged.document_ids, side.documents.inputs
    others = [row for row, identifier in enumerate(ids) if identifier not in needed]
    room = max(0, documents - len(needed))
    kept = set(random.permutation(len(others))[:room].tolist())
    keep = [row for row, identifier in enumerate(ids) if identifier in needed]
    keep = sorted(keep + [row for place, row in enumerate(others) if place in kept])
    return Bench(
        query_texts=[judged.query_texts[number] for number in chosen],
        document_ids=[ids[row] for row in keep],
        texts=dataset.texts(rows[keep]),
        relevance={place: dict(judged.relevance[number]) for place, number in enumerate(chosen)},
    )


def read_labels(path: Path) -> Labels:
    """Judgements as query -> {document id: relevance}: a TSV of `query document_id relevance`, with or without header.

    raises   DataError: names file and row: not three columns, a relevance that is no finite number, no row at all
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DataError("no such file; --labels takes a TSV of query, document_id, relevance", file=path) from None
    except UnicodeDecodeError as error:
        raise DataError(f"byte {error.start} is not UTF-8; save the labels as UTF-8", file=path) from None
    labels: Labels = {}
    for number, line in enumerate(lines, start=1):
        cells = line.rstrip("\r").split("\t")
        if cells == [""] or (number == 1 and [cell.strip().lower() for cell in cells][1:2] == ["document_id"]):
            continue
        if len(cells) != 3 or not cells[0].strip():
            raise DataError(
                f"{len(cells)} columns; expected query, document_id, relevance by tabs", file=path, row=number
            )
        try:
            grade = float(cells[2])
        except ValueError:
            grade = float("nan")
        if not np.isfinite(grade):
            raise DataError(f"found {cells[2]!r}, expected a finite number", file=path, row=number, column="relevance")
        labels.setdefault(cells[0].strip(), {})[cells[1].strip()] = grade
    if not labels:
        raise DataError("no judgements in it; expected lines of query, document_id, relevance by tabs", file=path)
    return labels


def bench_of_labels(labels: Labels, ids: Sequence[str], texts: Sequence[str], *, documents: int, seed: int) -> Bench:
    """The user's judgements over all documents, or over the judged ones and a seeded sample of the others.

    raises   NotEnoughData: no judged document is in the source; names the first id that is missing
    """
    there = set(ids)
    known = {query: {i: grade for i, grade in judged.items() if i in there} for query, judged in labels.items()}
    usable = [query for query, judged in known.items() if any(grade > 0 for grade in judged.values())]
    if not usable:
        first = next(iter(next(iter(labels.values()))))
        raise NotEnoughData(
            f'none of the judged documents is in the source (for example "{first}"; ids here look like "{ids[0]}"). '
            "Use the ids that vecsmith search prints"
        )
    needed = {identifier for query in usable for identifier in known[query]}
    others = [row for row, identifier in enumerate(ids) if identifier not in needed]
    room = max(0, documents - len(needed))
    kept = {others[place] for place in np.random.default_rng(seed).permutation(len(others))[:room].tolist()}
    keep = [row for row, identifier in enumerate(ids) if identifier in needed or row in kept]
    return Bench(
        query_texts=usable,
        document_ids=[ids[row] for row in keep],
        texts=[texts[row] for row in keep],
        relevance={place: known[query] for place, query in enumerate(usable)},
    )
