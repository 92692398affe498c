"""Ranking metrics against trec_eval itself, and their laws."""

import math
import random

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.errors import DataError, UsageError
from vecsmith.evaluation.metrics import order_hits, qrels_of, retrieval_metrics, tied_at

NAMES = {
    "ndcg@3": "ndcg_cut_3",
    "ndcg@10": "ndcg_cut_10",
    "map@5": "map_cut_5",
    "map@100": "map_cut_100",
    "recall@5": "recall_5",
    "recall@100": "recall_100",
    "precision@5": "P_5",
    "precision@100": "P_100",
    "success@1": "success_1",
    "success@10": "success_10",
    "mrr@1000": "recip_rank",
}


def random_run(seed):
    """A run with ties, scores closer than float32 can tell, short lists, graded and negative judgements."""
    draw = random.Random(seed)
    ids = [f"d{n}" for n in range(draw.choice([12, 40, 130]))]  # string order is not row order: d10 < d2
    run, qrels = {}, {}
    for query in range(draw.randint(1, 6)):
        found = draw.sample(ids, draw.randint(1, len(ids)))
        run[f"q{query}"] = {i: draw.choice([1.0, 1.0 + 1e-9, 1 + 1e-7, 0.5, -0.25, draw.random()]) for i in found}
        judged = draw.sample(ids, draw.randint(1, min(20, len(ids))))
        qrels[f"q{query}"] = {i: draw.choice([-1, 0, 1, 2, 3]) for i in judged}
        qrels[f"q{query}"][draw.choice(ids)] = 1
    return ids, run, qrels


def as_arrays(ids, run, qrels):
    ids = list(ids)
    random.Random(0).shuffle(ids)
    row = {identifier: n for n, identifier in enumerate(ids)}
    width = max(map(len, run.values()))
    rows, scores = np.full((len(run), width), -1), np.full((len(run), width), -np.inf)
    for n, found in enumerate(run.values()):
        rows[n, : len(found)] = [row[i] for i in found]
        scores[n, : len(found)] = list(found.values())
    ranks = {identifier: n for n, identifier in enumerate(sorted(ids))}
    judged = [{row[i]: gain for i, gain in query.items()} for query in qrels.values()]
    return rows, scores, qrels_of(judged), np.array([ranks[i] for i in ids])


def test_every_metric_equals_trec_eval_on_200_runs_with_ties():
    measures = {"ndcg_cut.3,10", "map_cut.5,100", "recall.5,100", "P.5,100", "success.1,10", "recip_rank"}
    for seed in range(200):
        ids, run, qrels = random_run(seed)
        theirs = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
        rows, scores, judged, tie_order = as_arrays(ids, run, qrels)
        ours = retrieval_metrics(rows, scores, judged, metrics=list(NAMES), tie_order=tie_order)
        for name, official in NAMES.items():
            expected = [theirs[query][official] for query in run]
            assert np.abs(ours[name] - expected).max() < 1e-6, (seed, name)


def test_expected_ndcg_is_the_mean_over_random_orders_of_ties():
    draw = np.random.default_rng(3)
    scores = np.array([[3, 2, 2, 2, 1, 1]], dtype=np.float32)
    qrels = qrels_of([{1: 2.0, 3: 1.0, 5: 3.0}])
    rows = np.arange(6)[None]
    expected = retrieval_metrics(rows, scores, qrels, metrics=["expected_ndcg@4"])["expected_ndcg@4"][0]
    sampled = [
        retrieval_metrics(rows, scores, qrels, metrics=["ndcg@4"], tie_order=draw.permutation(6))["ndcg@4"][0]
        for _ in range(4000)
    ]
    assert abs(np.mean(sampled) - expected) < 4 * np.std(sampled) / math.sqrt(4000)


