"""soft_labels against a slow reference, sentence-transformers and LLM-Embedder's plain branch; half the entropy."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss

from vecsmith.errors import NotEnoughData
from vecsmith.objectives.soft_labels import half_entropy_temperatures, soft_labels, softened


def scored_batch(batches, seed, *, missing=0.2, rows=6, **options):
    """A trap batch with teacher scores, some of them absent."""
    queries, documents, batch = batches.trap(seed, rows=rows, **options)
    rng = torch.Generator().manual_seed(seed + 1)
    shape = (rows, batch.positives.shape[1] + batch.negatives.shape[1])
    scores = torch.randn(shape, generator=rng) * 3
    scores[torch.rand(shape, generator=rng) < missing] = torch.nan
    return queries, documents, replace(batch, teacher_scores=scores)


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b))


def own_candidates(queries, documents, batch, row):
    """[(place, cosine, reward)] of the scored candidates of a row, each key once, in Python."""
    seen, found = set(), []
    q = queries[batch.query_index[row]].tolist()
    for place, number in enumerate([*batch.positives[row].tolist(), *batch.negatives[row].tolist()]):
        reward = float(batch.teacher_scores[row, place])
        if number < 0 or math.isnan(reward) or int(batch.documents.keys[number]) in seen:
            continue
        seen.add(int(batch.documents.keys[number]))
        found.append((place, cosine(q, documents[number].tolist()), reward))
    return found


def shares(values, temperature):
    powers = [math.exp((value - max(values)) / temperature) for value in values]
    return [power / sum(powers) for power in powers]


def entropy(weights):
    return -sum(w * math.log(w) for w in weights if w > 0)


def slow_temperature(rewards):
    """The smallest of many temperatures whose entropy reaches the half: a scan, then a scan of its step."""
    spread, wanted = max(rewards) - min(rewards), math.log(len(rewards)) / 2
    low, high = 1e-6, 3.0
    for _ in range(12):
        steps = [low * (high / low) ** (i / 20) for i in range(21)]
        place = next(i for i, t in enumerate(steps) if entropy(shares(rewards, t * spread)) >= wanted)
        low, high = steps[max(place - 1, 0)], steps[place]
    return high * spread


def slow_soft_labels(queries, documents, batch, *, temperature=0.02, teacher_temperature=None, reward_spread=0.0):
    total, weight_sum = 0.0, 0.0
    for row in range(len(batch)):
        own = own_candidates(queries, documents, batch, row)
        rewards = [reward for _, _, reward in own]
        if len(own) < 2 or max(rewards) - min(rewards) < reward_spread:
            continue
        if teacher_temperature is None and max(rewards) == min(rewards):
            continue
        aim = shares(rewards, teacher_temperature or slow_temperature(rewards))
        logits = [similarity / temperature for _, similarity, _ in own]
        below = max(logits) + math.log(sum(math.exp(each - max(logits)) for each in logits))
        kl = sum(p * (math.log(p) - (logit - below)) for p, logit in zip(aim, logits, strict=True) if p > 0)
        total += float(batch.weights[row]) * kl
        weight_sum += float(batch.weights[row])
    return total / weight_sum


@pytest.mark.parametrize("options", [{}, {"teacher_temperature": 0.7}, {"temperature": 0.3, "reward_spread": 2.0}])
def test_agrees_with_a_slow_reference(batches, options):
    for seed in range(8):
        sample = scored_batch(batches, seed)
        assert float(soft_labels(*sample, **options).value) == pytest.approx(slow_soft_labels(*sample, **options))


@pytest.mark.parametrize("negatives", [1, 5])
def test_equals_the_loss_of_sentence_transformers_up_to_its_square_of_the_temperature(batches, negatives):
    batch = batches.plain(4, negatives)
    rng = torch.Generator().manual_seed(0)
    queries, documents = torch.randn(4, 6, generator=rng), torch.randn(4 * (1 + negatives), 6, generator=rng)
    scores = torch.rand(4, 1 + negatives, generator=rng)
    unit = torch.nn.functional.normalize
    columns = [unit(queries), *unit(documents).reshape(4, 1 + negatives, 6).unbind(1)]
    theirs = DistillKLDivLoss(None, student_temperature=0.1, teacher_temperature=0.3)
    expected = theirs.compute_loss_from_embeddings(columns, scores) / 0.1**2
    found = soft_labels(
        queries, documents, replace(batch, teacher_scores=scores), temperature=0.1, teacher_temperature=0.3
    )
    assert torch.allclose(found.value, expected, rtol=1e-5)


def test_the_plain_branch_of_llm_embedder_is_this_function_with_other_numbers(batches):
    """KL(softmax(r / 0.1) || softmax(s / (0.01 * T))) with T = 2, as published for dialogue and language modelling."""
    rng = torch.Generator().manual_seed(3)
    batch = replace(batches.plain(6, 4), teacher_scores=torch.rand(6, 5, generator=rng))
    queries, documents = (torch.randn(count, 8, generator=rng, dtype=torch.float64) for count in (6, 30))
    found = soft_labels(queries, documents, batch, temperature=0.01 * 2, teacher_temperature=0.1)
    unit = torch.nn.functional.normalize
    student = torch.einsum("bd,bkd->bk", unit(queries), unit(documents).reshape(6, 5, 8)) / 0.02
    aim = (batch.teacher_scores.double() / 0.1).softmax(1)
    expected = (aim * (aim.log() - student.log_softmax(1))).sum(1).mean()
    assert torch.allclose(found.value, expected)


def test_a_student_that_sees_what_the_teacher_sees_costs_nothing(batches):
    queries, documents, batch = scored_batch(batches, 5, missing=0.0, doubled=False)
    places = torch.cat([batch.positives, batch.negatives], dim=1)
    unit = torch.nn.functional.normalize
    cosines = torch.einsum("bd,bkd->bk", unit(queries)[batch.query_index], unit(documents)[places.clamp_min(0)])
    batch = replace(batch, teacher_scores=cosines)
    assert float(soft_labels(queries, documents, batch, temperature=0.5, teacher_temperature=0.5).value) < 1e-12


def test_the_worked_number_of_the_docstring(batches):
    batch = replace(batches.plain(1, 1), teacher_scores=torch.tensor([[1.0, 0.0]]))
    queries, documents = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    loss = soft_labels(queries, documents, batch, teacher_temperature=1 / math.log(3))
    assert float(loss.value) == pytest.approx(0.1308, abs=5e-5)


@given(
    rewards=st.lists(st.integers(-1000, 1000), min_size=2, max_size=12).filter(lambda each: len(set(each)) > 1),
    shift=st.integers(-10_000, 10_000),
    scale=st.sampled_from([1e-4, 1.0, 1e6]),
)
@settings(max_examples=60, deadline=None)
def test_the_entropy_is_half_of_the_log_unless_ties_alone_exceed_it_whatever_scale_and_shift(rewards, shift, scale):
    plain = torch.tensor([rewards]).double()
    scores, scored = (plain + shift) * scale, torch.ones(1, len(rewards), dtype=torch.bool)
    temperature = half_entropy_temperatures(scores, scored)
    found = entropy(softened(scores, scored, temperature)[0].tolist())
    ties = math.log(rewards.count(max(rewards)))
    assert found == pytest.approx(max(math.log(len(rewards)) / 2, ties), abs=1e-6)
    assert float(temperature) == pytest.approx(float(half_entropy_temperatures(plain, scored)) * scale, rel=1e-3)


def test_rows_of_equal_scores_of_one_candidate_and_of_none_are_left_out(batches):
    nan = torch.nan
    batch = batches.plain(4, 2)
    scores = torch.tensor([[3.0, 1.0, 2.0], [1.0, 1.0, 1.0], [5.0, nan, nan], [nan, nan, nan]])
    rng = torch.Generator().manual_seed(0)
    queries, documents = torch.randn(4, 5, generator=rng), torch.randn(12, 5, generator=rng)
    loss = soft_labels(queries, documents, replace(batch, teacher_scores=scores))
    alone = soft_labels(queries, documents, replace(batch, teacher_scores=scores).select(torch.tensor([0])))
    assert loss.parts["left_out"] == 3
    assert torch.allclose(loss.value, alone.value)
    fixed = soft_labels(queries, documents, replace(batch, teacher_scores=scores), teacher_temperature=1.0)
    assert fixed.parts["left_out"] == 2  # at a fixed temperature equal scores are an even aim
    spread = soft_labels(queries, documents, replace(batch, teacher_scores=scores), reward_spread=2.0)
    assert spread.parts["left_out"] == 3
    with pytest.raises(NotEnoughData, match=r"a spread below 2.1"):
        soft_labels(queries, documents, replace(batch, teacher_scores=scores), reward_spread=2.1)


def test_errors_say_what_is_missing(batches):
    queries, documents, batch = batches.trap(0)
    with pytest.raises(NotEnoughData, match="soft_labels needs teacher_scores; none of 6 rows has any"):
        soft_labels(queries, documents, batch)
    scores = torch.ones(6, 6)
    with pytest.raises(NotEnoughData, match=r"each of 6 rows has fewer than two candidates .*, or equal scores"):
        soft_labels(queries, documents, replace(batch, teacher_scores=scores))
    with pytest.raises(ValueError, match="teacher_temperature is 0; it divides"):
        soft_labels(queries, documents, replace(batch, teacher_scores=scores), teacher_temperature=0)


def test_agreement_is_the_share_of_rows_whose_best_candidate_is_the_teachers(batches):
    batch = replace(batches.plain(2, 1), teacher_scores=torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
    queries = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    documents = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    parts = soft_labels(queries, documents, batch).parts
    assert parts["agreement"] == 0.5
    assert parts["entropy"] == pytest.approx(0.5, abs=1e-6)
