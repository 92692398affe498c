"""The text form of filters: what it reads, and the words of every refusal."""

import datetime as dt
import re
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vecsmith.errors import WhereError
from vecsmith.index.schema import Schema
from vecsmith.index.where import parse_where
from vecsmith.index.where_tree import (
    And,
    Between,
    Compare,
    Distinct,
    HasAll,
    HasAny,
    Ids,
    In,
    IsNull,
    Not,
    NotTrue,
    Or,
    StartsWith,
)

SCHEMA = Schema.of(
    {
        "year": int,
        "weight": float,
        "package": str,
        "kind": str,
        "flag": bool,
        "created": dt.datetime,
        "tags": set,
        "date": int,
        "has": str,
        "order by": str,
    }
)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("year = 2019", Compare("year", "=", 2019)),
        ("year == -5 AND year <> +7", And((Compare("year", "=", -5), Compare("year", "!=", 7)))),
        ("2019<=year", Compare("year", ">=", 2019)),
        ("weight > .5 or weight < -1e-3", Or((Compare("weight", ">", 0.5), Compare("weight", "<", -0.001)))),
        (
            "flag or year=1 and not flag",
            Or((Compare("flag", "=", True), And((Compare("year", "=", 1), Not(Compare("flag", "=", True)))))),
        ),
        ("true = flag", Compare("flag", "=", True)),
        ("package = 'it''s'", Compare("package", "=", "it's")),
        ("package = ''''", Compare("package", "=", "'")),
        ("package = 'a\\'", Compare("package", "=", "a\\")),
        ("package = '; drop table x --'", Compare("package", "=", "; drop table x --")),
        ("package in ('a', '数据')", In("package", ("a", "数据"))),
        ("package not in ('a')", Not(In("package", ("a",)))),
        ("year between 1 and 2 and flag", And((Between("year", 1, 2), Compare("flag", "=", True)))),
        ("year is null or year is not null", Or((IsNull("year"), Not(IsNull("year"))))),
        ("year is distinct from 5", Distinct("year", 5)),
        ("year is not distinct from 5", Distinct("year", 5, negated=True)),
        ("package starts with 'js'", StartsWith("package", "js")),
        ("package not starts with 'js'", Not(StartsWith("package", "js"))),
        ("'x' in tags and 'y' not in tags", And((HasAny("tags", ("x",)), Not(HasAny("tags", ("y",)))))),
        ("tags has 'x' or tags not has 'x'", Or((HasAny("tags", ("x",)), Not(HasAny("tags", ("x",)))))),
        ("tags has any ('x','y')", HasAny("tags", ("x", "y"))),
        ("tags HAS ALL ('x','y')", HasAll("tags", ("x", "y"))),
        ("created >= date '2015-01-31'", Compare("created", ">=", dt.date(2015, 1, 31))),
        (
            "created < timestamp '2015-01-31T12:00:00+02:00'",
            Compare("created", "<", dt.datetime(2015, 1, 31, 10, tzinfo=dt.UTC)),
        ),
        ("date = 3 and has = 'x'", And((Compare("date", "=", 3), Compare("has", "=", "x")))),
        ("`order by` = 'x'", Compare("order by", "=", "x")),
        ("id in ('a','b') and id != 'c'", And((Ids(("a", "b")), Not(Ids(("c",)))))),
        ("(year = 1) is not true", NotTrue(Compare("year", "=", 1))),
        ("\n\tyear\n=\n1\n", Compare("year", "=", 1)),
    ],
)
def test_a_text_is_read_as_its_tree(text, tree):
    assert parse_where(text, SCHEMA) == tree


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "empty"),
        ("yaer = 2019", 1, 'unknown field "yaer"; did you mean "year"'),
        ("flag and Year = 2019", 10, 'did you mean "year"'),
        ("year = 'x'", 8, "\"year\" is an int, 'x' is a string"),
        ("package = 5", 11, "write it in single quotes: '5'"),
        ("flag = 1", 8, "write flag = true"),
        ("flag < true", 1, "no order"),
        ("created = '2015-01-31'", 11, "write date '2015-01-31'"),
        ("created = date '2015-13-01'", 11, "is no date"),
        ("created = timestamp '2015-01-31T12:00:00'", 11, "has no offset; write timestamp '2015-01-31T12:00:00Z'"),
        ("tags = 'x'", 1, "a set, which is asked by `has`"),
        ("package has 'x'", 1, "`has` asks sets"),
        ("year starts with 'x'", 1, "needs a string field"),
        ("year", 1, '"year" is an int and needs a comparison'),
        ("year = null", 8, "write `year is null`"),
        ("year != NULL", 9, "write `year is not null`"),
        ("year in (1, null)", 13, "nothing equals null"),
        ("year in ()", 10, "an empty list"),
        ("year in 5", 9, "expected a list"),
        ('package = "json"', 11, "double quotes quote nothing"),
        ("package = “json”", 11, "straight single quotes"),
        ("package = 'json", 11, "no closing '; inside it a ' is doubled"),
        ("package = 'it's'", 16, "inside it a ' is doubled: ''"),
        ("`order by = 1", 1, "no closing `"),
        ("package = json", 11, "a string takes single quotes: package = 'json'"),
        ("package = kind", 11, "two fields cannot be compared"),
        ("year = 1; drop table x", 9, "one condition, not statements"),
        ("year = 1 -- x", 10, "comments"),
        ("year = 1 /* x */", 10, "comments"),
        ("lower(package) = 'x'", 1, "functions such as lower(...)"),
        ("package = lower('x')", 11, "functions such as lower(...)"),
        ("package in (select name from x)", 13, "subqueries"),
        ("package = (select 1)", 11, "subqueries"),
        ("(select 1)", 2, "subqueries"),
        ("year + 1 = 2", 6, "arithmetic"),
        ("year = 2 * 3", 10, "arithmetic"),
        ("year = 1 && flag", 10, "write `and`"),
        ("!flag", 1, "write `not`"),
        ("package like 'js%'", 9, "package starts with 'text'"),
        ("package contains 'js'", 9, "has 'value'"),
        ("package ~ 'js'", 9, "starts with"),
        ("year = 1 year = 2", 10, "expected `and`, `or` or the end"),
        ("(year = 1", 10, "expected `)` for the `(` in column 1"),
        ("year = 1)", 9, "it closes nothing"),
        ("year =", 7, "found the end, expected a value"),
        ("year = 2019a", 8, "neither a number nor a name"),
        ("1 = 2", 1, "one side must be a field"),
        ("year between 1", 15, "expected `and`"),
        ("year is 5", 9, "expected `null` or `distinct from`"),
        ("not", 4, "found the end, expected a field"),
        ("package = '\ud800'", 12, "broken unicode"),
        ("package = 'a' or 'b'", 21, "several values of one field take `in (...)`"),
        ("year >= 3 <= 5", 11, "do not chain"),
        ("year => 3", 6, "write `>=`"),
        ("weight = 1,5", 11, "a decimal point"),
        ("flag = 'false'", 8, "write flag = false"),
        ("package is 'json'", 12, "compared by `=`"),
        ("package.name = 'x'", 8, "backticks: `a.b`"),
        ("package-name = 'x'", 8, "backticks: `a-b`"),
        ("and = 3", 1, "takes backticks: `and`"),
        ("größe = 1", 3, "takes backticks"),
        ("year = :y", 8, "the parameter :y has no value"),
        ("year in [1]", 9, "parentheses: in ('a', 'b')"),
        ("id > 'a'", 4, "ids are asked by"),
        ("year = " + "9" * 5_000, 8, "digits"),
        ("(" * 300 + "flag" + ")" * 300, None, "nest deeper than 50"),
        ("not " * 70 + "flag", None, "nest deeper than 50"),
        (" or ".join(["flag"] * 300), None, "more than 200 conditions"),
    ],
)
def test_a_refusal_says_where_what_and_the_way_out(text, column, words):
    with pytest.raises(WhereError) as caught:
        parse_where(text, SCHEMA)
    assert words in str(caught.value)
    assert column is None or caught.value.column == column, str(caught.value)


