"""info_nce against a slow reference in Python floats, its laws, limits, gradients and errors."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data.batch import Batch, Block
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.info_nce import info_nce

SWITCHES = [
    {},
    {"own_negatives": False},
    {"other_positives": False},
    {"other_negatives": False},
    {"query_query": True},
    {"document_document": True},
    {"query_query": True, "document_document": True, "margin": 0.1},
    {"margin": 0.0},
    {"mask_known": False, "mask_labels": False, "mask_groups": False},
]


def block(count, keys, labels=None):
    labels = torch.full((count,), -1) if labels is None else labels
    return Block(rows=torch.arange(count), keys=keys, labels=labels)


def sample(seed, *, rows=6, in_batch=True, groups=True, width=5, dtype=torch.float64):
    """A batch with every trap: shared documents, doubled keys, classes, groups, known pairs, ragged lists."""
    rng = torch.Generator().manual_seed(seed)

    def draw(low, high, shape):
        return torch.randint(low, high, shape, generator=rng)

    asked, found = rows - 1, 2 * rows
    positives, negatives = draw(0, found, (rows, 2)), draw(-1, found, (rows, 3))
    positives[1:, 1] = torch.where(draw(0, 2, (rows - 1,)) == 0, -1, positives[1:, 1])
    positives[:, 1] = torch.where(positives[:, 1] == positives[:, 0], -1, positives[:, 1])
    for row in range(rows):  # a declared negative is none of the row's positives
        for place in range(3):
            if negatives[row, place] in positives[row]:
                negatives[row, place] = -1
    batch = Batch(
        queries=block(asked, draw(0, 30, (asked,)), draw(-1, 6, (asked,))),
        documents=block(found, draw(0, 30, (found,)), draw(-1, 6, (found,))),
        query_index=draw(0, asked, (rows,)),
        positives=positives,
        negatives=negatives,
        known=torch.stack([draw(0, rows, (4,)), draw(0, found, (4,))], dim=1),
        weights=torch.rand(rows, generator=rng) + 0.1,
        dataset=torch.zeros(rows, dtype=torch.int64),
        groups=draw(-1, 4, (rows,)) if groups else None,
        in_batch=in_batch,
    )
    vectors = [torch.randn(count, width, generator=rng, dtype=dtype) for count in (asked, found)]
    return *vectors, batch


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b))


def slow_info_nce(queries, documents, batch, *, temperature=0.05, margin=None, **switches):
    """Row by row, candidate by candidate, in Python floats."""
    on = {"own_negatives": True, "other_positives": True, "other_negatives": True} | switches
    q, d = queries.tolist(), documents.tolist()
    rows, index = range(len(batch.query_index)), batch.query_index.tolist()
    pos = [[x for x in row if x >= 0] for row in batch.positives.tolist()]
    neg = [[x for x in row if x >= 0] for row in batch.negatives.tolist()]
    dk, qk = batch.documents.keys.tolist(), batch.queries.keys.tolist()
    dl, ql = batch.documents.labels.tolist(), batch.queries.labels.tolist()
    known = {tuple(pair) for pair in batch.known.tolist()}
    groups = [-1 for _ in rows] if batch.groups is None else batch.groups.tolist()
    everyone_positive = {x for row in pos for x in row}
    everyone_negative = {x for row in neg for x in row}
    total, weight_sum = 0.0, 0.0

    def banned(row, key, label, mine, is_query, number):
        own_keys = {qk[index[row]], *(dk[p] for p in pos[row])}
        own_labels = {ql[index[row]], *(dl[p] for p in pos[row])} - {-1}
        if key in own_keys:
            return True
        if on.get("mask_known", True) and key in {dk[j] for i, j in known if i == row}:
            return True
        if on.get("mask_labels", True) and label in own_labels:
            return True
        if on.get("mask_groups", True) and groups[row] >= 0 and not mine:
            for other in rows:
                if groups[other] != groups[row]:
                    continue
                if (index[other] == number) if is_query else (number in pos[other] or number in neg[other]):
                    return True
        return False

    for row in rows:
        if not pos[row]:
            continue
        best = max(cosine(q[index[row]], d[p]) for p in pos[row])
        each = []
        for p in pos[row]:
            scores = []
            for j in range(len(d)):
                if j in pos[row]:
                    continue
                mine = j in neg[row]
                wanted = on["own_negatives"] if mine else False
                if not mine and batch.in_batch:
                    wanted = (on["other_positives"] and j in everyone_positive) or (
                        on["other_negatives"] and j in everyone_negative
                    )
                blocked = banned(row, dk[j], dl[j], mine, False, j)
                if wanted and not blocked:
                    scores.append(cosine(q[index[row]], d[j]))
                if on.get("document_document") and batch.in_batch and not blocked:
                    scores += [cosine(d[p], d[j])] if j in everyone_positive | everyone_negative else []
            if on.get("query_query") and batch.in_batch:
                for j in range(len(q)):
                    if j != index[row] and not banned(row, qk[j], ql[j], False, True, j):
                        scores.append(cosine(q[index[row]], q[j]))
            if margin is not None:
                scores = [score for score in scores if score <= best + margin]
            positive = cosine(q[index[row]], d[p]) / temperature
            below = math.exp(positive) + sum(math.exp(score / temperature) for score in scores)
            each.append(math.log(below) - positive)
        weight = float(batch.weights[row])
        total, weight_sum = total + weight * sum(each) / len(each), weight_sum + weight
    return total / weight_sum


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda each: " ".join(each) or "default")
@pytest.mark.parametrize("in_batch", [True, False])
def test_it_agrees_with_loops_over_python_floats(switches, in_batch):
    compared = 0
    for seed in range(12):
        queries, documents, batch = sample(seed, in_batch=in_batch, groups=seed % 2 == 0)
        try:
            fast = info_nce(queries, documents, batch, **switches)
        except NotEnoughData:
            continue
        assert float(fast.value) == pytest.approx(slow_info_nce(queries, documents, batch, **switches), abs=1e-9)
        compared += 1
    assert compared >= 3 or (not in_batch and switches == {"own_negatives": False})  # then nothing is a candidate


def test_one_positive_at_one_and_one_negative_at_zero_cost_log_one_plus_e_to_minus_one():
    queries, documents = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    loss = info_nce(queries, documents, plain_batch(1, negatives=[[1]]), temperature=1.0)
    assert float(loss.value) == pytest.approx(0.31326168)
    assert loss.parts["accuracy"] == 1.0


def plain_batch(rows, negatives=None):
    empty = torch.zeros(rows, 0, dtype=torch.int64)
    count = rows + (0 if negatives is None else 1)
    return Batch(
        queries=block(rows, 100 + torch.arange(rows)),
        documents=block(count, torch.arange(count)),
        query_index=torch.arange(rows),
        positives=torch.arange(rows)[:, None],
        negatives=empty if negatives is None else torch.tensor(negatives),
        known=torch.zeros(0, 2, dtype=torch.int64),
        weights=torch.ones(rows),
        dataset=torch.zeros(rows, dtype=torch.int64),
    )


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_rows_changes_nothing(seed):
    queries, documents, batch = sample(seed)
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))
    here = outcome(queries, documents, batch, query_query=True)
    assert here == pytest.approx(outcome(queries, documents, batch.select(order), query_query=True), abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_a_second_copy_of_a_rows_own_positive_changes_nothing_for_that_row(seed):
    queries, documents, batch = sample(seed, groups=False)
    only = batch.select(torch.tensor([0]))
    copied = int(only.positives[0, 0])
    wider = replace(
        only,
        documents=Block(
            torch.arange(len(documents) + 1),
            torch.cat([only.documents.keys, only.documents.keys[copied, None]]),
            torch.cat([only.documents.labels, only.documents.labels[copied, None]]),
        ),
        negatives=torch.cat([only.negatives, torch.tensor([[len(documents)]])], dim=1),
    )
    more = torch.cat([documents, documents[copied, None]])
    assert outcome(queries, documents, only) == pytest.approx(outcome(queries, more, wider), abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100))
def test_the_length_of_vectors_changes_nothing(seed, scale):
    queries, documents, batch = sample(seed)
    here = outcome(queries, documents, batch)
    assert here == pytest.approx(outcome(queries * scale, documents / scale, batch), abs=1e-9)


def outcome(queries, documents, batch, **switches):
    """The value, or -1 where every row is masked: that too must not hang on the order."""
    try:
        return float(info_nce(queries, documents, batch, **switches).value)
    except NotEnoughData:
        return -1.0


def test_naming_a_document_as_negative_twice_changes_nothing():
    queries, documents, batch = sample(3)
    twice = replace(batch, negatives=torch.cat([batch.negatives, batch.negatives], dim=1))
    assert float(info_nce(queries, documents, batch).value) == float(info_nce(queries, documents, twice).value)


def test_the_value_is_the_weighted_mean_of_the_rows_alone_where_rows_do_not_meet():
    queries, documents, batch = sample(5, in_batch=False)
    rows = [batch.select(torch.tensor([row])) for row in range(len(batch))]
    alone = [max(outcome(queries, documents, each), 0.0) for each in rows]
    mean = sum(w * value for w, value in zip(batch.weights.tolist(), alone, strict=True)) / float(batch.weights.sum())
    assert float(info_nce(queries, documents, batch).value) == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize("switches", SWITCHES[:7], ids=lambda each: " ".join(each) or "default")
def test_gradients_agree_with_differences(switches):
    queries, documents, batch = sample(4, rows=4, width=3)
    switches = {**switches, "temperature": 0.5}
    inputs = (queries.requires_grad_(), documents.requires_grad_())
    assert torch.autograd.gradcheck(lambda q, d: info_nce(q, d, batch, **switches).value, inputs)


def test_a_row_whose_candidates_are_all_masked_costs_nothing_and_gives_no_gradient():
    batch = replace(plain_batch(3), groups=torch.tensor([7, 7, -1]))
    queries = torch.randn(3, 4, requires_grad=True)
    documents = torch.randn(3, 4, requires_grad=True)
    lone = replace(batch, weights=torch.tensor([1.0, 1.0, 0.0]), positives=torch.tensor([[0], [1], [-1]]))
    assert info_nce(queries, documents, batch).value.item() > 0
    with pytest.raises(
        NotEnoughData, match=r"all rows masked: none of 3 rows has a negative left .removed: 2 by group"
    ):
        info_nce(queries, documents, lone)


def test_one_row_without_negatives_is_an_error_that_says_what_to_do():
    with pytest.raises(NotEnoughData, match=r"all rows masked.*give the records negatives, use larger batches"):
        info_nce(torch.randn(1, 4), torch.randn(1, 4), plain_batch(1))


def test_no_positive_at_all_is_an_error():
    batch = replace(plain_batch(2, negatives=[[2], [2]]), positives=torch.full((2, 1), -1))
    with pytest.raises(NotEnoughData, match=r"all rows masked|no positives"):
        info_nce(torch.randn(2, 4), torch.randn(3, 4), batch)


def test_half_precision_vectors_are_computed_in_float32_and_stay_finite():
    vectors = torch.randn(4, 8).half()
    loss = info_nce(vectors, vectors.clone(), plain_batch(4), temperature=0.001)
    assert loss.value.dtype == torch.float32
    assert torch.isfinite(loss.value)


def test_a_zero_vector_gives_a_finite_gradient():
    queries = torch.zeros(2, 4, requires_grad=True)
    info_nce(queries, torch.randn(2, 4), plain_batch(2)).value.backward()
    assert torch.isfinite(queries.grad).all()


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature is 0"):
        info_nce(torch.randn(2, 4), torch.randn(2, 4), plain_batch(2), temperature=0)
