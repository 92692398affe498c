"""Filters against two oracles (rows walked one by one in Python; DuckDB given the tree), and the laws of their forms.

Random data: 2,000 rows, nulls in 20 % of the cells, unicode, quotes, empty sets, int64 extremes, duplicates.
Random trees: 300, of 1 to 12 nodes, every kind of node.
"""

import datetime as dt
import json
import operator
import random
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from vecsmith.index.attributes import Attributes, write_attributes
from vecsmith.index.schema import Schema
from vecsmith.index.where import parse_where
from vecsmith.index.where_canonical import canonical, canonical_text
from vecsmith.index.where_json import from_json, to_json
from vecsmith.index.where_tree import (
    COMPARISONS,
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
)
from vecsmith.index.where_write import to_text

SCHEMA = Schema.of(
    {"n": int, "big": int, "w": float, "s": str, "odd `name`": str, "b": bool, "t": dt.datetime, "tags": set}
)
ROWS = 2_000
TREES = 300


def utc(*parts):
    return dt.datetime(*parts, tzinfo=dt.UTC)


STRINGS = [
    "",
    "a",
    "ab",
    "abc",
    "Ab",
    "é",
    "e\u0301",
    "it's",
    '"',
    "`",
    "数据",
    "🙂",
    "a\x00b",
    "שלום",
    "\uffff",
    "z" * 300,
]
MEMBERS = ["a", "b", "it's", "数据", "", "cs.LG"]
VALUES = {
    "n": list(range(-3, 8)),
    "big": [-(2**63), 2**63 - 1, -(2**63) + 1, 2**63 - 2, 0, 2**53, 2**53 + 1],
    "w": [0.0, -0.0, 1.5, -2.25, 1e300, 5e-324, float("inf"), -float("inf"), 3.0],
    "s": STRINGS,
    "odd `name`": STRINGS,
    "b": [True, False],
    "t": [utc(2015, 1, 1), utc(2015, 1, 1, 23, 59, 59, 999999), utc(2015, 1, 2), utc(1, 1, 1),
          utc(9999, 12, 31, 23), utc(1969, 12, 31)],
}  # fmt: skip
LITERALS = {
    "n": [*VALUES["n"], 2.5, -0.5, 3.0, 2**63, -(2**70), float("inf")],
    "big": [*VALUES["big"], 2**63, -(2**63) - 1, 2.0**63, -(2.0**63), 0.5, 1e30],
    "w": [*VALUES["w"], 0, 3, -2, 1e-5],
    "s": [*STRINGS, "b", "aa", "\U0010ffff"],
    "odd `name`": [*STRINGS, "zz"],
    "b": [True, False],
    "t": [*VALUES["t"], dt.date(2015, 1, 1), dt.date(2015, 1, 2), dt.date(1, 1, 1), dt.date(9999, 12, 31),
          utc(2015, 1, 1, 12)],
}  # fmt: skip


def random_rows(seed):
    draw = random.Random(seed)
    columns = {
        name: [None if draw.random() < 0.2 else draw.choice(values) for _ in range(ROWS)]
        for name, values in VALUES.items()
    }
    columns["tags"] = [
        None if draw.random() < 0.2 else set(draw.sample(MEMBERS, draw.randrange(4))) for _ in range(ROWS)
    ]
    return columns, [f"d{row}" for row in range(ROWS)]


