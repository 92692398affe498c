"""Judging a search: which queries count, what is left out and said, and what is refused."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from vecsmith.errors import DataError, NotEnoughData
from vecsmith.evaluation.retrieval import dense_search, judge_retrieval, unit_rows
from vecsmith.topk import top_k


@dataclass
class Judgements:
    query_texts: list = field(default_factory=lambda: ["one", "two", "three"])
    document_ids: list = field(default_factory=lambda: ["a", "b", "c"])
    relevance: dict = field(default_factory=lambda: {0: {"a": 1.0}, 1: {"b": 2.0, "gone": 1.0}, 2: {"c": 0.0}})


def fixed(rows, scores):
    """A search that knows its answers by the query's text."""
    answers = dict(zip(["one", "two", "three"], zip(rows, scores, strict=True), strict=True))

    def search(queries, k):
        found = [answers[query] for query in queries]
        return np.array([r for r, _ in found]), np.array([s for _, s in found], dtype=np.float32)

    return search


ORDERS = fixed([[0, 1, 2], [0, 1, 2], [0, 1, 2]], [[0.9, 0.5, 0.1]] * 3)


def test_queries_without_relevant_documents_are_left_out_and_counted():
    scores = judge_retrieval(ORDERS, Judgements(), metrics=["mrr@10", "recall@10"])
    assert scores.per_query["mrr@10"].tolist() == [1.0, 0.5]
    assert scores.value == 0.75
    assert scores.per_query["recall@10"].tolist() == [1.0, 0.5]  # one of two: the other is not in the corpus
    assert (scores.counts["queries"], scores.counts["excluded_queries"]) == (2, 1)
    assert scores.counts["missing_documents"] == 1


def test_every_judged_document_that_the_corpus_lacks_counts():
    judged = Judgements(relevance={0: {"a": 1.0, "gone": 1.0, "lost": 1.0}})
    scores = judge_retrieval(ORDERS, judged, metrics=["recall@10"])
    assert scores.values["recall@10"] == pytest.approx(1 / 3)
    assert scores.counts["missing_documents"] == 2


def test_the_compatible_mode_keeps_them_as_zero():
    scores = judge_retrieval(ORDERS, Judgements(), metrics=["mrr@10"], mteb_compat=True)
    assert scores.per_query["mrr@10"].tolist() == [1.0, 0.5, 0.0]


def test_the_identical_document_can_be_left_out_and_the_depth_still_holds():
    judged = Judgements(relevance={0: {"b": 1.0, "a": 1.0}})
    asked = []

    def search(queries, k):
        asked.append(k)
        return ORDERS(queries, k)

    scores = judge_retrieval(search, judged, metrics=["mrr@2", "recall@2"], exclude=["a", None, None])
    assert asked == [4]  # the depth, one more to see ties across it, one more to lose
    assert scores.per_query["mrr@2"].tolist() == [1.0]
    assert scores.per_query["recall@2"].tolist() == [1.0]  # "a" counts neither as hit nor as relevant


def test_a_query_whose_only_answer_is_itself_is_left_out():
    judged = Judgements(relevance={0: {"a": 1.0}, 1: {"b": 1.0}})
    scores = judge_retrieval(ORDERS, judged, metrics=["mrr@2"], exclude=["a", None, None])
    assert (scores.counts["queries"], scores.values["mrr@2"]) == (1, 0.5)
    with pytest.raises(DataError, match="1 documents to leave out for 3 queries"):
        judge_retrieval(ORDERS, judged, exclude=["a"])


def test_ties_follow_the_ids_and_are_reported():
    tied = fixed([[0, 1, 2]] * 3, [[0.5, 0.5, 0.1]] * 3)
    scores = judge_retrieval(tied, Judgements(relevance={0: {"a": 1.0}}), metrics=["mrr@1", "mrr@3"])
    assert scores.values == {"mrr@1": 0.0, "mrr@3": 0.5}
    assert scores.counts["tied_share"] == 1.0
    apart = fixed([[0, 1, 2]] * 3, [[0.6, 0.5, 0.5]] * 3)
    scores = judge_retrieval(apart, Judgements(relevance={0: {"a": 1.0}}), metrics=["mrr@1"])
    assert scores.counts["tied_share"] == 0.0


