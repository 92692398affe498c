"""Masks: what each removes, how many pairs it says it removed, and that blocks do not hang on positions."""

from dataclasses import replace

import pytest
import torch

from vecsmith.data.batch import Block
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.info_nce import info_nce


def vectors(batch, width=6):
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(len(side), width, generator=rng) for side in (batch.queries, batch.documents)]


def test_with_all_rows_of_one_class_only_own_negatives_remain(batches):
    batch = batches.plain(5, negatives=2)
    labels = torch.full((15,), 3)
    labels[batch.negatives.flatten()] = torch.arange(10) + 10  # texts of other classes
    labels[batch.negatives[:, 1]] = 3  # one of the two declared is of the class after all
    sides = [replace(batch.queries, labels=torch.full((5,), 3)), replace(batch.documents, labels=labels)]
    one_class = replace(batch, queries=sides[0], documents=sides[1])
    parts = info_nce(*vectors(batch), one_class, other_negatives=False).parts
    assert parts["candidates"] == 1.0
    assert parts["removed_label"] == 5 * (4 + 1)


@pytest.mark.parametrize(("size", "seen"), [(1, 2), (2, 2 + 3), (3, 2 + 6), (6, 2 + 15), (99, 2 + 15)])
def test_a_block_leaves_the_candidates_of_its_own_rows(size, seen, batches):
    batch = batches.plain(6, negatives=2)
    parts = info_nce(*vectors(batch), batch, block=size).parts
    assert parts["candidates"] == seen
    assert parts["removed_block"] == 6 * (17 - seen)


def test_blocks_follow_the_keys_of_the_queries_not_the_places_of_the_rows(batches):
    batch = batches.plain(8)
    keys = torch.tensor([5, 1, 7, 3, 6, 2, 8, 4])
    batch = replace(batch, queries=replace(batch.queries, keys=keys + 1000))
    queries, documents = vectors(batch)
    documents.requires_grad_()
    alone = replace(batch, weights=(keys == 1).float())  # the row of the smallest key; its block mate has key 2
    info_nce(queries, documents, alone, block=2).value.backward()
    assert (documents.grad.abs().sum(dim=1) > 0).tolist() == (keys <= 2).tolist()


def test_out_of_batch_a_block_changes_nothing(batches):
    batch = replace(batches.plain(6, negatives=2), in_batch=False)
    plain, blocked = (info_nce(*vectors(batch), batch, block=size) for size in (None, 2))
    assert float(plain.value) == float(blocked.value)
    assert "removed_block" not in blocked.parts


def test_a_guide_removes_what_it_has_nearer_than_the_positive_and_the_margin_keeps_more(batches):
    batch = batches.plain(2)
    guide = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = torch.tensor([[0.6, 0.8], [0.8, 0.6]])  # each query's own at 0.6, the other's at 0.8
    sides = [Block(b.rows, b.keys, b.labels, t) for b, t in ((batch.queries, guide), (batch.documents, found))]
    batch = replace(batch, queries=sides[0], documents=sides[1], positives=torch.tensor([[0], [1]]))
    extra = replace(batch, negatives=torch.tensor([[1], [-1]]))
    kept = info_nce(*vectors(batch), extra, guide=True, guide_margin=0.25)
    assert kept.parts["removed_guide"] == 0
    with pytest.raises(NotEnoughData, match="removed: 2 by guide"):
        info_nce(*vectors(batch), extra, guide=True)


def test_a_pair_is_counted_by_the_first_reason_that_removes_it(batches):
    batch = batches.plain(3, negatives=1)
    known = torch.tensor([[0, int(batch.negatives[0, 0])]])
    groups = torch.tensor([4, 4, -1])
    parts = info_nce(*vectors(batch), replace(batch, known=known, groups=groups)).parts
    assert (parts["removed_key"], parts["removed_known"], parts["removed_group"]) == (0, 1, 4)


def test_what_options_need_of_the_data_is_declared():
    from vecsmith.objectives.info_nce import NEEDS

    assert NEEDS["info_nce.mix_pairs"] == ("negatives",)
    assert NEEDS["info_nce.guide"] == ("teacher",)
