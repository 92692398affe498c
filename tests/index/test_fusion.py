"""Fusion by scores and by ranks, and the choice of its weight."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.errors import NotEnoughData
from vecsmith.index.fusion import (
    Candidates,
    fuse_scores,
    gather_candidates,
    ndcg_at_10,
    rank_fusion,
    score_fusion,
    tune_weight,
)


def side(*pairs):
    return np.array([row for row, _ in pairs], dtype=np.int64), np.array([s for _, s in pairs], dtype=np.float32)


def test_scores_are_the_weighted_sum_of_min_max_worked_by_hand():
    rows, scores = score_fusion(side((7, 0.9), (3, 0.5)), side((3, 8.0), (5, 2.0)), 0.5)
    # union 3, 5, 7; dense 0.5, 0.5 (lowest listed), 0.9 -> 0, 0, 1; lexical 8, 2, 0 -> 1, 0.25, 0
    assert rows.tolist() == [3, 7, 5]
    assert scores.tolist() == [0.5, 0.5, 0.125]


def test_a_scorer_fills_what_a_side_did_not_list():
    found = gather_candidates(
        side((7, 0.9), (3, 0.5)), side((5, 2.0)), dense_scores=lambda rows: rows.astype(np.float32) / 10
    )
    assert found.rows.tolist() == [3, 5, 7]
    assert found.dense.tolist() == pytest.approx([0.5, 0.5, 0.9])
    assert found.lexical.tolist() == [0.0, 2.0, 0.0]


def test_ranks_are_added_reciprocally():
    rows, scores = rank_fusion(side((7, 0.9), (3, 0.5), (-1, -np.inf)), side((3, 8.0)))
    assert rows.tolist() == [3, 7]
    assert scores.tolist() == pytest.approx([1 / 62 + 1 / 61, 1 / 61])


@given(st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=20), st.floats(0.1, 10), st.floats(-3, 3))
def test_scale_and_shift_of_a_side_change_nothing(scores, scale, shift):
    dense = np.round(np.array(scores, dtype=np.float64), 2)
    lexical = dense[::-1].copy()
    assert np.allclose(fuse_scores(dense, lexical, 0.3), fuse_scores(dense * scale + shift, lexical, 0.3), atol=1e-6)


@given(st.permutations(list(range(12))))
def test_weight_one_ranks_as_the_dense_side_and_zero_as_the_lexical_side(order):
    dense, lexical = side(*((r, 12.0 - i) for i, r in enumerate(order))), side(*((r, float(r)) for r in range(12)))
    assert score_fusion(dense, lexical, 1.0)[0].tolist() == list(order)
    assert score_fusion(dense, lexical, 0.0)[0].tolist() == list(range(11, -1, -1))


def test_empty_sides_give_an_empty_ranking():
    empty = side()
    assert score_fusion(empty, empty, 0.5)[0].tolist() == []
    assert rank_fusion(empty, empty)[0].tolist() == []
    assert rank_fusion()[0].tolist() == []
    assert score_fusion(side((4, 0.5)), empty, 0.5)[0].tolist() == [4]


def test_a_weight_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match=r"weight is 1\.5"):
        score_fusion(side((1, 1.0)), side((1, 1.0)), 1.5)


def judged(count, seed=0, good="lexical"):
    draw = np.random.default_rng(seed)
    candidates, relevance = [], []
    for _ in range(count):
        rows = np.arange(30)
        scores = {"dense": draw.random(30), "lexical": draw.random(30)}
        scores[good][7] = 2.0
        candidates.append(Candidates(rows, scores["dense"].astype(np.float32), scores["lexical"].astype(np.float32)))
        relevance.append({7: 1.0})
    return candidates, relevance


@pytest.mark.parametrize("good", ["lexical", "dense"])
def test_the_weight_goes_to_the_side_that_knows(good):
    tuned = tune_weight(*judged(60, good=good))
    assert tuned.weight < 0.5 if good == "lexical" else tuned.weight > 0.5
    assert tuned.curve[tuned.weight] == max(tuned.curve.values())
    assert len(tuned.fold_weights) == 5
    assert tuned.score == pytest.approx(1.0, abs=0.05)


def test_the_score_of_a_weight_is_judged_on_other_queries():
    candidates, _ = judged(200, seed=3)
    noise = [{int(row): 1.0} for row in np.random.default_rng(4).integers(8, 30, 200)]
    tuned = tune_weight(candidates, noise)
    assert tuned.score <= max(tuned.curve.values())  # the best weight of each query alone would give about twice that


def test_under_30_judged_queries_the_weight_is_refused():
    candidates, relevance = judged(40)
    relevance = [{7: 0.0} if i < 11 else grades for i, grades in enumerate(relevance)]
    with pytest.raises(NotEnoughData, match=r"29 judged queries.*at least 30.*ranks"):
        tune_weight(candidates, relevance)


def test_ndcg_is_trec_evals():
    assert ndcg_at_10(np.array([4, 2, 9]), {2: 2.0, 9: 1.0, 5: 0.0}) == pytest.approx(
        (2 / np.log2(3) + 1 / np.log2(4)) / (2 + 1 / np.log2(3))
    )
