"""Encode what a task names and hand the vectors to its judge: the one place where models and judges meet."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import UsageError
from vecsmith.evaluation.classification import judge_folds, judge_logistic, judge_nearest
from vecsmith.evaluation.clustering import judge_clustering, sample_documents
from vecsmith.evaluation.metrics import DEFAULT_METRICS
from vecsmith.evaluation.pair_classification import judge_pair_classification
from vecsmith.evaluation.retrieval import dense_search, judge_retrieval
from vecsmith.evaluation.scores import Scores
from vecsmith.evaluation.sts import encode_distinct, judge_sts
from vecsmith.evaluation.task_data import Labelled, Pairs, Retrieval
from vecsmith.evaluation.tasks import Task
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.models.encoder import Encoder

__all__ = ["judge_task"]

Float = NDArray[np.floating]


def judge_task(
    encoder: "Encoder", task: Task, data: Pairs | Retrieval | Labelled, progress: Progress = SILENT
) -> Scores:
    """Scores of a model on a task whose data has been read.

    Queries and documents of retrieval are encoded with the model's prompts for them; texts of other tasks with its
    default prompt (as mteb where a model names no prompt for the task). The counts say which share of tokens the model
    does not know: where it is large, a low score is the tokenizer's.
    """
    scores = _judge(encoder, task, data, progress)
    share = float(encoder.unknown_share(_sample(data)))
    return replace(scores, counts={**scores.counts, "unknown_share": round(share, 6)})


def _sample(data: Pairs | Retrieval | Labelled) -> list[str]:
    """Some texts of every side, spread over the data."""
    sides = data.sides()
    return [text for side in sides for text in side[:: 1 + len(side) // 500]]


def _judge(encoder: "Encoder", task: Task, data: Pairs | Retrieval | Labelled, progress: Progress) -> Scores:
    def encode(texts: list[str]) -> Float:
        return encoder.encode(texts, progress=progress)

    if isinstance(data, Retrieval):
        documents = encoder.encode_document(data.document_texts, progress=progress)
        search = dense_search(documents, lambda queries: encoder.encode_query(queries, progress=progress))
        metrics = [task.metric, *(name for name in DEFAULT_METRICS if name != task.metric)]
        return judge_retrieval(search, data, metrics=metrics, **task.options)
    if isinstance(data, Pairs):
        if task.kind == "scored":
            return judge_sts(encode, data.left, data.right, data.scores)
        vectors, (left, right) = encode_distinct(encode, data.left, data.right)
        return judge_pair_classification(vectors[left], vectors[right], np.array(data.scores))
    if task.kind == "clustering":
        return _cluster(encode, task, data)
    if task.kind == "classification":
        return _classify(encode, task, data)
    raise UsageError(f'no judge for tasks of the kind "{task.kind}"')


def _cluster(encode, task: Task, data: Labelled) -> Scores:  # type: ignore[no-untyped-def]
    options = dict(task.options)
    share, most = options.pop("share", None), options.pop("most", None)
    rows, generator = sample_documents(len(data.texts), share=share, most=most)
    vectors = encode([data.texts[row] for row in rows])
    return judge_clustering(vectors, [data.labels[row] for row in rows], generator=generator, **options)


def _classify(encode, task: Task, data: Labelled) -> Scores:  # type: ignore[no-untyped-def]
    options = dict(task.options)
    classifier = options.pop("classifier", "logistic")
    if classifier not in ("logistic", "nearest"):
        raise UsageError(f'{task.name}: classifier is "{classifier}"; known: logistic, nearest')
    vectors, (test, train) = encode_distinct(encode, data.texts, data.train_texts)
    if not data.train_texts:
        return judge_folds(vectors[test], data.labels, **options)
    judge = judge_logistic if classifier == "logistic" else judge_nearest
    return judge(vectors[train], data.train_labels, vectors[test], data.labels, **options)
