"""A filter as a tree of frozen values: what every front end makes and every evaluator reads.

Nulls are three-valued: a test of a null field is unknown, `And`, `Or`, `Not` follow Kleene, and a row passes only
where the whole is true. Nodes compare by structure, can be dict keys, and combine with `&`, `|`, `~`.
"""

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass

from vecsmith.errors import WhereError
from vecsmith.index.values import to_utc

__all__ = [
    "COMPARISONS",
    "And",
    "Between",
    "Compare",
    "Distinct",
    "Everything",
    "HasAll",
    "HasAny",
    "Ids",
    "In",
    "IsNull",
    "Leaf",
    "Not",
    "NotTrue",
    "Nothing",
    "Or",
    "StartsWith",
    "Tree",
    "Value",
    "check_limits",
    "literal",
    "walk",
]

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
MAX_NODES = 200
MAX_DEPTH = 50
MAX_VALUES = 100_000

Value = str | int | float | bool | dt.datetime | dt.date
"""A literal: a datetime is in UTC; a date against a timestamp is that whole day, [00:00, next 00:00)."""


class Tree:
    """What all nodes share: the operators that combine them."""

    __slots__ = ()

    def __and__(self, other: "Tree") -> "Tree":
        return And((*_parts(self, And), *_parts(_as_node(other, "&"), And)))

    def __or__(self, other: "Tree") -> "Tree":
        return Or((*_parts(self, Or), *_parts(_as_node(other, "|"), Or)))

    def __invert__(self) -> "Tree":
        return Not(self)

    def __bool__(self) -> bool:
        raise TypeError(
            "a filter has no truth of its own; combine filters with & | ~ and put each in parentheses: "
            '(field("year") >= 2019) & (field("year") < 2022). `and`, `or`, `not` and chained comparisons '
            "cannot be used"
        )


def _as_node(other: object, operator: str) -> Tree:
    if isinstance(other, Tree):
        return other
    as_condition = getattr(other, "as_condition", None)
    if as_condition is not None:
        return as_condition()
    raise TypeError(
        f"{operator} takes two filters, not {type(other).__name__}; {operator} binds tighter than ==, so put each "
        'in parentheses: (field("a") == 1) & (field("b") == 2)'
    )


def _parts(node: Tree, kind: "type[And] | type[Or]") -> tuple[Tree, ...]:
    return node.xs if isinstance(node, kind) else (node,)


@dataclass(frozen=True, slots=True)
class And(Tree):
    """True where all are true, false where one is false; of none: true."""

    xs: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Or(Tree):
    """True where one is true, false where all are false; of none: false."""

    xs: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Not(Tree):
    """True where x is false; unknown stays unknown."""

    x: Tree


@dataclass(frozen=True, slots=True)
class NotTrue(Tree):
    """True where x is false or unknown; never unknown."""

    x: Tree


@dataclass(frozen=True, slots=True)
class Leaf(Tree):
    """A test of one field."""

    field: str


@dataclass(frozen=True, slots=True)
class Compare(Leaf):
    """field op value, op one of `COMPARISONS`."""

    op: str
    value: Value


@dataclass(frozen=True, slots=True)
class Distinct(Leaf):
    """`is distinct from`: true for other values and for null; negated: true for the value only. Never unknown."""

    value: Value
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Between(Leaf):
    """low <= field <= high."""

    low: Value
    high: Value


@dataclass(frozen=True, slots=True)
class In(Leaf):
    """field is one of the values; of no values: false, for a null field unknown."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class IsNull(Leaf):
    """Never unknown."""


@dataclass(frozen=True, slots=True)
class StartsWith(Leaf):
    """A string field opens with the prefix, code point by code point."""

    prefix: str


@dataclass(frozen=True, slots=True)
class HasAny(Leaf):
    """A set field holds at least one of the values; of no values: false."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HasAll(Leaf):
    """A set field holds every one of the values; of no values: true."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ids(Tree):
    """The document's id is one of these."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Everything(Tree):
    """Always true."""


@dataclass(frozen=True, slots=True)
class Nothing(Tree):
    """Always false."""


def literal(value: object, *, field: str = "", column: int | None = None) -> Value:
    """A Python value as a literal of a tree: numpy scalars to Python's, times to UTC.

    raises   WhereError: null, NaN, a time without an offset, broken unicode, or a type that no field has
    """
    shown = f'"{field}": ' if field else ""
    if value is None:
        raise WhereError(f"{shown}nothing equals null; use `is null` (in Python: .is_null())", column=column)
    if not isinstance(value, (str, int, float, dt.date)) and hasattr(value, "item") and hasattr(value, "dtype"):
        value = value.item() if getattr(value, "shape", None) == () else value
    if isinstance(value, str):
        return _checked_text(value, shown, column)
    if isinstance(value, float) and math.isnan(value):
        raise WhereError(f"{shown}NaN compares with nothing; use `is null` for missing values", column=column)
    if isinstance(value, dt.datetime):
        return _checked_time(value, shown, column)
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, dt.date):
        return dt.date(value.year, value.month, value.day)
    raise WhereError(
        f"{shown}{type(value).__name__} is no value of a filter; use str, int, float, bool, datetime or date",
        column=column,
    )


def _checked_text(value: str, shown: str, column: int | None) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise WhereError(
            f"{shown}the text {value[:40]!r} is broken unicode; no stored text can hold it", column=column
        ) from None
    return str(value)


def _checked_time(value: dt.datetime, shown: str, column: int | None) -> dt.datetime:
    if value.tzinfo is None:
        raise WhereError(
            f"{shown}the time {value.isoformat()} has no offset; add one (Z for UTC), or use a date for the whole day",
            column=column,
        )
    try:
        return to_utc(value)
    except OverflowError:
        raise WhereError(f"{shown}the time {value} lies outside the years 1 to 9999 in UTC", column=column) from None


def children(tree: Tree) -> tuple[Tree, ...]:
    """The nodes directly under one."""
    if isinstance(tree, (And, Or)):
        return tree.xs
    return (tree.x,) if isinstance(tree, (Not, NotTrue)) else ()


def walk(tree: Tree) -> Iterator[tuple[Tree, int]]:
    """Every node with its depth (the root's is 1), without recursion: a hostile depth must not end the process."""
    pending = [(tree, 1)]
    while pending:
        node, depth = pending.pop()
        yield node, depth
        pending.extend((child, depth + 1) for child in children(node))


def check_limits(tree: Tree) -> None:
    """Refuse a tree of over 200 nodes, depth over 50, or over 100,000 values in one list; WhereError says which."""
    for count, (node, depth) in enumerate(walk(tree), start=1):
        if count > MAX_NODES:
            raise WhereError(f"more than {MAX_NODES} conditions; put values of one field into one `in (...)`")
        if depth > MAX_DEPTH:
            raise WhereError(f"conditions nest deeper than {MAX_DEPTH}; flatten the parentheses")
        values = node.values if isinstance(node, (In, HasAny, HasAll)) else node.ids if isinstance(node, Ids) else ()
        if len(values) > MAX_VALUES:
            raise WhereError(f"a list of {len(values):,} values; at most {MAX_VALUES:,} are allowed, split the search")
