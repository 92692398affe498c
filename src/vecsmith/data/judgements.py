"""From records to judgements: query -> the documents that carry one of its positives."""

import numpy as np
import pyarrow.compute as pc

from vecsmith.data.dataset import Dataset, Judgements

__all__ = ["judgements_of"]


def judgements_of(dataset: Dataset) -> Judgements:
    """See `Dataset.judgements`. A positive that no document carries counts for nothing; nor does a score of 0."""
    documents = dataset.documents
    order = np.argsort(documents.inputs, kind="stable")
    carried = documents.inputs[order]
    ids = documents.ids
    records = dataset.records.filter(pc.equal(dataset.records["kind"], "retrieval"))
    numbers: dict[int, int] = {}
    relevance: dict[int, dict[str, float]] = {}
    judged = records["grades"].to_pylist() if "grades" in records.column_names else [None] * records.num_rows
    columns = (records[name].to_pylist() for name in ("query", "positives", "scores"))
    for query, positives, scores, given in zip(*columns, judged, strict=True):
        grades = relevance.setdefault(numbers.setdefault(query, len(numbers)), {})
        for place, positive in enumerate(positives):
            score = given[place] if given is not None else 1.0 if scores is None else scores[place]
            if not score > 0:
                continue
            first, last = np.searchsorted(carried, positive), np.searchsorted(carried, positive, side="right")
            for document in order[first:last]:
                grades[ids[document]] = max(score, grades.get(ids[document], 0.0))
    rows = np.fromiter(numbers, dtype=np.int64, count=len(numbers))
    return Judgements(dataset.texts(rows), rows, ids, relevance)
