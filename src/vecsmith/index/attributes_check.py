"""Do the stored arrays of a segment's attributes agree with each other? What `verify --deep` asks."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.index.attributes import Attributes

__all__ = ["contradictions"]

Arrays = Mapping[str, NDArray[Any]]


def contradictions(attributes: Attributes) -> list[str]:
    """Words for every field whose arrays contradict each other; empty where all is well.

    Codes lie within their dictionary, dictionaries are sorted and distinct, the inverted lists of a set equal a scan of
    its rows, and every id leads to its own row. Hashes say that bytes are as they were written; this says that what was
    written is right.
    """
    found = []
    for name, kind in attributes.schema.pairs:
        arrays = attributes.arrays(name)
        if arrays:
            found += [f'field "{name}": {words}' for words in _of_field(kind, arrays, attributes.count)]
    ids = attributes.arrays("_id")
    found += [f"ids: {words}" for words in _of_field("string", ids, attributes.count)]
    if not found and not np.array_equal(ids["row_of"], np.argsort(ids["codes"], kind="stable")):
        found.append("ids: the row of an id holds another id")
    return found


def _of_field(kind: str, arrays: Arrays, count: int) -> list[str]:
    column = arrays.get("values", arrays.get("codes", arrays.get("starts")))
    assert column is not None
    if len(column) != count + ("starts" in arrays):
        return [f"{len(column):,} values for {count:,} rows"]
    if kind == "bool":
        return [] if not count or (arrays["codes"].min() >= -1 and arrays["codes"].max() <= 1) else ["codes beyond 1"]
    if kind not in ("string", "set"):
        return []
    if not _is_sorted(arrays):
        return ["its dictionary is not sorted"]
    size = len(arrays["ends"]) - 1
    codes, least = (arrays["codes"], -1) if kind == "string" else (arrays["members"], 0)
    if len(codes) and not (codes.min() >= least and codes.max() < size):
        return ["codes lie outside its dictionary"]
    return _of_lists(arrays, count, size) if kind == "set" else []


def _of_lists(arrays: Arrays, count: int, size: int) -> list[str]:
    """The inverted lists against a scan of the rows."""
    starts, members = arrays["starts"], arrays["members"]
    if starts[0] != 0 or starts[-1] != len(members) or (np.diff(starts) < 0).any():
        return ["its rows do not cover its members"]
    rows = np.repeat(np.arange(count), np.diff(starts))
    order = np.lexsort((rows, members))
    bounds = np.searchsorted(members[order], np.arange(size + 1))
    if not np.array_equal(rows[order], arrays["posting"]) or not np.array_equal(bounds, arrays["posting_starts"]):
        return ["its inverted lists differ from its rows"]
    return []


def _is_sorted(arrays: Arrays) -> bool:
    data, ends = arrays["blob"].tobytes(), arrays["ends"].tolist()
    if ends[0] != 0 or ends[-1] != len(data):
        return False
    texts = [data[start:stop] for start, stop in pairwise(ends)]
    return all(first < second for first, second in pairwise(texts))
