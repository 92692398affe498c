"""Cut a dataset into train, dev and test so that no group and no text stands on two sides.

A group (page, file, customer, package) goes to one side as a whole. A text that stands in groups of several sides
stays on the training side and leaves the others: it is no longer theirs, is counted, and stays findable.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from vecsmith.data.dataset import Dataset
from vecsmith.errors import NotEnoughData, UsageError

__all__ = ["LEFT_OUT", "SHARES", "LeakReport", "assign_splits", "deal", "split_groups", "split_of", "without_leaks"]

SHARES: Mapping[str, float] = {"train": 0.8, "dev": 0.1, "test": 0.1}
MANY_GROUPS = 200  # from here on a hash meets the shares well enough
LEFT_OUT = "left_out"  # the split of what leaked: part of the dataset, of no side


def split_of(group: str, shares: Mapping[str, float] = SHARES, seed: int = 0) -> str:
    """The side of one group, by its hash: the same whatever other groups there are.

    shares    name -> share > 0; they sum to 1
    """
    _check_shares(shares)
    return _side(group, list(shares), np.cumsum(list(shares.values())), seed)


def split_groups(
    groups: Sequence[str] | Mapping[str, int],
    shares: Mapping[str, float] = SHARES,
    seed: int = 0,
    *,
    balanced: bool = False,
) -> dict[str, str]:
    """Side of each distinct group.

    groups      one per document (repeats count as size), each once, or a mapping group -> size
    balanced    False: by hash, stable when groups are added; the shares are met on average over many groups.
                True: by size, so that few and unequal groups meet the shares as well as they can, every side gets a
                group where there are enough, and an added group may move others
    raises      NotEnoughData: balanced, and fewer groups than sides
    """
    _check_shares(shares)
    sizes = Counter(groups)
    if balanced:
        return _by_size(sizes, shares, seed)
    names, bounds = list(shares), np.cumsum(list(shares.values()))
    return {group: _side(group, names, bounds, seed) for group in sizes}


def _side(group: str, names: list[str], bounds: np.ndarray, seed: int) -> str:
    place = int(np.searchsorted(bounds, _uniform(group, seed), side="right"))
    return names[min(place, len(names) - 1)]  # the shares may sum to a little less than 1


def _uniform(group: str, seed: int) -> float:
    """[0, 1) from a hash."""
    return xxhash.xxh3_64_intdigest(group.encode("utf-8", "surrogatepass"), seed=seed % 2**64) / 2**64


def _by_size(sizes: Counter[str], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Largest first, each to the side that lacks most; the last groups go to sides that are still empty."""
    if len(sizes) < len(shares):
        raise NotEnoughData(
            f"{len(sizes)} groups for {len(shares)} sides ({', '.join(shares)}); name another group column"
        )
    lacking = {name: share * sizes.total() for name, share in shares.items()}
    empty, result = set(shares), {}
    order = sorted(sizes, key=lambda group: (-sizes[group], _uniform(group, seed), group))
    for number, group in enumerate(order):
        sides = empty if len(order) - number == len(empty) else lacking
        side = max((name for name in shares if name in sides), key=lambda name: lacking[name])
        result[group] = side
        lacking[side] -= sizes[group]
        empty.discard(side)
    return result


def _check_shares(shares: Mapping[str, float]) -> None:
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise UsageError(f"shares are {dict(shares)}; each must be above 0, and all must sum to 1")
    if LEFT_OUT in shares:
        raise UsageError(f'"{LEFT_OUT}" is the name of what belongs to no side; call the share otherwise')


def assign_splits(
    dataset: Dataset, shares: Mapping[str, float] = SHARES, seed: int = 0, *, balanced: bool = False
) -> Dataset:
    """The dataset with new `split` columns: by group; a document without one is a group of its own, by its text.

    Records go by their group, else by the group of a document that carries their first positive, else by their query.
    Texts on two sides are not yet dealt with: `without_leaks`.
    """
    documents, records = dataset.documents, dataset.records
    keys = dataset.keys
    inputs = documents.inputs
    own = _names(keys(inputs))
    groups = [
        group if group is not None else own[row] for row, group in enumerate(documents.table["group"].to_pylist())
    ]
    group_of_input = dict(zip(inputs[::-1].tolist(), groups[::-1], strict=True))
    queries = records["query"].to_numpy()
    by_query = _names(keys(queries))
    record_groups = []
    rows = zip(records["group"].to_pylist(), records["positives"].to_pylist(), strict=True)
    for row, (group, positives) in enumerate(rows):
        if group is None:
            group = next((group_of_input[input] for input in positives if input in group_of_input), by_query[row])
        record_groups.append(group)
    sides = split_groups(groups + sorted(set(record_groups) - set(groups)), shares, seed, balanced=balanced)
    return dataset.with_splits(
        documents=[sides[group] for group in groups], records=[sides[group] for group in record_groups]
    )