def test_parameters_bind_values_of_any_text():
    text = "year >= :y and package in :names and created < :t and tags has any :names"
    time = dt.datetime(2015, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    tree = parse_where(text, SCHEMA, y=2019, names=["'; --", '"'], t=time)
    assert tree == And(
        (
            Compare("year", ">=", 2019),
            In("package", ("'; --", '"')),
            Compare("created", "<", dt.datetime(2014, 12, 31, 23, tzinfo=dt.UTC)),
            HasAny("tags", ("'; --", '"')),
        )
    )


@pytest.mark.parametrize(
    ("text", "parameters", "words"),
    [
        ("year = :year", {"yaer": 1}, "did you mean :yaer"),
        ("year = 1", {"y": 1}, "'y' is not used"),
        ("year = :y", {"y": [1]}, ":y is a list"),
        ("year in :y", {"y": 1}, ":y is int; a list can stand here"),
        ("package in :y", {"y": "abc"}, ":y is str; a list"),
        ("year = :y", {"y": None}, "is null"),
        ("weight = :y", {"y": float("nan")}, "NaN compares with nothing"),
        ("created = :y", {"y": dt.datetime(2015, 1, 1)}, "has no offset"),
        ("package = :y", {"y": "\ud800"}, "broken unicode"),
        ("year = :y", {"y": object()}, "object is no value"),
        ("year in :y", {"y": range(100_001)}, "100,001 values"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(text, parameters, words):
    with pytest.raises(WhereError, match=None) as caught:
        parse_where(text, SCHEMA, **parameters)
    assert words in str(caught.value)


def test_an_empty_list_as_parameter_holds_nothing():
    assert parse_where("year in :y", SCHEMA, y=[]) == In("year", ())


WORDS = re.split(
    " +",
    "year package flag tags created id and or not in is null true false between has any all starts with distinct from "
    "date timestamp select like ( ) , = == != <> < <= > >= 'a' '2015-01-01' 1 -2 1.5 1e9 :p :q ` ' \" ; -- . - : \\",
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join) | st.text(max_size=40))
@example("date '2015-01-01' = date '2015-01-01'")
@example("0001-01-01")
@example("created = timestamp '0001-01-01T00:00:00+14:00'")
@example("year = 1e999 and weight = -1e999")
@example("year = ٣")
@example("id = :p")
@example("\ud800")
def test_no_text_ends_in_anything_but_a_tree_or_a_where_error(text):
    with suppress(WhereError):
        parse_where(text, SCHEMA, p=1, q=["a"])
