"""Teacher scores of a dataset: computed once per distinct pair, resumable, kept raw; normalised per list when asked.

A scorer is a callable (list of (query, document)) -> float array [n], higher is better. What of itself the scores hang
on stands in its `description` (JSON: name, kind, fingerprint, template, ...); a scorer whose answer hangs on more than
the pair, as a language model's does on the expected answer, has `given(query) -> str`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from vecsmith.data.columns import Ragged
from vecsmith.data.inputs import content_digest
from vecsmith.data.score_store import ScoreStore, pair_name
from vecsmith.errors import Damaged, DataError, NotEnoughData, UsageError
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset

__all__ = [
    "HOW",
    "ScoreStore",
    "Scorer",
    "check_how",
    "fill_scores",
    "normalise_lists",
    "rank_reward",
    "score_pairs",
    "teach",
    "with_scores",
]

HOW = ("none", "minmax", "standard", "softmax", "rank")
CHUNK = 256  # pairs per call of the scorer: enough to put like lengths together
SHARD_PAIRS, SHARD_SECONDS = 4_096, 30.0  # a shard is written at whichever comes first
BLOCK = 1_024  # records looked at together


class Scorer(Protocol):
    """A function with a description."""

    @property
    def description(self) -> Mapping[str, Any]: ...

    def __call__(self, pairs: list[tuple[str, str]]) -> np.ndarray: ...


def teach(
    dataset: "Dataset", scorer: Scorer, folder: Path | str, *, how: str = "none", progress: Progress = SILENT
) -> "Dataset":
    """The dataset with teacher scores: what `folder` lacks is computed and kept there, then every record is filled.

    how       normalisation per list, see `normalise_lists`; the folder keeps raw scores whatever it is
    raises    UsageError: unknown `how`; ContractError: the folder holds another scorer's; Damaged: a score that is
              NaN or infinite, with its pair; Locked
    """
    check_how(how)
    store = ScoreStore(folder, scorer.description)
    fill_scores(dataset, store, scorer, progress=progress)
    return with_scores(dataset, store, given=getattr(scorer, "given", None), how=how)


def fill_scores(
    dataset: "Dataset", store: ScoreStore, scorer: Scorer, *, chunk: int = CHUNK, progress: Progress = SILENT
) -> int:
    """Score every distinct (query, candidate) of the records that the store lacks; returns how many were computed.

    The texts are those of `inputs`; instructions of records are not put before them.
    raises    NotEnoughData: no record has a candidate; Damaged: a score that is NaN or infinite; Locked
    """
    total = int(sum(len(rows) for rows in _candidate_lists(dataset)))
    if not total:
        raise NotEnoughData(f"no record of {dataset.name} has a positive or a negative, so there is nothing to score")
    with store.writing(), progress.task(f"scoring {dataset.name}", total=total, unit="pairs") as task:
        return _fill(store, scorer, _dataset_pairs(dataset, store, scorer), chunk, task.advance)


def score_pairs(
    pairs: Sequence[tuple[str, str]],
    store: ScoreStore,
    scorer: Scorer,
    *,
    chunk: int = CHUNK,
    progress: Progress = SILENT,
) -> np.ndarray:
    """Scores of pairs, float64 [n], in their order; only what the store lacks is computed, each distinct pair once."""
    given = _digest_of(getattr(scorer, "given", None))
    names = [pair_name(content_digest(query), content_digest(text), given(query)) for query, text in pairs]
    with store.writing(), progress.task("scoring", total=len(pairs), unit="pairs") as task:
        _fill(store, scorer, iter(zip(names, pairs, strict=True)), chunk, task.advance)
    return np.array([store[name] for name in names], dtype=np.float64)


def with_scores(
    dataset: "Dataset", store: ScoreStore, *, given: Callable[[str], str | None] | None = None, how: str = "none"
) -> "Dataset":
    """The dataset with `teacher_scores` from a store: float32, positives first, then negatives, per record.

    given     the scorer's `given`, where it has one
    how       see `normalise_lists`
    raises    NotEnoughData: a pair that the store lacks, with its record counted from 1
    """
    check_how(how)
    digests, giving = dataset.inputs["content"], _digest_of(given)
    queries, lists = dataset.records["query"].to_numpy(), list(_candidate_lists(dataset))
    flat: list[float] = []
    for record, (query, candidates) in enumerate(zip(queries.tolist(), lists, strict=True)):
        first = digests[query].as_py()
        third = giving(dataset.text(query)) if given is not None and len(candidates) else None
        for candidate in candidates.tolist():
            name = pair_name(first, digests[candidate].as_py(), third)
            if name not in store:
                raise NotEnoughData(
                    f"record {record + 1} of {dataset.name}: {store.folder} has no score of "
                    f"{_pair_words(dataset.text(query), dataset.text(candidate))}. Score the dataset into it first"
                )
            flat.append(store[name])
    lengths = np.array([len(candidates) for candidates in lists], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.array(flat, dtype=np.float64)
    if how != "none":
        values = _ragged(values, lengths, how)
    scores = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.float32()))
    records = dataset.records
    place = records.schema.get_field_index("teacher_scores")
    return dataset._with(documents=dataset._documents, records=records.set_column(place, "teacher_scores", scores))


def normalise_lists(scores: np.ndarray, how: str = "none", *, temperature: float = 1.0) -> np.ndarray:
    """Scores of lists on one scale per list; teachers, and queries of one teacher, are not on one scale.

    scores       float [n, L], NaN where a list has ended; each row is a list of its own
    how          none; minmax: (s - min) / (max - min); standard: (s - mean) / deviation; softmax: e^(s / temperature)
                 over its sum; rank: -log(rank), best first, equal scores share the mean of their ranks
    temperature  of softmax, above 0
    returns      float64 [n, L], NaN where it was. A list of equal scores becomes 0.5 (minmax), 0 (standard) [ours]
    raises       UsageError: unknown how, temperature not above 0; DataError: infinite score, with its list from 1

    >>> normalise_lists(np.array([[1.0, 3.0, np.nan], [2.0, 2.0, 6.0]]), "minmax").tolist()
    [[0.0, 1.0, nan], [0.0, 0.0, 1.0]]
    """
    check_how(how)
    if not temperature > 0:
        raise UsageError(f"temperature is {temperature}; a softmax needs one above 0")
    lists = np.asarray(scores, dtype=np.float64)
    if np.isinf(lists).any():
        raise DataError(f"list {int(np.isinf(lists).any(axis=1).argmax()) + 1} has an infinite score; drop that pair")
    if how == "none" or lists.size == 0:
        return lists.copy()
    there = ~np.isnan(lists)
    if how == "rank":
        return _ranked(lists, there)
    least = np.where(there, lists, np.inf).min(axis=1, keepdims=True)
    most = np.where(there, lists, -np.inf).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):  # lists without any score, and of equal ones
        if how == "minmax":
            return np.where(there & (most == least), 0.5, (lists - least) / (most - least))
        if how == "softmax":
            raised = np.exp((lists - most) / temperature)
            return raised / np.where(there, raised, 0.0).sum(axis=1, keepdims=True)
        count = there.sum(axis=1, keepdims=True)
        centred = lists - np.where(there, lists, 0.0).sum(axis=1, keepdims=True) / count
        deviation = np.sqrt(np.where(there, centred**2, 0.0).sum(axis=1, keepdims=True) / count)
        return np.where(there & (most == least), 0.0, centred / deviation)


def _ranked(lists: np.ndarray, there: np.ndarray) -> np.ndarray:
    above = (lists[:, None, :] > lists[:, :, None]).sum(axis=2)  # comparisons with NaN are false
    same = (lists[:, None, :] == lists[:, :, None]).sum(axis=2)
    return np.where(there, -np.log(above + (np.maximum(same, 1) + 1) / 2), np.nan)


def _ragged(values: np.ndarray, lengths: np.ndarray, how: str) -> np.ndarray:
    inside = np.arange(int(lengths.max(initial=0))) < lengths[:, None]
    padded = np.full(inside.shape, np.nan)
    padded[inside] = values
    return normalise_lists(padded, how)[inside]


def _candidate_lists(dataset: "Dataset") -> Iterator[np.ndarray]:
    """Rows of `inputs` of each record's candidates, positives then negatives."""
    sides = [Ragged.of(dataset.records[name], dataset.records.num_rows) for name in ("positives", "negatives")]
    for record in range(dataset.records.num_rows):
        yield np.concatenate([side.row(record) for side in sides])


