"""A dataset looked at from all sides: counts, lengths, copies, classes, attributes, scripts, leaks, odd characters.

    inspection = inspect_dataset(vs.read("faq.csv"))
    for finding in findings_of(inspection): print(finding.words, finding.mend)

Texts are streamed and never held; of each text some bytes are kept (`texts.py`), of each record some numbers
(`arrays.py`). Nothing depends on the order of rows, examples included: those with the lowest content keys are shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vecsmith.data.dataset import Dataset
from vecsmith.data.inspection.arrays import Arrays, text_batches
from vecsmith.data.inspection.labels import Labels, labels_of
from vecsmith.data.inspection.leaks import side_rank
from vecsmith.data.inspection.leaks_shown import LeakShown, leaks_of
from vecsmith.data.inspection.lengths import Lengths, Quantiles, lengths_of, quantiles, sample_rows
from vecsmith.data.inspection.openings import Opening, shared_ends
from vecsmith.data.inspection.repeats import contradicting, groups_of_equal, repeats_of
from vecsmith.data.inspection.shown import examples_of, record_text, shorten
from vecsmith.data.inspection.texts import SIGNS, TextFacts, text_facts
from vecsmith.data.inspection.values import Values, values_of
from vecsmith.data.layout import KINDS
from vecsmith.data.scripts import CLASSES, SCRIPTS
from vecsmith.progress import SILENT, Progress

__all__ = ["Copies", "Inspection", "Scripts", "Sign", "inspect_dataset"]

SHORT, LONG = 3, 100_000  # characters
RARE = 0.01  # share of texts that are neither queries nor documents from which their lengths are shown


@dataclass(frozen=True)
class Copies:
    """What repeats.

    documents, records    how many are copies of another one; repeated_documents: texts that stand in several documents
    near        distinct texts that differ from another only in case or white space; near_examples: groups of such
    contradicting    records of one text, or pair, and different labels or scores: how many such texts or pairs
    examples    (text, how often) of documents; record_examples likewise of records
    """

    documents: int
    repeated_documents: int
    examples: tuple[tuple[str, int], ...]
    records: int
    record_examples: tuple[tuple[str, int], ...]
    near: int
    near_examples: tuple[tuple[str, ...], ...]
    contradicting: int
    contradicting_examples: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Scripts:
    """letters: script -> share of all letters, the largest first; texts: script -> texts most of whose letters it has;
    without_letters, mixed: texts; mixed_examples"""

    letters: dict[str, float]
    texts: dict[str, int]
    without_letters: int
    mixed: int
    mixed_examples: tuple[str, ...]


@dataclass(frozen=True)
class Sign:
    """An odd character or other sign of a fault: in how many texts, with examples."""

    name: str
    texts: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """What `inspect_dataset` found; `to_json` for programs.

    counts      inputs, documents, records, queries, positives, negatives, judgements, grades (see `_counts`)
    splits      side -> {"documents", "records"}; "" for what names none
    lengths     "queries", "documents" or "texts" -> Lengths
    """

    kinds: dict[str, int]
    counts: dict[str, Any]
    splits: dict[str, dict[str, int]]
    lengths: dict[str, Lengths]
    short: int
    long: int
    copies: Copies
    labels: Labels | None
    scores: Quantiles | None
    attributes: dict[str, Values]
    groups: int
    scripts: Scripts
    signs: tuple[Sign, ...]
    openings: tuple[Opening, ...]
    leaks: tuple[LeakShown, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, with the names of the fields."""
        content = asdict(self)
        for shown in content["leaks"]:  # the row numbers of its examples follow the order of rows
            leak = shown.pop("leak")
            shown.update({name: value for name, value in leak.items() if name not in ("examples", "near_examples")})
        return _json(content)


