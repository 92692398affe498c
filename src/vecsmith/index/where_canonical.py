"""One form for filters that let the same rows through: the key under which prepared filters are kept.

`not` is pushed to the leaves, which is exact under Kleene. After that a false and an unknown count alike in every
place that is left (a row passes only where the whole is true, and `NotTrue` asks only for true), so empty ranges may
become `Nothing` and `x = a or x = b` one `In`.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from vecsmith.index.where_json import to_json, value_to_json
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
    Tree,
    Value,
)

__all__ = ["canonical", "canonical_text"]

_OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_EXACT = 2**53
_T = TypeVar("_T")


def canonical_text(tree: Tree) -> str:
    """The canonical form as one line of JSON; equal for filters that this module can tell are equal."""
    return _text(canonical(tree))


def canonical(tree: Tree) -> Tree:
    """The canonical form of a checked tree: the same rows pass, whatever the data.

    Idempotent; the order and number of equal children do not matter. `explain` shows it.
    >>> canonical(Not(Or((Compare("year", "<", 2019), Compare("year", ">", 2021)))))
    Between(field='year', low=2019, high=2021)
    """
    if isinstance(tree, (And, Or)):
        return _combined(tree, [canonical(x) for x in tree.xs])
    if isinstance(tree, NotTrue):
        return _not_true(canonical(tree.x))
    return _opposite(tree.x) if isinstance(tree, Not) else _leaf(tree)


def _opposite(tree: Tree) -> Tree:
    """The canonical form of `Not(tree)`."""
    if isinstance(tree, (And, Or)):
        turned = Or if isinstance(tree, And) else And
        return _combined(turned(()), [_opposite(x) for x in tree.xs])
    if isinstance(tree, Not):
        return canonical(tree.x)
    if isinstance(tree, NotTrue):
        return canonical(tree.x)  # not (x is not true) passes where x is true
    if isinstance(tree, Compare):
        return _leaf(Compare(tree.field, _OPPOSITE[tree.op], tree.value))
    if isinstance(tree, Distinct):
        return _leaf(Distinct(tree.field, tree.value, not tree.negated))
    if isinstance(tree, (Everything, Nothing)):
        return Nothing() if isinstance(tree, Everything) else Everything()
    if isinstance(tree, In) and len(set(map(_value_text, map(_value, tree.values)))) == 1:
        return _leaf(Compare(tree.field, "!=", tree.values[0]))
    if isinstance(tree, Between):
        # Leaves under `not` keep their form: the simplifications below hold for what passes, not for what fails.
        return Not(Between(tree.field, _value(tree.low), _value(tree.high)))
    if isinstance(tree, (HasAny, HasAll)) and len(set(tree.values)) == 1:
        return Not(HasAny(tree.field, tree.values[:1]))
    return Not(_sorted(tree))


def _not_true(tree: Tree) -> Tree:
    if isinstance(tree, (Everything, Nothing)):
        return Nothing() if isinstance(tree, Everything) else Everything()
    return tree.x if isinstance(tree, NotTrue) else NotTrue(tree)


def _leaf(tree: Tree) -> Tree:
    """A test in the place where only true counts."""
    if isinstance(tree, Compare):
        return Compare(tree.field, tree.op, _value(tree.value))
    if isinstance(tree, Distinct):
        value = _value(tree.value)
        return Compare(tree.field, "=", value) if tree.negated else Distinct(tree.field, value)
    if isinstance(tree, Between):
        return _range(tree.field, (_value(tree.low), False), (_value(tree.high), False))[0]
    if isinstance(tree, (In, HasAny, Ids)):
        tree = _sorted(tree)
        values = tree.ids if isinstance(tree, Ids) else tree.values  # type: ignore[attr-defined]
        if not values:
            return Nothing()
        return Compare(tree.field, "=", values[0]) if isinstance(tree, In) and len(values) == 1 else tree
    if isinstance(tree, HasAll):
        tree = _sorted(tree)
        assert isinstance(tree, HasAll)
        if not tree.values:
            return Not(IsNull(tree.field))
        return HasAny(tree.field, tree.values) if len(tree.values) == 1 else tree
    return tree


def _sorted(tree: Tree) -> Tree:
    """Lists of values in order, each once."""
    if isinstance(tree, In):
        return In(tree.field, _distinct(map(_value, tree.values), _value_text))
    if isinstance(tree, (HasAny, HasAll)):
        return type(tree)(tree.field, tuple(sorted(set(tree.values))))
    return Ids(tuple(sorted(set(tree.ids)))) if isinstance(tree, Ids) else tree


def _combined(tree: And | Or, xs: list[Tree]) -> Tree:
    """And or Or of canonical children: flattened, merged, sorted, each once."""
    kind = type(tree)
    flat = [part for x in xs for part in (x.xs if isinstance(x, kind) else (x,))]
    absorbing, neutral = (Nothing, Everything) if kind is And else (Everything, Nothing)
    flat = _merge_ranges(flat) if kind is And else _merge_equals(flat)
    if any(isinstance(x, absorbing) for x in flat):
        return absorbing()
    kept = _distinct((x for x in flat if not isinstance(x, neutral)), _text)
    if len(kept) < 2:
        return kept[0] if kept else neutral()
    return kind(kept)


def _merge_equals(xs: list[Tree]) -> list[Tree]:
    """x = a or x in (b, c) -> x in (a, b, c)."""
    values: dict[str, list[Value]] = {}
    others: list[Tree] = []
    for x in xs:
        if isinstance(x, In):
            values.setdefault(x.field, []).extend(x.values)
        elif isinstance(x, Compare) and x.op == "=":
            values.setdefault(x.field, []).append(x.value)
        else:
            others.append(x)
    return others + [_leaf(In(field, tuple(found))) for field, found in values.items()]


_Bound = tuple[Value, bool]  # (value, is the value itself excluded)


def _merge_ranges(xs: list[Tree]) -> list[Tree]:
    """Ranges of one field under `and` become one; `Nothing` where no value can lie in it."""
    ranges: dict[tuple[str, str], list[Tree]] = {}
    others: list[Tree] = []
    for x in xs:
        bounds = _bounds(x)
        # Times and dates do not order among each other without knowing the day's ends; each kind keeps its range.
        kinds = {_kind(bound[0]) for bound in bounds if bound is not None}
        if len(kinds) == 1 and isinstance(x, Leaf) and (kind := kinds.pop()):
            ranges.setdefault((x.field, kind), []).append(x)
        else:
            others.append(x)
    for (field, _), parts in ranges.items():
        lows = [low for x in parts if (low := _bounds(x)[0]) is not None]
        highs = [high for x in parts if (high := _bounds(x)[1]) is not None]
        low = max(lows, default=None, key=lambda bound: bound)
        high = min(highs, default=None, key=lambda bound: (bound[0], not bound[1]))
        others += _range(field, low, high)
    return others


def _bounds(tree: Tree) -> tuple[_Bound | None, _Bound | None]:
    if isinstance(tree, Between):
        return (tree.low, False), (tree.high, False)
    if isinstance(tree, Compare) and tree.op in (">", ">="):
        return (tree.value, tree.op == ">"), None
    if isinstance(tree, Compare) and tree.op in ("<", "<="):
        return None, (tree.value, tree.op == "<")
    return None, None


def _range(field: str, low: _Bound | None, high: _Bound | None) -> list[Tree]:
    """The tests that say `low .. high`, one wherever one can."""
    if low is not None and high is not None and _kind(low[0]) == _kind(high[0]) != "":
        if low[0] > high[0] or (low[0] == high[0] and (low[1] or high[1])):  # type: ignore[operator]
            return [Nothing()]
        if low[0] == high[0]:
            return [Compare(field, "=", low[0])]
    if low is not None and high is not None and not low[1] and not high[1]:
        return [Between(field, low[0], high[0])]
    ends: list[Tree] = [Compare(field, ">" if low[1] else ">=", low[0])] if low is not None else []
    return ends + ([Compare(field, "<" if high[1] else "<=", high[0])] if high is not None else [])


def _kind(value: Value) -> str:
    """Values of one kind order among each other; empty for those without order."""
    if isinstance(value, bool):
        return ""
    if isinstance(value, dt.datetime):
        return "time"
    return "date" if isinstance(value, dt.date) else "text" if isinstance(value, str) else "number"


def _value(value: Value) -> Value:
    """1.0 asks the same as 1."""
    if isinstance(value, float) and abs(value) <= _EXACT and value.is_integer():
        return int(value)
    return value


def _distinct(items: Iterable[_T], key: Callable[[_T], str]) -> tuple[_T, ...]:
    found = {key(item): item for item in items}
    return tuple(found[text] for text in sorted(found))


def _text(tree: Tree) -> str:
    return json.dumps(to_json(tree), ensure_ascii=False, separators=(",", ":"))


def _value_text(value: Value) -> str:
    return json.dumps(value_to_json(value), ensure_ascii=False)
