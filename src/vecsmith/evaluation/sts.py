"""Semantic similarity: cosine of each pair against people's scores, by rank correlation (mteb's STS protocol)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.errors import DataError, NotEnoughData
from vecsmith.evaluation.correlation import pearson, spearman
from vecsmith.evaluation.scores import Scores

__all__ = ["cosine_pairs", "encode_distinct", "judge_scored", "judge_sts"]

Encode = Callable[[list[str]], NDArray[np.floating]]


def judge_sts(encode: Encode, left: Sequence[str], right: Sequence[str], gold: ArrayLike) -> Scores:
    """Encode both sides, each distinct text once, and judge the cosines: see `judge_scored`."""
    vectors, (left_rows, right_rows) = encode_distinct(encode, left, right)
    return judge_scored(cosine_pairs(vectors[left_rows], vectors[right_rows]), gold)


def judge_scored(prediction: ArrayLike, gold: ArrayLike) -> Scores:
    """Spearman (main) and Pearson of predictions [n] with gold scores [n].

    Predictions that are not finite or all equal make the task failed, without a score: neither can be ranked.

    raises   DataError: lengths differ or a gold score is not finite; NotEnoughData: fewer than 2 pairs, or all gold
             scores are equal
    """
    prediction, gold = np.asarray(prediction, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    if prediction.ndim != 1 or prediction.shape != gold.shape:
        raise DataError(f"predictions {prediction.shape} and scores {gold.shape} need one value per pair each")
    if not (finite := np.isfinite(gold)).all():
        raise DataError(f"the score of pair {int((~finite).argmax())} is not finite")
    if len(gold) < 2 or gold.min() == gold.max():
        raise NotEnoughData(f"{len(gold)} pairs without two different scores; a rank correlation needs two")
    failed = _unrankable(prediction)
    values = {} if failed else {"spearman": spearman(prediction, gold), "pearson": pearson(prediction, gold)}
    return Scores(
        kind="scored",
        metric="spearman",
        value=values.get("spearman"),
        values=values,
        per_query={"prediction": prediction, "gold": gold},
        counts={"pairs": len(gold)},
        failed=failed,
    )


def cosine_pairs(left: ArrayLike, right: ArrayLike) -> NDArray[np.float32]:
    """Cosine of each row of left [n, d] with the same row of right [n, d]; 0 where one of them is zero."""
    left, right = np.asarray(left, dtype=np.float32), np.asarray(right, dtype=np.float32)
    if left.ndim != 2 or left.shape != right.shape:
        raise DataError(f"vectors {left.shape} and {right.shape} need one shape [pairs, width]")
    scale = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = np.einsum("nd,nd->n", left, right)
    return np.divide(products, scale, out=np.zeros(len(left), dtype=np.float32), where=scale != 0)


def encode_distinct(
    encode: Encode, *sides: Sequence[str]
) -> tuple[NDArray[np.floating], tuple[NDArray[np.int64], ...]]:
    """Vectors of the distinct texts of all sides, and for each side the row of each of its texts."""
    rows: dict[str, int] = {}
    places = tuple(np.array([rows.setdefault(text, len(rows)) for text in side], dtype=np.int64) for side in sides)
    vectors = np.asarray(encode(list(rows)))
    if vectors.ndim != 2 or len(vectors) != len(rows):
        raise DataError(f"the model returned vectors of shape {vectors.shape} for {len(rows)} texts")
    return vectors, places


def _unrankable(prediction: NDArray[np.float64]) -> str | None:
    if not (finite := np.isfinite(prediction)).all():
        return f"{int((~finite).sum())} of {len(prediction)} predictions are not finite"
    if prediction.min() == prediction.max():
        return f"all {len(prediction)} predictions are {prediction[0]:.4g}; equal values have no order"
    return None
