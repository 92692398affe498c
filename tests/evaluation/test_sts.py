"""Scored pairs and yes-or-no pairs: definitions, failures that must not rank, golden figures."""

import itertools

import numpy as np
import pytest
import sklearn.metrics

from vecsmith.errors import DataError, NotEnoughData
from vecsmith.evaluation.pair_classification import average_precision, best_thresholds, judge_pair_classification
from vecsmith.evaluation.sts import cosine_pairs, encode_distinct, judge_scored, judge_sts


def by_letters(texts):
    """A toy encoder: counts of a, b and c."""
    return np.array([[text.count(letter) for letter in "abc"] for text in texts], dtype=np.float32)


def test_each_distinct_text_is_encoded_once():
    seen = []

    def encode(texts):
        seen.append(texts)
        return by_letters(texts)

    scores = judge_sts(encode, ["a", "ab", "a"], ["a", "b", "c"], [5, 3, 0])
    assert seen == [["a", "ab", "b", "c"]]
    assert scores.value == pytest.approx(1.0)
    assert scores.per_query["prediction"] == pytest.approx([1, 0.5**0.5, 0])


def test_constant_and_nan_predictions_fail_without_a_score():
    constant = judge_scored([0.3, 0.3, 0.3], [1, 2, 3])
    assert constant.value is None
    assert "equal values have no order" in constant.failed
    broken = judge_scored([0.3, np.nan, np.nan], [1, 2, 3])
    assert broken.value is None
    assert "2 of 3 predictions are not finite" in broken.failed


def test_gold_scores_that_cannot_be_ranked_are_the_datas_fault():
    with pytest.raises(NotEnoughData, match="without two different scores"):
        judge_scored([1, 2], [3, 3])
    with pytest.raises(DataError, match="score of pair 1 is not finite"):
        judge_scored([1, 2], [3, np.nan])
    with pytest.raises(DataError, match="one value per pair"):
        judge_scored([1, 2, 3], [3, 1])
    with pytest.raises(DataError, match=r"vectors of shape \(3,\) for 2 texts"):
        encode_distinct(lambda texts: np.zeros(3), ["a"], ["b"])


def test_the_cosine_of_a_zero_vector_is_zero():
    assert cosine_pairs([[0, 0], [3, 4]], [[1, 0], [6, 8]]) == pytest.approx([0, 1])


def pairs(seed, n=200):
    draw = np.random.default_rng(seed)
    scores = np.round(draw.random(n), 2)  # ties
    return scores, (draw.random(n) < scores).astype(int)


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_equals_scikit_learn_with_ties(seed):
    scores, labels = pairs(seed)
    assert average_precision(scores, labels) == pytest.approx(sklearn.metrics.average_precision_score(labels, scores))


@pytest.mark.parametrize("seed", range(8))
def test_the_best_thresholds_are_those_that_trying_all_finds(seed):
    scores, labels = pairs(seed, n=40)
    best = best_thresholds(scores, labels)
    cuts = sorted(set(scores))
    tried = [(low + high) / 2 for low, high in itertools.pairwise(cuts)]
    accuracy = [np.mean((scores > cut) == labels) for cut in tried]
    f1 = [sklearn.metrics.f1_score(labels, scores > cut) for cut in tried]
    assert best["accuracy"] == pytest.approx(max(accuracy))
    assert best["f1"] == pytest.approx(max(f1))
    assert np.mean((scores > best["accuracy_threshold"]) == labels) == pytest.approx(max(accuracy))
    assert sklearn.metrics.f1_score(labels, scores > best["f1_threshold"]) == pytest.approx(max(f1))


def test_pair_classification_equals_mteb_on_its_own_numbers():
    draw = np.random.default_rng(0)
    labels_five = draw.integers(0, 5, 400)  # the draws before it, so that the stream stands where mteb's run had it
    draw.normal(size=(5, 8)), draw.normal(size=(400, 8))
    similarities = np.round(draw.random(300), 2)
    labels = (draw.random(300) < similarities).astype(int)
    best = best_thresholds(similarities, labels)
    assert len(labels_five) == 400
    assert average_precision(similarities, labels) == pytest.approx(0.8154327439016174, abs=1e-9)  # mteb 2.26.0
    assert best["accuracy"] == pytest.approx(0.75, abs=1e-9)
    assert best["f1"] == pytest.approx(0.7485714285714286, abs=1e-9)


def test_the_best_of_four_similarities_stands_beside_the_main_score():
    left = np.array([[1, 0], [5, 0.1], [0, 1], [1, 1]])
    right = np.array([[1, 0.1], [0, 1], [0.1, 1], [1, -1]])
    scores = judge_pair_classification(left, right, [1, 0, 1, 0])
    assert scores.metric == "ap"
    assert scores.value == 1.0
    assert scores.values["max_ap"] == max(v for name, v in scores.values.items() if name.startswith("ap"))


def test_pairs_that_cannot_be_judged_say_why():
    ones = np.ones((3, 2))
    assert "similarities are equal" in judge_pair_classification(ones, ones, [0, 1, 0]).failed
    assert "not finite" in judge_pair_classification(ones * np.nan, ones, [0, 1, 0]).failed
    with pytest.raises(NotEnoughData, match="one label"):
        judge_pair_classification(ones, ones, [1, 1, 1])
    with pytest.raises(DataError, match=r"found \[2\]"):
        judge_pair_classification(ones, ones, [0, 1, 2])
