"""Parameters that are not trained: of the whole run, or of one stage."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vecsmith.training.recipe import Recipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["freeze", "frozen_in_stage"]


def freeze(recipe: Recipe, model: "SentenceTransformer") -> None:
    """Set what `model.freeze` names: parameters whose name holds the pattern are not trained.

    raises   RecipeError: a pattern that is in no name
    """
    for number, pattern in enumerate(recipe.model.freeze):
        _freeze(recipe, model, pattern, "model", "freeze", number)


@contextmanager
def frozen_in_stage(recipe: Recipe, number: int, model: "SentenceTransformer") -> Iterator[None]:
    """What the stage's `freeze` names is not trained inside of the block.

    raises   RecipeError: a pattern that is in no name, or nothing left to train
    """
    patterns: Sequence[str] = recipe.stages[number].freeze
    before = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    try:
        for place, pattern in enumerate(patterns):
            _freeze(recipe, model, pattern, "stages", number, "freeze", place)
        if patterns and not any(parameter.requires_grad for parameter in model.parameters()):
            raise recipe.error("this freezes every parameter; nothing is left to train", "stages", number, "freeze")
        yield
    finally:
        for name, parameter in model.named_parameters():
            if name in before:
                parameter.requires_grad_(True)


def _freeze(recipe: Recipe, model: "SentenceTransformer", pattern: str, *path: str | int) -> None:
    named = [parameter for name, parameter in model.named_parameters() if pattern in name]
    if not named:
        raise recipe.error(f'no parameter has "{pattern}" in its name', *path)
    for parameter in named:
        parameter.requires_grad_(False)
