"""Clustering by both protocols: mteb's own numbers on the same vectors, and V-measure against scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics

from vecsmith.errors import DataError, NotEnoughData
from vecsmith.evaluation.clustering import judge_clustering, judge_clustering_legacy, sample_documents, v_measure


def blobs():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 5, 400)
    centres = draw.normal(size=(5, 8))
    return (centres[labels] + 1.2 * draw.normal(size=(400, 8))).astype(np.float32), labels


def test_the_sampled_protocol_equals_mteb():
    vectors, labels = blobs()
    rows, generator = sample_documents(400, most=300)
    paths = [[int(labels[row]) % 2, int(labels[row])] for row in rows]
    scores = judge_clustering(vectors[rows], paths, draws=4, draw_size=500, generator=generator)
    # mteb 2.26.0 with scikit-learn 1.9.1 on the same vectors, two levels of four draws
    published = [0.03744, 0.04424, 0.08404, 0.03321, 0.64755, 0.57104, 0.65528, 0.57093]
    assert scores.per_query["v_measure"] == pytest.approx(published, abs=2e-3)
    assert scores.per_query["ami"][4:] == pytest.approx([0.64395, 0.56660, 0.65168, 0.56649], abs=2e-3)
    assert scores.value == pytest.approx(np.mean(published), abs=2e-3)


def test_the_legacy_protocol_is_one_clustering_per_split():
    vectors, labels = blobs()
    far = np.concatenate([np.eye(8)[labels[:100]] * 50, np.eye(8)[labels[100:200]] * 50])
    scores = judge_clustering_legacy([(far[:100], labels[:100].tolist()), (far[100:], labels[100:200].tolist())])
    assert scores.per_query["v_measure"] == pytest.approx([1, 1])
    single = judge_clustering_legacy([(vectors[:10], ["x"] * 10)])
    assert single.value == 1.0


@pytest.mark.parametrize("seed", range(6))
def test_v_measure_equals_scikit_learn(seed):
    draw = np.random.default_rng(seed)
    labels, clusters = draw.integers(0, 4, 60), draw.integers(0, 1 + seed, 60)
    assert v_measure(labels, clusters) == pytest.approx(sklearn.metrics.v_measure_score(labels, clusters), abs=1e-9)


def test_the_sample_is_a_share_a_number_or_everything():
    assert len(sample_documents(1000)[0]) == 40
    assert len(sample_documents(10, most=50)[0]) == 10
    assert sample_documents(5, share=None)[0] == [0, 1, 2, 3, 4]


def test_vectors_that_cannot_be_clustered_are_refused():
    with pytest.raises(DataError, match="vector 1 has NaN"):
        judge_clustering([[1.0], [np.nan]], ["a", "b"])
    with pytest.raises(DataError, match="one label per vector"):
        judge_clustering([[1.0], [2.0]], ["a"])
    with pytest.raises(NotEnoughData, match="no document"):
        judge_clustering(np.zeros((0, 2)), [])
    with pytest.raises(NotEnoughData, match="no split"):
        judge_clustering_legacy([])
