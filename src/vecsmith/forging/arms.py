"""Every way to search that is judged: each model alone, BM25, and each model fused with BM25.

All arms answer the same queries over the same documents. The fusion weight is chosen on the dev queries; the test
queries are only scored.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.atomic import new_folder, write_json
from vecsmith.errors import NotEnoughData
from vecsmith.evaluation.retrieval import judge_retrieval, unit_rows
from vecsmith.forging.verdict import MEASURES, Arm, Cost
from vecsmith.index.fusion import Candidates, fuse_scores, gather_candidates, rank_fusion, ranked, tune_weight
from vecsmith.index.lexical import LexicalIndex
from vecsmith.models.encoder import Encoder
from vecsmith.progress import SILENT, Progress
from vecsmith.topk import top_k

__all__ = ["Bench", "Side", "Vectors", "encode_bench", "judge_arms", "load_judged", "save_judged"]

DEPTH = 100
TIMED_QUERIES = 40
UNKNOWN_SAMPLE = 2000

Rows = NDArray[np.int64]
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Bench:
    """Queries and documents to judge on.

    query_texts    distinct queries
    document_ids   ids, in the order of `texts`
    texts          what is searched: for pairs cut from a text, the text without the cut
    relevance      number of the query -> {document id: grade}
    """

    query_texts: list[str]
    document_ids: list[str]
    texts: list[str]
    relevance: dict[int, dict[str, float]]

    def grades_by_row(self) -> list[dict[int, float]]:
        """Per query: row of `texts` -> grade."""
        row_of = {identifier: row for row, identifier in enumerate(self.document_ids)}
        return [
            {row_of[i]: grade for i, grade in self.relevance.get(query, {}).items() if i in row_of}
            for query in range(len(self.query_texts))
        ]


@dataclass(frozen=True)
class Vectors:
    """Unit vectors of a bench under one model: documents float32 [n, d], queries float32 [q, d]."""

    documents: Float
    queries: Float


@dataclass(frozen=True)
class Side:
    """One model as an arm: where its vectors lie, what they cost, and the share 0..1 of tokens it does not know."""

    name: str
    model: str
    fitted: bool
    folder: Path
    dimension: int
    prepare_seconds_per_1000: float
    query_milliseconds: float
    unknown_share: float

    def vectors(self, split: str) -> Vectors:
        """Mapped from the folder; split is "dev" or "test"."""
        read = [np.load(self.folder / f"{split}_{what}.npy", mmap_mode="r") for what in ("documents", "queries")]
        return Vectors(*read)


def encode_bench(
    encoder: Encoder, benches: Mapping[str, Bench], folder: Path, *, name: str, progress: Progress = SILENT
) -> dict[str, Any]:
    """Encode queries and documents of every split into `folder` and measure what that costs.

    benches   "test" and, where there is one, "dev"
    returns   JSON: name, dimension, prepare_seconds_per_1000 (processor), query_milliseconds (processor, one at a
              time), unknown_share of the tokens of test documents
    """
    documents = sum(len(bench.texts) for bench in benches.values())
    spent = 0.0
    with new_folder(folder, replace=True) as temporary:
        for split, bench in benches.items():
            start = time.process_time()
            vectors = encoder.encode_document(bench.texts, progress=progress)
            spent += time.process_time() - start
            np.save(temporary / f"{split}_documents.npy", unit_rows(vectors))
            np.save(temporary / f"{split}_queries.npy", unit_rows(encoder.encode_query(bench.query_texts)))
        timed = next(iter(benches.values())).query_texts[:TIMED_QUERIES]
        start = time.process_time()
        for query in timed:
            encoder.encode_query([query])
        costs = {
            "name": name,
            "dimension": int(encoder.dimension),
            "prepare_seconds_per_1000": 1000 * spent / max(1, documents),
            "query_milliseconds": 1000 * (time.process_time() - start) / max(1, len(timed)),
            "unknown_share": encoder.unknown_share(benches["test"].texts[:UNKNOWN_SAMPLE]),
        }
        write_json(temporary / "costs.json", costs, durable=False)
    return costs


def judge_arms(
    sides: Sequence[Side], benches: Mapping[str, Bench], *, progress: Progress = SILENT
) -> tuple[list[Arm], dict[str, Rows]]:
    """All arms, judged on the test bench.

    benches   "test", and "dev" for the fusion weight; without 30 judged dev queries fusion is by ranks
    returns   the arms, and per arm the rows it returned: int64 [q, 100], -1 where fewer
    """
    lexical = {split: _lexical(bench) for split, bench in benches.items()}
    arms: list[Arm] = []
    found: dict[str, Rows] = {}
    with progress.task("Judge", total=1 + 2 * len(sides), unit="arms") as task:
        arm, rows = _judged(lexical["test"].answers, benches["test"], _lexical_arm(lexical["test"], benches["test"]))
        arms.append(arm)
        found[arm.name] = rows
        task.advance()
        for side in sides:
            for arm, rows in _model_arms(side, benches, lexical):
                arms.append(arm)
                found[arm.name] = rows
                task.advance()
    return arms, found


@dataclass(frozen=True)
class _Lexical:
    index: LexicalIndex
    answers: tuple[Rows, Float]
    cost: Cost


def _lexical(bench: Bench) -> _Lexical:
    start = time.process_time()
    index = LexicalIndex.build(bench.texts)
    built = time.process_time() - start
    start = time.process_time()
    answers = index.search(bench.query_texts, DEPTH)
    asked = time.process_time() - start
    cost = Cost(
        prepare_seconds_per_1000=1000 * built / max(1, len(bench.texts)),
        query_milliseconds=1000 * asked / max(1, len(bench.query_texts)),
        bytes_per_document=_bytes(index) / max(1, len(bench.texts)),
    )
    return _Lexical(index, answers, cost)


def _bytes(index: LexicalIndex) -> int:
    """What the postings take on disk."""
    arrays = ("keys", "starts", "rows", "counts", "lengths")
    return sum(getattr(postings, name).nbytes for postings, _ in index.parts for name in arrays)


def _lexical_arm(lexical: _Lexical, bench: Bench) -> Arm:
    return Arm("BM25", "lexical", model=None, fitted=False, weight=None, scores={}, cost=lexical.cost)


def _model_arms(side: Side, benches: Mapping[str, Bench], lexical: Mapping[str, _Lexical]) -> list[tuple[Arm, Rows]]:
    """The model alone and fused with BM25."""
    bench, vectors = benches["test"], side.vectors("test")
    start = time.process_time()
    answers = top_k(vectors.queries, vectors.documents, DEPTH)
    asked = 1000 * (time.process_time() - start) / max(1, len(bench.query_texts))
    cost = Cost(side.prepare_seconds_per_1000, side.query_milliseconds + asked, 4.0 * side.dimension)
    dense = Arm(side.name, "dense", side.model, side.fitted, weight=None, scores={}, cost=cost)
    weight = _weight(side, benches, lexical)
    fused_answers = _fuse(_candidates(vectors, answers, lexical["test"], bench), answers, lexical["test"], weight)
    other = lexical["test"].cost
    fused = Arm(
        f"{side.name} + BM25",
        "fused",
        side.model,
        side.fitted,
        weight=weight,
        scores={},
        cost=Cost(
            cost.prepare_seconds_per_1000 + other.prepare_seconds_per_1000,
            cost.query_milliseconds + other.query_milliseconds,
            cost.bytes_per_document + other.bytes_per_document,
        ),
    )
    return [_judged(answers, bench, dense), _judged(fused_answers, bench, fused)]


def _weight(side: Side, benches: Mapping[str, Bench], lexical: Mapping[str, _Lexical]) -> float | None:
    """The dense share that is best on the dev queries; None (fuse by ranks) where they are too few."""
    if "dev" not in benches:
        return None
    bench, vectors = benches["dev"], side.vectors("dev")
    answers = top_k(vectors.queries, vectors.documents, DEPTH)
    try:
        return tune_weight(_candidates(vectors, answers, lexical["dev"], bench), bench.grades_by_row()).weight
    except NotEnoughData:
        return None


def _candidates(vectors: Vectors, answers: tuple[Rows, Float], lexical: _Lexical, bench: Bench) -> list[Candidates]:
    """Per query: the union of both sides' best, both scores known for every row."""
    return [_candidates_of(number, query, vectors, answers, lexical) for number, query in enumerate(bench.query_texts)]


