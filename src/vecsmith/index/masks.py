"""A filter over mapped columns: which rows are true, and which are false; neither means unknown.

Kleene's logic needs no third array: `not` swaps the two questions, `and` is true where all are true and false where
one is false, and every test of a null is neither.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith.index.columns import Dictionary
from vecsmith.index.intervals import Interval, intervals_of, merge
from vecsmith.index.where_tree import (
    And,
    Between,
    Compare,
    Distinct,
    Everything,
    HasAll,
    HasAny,
    Ids,
    In,
    IsNull,
    Leaf,
    Not,
    Nothing,
    NotTrue,
    Or,
    StartsWith,
    Tree,
)

__all__ = ["Columns", "mask_of"]

Mask = NDArray[np.bool_]


class Columns(Protocol):
    """What a mask is computed from."""

    count: int

    def kind(self, field: str) -> str: ...
    def arrays(self, field: str) -> dict[str, NDArray[Any]]: ...
    def dictionary(self, field: str) -> Dictionary: ...
    def rows_of(self, ids: Sequence[str]) -> list[int]: ...


def mask_of(tree: Tree, columns: Columns) -> Mask:
    """bool [n]: rows where a checked tree is true. The array is the caller's own."""
    if isinstance(tree, And):
        return reduce(np.logical_and, (mask_of(x, columns) for x in tree.xs), _all(columns, True))
    if isinstance(tree, Or):
        return reduce(np.logical_or, (mask_of(x, columns) for x in tree.xs), _all(columns, False))
    if isinstance(tree, Not):
        return _false_of(tree.x, columns)
    if isinstance(tree, NotTrue):
        return ~mask_of(tree.x, columns)
    if isinstance(tree, (Everything, Nothing)):
        return _all(columns, isinstance(tree, Everything))
    if isinstance(tree, Ids):
        return _at(columns, columns.rows_of(tree.ids))
    assert isinstance(tree, Leaf)
    return _leaf(tree, columns)


def _false_of(tree: Tree, columns: Columns) -> Mask:
    """bool [n]: rows where a tree is false, which is not the same as not true."""
    if isinstance(tree, And):
        return reduce(np.logical_or, (_false_of(x, columns) for x in tree.xs), _all(columns, False))
    if isinstance(tree, Or):
        return reduce(np.logical_and, (_false_of(x, columns) for x in tree.xs), _all(columns, True))
    if isinstance(tree, Not):
        return mask_of(tree.x, columns)
    if isinstance(tree, Leaf) and not isinstance(tree, (IsNull, Distinct)):
        return _valid(tree.field, columns) & ~_leaf(tree, columns)
    return ~mask_of(tree, columns)  # the rest is never unknown


def _leaf(leaf: Leaf, columns: Columns) -> Mask:
    """Rows where one test is true."""
    if isinstance(leaf, IsNull):
        return ~_valid(leaf.field, columns)
    kind, arrays = columns.kind(leaf.field), columns.arrays(leaf.field)
    if not arrays:  # declared after the segment was written: all null
        return _all(columns, isinstance(leaf, Distinct) and not leaf.negated)
    if isinstance(leaf, (HasAny, HasAll)):
        return _set_leaf(leaf, columns)
    if kind == "string":
        pairs, outside = _string_intervals(leaf, columns.dictionary(leaf.field))
        found = _inside(arrays["codes"], pairs)
    elif kind == "bool":
        values = leaf.values if isinstance(leaf, In) else (leaf.value,)  # type: ignore[attr-defined]
        pairs = merge([(int(code), int(code)) for code in map(bool, values)])
        outside = (isinstance(leaf, Compare) and leaf.op == "!=") or (isinstance(leaf, Distinct) and not leaf.negated)
        found = _inside(arrays["codes"], pairs)
    else:
        pairs, outside = intervals_of(leaf, kind)
        found = _inside(arrays["values"], pairs)
        if "valid" in arrays:
            found &= arrays["valid"]
    if not outside:
        return found
    return ~found if isinstance(leaf, Distinct) else ~found & _valid(leaf.field, columns)


