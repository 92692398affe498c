"""What a distilling recipe needs beside its data: the teacher's vectors of every text, and a start made from a teacher.

In a recipe: `teacher: NAME` at a data set, and `modules: [{static_start: {...}}]` at the model.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.progress import SILENT, Progress
from vecsmith.training.collate import TrainingSet
from vecsmith.training.resolve import resolve

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from vecsmith.data.dataset import Dataset

__all__ = ["built_start", "teacher_vectors", "with_teacher"]

SHARD_ROWS = 4_096


def with_teacher(training_set: TrainingSet, teacher: str, folder: Path, progress: Progress = SILENT) -> TrainingSet:
    """The training set with a teacher's vectors of its inputs; see `teacher_vectors`."""
    return replace(training_set, teacher=teacher_vectors(training_set.dataset, teacher, folder, progress))


def teacher_vectors(dataset: "Dataset", teacher: str, folder: Path, progress: Progress = SILENT) -> NDArray[np.float32]:
    """A teacher's unit vector of each input of a dataset: float32 [inputs, width of the teacher].

    teacher   anything `vecsmith.load` takes
    folder    where finished shards are kept: a killed run encodes only what is missing, a later one nothing
    raises    DataError: the folder holds vectors of other texts; ContractError: of another teacher
    """
    from vecsmith.models.load import load
    from vecsmith.models.shards import encode_to

    count = dataset.inputs.num_rows
    blocks = (np.arange(at, min(at + SHARD_ROWS, count)) for at in range(0, count, SHARD_ROWS))
    texts = (text for block in blocks for text in dataset.texts(block))
    # A teacher reads the beginning of a long text, as it does wherever it is used: no warning for each.
    shards = encode_to(
        load(teacher), texts, folder, shard_rows=SHARD_ROWS, on_truncation="cut", total=count, progress=progress
    )
    found: NDArray[np.float32] = shards.array()
    return found


def built_start(
    base: "SentenceTransformer", modules: Sequence[dict[str, dict[str, Any] | None]], sets: Sequence[TrainingSet]
) -> "SentenceTransformer":
    """The model that the recipe's `modules` make of its base: each is (model, texts, **options) -> model, in order.

    texts of a set stand in the order of its inputs; the functions are names of the room "models"
    """
    for entry in modules:
        ((name, options),) = entry.items()
        texts = (
            text
            for each in sets
            for block in np.array_split(
                np.arange(each.dataset.inputs.num_rows), each.dataset.inputs.num_rows // 10_000 + 1
            )
            for text in each.dataset.texts(block)
        )
        base = resolve("models", name)(base, texts, **(options or {}))
    return base
