"""Types of attributes: what they become, and that no order of the values changes it."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data import dataset_builder
from vecsmith.data.attributes import Column, kind_of, text_of, widen
from vecsmith.data.dataset import Dataset

ALL_READINGS = ("int", "float", "bool", "time")


def column_type(values, readings=()):
    column = Column(readings)
    column.see(values)
    return column.final


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "22", "-3", "0"], "int"),
        (["1", "2.5"], "float"),
        (["1.", ".5", "-0.25", "3e8"], "float"),
        (["true", "False"], "bool"),
        (["2024-01-05", "2024-01-05T10:00:00", "2024-01-05T10:00:00Z"], "time"),
        (["007", "1"], "text"),  # a number would lose the zeros
        (["12345678901234567890"], "text"),  # beyond int64, and a float would change it
        (["9007199254740993", "1.5"], "text"),
        (["1e400"], "text"),
        (["e5"], "text"),
        (["-"], "text"),
        (["nan"], "text"),
        (["1", "true"], "text"),
        (["2024-13-01"], "text"),
        (["2024"], "int"),
        (["1 ", "2"], "text"),
        ([None, None], "text"),
        ([None, "4"], "int"),
    ],
)
def test_text_is_read_as_what_all_of_it_allows(texts, kind):
    assert column_type(texts, ALL_READINGS) == kind


def test_text_of_a_typed_source_stays_text():
    assert column_type(["1", "2"]) == "text"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "int"),
        ([1, 2.5], "float"),
        ([2**53 + 1, 2.5], "text"),
        ([2**70], "text"),
        ([True, 1], "text"),
        ([["a"], "b"], "list"),
        ([{"a", "b"}], "list"),
        ([date(2024, 1, 5), datetime(2024, 1, 5)], "time"),
        ([date(2024, 1, 5), "soon"], "text"),
    ],
)
def test_typed_values_widen(values, kind):
    assert column_type(values) == kind


@pytest.mark.parametrize("readings", [(), ALL_READINGS])
@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([2**63], ["9223372036854775808"]),
        ([2**63 - 1, 2**63], ["9223372036854775807", "9223372036854775808"]),
        ([-(2**63) - 1, 1.5], ["-9223372036854775809", "1.5"]),
        (["1", 2**63], ["1", "9223372036854775808"]),
        ([True, 2**64 - 1], ["true", "18446744073709551615"]),
    ],
)
def test_integers_beyond_int64_keep_their_digits_as_text(column, expected, readings):
    for order in (1, -1):
        type_, found = build(list(enumerate(column))[::order], readings)
        assert type_ == pa.string()
        assert [found[f"d{number}"] for number in range(len(column))] == expected


def test_an_object_is_no_attribute():
    with pytest.raises(TypeError, match="dict is no attribute type"):
        kind_of({})


kinds = st.sampled_from([None, "bool", "int", "float", "text", "time", "list"])


@given(kinds, kinds, kinds)
def test_widening_is_commutative_associative_and_idempotent(a, b, c):
    assert widen(a, b) == widen(b, a)
    assert widen(widen(a, b), c) == widen(a, widen(b, c))
    assert widen(a, a) == a


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["1", "1.5", "true", "2024-01-05", "x", ""]),
    st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.sampled_from([None, UTC])),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
)


def build(column, readings):
    with Dataset.build(name="x") as builder:
        builder.declare_attributes(["a"], readings=readings)
        for number, value in column:
            builder.add_document(f"d{number}", f"text {number}", {"a": value})
        table = builder.finish().documents.table
    return table.schema.field("a").type, dict(zip(table["id"].to_pylist(), table["a"].to_pylist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(column=st.lists(values, min_size=1, max_size=8), data=st.data(), readings=st.sampled_from([(), ALL_READINGS]))
def test_neither_order_nor_blocks_change_types_or_values(column, data, readings):
    numbered = list(enumerate(column))
    other = data.draw(st.permutations(numbered))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_builder, "BLOCK_ROWS", 1)  # every value a block: each change of type a new segment
        one_by_one = build(other, readings)
    assert build(numbered, readings) == one_by_one


def test_whole_floats_and_integers_are_one_text():
    assert text_of(7.0) == text_of(7) == "7"
    assert text_of(7.5) == "7.5"
    assert text_of(True) == "true"


def test_sets_lose_duplicates_and_order_but_the_empty_one_is_not_null():
    type_, found = build([(0, ["b", "a", "b"]), (1, []), (2, None), (3, "c")], ())
    assert type_ == pa.list_(pa.string())
    assert found == {"d0": ["a", "b"], "d1": [], "d2": None, "d3": ["c"]}


def test_naive_times_are_taken_as_utc():
    type_, found = build([(0, "2024-01-05"), (1, "2024-01-05T12:00:00+02:00")], ("time",))
    assert type_ == pa.timestamp("us", tz="UTC")
    assert found == {"d0": datetime(2024, 1, 5, tzinfo=UTC), "d1": datetime(2024, 1, 5, 10, tzinfo=UTC)}
