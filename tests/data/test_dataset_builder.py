"""Building a dataset, in memory and on disk, against plain dicts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data import dataset_builder
from vecsmith.data.dataset import Dataset
from vecsmith.data.inputs import content_id
from vecsmith.errors import DataError

texts = st.sampled_from(["a", "b", "c", "d", "cafe\u0301", "caf\u00e9", "long " * 50])
rows = st.lists(st.tuples(texts, st.lists(texts, max_size=3), st.lists(texts, max_size=2)), max_size=12)


def build(rows, folder=None):
    with Dataset.build(name="x", folder=folder) as builder:
        for number, (query, positives, negatives) in enumerate(rows):
            builder.add_document(f"d{number}", query, {"n": number}, group=f"g{number % 3}")
            builder.add_record(query=query, positives=positives, negatives=negatives)
        return builder.finish()


def inputs_by_dict(rows):
    seen = {}
    for query, positives, negatives in rows:
        for text in (query, *positives, *negatives):
            seen.setdefault(content_id(text), len(seen))
    return seen


@settings(max_examples=60, deadline=None)
@given(rows=rows, block=st.sampled_from([1, 3, 65536]))
def test_each_distinct_text_is_stored_once_and_rows_point_to_it(rows, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_builder, "BLOCK_ROWS", block)
        dataset = build(rows)
    expected = inputs_by_dict(rows)
    assert [content.hex() for content in dataset.inputs["content"].to_pylist()] == list(expected)
    assert [content_id(text) for text in dataset.inputs["text"].to_pylist()] == list(expected)
    for record, (query, positives, negatives) in zip(dataset.records.to_pylist(), rows, strict=True):
        assert record["query"] == expected[content_id(query)]
        assert record["positives"] == [expected[content_id(text)] for text in positives]
        assert record["negatives"] == [expected[content_id(text)] for text in negatives]


@settings(max_examples=15, deadline=None)
@given(rows=rows)
def test_memory_and_disk_hold_the_same(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("data") / "set"
    here, there = build(rows), build(rows, folder)
    assert there.path == folder
    assert here.inputs.equals(there.inputs)
    assert here.documents.table.equals(there.documents.table)
    assert here.records.equals(there.records)
    assert here.fingerprint() == there.fingerprint() == Dataset.open(folder).fingerprint()


def test_the_folder_holds_three_tables_and_a_description(tmp_path):
    build([("a", ["b"], [])], tmp_path / "set")
    assert sorted(os.listdir(tmp_path / "set")) == [
        "dataset.json",
        "documents.arrow",
        "inputs.arrow",
        "records.arrow",
    ]
    assert os.listdir(tmp_path) == ["set"]


def test_all_fields_of_a_record_come_back():
    fields = {
        "scores": [1.0, 0.25],
        "teacher_scores": [12.5, -3.0],
        "label": "yes",
        "weight": 2.0,
        "group": "g",
        "kind": "scored",
        "split": "dev",
        "instruction_query": "Find",
        "instruction_document": "Given",
        "id": "q1",
        "grades": [2.0],
    }
    with Dataset.build(name="x") as builder:
        builder.add_record(query="q", positives=["p"], negatives=["n"], **fields)
        record = builder.finish().records.to_pylist()[0]
    assert record == {"query": 0, "positives": [1], "negatives": [2], "dataset": "x", **fields}


def build_documents(rows, folder=None, **options):
    """Documents of (id, text, file, row)."""
    with Dataset.build(name="x", folder=folder, **options) as builder:
        for name, text, file, row in rows:
            builder.add_document(name, text, origin=(file, row))
        return builder.finish()


@pytest.mark.parametrize("block", [1, 65536])
def test_an_id_that_stands_twice_names_both_rows(monkeypatch, block):
    monkeypatch.setattr(dataset_builder, "BLOCK_ROWS", block)
    rows = [("w", "1", "a.csv", 2), ("x", "2", "a.csv", 3), ("y", "3", "b.csv", 8), ("x", "2", "b.csv", 9)]
    with pytest.raises(DataError, match=r'^b\.csv, row 9: document id "x" stands in row 3 of a\.csv too; an id names'):
        build_documents(rows)


def test_the_first_of_two_repeated_ids_is_the_one_in_the_message():
    with pytest.raises(DataError, match=r'row 3: document id "b" stands in row 1 too'):
        build_documents([(name, f"text {row}", "t.csv", row) for row, name in enumerate(["b", "a", "b", "a"], 1)])


DOCUMENTS = [("a", {}, None), ("a", {}, None), ("a", {"y": 1}, None), ("a", {}, "g"), ("b", {}, None)]


def test_documents_without_ids_that_agree_in_all_are_one():
    with Dataset.build(name="x") as builder:
        for text, attributes, group in DOCUMENTS:
            builder.add_document(None, text, attributes, group)
        documents = builder.finish().documents
    assert len(documents) == 4
    assert documents[0].id == content_id("a")
    assert [document.input for document in documents] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"query": "  "}, "the query is empty; it needs text"),
        ({"positives": [""]}, "the positive is empty"),
        ({"negatives": ["\n"]}, "the negative is empty"),
        ({"query": "\ud800"}, "half of a surrogate pair at character 0"),
        ({"kind": "triplet"}, '"triplet" is none of retrieval, pair, scored, class, plain'),
        ({"scores": [1.0, 1.0]}, "2 scores for 1 positives and negatives"),
        ({"scores": [float("nan")]}, "scores holds nan; a score is a finite number"),
        ({"scores": [1.5]}, "outside 0 to 1"),
        ({"teacher_scores": [float("inf")]}, "teacher_scores holds inf"),
        ({"weight": -1.0}, "weight is -1.0; a weight is a finite number from 0"),
    ],
)
def test_a_faulty_record_is_refused_with_its_place(change, words):
    with Dataset.build(name="x") as builder, pytest.raises(DataError, match=words) as caught:
        builder.add_record(**{"query": "q", "positives": ["p"], "origin": ("t.csv", 4), **change})
    assert str(caught.value).startswith("t.csv, row 4: ")


def test_an_attribute_cannot_take_the_name_of_a_column_of_ours():
    with Dataset.build(name="x") as builder, pytest.raises(DataError, match='"group" cannot name an attribute'):
        builder.add_document("a", "text", {"group": 1})


def test_an_attribute_of_no_type_names_its_document():
    with Dataset.build(name="x") as builder:
        builder.add_document("a", "text", {"place": "here"})
        builder.add_document("b", "text", {"place": {"lat": 1}})
        with pytest.raises(DataError, match='document "b", attribute "place": dict is no attribute type'):
            builder.finish()


def test_a_builder_left_by_an_error_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), Dataset.build(name="x", folder=tmp_path / "set") as builder:
        builder.add_document("a", "text")
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_a_builder_left_without_finish_leaves_nothing(tmp_path):
    with Dataset.build(name="x", folder=tmp_path / "set") as builder:
        builder.add_document("a", "text")
    assert os.listdir(tmp_path) == []


def test_an_error_while_finishing_leaves_the_old_dataset(tmp_path):
    build([("a", ["b"], [])], tmp_path / "set")
    with pytest.raises(DataError, match="stands in row 1 too"):
        build_documents([("a", "one", "t", 1), ("a", "two", "t", 2)], tmp_path / "set", replace=True)
    assert os.listdir(tmp_path) == ["set"]
    assert len(Dataset.open(tmp_path / "set").records) == 1


def test_an_existing_folder_is_kept_unless_replace_is_said(tmp_path):
    build([("a", ["b"], [])], tmp_path / "set")
    with pytest.raises(FileExistsError):
        Dataset.build(name="x", folder=tmp_path / "set")
    with Dataset.build(name="y", folder=tmp_path / "set", replace=True) as builder:
        assert builder.finish().name == "y"


@pytest.mark.parametrize("name", ["", "\ud800"])
def test_an_id_without_text_is_refused(name):
    with Dataset.build(name="x") as builder, pytest.raises(DataError, match=r"t, row 1: .* is no document id"):
        builder.add_document(name, "text", origin=("t", 1))


@pytest.mark.parametrize("change", [{"group": "\ud800"}, {"attributes": {"a": "\ud800"}}])
def test_half_a_surrogate_pair_beside_the_text_is_refused_too(change):
    with Dataset.build(name="x") as builder, pytest.raises(DataError, match="has half of a surrogate pair"):
        builder.add_document("a", "text", **change)
        builder.finish()


def test_ids_are_compared_byte_by_byte():
    dataset = build_documents([("caf\u00e9", "one", "t", 1), ("cafe\u0301", "two", "t", 2)])
    assert len(dataset.documents) == 2


FILL = """
import resource, sys
from vecsmith.data.dataset import Dataset
from vecsmith.errors import DiskFull
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    with Dataset.build(name="x", folder=sys.argv[1], replace=True) as builder:
        for number in range(int(sys.argv[2])):
            builder.add_document(f"d{number}", f"text {number} " * 10)
        builder.finish()
except DiskFull as error:
    print(error)
"""


@pytest.mark.parametrize("rows", [100_000, 10_000])  # full while a block is written; full at the end
def test_a_full_disk_is_named_and_leaves_the_old_dataset(tmp_path, rows):
    build([("a", ["b"], [])], tmp_path / "set")
    command = [sys.executable, "-c", FILL, str(tmp_path / "set"), str(rows)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "file too large" in said
    assert "What was there before is unchanged" in said
    assert os.listdir(tmp_path) == ["set"]
    assert len(Dataset.open(tmp_path / "set").records) == 1


def test_nothing_at_all_is_a_dataset_too(tmp_path):
    dataset = build([], tmp_path / "set")
    assert (dataset.inputs.num_rows, len(dataset.documents), dataset.records.num_rows) == (0, 0, 0)
    assert list(dataset.documents) == []
    assert Path(dataset.path or "").is_dir()
