"""What a user points at, as documents and queries: a folder, a table, or the docstrings of this machine.

    source = open_source("docs/", count_tokens=model.count_tokens)
    with Dataset.build(name=source.name) as judged, Dataset.build(name=source.name) as served:
        source.write(judged, served)

A query made from a text must not stand in the text that it asks for, yet users want to find the whole text. So a
source writes two datasets with the same ids: `judged` (documents without what their queries were made from, records
with queries, sides) for fitting and judging, and `served` (whole documents) for the index. Where nothing is cut out
(`source.cuts` is false) one dataset does for both.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vecsmith.data.dataset import Dataset
from vecsmith.data.dataset_builder import DatasetBuilder
from vecsmith.data.formats import Found, find
from vecsmith.data.readers.docstrings import docstring_manifest
from vecsmith.data.readers.documents import SUFFIXES, documents_manifest
from vecsmith.data.readers.found import Found as FoundFiles
from vecsmith.data.readers.tables import read_table
from vecsmith.data.set_source import SETS, copy_into, deal_queries, open_set, set_files, set_manifest
from vecsmith.data.split import LeakReport, assign_splits, without_leaks
from vecsmith.data.table_units import cuts, table_manifest, table_units
from vecsmith.data.units import BALANCED_BELOW, SHARES, Unit, docstring_units, document_units
from vecsmith.errors import DataError, NotEnoughData, UsageError
from vecsmith.progress import SILENT, Progress

__all__ = ["Source", "Tally", "open_source", "settle_splits"]

QUERY_WORDS = {
    "heading": "your headings",
    "docstring": "your docstrings",
    "identifier": "the words of names",
    "summary": "summary lines",
    "sentence": "sentences cut out of your text",
    "given": "the set itself",
}
NOUNS = {"documents": "passages", "table": "rows", "docstrings": "docstrings", "set": "documents"}


@dataclass
class Tally:
    """What was read: documents and pairs per side, pairs per way they were made."""

    documents: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    made_from: Counter[str] = field(default_factory=Counter)
    found: FoundFiles = field(default_factory=FoundFiles)

    def add(self, unit: Unit) -> None:
        self.documents[unit.split or ""] += 1
        if unit.pair:
            self.pairs[unit.split or ""] += 1
            self.made_from[unit.pair.made_from] += 1


@dataclass
class Source:
    """Something that documents and queries can be read from; made by `open_source`.

    name        as given, for people
    kind        "documents", "table", "docstrings" or "set" (documents with queries of their own)
    cuts        whether judged and served texts differ
    attributes  names of the typed columns
    sides       how documents came to their sides, see `settle_splits`
    """

    name: str
    kind: str
    cuts: bool
    attributes: tuple[str, ...]
    query_column: str | None
    sides: str
    _units: Callable[[FoundFiles, Progress], Iterator[Unit]]
    _manifest: Callable[[], str]
    _readings: tuple[str, ...] = ()  # what text attributes may be read as
    _tally: Tally | None = None

    def manifest(self) -> str:
        """32 hex digits that change when the source does: names, sizes and times of files, not their contents."""
        return self._manifest()

    def units(self, *, progress: Progress = SILENT) -> Iterator[Unit]:
        """The documents one by one; bounded memory. Read to the end, the source knows its tally."""
        tally = Tally()
        for unit in self._units(tally.found, progress):
            tally.add(unit)
            yield unit
        self._tally = tally

    def write(
        self, judged: DatasetBuilder, served: DatasetBuilder | None = None, *, progress: Progress = SILENT
    ) -> None:
        """Fill datasets; neither is finished here.

        judged    documents as they are judged, with group and side, and one retrieval record per query
        served    the whole documents under the same ids; None where only judging is wanted
        raises    NotEnoughData: no document at all; DataError: what the readers refuse
        """
        for builder in filter(None, (judged, served)):
            builder.declare_attributes(self.attributes, readings=self._readings)
        for unit in self.units(progress=progress):
            judged.add_document(unit.id, unit.judged, unit.attributes, unit.group, unit.split, origin=unit.origin)
            if unit.pair:
                judged.add_record(
                    query=unit.pair.query,
                    positives=[unit.judged],
                    negatives=unit.negatives,
                    scores=None if unit.score is None else [unit.score] + [0.0] * len(unit.negatives),
                    group=unit.group,
                    split=unit.split,
                    origin=unit.origin,
                )
            if served is not None:
                served.add_document(unit.id, unit.served, unit.attributes, unit.group, unit.split, origin=unit.origin)
        if not self.tally().documents:
            notes = "; ".join(self.describe()["notes"]) or "it is empty"
            raise NotEnoughData(f"{self.name}: no document found ({notes}). Documents end in {', '.join(SUFFIXES)}")

    def settle(self, judged: Dataset, *, seed: int = 0) -> tuple[Dataset, LeakReport]:
        """`settle_splits` of a dataset that `write` filled."""
        return settle_splits(judged, sides=self.sides, seed=seed)

    def tally(self, *, progress: Progress = SILENT) -> Tally:
        """What the last full reading counted; reads the source once where there was none."""
        if self._tally is None:
            for _ in self.units(progress=progress):
                pass
        assert self._tally is not None
        return self._tally

    def describe(self, *, progress: Progress = SILENT) -> dict[str, Any]:
        """A JSON value for plans and reports; reads the source once where it was not read yet.

        name, kind, words ("12 files, 340 passages"), notes (lines on what was passed over), files, documents, pairs
        (made from -> count), sides (side -> {"documents", "pairs"}), skipped (reason -> {"count", "names"}),
        query_words (see `query_words`)
        """
        tally = self.tally(progress=progress)
        sides = sorted({*tally.documents, *tally.pairs} - {""})
        documents = tally.documents.total()
        noun = NOUNS[self.kind]
        return {
            "name": self.name,
            "kind": self.kind,
            "words": f"{_counted(tally.found.files, 'file')}, {documents:,} {noun if documents != 1 else noun[:-1]}",
            "notes": _notes(tally.found),
            "files": tally.found.files,
            "documents": documents,
            "pairs": dict(tally.made_from.most_common()),
            "sides": {side: {"documents": tally.documents[side], "pairs": tally.pairs[side]} for side in sides},
            "skipped": tally.found.describe(),
            "query_words": self.query_words(),
        }

    def query_words(self) -> str:
        """Whose queries they are, for "1,500 queries made from ...": the ways in the order of their counts."""
        words = [
            f'your column "{self.query_column}"' if way == "column" else QUERY_WORDS[way]
            for way, _ in self.tally().made_from.most_common()
        ]
        return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "nothing"


@dataclass
class SetSource(Source):
    """A retrieval set or training data of another library: its documents with its own queries and judgements."""

    set: Found | None = None
    options: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None

    def write(
        self, judged: DatasetBuilder, served: DatasetBuilder | None = None, *, progress: Progress = SILENT
    ) -> None:
        """See `Source.write`; nothing is cut out of the texts."""
        assert self.set is not None
        tally = Tally(found=FoundFiles(files=len(set_files(self.set))))
        with open_set(self.set, self.name, self.options, progress) as (dataset, notes):
            for builder in filter(None, (judged, served)):
                copy_into(builder, dataset, self.limit, tally if builder is judged else Tally())
        for note in notes:
            count, _, reason = note.partition(" ")
            tally.found.skip(reason, Path(self.name).name, int(count.replace(",", "")))
        self._tally = tally

    def settle(self, judged: Dataset, *, seed: int = 0) -> tuple[Dataset, LeakReport]:
        """Queries on sides, no query on two, over a corpus that all sides share: see `deal_queries`."""
        return deal_queries(judged, seed=seed)

    def tally(self, *, progress: Progress = SILENT) -> Tally:
        """See `Source.tally`."""
        if self._tally is None:
            with Dataset.build(name=self.name) as builder:
                self.write(builder, progress=progress)
                builder.finish()
        assert self._tally is not None
        return self._tally


def open_source(
    source: str | Path,
    *,
    query: str | None = None,
    document: str | None = None,
    attributes: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    group: str | None = None,
    max_tokens: int = 256,
    count_tokens: Callable[[str], int] | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Source:
    """A source to read; which kind it is follows from its name. Only the first rows of a table are read here.

    source        "docstrings:stdlib", "docstrings:installed"; a folder or file of .txt .md .rst .html .py; a table
                  (csv, tsv, jsonl, parquet, plain or .gz)
    query, document, attributes, ignore   columns of a table
    group         a column of a table; "file" (default) or "folder" of documents: never on both sides of a split
    max_tokens    of a passage, by count_tokens; both for documents only
    limit         at most so many documents, a sample decided by seed (the first rows of a table)
    raises        UsageError: columns for what has none, an unknown group; DataError: nothing there, or of no kind
                  that can be read
    """
    name = str(source)
    columns = {"query": query, "document": document, "attributes": attributes, "ignore": ignore}
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}; at least 1 document is needed")
    if name.startswith("docstrings:"):
        _refuse_columns(name, {**columns, "group": group})
        return _docstring_source(name, limit, seed)
    path = Path(source)
    if not path.exists():
        raise DataError("there is no such file or folder. Check the path", file=path)
    if not (query or document) and (found := find(path)).format in SETS:
        return _set_source(found, path, {**columns, "group": group}, limit)
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        _refuse_columns(name, columns)
        if group not in (None, "file", "folder"):
            raise UsageError(f'group "{group}" of documents; "file" and "folder" exist (columns are for tables)')
        if count_tokens is None:
            raise UsageError("documents are cut into passages by tokens; pass count_tokens (of the model)")
        return _document_source(path, group or "file", max_tokens, count_tokens, limit, seed)
    return _table_source(path, {**columns, "group": group}, limit, seed)


def settle_splits(dataset: Dataset, *, sides: str = "dealt", seed: int = 0) -> tuple[Dataset, LeakReport]:
    """The dataset with every document on a side and no text on two; and what left its side.

    sides    "fixed": the sides that there are stay, whatever their sizes (docstrings: `package_split`);
             "dealt": they stay unless one is empty, then all groups are dealt anew, balanced by size;
             "hashed": also where there are few groups, of which a hash makes unequal sides
    """
    missing = not {*SHARES} <= {*dataset.splits}
    if sides != "fixed" and (missing or (sides == "hashed" and _groups(dataset) < BALANCED_BELOW)):
        try:
            dataset = assign_splits(dataset, SHARES, seed, balanced=True)
        except NotEnoughData:  # fewer groups than sides: some stay empty, which the caller sees
            dataset = assign_splits(dataset, SHARES, seed)
    return without_leaks(dataset)


def _groups(dataset: Dataset) -> int:
    """Distinct groups; a document without one is its own."""
    column = dataset.documents.table["group"]
    return len(column.drop_null().unique()) + column.null_count


def _docstring_source(name: str, limit: int | None, seed: int) -> Source:
    which = name.removeprefix("docstrings:")
    if which not in ("stdlib", "installed"):
        raise UsageError(f'"{name}" is no source; "docstrings:stdlib" and "docstrings:installed" exist')

    def units(found: FoundFiles, progress: Progress) -> Iterator[Unit]:
        return docstring_units(which, limit=limit, seed=seed, found=found, progress=progress)

    attributes = ("package", "kind", "module", "length", "has_example")
    return Source(name, "docstrings", True, attributes, None, "fixed", units, lambda: docstring_manifest(which))


def _document_source(
    path: Path, group: str, max_tokens: int, count_tokens: Callable[[str], int], limit: int | None, seed: int
) -> Source:
    def units(found: FoundFiles, progress: Progress) -> Iterator[Unit]:
        return document_units(
            path,
            max_tokens=max_tokens,
            count_tokens=count_tokens,
            group=group,
            limit=limit,
            seed=seed,
            found=found,
            progress=progress,
        )

    attributes = ("path", "folder", "title", "heading", "start", "end")
    return Source(str(path), "documents", True, attributes, None, "dealt", units, lambda: documents_manifest(path))


def _table_source(path: Path, columns: dict[str, Any], limit: int | None, seed: int) -> Source:
    # The columns are settled here, so that a wrong name is an error before any work; rows without text are counted.
    columns["ignore"] = columns["ignore"] or ()
    table = read_table(path, **columns, on_empty="skip")

    def units(found: FoundFiles, progress: Progress) -> Iterator[Unit]:
        reading = read_table(path, **columns, on_empty="skip", progress=progress)
        return table_units(reading, limit=limit, seed=seed, found=found)

    query = table.columns.query
    return Source(
        name=str(path),
        kind="table",
        cuts=cuts(table),
        attributes=table.columns.attributes,
        query_column=query,
        sides="dealt" if table.columns.split else "hashed",
        _units=units,
        _manifest=lambda: table_manifest(path),
        _readings=tuple(table.readings),
    )


def _set_source(found: Found, path: Path, columns: dict[str, Any], limit: int | None) -> SetSource:
    known = ("attributes", "ignore") if found.format in ("beir", "mteb_retrieval") else ("ignore",)
    _refuse_columns(str(path), {name: value for name, value in columns.items() if name not in known})

    def units(_: FoundFiles, __: Progress) -> Iterator[Unit]:
        raise AssertionError("a set is written as a whole, by SetSource.write")

    return SetSource(
        name=str(path),
        kind="set",
        cuts=False,
        attributes=(),
        query_column=None,
        sides="dealt",
        _units=units,
        _manifest=lambda: set_manifest(found),
        set=found,
        options={"on_empty": "skip", **{name: value for name, value in columns.items() if name in known}},
        limit=limit,
    )


def _refuse_columns(name: str, columns: dict[str, Any]) -> None:
    if given := [key for key, value in columns.items() if value]:
        raise UsageError(f"{name} has no columns: --{given[0]} is for tables (csv, tsv, jsonl, parquet)")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _notes(found: FoundFiles) -> list[str]:
    """One line per reason: how many, and the first three by name."""
    lines = []
    for reason, entry in found.describe().items():
        names = list(entry["names"])[:3]  # type: ignore[call-overload]
        more = ", ..." if int(str(entry["count"])) > len(names) else ""
        lines.append(f"passed over, {reason}: {entry['count']:,} ({', '.join(names)}{more})")
    return lines