def test_a_constant_model_fails_instead_of_ranking():
    constant = dense_search(np.ones((3, 4), dtype=np.float32), lambda texts: np.ones((len(texts), 4)))
    scores = judge_retrieval(constant, Judgements())
    assert scores.value is None
    assert "score the same" in scores.failed


def test_a_model_that_returns_nan_is_refused():
    broken = dense_search(np.ones((3, 4), dtype=np.float32), lambda texts: np.full((len(texts), 4), np.nan))
    with pytest.raises(DataError, match="NaN or infinity"):
        judge_retrieval(broken, Judgements())
    with pytest.raises(DataError, match="not finite"):
        judge_retrieval(fixed([[0, 1, 2]] * 3, [[np.nan, 1, 0]] * 3), Judgements())


def test_dense_search_is_cosine_unless_told_otherwise():
    vectors = np.array([[10.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    by_cosine, by_product = (
        dense_search(vectors, lambda texts: np.array([[1.0, 1.0]]), cosine=c) for c in (True, False)
    )
    assert by_cosine(["x"], 2)[0].tolist() == [[1, 0]]
    assert by_product(["x"], 2)[0].tolist() == [[0, 1]]


def test_dense_search_agrees_with_the_whole_score_matrix():
    draw = np.random.default_rng(0)
    vectors, queries = draw.normal(size=(500, 16)).astype(np.float32), draw.normal(size=(20, 16)).astype(np.float32)
    rows, scores = dense_search(vectors, lambda texts: queries)(["q"] * 20, 5)
    cosines = [
        [q @ v / np.linalg.norm(q) / np.linalg.norm(v) for v in vectors.astype(float)] for q in queries.astype(float)
    ]
    assert rows.tolist() == [sorted(range(500), key=lambda n: -row[n])[:5] for row in cosines]
    assert np.allclose(scores, [sorted(row)[::-1][:5] for row in cosines], atol=1e-6)


def test_unit_rows_copies_nothing_where_nothing_changes_and_keeps_zero_rows():
    unit = np.eye(3, dtype=np.float32)
    assert unit_rows(unit) is unit
    assert unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)).tolist() == [
        pytest.approx([0.6, 0.8]),
        [0, 0],
    ]


def test_more_queries_than_one_block_and_fewer_documents_than_k_are_fine():
    count = 5000
    vectors = np.eye(4, dtype=np.float32)
    judged = Judgements(
        query_texts=[str(n) for n in range(count)],
        document_ids=list("wxyz"),
        relevance={n: {"wxyz"[n % 4]: 1.0} for n in range(count)},
    )
    encode = lambda texts: vectors[[int(text) % 4 for text in texts]]  # noqa: E731
    scores = judge_retrieval(lambda queries, k: top_k(encode(queries), vectors, k), judged)
    assert scores.value == 1.0
    assert len(scores.per_query["ndcg@10"]) == count


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"document_ids": ["a", "b", "a"]}, "occur twice"),
        ({"relevance": {9: {"a": 1.0}}}, "judgements name query 9"),
        ({"document_ids": ["a", "b"]}, "document row 2 of a corpus of 2"),
        ({"relevance": {0: {"a": float("inf")}}}, "not finite"),
        ({"relevance": {0: {"a": 1.0}, 1: {"a": float("nan")}}}, "not finite"),
    ],
)
def test_judgements_that_do_not_fit_are_refused(change, words):
    with pytest.raises(DataError, match=words):
        judge_retrieval(ORDERS, Judgements(**change))


def test_nothing_judged_is_not_a_score():
    with pytest.raises(NotEnoughData, match="no query has a relevant document"):
        judge_retrieval(ORDERS, Judgements(relevance={0: {"a": 0.0}}))


def test_a_search_that_answers_another_number_of_queries_is_refused():
    with pytest.raises(DataError, match="for 2 queries"):
        judge_retrieval(lambda queries, k: (np.zeros((1, 3), dtype=int), np.zeros((1, 3))), Judgements())
