"""Records as the training data of FlagEmbedding, Tevatron and ms-swift, row by row."""

from collections.abc import Iterator
from typing import Any

from vecsmith.data.dataset import Dataset
from vecsmith.data.inputs import content_id
from vecsmith.data.writers.rows import Carriers, Losses, Written, records_of

__all__ = ["EXAMPLE_WRITERS"]

Rows = Iterator[tuple[str | None, dict[str, Any]]]  # split, row


def flagembedding_rows(dataset: Dataset, losses: Losses) -> Rows:
    """{query, pos, neg, pos_scores, neg_scores, prompt, type, id}; a pair has the type symmetric_sts."""
    _check_documents(dataset, losses, ids=False)
    for record in records_of(dataset):
        kept = ("teacher_scores", "instruction_query", "id")
        if not losses.records(record, kept, ("retrieval", "pair")) or not record.positives:
            continue
        teacher, end = record.cells["teacher_scores"], len(record.positives)
        yield (
            record.cells["split"],
            {
                "id": record.cells.get("id"),
                "query": record.query,
                "pos": record.positives,
                "neg": record.negatives,
                "pos_scores": teacher and teacher[:end],
                "neg_scores": teacher and teacher[end:],
                "prompt": record.cells["instruction_query"],
                "type": "symmetric_sts" if record.cells["kind"] == "pair" else None,
            },
        )


def tevatron_rows(dataset: Dataset, losses: Losses) -> Rows:
    """{query_id, query, positive_passages, negative_passages}; a query without an id is called by its content id."""
    _check_documents(dataset, losses, ids=True)
    carriers = Carriers(dataset)
    for record in records_of(dataset):
        if not losses.records(record, ("id",), ("retrieval",)) or not record.positives:
            continue
        end = len(record.positives)
        yield (
            record.cells["split"],
            {
                "query_id": record.cells.get("id") or content_id(record.query),
                "query": record.query,
                "positive_passages": _passages(record, slice(0, end), record.positives, carriers),
                "negative_passages": _passages(record, slice(end, None), record.negatives, carriers),
            },
        )


def _passages(record: Written, part: slice, texts: list[str], carriers: Carriers) -> list[dict[str, Any]]:
    """A passage for every document of each text; a text that no document carries is one without an id."""
    found = []
    for row, text in zip(record.rows[part], texts, strict=True):
        ids: list[str | None] = [document.id for document in carriers.of(row)]
        found += [{"docid": each, "title": "", "text": text} for each in ids or [None]]
    return found


def message_rows(dataset: Dataset, losses: Losses) -> Rows:
    """{messages, positive_messages, negative_messages, label}; instructions are system messages."""
    _check_documents(dataset, losses, ids=False)
    for record in records_of(dataset):
        kept = ("scores", "instruction_query", "instruction_document", "id")
        if not losses.records(record, kept, ("retrieval", "scored", "plain")):
            continue
        label = _label(record, losses)
        before, after = record.cells["instruction_query"], record.cells["instruction_document"]
        yield (
            record.cells["split"],
            {
                "id": record.cells.get("id"),
                "messages": _messages(before, record.query),
                "positive_messages": [_messages(after, text) for text in record.positives] or None,
                "negative_messages": [_messages(after, text) for text in record.negatives] or None,
                "label": label,
            },
        )


def _label(record: Written, losses: Losses) -> float | None:
    """The one score of all positives; those of negatives must be 0."""
    scores, end = record.cells["scores"], len(record.positives)
    if scores is None:
        return None
    if len({*scores[:end]}) > 1 or any(scores[end:]) or record.cells["kind"] != "scored":
        losses.add("scores beside those of a pair", f"record {record.row}")
    return float(scores[0])


def _messages(instruction: str | None, text: str) -> list[dict[str, str]]:
    system = [] if instruction is None else [{"role": "system", "content": instruction}]
    return [*system, {"role": "user", "content": text}]


def _check_documents(dataset: Dataset, losses: Losses, *, ids: bool) -> None:
    named = {
        int(row)
        for name in ("positives", "negatives")
        for row in dataset.records[name].combine_chunks().flatten().to_pylist()
    }
    losses.documents(dataset, ids=ids, attributes=False, named=named)


EXAMPLE_WRITERS = {"flagembedding": flagembedding_rows, "tevatron": tevatron_rows, "messages": message_rows}