def _dataset_pairs(
    dataset: "Dataset", store: ScoreStore, scorer: Scorer
) -> Iterator[tuple[bytes, tuple[str, str] | None]]:
    """Name and texts of each record's pairs; None instead of texts that need not be read."""
    digests, giving = dataset.inputs["content"], getattr(scorer, "given", None)
    digest_given = _digest_of(giving)
    for query, candidates in zip(dataset.records["query"].to_pylist(), _candidate_lists(dataset), strict=True):
        if not len(candidates):
            continue
        first, text = digests[query].as_py(), dataset.text(query)
        third = digest_given(text)
        names = [pair_name(first, digests[row].as_py(), third) for row in candidates.tolist()]
        missing = [name not in store for name in names]
        texts = iter(dataset.texts(candidates[np.array(missing)]))
        for name, is_missing in zip(names, missing, strict=True):
            yield name, (text, next(texts)) if is_missing else None


def _fill(
    store: ScoreStore,
    scorer: Scorer,
    pairs: Iterator[tuple[bytes, tuple[str, str] | None]],
    chunk: int,
    advance: Callable[[int], None],
) -> int:
    """Score what is missing in chunks, write a shard when there is enough or it is time; returns the count."""
    waiting: dict[bytes, tuple[str, str]] = {}
    names: list[bytes] = []
    made: list[np.ndarray] = []
    done, since = 0, time.monotonic()
    held: set[bytes] = set()

    def compute() -> None:
        made.append(_checked(scorer, list(waiting.values())))
        names.extend(waiting)
        held.update(waiting)
        waiting.clear()

    def write() -> None:
        nonlocal done, since
        store.add(names, np.concatenate(made) if made else np.empty(0))
        done, since = done + len(names), time.monotonic()
        names.clear()
        made.clear()
        held.clear()

    try:
        for name, texts in pairs:
            if texts is not None and name not in store and name not in held:
                waiting[name] = texts
            if len(waiting) == chunk:
                compute()
                if len(names) >= SHARD_PAIRS or time.monotonic() - since >= SHARD_SECONDS:
                    write()
            advance(1)
        if waiting:
            compute()
    finally:
        write()  # also what was done before an error or Ctrl-C
    return done


