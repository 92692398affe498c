"""What a recipe would do: data, steps, batches, before anything is trained."""

from typing import Any

from vecsmith.progress import SILENT, Progress
from vecsmith.training.recipe import Recipe
from vecsmith.training.sets import of_stage, open_sets

__all__ = ["plan"]


def plan(recipe: Recipe, *, progress: Progress = SILENT) -> dict[str, Any]:
    """Open the recipe's data, check every argument, and say what each stage would do.

    returns   JSON: name, model, data [{name, kind, records, usable}], stages [{name, objectives, batch_size, steps,
              pairs, left_out}]
    raises    as `fit` before its first step
    """
    from pathlib import Path

    from vecsmith.data.sampler import EpochSampler
    from vecsmith.training.fit import training_arguments
    from vecsmith.training.objective import StageObjective
    from vecsmith.training.trainer import source_of

    sets = open_sets(recipe, None, progress)
    stages = []
    for number, stage in enumerate(recipe.stages):
        arguments = training_arguments(recipe, number, Path("unused"))
        StageObjective(stage.objective, stage.wrap)
        chosen = of_stage(recipe, number, sets)
        size = arguments.train_batch_size * arguments.world_size
        sampler = EpochSampler([source_of(each) for each in chosen], batch_size=size, seed=arguments.seed)
        updates = max(-(-len(sampler) // arguments.gradient_accumulation_steps), 1)
        steps = arguments.max_steps if arguments.max_steps > 0 else round(arguments.num_train_epochs * updates)
        stages.append(
            {
                "name": stage.name,
                "objectives": {kind: [next(iter(each)) for each in terms] for kind, terms in stage.objective.items()},
                "batch_size": size * arguments.gradient_accumulation_steps,
                "steps": steps,
                "pairs": steps * size * arguments.gradient_accumulation_steps,
                "left_out": sampler.left_out(),
            }
        )
    data = [
        {
            "name": each.columns.name,
            "kind": each.columns.kind,
            "records": len(each.columns),
            "usable": len(each.columns.usable),
        }
        for each in sets
    ]
    return {"name": recipe.name, "model": recipe.model.base, "data": data, "stages": stages}
