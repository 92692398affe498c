"""A mixed batch says of its rows what one dataset with all records would say; classes and groups stay apart."""

import numpy as np
import pytest
import torch

from vecsmith.data.batch import gather_batch
from vecsmith.data.columns import RecordColumns
from vecsmith.data.dataset import Dataset
from vecsmith.data.mixed import Part, gather_mixed

FIRST = [
    {"query": "a", "positives": ["x", "y"], "negatives": ["z"], "group": "g"},
    {"query": "b", "positives": ["y"]},
    {"query": "a", "positives": ["w"], "weight": 2.0},
]
SECOND = [
    {"query": "a", "positives": ["v"], "negatives": ["x", "b", "q"], "group": "g"},
    {"query": "c", "positives": ["y"], "scores": [0.5]},
    {"query": "d", "positives": ["d2"], "negatives": ["w"]},
]


def build(records, kind="retrieval", name="toy"):
    with Dataset.build(name=name) as builder:
        for record in records:
            builder.add_record(**{"kind": kind, "positives": [], **record})
        return builder.finish()


def mixed(*record_lists, rows=None, kind="retrieval", **options):
    parts = []
    for number, records in enumerate(record_lists):
        columns = RecordColumns(build(records, kind))
        chosen = np.arange(len(records)) if rows is None else np.array(rows[number], np.int64)
        parts.append(Part(columns, chosen, number))
    return gather_mixed(parts, **options)


def meaning(batch):
    """What a batch says of each row, in keys alone."""
    keys, queries = batch.documents.keys.tolist(), batch.queries.keys.tolist()
    rows = []
    for row in range(len(batch)):
        named = [{keys[p] for p in side[row].tolist() if p >= 0} for side in (batch.positives, batch.negatives)]
        known = {keys[place] for owner, place in batch.known.tolist() if owner == row}
        rows.append((queries[batch.query_index[row]], *named, known, float(batch.weights[row])))
    return rows, sorted(keys), sorted(queries)


@pytest.mark.parametrize("rows", [([0, 1, 2], [0, 1, 2]), ([2, 0], [1]), ([1], [2, 0, 0])])
def test_a_mixed_batch_says_what_one_dataset_with_all_records_says(rows):
    whole = gather_batch(RecordColumns(build(FIRST + SECOND)), np.array([*rows[0], *(3 + row for row in rows[1])]))
    assert meaning(mixed(FIRST, SECOND, rows=rows)) == meaning(whole)


def test_each_row_names_its_dataset_and_scores_stand_at_their_documents():
    batch = mixed(FIRST, SECOND)
    assert batch.dataset.tolist() == [0, 0, 0, 1, 1, 1]
    assert batch.scores.shape == (6, batch.positives.shape[1] + batch.negatives.shape[1])
    assert torch.nonzero(~batch.scores.isnan()).tolist() == [[4, 0]]
    assert float(batch.scores[4, 0]) == 0.5


def test_groups_of_equal_name_in_two_datasets_are_two_groups():
    assert mixed(FIRST, SECOND).groups.tolist() == [0, -1, -1, 1, -1, -1]


def test_classes_of_two_datasets_never_coincide():
    first = [{"query": f"s{number}", "label": "p" if number < 2 else "q"} for number in range(4)]
    second = [{"query": f"t{number}", "label": "p" if number < 2 else "r"} for number in range(4)]
    batch = mixed(first, second, kind="class")
    labels = batch.queries.labels[batch.query_index].tolist()
    assert labels[0] == labels[1] != labels[2] == labels[3]
    assert labels[4] == labels[5] != labels[6] == labels[7]
    assert not set(labels[:4]) & set(labels[4:])
    own = batch.documents.labels[batch.positives[:, 0]].tolist()
    assert own == labels


def test_a_text_with_a_class_in_each_of_two_datasets_stands_once_for_each():
    first = [{"query": "both", "label": "p"}, {"query": "s", "label": "p"}]
    second = [{"query": "both", "label": "r"}, {"query": "t", "label": "r"}]
    batch = mixed(first, second, kind="class")
    assert len(batch.queries) == 4
    assert len(set(batch.queries.keys.tolist())) == 3


def test_instructions_keep_texts_apart_and_the_encoder_is_told_them():
    told = []

    def encode(side, datasets, rows, words):
        told.append((side, datasets.tolist(), len(rows), words and sorted(words)))
        return {}

    first = [{"query": "a", "positives": ["x"], "instruction_query": "find: "}, {"query": "b", "positives": ["y"]}]
    batch = mixed(first, SECOND[:1], encode=encode)
    assert len(batch.queries) == 3
    assert [(side, count, words) for side, _, count, words in told] == [
        ("query", 3, ["", "", "find: "]),
        ("document", len(batch.documents), None),
    ]


def test_records_of_two_kinds_are_not_mixed():
    parts = [Part(RecordColumns(build(FIRST, kind)), np.array([0]), 0) for kind in ("retrieval", "pair")]
    with pytest.raises(ValueError, match="kinds pair, retrieval; only datasets of one kind are mixed"):
        gather_mixed(parts)
