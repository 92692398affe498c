"""Build a dataset row by row; in a folder, in bounded memory.

Rows wait in a block until it is full; then the texts of the block are looked up among the inputs so far (`known.py`,
about 15 bytes per distinct input), and the block goes to the three tables. Inputs are numbered in the order in which
their texts first appear.
"""

import json
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash

from vecsmith.atomic import new_folder, write_json
from vecsmith.data.attributes import text_of
from vecsmith.data.dataset import Dataset, describe
from vecsmith.data.document_table import DocumentTable
from vecsmith.data.inputs import CONTENT_BYTES, normalise
from vecsmith.data.known import KnownIds, as_pairs
from vecsmith.data.layout import DESCRIPTION, DOCUMENT_COLUMNS, INPUTS, KINDS, RECORDS, arrow_file
from vecsmith.data.origins import Origins
from vecsmith.data.record_block import RecordBlock
from vecsmith.data.table_files import TableFile
from vecsmith.errors import DataError

__all__ = ["DatasetBuilder"]

BLOCK_ROWS = 65536  # texts, documents and records together
BLOCK_CHARACTERS = 1 << 23


class _Waiting(NamedTuple):
    id: str
    is_named: bool
    text: int
    group: str | None
    split: str | None
    attributes: dict[str, Any]
    repeated: bool


