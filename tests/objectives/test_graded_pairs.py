"""cosent, angle and margin_mse against definitions in Python floats and the losses of sentence-transformers."""

import cmath
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers.sentence_transformer.losses import AnglELoss, CoSENTLoss, MarginMSELoss
from sentence_transformers.util import pairwise_angle_sim

from vecsmith.errors import NotEnoughData
from vecsmith.objectives.angle import angle, angle_similarity
from vecsmith.objectives.cosent import cosent
from vecsmith.objectives.margin_mse import margin_mse

UNIT = torch.nn.functional.normalize


def pairs(batches, rows, *, grades=5, seed=0, width=6, dtype=torch.float64):
    """(queries, documents, batch) of graded pairs with many equal grades."""
    rng = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, grades, (rows, 1), generator=rng).float() / max(grades - 1, 1)
    vectors = [torch.randn(rows, width, generator=rng, dtype=dtype) for _ in range(2)]
    return *vectors, replace(batches.plain(rows), scores=scores, kind="scored")


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b))


def complex_angle(a, b):
    """The angle similarity by Python's complex numbers: z / w term by term, then the length of the vectors out."""
    a, b = ([*each, 0.0] if len(each) % 2 else each for each in (a, b))
    half = len(a) // 2
    total = 0.0
    for k in range(half):
        z, w = complex(a[k], a[half + k]), complex(b[k], b[half + k])
        turned = cmath.rect(abs(z) * abs(w), cmath.phase(z) - cmath.phase(w))
        total += turned.real + turned.imag
    return abs(total) / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b))


def by_definition(queries, documents, batch, similarity, temperature=0.05):
    """log(1 + sum over all pairs of rows), a double loop."""
    found = [similarity(q, d) for q, d in zip(queries.tolist(), documents.tolist(), strict=True)]
    grades, weights = batch.scores[:, 0].tolist(), batch.weights.tolist()
    mean = sum(weights) / len(weights)
    total = 1.0
    for i in range(len(found)):
        for j in range(len(found)):
            if grades[i] > grades[j] and batch.dataset[i] == batch.dataset[j]:
                total += weights[i] * weights[j] / mean**2 * math.exp((found[j] - found[i]) / temperature)
    return math.log(total)


@pytest.mark.parametrize(("function", "similarity"), [(cosent, cosine), (angle, complex_angle)])
@pytest.mark.parametrize("width", [6, 5])
def test_n_log_n_equals_the_sum_over_all_pairs_of_pairs(batches, function, similarity, width):
    for seed, grades in ((0, 5), (1, 2), (2, 1000)):
        queries, documents, batch = pairs(batches, 17, seed=seed, grades=grades, width=width)
        weights = torch.rand(17, generator=torch.Generator().manual_seed(seed)) + 0.1
        batch = replace(batch, weights=weights, dataset=torch.arange(17) % 2)
        expected = by_definition(queries, documents, batch, similarity)
        assert float(function(queries, documents, batch).value) == pytest.approx(expected)


@pytest.mark.parametrize(("function", "theirs"), [(cosent, CoSENTLoss), (angle, AnglELoss)])
def test_equals_the_loss_of_sentence_transformers(batches, function, theirs):
    for seed in range(3):
        queries, documents, batch = pairs(batches, 40, seed=seed, dtype=torch.float32)
        expected = theirs(None).compute_loss_from_embeddings([queries, documents], batch.scores[:, 0])
        assert torch.allclose(function(queries, documents, batch).value, expected, rtol=1e-5)


def test_angle_similarity_is_that_of_sentence_transformers():
    rng = torch.Generator().manual_seed(0)
    for width in (2, 7, 384):
        left, right = torch.randn(9, width, generator=rng), torch.randn(9, width, generator=rng)
        assert torch.allclose(angle_similarity(UNIT(left), UNIT(right)), pairwise_angle_sim(left, right), atol=1e-6)


@pytest.mark.parametrize("function", [cosent, angle])
def test_equal_grades_and_one_row_cost_nothing_and_have_no_gradient(batches, function):
    for rows, grades in ((6, 1), (1, 5)):
        queries, documents, batch = pairs(batches, rows, grades=grades)
        queries.requires_grad_(True)
        loss = function(queries, documents, batch)
        loss.value.backward()
        assert loss.value == 0
        assert loss.parts["pairs"] == 0
        assert not queries.grad.any()


def test_grades_of_two_datasets_are_never_compared(batches):
    queries, documents, batch = pairs(batches, 2, grades=2, seed=3)
    batch = replace(batch, scores=torch.tensor([[0.0], [1.0]]))
    assert cosent(queries, documents, batch).parts["pairs"] == 1
    assert cosent(queries, documents, replace(batch, dataset=torch.tensor([0, 1]))).parts["pairs"] == 0