def random_tree(draw, size, *, empty_lists=True):
    """A tree of about `size` nodes; every And and Or has at least two children."""
    if size <= 1:
        return random_leaf(draw, empty_lists)
    kind = draw.choice([And, And, Or, Or, Not, NotTrue])
    if kind in (Not, NotTrue):
        return kind(random_tree(draw, size - 1, empty_lists=empty_lists))
    count = draw.randint(2, max(2, min(4, size - 1)))
    return kind(tuple(random_tree(draw, (size - 1) // count, empty_lists=empty_lists) for _ in range(count)))


def random_leaf(draw, empty_lists):
    least = 0 if empty_lists else 1
    kind = draw.choice([Compare] * 5 + [Distinct, Between, In, In, IsNull, StartsWith, HasAny, HasAll, Ids, Everything])
    name = draw.choice(list(LITERALS))
    if kind in (Everything, Ids):
        ids = Ids(tuple(f"d{draw.randrange(ROWS + 9)}" for _ in range(draw.randint(1, 900))))
        return ids if kind is Ids else draw.choice([Everything(), Nothing()])
    if kind in (HasAny, HasAll):
        return kind("tags", tuple(draw.choice([*MEMBERS, "absent"]) for _ in range(draw.randint(least, 3))))
    if kind is IsNull:
        return IsNull(draw.choice(list(SCHEMA.fields)))
    if kind is StartsWith:
        return StartsWith(
            draw.choice(["s", "odd `name`"]), draw.choice(["", "a", "ab", "é", "it", "数", "q", "\uffff"])
        )
    value = lambda: draw.choice(LITERALS[name])  # noqa: E731
    if kind is Distinct:
        return Distinct(name, value(), draw.random() < 0.5)
    if kind is In:
        return In(name, tuple(value() for _ in range(draw.randint(least, 9))))
    if kind is Between and name != "b":
        return Between(name, value(), value())
    return Compare(name, draw.choice(COMPARISONS if name != "b" else ("=", "!=")), value())


# Oracle 1: one row at a time, True, False or None (unknown); a date compares with the row's day.


def truth(tree, row):
    if isinstance(tree, Leaf):
        return truth_of_leaf(tree, row[tree.field])
    match tree:
        case And(xs) | Or(xs):
            found = [truth(x, row) for x in xs]
            decisive = isinstance(tree, Or)
            return decisive if decisive in found else None if None in found else not decisive
        case Not(x):
            return None if (found := truth(x, row)) is None else not found
        case NotTrue(x):
            return truth(x, row) is not True
        case Everything() | Nothing():
            return isinstance(tree, Everything)
        case Ids(ids):
            return row["id"] in ids
    raise AssertionError(tree)


def truth_of_leaf(tree, value):
    match tree:
        case IsNull():
            return value is None
        case Distinct(_, other, negated):
            return (value is not None and compared(value, "=", other)) == negated
    if value is None:
        return None
    match tree:
        case Compare(_, op, other):
            return compared(value, op, other)
        case Between(_, low, high):
            return compared(value, ">=", low) and compared(value, "<=", high)
        case In(_, others):
            return any(compared(value, "=", other) for other in others)
        case StartsWith(_, prefix):
            return value.startswith(prefix)
        case HasAny(_, members):
            return bool(set(members) & value)
        case HasAll(_, members):
            return set(members) <= value
    raise AssertionError(tree)


OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compared(value, op, other):
    if isinstance(other, dt.date) and not isinstance(other, dt.datetime):
        value = value.date()
    return OPERATORS[op](value, other)


# Oracle 2: DuckDB, given the tree in its own SQL with every value bound.


def sql(tree, bound):
    def bind(value):
        if isinstance(value, dt.datetime):
            value = value.replace(tzinfo=None)
        elif isinstance(value, float) and value.is_integer() and abs(value) < 1e38:
            value = int(value)  # DuckDB would compare an int64 with a double by rounding the int
        bound.append(value)
        return "?"

    def test(name, op, value):
        if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
            return f"({name} {op} {bind(value)})"
        start = f"CAST('{value.isoformat()}' AS TIMESTAMP)"
        end = f"({start} + INTERVAL 1 DAY)"
        inside = f"({name} >= {start} AND {name} < {end})"
        return {
            "=": inside,
            "!=": f"(NOT {inside})",
            "<": f"({name} < {start})",
            "<=": f"({name} < {end})",
            ">": f"({name} >= {end})",
            ">=": f"({name} >= {start})",
        }[op]

    def never(name):
        return f"(CASE WHEN {name} IS NULL THEN NULL ELSE FALSE END)"

    match tree:
        case And(xs):
            return "(" + " AND ".join(sql(x, bound) for x in xs) + ")"
        case Or(xs):
            return "(" + " OR ".join(sql(x, bound) for x in xs) + ")"
        case Not(x):
            return f"(NOT {sql(x, bound)})"
        case NotTrue(x):
            return f"({sql(x, bound)} IS NOT TRUE)"
        case Everything() | Nothing():
            return "TRUE" if isinstance(tree, Everything) else "FALSE"
        case Ids(ids):
            return f"list_contains({bind(list(ids))}, id)"
    name = '"' + tree.field + '"'
    match tree:
        case IsNull():
            return f"({name} IS NULL)"
        case Compare(_, op, value):
            return test(name, op, value)
        case Between(_, low, high):
            return f"({test(name, '>=', low)} AND {test(name, '<=', high)})"
        case Distinct(_, value, negated):
            equal = f"({name} IS NOT NULL AND {test(name, '=', value)})"
            return equal if negated else f"(NOT {equal})"
        case In(_, values):
            return "(" + " OR ".join([never(name), *(test(name, "=", value) for value in values)]) + ")"
        case StartsWith(_, prefix):
            return f"starts_with({name}, {bind(prefix)})"
        case HasAny(_, values):
            return "(" + " OR ".join([never(name), *(f"list_contains({name}, {bind(v)})" for v in values)]) + ")"
        case HasAll(_, values):
            return (
                "("
                + " AND ".join([f"(NOT {never(name)})", *(f"list_contains({name}, {bind(v)})" for v in values)])
                + ")"
            )
    raise AssertionError(tree)


@dataclass
class World:
    columns: dict
    ids: list
    attributes: Attributes
    trees: list


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    columns, ids = random_rows(7)
    folder = tmp_path_factory.mktemp("segment")
    write_attributes(folder, columns, SCHEMA, ids)
    trees = [random_tree(random.Random(seed), 1 + seed % 12) for seed in range(TREES)]
    return World(columns, ids, Attributes.open(folder, SCHEMA), trees)


def test_rows_that_pass_are_those_of_an_evaluation_row_by_row(world):
    rows = [
        {"id": name, **{field: values[row] for field, values in world.columns.items()}}
        for row, name in enumerate(world.ids)
    ]
    for seed, tree in enumerate(world.trees):
        answers = [truth(tree, row) for row in rows]
        true = np.array([answer is True for answer in answers])
        false = np.array([answer is False for answer in answers])
        assert (world.attributes.mask(tree) == true).all(), (seed, to_text(tree))
        assert (world.attributes.mask(Not(tree)) == false).all(), (seed, to_text(tree))


def test_rows_that_pass_are_those_of_duckdb(world):
    duckdb = pytest.importorskip("duckdb")
    import pyarrow as pa

    times = [None if t is None else t.replace(tzinfo=None) for t in world.columns["t"]]
    table = pa.table(
        {
            "id": world.ids,
            **{name: world.columns[name] for name in ("n", "big", "w", "s", "odd `name`", "b")},
            "t": pa.array(times, pa.timestamp("us")),
            "tags": pa.array([None if s is None else sorted(s) for s in world.columns["tags"]], pa.list_(pa.string())),
        }
    )
    with duckdb.connect() as base:
        base.register("arrow", table)
        base.execute("CREATE TABLE rows AS SELECT * FROM arrow")
        for seed, tree in enumerate(world.trees):
            bound = []
            clause = sql(tree, bound)
            found = {name for (name,) in base.execute(f"SELECT id FROM rows WHERE {clause}", bound).fetchall()}
            assert set(world.attributes.ids(world.attributes.mask(tree).nonzero()[0])) == found, (seed, to_text(tree))


def test_the_canonical_form_lets_the_same_rows_through_and_is_its_own(world):
    for seed, tree in enumerate(world.trees):
        short = canonical(tree)
        assert (world.attributes.mask(short) == world.attributes.mask(tree)).all(), (seed, to_text(tree), short)
        assert canonical_text(short) == canonical_text(tree), (seed, to_text(tree), short)


def test_ranges_of_one_field_become_one_range_without_moving_an_end(world):
    draw = random.Random(5)
    for _ in range(500):
        name = draw.choice(["n", "s", "t", "w"])
        tests = [
            Between(name, *draw.choices(LITERALS[name], k=2))
            if draw.random() < 0.2
            else Compare(name, draw.choice(("<", "<=", ">", ">=")), draw.choice(LITERALS[name][:4]))
            for _ in range(draw.randint(2, 4))
        ]
        tree = draw.choice([And(tuple(tests)), Not(Or(tuple(tests)))])
        assert (world.attributes.mask(canonical(tree)) == world.attributes.mask(tree)).all(), to_text(tree)


def shuffled(tree, draw):
    """The same tree with children and values in another order, some of them twice."""
    if isinstance(tree, (And, Or)):
        xs = [shuffled(x, draw) for x in tree.xs]
        return type(tree)(tuple(draw.sample([*xs, draw.choice(xs)], len(xs) + 1)))
    if isinstance(tree, (Not, NotTrue)):
        return type(tree)(shuffled(tree.x, draw))
    if isinstance(tree, (In, HasAny, HasAll)) and tree.values:
        values = [*tree.values, tree.values[0]]
        return type(tree)(tree.field, tuple(draw.sample(values, len(values))))
    return tree


def test_order_and_repetition_of_children_do_not_change_the_canonical_form(world):
    for seed, tree in enumerate(world.trees):
        assert canonical_text(shuffled(tree, random.Random(seed))) == canonical_text(tree), (seed, to_text(tree))


def test_a_tree_survives_json(world):
    for tree in world.trees:
        assert to_json(from_json(json.loads(json.dumps(to_json(tree))))) == to_json(tree)


def test_a_tree_written_as_text_parses_back_into_itself():
    for seed in range(600):
        tree = random_tree(random.Random(seed), 1 + seed % 12, empty_lists=False)
        # JSON tells 1 from 1.0 and from true, == does not.
        assert to_json(parse_where(to_text(tree), SCHEMA)) == to_json(tree), (seed, to_text(tree))


def test_all_rows_are_the_same_when_cut_into_segments(world, tmp_path):
    cuts = [0, 1, 700, 701, ROWS]
    parts = []
    for number, (start, stop) in enumerate(pairwise(cuts)):
        (tmp_path / str(number)).mkdir()
        columns = {name: values[start:stop] for name, values in world.columns.items()}
        write_attributes(tmp_path / str(number), columns, SCHEMA, world.ids[start:stop])
        parts.append(Attributes.open(tmp_path / str(number), SCHEMA))
    for seed, tree in enumerate(world.trees[:100]):
        joined = np.concatenate([part.mask(tree) for part in parts])
        assert (joined == world.attributes.mask(tree)).all(), (seed, to_text(tree))
