"""A table (csv, tsv, jsonl, parquet, plain or .gz) as a stream of rows whose cells have their parts.

    TableRow(row=812, query="how do I reset it?", documents=("Hold the button.",), attributes={"year": "2024"}, ...)

The columns are declared or recognised (`table_columns.py`); rows are read one at a time, so a table may be larger than
memory.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.data.readers.rows import open_rows
from vecsmith.data.readers.table_columns import Columns, resolve_columns, with_later
from vecsmith.data.readers.table_formats import SAMPLE, format_of
from vecsmith.data.readers.table_shape import Join, Shape, is_template
from vecsmith.errors import DataError, UsageError
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.data.dataset_builder import DatasetBuilder

__all__ = ["Table", "TableRow", "read_table"]

READINGS: dict[str, tuple[str, ...]] = {"csv": ("int", "float", "bool", "time"), "jsonl": ("time",), "parquet": ()}
READINGS["tsv"] = READINGS["csv"]
READINGS["arrow"] = ()
READINGS |= dict.fromkeys(("json", "lines", "lists", "counted_blocks"), READINGS["jsonl"])
SCALARS = (str, int, float, bool, date, type(None))
ON_EMPTY = ("error", "skip")


@dataclass(slots=True)
class TableRow:
    """One row; `row` counts from 1 without the header (in jsonl it is the line)."""

    row: int
    documents: tuple[str, ...]
    query: str | None = None
    id: str | None = None
    negatives: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    group: str | None = None
    score: float | None = None
    label: str | None = None
    split: str | None = None
    weight: float = 1.0


class Table:
    """Iterate for TableRows, as often as you like; each time the file is read anew.

    columns     what each column is (of the first 1,000 rows)
    kind        retrieval, pair, scored, class or plain: what its records are
    readings    what text attributes may be read as (`DatasetBuilder.declare_attributes`)
    skipped, without_query    with on_empty="skip", of the last reading: rows left out, as they have no document; and
                rows that keep their document and have no query
    """

    def __init__(self, path: Path, format: str, columns: Columns, *, kind: str, **options: Any) -> None:
        self.path, self.format, self.columns, self.kind = path, format, columns, kind
        self.readings = READINGS[format]
        self.skipped = self.without_query = 0
        self._on_empty: str = options.pop("on_empty")
        self._score_range: tuple[float, float] = options.pop("score_range")
        self._progress: Progress = options.pop("progress")
        self._label_is_score: bool = options.pop("label_is_score")
        self._options = options

    def __iter__(self) -> Iterator[TableRow]:
        self.skipped = self.without_query = 0
        with self._progress.task(f"reading {self.path.name}", total=self.path.stat().st_size, unit="B") as task:
            columns = self.columns
            for row, cells in open_rows(self.path, self.format, told=task.advance, **self._options):
                if not cells.keys() <= columns.known:
                    columns = with_later(columns, cells.keys() - columns.known, file=self.path, row=row)
                if (result := self._row(row, cells, columns)) is not None:
                    yield result

    def _row(self, row: int, cells: dict[str, Any], columns: Columns) -> TableRow | None:
        documents = self._texts(cells, columns.document, row)
        query = None if columns.query is None else self._texts(cells, columns.query, row)
        if documents is None:
            self.skipped += 1
            return None
        self.without_query += columns.query is not None and query is None
        if query is not None and len(query) > 1:
            raise DataError(f"{len(query)} texts; a query is one", file=self.path, row=row, column=columns.query)
        result = TableRow(row, documents, query[0] if query else None)
        if columns.id is not None:
            result.id = self._identity(cells, row)
        if columns.negatives:
            result.negatives = self._negatives(cells, columns.negatives, row)
        if columns.attributes:
            result.attributes = {name: self._attribute(cells.get(name), name, row) for name in columns.attributes}
        result.group = _word(cells.get(columns.group)) if columns.group else None
        result.split = _word(cells.get(columns.split)) if columns.split else None
        score_column = columns.score or (columns.label if self._label_is_score else None)
        if score_column is not None:
            result.score = self._score(cells.get(score_column), score_column, row)
        if columns.label and not self._label_is_score:
            result.label = _word(cells.get(columns.label))
        if columns.weight:
            result.weight = self._number(cells.get(columns.weight), columns.weight, row, "weight")
        return result

    def _texts(self, cells: dict[str, Any], name: str | None, row: int) -> tuple[str, ...] | None:
        """The text of a cell (several where it holds a list); None where it is empty and empty rows are skipped."""
        value = cells.get(name) if name is not None else None
        if isinstance(value, str):
            if value and not value.isspace():
                return (value,)
        elif isinstance(value, list) and value and all(isinstance(text, str) and text.strip() for text in value):
            return tuple(value)
        elif value is not None and not (isinstance(value, list) and all(isinstance(text, str) for text in value)):
            raise DataError(
                f"{_name(value)}; a text was expected. Name another column, or ignore this one",
                file=self.path,
                row=row,
                column=name,
            )
        if self._on_empty == "skip":
            return None
        raise DataError(
            'empty; text is needed here. Fill it, or pass on_empty="skip" (skipped rows are counted)',
            file=self.path,
            row=row,
            column=name,
        )

    def _identity(self, cells: dict[str, Any], row: int) -> str:
        value = cells.get(self.columns.id or "")
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and value:
            return value
        raise DataError(
            f"{_name(value)}; an id is text or a whole number. Fill it, or leave the id column out with ignore=...",
            file=self.path,
            row=row,
            column=self.columns.id,
        )

    def _negatives(self, cells: dict[str, Any], names: Sequence[str], row: int) -> tuple[str, ...]:
        """Texts of the negative columns; empty ones are no negatives."""
        texts: list[str] = []
        for name in names:
            value = cells.get(name)
            for text in value if isinstance(value, list) else [value]:
                if text is not None and not isinstance(text, str):
                    raise DataError(f"{_name(text)}; a text was expected", file=self.path, row=row, column=name)
                if text and not text.isspace():
                    texts.append(text)
        return tuple(texts)

    def _attribute(self, value: Any, name: str, row: int) -> Any:
        if value == "" and self.format in ("csv", "tsv"):
            return None
        if isinstance(value, SCALARS) or (
            isinstance(value, list | tuple) and all(isinstance(member, SCALARS) for member in value)
        ):
            return value
        raise DataError(
            f"{_name(value)}; attributes are text, numbers, true or false, dates and lists of text. "
            f'Leave it out: ignore=["{name}"], --ignore {name}',
            file=self.path,
            row=row,
            column=name,
        )

    def _score(self, value: Any, name: str, row: int) -> float:
        low, high = self._score_range
        score = self._number(value, name, row, "score")
        if not low <= score <= high:
            raise DataError(
                f"{value} is outside {low:g} to {high:g}; say the scale: score_range=(0, {max(5, math.ceil(score))})",
                file=self.path,
                row=row,
                column=name,
            )
        return (score - low) / (high - low)

    def _number(self, value: Any, name: str, row: int, what: str) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = None
        if number is None or not math.isfinite(number):
            raise DataError(
                f"{'empty' if value in (None, '') else repr(value)}; a {what} is a finite number. "
                f'Correct it, or leave the column out: ignore=["{name}"]',
                file=self.path,
                row=row,
                column=name,
            )
        return number

    def score_span(self) -> tuple[float, float] | None:
        """The least and greatest score there is, by reading the file once; None: it has no scores."""
        column = self.columns.score or (self.columns.label if self._label_is_score else None)
        if column is None:
            return None
        scores = [
            self._number(cells.get(column), column, row, "score")
            for row, cells in open_rows(self.path, self.format, **self._options)
        ]
        return (min(scores), max(scores)) if scores else None

    def write(self, builder: "DatasetBuilder") -> None:
        """All rows as documents and records of a dataset.

        retrieval: query -> documents; a pair scored 0, or without a query, is no record, its document stays.
        pair, scored: records only, and documents too where rows have ids or attributes.
        class, plain: one record and one document per text.
        """
        builder.declare_attributes(self.columns.attributes, readings=self.readings)
        for row in self:
            self.write_row(builder, row)

    def write_row(self, builder: "DatasetBuilder", row: TableRow) -> None:
        """One row as its documents and its record; the attributes have been declared."""
        origin = (str(self.path), row.row)
        if self.kind not in ("pair", "scored") or self.columns.id or self.columns.attributes:
            for number, text in enumerate(row.documents):
                id = row.id if number == 0 or row.id is None else f"{row.id}#{number}"
                builder.add_document(id, text, row.attributes, row.group, row.split, origin=origin)
        self._write_record(builder, row, origin)

    def _write_record(self, builder: "DatasetBuilder", row: TableRow, origin: tuple[str, int]) -> None:
        same: dict[str, Any] = {"group": row.group, "split": row.split, "weight": row.weight, "kind": self.kind}
        if row.query is None:
            if self.kind in ("class", "plain"):
                for text in row.documents:
                    builder.add_record(query=text, label=row.label, origin=origin, **same)
            return
        if self.kind == "retrieval" and row.score == 0:
            return
        scores = None if row.score is None else [row.score] * len(row.documents) + [0.0] * len(row.negatives)
        builder.add_record(
            query=row.query,
            positives=row.documents,
            negatives=row.negatives,
            scores=scores,
            label=row.label,
            origin=origin,
            **same,
        )


def read_table(
    path: str | Path,
    *,
    query: str | None = None,
    document: str | None = None,
    attributes: Sequence[str] | str | None = None,
    group: str | None = None,
    id: str | None = None,
    score: str | None = None,
    label: str | None = None,
    negatives: Sequence[str] | str | None = None,
    split: str | None = None,
    weight: str | None = None,
    ignore: Sequence[str] | str = (),
    kind: str | None = None,
    format: str | None = None,
    delimiter: str | None = None,
    quoting: bool | None = None,
    header: Sequence[str] | bool = True,
    where: Mapping[str, Any] | None = None,
    unless: Mapping[str, Any] | None = None,
    each: str | None = None,
    join: Mapping[str, Any] | None = None,
    score_range: tuple[float, float] = (0.0, 1.0),
    on_empty: str = "error",
    progress: Progress = SILENT,
) -> Table:
    """Open a table; its columns are settled by its first 1,000 rows, its rows are read when you iterate.

    query ... weight    columns; what is not named is recognised (`table_columns.KNOWN`). Also a text with columns in
                        it, "{title}. {abstract}", "{*}" for the whole row: see `table_shape.fill`
    attributes          columns kept for filters; "*": all that have no other part
    ignore              columns left out; "*": all that have no other part
    kind                what records are; None: class with a label and no query, plain without both, scored with a
                        score or a numeric label, pair for two sides of one kind (sentence1, sentence2), else retrieval;
                        a pair of texts with a label in words needs it
    format              csv, tsv, jsonl or parquet where the name does not say it
    delimiter, quoting, header    see `read_delimited`
    where, unless, each, join     rows left out, lists unfolded, another table's cells: see `table_shape.Shape`
    score_range         the scale of the scores, brought to 0..1
    on_empty            "error", or "skip": rows without a document are left out, rows without a query keep their
                        document; both are counted
    raises              DataError with file and row, as the rows are read
    """
    path = Path(path)
    if on_empty not in ON_EMPTY:
        raise UsageError(f'on_empty is "{on_empty}"; known: {", ".join(ON_EMPTY)}')
    if not score_range[0] < score_range[1]:
        raise UsageError(f"score_range is {score_range}; the first must be below the second")
    format = format or format_of(path)
    options: dict[str, Any] = {}
    if format in ("csv", "tsv"):
        options = {"delimiter": delimiter, "quoting": quoting, "header": header}
    if format == "tsv" and delimiter is None:
        options["delimiter"] = "\t"
    parts = {"query": query, "document": document, "group": group, "id": id, "score": score, "label": label}
    options["shape"] = Shape(
        templates=tuple(dict.fromkeys(name for name in parts.values() if is_template(name))),  # type: ignore[misc]
        where=where or {},
        unless=unless or {},
        each=each,
        join=Join.of(join),
        kept=frozenset(_named(*parts.values(), attributes, negatives, split, weight)),
    )
    sample = [cells for _, cells in islice(open_rows(path, format, **options), SAMPLE)]
    if not sample:
        raise DataError("a header but no rows" if format in ("csv", "tsv") else "no rows", file=path)
    columns = resolve_columns(
        (name for cells in sample for name in cells),
        file=path,
        attributes=attributes,
        negatives=negatives,
        ignore=ignore,
        split=split,
        weight=weight,
        **parts,
    )
    options["shape"].apart = frozenset(
        filter(None, (columns.label, columns.score, columns.split, columns.id, columns.group, columns.weight))
    )
    label_is_score = columns.query is not None and columns.score is None and _all_numbers(sample, columns.label)
    if columns.query is not None and columns.label is not None and not (columns.score or label_is_score or kind):
        raise DataError(
            "holds words, so it does not say which pairs belong together. Give numbers from 0 to 1, keep the rows that "
            'do and leave it out (ignore), or say what the rows are: kind="retrieval" takes every row as a true pair',
            file=path,
            column=columns.label,
        )
    return Table(
        path,
        format,
        columns,
        kind=kind or _kind(columns, label_is_score),
        label_is_score=label_is_score,
        score_range=score_range,
        on_empty=on_empty,
        progress=progress,
        **options,
    )


def _named(*parts: Sequence[str] | str | None) -> Iterator[str]:
    """The column names in some arguments of `read_table`."""
    for part in parts:
        yield from [part] if isinstance(part, str) else part or ()


def _kind(columns: Columns, label_is_score: bool) -> str:
    if columns.query is None:
        return "class" if columns.label else "plain"
    if columns.score or label_is_score:
        return "scored"
    return "pair" if columns.is_symmetric else "retrieval"


def _all_numbers(sample: list[dict[str, Any]], name: str | None) -> bool:
    if name is None:
        return False
    try:
        return all(math.isfinite(float(cells[name])) for cells in sample if cells.get(name) not in (None, ""))
    except (TypeError, ValueError):
        return False


def _word(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _name(value: Any) -> str:
    """A value as a message shows it."""
    if value is None or value == "":
        return "empty"
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return f"{names.get(type(value), type(value).__name__)} ({str(value)[:40]})"