def test_rows_without_a_score_are_left_out_and_none_at_all_is_an_error(batches):
    queries, documents, batch = pairs(batches, 8)
    scores = batch.scores.clone()
    scores[5:] = torch.nan
    some = cosent(queries, documents, replace(batch, scores=scores))
    kept = cosent(queries, documents, batch.select(torch.arange(5)))
    assert torch.allclose(some.value, kept.value)
    assert some.parts["left_out"] == 3
    with pytest.raises(NotEnoughData, match="cosent needs scores; none of 8 rows has one"):
        cosent(queries, documents, replace(batch, scores=torch.full((8, 1), torch.nan)))
    with pytest.raises(NotEnoughData, match="angle needs scores and positives; none of 8 rows has both"):
        angle(queries, documents, replace(batch, scores=None))
    with pytest.raises(ValueError, match="temperature is -1; it divides similarities"):
        cosent(queries, documents, batch, temperature=-1)


@given(scale=st.floats(0.01, 100))
@settings(max_examples=10, deadline=None)
def test_the_scale_of_weights_changes_nothing(batches, scale):
    queries, documents, batch = pairs(batches, 9)
    weights = torch.rand(9, generator=torch.Generator().manual_seed(0)) + 0.1
    first = cosent(queries, documents, replace(batch, weights=weights)).value
    assert torch.allclose(first, cosent(queries, documents, replace(batch, weights=weights * scale)).value, rtol=1e-5)


def test_a_large_batch_is_finite_in_float32_at_a_small_temperature(batches):
    queries, documents, batch = pairs(batches, 3000, grades=400, dtype=torch.float32)
    queries.requires_grad_(True)
    loss = cosent(queries, documents, batch, temperature=0.005)
    loss.value.backward()
    exact = cosent(queries.detach().double(), documents.double(), batch, temperature=0.005)
    assert torch.isfinite(queries.grad).all()
    assert float(loss.value.detach()) == pytest.approx(float(exact.value), rel=1e-4)


@pytest.mark.parametrize("negatives", [1, 4])
def test_margin_mse_equals_the_loss_of_sentence_transformers(batches, negatives):
    rng = torch.Generator().manual_seed(1)
    queries, documents = torch.randn(5, 6, generator=rng), torch.randn(5 * (1 + negatives), 6, generator=rng)
    scores = torch.randn(5, 1 + negatives, generator=rng)
    columns = [UNIT(queries), *UNIT(documents).reshape(5, 1 + negatives, 6).unbind(1)]
    expected = MarginMSELoss(None).compute_loss_from_embeddings(columns, scores)
    batch = replace(batches.plain(5, negatives), teacher_scores=scores)
    assert torch.allclose(margin_mse(queries, documents, batch).value, expected, rtol=1e-5)


def test_margin_mse_agrees_with_loops_on_ragged_lists(batches):
    queries, documents, batch = batches.trap(2, doubled=False, negatives=3)
    scores = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    scores[0, 2], scores[3, 0] = torch.nan, torch.nan
    total = weight_sum = 0.0
    for row in range(6):
        asked = queries[batch.query_index[row]].tolist()
        own, seen = [], set()
        for place, number in enumerate([*batch.positives[row].tolist(), *batch.negatives[row].tolist()]):
            if number >= 0 and not math.isnan(float(scores[row, place])) and number not in seen:
                seen.add(number)
                own.append((place < 2, 3.0 * cosine(asked, documents[number].tolist()), float(scores[row, place])))
        gaps = [(s - t - (r - u)) ** 2 for here, s, r in own if here for there, t, u in own if not there]
        if gaps:
            total += float(batch.weights[row]) * sum(gaps) / len(gaps)
            weight_sum += float(batch.weights[row])
    found = margin_mse(queries, documents, replace(batch, teacher_scores=scores), scale=3.0)
    assert float(found.value) == pytest.approx(total / weight_sum)


def test_margin_mse_says_what_is_missing(batches):
    queries, documents, batch = batches.trap(2)
    with pytest.raises(NotEnoughData, match="margin_mse needs teacher_scores"):
        margin_mse(queries, documents, batch)
    alone = replace(batches.plain(3), teacher_scores=torch.ones(3, 1))
    with pytest.raises(NotEnoughData, match="none of 3 rows has a positive and a negative with teacher scores"):
        margin_mse(torch.randn(3, 4), torch.randn(3, 4), alone)
    with pytest.raises(ValueError, match="scale is 0"):
        margin_mse(queries, documents, batch, scale=0)
