"""What the report page shows beside the scores: gains per query, a map, the queries where the arms disagree."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.forging.arms import Bench
from vecsmith.forging.verdict import DECISIVE, Arm

__all__ = ["disagreements", "gains", "map_of"]

MAP_POINTS = 1500
MAP_GROUPS = 8
SHOWN_QUERIES = 10
SNIPPET = 220


def gains(arms: Sequence[Arm], winner: str) -> list[dict[str, Any]]:
    """Differences per query, at most two pictures: fitted against start, and the winner against BM25."""
    by_name = {arm.name: arm for arm in arms}
    pairs = []
    fitted = [arm for arm in arms if arm.kind == "dense" and arm.fitted]
    if fitted:
        best = max(fitted, key=lambda arm: float(arm.scores[DECISIVE].mean()))
        start = next(arm for arm in arms if arm.kind == "dense" and not arm.fitted and arm.model == best.model)
        pairs.append((f"What fitting {best.model} changed, query by query", best, start))
    if winner != "BM25":
        pairs.append((f"What {winner} changed against BM25, query by query", by_name[winner], by_name["BM25"]))
    return [
        {
            "title": title,
            "of": of.name,
            "against": against.name,
            "differences": np.round(of.scores[DECISIVE] - against.scores[DECISIVE], 4).tolist(),
        }
        for title, of, against in pairs
    ]


def map_of(vectors: NDArray[np.floating], groups: Sequence[str], model: str, *, seed: int) -> dict[str, Any] | None:
    """Documents in the two strongest directions of a sample of their vectors [n, d]; None under 3 documents."""
    if len(vectors) < 3:
        return None
    chosen = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:MAP_POINTS])
    sample = np.asarray(vectors[chosen], dtype=np.float64)
    centred = sample - sample.mean(axis=0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ directions[:2].T
    names = [group for group, _ in Counter(groups[row] for row in chosen).most_common(MAP_GROUPS)]
    number = {name: place for place, name in enumerate(names)}
    points = [
        [round(float(x), 4), round(float(y), 4), number.get(groups[row], len(names))]
        for (x, y), row in zip(flat, chosen, strict=True)
    ]
    explained = float((spread[:2] ** 2).sum() / max((spread**2).sum(), 1e-12))
    return {"points": points, "groups": names, "explained": round(explained, 4), "model": model}


def disagreements(
    arms: Sequence[Arm], found: Mapping[str, NDArray[np.int64]], bench: Bench, *, count: int = SHOWN_QUERIES
) -> list[dict[str, Any]]:
    """The queries whose nDCG@10 differs most between arms, with the rank at which each arm has the right document."""
    grades = bench.grades_by_row()
    judged = [number for number, row_grades in enumerate(grades) if any(g > 0 for g in row_grades.values())]
    table = np.stack([arm.scores[DECISIVE] for arm in arms])
    spread = table.max(axis=0) - table.min(axis=0)
    rows = []
    for place in np.argsort(-spread, kind="stable")[:count]:
        if spread[place] <= 0:
            break
        query = judged[place]
        right = max(grades[query], key=lambda row: (grades[query][row], -row))
        ranks = {}
        for arm in arms:
            places = np.flatnonzero(found[arm.name][query] == right)
            ranks[arm.name] = int(places[0]) + 1 if len(places) else None
        rows.append(
            {
                "query": bench.query_texts[query],
                "document": bench.document_ids[right],
                "text": shorten(bench.texts[right]),
                "ranks": ranks,
            }
        )
    return rows


def shorten(text: str, length: int = SNIPPET) -> str:
    """One line of at most `length` characters."""
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"
