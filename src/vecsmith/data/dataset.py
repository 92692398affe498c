"""A dataset: each distinct input once, the documents that carry them, and the records that training and judging read.

Three Arrow tables (`layout.py` has their columns). A dataset on disk is mapped, not read; `split`, `select` and
`filter` give views that share the inputs, so that row numbers mean the same in all of them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecsmith.atomic import new_folder, recover_folder, write_json
from vecsmith.data.fingerprint import fingerprint_tables
from vecsmith.data.layout import (
    DESCRIPTION,
    DOCUMENT_COLUMNS,
    FORMAT,
    LATER_RECORD_COLUMNS,
    VERSION,
    arrow_file,
    map_table,
    strangeness,
)
from vecsmith.errors import Damaged, DataError

if TYPE_CHECKING:
    from vecsmith.data.dataset_builder import DatasetBuilder

__all__ = ["Dataset", "Document", "Documents", "Judgements"]

BLOCK = 8192
TABLES = ("inputs", "documents", "records")


@dataclass(frozen=True)
class Document:
    """A document as filters, judgements and hits speak of it; `input` is its row of `Dataset.inputs`."""

    id: str
    text: str
    attributes: dict[str, Any] = field(default_factory=dict)
    group: str | None = None
    input: int = -1
    split: str | None = None


@dataclass(frozen=True)
class Judgements:
    """Which documents answer which query.

    query_texts     the distinct queries, in order of their first record
    query_rows      int64 [q], their rows of `Dataset.inputs`
    document_ids    ids of all documents that were there to be found
    relevance       number of the query -> {document id: relevance > 0}; only documents of `document_ids`
    """

    query_texts: list[str]
    query_rows: np.ndarray
    document_ids: list[str]
    relevance: dict[int, dict[str, float]]


class Dataset:
    """Inputs, documents and records. Made by `vecsmith.read`, `Dataset.build` or `Dataset.open`.

    inputs      pa.Table(content: binary[16], text: string), one row per distinct input
    documents   Documents: iterable, len, `[row]`, and `.table` = pa.Table(id, input, group, split, attributes...)
    records     pa.Table, columns of `layout.RECORDS`; numbers in query, positives, negatives are rows of `inputs`
    name        what records call it
    path        the folder, None in memory
    """

    def __init__(
        self, inputs: pa.Table, documents: pa.Table, records: pa.Table, *, name: str, path: Path | None = None
    ) -> None:
        self.inputs, self.records, self.name, self.path = inputs, records, name, path
        self._documents = documents
        self._starts: np.ndarray | None = None
        self._fingerprint: str | None = None
        self._dealt: Dataset | None = None

    @staticmethod
    def build(*, name: str, folder: Path | str | None = None, replace: bool = False) -> "DatasetBuilder":
        """Start a dataset; with `folder` it is written there as it grows, in bounded memory, and appears when finished.

        replace    an existing folder is exchanged at the end; without it FileExistsError
        """
        from vecsmith.data.dataset_builder import DatasetBuilder

        return DatasetBuilder(name=name, folder=folder, replace=replace)

    @classmethod
    def open(cls, folder: Path | str) -> "Dataset":
        """A saved dataset, mapped.

        raises    DataError: no dataset there, or one of a later version; Damaged: a table is missing or cut
        """
        folder = Path(folder)
        recover_folder(folder)
        description = _read_description(folder)
        tables = []
        for table in TABLES:
            try:
                tables.append(map_table(arrow_file(folder, table)))
            except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
                raise Damaged(
                    f"{arrow_file(folder, table)}: cannot be read ({error}); the dataset is incomplete. "
                    "Read its source again"
                ) from error
            if tables[-1].num_rows != description["rows"][table]:
                raise Damaged(
                    f"{arrow_file(folder, table)}: {tables[-1].num_rows:,} rows where {DESCRIPTION} says "
                    f"{description['rows'][table]:,}. Read the source again"
                )
        try:
            words = strangeness(dict(zip(TABLES, tables, strict=True)))
        except UnicodeDecodeError as error:
            words = f"a column's name is no text ({error})"
        if words:
            raise Damaged(f"{folder}: {words}; its files were changed. Read its source again")
        return cls(*tables, name=description["name"], path=folder)

    def save(self, folder: Path | str, *, replace: bool = False) -> "Dataset":
        """Write all three tables, whole or not at all; returns the saved dataset, mapped. FileExistsError if there."""
        with new_folder(folder, replace=replace) as temporary:
            for table in TABLES:
                content = self._documents if table == "documents" else getattr(self, table)
                with pa.ipc.new_file(str(arrow_file(temporary, table)), content.schema) as writer:
                    for start in range(0, content.num_rows, BLOCK):
                        writer.write_table(content.slice(start, BLOCK))
            write_json(temporary / DESCRIPTION, self.describe(), durable=False)
        return Dataset.open(folder)

    def describe(self) -> dict[str, Any]:
        """What `dataset.json` says: format, version, name, rows of each table, type of each attribute."""
        return describe(self.name, self.inputs.num_rows, self._documents, self.records.num_rows)

    @property
    def documents(self) -> "Documents":
        return Documents(self)

    @property
    def splits(self) -> list[str]:
        """Names that stand in a `split` column, sorted."""
        found = pa.concat_arrays(
            [pc.unique(table["split"]).cast(pa.string()) for table in (self._documents, self.records)]
        )
        return sorted(set(found.drop_null().to_pylist()))

    def split(self, name: str) -> "Dataset":
        """The part of one split: its records and documents, and the documents that name no split (a shared corpus).

        A dataset without any split is first dealt into train, dev and test, by group and without leaks (`split.deal`);
        the same dataset is always dealt alike, so that its train and test never share a group or a text.

        raises    DataError: no such split; the message names those there are
        """
        known = self.splits
        if not known and name in ("train", "dev", "test"):
            if self._dealt is None:
                from vecsmith.data.split import deal

                self._dealt, _ = deal(self)
            return self._dealt.split(name)
        if name not in known:
            raise DataError(
                f'no split "{name}" in dataset {self.name}; known: {", ".join(known) or "train, dev, test (dealt)"}. '
                "Others are made with vecsmith.data.split.assign_splits"
            )
        documents = pc.or_kleene(pc.equal(self._documents["split"], name), pc.is_null(self._documents["split"]))
        return self.filter(documents=documents, records=pc.equal(self.records["split"], name))

    def filter(self, *, documents: Any = None, records: Any = None) -> "Dataset":
        """A view with the documents and records whose mask is true (bool [n], numpy or Arrow); None keeps all."""
        return self._with(
            documents=self._documents if documents is None else self._documents.filter(_mask(documents)),
            records=self.records if records is None else self.records.filter(_mask(records)),
        )

    def select(self, *, documents: Any = None, records: Any = None) -> "Dataset":
        """A view with the documents and records of these row numbers, in this order; None keeps all."""
        return self._with(
            documents=self._documents if documents is None else self._documents.take(pa.array(documents, pa.int64())),
            records=self.records if records is None else self.records.take(pa.array(records, pa.int64())),
        )

    def with_splits(self, *, documents: Sequence[str | None], records: Sequence[str | None]) -> "Dataset":
        """The same with other `split` columns; one name or None per document and per record."""
        return self._with(
            documents=_replace(self._documents, "split", documents), records=_replace(self.records, "split", records)
        )

    def _with(self, *, documents: pa.Table, records: pa.Table) -> "Dataset":
        return Dataset(self.inputs, documents, records, name=self.name)

    def text(self, row: int) -> str:
        """The text of one row of `inputs`."""
        return self.texts([row])[0]

    def texts(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """Texts of rows of `inputs`, in their order; int64 [n] -> n strings. IndexError: a row that is not there."""
        result = np.empty(len(rows), dtype=object)
        for chunk, places, inside in self._places(rows):
            result[places] = self.inputs["text"].chunk(chunk).take(pa.array(inside)).to_pylist()
        return result.tolist()

    def keys(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """int64 [n]: the `content_key` of rows of `inputs`, or of the source that a paraphrase declares (`same_as`).

        Equal keys: the same thing.
        """
        result = np.empty(len(rows), dtype=np.int64)
        for chunk, places, inside in self._places(rows):
            content = self.inputs["content"].chunk(chunk)
            if "same_as" in self.inputs.column_names and self._starts is not None:
                sources = self.inputs["same_as"].slice(int(self._starts[chunk]), len(content)).combine_chunks()
                content = pc.coalesce(sources, content)
            halves = np.frombuffer(content.buffers()[1], dtype=">i8").reshape(-1, 2)
            result[places] = halves[content.offset + inside, 0]
        return result

    def _places(self, rows: Sequence[int] | np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Chunk of `inputs`, places in `rows`, rows inside of the chunk.

        Chunk by chunk, because `take` over all of a chunked string column would first copy the whole of it.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and not (rows.min() >= 0 and rows.max() < self.inputs.num_rows):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {self.inputs.num_rows:,} inputs")
        if self._starts is None:
            self._starts = np.cumsum([0] + [len(chunk) for chunk in self.inputs["content"].chunks])
        chunks = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(chunks, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(chunks[order])) + 1):
            if len(places):
                chunk = int(chunks[places[0]])
                yield chunk, places, rows[places] - self._starts[chunk]

    def fingerprint(self) -> str:
        """32 hex digits of what is in it: independent of name, folder and how tables are cut into chunks."""
        if self._fingerprint is None:
            left_out = [name for name in LATER_RECORD_COLUMNS if name in self.records.column_names]
            left_out = [name for name in left_out if self.records[name].null_count == self.records.num_rows]
            records = self.records.drop_columns(["dataset", *left_out])
            identity = ["content", *(["same_as"] if "same_as" in self.inputs.column_names else [])]
            self._fingerprint = fingerprint_tables(self.inputs.select(identity), self._documents, records)
        return self._fingerprint

    def judgements(self) -> Judgements:
        """Queries of the retrieval records, and the documents whose input is one of their positives.

        Relevance is the grade that a judge gave that positive, else its score, else 1.0; the highest where records
        repeat.
        """
        from vecsmith.data.judgements import judgements_of

        return judgements_of(self)

    def __repr__(self) -> str:
        place = f" at {self.path}" if self.path else ""
        return (
            f"Dataset {self.name}: {self.inputs.num_rows:,} inputs, {self._documents.num_rows:,} documents, "
            f"{self.records.num_rows:,} records{place}"
        )


class Documents:
    """The documents of a dataset: iterate, `len`, `[row]`, `.ids`, `.table`, `.attributes` (name -> Arrow type)."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.table = dataset, dataset._documents

    @property
    def attributes(self) -> dict[str, pa.DataType]:
        return {name: self.table.schema.field(name).type for name in self.table.column_names[len(DOCUMENT_COLUMNS) :]}

    @property
    def ids(self) -> list[str]:
        return self.table["id"].to_pylist()

    @property
    def inputs(self) -> np.ndarray:
        """int64 [n]: the row of `Dataset.inputs` that each document carries."""
        return self.table["input"].to_numpy()

    def __len__(self) -> int:
        return self.table.num_rows

    def __iter__(self) -> Iterator[Document]:
        for start in range(0, self.table.num_rows, BLOCK):
            yield from self._block(self.table.slice(start, BLOCK))

    def __getitem__(self, row: int) -> Document:
        if not -len(self) <= row < len(self):
            raise IndexError(f"document {row} of {len(self):,}")
        return next(self._block(self.table.slice(row % len(self), 1)))

    def _block(self, table: pa.Table) -> Iterator[Document]:
        names = list(self.attributes)
        columns = [table[name].to_pylist() for name in names]
        fixed = [table[name].to_pylist() for name in ("id", "input", "group", "split")]
        texts = self.dataset.texts(fixed[1])
        for row, (identity, source, group, split) in enumerate(zip(*fixed, strict=True)):
            values = {name: column[row] for name, column in zip(names, columns, strict=True)}
            yield Document(identity, texts[row], values, group, source, split)


