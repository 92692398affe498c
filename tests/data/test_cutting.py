"""Cutting an order into batches: budgets, buckets, groups, and how much is left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data.cutting import apart, cut

ROWS = st.integers(2, 80)


def sample(seed, count):
    random = np.random.default_rng(seed)
    return random.permutation(count), random.integers(-1, max(count // 3, 1), count), random.integers(1, 40, count)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), count=ROWS, size=st.integers(2, 12), budget=st.integers(20, 300))
def test_no_batch_passes_its_budget_unless_its_first_two_rows_do(seed, count, size, budget):
    order, groups, tokens = sample(seed, count)
    for given_groups in (None, groups):
        for batch in cut(order, size, groups=given_groups, tokens=tokens, budget=budget):
            assert 2 <= len(batch) <= size
            assert len(batch) * tokens[batch].max() <= budget or len(batch) == 2


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), count=ROWS, size=st.integers(2, 12), grouped=st.booleans())
def test_each_row_stands_once_at_most_its_bucket_is_that_of_its_company_and_its_group_stands_alone(
    seed, count, size, grouped
):
    order, groups, tokens = sample(seed, count)
    buckets = tokens % 4
    for budget in (None, 100):
        batches = cut(order, size, groups=groups if grouped else None, buckets=buckets, tokens=tokens, budget=budget)
        rows = np.concatenate(batches) if batches else np.zeros(0)
        assert len(set(rows.tolist())) == len(rows)
        for batch in batches:
            assert len(set(buckets[batch].tolist())) == 1
            named = [group for group in groups[batch].tolist() if group >= 0]
            assert not grouped or len(set(named)) == len(named)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 300), budget=st.integers(20, 300))
def test_a_budget_leaves_out_no_more_than_one_batch(seed, count, budget):
    order, _, tokens = sample(seed, count)
    batches = cut(order, count, tokens=tokens, budget=budget)
    assert count - sum(map(len, batches)) <= max(budget // int(tokens.min()), 2)


def test_a_bucket_smaller_than_a_batch_is_one_small_batch_and_a_single_row_is_left_out():
    buckets = np.array([0, 0, 0, 0, 1, 1, 2])
    assert [sorted(batch.tolist()) for batch in cut(np.arange(7), 4, buckets=buckets)] == [[0, 1, 2, 3], [4, 5]]


def test_long_rows_come_in_twos_where_one_alone_would_fill_the_budget():
    batches = cut(np.arange(4), 8, tokens=np.array([500, 500, 400, 400]), budget=100)
    assert [batch.tolist() for batch in batches] == [[0, 1], [2, 3]]


def test_rows_of_a_budget_are_alike_in_length():
    random = np.random.default_rng(0)
    tokens = random.integers(5, 500, 20_000)
    batches = cut(random.permutation(20_000), 20_000, tokens=tokens, budget=4_000)
    padded = sum(len(batch) * int(tokens[batch].max()) for batch in batches)
    assert padded < 1.05 * sum(int(tokens[batch].sum()) for batch in batches)


@pytest.mark.parametrize("size", [2, 5])
def test_apart_with_one_group_for_all_gives_batches_of_one(size):
    assert [batch.tolist() for batch in apart(np.arange(3), np.zeros(3, np.int64), lambda _: size)] == [[0], [1], [2]]