def inspect_dataset(
    dataset: Dataset,
    *,
    count_tokens: Callable[[Sequence[str]], np.ndarray] | None = None,
    progress: Progress = SILENT,
) -> Inspection:
    """Look at a dataset.

    count_tokens    texts -> int64 [n]: tokens of each, for the token lengths; None leaves them out
    """
    arrays = Arrays.of(dataset)
    with progress.task("looking at texts", total=len(arrays.keys), unit="texts") as task:

        def told():  # type: ignore[no-untyped-def]
            for batch in text_batches(dataset):
                yield batch
                task.advance(len(batch))

        facts = text_facts(told())
    table = dataset.documents.table
    names = list(dataset.documents.attributes)
    attributes = {}
    with progress.task("looking at columns", total=len(names), unit="columns") as task:
        for name in names:
            attributes[name] = values_of(table[name])
            task.advance()
    count = None if count_tokens is None else (lambda rows: np.asarray(count_tokens(dataset.texts(rows))))
    lengths = {
        part: found
        for part, rows in _parts(arrays).items()
        if (found := lengths_of(rows, facts.characters, arrays.keys, count)) is not None
    }
    scored = arrays.grades[~np.isnan(arrays.grades)]
    return Inspection(
        kinds={
            kind: int(n) for kind, n in zip(KINDS, np.bincount(arrays.kinds, minlength=len(KINDS)), strict=True) if n
        },
        counts=_counts(arrays),
        splits=_splits(arrays),
        lengths=lengths,
        short=int((facts.characters < SHORT).sum()),
        long=int((facts.characters > LONG).sum()),
        copies=_copies(dataset, arrays, facts),
        labels=labels_of(arrays.labels, arrays.label_names, arrays.sides, arrays.side_names, _train(arrays.side_names)),
        scores=quantiles(scored) if len(scored) else None,
        attributes=attributes,
        groups=len(np.setdiff1d(np.concatenate([arrays.document_groups, arrays.groups]), [0])),
        scripts=_scripts(dataset, arrays, facts),
        signs=_signs(dataset, arrays, facts),
        openings=tuple(shared_ends(dataset.texts(sample_rows(np.arange(len(facts)), arrays.keys)))),
        leaks=tuple(leaks_of(dataset, arrays, facts)),
    )


def _parts(arrays: Arrays) -> dict[str, np.ndarray]:
    """Rows of the inputs whose lengths are told apart."""
    if not arrays.is_query.any():
        return {"texts": np.arange(len(arrays.keys))}
    rest = ~(arrays.is_query | arrays.is_answer)
    parts = {"queries": arrays.is_query, "documents": arrays.is_answer, "others": rest}
    return {name: np.flatnonzero(mask) for name, mask in parts.items() if mask.sum() >= RARE * len(arrays.keys)}


def _counts(arrays: Arrays) -> dict[str, Any]:
    asks = arrays.is_kind("retrieval")
    positives = asks[arrays.positive_owners]
    judged = np.unique(
        np.stack([arrays.queries[arrays.positive_owners[positives]], arrays.positives[positives]]), axis=1
    ).shape[1]
    per_record = np.bincount(arrays.positive_owners, minlength=len(arrays.queries))
    negatives = np.bincount(arrays.negative_owners, minlength=len(arrays.queries))
    grades = np.unique(arrays.grades[positives & ~np.isnan(arrays.grades)])
    false = np.isin(_pair_keys(arrays, "negatives"), _pair_keys(arrays, "positives"))
    return {
        "inputs": len(arrays.keys),
        "documents": len(arrays.inputs),
        "records": len(arrays.queries),
        "queries": int(arrays.is_query.sum()),
        "judgements": int(judged),
        "grades": [round(float(grade), 6) for grade in grades[:20]],
        "positives": len(arrays.positives),
        "most_positives": int(per_record.max(initial=0)),
        "negatives": len(arrays.negatives),
        "most_negatives": int(negatives.max(initial=0)),
        "negatives_that_are_positives": int(false.sum()),
    }


