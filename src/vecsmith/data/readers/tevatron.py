"""Training files of Tevatron, in both of its forms, and the corpus of the second.

    {"query_id": "q1", "query": "...", "positive_passages": [{"docid": "d1", "title": "...", "text": "..."}],
     "negative_passages": [...]}
    {"query_id": "q1", "query_text": "...", "positive_document_ids": ["d1"], "negative_document_ids": ["d7"]}
    {"docid": "d1", "title": "...", "text": "..."}

A passage reads title, a space and text, as Tevatron feeds it to models. Format: README.md of Tevatron.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.data.readers.examples import Example, ExampleOptions, Passage, Row, as_text
from vecsmith.data.readers.rows import open_rows

if TYPE_CHECKING:
    from vecsmith.data.dataset_builder import DatasetBuilder

__all__ = ["add_corpus", "is_tevatron", "names_documents", "tevatron_examples"]

MEDIA = ("image", "video", "audio")
KEYS = ("query_id", "query", "query_text", "positive_passages", "negative_passages")
KEYS += ("positive_document_ids", "negative_document_ids")  # type: ignore[assignment]
PASSAGE_KEYS = ("docid", "title", "text")


def is_tevatron(cells: Mapping[str, object]) -> bool:
    """Whether a row has passages, or names of documents, under the names of Tevatron."""
    return "positive_passages" in cells or "positive_document_ids" in cells


def names_documents(cells: Mapping[str, object]) -> bool:
    """Whether a row has names of documents, whose texts stand in a corpus."""
    return cells.get("positive_passages") is None and cells.get("positive_document_ids") is not None


def tevatron_examples(
    rows: Iterator[Row], options: ExampleOptions, corpus: Mapping[str, str] | None = None
) -> Iterator[tuple[Row, Example | str]]:
    """Rows as examples, or the key whose text is missing.

    corpus   document id -> text, for rows that name documents
    raises   DataError: images, unknown keys, a document that the corpus lacks
    """
    for row in rows:
        yield row, _example(row, options, corpus)


def _example(row: Row, options: ExampleOptions, corpus: Mapping[str, str] | None) -> Example | str:
    _refuse_media(row, row.cells, "query_")
    row.check_names((*KEYS, *(f"query_{name}" for name in MEDIA)), options.ignore)
    query = row.text("query_text") or row.text("query")
    if query is None:
        return "query"
    sides = []
    for side in ("positive", "negative"):
        if corpus is not None and names_documents(row.cells):
            sides.append(_named(row, f"{side}_document_ids", corpus))
        else:
            sides.append(_passages(row, f"{side}_passages", options))
    positives, negatives = sides
    if not positives or None in positives:
        return "positive_passages"
    identity = row.cells.get("query_id")
    return Example(
        query,
        [passage for passage in positives if passage],
        [passage for passage in negatives if passage],
        fields={"id": None if identity is None else str(identity)},
    )


def _passages(row: Row, name: str, options: ExampleOptions) -> list[Passage | None]:
    value = row.cells.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise row.error(f"{str(value)[:40]!r}; a list of passages was expected", name)
    return [passage_of(Row(each, row.file, row.number), options.ignore, name) for each in value]


def passage_of(row: Row, ignore: Sequence[str], name: str | None = None) -> Passage | None:
    """A passage {docid, title, text}; None where it has no text. DataError: unknown keys, images."""
    _refuse_media(row, row.cells, "")
    row.check_names((*PASSAGE_KEYS, *MEDIA), ignore)
    title = as_text(row.cells.get("title"), row, name or "title") or ""
    text = f"{title} {as_text(row.cells.get('text'), row, name or 'text') or ''}".strip()
    identity = row.cells.get("docid")
    return Passage(text, None if identity is None else str(identity)) if text else None


def _named(row: Row, name: str, corpus: Mapping[str, str]) -> list[Passage | None]:
    value = row.cells.get(name) or []
    if not isinstance(value, list):
        raise row.error(f"{str(value)[:40]!r}; a list of document ids was expected", name)
    if missing := [each for each in value if str(each) not in corpus]:
        raise row.error(f'the document "{missing[0]}", which the corpus lacks', name)
    return [Passage(corpus[str(each)], str(each)) if corpus[str(each)] else None for each in value]


def add_corpus(
    builder: "DatasetBuilder", files: Sequence[Path], training: Sequence[Path], options: ExampleOptions
) -> dict[str, str]:
    """Every document of a corpus; returned are the texts of those that rows of `training` name.

    raises   DataError: a document without an id, or without text (unless options.on_empty is "skip")
    """
    wanted = set()
    for file in training:
        for _, cells in open_rows(file):
            for side in ("positive", "negative"):
                wanted |= {str(each) for each in cells.get(f"{side}_document_ids") or ()}
    texts: dict[str, str] = {}
    for file in files:
        for number, cells in open_rows(file):
            row = Row(cells, file, number)
            passage = passage_of(row, options.ignore)
            if cells.get("docid") is None:
                raise row.error("no docid; a document of a corpus needs one", "docid")
            if passage is None:
                if options.on_empty != "skip":
                    raise row.error('empty; text is needed here. Fill it, or pass on_empty="skip"', "text")
                texts[str(cells["docid"])] = ""
                continue
            builder.add_document(passage.id, passage.text, origin=(str(file), number), repeated=True)
            if passage.id in wanted:
                texts[str(passage.id)] = passage.text
    return texts


def _refuse_media(row: Row, cells: Mapping[str, Any], prefix: str) -> None:
    for name in MEDIA:
        if cells.get(prefix + name) is not None:
            raise row.error("not text; only texts are read. Leave such rows out", prefix + name)
