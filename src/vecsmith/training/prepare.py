"""What a recipe has made of its data before it trains: the scores of a teacher (`score` at a data set)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vecsmith.data.columns import RecordColumns
from vecsmith.progress import SILENT, Progress
from vecsmith.training.encoding import world
from vecsmith.training.recipe import DataSpec, Recipe
from vecsmith.training.run_folder import barrier

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset
    from vecsmith.training.collate import TrainingSet

__all__ = ["prepared", "supplied"]


def supplied(recipe: Recipe) -> dict[str, set[str]]:
    """Name of a data set -> columns that it will have by the time of training, beside those it has."""
    return {_name(spec): {"teacher_scores"} for spec in recipe.data if spec.score}


def prepared(
    recipe: Recipe, sets: "Sequence[TrainingSet]", folder: Path, progress: Progress = SILENT
) -> "list[TrainingSet]":
    """The sets, those whose data ask for it with teacher scores; all ranks return the same.

    folder   of the run: raw scores are kept in it, so that a killed run computes only what is missing
    raises   what `models.scorers.score_dataset` raises
    """
    asked = {_name(spec): (number, spec) for number, spec in enumerate(recipe.data) if spec.score}
    made: dict[int, Dataset] = {}
    result = []
    for each in sets:
        if (entry := asked.get(each.columns.name.split("/")[0])) is None:
            result.append(each)
            continue
        number, spec = entry
        if number not in made:
            made[number] = _scored(each.dataset, spec, folder / f"scores-{number}", progress)
        columns = RecordColumns(made[number], kind=each.columns.kind)
        columns.name = each.columns.name
        result.append(replace(each, dataset=made[number], columns=columns))
    return result


def _scored(dataset: "Dataset", spec: DataSpec, folder: Path, progress: Progress) -> "Dataset":
    """Ranks take turns: the first one computes, the others find all there."""
    from vecsmith.models.scorers import score_dataset

    assert spec.score is not None
    own, ranks = world()
    for rank in range(ranks):
        if rank == own:
            options = spec.score.model_dump(exclude_none=True)
            scored = score_dataset(dataset, folder=folder, progress=progress, **options)
        barrier()
    return scored


def _name(spec: DataSpec) -> str:
    return spec.name or Path(spec.path).stem
