"""The exact engine against float64 sorting, and its laws."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.index.engine import Part, exact_scores, nearest, plan_for


def sample(seed: int, rows: int = 120, width: int = 16, distinct: int = 40):
    """Vectors with exact copies among the rows, and near copies that float32 can hardly tell apart."""
    draw = np.random.default_rng(seed)
    base = draw.standard_normal((distinct, width)).astype(np.float32)
    base[1] = base[0] * np.float32(1 + 2**-22)
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    return base[draw.integers(0, distinct, rows)], draw.standard_normal((5, width)).astype(np.float32)


def part_of(vectors):
    distinct, vector_of = np.unique(vectors, axis=0, return_inverse=True)
    return Part(distinct, vector_of.reshape(-1).astype(np.uint32), float(np.linalg.norm(vectors, axis=1).max()))


def sort_in_float64(query, vectors, mask, k):
    """(row, score) of the k best and all that tie with the last, by Python's sort."""
    scored = [
        (np.float32(sum(float(a) * float(b) for a, b in zip(vector, query, strict=True))), row)
        for row, vector in enumerate(vectors)
        if mask[row]
    ]
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    return [row for score, row in scored if score >= scored[min(k, len(scored)) - 1][0]] if scored and k else []


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.01, 0.0])
@pytest.mark.parametrize("k", [0, 1, 7, 119, 500])
def test_agrees_with_sorting_in_float64(share, k):
    vectors, queries = sample(1)
    mask = np.random.default_rng(2).random(len(vectors)) < share
    found = nearest(queries, [part_of(vectors)], [mask], k)
    for query, (rows, scores) in zip(queries, found, strict=True):
        assert rows.tolist() == sort_in_float64(query, vectors, mask, k)
        assert np.allclose(scores, vectors[rows] @ query, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), cuts=st.lists(st.integers(0, 120), max_size=4), k=st.integers(1, 30))
def test_the_answer_does_not_depend_on_how_rows_are_cut(seed, cuts, k):
    vectors, queries = sample(seed)
    mask = np.random.default_rng(seed).random(len(vectors)) < 0.7
    edges = [0, *sorted(cuts), len(vectors)]
    spans = [(low, high) for low, high in itertools.pairwise(edges) if high > low]
    whole = nearest(queries, [part_of(vectors)], [mask], k)
    cut = nearest(queries, [part_of(vectors[a:b]) for a, b in spans], [mask[a:b] for a, b in spans], k)
    for (rows, scores), (cut_rows, cut_scores) in zip(whole, cut, strict=True):
        assert rows.tolist() == cut_rows.tolist()
        assert scores.tolist() == cut_scores.tolist()


def test_gathering_and_scanning_give_the_same_bits():
    vectors, queries = sample(3, rows=4000, distinct=4000)
    few = np.zeros(4000, dtype=bool)
    few[::200] = True
    gathered = nearest(queries, [part_of(vectors)], [few], 10)
    scanned = nearest(queries, [part_of(vectors)], [None], 4000)
    for (rows, scores), (all_rows, all_scores) in zip(gathered, scanned, strict=True):
        keep = few[all_rows]
        assert rows.tolist() == all_rows[keep][:10].tolist()
        assert scores.tolist() == all_scores[keep][:10].tolist()


def test_when_all_rows_tie_all_come_back():
    vectors = np.ones((300, 4), dtype=np.float32) / 2
    (rows, scores), *_ = nearest(np.ones((1, 4), dtype=np.float32), [part_of(vectors)], [None], 3)
    assert rows.tolist() == list(range(300))
    assert set(scores.tolist()) == {2.0}


def test_vectors_that_tie_beyond_the_short_list_are_found():
    draw = np.random.default_rng(5)
    vectors = np.concatenate([np.full((300, 1), 0.5), draw.random((300, 7))], axis=1).astype(np.float32)
    query = np.eye(8, dtype=np.float32)[:1]
    (rows, _), *_ = nearest(query, [part_of(vectors)], [None], 3)
    assert rows.tolist() == list(range(300))


def test_scores_are_the_float64_products_rounded_once():
    vectors, queries = sample(6, width=300)
    (rows, scores), *_ = nearest(queries[:1], [part_of(vectors)], [None], 120)
    exact = [math.fsum(float(a) * float(b) for a, b in zip(vectors[row], queries[0], strict=True)) for row in rows]
    assert scores.tolist() == np.array(exact).astype(np.float32).tolist()


def test_scores_of_given_rows_are_those_of_the_search():
    vectors, queries = sample(4)
    parts = [part_of(vectors[:50]), part_of(vectors[50:])]
    (rows, scores), *_ = nearest(queries[:1], parts, [None, None], 20)
    assert exact_scores(queries[0], parts, rows).tolist() == scores.tolist()


def test_no_parts_give_no_rows():
    (rows, _), *_ = nearest(np.ones((1, 4), dtype=np.float32), [], [], 3)
    assert rows.tolist() == []


@pytest.mark.parametrize(
    ("passing", "plan"), [(0, "empty"), (1, "exact"), (31, "exact"), (32, "scan_all"), (1000, "scan_all")]
)
def test_plans_follow_the_share_that_passes(passing, plan):
    assert plan_for(passing, 1000) == plan
