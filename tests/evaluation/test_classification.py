"""Classification: the published index lists, and the classifiers against scikit-learn."""

import hashlib
import json

import numpy as np
import pytest
import sklearn.metrics
import sklearn.neighbors

from vecsmith.errors import DataError, NotEnoughData
from vecsmith.evaluation.classification import judge_folds, judge_logistic, judge_nearest, sample_per_label

# Made by mteb 2.26.0 on the same labels: sha256 of ten index lists, and the first rows of the second.
MTEB = [
    (200, 2, 8, "ca8a989157ed187b", [194, 177, 9, 17]),
    (1000, 20, 8, "80045ac7da1c6e08", [666, 129, 784, 152]),
    (300, 6, 16, "b711cd63eb600fde", [204, 294, 223, 175]),
    (50, 3, 32, "7282084cd37675be", [8, 40, 29, 7]),
    (5000, 150, 8, "cf1d8aa76f47ac3f", [2115, 1940, 641, 2980]),
]


@pytest.mark.parametrize(("seed", "case"), list(enumerate(MTEB)))
def test_the_training_rows_are_those_of_mteb(seed, case):
    count, classes, per_label, digest, second = case
    labels = np.random.default_rng(seed).integers(0, classes, count)
    chosen = sample_per_label(labels, samples_per_label=per_label)
    assert chosen[1][:4] == second
    assert hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:16] == digest


def blobs(n=300, noise=1.0, seed=0):
    draw = np.random.default_rng(seed)
    labels = np.array(["red", "green", "blue"])[draw.integers(0, 3, n)]
    centres = {"red": [1, 0, 0, 0], "green": [0, 1, 0, 0], "blue": [0, 0, 1, 0]}
    return np.array([centres[label] for label in labels]) + noise * draw.normal(size=(n, 4)), labels


def test_logistic_scores_are_means_over_experiments_of_all_test_texts():
    vectors, labels = blobs()
    scores = judge_logistic(vectors[:200], labels[:200], vectors[200:], labels[200:], experiments=4)
    right = scores.per_query["accuracy"]
    assert right.shape == (100,)
    assert set(right * 4) <= {0, 1, 2, 3, 4}
    assert scores.value == pytest.approx(right.mean())
    assert 0.4 < scores.value < 0.9
    assert 0 < scores.values["macro_f1"] <= 1


def test_separate_groups_are_told_apart_without_error():
    vectors, labels = blobs(noise=0.01)
    split = (vectors[:200], labels[:200], vectors[200:], labels[200:])
    assert judge_logistic(*split).values == {"accuracy": 1.0, "macro_f1": 1.0}
    assert judge_nearest(*split).values == {"accuracy": 1.0, "macro_f1": 1.0}
    assert judge_folds(vectors, labels).value == 1.0


def test_nearest_neighbours_agree_with_scikit_learn_where_no_vote_is_equal():
    vectors, labels = blobs(400, noise=0.6)
    two = labels != "blue"  # two labels and an odd number of neighbours: no equal votes
    vectors, labels = vectors[two], labels[two]
    scores = judge_nearest(vectors[:150], labels[:150], vectors[150:], labels[150:], neighbours=5)
    theirs = sklearn.neighbors.KNeighborsClassifier(5, metric="cosine").fit(vectors[:150], labels[:150])
    expected = theirs.predict(vectors[150:])
    assert scores.value == pytest.approx(np.mean(expected == labels[150:]))
    assert scores.values["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(labels[150:], expected, average="macro"))


def test_labels_and_vectors_that_cannot_be_judged_are_refused():
    vectors, labels = blobs(30)
    with pytest.raises(NotEnoughData, match='carry the label "x"'):
        judge_logistic(vectors, ["x"] * 30, vectors, labels)
    with pytest.raises(DataError, match="vector 0 has NaN"):
        judge_nearest(vectors * np.nan, labels, vectors, labels)
    with pytest.raises(DataError, match="one label per vector"):
        judge_nearest(vectors, labels[:5], vectors, labels)
    with pytest.raises(NotEnoughData, match="cannot be cut into 5 folds"):
        judge_folds(vectors[:3], labels[:3])
