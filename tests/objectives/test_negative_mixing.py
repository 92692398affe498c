"""Mixed negatives: their length, how near they are, who may be a parent, and that the gradient reaches the parents."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from vecsmith.objectives.info_nce import info_nce
from vecsmith.objectives.negative_mixing import mix_list, mix_pair


def rows_of(seed, rows=20, parents=5, width=8):
    rng = torch.Generator().manual_seed(seed)
    vectors = normalize(torch.randn(rows, parents, width, generator=rng, dtype=torch.float64), dim=2)
    keys = torch.randint(-(2**62), 2**62, (rows, parents), generator=rng)
    queries = normalize(torch.randn(rows, width, generator=rng, dtype=torch.float64), dim=1)
    return queries, vectors, torch.ones(rows, parents, dtype=torch.bool), keys


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), temperature=st.floats(0.01, 2))
def test_a_list_mixture_has_length_one_and_is_no_further_than_its_parents_mean(seed, temperature):
    queries, parents, present, _ = rows_of(seed)
    parents = normalize(parents + 1.5 * queries[:, None], dim=2)  # near enough for a mean above 0, as mined ones are
    similarities = (parents @ queries[:, :, None])[:, :, 0]
    mixed = mix_list(parents, present, similarities, temperature)
    assert torch.allclose(mixed.norm(dim=1), torch.ones(20, dtype=torch.float64))
    near = similarities.mean(dim=1) >= 0
    assert near.any()
    assert ((mixed * queries).sum(dim=1) >= similarities.mean(dim=1) - 1e-9)[near].all()


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), turn=st.integers(0, 5))
def test_a_pair_mixture_has_length_one_and_lies_between_two_different_parents(seed, turn):
    queries, parents, present, keys = rows_of(seed, parents=4)
    asked = torch.arange(len(queries))
    mixed = mix_pair(parents, present, keys, asked, seed=seed, turn=turn)
    assert torch.allclose(mixed.norm(dim=1), torch.ones(20, dtype=torch.float64))
    solved = torch.linalg.lstsq(parents.transpose(1, 2), mixed[:, :, None]).solution[:, :, 0]
    used = solved.abs() > 1e-9
    assert (used.sum(dim=1) == 2).all()
    assert (solved[used] > 0).all()
    places = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    again = mix_pair(parents[:, places], present[:, places], keys[:, places], asked, seed=seed, turn=turn)
    assert torch.allclose(mixed, again, atol=1e-12)


def test_every_pair_is_drawn_about_equally_often_with_shares_of_beta_2_2():
    rows = 6000
    parents = torch.eye(4).expand(rows, 4, 4)
    keys = torch.arange(4 * rows).reshape(rows, 4)
    present = torch.ones(rows, 4, dtype=torch.bool)
    mixed = mix_pair(parents, present, keys, torch.zeros(rows, dtype=torch.int64), seed=1)
    pairs = (mixed > 0).long() @ torch.tensor([1, 2, 4, 8])
    counts = torch.stack([(pairs == code).sum() for code in (3, 5, 9, 6, 10, 12)])
    assert int(counts.sum()) == rows
    assert float(((counts - 1000.0) ** 2 / 1000).sum()) < 20.5  # chi squared, 5 degrees: 1 in 1,000 above
    shares = mixed / mixed.sum(dim=1, keepdim=True)
    first = shares[(shares > 0)].reshape(rows, 2)[:, 0]
    assert float(first.var()) == pytest.approx(0.05, abs=0.003)


def test_another_seed_or_turn_mixes_others():
    queries, parents, present, keys = rows_of(0)
    asked = torch.arange(len(queries))
    mixed = [mix_pair(parents, present, keys, asked, seed=s, turn=t) for s, t in ((0, 0), (1, 0), (0, 1))]
    assert not torch.allclose(mixed[0], mixed[1])
    assert not torch.allclose(mixed[0], mixed[2])


def count(loss):
    return loss.parts["mixed"]


def test_a_row_with_fewer_than_two_different_unmasked_negatives_has_nothing_mixed(batches):
    batch = batches.plain(2, negatives=3)
    queries, documents = torch.randn(2, 4), torch.randn(8, 4)
    options = {"mix_pairs": 2, "mix_lists": 1}
    assert count(info_nce(queries, documents, batch, **options)) == 3.0
    first = batch.negatives[0]
    known = torch.tensor([[0, int(first[0])], [0, int(first[1])]])  # one is left in row 0
    assert count(info_nce(queries, documents, replace(batch, known=known), **options)) == 1.5
    keys = batch.documents.keys.clone()
    keys[first] = 77  # three copies of one thing
    copies = replace(batch, documents=replace(batch.documents, keys=keys))
    assert count(info_nce(queries, documents, copies, **options)) == 1.5
    lone = replace(batch, negatives=batch.negatives[:, :1])
    assert count(info_nce(queries, documents, lone, **options)) == 0.0
    assert count(info_nce(queries, documents, replace(batch, negatives=batch.negatives[:, :0]), **options)) == 0.0


def test_a_masked_parent_is_never_mixed(batches):
    batch = batches.plain(1, negatives=4)
    queries, documents = torch.randn(1, 6), torch.randn(5, 6).requires_grad_()
    known = torch.tensor([[0, 2], [0, 4]])
    loss = info_nce(queries, documents, replace(batch, known=known), mix_pairs=4, mix_lists=1)
    loss.value.backward()
    reached = documents.grad.abs().sum(dim=1) > 0
    assert reached.tolist() == [True, True, False, True, False]


def test_the_gradient_flows_into_both_parents(batches):
    batch = batches.plain(1, negatives=2)
    queries, documents = torch.tensor([[1.0, 0.2, 0.1]]), torch.eye(3).requires_grad_()
    mixed, plain = (
        torch.autograd.grad(info_nce(queries, documents, batch, temperature=1.0, mix_pairs=n).value, documents)[0]
        for n in (5, 0)
    )
    assert (mixed[1:].norm(dim=1) > plain[1:].norm(dim=1)).all()


def test_out_of_batch_rows_mix_the_same_as_in_batch_ones(batches):
    queries, documents, batch = batches.trap(2, doubled=False)
    counts = [count(info_nce(queries, documents, replace(batch, in_batch=each), mix_pairs=1)) for each in (True, False)]
    assert counts[0] == counts[1] > 0
