"""`vecsmith.evaluate`: a model on a suite of tasks, or on the judged records of a dataset."""

import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vecsmith.atomic import write_json
from vecsmith.errors import ContractError, NotEnoughData, UsageError
from vecsmith.evaluation.collections import collection_named, collection_tasks
from vecsmith.evaluation.differences import interval_of
from vecsmith.evaluation.report import Report, TaskResult
from vecsmith.evaluation.runners import judge_task
from vecsmith.evaluation.task_data import Labelled, Pairs, Retrieval, read_task
from vecsmith.evaluation.tasks import Suite, Task, load_suite, root_of
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset
    from vecsmith.models.encoder import Encoder

__all__ = ["as_encoder", "dataset_tasks", "evaluate"]

PACKAGES = ("vecsmith", "numpy", "torch", "sentence-transformers", "tokenizers", "scikit-learn")

Data = Pairs | Retrieval | Labelled


def evaluate(
    model: Any,
    data: "Dataset | Suite | str | os.PathLike[str]",
    *,
    tasks: Sequence[str] | None = None,
    data_root: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Report:
    """Judge a model.

    model       a name or path that `vecsmith.load` takes, a loaded Model or SentenceTransformer, or an Encoder
    data        a Dataset (its retrieval, scored and class records, each one task; of all its splits, so pass
                `data.split("test")` where it has several), or a suite or collection: its name, the path of its YAML
                file, or a Suite
    tasks       only these tasks of the suite
    data_root   the folder that a suite's paths start from; default VECSMITH_DATA
    output      a folder for the result of each task and `report.json`. A result that is there already, of the same
                model, task, data and versions, is not computed again: a killed run goes on where it stopped
    seed        of the bootstrap intervals
    returns     Report; a task whose predictions cannot be ranked stands in it as failed
    raises      UsageError: unknown suite, task or data root; DataError: broken files; NotEnoughData: nothing to judge
    """
    encoder = as_encoder(model)
    name, fingerprint = _identity(model, encoder)
    todo = _todo(data, tasks, data_root)
    folder = None if output is None else Path(output)
    results = []
    for task, read in todo:
        content = read()
        key = _key(fingerprint, encoder, task, content)
        file = None if folder is None or not fingerprint else folder / f"{_file_name(task.name)}.json"
        result = _kept(file, key)
        if result is None:
            progress.say(f"{task.name}: {task.kind}")
            result = _run(encoder, task, content, seed, progress)
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                write_json(file, {"key": key, "result": result.to_dict()})
        results.append(replace(result, published=task.published.get(name)))
    report = Report(name, fingerprint, tuple(results), _versions())
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "report.json", report.to_dict())
    return report


def as_encoder(model: Any) -> "Encoder":
    """What encodes: a name or path is opened, a SentenceTransformer wrapped, an Encoder taken as it is."""
    if isinstance(model, str | os.PathLike):
        from vecsmith.models.encoder import open_encoder

        return open_encoder(model, on_truncation="cut")
    if hasattr(model, "encode_document") and hasattr(model, "dimension"):
        return model
    if hasattr(model, "encode") and hasattr(model, "max_seq_length"):
        from vecsmith.models.encode import backend_of

        return cast("Encoder", backend_of(model))  # what wraps a model is both
    raise UsageError(f"{type(model).__name__} is no model; pass a name, a path, a loaded model or an Encoder")