class DatasetBuilder:
    """Takes documents and records, gives a Dataset. A context manager: left without `finish`, it leaves nothing behind.

    name       what records call the dataset
    folder     where it goes (it appears there, whole, at `finish`); None keeps it in memory
    replace    an existing folder is exchanged at `finish`

    >>> with DatasetBuilder(name="faq") as builder:
    ...     _ = builder.add_document("a1", "Hold the button for ten seconds.", {"year": 2024})
    ...     builder.add_record(query="how do I reset it?", positives=["Hold the button for ten seconds."])
    ...     data = builder.finish()
    >>> data
    Dataset faq: 2 inputs, 1 documents, 1 records
    """

    def __init__(self, *, name: str, folder: Path | str | None = None, replace: bool = False) -> None:
        self.name, self.folder = name, None if folder is None else Path(folder)
        self._commit = ExitStack()
        place = None if folder is None else self._commit.enter_context(new_folder(folder, replace=replace))
        self._place, self._is_open = place, True
        self._inputs = TableFile(INPUTS, place and arrow_file(place, "inputs"))
        self._documents = DocumentTable(place)
        self._record_file = TableFile(RECORDS, place and arrow_file(place, "records"))
        self._known_inputs = KnownIds(place and place / "inputs.known")
        self._known_documents = KnownIds(place and place / "documents.known")
        self._origins = Origins()
        self._records = RecordBlock(name)
        self._waiting: list[_Waiting] = []
        self._added = 0
        self._keys = array("Q")  # of the texts of documents, where ids may be repeated
        self._clear_texts()

    def __enter__(self) -> "DatasetBuilder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_open:
            with suppress(OSError, pa.ArrowException):  # a full disk fails here again; the first error says it
                self._close()
            unfinished = error or DataError(f"dataset {self.name} was left without finish()")
            self._commit.__exit__(type(unfinished), unfinished, trace)

    def declare_attributes(self, names: Iterable[str], *, readings: Sequence[str] = ()) -> None:
        """Attributes in this order, before the first document.

        readings    what their text may be read as, where all values of a column allow it: of "int", "float",
                    "bool", "time". None by default: text from a typed source is text.
        """
        names = list(names)
        _check_names(names)
        self._documents.declare(names, readings)

    def add_document(
        self,
        id: str | None,
        text: str,
        attributes: Mapping[str, Any] | None = None,
        group: str | None = None,
        split: str | None = None,
        *,
        origin: tuple[str, int] | None = None,
        keep_first: bool = False,
        repeated: bool = False,
    ) -> int:
        """A document; returns its number among those added.

        id            unique among the documents. None: a hash of text, attributes and group (the content id where it
                      has only text); documents that agree in all of these are one
        attributes    text, int, float, bool, date, datetime, list or set of text; None is null
        origin        (file, row) for messages
        keep_first    an id that was there before leaves this document out, where it would be an error
        repeated      likewise, but only where that document has the same text: else it is an error
        raises        DataError: empty text; an attribute named as a column of ours; and, when the block is full, an id
                      that was there before (both places are named)
        """
        attributes = dict(attributes or {})
        file, row = origin or (None, None)
        if attributes.keys() & set(DOCUMENT_COLUMNS):
            _check_names(attributes, file, row)
        place = self._refer(text, "document", file, row)
        if id is not None and (not id or not _is_unicode(id)):
            raise DataError(f"{id!r} is no document id; it needs text that UTF-8 can hold", file=file, row=row)
        name = id if id is not None else _id_of(self._digests[place], attributes, group)
        self._waiting.append(
            _Waiting(name, id is not None and not keep_first, place, group, split, attributes, repeated)
        )
        self._origins.wait(file, row)
        self._added += 1
        self._flush_if_full()
        return self._added - 1

    def add_record(
        self,
        *,
        query: str,
        positives: Sequence[str] = (),
        negatives: Sequence[str] = (),
        scores: Sequence[float] | None = None,
        teacher_scores: Sequence[float] | None = None,
        label: str | None = None,
        weight: float = 1.0,
        group: str | None = None,
        kind: str = "retrieval",
        split: str | None = None,
        instruction_query: str | None = None,
        instruction_document: str | None = None,
        id: str | None = None,
        grades: Sequence[float] | None = None,
        origin: tuple[str, int] | None = None,
    ) -> None:
        """A record; `layout.RECORDS` lists its fields.

        scores            0..1, for positives, then negatives; teacher_scores likewise, any finite number
        grades            of the positives, as a judge gave them (qrels: 1, 2, 3); what judging counts by
        id                what the source calls the query
        raises            DataError: empty text, unknown kind, scores of another length, not finite or outside 0..1;
                          a weight below 0
        """
        file, row = origin or (None, None)
        if kind not in KINDS:
            raise DataError(f'kind "{kind}" is none of {", ".join(KINDS)}', file=file, row=row)
        if not (math.isfinite(weight) and weight >= 0):
            raise DataError(f"weight is {weight}; a weight is a finite number from 0", file=file, row=row)
        count = len(positives) + len(negatives)
        _check_scores(scores, count, 0.0, 1.0, "scores", file, row)
        _check_scores(teacher_scores, count, -math.inf, math.inf, "teacher_scores", file, row)
        _check_scores(grades, len(positives), 0.0, math.inf, "grades", file, row)
        self._records.add(
            self._refer(query, "query", file, row),
            [self._refer(text, "positive", file, row) for text in positives],
            [self._refer(text, "negative", file, row) for text in negatives],
            weight,
            scores=scores,
            teacher_scores=teacher_scores,
            label=label,
            group=group,
            instruction_query=instruction_query,
            instruction_document=instruction_document,
            kind=kind,
            split=split,
            id=id,
            grades=grades,
        )
        self._flush_if_full()

    def finish(self) -> Dataset:
        """Write what waits and return the dataset, mapped from its folder where it has one."""
        self._flush()
        tables = self._inputs.finish(), self._documents.finish(), self._record_file.finish()
        self._close()
        self._is_open = False
        if self._place is None or self.folder is None:
            return Dataset(*tables, name=self.name)
        description = describe(self.name, tables[0].num_rows, tables[1], tables[2].num_rows)
        with self._commit:
            write_json(self._place / DESCRIPTION, description, durable=False)
        return Dataset.open(self.folder)

    def _close(self) -> None:
        for part in (self._inputs, self._documents, self._record_file, self._known_inputs, self._known_documents):
            part.close()

    def _clear_texts(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._texts: list[str] = []
        self._digests: list[bytes] = []
        self._characters = 0

    def _refer(self, text: str, role: str, file: str | None, row: int | None) -> int:
        """Number of a text within the block."""
        if not text or text.isspace():
            raise DataError(f"the {role} is empty; it needs text. Fill it, or leave the row out", file=file, row=row)
        text = normalise(text)
        try:
            digest = xxhash.xxh3_128_digest(text.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise DataError(
                f"the {role} has half of a surrogate pair at character {error.start}, which is no text. "
                "Write the source again as valid UTF-8",
                file=file,
                row=row,
            ) from error
        number = self._numbers.setdefault(digest, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
            self._digests.append(digest)
            self._characters += len(text)
        return number

    def _flush_if_full(self) -> None:
        waiting, records = len(self._waiting), len(self._records)
        if len(self._texts) + waiting + records >= BLOCK_ROWS or self._characters >= BLOCK_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        try:
            self._write_block()
        except UnicodeEncodeError as error:  # of a group, a label or an attribute; texts and ids were looked at before
            raise DataError(
                f"{error.object!r} has half of a surrogate pair, which is no text. Write the source as valid UTF-8"
            ) from error

    def _write_block(self) -> None:
        joined = b"".join(self._digests)
        rows, is_new = self._known_inputs.rows(as_pairs(joined))
        new = np.flatnonzero(is_new)
        content = np.frombuffer(joined, dtype=np.uint8).reshape(-1, CONTENT_BYTES)[new].tobytes()
        contents = pa.Array.from_buffers(pa.binary(CONTENT_BYTES), len(new), [None, pa.py_buffer(content)])
        texts = pa.array([self._texts[number] for number in new], pa.string())
        self._inputs.write(pa.record_batch([contents, texts], schema=INPUTS))
        self._flush_documents(rows)
        if len(self._records):
            self._record_file.write(self._records.batch(rows))
            self._records.clear()
        self._clear_texts()

    def _flush_documents(self, rows: np.ndarray) -> None:
        first: dict[str, int] = {}
        for number, document in enumerate(self._waiting):
            earlier = self._waiting[first.setdefault(document.id, number)]
            is_same = earlier is document or (document.repeated and earlier.text == document.text)
            if document.is_named and not is_same:
                self._refuse(number, *self._origins.waiting[first[document.id]])
        distinct = list(first.values())
        # The bytes as they are: two ids that only NFC makes equal are two.
        digests = b"".join(xxhash.xxh3_128_digest(self._waiting[number].id.encode("utf-8")) for number in distinct)
        before, is_new = self._known_documents.rows(as_pairs(digests))
        for known in np.flatnonzero(~is_new).tolist():
            document = self._waiting[distinct[known]]
            if document.is_named and not (document.repeated and self._had_text(int(before[known]), document)):
                self._refuse(distinct[known], *self._origins.at(int(before[known])))
        kept = np.asarray(distinct, dtype=np.int64)[is_new]
        documents = [self._waiting[number] for number in kept]
        if any(document.repeated for document in self._waiting):
            self._keys.extend([0] * (self._documents.rows - len(self._keys)))
            self._keys.extend(_key(self._digests[document.text]) for document in documents)
        self._documents.add(
            [document.id for document in documents],
            rows[np.array([document.text for document in documents], dtype=np.int64)],
            [document.group for document in documents],
            [document.split for document in documents],
            [document.attributes for document in documents],
        )
        self._origins.keep(kept)
        self._waiting = []

    def _had_text(self, row: int, document: _Waiting) -> bool:
        """Whether the document of this row carries the text of one that waits."""
        return row < len(self._keys) and self._keys[row] == _key(self._digests[document.text])

    def _refuse(self, number: int, other_file: str | None, other_row: int | None) -> None:
        file, row = self._origins.waiting[number]
        where = f"row {other_row}" if other_row is not None else "an earlier document"
        where += f" of {other_file}" if other_file != file and other_file is not None else ""
        raise DataError(
            f'document id "{self._waiting[number].id}" stands in {where} too; an id names one document. '
            "Make the ids unique, or name no id column: then ids come from the contents",
            file=file,
            row=row,
        )


def _check_names(names: Iterable[str], file: str | None = None, row: int | None = None) -> None:
    if taken := sorted(set(names) & set(DOCUMENT_COLUMNS)):
        raise DataError(
            f'"{taken[0]}" cannot name an attribute: documents have a column of their own by that name '
            f"({', '.join(DOCUMENT_COLUMNS)}). Rename it",
            file=file,
            row=row,
        )


def _key(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold it: no half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _id_of(digest: bytes, attributes: Mapping[str, Any], group: str | None) -> str:
    """The content id, or, where more than the text tells documents apart, a hash of all of it."""
    told = {name: value for name, value in sorted(attributes.items()) if value is not None}
    if not told and group is None:
        return digest.hex()
    rest = json.dumps(
        [told, group],
        ensure_ascii=True,
        default=lambda value: sorted(map(str, value)) if isinstance(value, set | frozenset) else text_of(value),
    )
    return xxhash.xxh3_128_hexdigest(digest + rest.encode())


def _check_scores(
    scores: Sequence[float] | None, count: int, low: float, high: float, name: str, file: str | None, row: int | None
) -> None:
    if scores is None:
        return
    if len(scores) != count:
        whom = "positives" if name == "grades" else "positives and negatives"
        raise DataError(f"{len(scores)} {name} for {count} {whom}; give one for each", file=file, row=row)
    for score in scores:
        if not math.isfinite(score):
            raise DataError(f"{name} holds {score}; a score is a finite number. Drop such rows", file=file, row=row)
        if not low <= score <= high:
            raise DataError(
                f"{name} holds {score}, outside {low:g} to {high:g}. Divide by the greatest score", file=file, row=row
            )
