"""Filters in Python: `(field("year") >= 2019) & field("tags").has("router")`.

The text form is `parse_where`; both make the tree of `where_tree.py`, which knows nothing of its front end.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vecsmith.errors import WhereError
from vecsmith.index.where_check import check
from vecsmith.index.where_text import parse_where
from vecsmith.index.where_tree import (
    Between,
    Compare,
    Distinct,
    Everything,
    HasAll,
    HasAny,
    In,
    IsNull,
    Not,
    StartsWith,
    Tree,
    literal,
)

if TYPE_CHECKING:
    from vecsmith.index.schema import Schema

__all__ = ["Field", "as_tree", "field", "parse_where"]


def field(name: str) -> "Field":
    """A field to compare: `field("year") >= 2019`. Combine with & | ~ and put each comparison in parentheses.

    >>> field("year") >= 2019
    Compare(field='year', op='>=', value=2019)
    """
    if not isinstance(name, str):
        raise TypeError(f"a field is named by a str, not {type(name).__name__}")
    return Field(name)


def as_tree(where: "str | Tree | Field | None", schema: "Schema") -> Tree:
    """What a caller passed as `where`, as a tree that fits the schema; None lets everything through.

    raises   WhereError: syntax, unknown field, type mismatch; TypeError: not a filter
    """
    if where is None:
        return Everything()
    if isinstance(where, str):
        return parse_where(where, schema)
    tree = where.as_condition() if isinstance(where, Field) else where
    if not isinstance(tree, Tree):
        raise TypeError(f"where takes a text, a filter made with field(...), or None; not {type(where).__name__}")
    check(tree, schema)
    return tree


class Field:
    """The left side of a test. Comparisons give trees; a bool field stands alone as well."""

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]  # == makes a tree, so a set or dict of fields would misbehave

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, value: object) -> Tree:  # type: ignore[override]
        return self._compare("=", value)

    def __ne__(self, value: object) -> Tree:  # type: ignore[override]
        return self._compare("!=", value)

    def __lt__(self, value: object) -> Tree:
        return self._compare("<", value)

    def __le__(self, value: object) -> Tree:
        return self._compare("<=", value)

    def __gt__(self, value: object) -> Tree:
        return self._compare(">", value)

    def __ge__(self, value: object) -> Tree:
        return self._compare(">=", value)

    def __and__(self, other: Tree) -> Tree:
        return self.as_condition() & other

    def __or__(self, other: Tree) -> Tree:
        return self.as_condition() | other

    def __invert__(self) -> Tree:
        return ~self.as_condition()

    def __bool__(self) -> bool:
        return bool(self.as_condition())  # raises, naming & | ~

    def __repr__(self) -> str:
        return f"field({self.name!r})"

    def as_condition(self) -> Tree:
        """The field alone: a bool that is true."""
        return Compare(self.name, "=", True)

    def is_in(self, values: Iterable[object]) -> Tree:
        """Equal to one of the values; of none: false."""
        return In(self.name, tuple(literal(value, field=self.name) for value in self._several(values)))

    def between(self, low: object, high: object) -> Tree:
        """low <= field <= high."""
        return Between(self.name, literal(low, field=self.name), literal(high, field=self.name))

    def is_null(self) -> Tree:
        """The field has no value. Its opposite is `~field(...).is_null()`."""
        return IsNull(self.name)

    def starts_with(self, prefix: str) -> Tree:
        """A string field opens with these characters, upper and lower case as given."""
        return StartsWith(self.name, self._text(prefix))

    def has(self, value: str) -> Tree:
        """A set field holds this member."""
        return HasAny(self.name, (self._text(value),))

    def has_any(self, values: Iterable[str]) -> Tree:
        """A set field holds one of these members."""
        return HasAny(self.name, tuple(self._text(value) for value in self._several(values)))

    def has_all(self, values: Iterable[str]) -> Tree:
        """A set field holds all of these members."""
        return HasAll(self.name, tuple(self._text(value) for value in self._several(values)))

    def is_distinct_from(self, value: object) -> Tree:
        """Other than the value, null rows included (`!=` drops them)."""
        return Not(IsNull(self.name)) if value is None else Distinct(self.name, literal(value, field=self.name))

    def _compare(self, op: str, value: object) -> Tree:
        if isinstance(value, Field):
            raise WhereError(
                f'"{self.name}" {op} "{value.name}": two fields cannot be compared, only a field and a value'
            )
        return Compare(self.name, op, literal(value, field=self.name))

    def _several(self, values: Iterable[object]) -> list[object]:
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise TypeError(f'"{self.name}" takes a list of values here, not {type(values).__name__}; write [value]')
        return list(values)

    def _text(self, value: object) -> str:
        if not isinstance(value, str):
            raise WhereError(f'"{self.name}": {type(value).__name__} {value!r} given where only a string can stand')
        return str(literal(value, field=self.name))
