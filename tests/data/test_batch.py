"""gather_batch against a dict-and-loops reference; known pairs, classes, instructions, scores, and their errors."""

import numpy as np
import pytest
import torch

from vecsmith.data.batch import Batch, gather_batch
from vecsmith.data.columns import Ragged, RecordColumns
from vecsmith.data.dataset import Dataset
from vecsmith.data.inputs import content_key
from vecsmith.errors import DataError, NotEnoughData

RECORDS = [
    {"query": "a", "positives": ["x", "y"], "negatives": ["z"], "group": "g1"},
    {"query": "b", "positives": ["y"], "negatives": ["x", "w", "v"], "group": "g1"},
    {"query": "a", "positives": ["w"], "weight": 2.0},
    {"query": "c", "positives": ["c"], "negatives": ["a"], "group": "g2"},
]


def build(records, kind="retrieval"):
    with Dataset.build(name="toy") as builder:
        for record in records:
            builder.add_record(**{"kind": kind, "positives": [], **record})
        return builder.finish()


@pytest.fixture(scope="module")
def dataset():
    return build(RECORDS)


def words(dataset, block, index):
    texts = dataset.texts(block.rows.numpy())
    return [[texts[place] for place in row if place >= 0] for row in index.tolist()]


@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [3, 0], [2], [1, 1]])
def test_rows_name_the_texts_of_their_records(dataset, rows):
    batch = gather_batch(RecordColumns(dataset), np.array(rows))
    assert words(dataset, batch.queries, batch.query_index[:, None]) == [[RECORDS[row]["query"]] for row in rows]
    assert words(dataset, batch.documents, batch.positives) == [RECORDS[row]["positives"] for row in rows]
    assert words(dataset, batch.documents, batch.negatives) == [RECORDS[row].get("negatives", []) for row in rows]
    assert batch.weights.tolist() == [RECORDS[row].get("weight", 1.0) for row in rows]


def test_every_distinct_input_stands_once_on_each_side(dataset):
    batch = gather_batch(RecordColumns(dataset), np.arange(4))
    assert sorted(dataset.texts(batch.queries.rows.numpy())) == ["a", "b", "c"]
    assert sorted(dataset.texts(batch.documents.rows.numpy())) == ["a", "c", "v", "w", "x", "y", "z"]


def test_keys_are_content_keys_and_equal_on_both_sides(dataset):
    batch = gather_batch(RecordColumns(dataset), np.arange(4))
    for block in (batch.queries, batch.documents):
        assert block.keys.tolist() == [content_key(text) for text in dataset.texts(block.rows.numpy())]


def test_known_lists_every_known_positive_that_the_batch_holds(dataset):
    batch = gather_batch(RecordColumns(dataset), np.array([0, 1, 3]))
    texts = dataset.texts(batch.documents.rows.numpy())
    found = {(row, texts[place]) for row, place in batch.known.tolist()}
    # w is a positive of "a" in a record that is not in this batch, and here a negative of "b".
    assert found == {(0, "x"), (0, "y"), (0, "w"), (1, "y"), (2, "c")}


def test_groups_are_equal_where_the_names_are_and_minus_one_where_absent(dataset):
    groups = gather_batch(RecordColumns(dataset), np.arange(4)).groups.tolist()
    assert groups[0] == groups[1] != groups[3]
    assert groups[2] == -1


def test_a_batch_goes_through_a_plain_dict_and_back(dataset):
    batch = gather_batch(RecordColumns(dataset), np.arange(4), seed=5, encode=lambda *_: {"input_ids": torch.ones(1)})
    plain = batch.to_dict()
    assert "labels" not in plain
    again = Batch.from_dict({**plain, "record_rows": np.arange(4)})
    assert torch.equal(again.positives, batch.positives)
    assert torch.equal(again.documents.features["input_ids"], torch.ones(1))
    assert (again.seed, again.scores) == (5, None)


def test_selecting_rows_keeps_the_blocks_and_renumbers_known(dataset):
    batch = gather_batch(RecordColumns(dataset), np.arange(4))
    part = batch.select(torch.tensor([3, 0]))
    assert len(part.documents) == len(batch.documents)
    assert part.positives.tolist() == [batch.positives[3].tolist(), batch.positives[0].tolist()]
    expected = {(0, place) for row, place in batch.known.tolist() if row == 3}
    expected |= {(1, place) for row, place in batch.known.tolist() if row == 0}
    assert set(map(tuple, part.known.tolist())) == expected


def test_scores_stand_under_their_documents_and_are_nan_elsewhere():
    dataset = build(
        [
            {"query": "a", "positives": ["x"], "negatives": ["y", "z"], "scores": [1.0, 0.5, 0.25]},
            {"query": "b", "positives": ["x", "y"], "scores": [0.75, 0.5]},
        ]
    )
    scores = gather_batch(RecordColumns(dataset), np.arange(2)).scores
    expected = torch.tensor([[1.0, np.nan, 0.5, 0.25], [0.75, 0.5, np.nan, np.nan]])
    assert torch.equal(scores.nan_to_num(-1), expected.nan_to_num(-1))


