"""Can the data of a stage feed its objectives? Said before training starts, with the column and the way out.

What an objective needs stands in its module as `NEEDS`, a literal dict that is read and never imported: keys "name", or
"name.option" for what an option needs where it is given; values out of `WAYS`.
"""

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vecsmith.errors import RecipeError
from vecsmith.training.collate import TrainingSet, source_of
from vecsmith.training.recipe import Entry, Recipe
from vecsmith.training.resolve import home_of

__all__ = ["check_needs", "needs_of"]

WAYS = {
    "positives": "name the column of answers (columns: {positives: ...}), or train it with another objective",
    "negatives": "mine some (vecsmith mine), or name their column (columns: {negatives: ...})",
    "scores": "name the column of grades (columns: {scores: ...})",
    "teacher_scores": "let a teacher score the records (vecsmith data score)",
    "label": "name the column of classes (columns: {label: ...})",
    "teacher": "name a model whose vectors guide it (teacher: MODEL at the data set)",
}


def check_needs(
    recipe: Recipe, number: int, sets: Sequence[TrainingSet], supplied: Mapping[str, set[str]] | None = None
) -> None:
    """Every objective of a stage against every set that it will be trained on.

    sets      those of the stage (`of_stage`)
    supplied  name of a data set -> columns that it will have by the time of training
    raises    RecipeError: names the line, the objective, the dataset and the column that it lacks; class data of one
              class; a share to mix where no two sets agree
    """
    stage = recipe.stages[number]
    for each in sets:
        kind, name = each.columns.kind, each.columns.name
        there = present(each) | set((supplied or {}).get(name.split("/")[0], ()))
        for turn, entry in enumerate(stage.objective[kind]):
            path = ("stages", number, "objective", kind, turn)
            for need, reason in _needs(recipe, entry, each, path).items():
                if need not in there:
                    raise recipe.error(
                        f"{reason} needs {need.replace('_', ' ')}, and {_lack(each, need)}; {WAYS[need]}",
                        *path,
                        next(iter(entry)),
                    )
        _check_classes(recipe, each)
    _check_mixing(recipe, number, sets)


def present(training_set: TrainingSet) -> set[str]:
    """Which of the needs at least one usable record of the set meets."""
    columns = training_set.columns
    usable = columns.usable
    found = {
        "positives": columns.kind != "plain",
        "negatives": bool((np.diff(columns.negatives.offsets)[usable] > 0).any()),
        "label": bool((columns.classes[usable] >= 0).any()),
        "teacher": training_set.taught is not None or training_set.teacher is not None,
    }
    for name in ("scores", "teacher_scores"):
        lists = getattr(columns, name)
        found[name] = lists is not None and bool((np.diff(lists.offsets)[usable] > 0).any())
    return {name for name, there in found.items() if there}


def needs_of(name: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Need -> what asks for it, "name" or "name with option", of an objective with these options."""
    found: dict[str, str] = {}
    for key, needs in _declared(home_of("objectives", name)).items():
        asked, _, option = key.partition(".")
        if asked == name and (not option or options.get(option) not in (0, None, False)):
            for need in needs:
                found.setdefault(need, f"{name} with {option}" if option else name)
    return found


def _needs(recipe: Recipe, entry: Entry, each: TrainingSet, path: tuple[str | int, ...]) -> dict[str, str]:
    ((name, given),) = entry.items()
    options = given or {}
    if name != "stock_loss":
        return needs_of(name, options)
    from vecsmith.objectives.stock_catalogue import check_stock_loss, stock_needs

    stock = str(options.get("name", ""))
    try:
        check_stock_loss(stock, options.get("options"), in_batch=each.in_batch)
    except RecipeError as error:
        raise recipe.error(str(error), *path, name) from None
    return dict.fromkeys(stock_needs(stock), stock)


@cache
def _declared(file: Path) -> dict[str, tuple[str, ...]]:
    """The literal `NEEDS` of a module, read and not imported; none where it has none."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "NEEDS" for target in node.targets):
            return dict(ast.literal_eval(node.value))
    return {}


def _lack(each: TrainingSet, need: str) -> str:
    where = f"dataset {each.columns.name} (kind {each.columns.kind})"
    if need == "teacher":
        return f"{where} names no teacher"
    return f'none of {len(each.columns.usable):,} usable records of {where} has any in column "{need}"'


def _check_classes(recipe: Recipe, each: TrainingSet) -> None:
    columns = each.columns
    if columns.kind != "class" or len(columns.negatives.values):
        return
    classes = np.unique(columns.classes[np.concatenate([columns.usable, columns.lone])])
    if len(classes) < 2:
        raise recipe.error(
            f"dataset {columns.name}: all {len(columns.usable):,} usable records have the same class in column "
            '"label"; there is nothing to tell it apart from. Add records of another class, or leave the set out',
            *_place(recipe, columns.name),
        )


def _place(recipe: Recipe, name: str) -> tuple[str | int, ...]:
    """Where the recipe names a data set."""
    wanted = name.split("/")[0]
    for number, spec in enumerate(recipe.data):
        if wanted in (spec.name, spec.path, Path(spec.path).stem):
            return ("data", number)
    return ("data",)


def _check_mixing(recipe: Recipe, number: int, sets: Sequence[TrainingSet]) -> None:
    share = recipe.stages[number].sampling.mixed_share
    agreeing = [source_of(each).mixes for each in sets]
    if share and len(set(agreeing)) == len(agreeing):
        words = ", ".join(f"{each.columns.name}: kind {each.columns.kind}, in_batch {each.in_batch}" for each in sets)
        raise recipe.error(
            f"mixed_share is {share}, but no two sets of this stage agree in kind, in_batch and teacher ({words}); "
            "leave it out",
            "stages",
            number,
            "sampling",
            "mixed_share",
        )
