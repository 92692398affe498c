"""Any records to the problem kinds that training has objectives for: retrieval, graded pairs, classes, triplets.

QZhou-Embedding maps all its training data to three problem types, each with a loss of its own (training data section;
the table of its first README). Texts are never touched: the new records name the same rows of `inputs`, so that only
numbers are in memory, whatever the size of the texts.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecsmith.data.columns import input_keys
from vecsmith.data.dataset import Dataset
from vecsmith.data.pairs.classes import class_records
from vecsmith.data.pairs.grades import Grading, as_number
from vecsmith.data.pairs.judged import Judged, judged_groups
from vecsmith.data.pairs.record_rows import RecordRows
from vecsmith.errors import DataError, NotEnoughData, UsageError
from vecsmith.progress import SILENT, Progress, Task

__all__ = ["TARGETS", "TRANSFORM_OPTIONS", "TransformReport", "transform", "transformed"]

TARGETS = ("retrieval", "scored", "class", "triplets")
TRANSFORM_OPTIONS = ("labels", "by", "positive_from", "negative_to", "negatives")
BLOCK = 4096
CARRIED = ("weight", "group", "instruction_query", "instruction_document", "split", "dataset", "id")

Origin = Callable[[int], tuple[str, int]]
Record = dict[str, Any]


@dataclass
class TransformReport:
    """What was read, written and left out.

    read      kind -> records
    grades    label -> pairs; with scores, "score" -> pairs
    dropped   reason -> how many pairs, records or negatives
    scale     (least, greatest) of labels that are numbers, where there are such
    """

    to: str
    read: Counter[str] = field(default_factory=Counter)
    written: int = 0
    positives: int = 0
    negatives: int = 0
    grades: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    scale: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and words, for JSON."""
        counters = {name: dict(sorted(getattr(self, name).items())) for name in ("read", "grades", "dropped")}
        plain = {"to": self.to, "written": self.written, "positives": self.positives, "negatives": self.negatives}
        return {**plain, **counters, "scale": list(self.scale) if self.scale else None}


def transform(
    dataset: Dataset,
    to: str,
    *,
    labels: Mapping[str, float | None] | None = None,
    score_range: tuple[float, float] | str | None = None,
    by: str | None = None,
    positive_from: float = 1.0,
    negative_to: float = 0.0,
    negatives: int = 1,
    seed: int = 0,
    origin: Origin | None = None,
    progress: Progress = SILENT,
) -> tuple[Dataset, TransformReport]:
    """The same texts and documents with other records; a function of the contents, not of the order of rows.

    to              retrieval   a query, its positives and negatives; judged pairs are gathered by query, and a query
                                without a positive is left out
                    scored      a record per pair with its grade 0..1: its score, else its label, else 1 for a positive
                                and 0 for a negative
                    class       a text, its class and `negatives` texts of other classes of the same dataset and split;
                                the sampler draws the positive
                    triplets    a pair (premise, entailed) with the premise's contradictions as negatives, of premises
                                that have both [ours: all contradictions, not one]
    labels          label -> grade 0..1, or None: left out. Before the words of `grades.WORDS`
    score_range     (low, high) of labels that are numbers, or "found": the least and greatest there are. Scores of a
                    dataset lie in 0..1 already, as its reader was told their scale
    by              "score" or "label": what grades a pair, where records have both; None: the score
    positive_from, negative_to    grades of positives and negatives in retrieval and triplets; pairs between them are
                    left out and counted. [ours] the ends, so that neutral pairs are neither
    negatives       of a class record, at most; fewer where the other classes have fewer texts
    seed            with the keys of texts, all that the drawing of negatives hangs on
    origin          record number -> (file, row) for messages; by default the dataset and the record
    returns         the dataset (in memory over the old inputs: `save` it), and the counts. Teacher scores are not kept
    raises          DataError with file and row: a label without a grade, or records that cannot become `to`;
                    NotEnoughData: nothing comes out; UsageError: an option out of range

    >>> from vecsmith.data.dataset import Dataset
    >>> with Dataset.build(name="tiny") as builder:
    ...     builder.add_record(query="a man sleeps", positives=["a man rests"], label="entailment", kind="pair")
    ...     builder.add_record(query="a man sleeps", positives=["a man runs"], label="contradiction", kind="pair")
    ...     data = builder.finish()
    >>> [record["scores"] for record in transform(data, "scored")[0].records.to_pylist()]
    [[1.0], [0.0]]
    >>> [(record["positives"], record["negatives"]) for record in transform(data, "triplets")[0].records.to_pylist()]
    [([1], [2])]
    """
    _check(to, by, positive_from, negative_to, negatives)
    report = TransformReport(to)
    report.read.update(dataset.records["kind"].to_pylist())
    if scored := dataset.records.num_rows - dataset.records["teacher_scores"].null_count:
        report.dropped["teacher scores, which the new records have no place for"] = scored
    grading = Grading(dict(labels or {}), _scale(dataset, score_range))
    report.scale = grading.scale
    rows = RecordRows()
    with progress.task(f"transforming {dataset.name}", total=dataset.records.num_rows, unit="records") as task:
        source = _Source(dataset, grading, by, origin or _own_origin(dataset), report, task)
        if to == "scored":
            _write_scored(source, rows)
        elif to == "class":
            _write_classes(source, rows, negatives, seed)
        else:
            _write_judged(source, rows, to == "triplets", positive_from, negative_to)
    report.written = rows.count
    if not rows.count:
        raise NotEnoughData(f"dataset {dataset.name}: no record of {to} comes out of {_reasons(report)}")
    return Dataset(dataset.inputs, dataset.documents.table, rows.finish(), name=dataset.name), report