def _candidates_of(
    number: int, query: str, vectors: Vectors, answers: tuple[Rows, Float], lexical: _Lexical
) -> Candidates:
    vector = np.asarray(vectors.queries[number])

    def dense_scores(rows: Rows) -> Float:
        return np.asarray(vectors.documents[rows] @ vector, dtype=np.float32)

    def lexical_scores(rows: Rows) -> Float:
        return lexical.index.scores(query, rows)

    return gather_candidates(
        (answers[0][number], answers[1][number]),
        (lexical.answers[0][number], lexical.answers[1][number]),
        dense_scores=dense_scores,
        lexical_scores=lexical_scores,
    )


def _fuse(
    candidates: Sequence[Candidates], dense: tuple[Rows, Float], lexical: _Lexical, weight: float | None
) -> tuple[Rows, Float]:
    rows = np.full((len(candidates), DEPTH), -1, dtype=np.int64)
    scores = np.full((len(candidates), DEPTH), -np.inf, dtype=np.float32)
    for number, union in enumerate(candidates):
        if weight is None:
            sides = [(dense[0][number], dense[1][number]), (lexical.answers[0][number], lexical.answers[1][number])]
            best_rows, best_scores = rank_fusion(*sides)
        else:
            best_rows, best_scores = ranked(union.rows, fuse_scores(union.dense, union.lexical, weight))
        count = min(DEPTH, len(best_rows))
        rows[number, :count], scores[number, :count] = best_rows[:count], best_scores[:count]
    return rows, scores


