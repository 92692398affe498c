"""Mine hard negatives for the records of a dataset: encode, rank, rescore where asked, choose; goes on where killed.

WORK/mining.json                  what the work hangs on: data, model, depth; another job is refused
WORK/queries, WORK/documents      vectors, in shards (`shards.py`)
WORK/ranked-000000.npz ...        rows and scores of the best candidates, a block of queries each
WORK/rescored/                    the cross-encoder's scores (`data/score_store.py`)
"""

import os
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from vecsmith.atomic import open_atomic, write_json
from vecsmith.data.columns import Ragged, input_keys
from vecsmith.data.dataset import Dataset
from vecsmith.data.mining import MiningOptions, select_negatives
from vecsmith.data.score_store import ScoreStore
from vecsmith.data.teachers import Scorer, score_pairs
from vecsmith.errors import ContractError, Damaged, DataError, NotEnoughData
from vecsmith.models.shards import encode_to
from vecsmith.progress import SILENT, Progress
from vecsmith.topk import top_k

if TYPE_CHECKING:
    from vecsmith.models.encoder import Encoder
    from vecsmith.models.model import Model

__all__ = ["MiningReport", "mine", "mine_dataset"]

Float = np.ndarray[Any, np.dtype[np.float32]]
BLOCK = 2_048  # queries ranked between two files
KINDS = ("retrieval", "pair")
EXAMPLES, CHARACTERS = 3, 120


@dataclass
class MiningReport:
    """What was mined, what was dropped and why, with up to three examples a reason."""

    records: int = 0
    other_kinds: int = 0
    without_positive: int = 0
    inconsistent: int = 0
    short: int = 0
    replaced: int = 0
    negatives: int = 0
    documents: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def mine(data: "Dataset | str | Path", model: Any, **options: Any) -> Dataset:
    """A dataset with mined negatives and teacher_scores; `vs.mine`.

    data       a Dataset, or what `vecsmith.read` opens
    model      a model of `vecsmith.load`, an encoder, or a name
    options    of `mine_dataset`: folder, scorer, and those of `MiningOptions`
    """
    return mine_dataset(data, model, **options)


def mine_dataset(
    data: "Dataset | str | Path",
    model: "Model | Encoder | str",
    *,
    folder: Path | str | None = None,
    scorer: Scorer | str | None = None,
    report: MiningReport | None = None,
    progress: Progress = SILENT,
    **options: Any,
) -> Dataset:
    """Hard negatives for every record of kind retrieval or pair; other records stay as they are.

    folder     where work is kept, so that a killed run goes on; None: a temporary folder
    scorer     rescores candidates and positives before the filters (a Scorer, or a cross-encoder's folder); its scores
               are then the teacher_scores
    report     is filled
    options    of `MiningOptions`
    returns    records with `negatives` (those given before are replaced, and counted) and `teacher_scores`: positives,
               then negatives. A record with fewer than n negatives keeps what it has; one that is inconsistent goes
    raises     NotEnoughData: no record with a positive; ContractError: the folder was begun with something else;
               UsageError, DataError, Damaged, Locked
    """
    settings = MiningOptions(**options)
    dataset, encoder = _opened(data, model)
    report = MiningReport() if report is None else report
    job = _Job.of(dataset, report)
    with ExitStack() as stack:
        work = Path(folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="vecsmith-mine-")))
        work.mkdir(parents=True, exist_ok=True)
        queries = _vectors(encoder, dataset, job.queries, work / "queries", "query", progress)
        documents = _vectors(encoder, dataset, job.documents, work / "documents", "document", progress)
        depth = min(settings.depth + job.most_known + 1, len(job.documents))
        _same_job(work, {"data": dataset.fingerprint(), "model": encoder.contract.fingerprint, "depth": depth})
        rows, scores = _ranked(queries, documents, depth, work, progress)
        paired = np.einsum("ij,ij->i", queries[job.pair_query], documents[job.pair_document])
        if scorer is not None:
            scores, paired = _rescored(dataset, job, rows, scores, paired, settings, scorer, work, progress)
        return _chosen(dataset, job, rows, scores, paired, settings, report)


def _opened(data: Any, model: Any) -> tuple[Dataset, Any]:
    from vecsmith.data.read import read
    from vecsmith.models.encoder import open_encoder

    dataset = data if isinstance(data, Dataset) else read(data)
    return dataset, open_encoder(model) if isinstance(model, str | os.PathLike) else model


