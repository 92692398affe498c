"""Filters made in Python, and the checks that all front ends share."""

import datetime as dt

import numpy as np
import pytest

from vecsmith.errors import WhereError
from vecsmith.index.schema import Schema
from vecsmith.index.where import as_tree, field
from vecsmith.index.where_canonical import canonical
from vecsmith.index.where_json import from_json
from vecsmith.index.where_tree import (
    And,
    Between,
    Compare,
    Distinct,
    Everything,
    HasAll,
    HasAny,
    In,
    IsNull,
    Not,
    Nothing,
    Or,
    StartsWith,
)

SCHEMA = Schema.of({"year": int, "tags": set, "name": str, "flag": bool, "created": dt.datetime})


def test_operators_make_the_tree():
    assert (field("year") >= 2019) & field("tags").has("a") & ~field("flag") == And(
        (Compare("year", ">=", 2019), HasAny("tags", ("a",)), Not(Compare("flag", "=", True)))
    )
    assert (field("year") == 1) | (field("year") != 2) == Or((Compare("year", "=", 1), Compare("year", "!=", 2)))
    assert field("flag") & field("flag") == And((Compare("flag", "=", True),) * 2)
    assert (2019 < field("year")) == Compare("year", ">", 2019)  # noqa: SIM300
    assert field("year").is_in(range(2)) == In("year", (0, 1))
    assert field("year").between(1, 2) == Between("year", 1, 2)
    assert field("name").starts_with("x") == StartsWith("name", "x")
    assert field("tags").has_any({"a"}) == HasAny("tags", ("a",))
    assert field("tags").has_all(["a", "b"]) == HasAll("tags", ("a", "b"))
    assert field("year").is_distinct_from(3) == Distinct("year", 3)
    assert field("year").is_distinct_from(None) == ~field("year").is_null() == Not(IsNull("year"))


def test_numpy_values_become_python_values():
    value = (field("year") == np.int64(5)).value
    assert (value, type(value)) == (5, int)
    value = (field("flag") == np.bool_(True)).value
    assert value is True


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: (field("year") > 1) and (field("year") < 3),
        lambda: not (field("year") > 1),
        lambda: 1 < field("year") < 3,
        lambda: bool(field("flag")),
        lambda: field("year") > 1 & field("year"),
    ],
)
def test_and_or_not_and_chains_are_refused_naming_the_operators_and_parentheses(wrong):
    with pytest.raises(TypeError) as caught:
        wrong()
    assert "&" in str(caught.value) or "unsupported" in str(caught.value)


def test_the_words_of_a_refused_and_show_the_right_form():
    with pytest.raises(TypeError, match=r"& \| ~ and put each in parentheses"):
        bool(field("year") > 1)
    with pytest.raises(TypeError, match="takes two filters, not int"):
        (field("year") == 1) & 3


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda: field("year") == None, WhereError, "is_null"),  # noqa: E711
        (lambda: field("year") == field("flag"), WhereError, "two fields"),
        (lambda: field("created") < dt.datetime(2015, 1, 1), WhereError, "no offset"),
        (lambda: field("year").is_in("abc"), TypeError, r"write \[value\]"),
        (lambda: field("tags").has(3), WhereError, "only a string"),
        (lambda: field(3), TypeError, "named by a str"),
        (lambda: as_tree(3, SCHEMA), TypeError, "a text, a filter made with field"),
        (lambda: as_tree(field("yeer") == 1, SCHEMA), WhereError, 'did you mean "year"'),
        (lambda: as_tree(field("flag") == 1, SCHEMA), WhereError, "write flag = true"),
        (lambda: as_tree(field("year") == 10**5000 * (field("flag") != 2 and 1), SCHEMA), TypeError, "&"),
        (lambda: as_tree(field("name") == 10**5000, SCHEMA), WhereError, "a very large number is an int"),
    ],
)
def test_a_filter_that_cannot_be_says_why(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong()


def test_what_search_takes_as_where_becomes_a_tree():
    assert as_tree(None, SCHEMA) == Everything()
    assert as_tree("flag", SCHEMA) == as_tree(field("flag"), SCHEMA) == Compare("flag", "=", True)


def test_a_deep_tree_is_refused_not_followed():
    tree = IsNull("year")
    for _ in range(100_000):
        tree = Not(tree)
    with pytest.raises(WhereError, match=r"nest deeper than 50|more than 200"):
        as_tree(tree, SCHEMA)
    while isinstance(tree, Not):  # taken apart here: Python frees nested objects recursively
        tree = tree.x


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        {"node": "Compare"},
        {"node": "Compare", "field": "a", "op": "~", "value": 1},
        {"node": "Compare", "field": 3, "op": "=", "value": 1},
        {"node": "In", "field": "a", "values": "abc"},
        {"node": "HasAny", "field": "a", "values": [1]},
        {"node": "Compare", "field": "a", "op": "=", "value": {"float": "nan"}},
        {"node": "Compare", "field": "a", "op": "=", "value": {"date": "x"}},
        {"node": "Tree"},
        {"node": "And", "xs": [{"node": "Everything", "more": 1}]},
    ],
)
def test_a_stored_filter_that_is_none_is_refused(stored):
    with pytest.raises(WhereError, match=r"stored|NaN"):
        from_json(stored)


@pytest.mark.parametrize(
    ("tree", "short"),
    [
        (Or((Compare("year", "=", 2), Compare("year", "=", 1))), In("year", (1, 2))),
        (In("year", (1, 1.0)), Compare("year", "=", 1)),
        (And((Compare("year", ">=", 1), Compare("year", "<=", 5))), Between("year", 1, 5)),
        (And((Compare("year", ">", 5), Compare("year", "<", 1))), Nothing()),
        (Not(And((Compare("a", ">", 5), Compare("a", "<", 1)))), Or((Compare("a", "<=", 5), Compare("a", ">=", 1)))),
        (And((IsNull("year"), Everything())), IsNull("year")),
        (Or((IsNull("year"), Everything())), Everything()),
        (Not(Not(Compare("year", "<", 5))), Compare("year", "<", 5)),
        (And((And((IsNull("a"), IsNull("b"))), IsNull("a"))), And((IsNull("a"), IsNull("b")))),
        (HasAll("tags", ()), Not(IsNull("tags"))),
    ],
)  # fmt: skip
def test_the_canonical_form_is_the_shortest_known(tree, short):
    assert canonical(tree) == short
