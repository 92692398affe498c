"""Filter trees as JSON and back: for the catalog, the server and the cache key."""

import datetime as dt
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from vecsmith.errors import WhereError
from vecsmith.index.where_tree import (
    COMPARISONS,
    MAX_DEPTH,
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
    Not,
    Nothing,
    NotTrue,
    Or,
    StartsWith,
    Tree,
    Value,
    literal,
)

__all__ = ["from_json", "to_json", "value_to_json"]

_NODES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        And, Or, Not, NotTrue, Compare, Distinct, Between, In, IsNull, StartsWith, HasAny, HasAll, Ids, Everything,
        Nothing,
    )
}  # fmt: skip
_READERS: dict[str, Callable[[str], object]] = {
    "float": float,
    "timestamp": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
}


def to_json(tree: Tree) -> dict[str, Any]:
    """A value for JSON that `from_json` turns back into the equal tree."""
    out: dict[str, Any] = {"node": type(tree).__name__}
    for part in fields(tree):  # type: ignore[arg-type]
        value = getattr(tree, part.name)
        if isinstance(value, Tree):
            out[part.name] = to_json(value)
        elif isinstance(value, tuple):
            out[part.name] = [to_json(item) if isinstance(item, Tree) else value_to_json(item) for item in value]
        else:
            out[part.name] = value_to_json(value)
    return out


def value_to_json(value: Value) -> object:
    """str, int and bool as they are; what JSON cannot tell apart as a one-key dict."""
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, dt.datetime):
        return {"timestamp": value.isoformat()}
    return {"date": value.isoformat()} if isinstance(value, dt.date) else value


def value_from_json(value: object) -> Value:
    """The inverse of `value_to_json`; raises WhereError."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, text),) = value.items()
        if kind in _READERS and isinstance(text, str):
            try:
                return literal(_READERS[kind](text))
            except ValueError as error:
                raise WhereError(f"not a stored {kind}: {text[:40]!r}") from error
    if isinstance(value, (str, int)):
        return literal(value)
    raise WhereError(f"not a stored value: {str(value)[:80]}")


def from_json(value: object, *, depth: int = 1) -> Tree:
    """The tree of `to_json`; raises WhereError where the value is not one, or is too deep."""
    if depth > MAX_DEPTH:
        raise WhereError(f"conditions nest deeper than {MAX_DEPTH}; flatten them")
    kind = _NODES.get(value["node"]) if isinstance(value, dict) and isinstance(value.get("node"), str) else None
    if kind is None or not isinstance(value, dict):
        raise WhereError(f"not a stored filter: {str(value)[:80]}")
    names = [part.name for part in fields(kind)]
    if set(value) != {"node", *names}:
        raise WhereError(f"a stored {kind.__name__} has the parts {', '.join(names) or 'none'}; found {sorted(value)}")
    tree = kind(**{name: _part_from_json(name, value[name], depth) for name in names})
    _check_parts(tree)
    return tree


def _part_from_json(name: str, part: Any, depth: int) -> object:
    if name == "x":
        return from_json(part, depth=depth + 1)
    if name in ("xs", "values", "ids"):
        if not isinstance(part, list):
            raise WhereError(f'not a stored filter: "{name}" must be a list')
        return tuple(from_json(item, depth=depth + 1) if name == "xs" else value_from_json(item) for item in part)
    return value_from_json(part)


def _check_parts(tree: Tree) -> None:
    """What a stored node may hold beside values: an operator that exists, texts where only texts can stand."""
    texts = [getattr(tree, name) for name in ("field", "prefix") if hasattr(tree, name)]
    if isinstance(tree, (HasAny, HasAll, Ids)):
        texts += tree.ids if isinstance(tree, Ids) else tree.values
    fits = all(isinstance(text, str) for text in texts)
    if isinstance(tree, Compare):
        fits = fits and tree.op in COMPARISONS
    if isinstance(tree, Distinct):
        fits = fits and isinstance(tree.negated, bool)
    if not fits:
        raise WhereError(f"not a stored filter: {str(tree)[:80]}")