def dataset_tasks(dataset: "Dataset") -> list[tuple[Task, Data]]:
    """The judged records of a dataset as tasks: `retrieval`, `scored` and `class` records, one task for each kind.

    raises   NotEnoughData: it holds none of them
    """
    found: list[tuple[str, Data]] = []
    kinds = set(dataset.records["kind"].unique().to_pylist())
    if "retrieval" in kinds:
        judged, documents = dataset.judgements(), dataset.documents
        texts = dataset.texts(documents.inputs)
        rows = [str(row) for row in judged.query_rows]
        data = Retrieval(rows, judged.query_texts, list(judged.document_ids), list(texts), judged.relevance)
        found.append(("retrieval", data))
    if "scored" in kinds:
        scored = [record for record in _records(dataset, "scored") if record["positives"]]
        left = dataset.texts([record["query"] for record in scored])
        right = dataset.texts([record["positives"][0] for record in scored])
        found.append(("scored", Pairs(left, right, [float((record["scores"] or [0.0])[0]) for record in scored])))
    if "class" in kinds:
        found.append(("classification", _labelled(dataset, _records(dataset, "class"))))
    if not found:
        have = ", ".join(sorted(kinds)) or "no records"
        raise NotEnoughData(f"dataset {dataset.name} has {have}; retrieval, scored and class records can be judged")
    plain = len(found) == 1
    metrics = {"retrieval": "ndcg@10", "scored": "spearman", "classification": "accuracy"}
    return [
        (Task(dataset.name if plain else f"{dataset.name} {kind}", kind, (), metric=metrics[kind]), data)
        for kind, data in found
    ]


def _records(dataset: "Dataset", kind: str) -> list[dict[str, Any]]:
    import pyarrow.compute as pc

    records = dataset.records.filter(pc.equal(dataset.records["kind"], kind))
    rows: list[dict[str, Any]] = records.select(["query", "positives", "scores", "label", "split"]).to_pylist()
    return rows


def _labelled(dataset: "Dataset", records: list[dict[str, Any]]) -> Labelled:
    sides: list[list[str]] = []
    for train in (False, True):
        chosen = [record for record in records if (record["split"] == "train") == train]
        sides.append(dataset.texts([record["query"] for record in chosen]))
        sides.append([str(record["label"]) for record in chosen])
    if not sides[0]:  # everything is the training side: it is judged by folds
        sides = [sides[2], sides[3], [], []]
    return Labelled(*sides)


def _todo(
    data: "Dataset | Suite | str | os.PathLike[str]",
    tasks: Sequence[str] | None,
    data_root: str | os.PathLike[str] | None,
) -> list[tuple[Task, Callable[[], Data]]]:
    """Tasks, and how to read each when its turn comes."""
    if hasattr(data, "records"):
        return [(task, lambda content=content: content) for task, content in dataset_tasks(data)]  # type: ignore
    if not isinstance(data, Suite) and (collection := collection_named(data)) is not None:
        return collection_tasks(collection, tasks, root_of(data_root))
    suite = data if isinstance(data, Suite) else load_suite(data)
    if tasks:
        suite = suite.only(list(tasks))
    root = root_of(data_root)
    return [(task, lambda task=task: read_task(task, root)) for task in suite.tasks]  # type: ignore[misc]


def _run(encoder: "Encoder", task: Task, data: Data, seed: int, progress: Progress) -> TaskResult:
    start = time.monotonic()
    scores = judge_task(encoder, task, data, progress)
    seconds = time.monotonic() - start
    return TaskResult(task.name, scores, data.digest(), interval_of(scores, seed=seed), seconds=seconds)


def _identity(model: Any, encoder: "Encoder") -> tuple[str, str]:
    """Name and fingerprint of the space; no fingerprint where the model was changed and not saved.

    One model at two widths is one space: the width stands in the name, or a comparison could not tell them apart.
    """
    named = Path(model).name if isinstance(model, str | os.PathLike) else None
    cut = getattr(encoder, "truncate_dim", None)
    width = f" at width {cut}" if cut is not None and cut == encoder.dimension else ""
    try:
        contract = encoder.contract
    except ContractError:
        return (named or "unsaved model") + width, ""
    return (named or contract.name) + width, contract.fingerprint


def _key(fingerprint: str, encoder: "Encoder", task: Task, data: Data) -> dict[str, Any]:
    """What a kept result must agree in to stand."""
    width = encoder.dimension
    return {"contract": fingerprint, "width": width, "task": task.definition(), "data": data.digest(), **_versions()}


def _kept(file: Path | None, key: Mapping[str, Any]) -> TaskResult | None:
    if file is None or not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return TaskResult.from_dict(content["result"]) if content["key"] == json.loads(json.dumps(key)) else None
    except (ValueError, KeyError, TypeError):
        return None  # not ours, or of an older form: it is computed again and replaced


def _file_name(task: str) -> str:
    return re.sub(r"[^\w.-]+", "-", task)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
