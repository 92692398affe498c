"""The first step: a source becomes two datasets, one as it is judged and one as it is served.

Judged: texts without what their query was made from, records, sides. Served: the texts as people find them.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from vecsmith.data.dataset import Dataset
from vecsmith.data.source import Source
from vecsmith.errors import NotEnoughData
from vecsmith.forging.plan import FEWEST_DOCUMENTS, Counts
from vecsmith.progress import SILENT, Progress

__all__ = ["counts_of", "read_source", "whose_queries"]


def read_source(source: Source, work: Path, *, seed: int, progress: Progress = SILENT) -> dict[str, Any]:
    """Write `work/data` (judged) and `work/served`, sides settled and leaks taken out.

    returns   JSON: the source's own description, counts, leaks in words, fingerprints
    raises    NotEnoughData under 10 documents
    """
    read, whole = _write(source, work, progress)
    if len(read.documents) < FEWEST_DOCUMENTS:
        raise NotEnoughData(
            f"{source.name}: {len(read.documents)} documents found; forge needs at least {FEWEST_DOCUMENTS} to fit "
            "and judge anything. Add documents, or check that the source is the one you meant"
        )
    with progress.task("split", unit="documents") as task:
        settled, leaks = source.settle(read, seed=seed)
        saved = settled.save(work / "data", replace=True)
        task.advance(len(saved.documents))
    shutil.rmtree(work / "read")
    description = source.describe()
    for line in (description["words"], *description["notes"], str(leaks)):
        progress.say(line)
    return {
        "description": description,
        "leaks": str(leaks),
        "counts": vars(counts_of(saved)),
        "fingerprint": saved.fingerprint(),
        "served": whole.fingerprint(),
    }


def _write(source: Source, work: Path, progress: Progress) -> tuple[Dataset, Dataset]:
    """As judged and as served; where nothing is cut out of the texts the one is a copy of the other's documents."""
    with (
        Dataset.build(name="pairs", folder=work / "read", replace=True) as judged,
        Dataset.build(name="served", folder=work / "served", replace=True) as served,
    ):
        source.write(judged, served if source.cuts else None, progress=progress)
        read = judged.finish()
        if source.cuts:
            return read, served.finish()
    return read, read.filter(records=np.zeros(read.records.num_rows, dtype=bool)).save(work / "served", replace=True)


def counts_of(dataset: Dataset) -> Counts:
    """Documents and records per side."""
    sides = {side: dataset.split(side) for side in ("train", "dev", "test") if side in dataset.splits}
    records = {side: part.records.num_rows for side, part in sides.items()}
    documents = {side: len(part.documents) for side, part in sides.items()}
    return Counts(
        documents=len(dataset.documents),
        train_pairs=records.get("train", 0),
        dev_pairs=records.get("dev", 0),
        test_pairs=records.get("test", 0),
        dev_documents=documents.get("dev", 0),
        test_documents=documents.get("test", 0),
    )


def whose_queries(description: dict[str, Any], count: int, labels: int | None) -> str:
    """For the first line of the verdict: "1,500 queries made from your headings", "your 212 judgements"."""
    if labels is not None:
        return f"your {labels:,} judgements of {count:,} queries"
    if description["kind"] == "set":
        return f"{count:,} queries of the set, by its own judgements"
    return f"{count:,} queries made from {description['query_words']}"
