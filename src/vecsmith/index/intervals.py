"""Literals as closed intervals of stored numbers, so that every ordered test is one comparison of an array.

Stored are int64 (int; timestamp in microseconds since 1970 UTC) and float64. A literal that the type cannot hold
becomes the interval that gives the exact answer: `year > 2018.5` is [2019, max], `year = 1.5` is none at all.
"""

import datetime as dt
import math
from fractions import Fraction

from vecsmith.index.where_tree import Between, Compare, Distinct, In, Leaf, Value

__all__ = ["Interval", "intervals_of", "merge", "microseconds", "time_of"]

Interval = tuple[int, int] | tuple[float, float]
"""(low, high), both ends in."""

INT64 = (-(2**63), 2**63 - 1)
FLOAT64 = (-math.inf, math.inf)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_DAY = 86_400_000_000


def microseconds(time: dt.datetime) -> int:
    """Microseconds since 1970 UTC, exact."""
    return (time - _EPOCH) // _MICROSECOND


def time_of(value: int) -> dt.datetime:
    """The inverse of `microseconds`."""
    return _EPOCH + dt.timedelta(microseconds=value)


def intervals_of(leaf: Leaf, kind: str) -> tuple[list[Interval], bool]:
    """Where an ordered test of an int, float or timestamp field holds; with True: everywhere else instead.

    kind   "int", "float" or "timestamp"
    >>> intervals_of(Compare("year", ">", 2018.5), "int")
    ([(2019, 9223372036854775807)], False)
    """
    if isinstance(leaf, Compare) and leaf.op == "!=":
        return _matching("=", leaf.value, kind), True
    if isinstance(leaf, Compare):
        return _matching(leaf.op, leaf.value, kind), False
    if isinstance(leaf, Distinct):
        return _matching("=", leaf.value, kind), not leaf.negated
    if isinstance(leaf, Between):
        lows, highs = _matching(">=", leaf.low, kind), _matching("<=", leaf.high, kind)
        both = [(max(a[0], b[0]), min(a[1], b[1])) for a in lows for b in highs]
        return [pair for pair in both if pair[0] <= pair[1]], False
    assert isinstance(leaf, In)
    return merge([pair for value in leaf.values for pair in _matching("=", value, kind)]), False


def merge(intervals: list[Interval]) -> list[Interval]:
    """Sorted, without overlaps."""
    merged: list[Interval] = []
    for low, high in sorted(intervals):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def _matching(op: str, value: Value, kind: str) -> list[Interval]:
    """The interval of `x op value`, or none."""
    if kind == "float":
        return _float_matching(op, value)
    least, most = INT64
    below, first, last, above = _int_ends(value)
    low = {"=": first, ">=": first, ">": above}.get(op, least)
    high = {"=": last, "<=": last, "<": below}.get(op, most)
    low, high = max(low, least), min(high, most)
    return [(low, high)] if low <= high else []


def _int_ends(value: Value) -> tuple[int, int, int, int]:
    """The largest integer below a value, the first and last that equal it, the smallest above it."""
    if isinstance(value, dt.datetime):
        exact = microseconds(value)
        return exact - 1, exact, exact, exact + 1
    if isinstance(value, dt.date):
        start = (value.toordinal() - _EPOCH.toordinal()) * _DAY
        return start - 1, start, start + _DAY - 1, start + _DAY
    if isinstance(value, float) and math.isinf(value):
        beyond = INT64[1] + 2 if value > 0 else INT64[0] - 2
        return beyond - 1, beyond, beyond, beyond + 1
    number = Fraction(value)
    floor = math.floor(number)
    if number == floor:
        return floor - 1, floor, floor, floor + 1
    # Nothing equals it: `>=` begins at the next integer, `<=` ends at the one below, and first > last for `=`.
    return floor, floor + 1, floor, floor + 1


def _float_matching(op: str, value: Value) -> list[Interval]:
    try:
        near = float(value)  # type: ignore[arg-type]
    except OverflowError:
        near = math.inf if value > 0 else -math.inf  # type: ignore[operator]
    if near == value:  # Python compares int and float exactly
        below, first, last, above = math.nextafter(near, -math.inf), near, near, math.nextafter(near, math.inf)
    elif near > value:  # type: ignore[operator]
        below = last = math.nextafter(near, -math.inf)
        first = above = near
    else:
        below = last = near
        first = above = math.nextafter(near, math.inf)
    if (op == "<" and first == -math.inf) or (op == ">" and last == math.inf):
        return []  # nothing lies beyond infinity, and nextafter stays there
    low = {"=": first, ">=": first, ">": above}.get(op, -math.inf)
    high = {"=": last, "<=": last, "<": below}.get(op, math.inf)
    return [(low, high)] if low <= high else []
