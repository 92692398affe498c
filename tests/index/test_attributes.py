"""The column store: what goes in comes out, damage is named, opening is cheap."""

import datetime as dt
import random
import subprocess
import sys

import numpy as np
import pytest

from vecsmith.errors import Damaged, DiskFull, SchemaError, WhereError
from vecsmith.index.attributes import Attributes, write_attributes
from vecsmith.index.attributes_check import contradictions
from vecsmith.index.schema import Schema
from vecsmith.index.where import field, parse_where
from vecsmith.index.where_tree import Compare, HasAny, Ids, In, Not

SCHEMA = Schema.of({"n": int, "w": float, "s": str, "b": bool, "t": dt.datetime, "tags": set})
COLUMNS = {
    "n": [1, None, -(2**63), 2**63 - 1],
    "w": [0.5, float("inf"), None, -0.0],
    "s": ["it's", "数据", None, "a\x00b"],
    "b": [True, None, False, True],
    "t": [dt.datetime(1, 1, 1, tzinfo=dt.UTC), None, dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.UTC),
          dt.datetime(1969, 12, 31, 23, 59, 59, 1, dt.UTC)],
    "tags": [["a", "b"], [], None, ["b"]],
}  # fmt: skip
IDS = ["d", "c", "b", "ä"]


@pytest.fixture
def store(tmp_path):
    write_attributes(tmp_path, COLUMNS, SCHEMA, IDS)
    return Attributes.open(tmp_path, SCHEMA)


def test_what_goes_in_comes_out(store):
    assert store.count == 4
    for name, values in COLUMNS.items():
        assert store.column(name) == values
        assert store.values(name, [3, 0, 3]) == [values[3], values[0], values[3]]
        assert store.values(name, []) == []
    assert store.ids() == IDS
    assert store.ids([2]) == ["b"]
    assert store.rows_of(["ä", "absent", "d"]) == [3, 0]


def test_a_column_read_and_written_again_is_the_same(store, tmp_path):
    (tmp_path / "again").mkdir()
    write_attributes(tmp_path / "again", {name: store.column(name) for name in SCHEMA.fields}, SCHEMA, store.ids())
    assert (tmp_path / "again" / "attributes.bin").read_bytes() == (tmp_path / "attributes.bin").read_bytes()


def test_no_rows_and_all_null_rows_are_stored_and_asked(tmp_path):
    for name, count in (("none", 0), ("null", 3)):
        folder = tmp_path / name
        folder.mkdir()
        write_attributes(folder, {}, SCHEMA, [f"d{n}" for n in range(count)])
        store = Attributes.open(folder)
        for text in ("n < 5", "s starts with ''", "tags has 'a'", "b", "w in (1,2,3,4,5,6)", "t = date '2015-01-01'"):
            assert store.mask(parse_where(text, SCHEMA)).tolist() == [False] * count
            assert store.mask(Not(parse_where(text, SCHEMA))).tolist() == [False] * count
        assert store.mask(parse_where("s is null and n is distinct from 3", SCHEMA)).tolist() == [True] * count
        assert store.column("tags") == [None] * count


def test_a_field_declared_after_the_segment_was_written_is_null(tmp_path):
    write_attributes(tmp_path, {"n": [1, 2]}, Schema.of({"n": int}), ["a", "b"])
    store = Attributes.open(tmp_path, Schema.of({"n": int, "s": str}))
    assert store.column("s") == [None, None]
    assert store.mask(parse_where("s is null or s = 'x'", store.schema)).all()
    assert store.mask(parse_where("s is distinct from 'x' and not s is not distinct from 'x'", store.schema)).all()
    assert not store.mask(parse_where("s != 'x'", store.schema)).any()


def test_a_mask_belongs_to_the_caller(store):
    for text in ("n is not null", "true", "b", "s = 'x' or true"):
        mask = store.mask(parse_where(text, SCHEMA))
        mask[:] = False
    assert store.column("n") == COLUMNS["n"]
    assert store.mask(parse_where("n is not null", SCHEMA)).sum() == 3