def _judged(answers: tuple[Rows, Float], bench: Bench, arm: Arm) -> tuple[Arm, Rows]:
    """The arm with its scores per query, and the rows it returned."""
    number_of = {query: number for number, query in enumerate(bench.query_texts)}

    def search(queries: list[str], k: int) -> tuple[Rows, Float]:
        chosen = [number_of[query] for query in queries]
        return answers[0][chosen, :k], answers[1][chosen, :k]

    scores = judge_retrieval(search, bench, metrics=MEASURES)
    return replace(arm, scores={measure: scores.per_query[measure] for measure in MEASURES}), answers[0]


def save_judged(arms: Sequence[Arm], found: Mapping[str, Rows], folder: Path) -> None:
    """Write arms and what they found, whole: `arms.json` and one array per number and measure."""
    with new_folder(folder, replace=True) as temporary:
        facts = []
        for number, arm in enumerate(arms):
            for measure, values in arm.scores.items():
                np.save(temporary / f"{number}-{measure}.npy", values)
            np.save(temporary / f"{number}-rows.npy", found[arm.name].astype(np.int32))
            entry = {name: getattr(arm, name) for name in ("name", "kind", "model", "fitted", "weight")}
            facts.append({**entry, "measures": list(arm.scores), "cost": vars(arm.cost)})
        write_json(temporary / "arms.json", facts, durable=False)


def load_judged(folder: Path) -> tuple[list[Arm], dict[str, Rows]]:
    """What `save_judged` wrote."""
    arms, found = [], {}
    for number, entry in enumerate(json.loads((folder / "arms.json").read_text(encoding="utf-8"))):
        measures, cost = entry.pop("measures"), Cost(**entry.pop("cost"))
        scores = {measure: np.load(folder / f"{number}-{measure}.npy") for measure in measures}
        arms.append(Arm(**entry, scores=scores, cost=cost))
        found[entry["name"]] = np.load(folder / f"{number}-rows.npy").astype(np.int64)
    return arms, found