def _checked(scorer: Scorer, pairs: list[tuple[str, str]]) -> np.ndarray:
    """float64 [n] from the scorer; one finite number per pair, or an error that names the pair."""
    scores = np.asarray(scorer(pairs), dtype=np.float64)
    if scores.shape != (len(pairs),):
        raise DataError(f"the scorer gave an array of shape {scores.shape} for {len(pairs)} pairs; one number each")
    if not (finite := np.isfinite(scores)).all():
        place = int((~finite).argmax())
        raise Damaged(
            f"the score of {_pair_words(*pairs[place])} is {scores[place]}; the teacher's weights are broken, or a "
            "number ran over. Nothing of this chunk was kept; look at that pair"
        )
    return scores


def _digest_of(given: Callable[[str], str | None] | None) -> Callable[[str], bytes | None]:
    def digest(query: str) -> bytes | None:
        text = given(query) if given is not None else None
        return None if text is None else content_digest(text)

    return digest


def _pair_words(query: str, document: str) -> str:
    return f'query "{query[:60]}" and document "{document[:60]}"'


def check_how(how: str) -> None:
    """UsageError: `how` names no way to normalise lists."""
    if how not in HOW:
        raise UsageError(f'"{how}" is no way to normalise lists; known: {", ".join(HOW)}')


def rank_reward(rank: np.ndarray | float) -> np.ndarray:
    """Reward of a candidate by the rank that the wished output takes among N sampled ones: -log(rank) [mem?].

    rank      1 is best; float [n] or a number, at least 1
    returns   float64, 0 for rank 1, falling
    raises    UsageError: a rank below 1

    >>> [round(float(value), 4) for value in rank_reward(np.array([1, 2, 8]))]
    [0.0, -0.6931, -2.0794]
    """
    ranks = np.asarray(rank, dtype=np.float64)
    if not (ranks >= 1).all():
        raise UsageError(f"rank {ranks[~(ranks >= 1)].flat[0]}: ranks are counted from 1")
    return 0.0 - np.log(ranks)