def _pair_keys(arrays: Arrays, side: str) -> np.ndarray:
    """uint64 [p]: one number for (query, text)."""
    owners, texts = getattr(arrays, f"{side[:-1]}_owners"), getattr(arrays, side)
    with np.errstate(over="ignore"):
        return arrays.queries[owners].astype(np.uint64) * np.uint64(len(arrays.keys)) + texts.astype(np.uint64)


def _splits(arrays: Arrays) -> dict[str, dict[str, int]]:
    result = {
        name: {
            "documents": int((arrays.document_sides == place).sum()),
            "records": int((arrays.sides == place).sum()),
        }
        for place, name in enumerate(arrays.side_names)
    }
    none = {"documents": int((arrays.document_sides < 0).sum()), "records": int((arrays.sides < 0).sum())}
    return {**result, **({"": none} if any(none.values()) else {})}


def _train(names: Sequence[str]) -> str | None:
    return next((name for name in names if name == "train"), next((n for n in names if side_rank(n) == 0), None))


def _copies(dataset: Dataset, arrays: Arrays, facts: TextFacts) -> Copies:
    keys = arrays.keys
    documents = repeats_of(arrays.inputs, keys[arrays.inputs])
    asks = np.flatnonzero(
        ~arrays.is_kind("retrieval") | (np.bincount(arrays.positive_owners, minlength=len(arrays.queries)) > 0)
    )
    order = keys[arrays.queries]
    records = repeats_of(arrays.record_keys[asks], order[asks])
    near = repeats_of(facts.near, keys)
    answers = np.where(arrays.labels >= 0, arrays.labels, np.nan_to_num(arrays.scores * 1e6, nan=-1).astype(np.int64))
    judged = np.flatnonzero((arrays.labels >= 0) | ~np.isnan(arrays.scores))
    against, pairs = contradicting(arrays.record_keys[judged], answers[judged], order[judged])
    return Copies(
        documents.extra,
        documents.distinct_repeated,
        tuple((shorten(dataset.text(int(arrays.inputs[row]))), times) for row, times in documents.examples),
        records.extra,
        tuple((record_text(dataset, arrays, int(asks[row])), times) for row, times in records.examples),
        near.extra + near.distinct_repeated,
        tuple(tuple(map(shorten, dataset.texts(group))) for group in groups_of_equal(facts.near, keys)),
        against,
        tuple(
            (
                record_text(dataset, arrays, int(judged[one])),
                _answer(arrays, int(judged[one])),
                _answer(arrays, int(judged[other])),
            )
            for one, other in pairs
        ),
    )


def _answer(arrays: Arrays, row: int) -> str:
    if arrays.labels[row] >= 0:
        return arrays.label_names[arrays.labels[row]]
    return f"{arrays.scores[row]:.3g}"


def _scripts(dataset: Dataset, arrays: Arrays, facts: TextFacts) -> Scripts:
    letters = facts.letters[1 : 1 + len(SCRIPTS)]
    total = max(1, int(letters.sum()))
    texts = np.bincount(facts.script, minlength=len(CLASSES))
    order = sorted(np.flatnonzero(letters).tolist(), key=lambda place: (-letters[place], place))
    return Scripts(
        {SCRIPTS[place]: float(letters[place] / total) for place in order},
        {SCRIPTS[place]: int(texts[place + 1]) for place in order if texts[place + 1]},
        int(texts[0]),
        int(facts.is_mixed.sum()),
        examples_of(dataset, arrays, facts.is_mixed),
    )


def _signs(dataset: Dataset, arrays: Arrays, facts: TextFacts) -> tuple[Sign, ...]:
    found = []
    for place, name in enumerate(SIGNS):
        has = (facts.signs >> np.uint16(place)) & 1 > 0
        if has.any():
            found.append(Sign(name, int(has.sum()), examples_of(dataset, arrays, has)))
    return tuple(found)


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_json(member) for member in value]
    return value.item() if isinstance(value, np.generic) else value
