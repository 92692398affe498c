"""What a schema takes, refuses and infers, and the words of each refusal."""

import datetime as dt
import json

import numpy as np
import pytest

from vecsmith.errors import LimitExceeded, SchemaError
from vecsmith.index.schema import Schema

UTC = dt.UTC


def test_types_are_declared_by_python_types_or_names():
    schema = Schema.of(
        {"a": str, "b": "int", "c": float, "d": "BOOL", "e": dt.datetime, "f": set, "g": dt.date, "h": list[str]}
    )
    assert list(schema.types.values()) == ["string", "int", "float", "bool", "timestamp", "set", "timestamp", "set"]
    assert Schema.of(schema) is schema
    assert Schema.of(None).fields == ()


def test_a_schema_survives_json():
    schema = Schema.of({"a b": str, "数": set}, assume_utc=True)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


@pytest.mark.parametrize(
    ("declared", "error", "words"),
    [
        ({"id": str}, SchemaError, '"id" is reserved'),
        ({"Score": str}, SchemaError, "reserved"),
        ({"_x": str}, SchemaError, 'call the field "x_value"'),
        ({"": str}, SchemaError, "at least one character"),
        ({"a\nb": str}, SchemaError, "control characters"),
        ({3: str}, SchemaError, "must be a text"),
        ({"a" * 256: str}, LimitExceeded, "255 are allowed"),
        ({"a": "strin"}, SchemaError, 'Did you mean "string"'),
        ({"a": bytes}, SchemaError, "no type of an attribute"),
        ({f"f{n}": str for n in range(1001)}, LimitExceeded, "1,001 fields; an index takes at most 1,000"),
    ],
)
def test_a_declaration_that_cannot_be_says_why(declared, error, words):
    with pytest.raises(error) as caught:
        Schema.of(declared)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "stored", [None, {}, {"fields": 3, "assume_utc": False}, {"fields": [{}], "assume_utc": False}]
)
def test_a_stored_schema_that_is_none_is_refused(stored):
    with pytest.raises(SchemaError, match="not a stored schema"):
        Schema.from_json(stored)


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("string", "e\u0301", "e\u0301"),
        ("string", np.str_("x"), "x"),
        ("int", np.int32(5), 5),
        ("int", -(2**63), -(2**63)),
        ("float", 3, 3.0),
        ("float", np.float32(0.5), 0.5),
        ("float", float("inf"), float("inf")),
        ("bool", np.bool_(True), True),
        ("timestamp", dt.date(2015, 1, 31), dt.datetime(2015, 1, 31, tzinfo=UTC)),
        ("timestamp", "2015-01-31", dt.datetime(2015, 1, 31, tzinfo=UTC)),
        ("timestamp", "2015-01-31T01:00:00+02:00", dt.datetime(2015, 1, 30, 23, tzinfo=UTC)),
        ("set", ["b", "a", "b"], ("a", "b")),
        ("set", set(), ()),
        ("set", None, None),
    ],
)
def test_a_value_is_stored_in_one_form(kind, value, stored):
    (found,) = Schema.of({"a": kind}).check({"a": [value]}, ["d0"])["a"]
    assert found == stored
    assert type(found) is type(stored)


@pytest.mark.parametrize(
    ("kind", "value", "error", "words"),
    [
        ("string", 5, SchemaError, "found int 5, expected a string; convert it with str()"),
        ("string", "\ud800", SchemaError, "broken unicode at character 0"),
        ("string", "é" * 40_000, LimitExceeded, "80,000 bytes, expected at most 65,536"),
        ("int", True, SchemaError, "found bool True, expected an int"),
        ("int", 3.0, SchemaError, "found float 3.0, expected an int; convert it with int()"),
        ("int", float("nan"), SchemaError, "pass None for a missing value"),
        ("int", 2**63, SchemaError, "64 bits"),
        ("float", float("nan"), SchemaError, "found NaN"),
        ("float", "3", SchemaError, "found str '3', expected a float"),
        ("bool", 1, SchemaError, "expected a bool"),
        ("timestamp", dt.datetime(2015, 1, 1), SchemaError, "assume_utc=True"),
        ("timestamp", "yesterday", SchemaError, "2015-01-31T12:00:00Z"),
        ("timestamp", "0001-01-01T00:00:00+14:00", SchemaError, "years 1 to 9999"),
        ("timestamp", 5, SchemaError, "expected a datetime; or declare the field as int"),
        ("set", "abc", SchemaError, "wrap it: [value]"),
        ("set", [1], SchemaError, "found the member int 1"),
        ("set", [str(n) for n in range(10_001)], LimitExceeded, "10,001 members"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_document_and_field(kind, value, error, words):
    with pytest.raises(error) as caught:
        Schema.of({"a": kind}).check({"a": [None, value]}, ["d0", "d1"])
    assert str(caught.value).startswith('document "d1", field "a": ')
    assert words in str(caught.value)


def test_an_int_of_more_digits_than_python_prints_is_refused_in_words():
    for kind, words in (("int", "very many digits"), ("float", "too large")):
        with pytest.raises(SchemaError, match=words):
            Schema.of({"a": kind}).check({"a": [10**5000]}, ["d"])


def test_times_without_an_offset_pass_where_that_was_agreed():
    schema = Schema.of({"a": dt.datetime}, assume_utc=True)
    assert schema.check({"a": [dt.datetime(2015, 1, 1)]}, ["d"])["a"] == [dt.datetime(2015, 1, 1, tzinfo=UTC)]


def test_attribute_dicts_become_columns_and_absent_is_null():
    schema = Schema.of({"a": int, "b": str})
    assert schema.columns_of([{"a": 1}, {"b": "x"}, {}], ["x", "y", "z"]) == {
        "a": [1, None, None],
        "b": [None, "x", None],
    }
    with pytest.raises(SchemaError, match='document "y": "aa" is no field of this index; did you mean "a"'):
        schema.columns_of([{"a": 1}, {"aa": 2}], ["x", "y"])
    assert schema.columns_of([{"aa": 2}], ["x"], on_unknown="ignore") == {"a": [None], "b": [None]}


def test_columns_must_be_declared_and_as_long_as_the_ids():
    schema = Schema.of({"a": int})
    with pytest.raises(SchemaError, match="2 values for 1 documents"):
        schema.check({"a": [1, 2]}, ["x"])
    with pytest.raises(SchemaError, match="is no field"):
        schema.check({"b": [1]}, ["x"])
    assert schema.check({}, ["x"]) == {"a": [None]}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None, 1], "int"),
        ([1, 2.5], "float"),
        ([2.5, 1], "float"),
        ([True, None], "bool"),
        (["a"], "string"),
        ([["a"], set()], "set"),
        ([dt.date(2015, 1, 1)], "timestamp"),
        ([np.int64(1)], "int"),
        ([np.bool_(1)], "bool"),
        ([np.float32(1)], "float"),
    ],
)
def test_a_type_is_inferred_from_the_values(values, kind):
    assert Schema.infer({"a": values}).types == {"a": kind}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, "x"], 'document "p" has an int, document "q" a string'),
        ([True, 1], "a field has one type"),
        ([None, None], "all 2 values are null"),
        ([b"x", None], "bytes is no attribute value"),
    ],
)
def test_values_that_show_no_type_are_refused(values, words):
    with pytest.raises(SchemaError) as caught:
        Schema.infer({"a": values}, ["p", "q"])
    assert words in str(caught.value)
