"""What a recipe would do: data, steps, batches, before anything is trained."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.progress import SILENT, Progress
from vecsmith.training.recipe import Recipe
from vecsmith.training.sets import of_stage, open_sets

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from vecsmith.data.sampler import EpochSampler
    from vecsmith.training.collate import TrainingSet

__all__ = ["plan"]


def plan(recipe: Recipe, *, progress: Progress = SILENT) -> dict[str, Any]:
    """Open the recipe's data, check every argument, and say what each stage would do.

    returns   JSON: name, model, data [{name, kind, records, usable, lone_classes}], stages [{name, objectives,
              batch_size, batch_tokens, steps, pairs, left_out, epoch: {name: {batches, turns}}, freeze}]; an epoch goes
              `turns` times through a set's records, beside those that it lends to mixed batches (name "mixed")
    raises    as `fit` before its first step
    """
    from vecsmith.training.needs import check_needs
    from vecsmith.training.prepare import supplied

    sets = open_sets(recipe, None, progress)
    chosen = [of_stage(recipe, number, sets) for number in range(len(recipe.stages))]
    for number, each in enumerate(chosen):
        check_needs(recipe, number, each, supplied(recipe))
    stages = [_stage(recipe, number, each) for number, each in enumerate(chosen)]
    data = [
        {
            "name": each.columns.name,
            "kind": each.columns.kind,
            "records": len(each.columns),
            "usable": len(each.columns.usable),
            "lone_classes": len(each.columns.lone),
        }
        for each in sets
    ]
    return {"name": recipe.name, "model": recipe.model.base, "data": data, "stages": stages}


def _stage(recipe: Recipe, number: int, sets: "list[TrainingSet]") -> dict[str, Any]:
    from vecsmith.data.sampler import EpochSampler
    from vecsmith.training.collate import source_of
    from vecsmith.training.fit import training_arguments
    from vecsmith.training.lengths import with_tokens
    from vecsmith.training.objective import StageObjective

    stage = recipe.stages[number]
    arguments = training_arguments(recipe, number, Path("unused"))
    StageObjective(stage.objective, stage.wrap)
    if stage.sampling.batch_tokens:
        sets = with_tokens(sets, _start(recipe), recipe.prompts)
    size, every = arguments.train_batch_size * arguments.world_size, arguments.gradient_accumulation_steps
    sampler = EpochSampler(
        [source_of(each) for each in sets],
        batch_size=size,
        seed=arguments.data_seed if arguments.data_seed is not None else arguments.seed,
        **stage.sampling.model_dump(),
    )
    updates = max(-(-len(sampler) // every), 1)
    steps = arguments.max_steps if arguments.max_steps > 0 else round(arguments.num_train_epochs * updates)
    batches = steps // updates * len(sampler) + min(steps % updates * every, len(sampler))
    return {
        "name": stage.name,
        "objectives": {kind: [next(iter(each)) for each in terms] for kind, terms in stage.objective.items()},
        "batch_size": size * every,
        "batch_tokens": stage.sampling.batch_tokens,
        "steps": steps,
        "pairs": sampler.rows_in(batches),
        "left_out": sampler.left_out(),
        "epoch": _epoch(sampler),
        "freeze": stage.freeze,
    }


def _epoch(sampler: "EpochSampler") -> dict[str, dict[str, float]]:
    counts = Counter("mixed" if draw.datasets is not None else draw.dataset for draw in sampler.plan(0))
    found: dict[str, dict[str, float]] = {
        source.name: {"batches": counts[number], "turns": round(turns, 4)}
        for number, (source, turns) in enumerate(zip(sampler.sources, sampler.shares(), strict=True))
    }
    return {**found, "mixed": {"batches": counts["mixed"]}} if counts["mixed"] else found


def _start(recipe: Recipe) -> "SentenceTransformer":
    """The base model, whose tokenizer counts what a budget is spent on."""
    from vecsmith.models.load import load

    model = load(recipe.model.base)
    if recipe.model.max_seq_length:
        model.max_seq_length = recipe.model.max_seq_length
    return model
