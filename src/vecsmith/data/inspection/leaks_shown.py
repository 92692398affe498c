"""The leaks of a dataset between its splits, with their texts."""

from dataclasses import dataclass

import numpy as np

from vecsmith.data.dataset import Dataset
from vecsmith.data.inspection.arrays import Arrays
from vecsmith.data.inspection.leaks import EXAMPLES, Leak, leak_between, pairs_of_sides
from vecsmith.data.inspection.shown import record_text, shorten
from vecsmith.data.inspection.texts import TextFacts
from vecsmith.data.split import LEFT_OUT

__all__ = ["LeakShown", "leaks_of"]


@dataclass(frozen=True)
class LeakShown:
    """A leak with its texts: `examples` stand on both sides, `near_examples` are (earlier text, later text)."""

    leak: Leak
    shared_corpus: bool
    examples: tuple[str, ...]
    near_examples: tuple[tuple[str, str], ...]


def leaks_of(dataset: Dataset, arrays: Arrays, facts: TextFacts) -> list[LeakShown]:
    """Every leak between two splits of different rank: texts or queries, documents, whole records, groups."""
    shown = []
    for earlier, later in pairs_of_sides([name for name in arrays.side_names if name != LEFT_OUT]):
        sides = arrays.side_names.index(earlier), arrays.side_names.index(later)
        for kind, records in (("text", ~arrays.is_kind("retrieval")), ("query", arrays.is_kind("retrieval"))):
            leak = _text_leak(kind, (earlier, later), sides, records, arrays, facts)
            shown += [_shown(dataset, leak)] if leak is not None else []
        leak = _document_leak((earlier, later), sides, arrays, facts)
        shown += [_shown(dataset, leak, shared_corpus=bool((arrays.document_sides < 0).any()))] if leak else []
        leak = _key_leak("record", (earlier, later), sides, arrays.record_keys, np.zeros(0, np.uint64), arrays)
        if leak is not None:
            texts = tuple(record_text(dataset, arrays, row) for row in leak.examples)
            shown.append(LeakShown(leak, False, texts, ()))
        leak = _key_leak("group", (earlier, later), sides, arrays.groups, arrays.document_groups, arrays)
        if leak is not None:
            shown.append(LeakShown(leak, False, (), ()))
    return shown


def _text_leak(
    kind: str, names: tuple[str, str], sides: tuple[int, int], records: np.ndarray, arrays: Arrays, facts: TextFacts
) -> Leak | None:
    """Queries of retrieval records, or all texts of the others."""
    with_answers = kind == "text"
    masks = []
    for side in sides:
        here = records & (arrays.sides == side)
        mask = np.zeros(len(arrays.keys), dtype=bool)
        mask[arrays.queries[here]] = True
        if with_answers:
            mask[arrays.positives[here[arrays.positive_owners]]] = True
        masks.append(mask)
    here = records & (arrays.sides == sides[1])
    owners, things = np.flatnonzero(here), arrays.queries[here]
    if with_answers:
        inside = here[arrays.positive_owners]
        owners = np.concatenate([owners, arrays.positive_owners[inside]])
        things = np.concatenate([things, arrays.positives[inside]])
    return leak_between(kind, names, masks[0], masks[1], facts.near, arrays.keys, owners, things, int(here.sum()))


def _document_leak(names: tuple[str, str], sides: tuple[int, int], arrays: Arrays, facts: TextFacts) -> Leak | None:
    """Answers of retrieval records, and documents that name a side."""
    asks = arrays.is_kind("retrieval")
    if not asks.any():
        return None
    masks = []
    for side in sides:
        mask = np.zeros(len(arrays.keys), dtype=bool)
        mask[arrays.positives[(asks & (arrays.sides == side))[arrays.positive_owners]]] = True
        mask[arrays.inputs[arrays.document_sides == side]] = True
        masks.append(mask)
    here = asks & (arrays.sides == sides[1])
    inside = here[arrays.positive_owners]
    owners, things = arrays.positive_owners[inside], arrays.positives[inside]
    return leak_between("document", names, masks[0], masks[1], facts.near, arrays.keys, owners, things, int(here.sum()))


def _key_leak(
    kind: str,
    names: tuple[str, str],
    sides: tuple[int, int],
    of_records: np.ndarray,
    of_documents: np.ndarray,
    arrays: Arrays,
) -> Leak | None:
    """Whole records, or groups, by their hashes; 0 is none."""
    per_side = [
        [
            values[on == side]
            for values, on in ((of_records, arrays.sides), (of_documents, arrays.document_sides))
            if len(values)
        ]
        for side in sides
    ]
    earlier, later = (np.unique(np.concatenate(values)) for values in per_side)
    shared = np.setdiff1d(np.intersect1d(earlier, later), [0])
    if not len(shared):
        return None
    here = np.flatnonzero((arrays.sides == sides[1]) & np.isin(of_records, shared))
    order = arrays.keys[arrays.queries[here]]
    examples = tuple(here[np.argsort(order, kind="stable")][:EXAMPLES].tolist())
    records = int((arrays.sides == sides[1]).sum())
    return Leak(kind, *names, len(shared), 0, len(here), 0, records, examples)


def _shown(dataset: Dataset, leak: Leak, *, shared_corpus: bool = False) -> LeakShown:
    return LeakShown(
        leak,
        shared_corpus,
        tuple(map(shorten, dataset.texts(leak.examples))),
        tuple((shorten(one), shorten(other)) for one, other in (dataset.texts(pair) for pair in leak.near_examples)),
    )
