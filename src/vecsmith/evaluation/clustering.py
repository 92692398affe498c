"""Do the groups that k-means finds among the vectors agree with the labels? The two protocols of mteb.

`judge_clustering` is the newer one (sampled, hierarchical levels), `judge_clustering_legacy` the older (given splits).
Scores are V-measure (Rosenberg and Hirschberg, 2007) and adjusted mutual information. Both depend on the seed of
k-means by about a point, so differences below that mean nothing whatever the interval says.
"""

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.errors import DataError, MissingExtra, NotEnoughData
from vecsmith.evaluation.scores import Scores

__all__ = ["judge_clustering", "judge_clustering_legacy", "sample_documents", "v_measure"]

Rows = NDArray[np.int64]


def judge_clustering(
    vectors: ArrayLike,
    labels: Sequence[Sequence[str | int]] | Sequence[str | int],
    *,
    draws: int = 10,
    draw_size: int = 16_384,
    batch_size: int = 512,
    seed: int = 42,
    generator: random.Random | None = None,
) -> Scores:
    """Mean V-measure over label levels and draws.

    vectors      [n, d] of the documents chosen by `sample_documents`
    labels       per document one label, or its path of labels from the top level down (may end early)
    draws, draw_size   per level, documents are drawn with replacement, also from fewer than `draw_size`, and clustered
                 into as many clusters as the level has labels
    generator    the random state that `sample_documents` used: the protocol lets it run on; default Random(seed)
    returns      values: v_measure (main), ami; per_query: v_measure and ami per level and draw
    raises       DataError: lengths differ, or a vector is not finite; NotEnoughData: no document
    """
    vectors, paths = _checked(vectors, labels)
    generator = generator or random.Random(seed)
    measures: dict[str, list[float]] = {"v_measure": [], "ami": []}
    levels = max(map(len, paths))
    for level in range(levels):
        rows = [row for row, path in enumerate(paths) if len(path) > level]
        names = np.array([str(paths[row][level]) for row in rows])
        level_vectors = vectors[rows]
        model = _k_means(len(np.unique(names)), batch_size, seed, n_init=1)
        for _ in range(draws):
            drawn = generator.choices(range(len(rows)), k=draw_size)
            clusters = model.fit_predict(level_vectors[drawn])
            measures["v_measure"].append(v_measure(names[drawn], clusters))
            measures["ami"].append(_adjusted_mutual_information(names[drawn], clusters))
    return _scores(measures, {"documents": len(paths), "levels": levels, "draws": draws})


def judge_clustering_legacy(
    splits: Sequence[tuple[ArrayLike, Sequence[str | int]]], *, batch_size: int = 500, seed: int = 42
) -> Scores:
    """Mean V-measure over given splits of (vectors [n, d], labels [n]); a split with one label counts 1.

    returns   values: v_measure (main); per_query: v_measure per split
    raises    as `judge_clustering`
    """
    if not splits:
        raise NotEnoughData("no split to cluster")
    measures = []
    for split_vectors, split_labels in splits:
        vectors, paths = _checked(split_vectors, split_labels)
        names = np.array([str(path[0]) for path in paths])
        model = _k_means(len(np.unique(names)), batch_size, seed, n_init="auto")
        measures.append(v_measure(names, model.fit_predict(vectors)))
    documents = sum(len(split_labels) for _, split_labels in splits)
    return _scores({"v_measure": measures}, {"documents": documents, "splits": len(splits)})


def sample_documents(
    count: int, *, share: float | None = 0.04, most: int | None = None, seed: int = 42
) -> tuple[list[int], random.Random]:
    """Which documents to embed, and the random state after choosing; `most` documents, else a share of them."""
    generator = random.Random(seed)
    wanted = most if most is not None else int(count * share) if share is not None else None
    if wanted is None:
        return list(range(count)), generator
    return generator.sample(range(count), k=min(count, wanted)), generator


def v_measure(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Harmonic mean of homogeneity and completeness: 2 I(L; C) / (H(L) + H(C)); 1 where both sides are one group.

    >>> v_measure(["a", "a", "b", "b"], [1, 1, 0, 0])
    1.0
    """
    _, rows = np.unique(np.asarray(labels), return_inverse=True)
    _, columns = np.unique(np.asarray(clusters), return_inverse=True)
    shape = (int(rows.max()) + 1, int(columns.max()) + 1)
    joint = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape) / len(rows)
    entropies = _entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0))
    if entropies == 0:
        return 1.0
    return float(max(0.0, 2 * (entropies - _entropy(joint.ravel())) / entropies))


def _entropy(shares: NDArray[np.float64]) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum()) if len(shares) > 1 else 0.0


def _adjusted_mutual_information(labels: NDArray, clusters: NDArray) -> float:
    from sklearn.metrics import adjusted_mutual_info_score

    return float(adjusted_mutual_info_score(labels, clusters))


def _k_means(clusters: int, batch_size: int, seed: int, *, n_init: int | str):  # type: ignore[no-untyped-def]
    try:
        from sklearn.cluster import MiniBatchKMeans
    except ImportError as error:
        raise MissingExtra("eval", "clustering") from error
    return MiniBatchKMeans(clusters, batch_size=batch_size, init="k-means++", n_init=n_init, random_state=seed)


def _checked(vectors: ArrayLike, labels: Sequence) -> tuple[NDArray[np.floating], list[Sequence[str | int]]]:
    vectors = np.asarray(vectors)
    paths: list[Sequence[str | int]] = [label if isinstance(label, (list, tuple)) else [label] for label in labels]
    if vectors.ndim != 2 or len(vectors) != len(paths):
        raise DataError(f"vectors of shape {vectors.shape} and {len(paths)} labels; pass one label per vector")
    if not len(paths):
        raise NotEnoughData("no document to cluster")
    if not (finite := np.isfinite(vectors).all(axis=1)).all():
        raise DataError(f"vector {int((~finite).argmax())} has NaN or infinity; it cannot be clustered")
    return vectors, paths


def _scores(measures: dict[str, list[float]], counts: dict[str, float]) -> Scores:
    values = {name: float(np.mean(numbers)) for name, numbers in measures.items()}
    return Scores(
        kind="clustering",
        metric="v_measure",
        value=values["v_measure"],
        values=values,
        per_query={name: np.array(numbers) for name, numbers in measures.items()},
        counts=counts,
    )