def transformed(dataset: Dataset, to: str, options: Mapping[str, Any], *, seed: int = 0) -> Dataset:
    """As `transform`, by the options among `options` that are its own (`TRANSFORM_OPTIONS`); what a recipe calls."""
    own = {name: options[name] for name in TRANSFORM_OPTIONS if name in options}
    if unfit := [label for label in own.get("labels") or () if not isinstance(label, str)]:
        raise UsageError(f"label {unfit[0]!r} is no text; YAML reads it as {type(unfit[0]).__name__}: put it in quotes")
    return transform(dataset, to, seed=seed, **own)[0]


@dataclass
class _Source:
    """The records one by one, and what grades them."""

    dataset: Dataset
    grading: Grading
    by: str | None
    origin: Origin
    report: TransformReport
    task: Task

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        for start in range(0, self.dataset.records.num_rows, BLOCK):
            block = self.dataset.records.slice(start, BLOCK).to_pylist()
            yield from enumerate(block, start)
            self.task.advance(len(block))

    def error(self, number: int, message: str) -> DataError:
        file, row = self.origin(number)
        return DataError(message, file=file, row=row)

    def pairs(self, number: int, record: Record) -> list[tuple[int, float]]:
        """(row of inputs, grade 0..1) of a record's positives and negatives; none where its label is left out."""
        texts = [*record["positives"], *record["negatives"]]
        if not texts:
            raise self.error(number, "a text alone; a pair was expected. Texts with classes go --to class")
        if record["scores"] is not None and self.by != "label":
            self.report.grades["score"] += len(texts)
            return [(text, self._checked(number, score)) for text, score in zip(texts, record["scores"], strict=True)]
        if (record["label"] is not None or record["kind"] in ("pair", "scored")) and self.by != "score":
            return self._by_label(number, record)
        if record["kind"] != "retrieval":
            raise self.error(number, "the pair has no score; score it, or grade it by its label: by=label")
        self.report.grades["judged"] += len(texts)
        grades = self._judged(record)
        return [*zip(record["positives"], grades, strict=True), *((text, 0.0) for text in record["negatives"])]

    def _by_label(self, number: int, record: Record) -> list[tuple[int, float]]:
        file, row = self.origin(number)
        grade = self.grading.grade(record["label"], file=file, row=row)
        if grade is None:
            self.report.dropped[f'pairs of label "{record["label"] or ""}", as asked'] += 1
            return []
        self.report.grades[record["label"] or ""] += len(record["positives"])
        return [*((text, grade) for text in record["positives"]), *((text, 0.0) for text in record["negatives"])]

    def _judged(self, record: Record) -> list[float]:
        """What a judge gave the positives, over the greatest there is; 1 where none judged."""
        if not hasattr(self, "_greatest"):
            listed = self.dataset.records["grades"] if "grades" in self.dataset.records.column_names else pa.nulls(0)
            self._greatest = pc.max(pc.list_flatten(listed)).as_py() if listed.null_count < len(listed) else None
        grades = record.get("grades")
        if grades is None or not self._greatest:
            return [1.0] * len(record["positives"])
        return [grade / self._greatest for grade in grades]

    def _checked(self, number: int, score: float) -> float:
        if not 0 <= score <= 1:
            raise self.error(number, f"score {score}; scores lie from 0 to 1. Read the source again with its scale")
        return score


def _write_scored(source: _Source, rows: RecordRows) -> None:
    for number, record in source:
        _refuse_labels_alone(source, number, record, "scored")
        for text, grade in source.pairs(number, record):
            source.report.positives += 1
            carried = {name: record.get(name) for name in CARRIED}
            rows.add(query=record["query"], positives=[text], scores=[grade], kind="scored", **carried)