def _string_intervals(leaf: Leaf, dictionary: Dictionary) -> tuple[list[Interval], bool]:
    """Ranges of codes where a test of a string holds; with True: everywhere else instead."""
    if isinstance(leaf, StartsWith):
        start, stop = dictionary.prefix_range(leaf.prefix)
        return [(start, stop - 1)], False
    if isinstance(leaf, In):
        return [(code, code) for code in sorted(set(dictionary.find_all([str(value) for value in leaf.values])))], False
    if isinstance(leaf, Between):
        return [(dictionary.below(str(leaf.low)), _up_to(dictionary, str(leaf.high)))], False
    assert isinstance(leaf, (Compare, Distinct))
    value, last = str(leaf.value), len(dictionary) - 1
    if isinstance(leaf, Distinct) or leaf.op in ("=", "!="):
        code = dictionary.find(value)
        outside = not leaf.negated if isinstance(leaf, Distinct) else leaf.op == "!="
        return ([(code, code)] if code >= 0 else []), outside
    if leaf.op in ("<", "<="):
        return [(0, dictionary.below(value) - 1 if leaf.op == "<" else _up_to(dictionary, value))], False
    return [(dictionary.below(value) if leaf.op == ">=" else _up_to(dictionary, value) + 1, last)], False


def _up_to(dictionary: Dictionary, text: str) -> int:
    """The last code whose text is not greater."""
    below = dictionary.below(text)
    return below if dictionary.find(text) >= 0 else below - 1


def _set_leaf(leaf: HasAny | HasAll, columns: Columns) -> Mask:
    """Rows by the inverted list of each value."""
    arrays, dictionary = columns.arrays(leaf.field), columns.dictionary(leaf.field)
    values = sorted(set(leaf.values))
    codes = dictionary.find_all(values)
    lists = [arrays["posting"][arrays["posting_starts"][code] : arrays["posting_starts"][code + 1]] for code in codes]
    if isinstance(leaf, HasAny):
        return _at(columns, np.concatenate(lists) if lists else [])
    if not values:
        return _valid(leaf.field, columns)
    if len(codes) < len(values):
        return _all(columns, False)
    hits = np.bincount(np.concatenate(lists), minlength=columns.count)  # a row stands once in each list
    return hits == len(values)


def _inside(values: NDArray[Any], intervals: Sequence[Interval]) -> Mask:
    """Which values lie in one of the disjoint, sorted intervals."""
    intervals = [pair for pair in intervals if pair[0] <= pair[1]]
    if len(intervals) <= 4:
        found = np.zeros(len(values), dtype=np.bool_)
        for low, high in intervals:
            found |= _between(values, low, high)
        return found
    dtype = np.float64 if values.dtype.kind == "f" else np.int64
    lows = np.array([low for low, _ in intervals], dtype=dtype)
    highs = np.array([high for _, high in intervals], dtype=dtype)
    if values.dtype.kind == "i" and (span := int(highs[-1]) - int(lows[0]) + 1) <= 4 * len(values) + 65_536:
        return _by_table(values, lows, highs, span)
    slot = np.searchsorted(lows, values, side="right") - 1
    return (slot >= 0) & (values <= highs[slot])


def _by_table(values: NDArray[Any], lows: NDArray[Any], highs: NDArray[Any], span: int) -> Mask:
    """`_inside` by a table over the span of the intervals: one look-up a row instead of a bisection."""
    steps = np.zeros(span + 1, dtype=np.int8)
    steps[lows - lows[0]] += 1  # the intervals are disjoint, so each place is named once
    steps[highs - lows[0] + 1] -= 1
    table = np.cumsum(steps[:-1], dtype=np.int8).view(np.bool_)
    found = _between(values, int(lows[0]), int(highs[-1]))
    found[found] = table[values[found].astype(np.int64) - lows[0]]
    return found


def _between(values: NDArray[Any], low: int | float, high: int | float) -> Mask:
    """One comparison where the other end is open: a column is read once, not twice."""
    if low == high:
        return values == low
    least, most = _ends(values.dtype)
    if low <= least:
        return values <= high if high < most else np.ones(len(values), dtype=np.bool_)
    return values >= low if high >= most else (values >= low) & (values <= high)


def _ends(dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.kind == "f":
        return -np.inf, np.inf
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _valid(field: str, columns: Columns) -> Mask:
    """Rows where a field is not null."""
    arrays = columns.arrays(field)
    if not arrays:
        return _all(columns, False)
    if "valid" in arrays:
        return arrays["valid"].copy()
    return arrays["codes"] >= 0 if "codes" in arrays else _all(columns, True)


def _all(columns: Columns, value: bool) -> Mask:
    return np.full(columns.count, value, dtype=np.bool_)


def _at(columns: Columns, rows: Sequence[int] | NDArray[Any]) -> Mask:
    mask = _all(columns, False)
    mask[np.asarray(rows, dtype=np.int64)] = True
    return mask
