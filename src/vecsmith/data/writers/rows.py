"""The records of a dataset with their texts and documents, one at a time, and what a format cannot hold of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vecsmith.data.dataset import Dataset, Document
from vecsmith.data.inputs import content_id
from vecsmith.errors import DataError

__all__ = ["Losses", "Written", "records_of"]

BLOCK = 4096


@dataclass
class Written:
    """A record with texts in the place of rows; `carriers` has the documents of a text's row."""

    row: int
    query: str
    positives: list[str]
    negatives: list[str]
    rows: list[int]  # of positives, then negatives
    cells: dict[str, Any]


def records_of(dataset: Dataset) -> Iterator[Written]:
    """The records in their order."""
    for start in range(0, dataset.records.num_rows, BLOCK):
        block = dataset.records.slice(start, BLOCK).to_pylist()
        for row, cells in enumerate(block, start):
            positives, negatives = cells.pop("positives"), cells.pop("negatives")
            texts = dataset.texts([cells.pop("query"), *positives, *negatives])
            end = 1 + len(positives)
            yield Written(row, texts[0], texts[1:end], texts[end:], [*positives, *negatives], cells)


class Carriers:
    """Which documents carry an input: `of(row)` gives their numbers."""

    def __init__(self, dataset: Dataset) -> None:
        inputs = dataset.documents.inputs
        self._order = np.argsort(inputs, kind="stable")
        self._inputs = inputs[self._order]
        self._documents = dataset.documents

    def of(self, row: int) -> list[Document]:
        first, last = np.searchsorted(self._inputs, row), np.searchsorted(self._inputs, row, side="right")
        return [self._documents[int(number)] for number in self._order[first:last]]


@dataclass
class Losses:
    """What a format cannot hold, gathered while it is written: each kind once, with the first place it was met.

    lossy    leave it out; else `check` raises
    """

    format: str
    lossy: bool
    found: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, where: str) -> None:
        self.found.setdefault(what, where)
        if not self.lossy:
            raise DataError(
                f"{where} has {what}, which the format {self.format} cannot hold. Write another format (beir, jsonl), "
                "save all of it with Dataset.save, or pass lossy=True to leave it out"
            )

    def records(self, record: Written, kept: tuple[str, ...], kinds: tuple[str, ...]) -> bool:
        """Check a record: its kind and its cells beside those that are kept. False: it is left out."""
        where = f"record {record.row}"
        if record.cells["kind"] not in kinds:
            self.add(f'the kind "{record.cells["kind"]}"', where)
            return False
        for name, value in record.cells.items():
            if name in (*kept, "kind", "dataset", "split") or value is None or (name == "weight" and value == 1.0):
                continue
            self.add(name, where)
        return True

    def documents(self, dataset: Dataset, *, ids: bool, attributes: bool, named: set[int] | None) -> None:
        """Check all documents.

        ids, attributes    whether the format holds them
        named              inputs that some record names, where only those are written; None: all are
        """
        for document in dataset.documents:
            where = f'document "{document.id}"'
            if document.group is not None or document.split is not None:
                self.add("a group or a split", where)
            if not attributes and any(value is not None for value in document.attributes.values()):
                self.add("attributes", where)
            if not ids and not document.attributes and document.id != content_id(document.text):
                self.add("an id of its own", where)
            if named is not None and document.input not in named:
                self.add("no record that names it", where)