@dataclass
class _Job:
    """Which records are mined, against which inputs; a document is one of several inputs of equal key.

    records int64 [R]; query int64 [R] -> queries; queries int64 [Q], documents int64 [D] rows of inputs; positives
    int64 rows of documents with offsets [R + 1]; known int64 sorted codes query * D + document; most_known per query
    """

    records: np.ndarray
    query: np.ndarray
    queries: np.ndarray
    documents: np.ndarray
    positives: Ragged
    known: np.ndarray
    most_known: int
    keys: np.ndarray

    @property
    def pair_query(self) -> np.ndarray:
        return np.repeat(self.query, np.diff(self.positives.offsets))

    @property
    def pair_document(self) -> np.ndarray:
        return self.positives.values

    @classmethod
    def of(cls, dataset: Dataset, report: MiningReport) -> "_Job":
        table, keys = dataset.records, input_keys(dataset.inputs)
        kinds = np.asarray(table["kind"].to_pylist(), dtype=object)
        lists = Ragged.of(table["positives"], table.num_rows)
        lengths = np.diff(lists.offsets)
        is_mined = np.isin(kinds, KINDS)
        report.other_kinds = int((~is_mined).sum())
        report.without_positive = int((is_mined & (lengths == 0)).sum())
        records = np.flatnonzero(is_mined & (lengths > 0))
        if not len(records):
            raise NotEnoughData(f"dataset {dataset.name} has no record of kind retrieval or pair with a positive")
        flat = np.concatenate([lists.row(int(record)) for record in records])
        offsets = np.concatenate([[0], np.cumsum(lengths[records])])
        pool = np.concatenate([dataset.documents.inputs, flat]).astype(np.int64)
        document_keys, first, _ = np.unique(keys[pool], return_index=True, return_inverse=True)
        own = table["query"].to_numpy()[records]
        _, first_query, query = np.unique(keys[own], return_index=True, return_inverse=True)
        positives = np.searchsorted(document_keys, keys[flat])
        queries, size = own[first_query], len(document_keys)
        known = np.repeat(query, lengths[records]) * size + positives
        place = np.searchsorted(document_keys, keys[queries]).clip(max=size - 1)
        itself = np.flatnonzero(document_keys[place] == keys[queries])
        known = np.unique(known)
        most = int(np.bincount(known // size).max())
        known = np.union1d(known, itself * size + place[itself])
        report.records, report.documents = len(records), size
        return cls(records, query, queries, pool[first], Ragged(offsets, positives), known, most, keys)


def _vectors(encoder: Any, dataset: Dataset, rows: np.ndarray, folder: Path, role: str, progress: Progress) -> Float:
    texts = (text for start in range(0, len(rows), 8_192) for text in dataset.texts(rows[start : start + 8_192]))
    found: Float = encode_to(encoder, texts, folder, prompt=role, progress=progress, total=len(rows)).array()
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        text = dataset.text(int(rows[int(bad.argmax())]))
        raise DataError(f"the model gives NaN or infinity for the {role} {_cut(text)!r}; mine with another model")
    return found


def _same_job(work: Path, wanted: dict[str, Any]) -> None:
    import json

    file = work / "mining.json"
    if not file.is_file():
        write_json(file, wanted)
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Damaged(f"{file} cannot be read ({error}); remove {work} and mine again") from error
    if found != wanted:
        differ = [name for name in wanted if not isinstance(found, dict) or found.get(name) != wanted[name]]
        raise ContractError(f"{work} was begun with other {', '.join(differ)}; give another folder, or remove it")


def _ranked(queries: Float, documents: Float, depth: int, work: Path, progress: Progress) -> tuple[Any, Any]:
    """Rows and scores of the best candidates, int32 and float32 [Q, depth]; finished blocks are read."""
    rows = np.empty((len(queries), depth), dtype=np.int64)
    scores = np.empty((len(queries), depth), dtype=np.float32)
    with progress.task("ranking", total=len(queries), unit="queries") as task:
        for number, start in enumerate(range(0, len(queries), BLOCK)):
            stop, file = min(len(queries), start + BLOCK), work / f"ranked-{number:06d}.npz"
            found = _read_block(file, (stop - start, depth))
            if found is None:
                found = top_k(queries[start:stop], documents, depth)
                with open_atomic(file) as stream:
                    np.savez(stream, rows=found[0], scores=found[1])
            rows[start:stop], scores[start:stop] = found
            task.advance(stop - start)
    return rows, scores


def _read_block(file: Path, shape: tuple[int, int]) -> tuple[Any, Any] | None:
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as held:
            rows, scores = held["rows"], held["scores"]
    except Exception as error:  # numpy raises many kinds for a file that is no archive
        raise Damaged(f"{file} cannot be read ({error}); remove it, its block is ranked again") from error
    if rows.shape != shape or scores.shape != shape:
        raise Damaged(f"{file} holds {rows.shape}, not {shape}; remove it, its block is ranked again")
    return rows, scores


def _rescored(
    dataset: Dataset,
    job: _Job,
    rows: Any,
    scores: Any,
    paired: Any,
    settings: MiningOptions,
    scorer: Any,
    work: Path,
    progress: Progress,
) -> tuple[Any, Any]:
    """The scorer's scores of candidates in the ranks, and of the positives; each distinct pair once."""
    if isinstance(scorer, str | os.PathLike):
        from vecsmith.models.scorers import open_scorer

        scorer = open_scorer(scorer, kind="cross-encoder")
    queries, documents = dataset.texts(job.queries), dataset.texts(job.documents)
    is_known = _is_known(job, rows)
    rank = np.cumsum(~is_known & (rows >= 0), axis=1) - 1
    low = 0 if settings.consistent_rank else settings.ranks[0]
    wanted = ~is_known & (rows >= 0) & (rank >= low) & (rank < settings.depth)
    at, column = np.nonzero(wanted)
    pairs = [(queries[q], documents[d]) for q, d in zip(at, rows[at, column], strict=True)]
    pairs += [(queries[q], documents[d]) for q, d in zip(job.pair_query, job.pair_document, strict=True)]
    found = score_pairs(pairs, ScoreStore(work / "rescored", scorer.description), scorer, progress=progress)
    scores = np.full(scores.shape, -np.inf, dtype=np.float32)
    scores[at, column] = found[: len(at)]
    return scores, found[len(at) :].astype(np.float32)


def _is_known(job: _Job, rows: Any) -> Any:
    codes = np.arange(len(rows))[:, None] * len(job.documents) + rows
    return (rows >= 0) & np.isin(codes, job.known)


def _chosen(
    dataset: Dataset, job: _Job, rows: Any, scores: Any, paired: Any, settings: Any, report: MiningReport
) -> Dataset:
    """Filters per record, and the records with what is left."""
    starts = job.positives.offsets[:-1]
    smallest, largest = (reduce.reduceat(paired, starts) for reduce in (np.minimum, np.maximum))
    is_known = _is_known(job, rows)
    taken: list[Any] = []
    kept: list[Any] = []
    for start in range(0, len(job.records), BLOCK):
        part = slice(start, start + BLOCK)
        query = job.query[part]
        found = select_negatives(
            rows[query],
            scores[query],
            is_known=is_known[query],
            smallest_positive=smallest[part],
            largest_positive=largest[part],
            options=settings,
            draws=_draws(job, rows[query], query, settings) if settings.choose == "random" else None,
        )
        _note(dataset, job, found, rows[query], scores[query], smallest[part], query, report)
        taken += [(line[line >= 0], score[line >= 0]) for line, score in zip(found.rows, found.scores, strict=True)]
        kept.append(found.kept)
    return _written(dataset, job, taken, np.concatenate(kept), paired, settings, report)


def _draws(job: _Job, rows: Any, query: Any, settings: MiningOptions) -> Any:
    """A hash of seed, query key and document key: equal wherever the pair stands."""
    left = job.keys[job.queries[query]].view(np.uint64)[:, None]
    mixed = left ^ (job.keys[job.documents[rows]].view(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    mixed = mixed + np.uint64(settings.seed * 0xBF58476D1CE4E5B9 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)


def _note(
    dataset: Dataset, job: _Job, found: Any, rows: Any, scores: Any, positive: Any, query: Any, report: MiningReport
) -> None:
    """Count what was dropped, and keep the first examples of each reason but the range of ranks."""
    from vecsmith.data.mining import REASONS

    for name, count in found.counts().items():
        report.dropped[name] = report.dropped.get(name, 0) + count
        held = report.examples.setdefault(name, []) if name != "rank" else []
        if name == "rank" or len(held) >= EXAMPLES:
            continue
        for at, column in np.argwhere(found.reasons == REASONS.index(name))[: EXAMPLES - len(held)]:
            held.append(
                {
                    "query": _cut(dataset.text(int(job.queries[query[at]]))),
                    "document": _cut(dataset.text(int(job.documents[rows[at, column]]))),
                    "score": round(float(scores[at, column]), 4) if np.isfinite(scores[at, column]) else None,
                    "positive_score": round(float(positive[at]), 4),
                }
            )


def _cut(text: str) -> str:
    return text if len(text) <= CHARACTERS else f"{text[: CHARACTERS - 3]}..."


def _written(
    dataset: Dataset, job: _Job, taken: Any, kept: Any, paired: Any, settings: MiningOptions, report: MiningReport
) -> Dataset:
    """The dataset with its mined records changed; human scores, where there are any, get 0 for a mined negative."""
    table = dataset.records
    negatives = table["negatives"].to_pylist()
    teacher, human = table["teacher_scores"].to_pylist(), table["scores"].to_pylist()
    keep = np.ones(table.num_rows, dtype=bool)
    keep[job.records] = kept
    report.inconsistent = int((~kept).sum())
    for number, record in enumerate(job.records.tolist()):
        rows, scores = taken[number]
        own = paired[job.positives.offsets[number] : job.positives.offsets[number + 1]]
        report.replaced += len(negatives[record] or ()) if kept[number] else 0
        if kept[number]:
            report.negatives += len(rows)
            report.short += len(rows) < settings.negatives
        negatives[record] = job.documents[rows].tolist()
        teacher[record] = [*own.tolist(), *scores.tolist()]
        if human[record] is not None:
            human[record] = human[record][: len(own)] + [0.0] * len(rows)
    for name, values in (("negatives", negatives), ("teacher_scores", teacher), ("scores", human)):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    table = table.filter(pa.array(keep))
    return Dataset(dataset.inputs, dataset._documents, table, name=dataset.name)
