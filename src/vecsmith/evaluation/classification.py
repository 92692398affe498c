"""How well do the vectors carry a label? Logistic regression on few examples (mteb's protocol), and nearest neighbours.

Source: mteb 2.26, classification: ten experiments on eight examples per label, each judged on the whole test side.
"""

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.errors import DataError, MissingExtra, NotEnoughData
from vecsmith.evaluation.retrieval import unit_rows
from vecsmith.evaluation.scores import Scores
from vecsmith.topk import top_k

__all__ = ["judge_folds", "judge_logistic", "judge_nearest", "sample_per_label"]

Labels = Sequence[str] | Sequence[int] | NDArray


def judge_logistic(
    train_vectors: ArrayLike,
    train_labels: Labels,
    test_vectors: ArrayLike,
    test_labels: Labels,
    *,
    samples_per_label: int = 8,
    experiments: int = 10,
    seed: int = 42,
) -> Scores:
    """Mean accuracy of logistic regressions, each fitted on few examples per label.

    samples_per_label   8; many published tasks use 16 or 32, with 5 experiments
    returns             values: accuracy (main), macro_f1; per_query: accuracy, per test text the share of experiments
                        that got it right; counts: unconverged (fits stopped at 100 steps, as the protocol does)
    raises              DataError: lengths or widths differ, a vector is not finite; NotEnoughData: one label only
    """
    train, test = _checked(train_vectors, train_labels), _checked(test_vectors, test_labels)
    chosen = sample_per_label(train[1], samples_per_label=samples_per_label, experiments=experiments, seed=seed)
    predicted, unconverged = [], 0
    for rows in chosen:
        labels, stopped = _fit_predict(train[0][rows], train[1][rows], test[0], seed)
        predicted.append(labels)
        unconverged += stopped
    return _scores(np.array(predicted), test[1], {"train": len(train[1]), "unconverged": unconverged})


def judge_nearest(
    train_vectors: ArrayLike, train_labels: Labels, test_vectors: ArrayLike, test_labels: Labels, *, neighbours: int = 5
) -> Scores:
    """Accuracy of a vote of the nearest training texts by cosine; an equal vote goes to the nearest label of those.

    returns   as `judge_logistic`, of one experiment
    """
    train, test = _checked(train_vectors, train_labels), _checked(test_vectors, test_labels)
    rows, _ = top_k(_float_rows(test[0]), _float_rows(train[0]), min(neighbours, len(train[1])))
    predicted = np.array([_vote(train[1][found].tolist()) for found in rows])
    return _scores(predicted[None], test[1], {"train": len(train[1]), "neighbours": rows.shape[1]})


def judge_folds(
    vectors: ArrayLike, labels: Labels, *, folds: int = 5, samples_per_label: int = 8, seed: int = 42
) -> Scores:
    """For labelled texts without a split: each fifth judged by a regression on few examples per label of the rest.

    Folds are scikit-learn's KFold(shuffle, seed 42). [ours] Each fold samples its training side afresh.
    """
    try:
        from sklearn.model_selection import KFold
    except ImportError as error:
        raise MissingExtra("eval", "logistic classification") from error
    checked, names = _checked(vectors, labels)
    if len(names) < folds:
        raise NotEnoughData(f"{len(names)} texts cannot be cut into {folds} folds")
    predicted, unconverged = names.copy(), 0
    for inside, outside in KFold(folds, shuffle=True, random_state=seed).split(names):
        rows = sample_per_label(names[inside], samples_per_label=samples_per_label, experiments=1, seed=seed)[0]
        chosen = inside[rows]
        predicted[outside], stopped = _fit_predict(checked[chosen], names[chosen], checked[outside], seed)
        unconverged += stopped
    return _scores(predicted[None], names, {"train": len(names), "folds": folds, "unconverged": unconverged})


def sample_per_label(
    labels: Labels, *, samples_per_label: int = 8, experiments: int = 10, seed: int = 42
) -> list[list[int]]:
    """Rows to train on in each experiment: the first few of each label in an order that is shuffled again each time.

    Every experiment shuffles the order left by the one before with a fresh RandomState(seed): the published index
    lists depend on it.

    >>> sample_per_label(["a", "b", "a", "b"], samples_per_label=1, experiments=2)
    [[1, 0], [3, 2]]
    """
    names = np.asarray(labels).tolist()
    order = list(range(len(names)))
    chosen = []
    for _ in range(experiments):
        np.random.RandomState(seed).shuffle(order)
        taken: Counter = Counter()
        rows = []
        for row in order:
            if taken[names[row]] < samples_per_label:
                rows.append(row)
                taken[names[row]] += 1
        chosen.append(rows)
    return chosen


def _fit_predict(vectors: NDArray, labels: NDArray, wanted: NDArray, seed: int) -> tuple[NDArray, bool]:
    """Predicted labels of `wanted`, and whether the fit stopped before it converged."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtra("eval", "logistic classification") from error
    if len(np.unique(labels)) < 2:
        raise NotEnoughData(f'all training texts carry the label "{labels[0]}"; a classifier needs two')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model = LogisticRegression(max_iter=100, random_state=seed).fit(vectors, labels)
    return model.predict(wanted), any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def _vote(labels: list) -> object:
    """The most frequent label; of equals, the one whose first vote is nearest (Counter keeps first-seen order)."""
    return Counter(labels).most_common(1)[0][0]


def _float_rows(vectors: NDArray) -> NDArray[np.float32]:
    return np.asarray(unit_rows(vectors), dtype=np.float32)


def _checked(vectors: ArrayLike, labels: Labels) -> tuple[NDArray, NDArray]:
    vectors, names = np.asarray(vectors), np.asarray(labels)
    if vectors.ndim != 2 or names.ndim != 1 or len(vectors) != len(names):
        raise DataError(
            f"vectors of shape {vectors.shape} and labels of shape {names.shape}; pass one label per vector"
        )
    if not len(names):
        raise NotEnoughData("no labelled text")
    if not (finite := np.isfinite(vectors).all(axis=1)).all():
        raise DataError(f"vector {int((~finite).argmax())} has NaN or infinity; nothing can be fitted to it")
    return vectors, names


def _scores(predicted: NDArray, gold: NDArray, counts: dict[str, float]) -> Scores:
    """Scores of predictions [experiments, n] of gold labels [n]."""
    right = (predicted == gold).mean(axis=0)
    values = {
        "accuracy": float(right.mean()),
        "macro_f1": float(np.mean([_macro_f1(labels, gold) for labels in predicted])),
    }
    return Scores(
        kind="classification",
        metric="accuracy",
        value=values["accuracy"],
        values=values,
        per_query={"accuracy": right.astype(np.float64)},
        counts={"texts": len(gold), "labels": len(np.unique(gold)), "experiments": len(predicted), **counts},
    )


def _macro_f1(predicted: NDArray, gold: NDArray) -> float:
    """Mean over labels, predicted or gold, of 2 hits / (predicted + gold)."""
    names = np.union1d(predicted, gold)
    hits = np.array([((predicted == name) & (gold == name)).sum() for name in names])
    sizes = np.array([(predicted == name).sum() + (gold == name).sum() for name in names])
    return float((2 * hits / sizes).mean())
