"""Laws that every objective of teacher scores or grades keeps: order, doubled vectors, padding, weights, gradients."""

import re
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.errors import NotEnoughData
from vecsmith.objectives.angle import angle
from vecsmith.objectives.cosent import cosent
from vecsmith.objectives.graded_distillation import graded_distillation
from vecsmith.objectives.margin_mse import margin_mse
from vecsmith.objectives.soft_labels import soft_labels

OBJECTIVES = {
    "soft_labels": partial(soft_labels, temperature=0.3),
    "soft_labels at a fixed temperature": partial(soft_labels, temperature=0.3, teacher_temperature=0.5),
    "graded_distillation": partial(graded_distillation, temperature=0.3),
    "graded_distillation, all sorted": partial(graded_distillation, temperature=0.3, positive_first=False),
    "margin_mse": margin_mse,
    "cosent": cosent,
    "angle": angle,
}
every = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES.keys())


def taught(batches, seed, **options):
    """A trap batch with grades and teacher scores that hang on query and document, so that repeats agree."""
    queries, documents, batch = batches.trap(seed, **options)
    asked = batch.queries.keys[batch.query_index][:, None]
    places = torch.cat([batch.positives, batch.negatives], dim=1)
    found = batch.documents.keys[places.clamp_min(0)]
    scores = torch.sin(asked * 12.9 + found * 78.2) * 2
    scores[torch.sin(asked * 3.1 + found * 7.7) > 0.8] = torch.nan
    return queries, documents, replace(batch, scores=scores, teacher_scores=scores)


def value(objective, sample):
    return objective(*sample).value


@every
@given(seed=st.integers(0, 300))
@settings(max_examples=8, deadline=None)
def test_the_order_of_rows_and_of_a_lists_negatives_changes_nothing(batches, objective, seed):
    queries, documents, batch = taught(batches, seed)
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(batch), generator=rng)
    places = torch.randperm(batch.negatives.shape[1], generator=rng)
    moved = batch.select(rows)
    width = batch.positives.shape[1]
    columns = torch.cat([torch.arange(width), width + places])
    moved = replace(
        moved,
        negatives=moved.negatives[:, places],
        scores=moved.scores[:, columns],
        teacher_scores=moved.teacher_scores[:, columns],
    )
    # Places of one key but two vectors are told apart by position alone; here a key has one vector.
    documents = same_key_same_vector(documents, batch)
    assert torch.allclose(value(objective, (queries, documents, batch)), value(objective, (queries, documents, moved)))


def same_key_same_vector(documents, batch):
    _, code = torch.unique(batch.documents.keys, return_inverse=True)
    first = torch.stack([(code == number).nonzero()[0, 0] for number in code])
    return documents[first]


@every
@given(seed=st.integers(0, 300))
@settings(max_examples=6, deadline=None)
def test_a_negative_that_a_list_holds_twice_changes_nothing(batches, objective, seed):
    queries, documents, batch = taught(batches, seed)
    width = batch.positives.shape[1]
    scores = torch.cat([batch.scores, batch.scores[:, width:]], dim=1)
    negatives = torch.cat([batch.negatives, batch.negatives], dim=1)
    more = replace(batch, negatives=negatives, scores=scores, teacher_scores=scores)
    assert torch.allclose(value(objective, (queries, documents, batch)), value(objective, (queries, documents, more)))


@every
def test_padding_and_rows_of_weight_zero_change_nothing(batches, objective):
    queries, documents, batch = taught(batches, 11, in_batch=False)
    nothing, gap = torch.full((len(batch), 2), -1), torch.full((len(batch), 2), torch.nan)
    width = batch.positives.shape[1]

    def widened(scores):
        return torch.cat([scores[:, :width], gap, scores[:, width:], gap], dim=1)

    padded = replace(
        batch,
        positives=torch.cat([batch.positives, nothing], dim=1),
        negatives=torch.cat([batch.negatives, nothing], dim=1),
        scores=widened(batch.scores),
        teacher_scores=widened(batch.teacher_scores),
    )
    assert torch.allclose(value(objective, (queries, documents, batch)), value(objective, (queries, documents, padded)))
    weights = batch.weights.clone()
    weights[4:] = 0
    none = value(objective, (queries, documents, replace(batch, weights=weights)))
    assert torch.allclose(none, value(objective, (queries, documents, batch.select(torch.arange(4)))))


@every
@pytest.mark.parametrize("in_batch", [True, False])
def test_the_gradient_is_that_of_finite_differences(batches, objective, in_batch):
    queries, documents, batch = taught(batches, 7, rows=4, width=4, in_batch=in_batch)
    inputs = queries.requires_grad_(True), documents.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda q, d: objective(q, d, batch).value, inputs)


@every
def test_a_zero_vector_and_half_precision_give_finite_numbers(batches, objective):
    queries, documents, batch = taught(batches, 5)
    queries, documents = queries.bfloat16(), documents.bfloat16()
    queries[0] = 0
    queries.requires_grad_(True)
    loss = objective(queries, documents, batch).value
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(queries.grad).all()


@every
def test_one_row_is_taken_or_refused_in_words_and_never_nan(batches, objective):
    for seed in range(12):
        queries, documents, batch = taught(batches, seed)
        for row in range(len(batch)):
            try:
                loss = objective(queries, documents, batch.select(torch.tensor([row])))
            except NotEnoughData as error:
                words = str(error)
            else:
                words = "finite" if torch.isfinite(loss.value) else "NaN"
            assert re.search("needs|all rows masked|finite", words)


@every
def test_all_weights_zero_is_refused(batches, objective):
    queries, documents, batch = taught(batches, 3)
    with pytest.raises(NotEnoughData):
        objective(queries, documents, replace(batch, weights=torch.zeros(len(batch))))
