"""`vecsmith.train`: a recipe and data to a model folder."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.errors import UsageError
from vecsmith.progress import SILENT, Progress
from vecsmith.training.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset
    from vecsmith.models.model import Model

__all__ = ["train"]


def train(
    recipe: str | os.PathLike[str] | Recipe,
    *,
    data: "Dataset | Mapping[str, Dataset] | None" = None,
    output: str | os.PathLike[str],
    profile: str | None = None,
    overrides: Sequence[str] = (),
    data_root: str | os.PathLike[str] | None = None,
    judge: Callable[[Any], Any] | None = None,
    resume: bool = True,
    force: bool = False,
    progress: Progress = SILENT,
) -> "Model":
    """Train by a recipe and return the model, which lies at `output` with its recipe, lock and card.

    recipe      a path, the name of a recipe that ships with vecsmith, or a `Recipe`
    data        a Dataset, or several by name; None takes what the recipe names
    profile, overrides, data_root   see `load_recipe`; not with a `Recipe`
    judge       called with the model after each stage; its answer goes into the card
    resume      goes on from the last checkpoint of a killed run
    force       starts over where `output` is a run of another recipe
    raises      RecipeError, DataError, NotEnoughData, UsageError, Diverged, MissingExtra: see `training.fit`

    >>> model = train("forge", data=read("faq.csv"), output="out/model")  # doctest: +SKIP
    """
    from vecsmith.data.dataset import Dataset
    from vecsmith.models.load import load
    from vecsmith.training.fit import fit

    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, profile, overrides, data_root)
    named = {data.name: data} if isinstance(data, Dataset) else data
    _check_suites(recipe)
    folder = fit(recipe, data=named, output=Path(output), judge=judge, resume=resume, force=force, progress=progress)
    if int(os.environ.get("RANK", "0")) == 0:
        _evaluate(recipe, folder, progress)
    return load(folder)


def _check_suites(recipe: Recipe) -> None:
    """Everything that `evaluate` names is there before the first step is trained."""
    from vecsmith.evaluation.tasks import load_suite

    for number, entry in enumerate(recipe.evaluate):
        try:
            load_suite(entry.suite)
        except UsageError as error:
            raise recipe.error(str(error), "evaluate", number, "suite") from None
        if recipe.data_root is None:
            message = f'the suite "{entry.suite}" needs data: set --data-root or VECSMITH_DATA, or take it out'
            raise recipe.error(message, "evaluate", number, "suite")


def _evaluate(recipe: Recipe, folder: Path, progress: Progress) -> None:
    """Judge the model by the recipe's suites; each report goes to `evaluation/SUITE/` of the model folder."""
    from vecsmith.evaluation.evaluate import evaluate

    for entry in recipe.evaluate:
        kept = folder / "evaluation" / Path(entry.suite).stem
        report = evaluate(
            folder, entry.suite, tasks=entry.tasks, data_root=recipe.data_root, output=kept, progress=progress
        )
        progress.say(str(report))
