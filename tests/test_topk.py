import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.topk import merge_top_k, top_k


def slow_top_k(queries, documents, k):
    """Python sort on exact integer scores: shares nothing with the block-wise path."""
    rows, scores = [], []
    for query in queries.tolist():
        scored = [(-sum(a * b for a, b in zip(query, row, strict=True)), n) for n, row in enumerate(documents.tolist())]
        scored = sorted(scored)[:k] + [(np.inf, -1)] * (k - len(documents))
        rows.append([row for _, row in scored])
        scores.append([-score for score, _ in scored])
    return np.array(rows), np.array(scores, dtype=np.float32)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), k=st.integers(1, 45), block=st.integers(1, 50))
def test_agrees_with_a_sort_for_any_block_size_with_ties_by_row(seed, n, k, block):
    random = np.random.default_rng(seed)
    queries = random.integers(-2, 3, (3, 4)).astype(np.float32)  # small integers: many exact ties
    documents = random.integers(-2, 3, (n, 4)).astype(np.float32)
    rows, scores = top_k(queries, documents, k, block_rows=block)
    expected_rows, expected_scores = slow_top_k(queries, documents, k)
    assert rows.tolist() == expected_rows.tolist()
    assert np.array_equal(scores, expected_scores)


def test_rows_that_are_not_allowed_are_never_found():
    documents = np.eye(4, dtype=np.float32)
    rows, scores = top_k(np.ones((1, 4), np.float32), documents, 3, allowed=np.array([False, True, False, True]))
    assert rows.tolist() == [[1, 3, -1]]
    assert scores[0, 2] == -np.inf


def test_half_precision_documents_and_progress():
    seen = []
    documents = np.ones((5, 2), np.float16)
    rows, _ = top_k(np.ones((1, 2), np.float32), documents, 1, block_rows=2, on_block=seen.append)
    assert rows.tolist() == [[0]]
    assert seen == [2, 2, 1]


@pytest.mark.parametrize(
    ("queries", "documents", "k", "words"),
    [
        (np.ones((1, 2)), np.ones((3, 4)), 1, "equal width"),
        (np.ones((1, 2)), np.ones((3, 2)), 0, "k is 0"),
        (np.ones((1, 2)), np.array([[1, 1], [np.nan, 0]]), 1, "document row 1"),
    ],
)
def test_bad_arguments_are_named(queries, documents, k, words):
    with pytest.raises(ValueError, match=words):
        top_k(queries.astype(np.float32), documents.astype(np.float32), k)


def test_merging_keeps_the_best_of_both():
    rows, scores = merge_top_k(
        np.array([[5, -1]]),
        np.array([[0.5, -np.inf]], np.float32),
        np.array([[2, 9]]),
        np.array([[0.5, 0.9]], np.float32),
        2,
    )
    assert rows.tolist() == [[9, 2]]
    assert scores.tolist() == [[np.float32(0.9), 0.5]]


@pytest.mark.parametrize(("k", "block"), [(5, None), (101, 700), (40, 2999), (300, 512)])
def test_many_blocks_of_queries_and_documents_find_what_a_full_sort_finds(k, block, monkeypatch):
    monkeypatch.setattr("vecsmith.topk.BLOCK_SCORES", 1 << 14)  # queries are cut too
    random = np.random.default_rng(k)
    queries = random.integers(-9, 10, (70, 6)).astype(np.float32)
    documents = random.integers(-9, 10, (3000, 6)).astype(np.float32)
    rows, scores = top_k(queries, documents, k, block_rows=block)
    everything = queries.astype(np.int64) @ documents.astype(np.int64).T
    expected = np.argsort(-everything, axis=1, kind="stable")[:, :k]
    assert np.array_equal(rows, expected)
    assert np.array_equal(scores, np.take_along_axis(everything, expected, axis=1))


def test_a_query_that_is_not_finite_and_scores_that_overflow_are_named():
    with pytest.raises(ValueError, match="query row 1 has NaN"):
        top_k(np.array([[1, 1], [np.inf, 0]], np.float32), np.ones((3, 2), np.float32), 1)
    with pytest.raises(ValueError, match="document row 2 or a query"):
        top_k(np.full((1, 2), 3e38, np.float32), np.array([[0, 0], [0, 1e-9], [9, 9]], np.float32), 1)


def test_zeros_of_either_sign_are_equal_and_no_document_gives_no_row():
    rows, _ = top_k(np.array([[1.0]], np.float32), np.array([[0.0], [-0.0], [0.0]], np.float32), 3)
    assert rows.tolist() == [[0, 1, 2]]
    rows, scores = top_k(np.ones((2, 3), np.float32), np.zeros((0, 3), np.float32), 2)
    assert rows.tolist() == [[-1, -1], [-1, -1]]
    assert np.isneginf(scores).all()
