"""A retrieval set, or another library's training data, as a source: its documents, its own queries, its judgements."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vecsmith.data.dataset import Dataset
from vecsmith.data.dataset_builder import DatasetBuilder
from vecsmith.data.formats import Found
from vecsmith.data.read import write_found
from vecsmith.data.split import LEFT_OUT, LeakReport, split_of
from vecsmith.data.units import SHARES
from vecsmith.data.writers.rows import records_of
from vecsmith.errors import NotEnoughData
from vecsmith.progress import SILENT, Progress

__all__ = ["SETS", "copy_into", "deal_queries", "open_set", "set_files", "set_manifest"]

SETS = ("beir", "mteb_retrieval", "flagembedding", "tevatron", "messages")


@contextmanager
def open_set(
    found: Found, name: str, options: dict[str, Any], progress: Progress = SILENT
) -> Iterator[tuple[Dataset, list[str]]]:
    """The set as a dataset in a temporary folder, and a line for each thing that was passed over."""
    with tempfile.TemporaryDirectory() as folder:
        with Dataset.build(name=name, folder=Path(folder) / "set") as builder:
            notes = write_found(builder, found, None, options, progress)
            dataset = builder.finish()
        yield dataset, [f"{count:,} {reason}" for reason, count in notes.items() if count]


def copy_into(builder: DatasetBuilder, dataset: Dataset, limit: int | None, tally: Any) -> None:
    """Documents and records of a dataset into another, counted in `tally`.

    limit    the first so many documents, and the records whose positives are all among them
    raises   NotEnoughData: no document
    """
    builder.declare_attributes(dataset.documents.attributes)
    kept = set()
    for number, document in enumerate(dataset.documents):
        if limit is not None and number >= limit:
            break
        kept.add(document.input)
        builder.add_document(document.id, document.text, document.attributes, document.group, document.split)
        tally.documents[document.split or ""] += 1
    if not kept:
        raise NotEnoughData(f"{dataset.name}: no document found in it")
    rows = dataset.records["positives"].to_pylist() if limit is not None else None
    for record in records_of(dataset):
        if rows is not None and not kept.issuperset(rows[record.row]):
            continue
        cells = {name: value for name, value in record.cells.items() if name != "dataset"}
        builder.add_record(query=record.query, positives=record.positives, negatives=record.negatives, **cells)
        if record.positives:
            tally.pairs[record.cells["split"] or ""] += 1
            tally.made_from["given"] += 1


def set_files(found: Found) -> list[Path]:
    """All files of a set, in a fixed order."""
    return sorted({file for files in found.files.values() for file in files})


def set_manifest(found: Found) -> str:
    """32 hex digits over names, sizes and times of change; no file is opened."""
    entries = []
    for file in set_files(found):
        info = file.stat()
        entries.append(f"{file.name}\t{info.st_size}\t{info.st_mtime_ns}")
    return hashlib.sha256("\n".join(entries).encode()).hexdigest()[:32]


def deal_queries(dataset: Dataset, *, seed: int = 0) -> tuple[Dataset, LeakReport]:
    """The same with every record on a side; documents are a corpus that all sides share, as such sets are judged.

    The test side that a set was published with stays whole, where another is there to fit on, and so do train and dev
    where all three are; a side that is missing is dealt from the others by a hash of the query. A record whose query
    stands on an earlier side too leaves dev or test, and is counted. That a document answers queries of two sides is no
    leak here: the sides differ in what is asked.
    """
    sides = dataset.records["split"].to_pylist()
    keys = dataset.keys(dataset.records["query"].to_numpy()).tolist()
    known = {*sides} & {*SHARES}
    kept = known if known == {*SHARES} else {"test"} if "test" in known and known != {"test"} else set()
    left = {name: share for name, share in SHARES.items() if name not in kept} or SHARES
    shares = {name: share / sum(left.values()) for name, share in left.items()}
    dealt = [side if side in kept else split_of(str(key), shares, seed) for side, key in zip(sides, keys, strict=True)]
    gone = dict.fromkeys(("dev", "test"), 0)
    earlier = {key for key, side in zip(keys, dealt, strict=True) if side == "train"}
    for side in gone:
        here = [row for row, name in enumerate(dealt) if name == side]
        for row in here:
            if keys[row] in earlier:
                dealt[row] = LEFT_OUT
                gone[side] += 1
        earlier |= {keys[row] for row in here}
    whole = dataset.with_splits(documents=[None] * len(dataset.documents), records=dealt)
    return whole, LeakReport(dict.fromkeys(gone, 0), gone)
