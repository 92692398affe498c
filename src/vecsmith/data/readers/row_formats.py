"""Whose training format the rows of a file have, by their keys; none of them: a table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.data.readers.examples import Example, ExampleOptions, Row, write_examples
from vecsmith.data.readers.flagembedding import flagembedding_examples, is_flagembedding
from vecsmith.data.readers.messages import is_messages, message_examples
from vecsmith.data.readers.rows import open_rows
from vecsmith.data.readers.tevatron import add_corpus, is_tevatron, names_documents, tevatron_examples
from vecsmith.errors import DataError

if TYPE_CHECKING:
    from vecsmith.data.dataset_builder import DatasetBuilder

__all__ = ["ROW_FORMAT_COLUMNS", "first_row", "read_examples", "row_format_of", "write_row_format"]

READERS: dict[str, Callable[..., Iterator[tuple[Row, Example | str]]]] = {
    "flagembedding": flagembedding_examples,
    "messages": message_examples,
    "tevatron": tevatron_examples,
}
ROW_FORMAT_COLUMNS: dict[str, Mapping[str, str]] = {
    "flagembedding": {"query": "query", "document": "pos", "negatives": "neg", "instruction_query": "prompt"},
    "messages": {
        "query": "messages",
        "document": "positive_messages",
        "negatives": "negative_messages",
        "score": "label",
    },
    "tevatron": {"query": "query", "document": "positive_passages", "negatives": "negative_passages", "id": "query_id"},
}


def first_row(file: Path, format: str | None = None) -> dict[str, Any]:
    """The first row of a table; empty where it has none. DataError: it cannot be read."""
    return next((cells for _, cells in islice(open_rows(file, format), 1)), {})


def row_format_of(cells: Mapping[str, Any]) -> str:
    """flagembedding, messages, tevatron, or table."""
    if is_tevatron(cells):
        return "tevatron"
    if is_messages(dict(cells)):
        return "messages"
    return "flagembedding" if is_flagembedding(dict(cells)) else "table"


def read_examples(
    format: str, file: Path, options: ExampleOptions, corpus: Mapping[str, str] | None = None
) -> Iterator[tuple[Row, Example | str]]:
    """Rows of a file with their examples, or the name of what a row lacks. DataError with file, row and key."""
    rows = (Row(cells, file, number) for number, cells in open_rows(file))
    if format != "tevatron":
        return READERS[format](rows, options)
    return READERS[format](rows, options, corpus)


def write_row_format(
    builder: "DatasetBuilder",
    format: str,
    files: Mapping[str, Sequence[Path]],
    options: ExampleOptions,
    corpus: Sequence[Path] = (),
) -> Mapping[str, int]:
    """All rows of all files, the files of each split under its name; what was passed over, counted.

    corpus   files of documents, of Tevatron's rows that name them
    """
    training = [file for paths in files.values() for file in paths]
    texts = None
    if format == "tevatron" and any(names_documents(first_row(file)) for file in training):
        if not corpus:
            raise DataError(
                'names documents, whose texts stand in a corpus. Put corpus.jsonl beside it, or say corpus="FILE"',
                file=training[0],
            )
        texts = add_corpus(builder, corpus, training, options)
    passed_over: dict[str, int] = {}
    for split, paths in files.items():
        for file in paths:
            examples = read_examples(format, file, options, texts)
            for reason, count in write_examples(builder, examples, split=split or None, options=options).items():
                passed_over[reason] = passed_over.get(reason, 0) + count
    return passed_over
