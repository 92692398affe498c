"""graded_distillation against a slow reference in Python floats, its limits, ties, masks and errors."""

import math
from dataclasses import replace

import pytest
import torch

from vecsmith.errors import NotEnoughData
from vecsmith.objectives.graded_distillation import graded_distillation
from vecsmith.objectives.info_nce import info_nce


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b))


def scored_batch(batches, seed, *, missing=0.2, ties=False, **options):
    queries, documents, batch = batches.trap(seed, **options)
    rng = torch.Generator().manual_seed(seed + 1)
    shape = (len(batch), batch.positives.shape[1] + batch.negatives.shape[1])
    scores = torch.randint(0, 3, shape, generator=rng).float() if ties else torch.randn(shape, generator=rng) * 2
    scores[torch.rand(shape, generator=rng) < missing] = torch.nan
    return queries, documents, replace(batch, teacher_scores=scores)


def slow_graded(queries, documents, batch, *, temperature=0.01, teacher_temperature=1.0, positive_first=True):
    """Lists, sets and loops; log-sum-exp is of log2 numbers so that nothing of the fast path is shared."""
    index, keys = batch.query_index.tolist(), batch.documents.keys.tolist()
    labels, query_labels = batch.documents.labels.tolist(), batch.queries.labels.tolist()
    q, d = queries.tolist(), documents.tolist()
    lists = [[*p, *n] for p, n in zip(batch.positives.tolist(), batch.negatives.tolist(), strict=True)]
    width, known = batch.positives.shape[1], {tuple(pair) for pair in batch.known.tolist()}
    groups = batch.groups.tolist()
    total, weight_sum = 0.0, 0.0
    for row, places in enumerate(lists):
        rewards = batch.teacher_scores[row].tolist()
        order = sorted(range(len(places)), key=lambda place: (math.isnan(rewards[place]), place))
        own, taken = [], set()
        for place in order:
            number = places[place]
            if number >= 0 and keys[number] not in taken:
                taken.add(keys[number])
                own.append((place, number))
        graded = [(place, number) for place, number in own if not math.isnan(rewards[place])]
        if not graded:
            continue
        graded.sort(key=lambda e: (e[0] >= width if positive_first else 0, -rewards[e[0]], keys[e[1]]))
        ungraded = [number for place, number in own if math.isnan(rewards[place]) and place >= width]
        positives = [number for number in places[:width] if number >= 0]
        banned_keys = taken | {batch.queries.keys[index[row]].item()} | {keys[number] for number in positives}
        banned_keys |= {keys[j] for i, j in known if i == row}
        banned_labels = {query_labels[index[row]], *(labels[number] for number in positives)} - {-1}
        others = []
        for number in range(len(d)):
            owners = [i for i, each in enumerate(lists) if number in each]
            if not batch.in_batch or not owners or keys[number] in banned_keys or labels[number] in banned_labels:
                continue
            if groups[row] >= 0 and any(groups[i] == groups[row] for i in owners):
                continue
            if not positives:
                continue
            others.append(number)
        weights = [math.exp((rewards[place] - max(rewards[p] for p, _ in graded)) / teacher_temperature)
                   for place, _ in graded]  # fmt: skip
        cost = 0.0
        for k, (_, number) in enumerate(graded):
            pool = [n for _, n in graded[k:]] + ungraded + others
            logits = [cosine(q[index[row]], d[n]) / temperature for n in pool]
            mine = cosine(q[index[row]], d[number]) / temperature
            cost += weights[k] / sum(weights) * math.log(sum(math.exp(each - mine) for each in logits))
        total += float(batch.weights[row]) * cost
        weight_sum += float(batch.weights[row])
    return total / weight_sum


@pytest.mark.parametrize("options", [{}, {"positive_first": False}, {"teacher_temperature": 0.3}])
@pytest.mark.parametrize("shape", [{}, {"in_batch": False}, {"ties": True}, {"doubled": False}])
def test_agrees_with_a_slow_reference(batches, options, shape):
    for seed in range(6):
        sample = scored_batch(batches, seed, **shape)
        found = float(graded_distillation(*sample, temperature=0.1, **options).value)
        assert found == pytest.approx(slow_graded(*sample, temperature=0.1, **options))