def _write_judged(source: _Source, rows: RecordRows, triplets: bool, positive_from: float, negative_to: float) -> None:
    """Records of retrieval or triplets: pairs gathered by query; a negative equal to a positive by key is removed."""
    keys = input_keys(source.dataset.inputs)

    def judged() -> Iterator[Judged]:
        for number, record in source:
            _refuse_labels_alone(source, number, record, source.report.to)
            if record["kind"] == "pair" and record["label"] is None and record["scores"] is None:
                graded = [
                    *((text, 1.0) for text in record["positives"]),
                    *((text, 0.0) for text in record["negatives"]),
                ]
                source.report.grades["pair"] += len(graded)
            else:
                graded = source.pairs(number, record)
            if record["kind"] == "retrieval" and record["scores"] is None:
                graded = [(text, 1.0 if grade > 0 else 0.0) for text, grade in graded]
            positives = [text for text, grade in graded if grade >= positive_from]
            negatives = [text for text, grade in graded if grade <= negative_to]
            between = len(graded) - len(positives) - len(negatives)
            source.report.dropped["pairs graded between positive and negative"] += between
            yield Judged(record, positives, negatives)

    for group in judged_groups(judged(), keys, source.report.dropped):
        carried = {name: group.first.get(name) for name in CARRIED}
        for positives in [[text] for text in group.positives] if triplets else [group.positives]:
            if triplets and not group.negatives:
                source.report.dropped["positives of queries without a negative"] += 1
                continue
            source.report.positives += len(positives)
            source.report.negatives += len(group.negatives)
            rows.add(
                query=group.first["query"],
                positives=positives,
                negatives=group.negatives,
                kind="pair" if triplets else "retrieval",
                **carried,
            )
    source.report.dropped = +source.report.dropped


def _write_classes(source: _Source, rows: RecordRows, negatives: int, seed: int) -> None:
    kept: list[Record] = []
    for number, record in source:
        if record["kind"] not in ("class", "plain") or record["label"] is None:
            what = "has no label" if record["kind"] in ("class", "plain") else f"is of kind {record['kind']}"
            raise source.error(
                number, f"the record {what}; a text and its class were expected. Name the label's column"
            )
        if record["label"] in source.grading.labels and source.grading.labels[record["label"]] is None:
            source.report.dropped[f'texts of label "{record["label"]}", as asked'] += 1
            continue
        source.report.grades[record["label"]] += 1
        kept.append({name: record.get(name) for name in ("query", "label", *CARRIED)})
    texts = np.array([record["query"] for record in kept], dtype=np.int64)
    strata = [(record["dataset"], record["split"]) for record in kept]
    drawn = class_records(
        texts, [record["label"] for record in kept], strata, input_keys(source.dataset.inputs), negatives, seed
    )
    for record, others in zip(kept, drawn, strict=True):
        source.report.negatives += len(others)
        if len(others) < negatives:
            source.report.dropped["negatives that the other classes of a split have not"] += negatives - len(others)
        rows.add(negatives=others, kind="class", **record)


def _refuse_labels_alone(source: _Source, number: int, record: Record, to: str) -> None:
    if record["kind"] in ("class", "plain"):
        way = (
            "go --to class"
            if record["label"] is not None
            else "get queries by `vecsmith data synthesise --step queries`"
        )
        raise source.error(number, f"a text alone, of kind {record['kind']}; {to} needs pairs. Such texts {way}")


def _scale(dataset: Dataset, score_range: tuple[float, float] | str | None) -> tuple[float, float] | None:
    """The declared scale of labels that are numbers, or the one there is."""
    if score_range is None or not isinstance(score_range, str):
        return score_range
    if score_range != "found":
        raise UsageError(f'score_range is "{score_range}"; it is (low, high) or "found"')
    found = [as_number(label) for label in pc.unique(dataset.records["label"]).drop_null().to_pylist()]
    numbers = [number for number in found if number is not None]
    if not numbers:
        return None
    if min(numbers) == max(numbers):
        raise NotEnoughData(
            f"dataset {dataset.name}: every label that is a number is {numbers[0]:g}; nothing is graded"
        )
    return min(numbers), max(numbers)


def _check(to: str, by: str | None, positive_from: float, negative_to: float, negatives: int) -> None:
    if to not in TARGETS:
        raise UsageError(f'"{to}" is nothing that records become; known: {", ".join(TARGETS)}')
    if by not in (None, "score", "label"):
        raise UsageError(f'by is "{by}"; it is score or label')
    if not 0 <= negative_to < positive_from <= 1:
        raise UsageError(
            f"negatives to {negative_to:g}, positives from {positive_from:g}: needed is 0 <= to < from <= 1"
        )
    if not 0 <= negatives <= 1000:
        raise UsageError(f"negatives is {negatives}; it is 0 to 1,000")


def _own_origin(dataset: Dataset) -> Origin:
    name = str(dataset.path) if dataset.path else dataset.name
    return lambda number: (name, number + 1)


def _reasons(report: TransformReport) -> str:
    read = ", ".join(f"{count:,} of kind {kind}" for kind, count in report.read.items()) or "no records"
    return f"{read} ({'; '.join(f'{count:,} {reason}' for reason, count in report.dropped.items()) or 'none left out'})"
