"""Lines of a collection as tasks: what `vecsmith.data.collection` reads, `evaluate` judges where a judge fits."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from vecsmith.data.collection import Collection, Line, known_collections, load_collection, read_line
from vecsmith.errors import NotEnoughData, UsageError
from vecsmith.evaluation.task_data import Labelled, Pairs, Retrieval
from vecsmith.evaluation.tasks import METRICS, Task

__all__ = ["JUDGED", "collection_named", "collection_tasks"]

# kind or format of a line -> kind of task
JUDGED = {"scored": "scored", "class": "classification", "retrieval": "retrieval", "beir": "retrieval"}


def collection_named(name: str | os.PathLike[str]) -> Collection | None:
    """The collection of this name or file; None where it is something else."""
    path = Path(name)
    if str(name) in known_collections():
        return load_collection(name)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        import yaml

        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, OSError, ValueError, RecursionError):
            return None
        if isinstance(content, dict) and "lines" in content:
            return load_collection(path)
    return None


def collection_tasks(
    collection: Collection, names: Sequence[str] | None, root: Path
) -> list[tuple[Task, Callable[[], Pairs | Retrieval | Labelled]]]:
    """Tasks of the lines, and how to read each: its side "test" where it has one, else all of it.

    names     only these lines; None: all that can be judged
    raises    UsageError: a name that is no line, or a line of a kind that has no judge
    """
    lines = [line for line in collection.lines if line.kind in JUDGED]
    if names:
        lines = [collection.line(name) for name in names]
        for line in lines:
            if line.kind not in JUDGED:
                raise UsageError(
                    f"{line.name} is read as {line.kind or 'rows'}, which no judge takes; lines read as "
                    f"{', '.join(JUDGED)} can be judged"
                )
    return [(_task(line), lambda line=line: _read(line, root)) for line in lines]  # type: ignore[misc]


def _task(line: Line) -> Task:
    kind = JUDGED[line.kind]
    paths = tuple(path for files in line.files.values() for path in files)
    return Task(line.name, kind, paths, metric=METRICS.get(kind, "ndcg@10"))


def _read(line: Line, root: Path) -> Pairs | Retrieval | Labelled:
    from vecsmith.evaluation.evaluate import dataset_tasks

    dataset = read_line(line, root).dataset
    assert dataset is not None
    kind = JUDGED[line.kind]
    if "test" in dataset.splits and kind != "classification":  # whose judge fits on the training side
        dataset = dataset.split("test")
    for task, data in dataset_tasks(dataset):
        if task.kind == kind:
            return data
    raise NotEnoughData(f"{line.name}: no record to judge")
