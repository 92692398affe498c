"""Does a filter fit a schema? Types are checked before any value is read."""

import datetime as dt

from vecsmith.errors import WhereError
from vecsmith.index.schema import Schema
from vecsmith.index.values import article
from vecsmith.index.where_tree import (
    Between,
    Compare,
    Distinct,
    HasAll,
    HasAny,
    Ids,
    In,
    Leaf,
    StartsWith,
    Tree,
    Value,
    check_limits,
    walk,
)

__all__ = ["check", "check_leaf"]

_FITS: dict[str, tuple[str, ...]] = {
    "string": ("string",),
    "int": ("int", "float"),
    "float": ("int", "float"),
    "bool": ("bool",),
    "timestamp": ("timestamp", "date"),
}


def check(tree: Tree, schema: Schema) -> None:
    """Refuse limits, unknown fields and values that a field's type cannot be compared with.

    raises   WhereError naming the field, its type, the value and its type, or the nearest field
    """
    check_limits(tree)
    for node, _ in walk(tree):
        if isinstance(node, Leaf):
            check_leaf(node, schema)
        elif isinstance(node, Ids):
            for number in node.ids:
                if not isinstance(number, str):
                    raise WhereError(f"ids are strings; found {_type_of(number)} {number!r}")


def check_leaf(leaf: Leaf, schema: Schema, *, at_field: int | None = None, at_value: int | None = None) -> None:
    """`check` for one test; the columns of field and value in the text go into the message."""
    kind = schema.types.get(leaf.field)
    if kind is None:
        raise WhereError(f'unknown field "{leaf.field}"; {schema.nearest(leaf.field)}', column=at_field)
    _check_shape(leaf, kind, at_field)
    for value in _values(leaf):
        found = _type_of(value)
        if kind in _FITS and found not in _FITS[kind]:
            words = f'"{leaf.field}" is {article(kind)}, {_written(value)} is {article(found)}; '
            words += _way_out(leaf.field, kind, value)
            raise WhereError(words, column=at_value)


def _check_shape(leaf: Leaf, kind: str, column: int | None) -> None:
    """Tests that a type does not have at all."""
    is_set_test = isinstance(leaf, (HasAny, HasAll))
    if is_set_test and kind != "set":
        raise WhereError(
            f'"{leaf.field}" is {article(kind)}, and `has` asks sets; use `=` or `in (...)`', column=column
        )
    if kind == "set" and isinstance(leaf, (Compare, Distinct, Between, In, StartsWith)):
        raise WhereError(
            f"\"{leaf.field}\" is a set, which is asked by `has`: {leaf.field} has 'value', {leaf.field} has any (...)",
            column=column,
        )
    if isinstance(leaf, StartsWith) and kind != "string":
        raise WhereError(f'"{leaf.field}" is {article(kind)}; `starts with` needs a string field', column=column)
    ordered = isinstance(leaf, Between) or (isinstance(leaf, Compare) and leaf.op not in ("=", "!="))
    if kind == "bool" and ordered:
        raise WhereError(f'"{leaf.field}" is a bool, which has no order; use `= true` or `= false`', column=column)


def _values(leaf: Leaf) -> tuple[Value, ...]:
    if isinstance(leaf, (Compare, Distinct)):
        return (leaf.value,)
    if isinstance(leaf, Between):
        return (leaf.low, leaf.high)
    return leaf.values if isinstance(leaf, In) else ()


def _type_of(value: object) -> str:
    for kind, name in ((bool, "bool"), (str, "string"), (int, "int"), (float, "float"), (dt.datetime, "timestamp")):
        if isinstance(value, kind):
            return name
    return "date" if isinstance(value, dt.date) else type(value).__name__


def _written(value: Value) -> str:
    if isinstance(value, (str, dt.date)):
        words = f"'{value}'"
        return words if len(words) <= 60 else words[:56] + "...'"
    try:
        return str(value).lower()[:60]
    except ValueError:  # an int of more digits than Python prints
        return "a very large number"


def _way_out(field: str, kind: str, value: Value) -> str:
    if kind == "timestamp" and isinstance(value, str):
        return (
            f"write date '{value}' or timestamp '{value}T00:00:00Z'" if len(value) == 10 else "write date '2015-01-31'"
        )
    if kind == "bool":
        return f"write {field} = {'false' if str(value).lower() in ('0', 'false', 'no') else 'true'}"
    if kind == "string":
        return f"write it in single quotes: '{_written(value).strip(chr(39))}'"
    if kind in ("int", "float") and isinstance(value, str):
        return "write a number without quotes"
    return f"compare it with {article(kind)}"