def deal(dataset: Dataset) -> tuple[Dataset, "LeakReport"]:
    """Train, dev and test by `assign_splits` and `without_leaks`: by hash, or by size where groups are few.

    raises    NotEnoughData: fewer than three groups (a document without one is its own)
    """
    column = dataset.documents.table["group"] if len(dataset.documents) else dataset.records["group"]
    groups = len(column.drop_null().unique()) + column.null_count
    return without_leaks(assign_splits(dataset, balanced=groups < MANY_GROUPS))


def _names(keys: np.ndarray) -> list[str]:
    return [f"\0{key:016x}" for key in keys.view(np.uint64).tolist()]


@dataclass(frozen=True)
class LeakReport:
    """How many documents and records left each held-out side, since their text stands on an earlier side too."""

    documents: dict[str, int]
    records: dict[str, int]

    def __str__(self) -> str:
        parts = [
            f"{name} {self.documents[name]:,} documents and {self.records[name]:,} records"
            for name in self.documents
            if self.documents[name] or self.records[name]
        ]
        return f"texts that stand on an earlier side too leave: {'; '.join(parts) or 'none'}"


def without_leaks(
    dataset: Dataset, *, train: str = "train", held_out: Sequence[str] = ("dev", "test")
) -> tuple[Dataset, LeakReport]:
    """No text on two sides: what dev shares with train, and test with train or dev, leaves dev or test.

    A document leaves (its `split` becomes LEFT_OUT) when an earlier side has its text, as a document or in a record.
    A record leaves when an earlier side has its query or one of its positives. A document without a split (a corpus
    that all sides share) is on no side; but a positive that records of two sides share still takes the later one out.
    """
    sides = [train, *held_out]
    document_side = _side_numbers(dataset.documents.table["split"], sides)
    record_side = _side_numbers(dataset.records["split"], sides)
    inputs, queries = dataset.documents.inputs, dataset.records["query"].to_numpy()
    positive_owner, positives = _flat(dataset.records["positives"])
    negative_owner, negatives = _flat(dataset.records["negatives"])
    seen = np.zeros(dataset.inputs.num_rows, dtype=bool)
    leaked_documents, leaked_records = np.zeros(len(inputs), dtype=bool), np.zeros(len(queries), dtype=bool)
    for number in range(len(sides)):
        here, records = document_side == number, record_side == number
        if number:
            leaked_documents |= here & seen[inputs]
            by_positive = np.bincount(positive_owner, weights=seen[positives], minlength=len(queries)) > 0
            leaked_records |= records & (seen[queries] | by_positive)
        here, records = here & ~leaked_documents, records & ~leaked_records
        seen[inputs[here]] = True
        seen[queries[records]] = True
        seen[positives[records[positive_owner]]] = True
        seen[negatives[records[negative_owner]]] = True
    report = LeakReport(
        {name: int((leaked_documents & (document_side == number + 1)).sum()) for number, name in enumerate(held_out)},
        {name: int((leaked_records & (record_side == number + 1)).sum()) for number, name in enumerate(held_out)},
    )
    return (
        dataset.with_splits(
            documents=_left_out(dataset.documents.table["split"], leaked_documents),
            records=_left_out(dataset.records["split"], leaked_records),
        ),
        report,
    )


def _side_numbers(column: pa.ChunkedArray, sides: Sequence[str]) -> np.ndarray:
    """int64 [n]: number of the side, -1 for none."""
    found = pc.index_in(column, value_set=pa.array(list(sides), pa.string()))
    return found.fill_null(-1).to_numpy().astype(np.int64)


def _flat(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Members of all lists, and the row that each belongs to; int64 [m] both."""
    lengths = pc.list_value_length(column).to_numpy()
    return np.repeat(np.arange(len(column)), lengths), pc.list_flatten(column).to_numpy()


def _left_out(column: pa.ChunkedArray, leaked: np.ndarray) -> pa.ChunkedArray:
    return pc.if_else(pa.array(leaked), pa.scalar(LEFT_OUT), column)
