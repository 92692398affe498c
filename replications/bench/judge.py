"""What is measured on the test side of the bed: a number per query, so that differences have intervals."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["class_gap", "list_ndcg", "list_order", "nearest_class", "rank_of_own", "reciprocal_rank", "spearman"]

Float = NDArray[np.float32]
Double = NDArray[np.float64]


def rank_of_own(queries: Float, documents: Float) -> NDArray[np.int64]:
    """The rank of document i for query i, from 1; a tie counts against it. float32 [n, d] twice, at length 1."""
    scores = queries @ documents.T
    own = scores.diagonal()[:, None]
    return np.asarray((scores >= own).sum(axis=1), dtype=np.int64)


def reciprocal_rank(queries: Float, documents: Float, cutoff: int = 10) -> Double:
    """1 / rank of the own document, 0 beyond the cutoff: float64 [n]."""
    rank = rank_of_own(queries, documents)
    return np.where(rank <= cutoff, 1.0 / rank, 0.0)


def list_ndcg(scores: Double, gains: Double) -> Double:
    """nDCG of each list in the order of `scores`: float64 [q, k] twice -> float64 [q].

    Gains are brought to 0..1 per list; of equal scores the worse gain is taken first.
    """
    low, high = gains.min(axis=1, keepdims=True), gains.max(axis=1, keepdims=True)
    gains = (gains - low) / np.maximum(high - low, 1e-12)
    discount = 1.0 / np.log2(np.arange(2, gains.shape[1] + 2))
    order = np.lexsort((gains, -scores), axis=1)
    found = (np.take_along_axis(gains, order, axis=1) * discount).sum(axis=1)
    best = (-np.sort(-gains, axis=1) * discount).sum(axis=1)
    return np.asarray(found / np.maximum(best, 1e-12))


def list_order(scores: Double, teacher: Double) -> Double:
    """Share of a list's pairs that stand in the teacher's order: float64 [q, k] twice -> float64 [q]."""
    first, second = np.triu_indices(scores.shape[1], 1)
    ours, theirs = scores[:, first] - scores[:, second], teacher[:, first] - teacher[:, second]
    counted = theirs != 0
    return np.asarray(((ours * theirs > 0) & counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1))


def nearest_class(
    vectors: Float, classes: NDArray[np.int64], known: Float, known_classes: NDArray[np.int64], k: int = 10
) -> Double:
    """1 where most of the k nearest known vectors are of the class (ties: the nearer sum), else 0: float64 [n]."""
    scores = vectors @ known.T
    nearest = np.argpartition(-scores, k, axis=1)[:, :k]
    votes = np.zeros((len(vectors), int(max(classes.max(), known_classes.max())) + 1))
    rows = np.repeat(np.arange(len(vectors)), k)
    flat = nearest.ravel()
    np.add.at(votes, (rows, known_classes[flat]), 1.0 + 1e-3 * scores[rows, flat])
    return (votes.argmax(axis=1) == classes).astype(np.float64)


def class_gap(vectors: Float, classes: NDArray[np.int64]) -> Double:
    """Per text: mean cosine with its class less mean cosine with the others. float64 [n]; itself is left out."""
    scores = vectors @ vectors.T
    same = classes[:, None] == classes[None, :]
    others = (scores * ~same).sum(axis=1) / np.maximum((~same).sum(axis=1), 1)
    np.fill_diagonal(same, False)
    return np.asarray((scores * same).sum(axis=1) / np.maximum(same.sum(axis=1), 1) - others, dtype=np.float64)


def spearman(a: Double, b: Double) -> float:
    """Rank correlation; ties share the mean of their ranks."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)
