"""What a recipe has made of its data before it trains: mined negatives (`mine`), the scores of a teacher (`score`)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vecsmith.data.columns import RecordColumns
from vecsmith.progress import SILENT, Progress
from vecsmith.training.data_spec import DataSpec, MineSpec, ScoreSpec
from vecsmith.training.encoding import world
from vecsmith.training.recipe import Recipe
from vecsmith.training.run_folder import barrier

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset
    from vecsmith.training.collate import TrainingSet

__all__ = ["prepared", "supplied"]


def supplied(recipe: Recipe) -> dict[str, set[str]]:
    """Name of a data set -> columns that it will have by the time of training, beside those it has."""
    found = {}
    for spec in recipe.data:
        mined = {"negatives", "teacher_scores"} if spec.mine else set()
        found[spec.set_name] = mined | ({"teacher_scores"} if spec.score else set())
    return {name: columns for name, columns in found.items() if columns}


def prepared(
    recipe: Recipe, sets: "Sequence[TrainingSet]", folder: Path, progress: Progress = SILENT
) -> "list[TrainingSet]":
    """The sets, those whose data ask for it with mined negatives and teacher scores; all ranks return the same.

    folder   of the run: vectors, candidates and raw scores are kept in it, so that a killed run computes only what is
             missing
    raises   what `models.mining.mine_dataset` and `models.scorers.score_dataset` raise
    """
    asked = {spec.set_name: (number, spec) for number, spec in enumerate(recipe.data) if spec.mine or spec.score}
    made: dict[int, Dataset] = {}
    result = []
    for each in sets:
        if (entry := asked.get(each.columns.name.split("/")[0])) is None:
            result.append(each)
            continue
        number, spec = entry
        if number not in made:
            made[number] = _made(each.dataset, spec, number, folder, progress)
        columns = RecordColumns(made[number], kind=each.columns.kind)
        columns.name = each.columns.name
        result.append(replace(each, dataset=made[number], columns=columns))
    return result


def _made(dataset: "Dataset", spec: DataSpec, number: int, folder: Path, progress: Progress) -> "Dataset":
    """Mined first, so that a teacher scores what was mined."""
    if (mine := spec.mine) is not None:
        before = dataset
        dataset = _in_turn(lambda: _mined(before, mine, folder / f"mined-{number}", progress))
    if (score := spec.score) is not None:
        unscored = dataset
        dataset = _in_turn(lambda: _scored(unscored, score, folder / f"scores-{number}", progress))
    return dataset


def _mined(dataset: "Dataset", spec: MineSpec, folder: Path, progress: Progress) -> "Dataset":
    from vecsmith.data.mining import spread_margin
    from vecsmith.models.mining import MiningReport, mine_dataset

    options = spec.model_dump(exclude={"model", "rescore", "adaptive_margin"})
    if spec.adaptive_margin is not None:
        options["margin"] = spread_margin(spec.adaptive_margin)
    report = MiningReport()
    mined = mine_dataset(
        dataset, spec.model, folder=folder, scorer=spec.rescore, report=report, progress=progress, **options
    )
    progress.say(
        f"{dataset.name}: {report.negatives:,} negatives mined for {report.records:,} records; {report.short:,} have "
        f"fewer than {spec.negatives}, {report.replaced:,} given negatives were replaced"
    )
    return mined


def _scored(dataset: "Dataset", spec: ScoreSpec, folder: Path, progress: Progress) -> "Dataset":
    from vecsmith.models.scorers import score_dataset

    return score_dataset(dataset, folder=folder, progress=progress, **spec.model_dump(exclude_none=True))


def _in_turn(make: "Callable[[], Dataset]") -> "Dataset":
    """Ranks take turns: the first one computes, the others find all there."""
    own, ranks = world()
    for rank in range(ranks):
        if rank == own:
            made = make()
        barrier()
    return made
