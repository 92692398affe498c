"""Training files of FlagEmbedding: one object per line.

    {"query": "...", "pos": ["..."], "neg": ["...", "..."], "pos_scores": [0.98], "neg_scores": [0.2, 0.1],
     "prompt": "Represent this sentence for searching", "type": "normal"}

The scores are those of a teacher, raw as it gave them; the prompt goes before the query; a type that opens with
"symmetric" means pairs of the same kind of text (kind "pair"). Format: examples/finetune/embedder of FlagEmbedding.
"""

from collections.abc import Iterator

from vecsmith.data.readers.examples import Example, ExampleOptions, Passage, Row

__all__ = ["flagembedding_examples", "is_flagembedding"]

KEYS = ("query", "pos", "neg", "pos_scores", "neg_scores", "prompt", "type", "id")


def is_flagembedding(cells: dict[str, object]) -> bool:
    """Whether a row has a query and a list of positives under the names of FlagEmbedding."""
    return "query" in cells and isinstance(cells.get("pos"), list)


def flagembedding_examples(rows: Iterator[Row], options: ExampleOptions) -> Iterator[tuple[Row, Example | str]]:
    """Rows as examples, or the key whose text is missing.

    raises   DataError: a key that the format does not have, a text that is none, scores of another length than the
             texts, scores on one side only
    """
    for row in rows:
        yield row, _example(row, options)


def _example(row: Row, options: ExampleOptions) -> Example | str:
    row.check_names(KEYS, options.ignore)
    query, positives, negatives = row.text("query"), row.texts("pos"), row.texts("neg")
    if query is None:
        return "query"
    if not positives or None in positives:
        return "pos"
    teacher = _teacher(row, positives, negatives)
    symmetric = (row.text("type") or "").startswith("symmetric")
    identity = row.cells.get("id")
    return Example(
        query,
        [Passage(text) for text in positives if text],
        [Passage(text) for text in negatives if text],
        "pair" if symmetric else "retrieval",
        {
            "teacher_scores": teacher,
            "instruction_query": row.text("prompt"),
            "id": None if identity is None else str(identity),
        },
    )


def _teacher(row: Row, positives: list[str | None], negatives: list[str | None]) -> list[float] | None:
    """Scores of positives, then of the negatives that have text."""
    of_positives = row.numbers("pos_scores", len(positives), "pos")
    of_negatives = row.numbers("neg_scores", len(negatives), "neg")
    if of_positives is None and of_negatives is None:
        return None
    if of_positives is None or (of_negatives is None and negatives):
        missing = "pos_scores" if of_positives is None else "neg_scores"
        raise row.error("missing, where the other side has scores; give both, or neither", missing)
    kept = [score for score, text in zip(of_negatives or [], negatives, strict=True) if text]
    return [*of_positives, *kept]