@given(seed=st.integers(0, 10_000))
def test_the_order_in_which_results_are_handed_in_changes_nothing(seed):
    ids, run, qrels = random_run(seed)
    rows, scores, judged, tie_order = as_arrays(ids, run, qrels)
    shuffled = np.random.default_rng(seed).permutation(rows.shape[1])
    here = retrieval_metrics(rows, scores, judged, tie_order=tie_order)
    there = retrieval_metrics(rows[:, shuffled], scores[:, shuffled], judged, tie_order=tie_order)
    assert all(np.array_equal(here[name], there[name]) for name in here)
    assert all((numbers >= 0).all() and (numbers <= 1 + 1e-12).all() for numbers in here.values())


def test_a_perfect_ranking_scores_one_and_a_capped_recall_allows_for_many_relevant():
    qrels = qrels_of([dict.fromkeys(range(20), 1.0)])
    rows, scores = np.arange(20)[None], -np.arange(20.0)[None]
    names = ["ndcg@10", "mrr@10", "map@20", "capped_recall@10", "recall@10", "precision@10"]
    got = retrieval_metrics(rows, scores, qrels, metrics=names)
    assert [float(got[name][0]) for name in names] == pytest.approx([1, 1, 1, 1, 0.5, 1])


def test_precision_divides_by_k_and_judged_documents_that_never_come_back_count():
    qrels = qrels_of([{0: 1.0, -1: 1.0, -2: 1.0}])  # two relevant documents that the corpus lacks
    got = retrieval_metrics([[0, -1]], [[1.0, -np.inf]], qrels, metrics=["precision@10", "recall@10", "ndcg@2"])
    assert got["precision@10"] == [0.1]
    assert got["recall@10"] == pytest.approx([1 / 3])
    assert got["ndcg@2"] == pytest.approx([1 / (1 + 1 / math.log2(3))])


def test_a_query_without_relevant_documents_scores_zero_everywhere():
    got = retrieval_metrics([[0, 1], [0, 1]], [[2.0, 1.0]] * 2, qrels_of([{0: 0.0}, {}]))
    assert all((numbers == 0).all() for numbers in got.values())


def test_no_query_at_all_gives_empty_arrays():
    got = retrieval_metrics(np.zeros((0, 3)), np.zeros((0, 3)), qrels_of([]), metrics=["ndcg@10", "map@3"])
    assert {name: len(numbers) for name, numbers in got.items()} == {"ndcg@10": 0, "map@3": 0}


def test_scores_that_float32_cannot_tell_apart_tie():
    rows, scores = order_hits([[0, 1]], np.array([[1 + 1e-9, 1.0]]))
    assert rows.tolist() == [[1, 0]]
    assert tied_at(rows, scores, 1).tolist() == [True]
    assert tied_at(rows, scores, 2).tolist() == [False]
    assert order_hits([[0, 1]], np.array([[1 + 1e-6, 1.0]]))[0].tolist() == [[0, 1]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_named(value):
    with pytest.raises(DataError, match="query 1 scores document row 7"):
        order_hits([[1, 2], [3, 7]], [[0.5, 0.2], [0.1, value]])


def test_a_document_listed_twice_is_named():
    with pytest.raises(DataError, match="query 0 lists document row 4 twice"):
        order_hits([[4, 1, 4]], [[3.0, 2.0, 1.0]])


def test_a_judgement_that_is_not_finite_is_named():
    with pytest.raises(DataError, match="query 1 has a judgement"):
        qrels_of([{0: 1.0}, {0: 1.0, 1: float("nan")}])


@pytest.mark.parametrize("name", ["ndcg", "ndcg@0", "dcg@10", "ndcg@ten"])
def test_an_unknown_metric_lists_the_known_ones(name):
    with pytest.raises(UsageError, match=r"known, each with a cutoff: ndcg"):
        retrieval_metrics([[0]], [[1.0]], qrels_of([{0: 1.0}]), metrics=[name])


def test_results_and_judgements_of_different_queries_are_refused():
    with pytest.raises(DataError, match="2 queries have results and 1 have judgements"):
        retrieval_metrics([[0], [1]], [[1.0], [1.0]], qrels_of([{0: 1.0}]))
