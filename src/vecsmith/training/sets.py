"""From the `data` of a recipe, or datasets at hand, to training sets."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vecsmith.data.columns import RecordColumns
from vecsmith.errors import NotEnoughData
from vecsmith.progress import SILENT, Progress
from vecsmith.training.collate import TrainingSet
from vecsmith.training.recipe import DataSpec, Recipe

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset

__all__ = ["open_sets"]


def open_sets(
    recipe: Recipe, data: "Mapping[str, Dataset] | None" = None, progress: Progress = SILENT
) -> list[TrainingSet]:
    """Every data set of the recipe, one training set per kind of record that some stage has an objective for.

    data     name -> Dataset; these are used in place of the recipe's own, whose options stay for equal names
    raises   RecipeError: data that is not there, no data at all; NotEnoughData: records without an objective
    """
    if data is None:
        if not recipe.data:
            raise recipe.error('no data: the recipe has no "data", and none was handed over', "data")
        opened = {spec.name or Path(spec.path).stem: (spec, _open(recipe, spec, progress)) for spec in recipe.data}
    else:
        named = {spec.name or spec.path: spec for spec in recipe.data}
        opened = {name: (named.get(name) or DataSpec(path=name), dataset) for name, dataset in data.items()}
    trained_kinds: set[str] = {kind for stage in recipe.stages for kind in stage.objective}
    return [each for name, (spec, dataset) in opened.items() for each in _sets(name, spec, dataset, trained_kinds)]


def _sets(name: str, spec: DataSpec, dataset: "Dataset", trained_kinds: set[str]) -> list[TrainingSet]:
    found = [kind for kind in dataset.records.column("kind").unique().to_pylist() if kind in trained_kinds]
    kinds = [spec.kind] if spec.kind else sorted(found)
    if not kinds or not dataset.records.num_rows:
        has = sorted(set(dataset.records.column("kind").to_pylist())) or ["none"]
        raise NotEnoughData(
            f"dataset {name}: no positives to train on: its records are of kind {', '.join(has)}; "
            f"the recipe has objectives for {', '.join(sorted(trained_kinds))}"
        )
    result = []
    for kind in kinds:
        columns = RecordColumns(dataset, kind=kind)
        columns.name = name if len(kinds) == 1 else f"{name}/{kind}"
        result.append(TrainingSet(dataset, columns, spec.in_batch, spec.weight, spec.distinct_groups))
    return result


def _open(recipe: Recipe, spec: DataSpec, progress: Progress) -> "Dataset":
    """A data set by its format: a saved dataset, a table, documents, or docstrings."""
    from vecsmith.data.dataset import Dataset

    if spec.path.startswith("docstrings:"):
        from vecsmith.data.read import read

        dataset = read(spec.path, limit=spec.limit)
    else:
        path = recipe.locate(spec.path)
        if (path / "dataset.json").exists():
            dataset = Dataset.open(path)
        else:
            from vecsmith.data.read import read

            dataset = read(path, **spec.columns)
    return dataset.split(spec.split) if spec.split else dataset
