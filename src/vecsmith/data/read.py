"""`vecsmith.read`: what people have as a Dataset, in whichever of the field's formats it comes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vecsmith.data.dataset import Dataset
from vecsmith.data.dataset_builder import DatasetBuilder
from vecsmith.data.formats import FORMAT_NAMES, Found, by_order, find
from vecsmith.data.readers.examples import ExampleOptions
from vecsmith.data.readers.retrieval import RetrievalColumns, write_retrieval
from vecsmith.data.readers.row_formats import first_row, write_row_format
from vecsmith.data.readers.rows import ROW_FORMATS
from vecsmith.data.readers.tables import read_table
from vecsmith.errors import DataError, UsageError
from vecsmith.progress import SILENT, Progress

__all__ = ["read", "write_found"]


def read(
    path: str | Path,
    *,
    query: str | None = None,
    document: str | None = None,
    attributes: Sequence[str] | str | None = None,
    group: str | None = None,
    id: str | None = None,
    name: str | None = None,
    folder: str | Path | None = None,
    replace: bool = False,
    progress: Progress = SILENT,
    **columns: Any,
) -> Dataset:
    """Read a table, a folder of tables, a retrieval set or another library's training data; or open a saved dataset.

    Which it is, `vecsmith.data.formats.recognise` finds out: tables (csv, tsv, jsonl, json, parquet, arrow; plain, .gz,
    .xz, .bz2, .zst), folders with a table for each split, folders of Hugging Face datasets and of its hub, BEIR, mteb,
    FlagEmbedding, Tevatron, ms-swift messages. docs/formats.md has an example of each.

    query, document, attributes, group, id    columns of a table; what is not named is recognised by name
    columns     format: one of `recognise`, where it should not be found out; config: a configuration or language of a
                folder that has several; corpus: the documents that rows of Tevatron name;
                of a table the further arguments of `read_table`: score, label, negatives, split, weight, ignore, kind,
                delimiter, quoting, score_range, on_empty; of the others those of these that make sense there
    name        what the records call the dataset; default: the name of the file without its endings
    folder      where the dataset is written, in bounded memory whatever the size of the table; None: in memory
    replace     a dataset at `folder` is exchanged
    raises      DataError with file, row and column; UsageError: an argument that the format has no use for

    >>> read("faq.csv", query="question", document="answer", attributes=["product", "year"])  # doctest: +SKIP
    Dataset faq: 412 inputs, 206 documents, 206 records
    """
    path = Path(path)
    options = {"query": query, "document": document, "attributes": attributes, "group": group, "id": id, **columns}
    format, config = options.pop("format", None), options.pop("config", None)
    if format is None and path.is_file() and (query or document):
        format = "table"  # whoever names columns has a table, whatever its keys look like
    found = find(path, format=format, config=config)
    if found.format == "saved_dataset":
        return Dataset.open(path)
    if found.format in ("documents", "unknown"):
        raise _unreadable(path, found)
    with Dataset.build(name=name or path.name.split(".")[0], folder=folder, replace=replace) as builder:
        notes = write_found(builder, found, format, options, progress)
        dataset = builder.finish()
    if any(notes.values()):
        progress.say(f"{path}: " + "; ".join(f"{count:,} {reason}" for reason, count in notes.items()))
    return dataset


def write_found(
    builder: DatasetBuilder, found: Found, format: str | None, options: Mapping[str, Any], progress: Progress = SILENT
) -> Mapping[str, int]:
    """Write what `find` found into a dataset; returned is what was passed over: reason -> count.

    options   as for `read`. UsageError: one that the format has no use for
    """
    return WRITERS[found.format](builder, found, format, {**options}, progress)


def _table(
    builder: DatasetBuilder, found: Found, format: str | None, options: dict[str, Any], progress: Progress
) -> Mapping[str, int]:
    notes: Counter[str] = Counter()
    options["format"] = format if format in ROW_FORMATS else None
    for split, files in found.files.items():
        for file in files:
            ordered = by_order(list(first_row(file))) if found.format == "sentence_transformers" else {}
            table = read_table(file, **{**options, **ordered}, progress=progress)
            builder.declare_attributes(table.columns.attributes, readings=table.readings)
            for row in table:
                row.split = row.split or split or None
                table.write_row(builder, row)
            notes["rows without a document were skipped"] += table.skipped
            notes["rows without a query gave their document only"] += table.without_query
    return notes


def _retrieval(
    builder: DatasetBuilder, found: Found, format: str | None, options: dict[str, Any], progress: Progress
) -> Mapping[str, int]:
    given = _options(found, options, ("attributes", "ignore", "on_empty", "on_repeat"))
    columns = RetrievalColumns(given.get("attributes"), given.get("ignore") or ())
    notes: Counter[str] = Counter()
    for files in found.parts if isinstance(found.parts, tuple) else (found.parts,):
        with progress.task(f"reading {files.prefix or builder.name}"):
            how = {name: given[name] for name in ("on_empty", "on_repeat") if name in given}
            notes += write_retrieval(builder, files, columns, **how)
    return notes


def _examples(
    builder: DatasetBuilder, found: Found, format: str | None, options: dict[str, Any], progress: Progress
) -> Mapping[str, int]:
    given = _options(found, options, ("ignore", "kind", "on_empty", "score_range", "corpus"))
    corpus = given.get("corpus") or found.parts or ()
    files = (Path(corpus),) if isinstance(corpus, str | Path) else tuple(map(Path, corpus))
    with progress.task(f"reading {builder.name}"):
        return write_row_format(builder, found.format, found.files, ExampleOptions.of(given), files)


WRITERS: dict[str, Any] = {
    **dict.fromkeys(("table", "sentence_transformers", "arrow_dataset"), _table),
    **dict.fromkeys(("beir", "mteb_retrieval"), _retrieval),
    **dict.fromkeys(("flagembedding", "tevatron", "messages"), _examples),
}


def _options(found: Found, options: dict[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """The options that are given. UsageError: one that the format does not know."""
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := sorted(given.keys() - set(known)):
        raise UsageError(
            f'"{unknown[0]}" is of no use for {FORMAT_NAMES[found.format]} ({found.how}); it has: {", ".join(known)}'
        )
    return given


def _unreadable(path: Path, found: Found) -> DataError:
    if found.format == "documents":
        what = "a folder that holds no dataset. Name a table in it" if path.is_dir() else "a document and no table"
        return DataError(f"{what}; documents (.md, .txt, .html, .py) are read by vecsmith forge", file=path)
    if path.is_dir():
        return DataError(f"a folder that holds no dataset: {found.how}", file=path)
    return DataError(found.how, file=path)