def test_the_same_text_under_two_instructions_is_two_queries():
    records = [{"query": "a", "positives": [p], "instruction_query": i} for p, i in (("x", "1: "), ("y", "2: "))]
    dataset = build([*records, {"query": "a", "positives": ["z"]}])
    seen = {}
    encode = lambda side, rows, asked: seen.update({side: (rows.tolist(), asked)}) or {}  # noqa: E731
    batch = gather_batch(RecordColumns(dataset), np.arange(3), encode=encode)
    assert len(batch.queries) == 3
    assert sorted(seen["query"][1]) == ["", "1: ", "2: "]
    assert len(set(batch.queries.keys.tolist())) == 1


@pytest.fixture(scope="module")
def classes():
    labels = ["p", "p", "p", "q", "q", "r"]
    return build([{"query": f"t{number}", "label": label} for number, label in enumerate(labels)], "class")


@pytest.mark.parametrize("seed", range(5))
def test_class_rows_get_another_text_of_their_class(classes, seed):
    columns = RecordColumns(classes)
    assert columns.usable.tolist() == [0, 1, 2, 3, 4]  # r has one text
    batch = gather_batch(columns, columns.usable, seed=seed)
    for row, (positive,) in enumerate(words(classes, batch.documents, batch.positives)):
        assert positive != f"t{row}"
        assert int(positive[1]) in ({0, 1, 2} if row < 3 else {3, 4})
    assert torch.equal(batch.documents.labels[batch.positives[:, 0]], batch.queries.labels[batch.query_index])


def test_the_draw_of_a_class_positive_hangs_on_seed_and_text_not_on_place(classes):
    columns = RecordColumns(classes)
    whole, part = (columns.positives_of(np.array(rows), 7) for rows in ([0, 1, 2], [2, 0]))
    assert part[:, 0].tolist() == [whole[2, 0], whole[0, 0]]
    assert len({tuple(columns.positives_of(np.arange(3), seed)[:, 0]) for seed in range(20)}) > 1


def test_records_without_positives_are_an_error_that_names_the_dataset():
    with pytest.raises(NotEnoughData, match="dataset toy: no positives: none of 2 records has a positive"):
        RecordColumns(build([{"query": "a"}, {"query": "b"}]))


def test_a_class_of_one_text_each_is_an_error():
    with pytest.raises(NotEnoughData, match="a class with two texts"):
        RecordColumns(build([{"query": "a", "label": "p"}, {"query": "b", "label": "q"}], "class"))


def test_two_kinds_at_once_need_a_choice():
    dataset = build([{"query": "a", "positives": ["x"]}, {"query": "b", "positives": ["y"], "kind": "pair"}])
    with pytest.raises(DataError, match="kinds pair, retrieval; name one"):
        RecordColumns(dataset)
    assert len(RecordColumns(dataset, kind="pair")) == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_named_by_record(bad, dataset):
    import pyarrow as pa

    records = dataset.records
    scores = pa.array([None, [0.1, 0.2, bad, 0.3], None, None], pa.list_(pa.float32()))
    place = records.column_names.index("scores")
    broken = Dataset(dataset.inputs, dataset.documents.table, records.set_column(place, "scores", scores), name="toy")
    with pytest.raises(DataError, match=r'toy, row 2, column "scores": (nan|inf)'):
        RecordColumns(broken)


def test_scores_of_the_wrong_length_are_named(dataset):
    import pyarrow as pa

    records, place = dataset.records, dataset.records.column_names.index("teacher_scores")
    scores = pa.array([None, None, [0.1, 0.2], None], pa.list_(pa.float32()))
    broken = Dataset(
        dataset.inputs, dataset.documents.table, records.set_column(place, "teacher_scores", scores), name="toy"
    )
    with pytest.raises(DataError, match=r'toy, row 3, column "teacher_scores": 2 scores for 1 positives and negatives'):
        RecordColumns(broken)


def test_padded_lists_end_in_minus_one():
    ragged = Ragged(np.array([0, 2, 2, 3]), np.array([7, 8, 9]))
    assert ragged.padded(np.array([2, 0, 1])).tolist() == [[9, -1], [7, 8], [-1, -1]]
    assert ragged.padded(np.array([1])).shape == (1, 0)


def test_a_class_with_one_text_lends_it_as_a_negative_about_once_an_epoch():
    labels = ["p"] * 40 + ["q"] * 40 + [f"alone {number}" for number in range(8)]
    columns = RecordColumns(build([{"query": f"t{n}", "label": label} for n, label in enumerate(labels)], "class"))
    assert columns.lone.tolist() == list(range(80, 88))
    assert columns.usable.tolist() == list(range(80))
    seen = []
    for epoch in range(50):
        for start in range(0, 80, 16):
            batch = gather_batch(columns, np.arange(start, start + 16), seed=epoch * 5 + start)
            lent = [place for (place, *_) in batch.negatives.tolist() if place >= 0] if batch.negatives.numel() else []
            seen += batch.documents.rows[lent].tolist()
            own = set(batch.documents.labels[lent].tolist())
            assert not own & set(batch.queries.labels.tolist())
    texts = columns.query[columns.lone].tolist()
    counts = [seen.count(text) for text in texts]
    assert 0.7 * 50 < sum(counts) / 8 < 1.3 * 50
    assert min(counts) > 20
    assert gather_batch(columns, np.arange(16), lone=False).negatives.shape == (16, 0)
