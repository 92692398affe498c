"""Reading a dataset: views, texts, fingerprints, judgements, damage."""

import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data import dataset_builder
from vecsmith.data.dataset import Dataset, Document
from vecsmith.data.inputs import content_key
from vecsmith.errors import Damaged, DataError


def small(folder=None, name="faq"):
    with Dataset.build(name=name, folder=folder) as builder:
        builder.add_document("a1", "Hold the button.", {"year": 2024, "tags": ["router"]}, "p1", "train")
        builder.add_document("a2", "Pull the plug.", {"year": 2023}, "p2", "test")
        builder.add_document("a3", "Pull the plug.", {"year": 2020}, "p2", "test")
        builder.add_document("a4", "Terms of use.", {})
        builder.add_record(query="reset?", positives=["Hold the button."], split="train", group="p1")
        builder.add_record(query="off?", positives=["Pull the plug."], split="test", group="p2")
        builder.add_record(
            query="stop?", positives=["Pull the plug.", "Hold the button."], scores=[0.5, 0.0], split="test"
        )
        builder.add_record(query="alike", positives=["off?"], kind="pair", split="test")
        return builder.finish()


def test_documents_come_back_as_they_were_given():
    documents = small().documents
    assert documents[0] == Document("a1", "Hold the button.", {"year": 2024, "tags": ["router"]}, "p1", 0, "train")
    assert documents[-1].attributes == {"year": None, "tags": None}
    assert documents.ids == ["a1", "a2", "a3", "a4"]
    assert [document.id for document in documents] == documents.ids
    assert documents.inputs.tolist() == [0, 1, 1, 2]
    with pytest.raises(IndexError):
        documents[4]


def test_a_split_holds_its_own_rows_and_the_documents_of_no_split():
    test = small().split("test")
    assert test.documents.ids == ["a2", "a3", "a4"]
    assert test.records.num_rows == 3
    assert test.inputs.num_rows == small().inputs.num_rows


def test_a_split_that_is_not_there_names_those_that_are():
    with pytest.raises(DataError, match='no split "dev" in dataset faq; known: test, train'):
        small().split("dev")


def test_filter_and_select_keep_row_numbers_of_inputs():
    dataset = small()
    view = dataset.filter(documents=np.array([False, True, False, True]), records=np.array([False, True, False, False]))
    assert view.documents.ids == ["a2", "a4"]
    assert view.text(view.records["query"][0].as_py()) == "off?"
    assert dataset.select(documents=[3, 0], records=[]).documents.ids == ["a4", "a1"]
    assert dataset.select(documents=[3, 0]).records.num_rows == 4


def test_saving_a_view_and_opening_it_gives_it_back(tmp_path):
    view = small().split("test")
    saved = view.save(tmp_path / "test")
    assert saved.fingerprint() == view.fingerprint()
    assert list(saved.documents) == list(view.documents)
    assert saved.documents.table.schema == view.documents.table.schema
    with pytest.raises(FileExistsError):
        view.save(tmp_path / "test")


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 40), block=st.sampled_from([1, 7, 1000]), data=st.data())
def test_texts_and_keys_come_in_the_order_asked_for_whatever_the_chunks(count, block, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_builder, "BLOCK_ROWS", block)
        with Dataset.build(name="x") as builder:
            for number in range(count):
                builder.add_record(query=f"text {number}", kind="plain")
            dataset = builder.finish()
    rows = data.draw(st.lists(st.integers(0, count - 1), max_size=20))
    assert dataset.texts(rows) == [f"text {row}" for row in rows]
    assert dataset.keys(rows).tolist() == [content_key(f"text {row}") for row in rows]


@pytest.mark.parametrize("row", [-1, 7])
def test_a_row_that_is_not_there_is_an_index_error(row):
    with pytest.raises(IndexError, match="of 7 inputs"):
        small().texts([row])


def test_the_fingerprint_speaks_of_contents_alone(tmp_path):
    here, there = small(), small(tmp_path / "set", name="other")
    assert here.fingerprint() == there.fingerprint()
    assert here.fingerprint() != here.split("test").fingerprint()
    changed = here.with_splits(documents=["train"] * 4, records=here.records["split"])
    assert changed.fingerprint() != here.fingerprint()


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(
        st.tuples(st.text(), st.none() | st.lists(st.integers(0, 9), max_size=3), st.none() | st.booleans())
    ),
    cuts=st.lists(st.integers(0, 20), max_size=3),
)
def test_the_fingerprint_does_not_see_how_a_table_is_cut(values, cuts):
    from vecsmith.data.fingerprint import fingerprint_tables

    types = (pa.string(), pa.list_(pa.int64()), pa.bool_())
    names = ("text", "list", "flag")
    columns = list(zip(*values, strict=True)) or [(), (), ()]
    table = pa.table({name: pa.array(column, type) for name, column, type in zip(names, columns, types, strict=True)})
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    pieces = pa.concat_tables([table.slice(a, b - a) for a, b in pairwise(edges)])
    assert fingerprint_tables(pieces) == fingerprint_tables(table)


