"""A filter tree as the text that parses back into it: for `explain`, messages and logs."""

import re

from vecsmith.index.where_literals import write_literal
from vecsmith.index.where_text import RESERVED_WORDS
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

__all__ = ["to_text"]


def to_text(tree: Tree) -> str:
    """The text form; `parse_where(to_text(tree))` is the tree again.

    Exceptions: `And` and `Or` of one or no child lose their shell; a list of no values is written as `in ()`, which
    people can read and the grammar refuses (from Python it is allowed, since lists are computed there).
    >>> to_text(And((Compare("year", ">=", 2019), Not(In("kind", ("a", "it's"))))))
    "year >= 2019 and not kind in ('a', 'it''s')"
    """
    if isinstance(tree, (And, Or)):
        if not tree.xs:
            return "true" if isinstance(tree, And) else "false"
        if len(tree.xs) == 1:
            return to_text(tree.xs[0])
        return (" and " if isinstance(tree, And) else " or ").join(map(_inner, tree.xs))
    if isinstance(tree, NotTrue):
        return f"({to_text(tree.x)}) is not true"
    if isinstance(tree, Not):
        return f"not {_inner(tree.x)}"
    if isinstance(tree, (Everything, Nothing)):
        return "true" if isinstance(tree, Everything) else "false"
    if isinstance(tree, Ids):
        return f"id in {_list(tree.ids)}" if tree.ids else "false"
    assert isinstance(tree, Leaf)
    return _leaf(tree)


def _inner(tree: Tree) -> str:
    """In parentheses where the words around it would bind into it."""
    return f"({to_text(tree)})" if isinstance(tree, (And, Or)) and len(tree.xs) > 1 else to_text(tree)


def _leaf(leaf: Leaf) -> str:
    name = _name(leaf.field)
    if isinstance(leaf, Compare):
        return f"{name} {leaf.op} {write_literal(leaf.value)}"
    if isinstance(leaf, Distinct):
        return f"{name} is {'not ' if leaf.negated else ''}distinct from {write_literal(leaf.value)}"
    if isinstance(leaf, Between):
        return f"{name} between {write_literal(leaf.low)} and {write_literal(leaf.high)}"
    if isinstance(leaf, IsNull):
        return f"{name} is null"
    if isinstance(leaf, StartsWith):
        return f"{name} starts with {write_literal(leaf.prefix)}"
    assert isinstance(leaf, (In, HasAny, HasAll))
    if isinstance(leaf, In):
        return f"{name} in {_list(leaf.values)}"
    if isinstance(leaf, HasAny) and len(leaf.values) == 1:
        return f"{name} has {write_literal(leaf.values[0])}"
    return f"{name} has {'any' if isinstance(leaf, HasAny) else 'all'} {_list(leaf.values)}"


def _list(values: tuple[object, ...]) -> str:
    return f"({', '.join(write_literal(value) for value in values)})"  # type: ignore[arg-type]


def _name(field: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", field)
    words = RESERVED_WORDS | {"select", "id"}
    return field if plain and field.lower() not in words else "`" + field.replace("`", "``") + "`"