def describe(name: str, inputs: int, documents: pa.Table, records: int) -> dict[str, Any]:
    """The content of `dataset.json`."""
    attributes = {field.name: str(field.type) for field in list(documents.schema)[len(DOCUMENT_COLUMNS) :]}
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "rows": {"inputs": inputs, "documents": documents.num_rows, "records": records},
        "attributes": attributes,
    }


def _read_description(folder: Path) -> dict[str, Any]:
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"no {DESCRIPTION} here, so this is no dataset. Make one with vecsmith.read", file=folder
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(f"{folder / DESCRIPTION}: {error}. Read the source again") from error
    if not isinstance(description, dict):
        raise Damaged(f"{folder / DESCRIPTION} holds no object. Read the source again")
    if description.get("format") != FORMAT or description.get("version") != VERSION:
        raise DataError(
            f"format {description.get('format')}, version {description.get('version')}; this vecsmith reads {FORMAT}, "
            f"version {VERSION}. Update vecsmith, or read the source again",
            file=folder,
        )
    rows = description.get("rows")
    if not isinstance(rows, dict) or not all(isinstance(rows.get(table), int) for table in TABLES):
        raise Damaged(f"{folder / DESCRIPTION} does not say how many rows there are. Read the source again")
    return {"name": folder.name, **description}


def _mask(mask: Any) -> pa.ChunkedArray | pa.Array:
    return pa.array(mask, pa.bool_()) if isinstance(mask, np.ndarray | list) else mask


def _replace(table: pa.Table, name: str, values: Sequence[str | None]) -> pa.Table:
    if len(values) != table.num_rows:
        raise ValueError(f"{len(values):,} values for {table.num_rows:,} rows")
    column = values if isinstance(values, pa.ChunkedArray) else pa.array(values, pa.string())
    return table.set_column(table.schema.get_field_index(name), pa.field(name, pa.string()), column)