@pytest.mark.parametrize(
    ("one", "other"),
    [(["ab", "c"], ["a", "bc"]), ([None, "a"], ["", "a"]), ([[1], [2, 3]], [[1, 2], [3]]), ([None], [[]]), ([1], [2])],
)
def test_values_that_differ_only_at_their_borders_have_other_fingerprints(one, other):
    from vecsmith.data.fingerprint import fingerprint_tables

    type = pa.array([value for value in [*one, *other] if value] or [[1]]).type
    first, second = (fingerprint_tables(pa.table({"a": pa.array(values, type)})) for values in (one, other))
    assert first != second


def test_judgements_name_every_document_that_carries_a_positive():
    judgements = small().split("test").judgements()
    assert judgements.query_texts == ["off?", "stop?"]
    assert judgements.document_ids == ["a2", "a3", "a4"]
    assert judgements.relevance == {0: {"a2": 1.0, "a3": 1.0}, 1: {"a2": 0.5, "a3": 0.5}}


def test_a_positive_scored_0_is_no_relevant_document():
    judgements = small().judgements()
    assert "a1" in judgements.document_ids
    assert judgements.relevance[2] == {"a2": 0.5, "a3": 0.5}


def test_queries_that_repeat_are_one_query_with_the_highest_relevance():
    with Dataset.build(name="x") as builder:
        for name in ("a", "b"):
            builder.add_document(name, f"text {name}")
        builder.add_record(query="q", positives=["text a"], scores=[0.3])
        builder.add_record(query="q", positives=["text a", "text b"], scores=[0.9, 0.4])
        builder.add_record(query="q", positives=["text a"], scores=[0.6])
        judgements = builder.finish().judgements()
    assert judgements.query_texts == ["q"]
    assert judgements.relevance[0] == pytest.approx({"a": 0.9, "b": 0.4})


def test_a_folder_without_a_dataset_says_so(tmp_path):
    with pytest.raises(DataError, match=r"no dataset\.json here"):
        Dataset.open(tmp_path)


def test_a_cut_table_is_damage(tmp_path):
    small(tmp_path / "set")
    file = tmp_path / "set" / "records.arrow"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(Damaged, match=r"records\.arrow: cannot be read"):
        Dataset.open(tmp_path / "set")
    file.unlink()
    with pytest.raises(Damaged, match=r"records\.arrow"):
        Dataset.open(tmp_path / "set")


def test_tables_that_disagree_with_the_description_are_damage(tmp_path):
    small(tmp_path / "set")
    file = tmp_path / "set" / "dataset.json"
    description = json.loads(file.read_text())
    file.write_text(json.dumps({**description, "rows": {**description["rows"], "inputs": 3}}))
    with pytest.raises(Damaged, match=r"inputs\.arrow: 7 rows where dataset\.json says 3"):
        Dataset.open(tmp_path / "set")
    file.write_text(json.dumps({**description, "version": 9}))
    with pytest.raises(DataError, match="version 9; this vecsmith reads"):
        Dataset.open(tmp_path / "set")
    file.write_text("{")
    with pytest.raises(Damaged, match=r"dataset\.json"):
        Dataset.open(tmp_path / "set")


def test_a_paraphrase_has_the_key_of_its_source_and_counts_in_the_fingerprint():
    from vecsmith.data.columns import input_keys
    from vecsmith.data.pairs.extension import Extension
    from vecsmith.data.pairs.record_rows import RecordRows

    with Dataset.build(name="faq") as builder:
        builder.add_record(query="How do I reset it?", positives=["Hold the button."])
        plain = builder.finish()
    more, twin = Extension(plain), Extension(plain)
    more.row("Keep the button pressed.", same_as=1)
    twin.row("Keep the button pressed.")
    told, untold = (each.finish(RecordRows()) for each in (more, twin))
    assert told.keys([1]) == told.keys([2]) == untold.keys([1]) != untold.keys([2])
    assert (told.keys(range(3)) == input_keys(told.inputs)).all()
    assert told.fingerprint() != untold.fingerprint()
