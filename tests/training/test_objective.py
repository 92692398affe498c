"""Schedules, sums of objectives, and weights of terms that have no such option."""

import pytest
import torch

from vecsmith.errors import RecipeError
from vecsmith.training.collate import Collator, TrainingSet
from vecsmith.training.objective import StageObjective, scheduled


@pytest.mark.parametrize(
    ("schedule", "progress", "expected"),
    [
        (0.05, 0.3, 0.05),
        ({"from": 0, "to": 4}, 0.25, 1.0),
        ({"from": 0, "to": 4, "over": [0, 0.5]}, 0.25, 2.0),
        ({"from": 0, "to": 4, "over": [0.5, 1]}, 0.25, 0.0),
        ({"from": 1, "to": 3, "shape": "cosine"}, 0.5, 2.0),
        ({"from": 1, "to": 3, "shape": "step", "over": [0, 0.5]}, 0.49, 1.0),
        ({"from": 1, "to": 3, "shape": "step", "over": [0, 0.5]}, 0.5, 3.0),
    ],
)
def test_a_schedule_is_read_at_the_share_of_the_run(schedule, progress, expected):
    assert scheduled(schedule, progress) == pytest.approx(expected)


def test_an_unknown_shape_names_the_known_ones():
    with pytest.raises(RecipeError, match="known: linear, cosine, step"):
        scheduled({"from": 0, "to": 1, "shape": "wavy"}, 0.5)


def test_objectives_of_a_kind_are_a_weighted_sum_at_the_progress_of_the_batch(static_model, dataset):
    from dataclasses import replace

    import numpy as np

    from vecsmith.data.batch import Batch
    from vecsmith.data.columns import RecordColumns
    from vecsmith.data.sampler import Draw
    from vecsmith.objectives.info_nce import info_nce

    collate = Collator([TrainingSet(dataset, RecordColumns(dataset))], static_model)
    batch = replace(Batch.from_dict(collate(Draw(0, np.arange(12), 0))), progress=0.5)
    queries, documents = torch.randn(len(batch.queries), 4), torch.randn(len(batch.documents), 4)
    entries = [{"info_nce": {"temperature": {"from": 0.1, "to": 0.3}}}, {"info_nce": {"weight": 0.5}}]
    loss = StageObjective({"retrieval": entries})(queries, documents, batch)
    parts = [info_nce(queries, documents, batch, temperature=t).value for t in (0.2, 0.05)]
    assert torch.allclose(loss.value, parts[0] + 0.5 * parts[1])
    with pytest.raises(RecipeError, match='no objective for records of kind "pair"'):
        StageObjective({"retrieval": entries})(queries, documents, replace(batch, kind="pair"))