@pytest.mark.parametrize(
    ("kind", "stored", "op", "value", "passes"),
    [
        (float, 2.0**53, "=", 2**53 + 1, False),
        (float, 2.0**53, "<", 2**53 + 1, True),
        (float, 2.0**53 + 2, ">", 2**53 + 1, True),
        (float, 2.0**53 + 2, "<=", 2**53 + 1, False),
        (float, float("inf"), ">", 10**400, True),
        (float, float("-inf"), "<", -(10**400), True),
        (float, float("inf"), ">", float("inf"), False),
        (float, float("inf"), ">=", float("inf"), True),
        (float, -0.0, "=", 0, True),
        (float, -0.0, "<", 0.0, False),
        (float, 5e-324, ">", 0, True),
        (int, 2**63 - 1, "=", 2.0**63, False),
        (int, 2**63 - 1, "<", 2.0**63, True),
        (int, 2**53 + 1, ">", 2.0**53, True),
        (int, 2019, ">", 2018.5, True),
        (int, 2018, ">", 2018.5, False),
        (int, 2019, "=", 2019.5, False),
        (int, 2019, "!=", 2019.5, True),
        (int, -3, "<", -2.5, True),
        (int, 5, "<", float("inf"), True),
        (int, 5, "=", 10**400, False),
        (int, 5, ">", -(10**400), True),
    ],
)
def test_numbers_compare_exactly_across_types(tmp_path, kind, stored, op, value, passes):
    schema = Schema.of({"x": kind})
    write_attributes(tmp_path, {"x": [stored]}, schema, ["a"])
    assert Attributes.open(tmp_path).mask(Compare("x", op, value)).tolist() == [passes]


def test_composed_and_decomposed_letters_are_two_values(tmp_path):
    schema = Schema.of({"s": str})
    write_attributes(tmp_path, {"s": ["é", "e\u0301"]}, schema, ["a", "b"])
    assert Attributes.open(tmp_path).mask(field("s") == "é").tolist() == [True, False]


def test_very_many_values_are_found_as_few_are(tmp_path):
    draw = random.Random(3)
    texts = [f"text {draw.randrange(5_000)}" for _ in range(3_000)]
    numbers = [draw.randrange(5_000) for _ in range(3_000)]
    write_attributes(
        tmp_path, {"s": texts, "n": numbers}, Schema.of({"s": str, "n": int}), [f"d{n}" for n in range(3_000)]
    )
    store = Attributes.open(tmp_path)
    wanted = {draw.randrange(9_000) for _ in range(4_000)}
    found = store.mask(In("s", tuple(f"text {n}" for n in wanted)))
    assert found.tolist() == [int(text[5:]) in wanted for text in texts]
    assert store.mask(In("n", tuple(wanted))).tolist() == [number in wanted for number in numbers]
    assert store.mask(Ids(tuple(f"d{n}" for n in wanted))).tolist() == [n in wanted for n in range(3_000)]


def test_refused_rows_leave_nothing_behind(tmp_path):
    for columns, ids, words in (
        ({"n": [1, "x"]}, ["a", "b"], 'document "b", field "n"'),
        ({"n": [1, 2]}, ["a", "a"], 'the id "a" stands in rows 0 and 1'),
        ({"n": [1]}, [5], "ids are strings"),
        ({"n": [1]}, ["\ud800"], "broken unicode"),
    ):
        with pytest.raises(SchemaError, match=words):
            write_attributes(tmp_path, columns, SCHEMA, ids)
    assert list(tmp_path.iterdir()) == []


def test_a_filter_is_checked_before_rows_are_read(store):
    with pytest.raises(WhereError, match='unknown field "m"'):
        store.mask(Compare("m", "=", 1))
    with pytest.raises(WhereError, match="is a set"):
        store.mask(Compare("tags", "=", "a"))
    with pytest.raises(WhereError, match="asks sets"):
        store.mask(HasAny("s", ("a",)))
    with pytest.raises(SchemaError, match='"m" is no field'):
        store.values("m", [0])
    with pytest.raises(IndexError, match="of 4"):
        store.values("n", [4])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:10]), "cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "header was changed or cut"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "were written"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "were written"),
        (lambda path: path.write_bytes(b"PK" + path.read_bytes()[2:]), "no attributes file"),
        (lambda path: path.write_bytes(flipped(path.read_bytes(), 200)), "header was changed"),
    ],
)
def test_damage_is_named_at_open(tmp_path, damage, words):
    (path,) = write_attributes(tmp_path, COLUMNS, SCHEMA, IDS)
    damage(path)
    with pytest.raises(Damaged, match=words) as caught:
        Attributes.open(tmp_path, SCHEMA)
    assert str(path) in str(caught.value)


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_type_other_than_the_declared_one_is_damage(tmp_path):
    write_attributes(tmp_path, {"n": [1]}, Schema.of({"n": int}), ["a"])
    with pytest.raises(Damaged, match='"n" is stored as int, the index declares float'):
        Attributes.open(tmp_path, Schema.of({"n": float}))


