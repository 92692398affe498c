"""Do two texts belong together? Yes or no per pair, judged by the ranking of their similarities.

Definitions of mteb 2.26: average precision (main), and the best accuracy and F1 over all thresholds that lie midway
between two neighbouring, different similarities. `max_ap` takes the best of several similarities: it chooses by the
test data itself, so it stands beside the main score and never instead of it.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.errors import DataError, NotEnoughData
from vecsmith.evaluation.scores import Scores
from vecsmith.evaluation.sts import cosine_pairs

__all__ = ["average_precision", "best_thresholds", "judge_pair_classification", "pair_similarities"]

Double = NDArray[np.float64]


def judge_pair_classification(left: ArrayLike, right: ArrayLike, labels: ArrayLike) -> Scores:
    """Average precision of the cosine, with the best accuracy, F1 and their thresholds.

    left, right   vectors [n, d] of the two sides
    labels        [n] of 0 and 1; 1 belongs together
    returns       values: ap (main), accuracy, f1, and their thresholds on the cosine; ap_dot, ap_euclidean,
                  ap_manhattan, and max_ap over all four (chosen on the test data). Failed where a similarity is not
                  finite or all are equal
    raises        DataError: other labels, or lengths differ; NotEnoughData: one label only
    """
    labels = np.asarray(labels)
    if not np.isin(labels, (0, 1)).all():
        raise DataError(f"labels of pairs are 0 or 1; found {sorted(set(labels.tolist()) - {0, 1})[:5]}")
    similarities = pair_similarities(left, right)
    cosine = similarities["cosine"]
    if labels.shape != cosine.shape:
        raise DataError(f"{len(cosine)} pairs and labels of shape {labels.shape}; pass one label per pair")
    if len(set(labels.tolist())) < 2:
        raise NotEnoughData(f"all {len(labels)} pairs have one label; nothing can be told apart")
    failed = None
    if not all(np.isfinite(values).all() for values in similarities.values()):
        failed = "a similarity is not finite"
    elif cosine.min() == cosine.max():
        failed = "all similarities are equal; equal values have no order"
    values = {} if failed else _values(similarities, labels)
    return Scores(
        kind="pair_classification",
        metric="ap",
        value=values.get("ap"),
        values=values,
        per_query={"prediction": cosine, "gold": labels.astype(np.float64)},
        counts={"pairs": len(labels), "positive": int(labels.sum())},
        failed=failed,
    )


def _values(similarities: dict[str, Double], labels: NDArray) -> dict[str, float]:
    values = {f"ap_{name}": average_precision(scores, labels) for name, scores in similarities.items()}
    return {
        "ap": values.pop("ap_cosine"),
        **best_thresholds(similarities["cosine"], labels),
        **values,
        "max_ap": max(average_precision(scores, labels) for scores in similarities.values()),
    }


def pair_similarities(left: ArrayLike, right: ArrayLike) -> dict[str, Double]:
    """Four similarities of the rows of two arrays [n, d], higher is nearer: cosine, dot, -euclidean, -manhattan."""
    cosine = cosine_pairs(left, right).astype(np.float64)
    left, right = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    return {
        "cosine": cosine,
        "dot": np.einsum("nd,nd->n", left, right),
        "euclidean": -np.linalg.norm(left - right, axis=1),
        "manhattan": -np.abs(left - right).sum(axis=1),
    }


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Sum over thresholds of (recall gained) x precision; equal scores are one threshold (as scikit-learn).

    >>> round(average_precision([0.9, 0.8, 0.7], [1, 0, 1]), 4)     # (1/1 + 2/3) / 2
    0.8333
    """
    found, taken, labels = _cut_points(np.asarray(scores), np.asarray(labels))
    gained = np.diff(found, prepend=0)
    return float((gained * found / taken).sum() / labels.sum())


def best_thresholds(scores: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Best accuracy and F1 over thresholds midway between neighbouring different scores; "all are positive" is none."""
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    found, taken, ordered = _cut_points(scores, labels)
    descending = -np.sort(-scores)
    found, taken = found[:-1], taken[:-1]
    if not len(taken):
        raise NotEnoughData("all scores are equal; there is no threshold between them")
    midway = (descending[taken - 1] + descending[taken]) / 2
    negatives = len(labels) - ordered.sum()
    accuracy = (found + negatives - (taken - found)) / len(labels)
    f1 = 2 * found / (taken + ordered.sum())
    return {
        "accuracy": float(accuracy.max()),
        "accuracy_threshold": float(midway[accuracy.argmax()]),
        "f1": float(f1.max()),
        "f1_threshold": float(midway[f1.argmax()]),
    }


def _cut_points(scores: NDArray, labels: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """At the end of each run of equal scores, from the top: positives so far, items so far; and the ordered labels."""
    order = np.argsort(-scores, kind="stable")
    ordered = labels[order].astype(np.int64)
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    return np.cumsum(ordered)[ends], ends + 1, ordered