def test_a_list_of_one_is_info_nce(batches):
    rng = torch.Generator().manual_seed(0)
    batch = replace(batches.plain(5), teacher_scores=torch.rand(5, 1, generator=rng))
    queries, documents = torch.randn(5, 4, generator=rng), torch.randn(5, 4, generator=rng)
    found = graded_distillation(queries, documents, batch, temperature=0.07)
    assert torch.allclose(found.value, info_nce(queries, documents, batch, temperature=0.07).value)


def test_a_teacher_who_is_certain_gives_info_nce_of_its_best(batches):
    rng = torch.Generator().manual_seed(1)
    batch = replace(batches.plain(5, 3), teacher_scores=torch.tensor([[100.0, 0.0, -50.0, 20.0]]).expand(5, 4))
    queries, documents = torch.randn(5, 4, generator=rng), torch.randn(20, 4, generator=rng)
    found = graded_distillation(queries, documents, batch, temperature=0.07)
    assert torch.allclose(found.value, info_nce(queries, documents, batch, temperature=0.07).value)


def test_the_worked_number_of_the_docstring(batches):
    batch = replace(batches.plain(1, 1), teacher_scores=torch.tensor([[0.5, 0.5]]))
    queries, documents = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    assert float(graded_distillation(queries, documents, batch).value) == pytest.approx(math.log(2) / 2)


def test_the_positive_leads_though_a_negative_has_a_higher_reward_unless_all_are_sorted(batches):
    batch = replace(batches.plain(1, 1), teacher_scores=torch.tensor([[0.0, 50.0]]))
    queries, documents = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    first = graded_distillation(queries, documents, batch, temperature=1.0)
    whole = graded_distillation(queries, documents, batch, temperature=1.0, positive_first=False)
    assert float(first.value) == pytest.approx(0.0, abs=1e-6)  # the certain one stands second: nothing left below it
    assert float(whole.value) == pytest.approx(math.log(1 + math.exp(-1)))
    assert first.parts["agreement"] == 0
    assert whole.parts["agreement"] == 1


def test_rows_of_a_small_spread_and_rows_without_rewards_are_left_out(batches):
    rng = torch.Generator().manual_seed(2)
    scores = torch.tensor([[0.0, 0.05], [0.0, 0.2], [torch.nan, torch.nan]])
    batch = replace(batches.plain(3, 1), teacher_scores=scores)
    queries, documents = torch.randn(3, 4, generator=rng), torch.randn(6, 4, generator=rng)
    assert graded_distillation(queries, documents, batch).parts["left_out"] == 1
    assert graded_distillation(queries, documents, batch, reward_spread=0.1).parts["left_out"] == 2
    with pytest.raises(NotEnoughData, match=r"each of 3 rows has no reward, or rewards closer together than 0.3"):
        graded_distillation(queries, documents, batch, reward_spread=0.3)


def test_a_document_of_another_row_with_the_key_of_an_own_candidate_is_no_candidate(batches):
    rng = torch.Generator().manual_seed(3)
    batch = batches.plain(2, 1)
    keys = batch.documents.keys.clone()
    keys[2] = keys[1]  # the other row's positive is this row's negative
    batch = replace(batch, teacher_scores=torch.rand(2, 2, generator=rng))
    doubled = replace(batch, documents=replace(batch.documents, keys=keys))
    vectors = torch.randn(2, 4, generator=rng), torch.randn(4, 4, generator=rng)
    assert graded_distillation(*vectors, batch).parts["candidates"] == 2
    found = graded_distillation(*vectors, doubled).parts
    assert found["candidates"] == 1
    assert found["removed_key"] == 2


def test_without_in_batch_other_rows_change_nothing(batches):
    queries, documents, batch = scored_batch(batches, 4, missing=0.0, in_batch=False)
    whole = graded_distillation(queries, documents, batch)
    rows = [graded_distillation(queries, documents, batch.select(torch.tensor([row]))).value for row in range(6)]
    weights = batch.weights.double()
    assert torch.allclose(whole.value, (weights * torch.stack(rows)).sum() / weights.sum())
    assert whole.parts["candidates"] == 0


def test_errors_say_what_is_missing(batches):
    sample = batches.trap(0)
    with pytest.raises(NotEnoughData, match="graded_distillation needs teacher_scores; none of 6 rows has any"):
        graded_distillation(*sample)
    with pytest.raises(ValueError, match="temperature is 0; it divides"):
        graded_distillation(*sample, temperature=0)