def test_codes_that_point_nowhere_are_damage_not_an_answer(tmp_path):
    (path,) = write_attributes(tmp_path, {"s": ["a", "b"]}, Schema.of({"s": str}), ["x", "y"])
    store = Attributes.open(tmp_path)
    place = store._start + store._places["s"]["codes"][2]
    path.write_bytes(path.read_bytes()[:place] + b"\x55" + path.read_bytes()[place + 1 :])
    with pytest.raises(Damaged, match="vecsmith index verify"):
        Attributes.open(tmp_path).column("s")


def test_lists_that_point_outside_the_rows_are_damage_not_an_answer(tmp_path):
    (path,) = write_attributes(tmp_path, {"s": [["a"], ["b"]]}, Schema.of({"s": set}), ["x", "y"])
    store = Attributes.open(tmp_path)
    place = store._start + store._places["s"]["posting"][2]
    path.write_bytes(path.read_bytes()[:place] + b"\x55" + path.read_bytes()[place + 1 :])
    with pytest.raises(Damaged, match="vecsmith index verify"):
        Attributes.open(tmp_path).mask(HasAny("s", ("a", "b")))


def test_sound_arrays_do_not_contradict_each_other(store, tmp_path):
    assert contradictions(store) == []
    (tmp_path / "empty").mkdir()
    write_attributes(tmp_path / "empty", {}, SCHEMA, [])
    assert contradictions(Attributes.open(tmp_path / "empty")) == []


@pytest.mark.parametrize(
    ("field_name", "part", "words"),
    [
        ("s", "codes", 'field "s": codes lie outside its dictionary'),
        ("s", "blob", 'field "s": its dictionary is not sorted'),
        ("b", "codes", 'field "b": codes beyond 1'),
        ("tags", "members", 'field "tags": codes lie outside its dictionary'),
        ("tags", "posting", 'field "tags": its inverted lists differ from its rows'),
        ("tags", "starts", 'field "tags": its rows do not cover its members'),
        ("_id", "row_of", "ids: the row of an id holds another id"),
    ],
)
def test_arrays_that_contradict_each_other_are_named(tmp_path, field_name, part, words):
    (path,) = write_attributes(tmp_path, COLUMNS, SCHEMA, IDS)
    store = Attributes.open(tmp_path)
    place = store._start + store._places[field_name][part][2]
    byte = b"\x02" if part == "posting" else b"\x7f"
    path.write_bytes(path.read_bytes()[:place] + byte + path.read_bytes()[place + 1 :])
    assert contradictions(Attributes.open(tmp_path)) == [words]


def test_a_string_of_64_kib_is_stored_and_found(tmp_path):
    text = "é" * 32_768
    write_attributes(tmp_path, {"s": [text, text[:-1]]}, Schema.of({"s": str}), ["a", "b"])
    assert Attributes.open(tmp_path).mask(field("s") == text).tolist() == [True, False]


def test_a_thousand_fields_are_stored(tmp_path):
    schema = Schema.of({f"f{n}": int for n in range(1_000)})
    write_attributes(tmp_path, {f"f{n}": [n] for n in range(1_000)}, schema, ["a"])
    assert Attributes.open(tmp_path).column("f999") == [999]


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    (path,) = write_attributes(tmp_path, COLUMNS, SCHEMA, IDS)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFull, match=r"attributes\.bin"):
        write_attributes(tmp_path, {}, SCHEMA, ["other"])
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["attributes.bin"]


def test_reading_imports_neither_pyarrow_nor_torch_nor_pandas(tmp_path):
    write_attributes(tmp_path, COLUMNS, SCHEMA, IDS)
    code = (
        "import sys; from pathlib import Path; from vecsmith.index.attributes import Attributes;"
        "from vecsmith.index.where import parse_where; store = Attributes.open(Path(sys.argv[1]));"
        "assert store.mask(parse_where('b', store.schema)).sum() == 2;"
        "print([name for name in ('pyarrow', 'torch', 'pandas', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_opening_reads_only_the_header(store):
    assert not store._opened
    assert store.values("n", np.array([0])) == [1]
    assert list(store._opened) == ["n"]
