"""Run the stages of a recipe: a start model and data to a model folder. Killed, it goes on from its last checkpoint."""

import difflib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.atomic import disk_errors, write_json, write_text
from vecsmith.errors import ContractError, MissingExtra
from vecsmith.progress import SILENT, Progress
from vecsmith.training.adapters import add_adapter, merge_adapters
from vecsmith.training.card import card
from vecsmith.training.freezing import freeze, frozen_in_stage
from vecsmith.training.lock import make_lock, write_lock
from vecsmith.training.recipe import Recipe, StageSpec
from vecsmith.training.run_folder import RunFolder, barrier, is_first

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from vecsmith.data.dataset import Dataset
    from vecsmith.training.collate import TrainingSet

__all__ = ["fit"]

Judge = Callable[["SentenceTransformer"], Any]


def fit(
    recipe: Recipe,
    *,
    data: "Mapping[str, Dataset] | None" = None,
    output: Path | str,
    model: "SentenceTransformer | None" = None,
    judge: Judge | None = None,
    progress: Progress = SILENT,
    resume: bool = True,
    force: bool = False,
) -> Path:
    """Train by a recipe and write the model folder.

    data      name -> Dataset; None opens what the recipe's `data` names. A name that the recipe has keeps the
              recipe's options (kind, weight, in_batch, ...)
    output    the folder to make: model, recipe.yaml (resolved), recipe.lock.yaml, README.md, embedding.json
    model     the start model; None loads `model.base`
    judge     called with the model after each stage; a number, or something with `to_dict`, kept in the card
    resume    goes on from the last complete checkpoint of a killed run; a finished run is returned as it is
    force     goes on, or starts over a finished run, although the recipe has changed
    returns   `output`
    raises    RecipeError, NotEnoughData, DataError: the recipe or its data cannot be trained with
              UsageError: `output` holds something else, or a run of another recipe (the diff is shown)
              Diverged: a loss that is not finite; MissingExtra: accelerate or datasets are not installed
    """
    _require_training()
    _join_ranks()
    from vecsmith.training.needs import check_needs
    from vecsmith.training.prepare import prepared, supplied
    from vecsmith.training.sets import of_stage, open_sets

    output = Path(output)
    run = RunFolder(recipe, output, output.with_name(f".{output.name}.run"))
    if not is_first():
        progress = SILENT
    sets = open_sets(recipe, data, progress)
    for number in range(len(recipe.stages)):  # what cannot be trained is refused before anything is computed
        check_needs(recipe, number, of_stage(recipe, number, sets), supplied(recipe))
    lock_data = {
        each.columns.name: {
            "kind": each.columns.kind,
            "records": len(each.columns),
            "fingerprint": each.dataset.fingerprint(),
        }
        for each in sets
    }
    for each in sets:
        if each.columns.lone.size:
            progress.say(
                f"dataset {each.columns.name}: {len(each.columns.lone):,} classes have one text; it is lent as a "
                "negative and never a row"
            )
    if run.check(lock_data, resume=resume, force=force) == "finished":
        progress.say(f"{output} is finished and nothing has changed")
        return output
    start = time.monotonic()
    sets = prepared(recipe, sets, run.work, progress)
    taught = _with_teachers(recipe, sets, run, progress)
    chosen = [of_stage(recipe, number, taught) for number in range(len(recipe.stages))]
    encoder, base = _start_model(recipe, model, taught)
    stages = run.stages()
    for number, stage in enumerate(recipe.stages):
        if number < len(stages):
            run.load_stage(encoder, number)
            continue
        facts = _train_stage(recipe, number, stage, encoder, chosen[number], run, progress)
        judged: Any = judge(encoder) if judge else None
        facts["judged"] = judged.to_dict() if hasattr(judged, "to_dict") else judged
        stages = run.finish_stage(encoder, number, facts)
    lock = make_lock(recipe.to_yaml(), seed=recipe.seed, base=base, data=lock_data)
    _write_model(recipe, encoder, lock, stages, run)
    progress.say(f"trained in {time.monotonic() - start:.0f} s: {output}")
    return output


def _train_stage(
    recipe: Recipe,
    number: int,
    stage: StageSpec,
    encoder: "SentenceTransformer",
    sets: "list[TrainingSet]",
    run: RunFolder,
    progress: Progress,
) -> dict[str, Any]:
    """One stage, from its last checkpoint where there is one; returns its facts."""
    from vecsmith.training.lengths import with_tokens
    from vecsmith.training.objective import StageObjective
    from vecsmith.training.tally import removed
    from vecsmith.training.trainer import BatchTrainer, last_checkpoint

    folder = run.work / f"stage-{number}"
    arguments = training_arguments(recipe, number, folder)
    if stage.relative_rate:
        scale = run.weight_scale(encoder, number)
        arguments.learning_rate *= scale
        arguments.adam_epsilon /= scale  # gradients of cosines shrink as weights grow
    if stage.sampling.batch_tokens:
        sets = with_tokens(sets, encoder, recipe.prompts)
    start = time.monotonic()
    with frozen_in_stage(recipe, number, encoder), progress.task(f"training {stage.name}", unit="steps") as task:
        trainer = BatchTrainer(
            encoder,
            arguments,
            sets,
            StageObjective(stage.objective, stage.wrap),
            prompts=dict(recipe.prompts),
            mini_batch_size=stage.cache,
            save_seconds=stage.checkpoint_seconds,
            sampling=stage.sampling,
            task=task,
        )
        checkpoint = last_checkpoint(folder)
        if checkpoint:
            progress.say(f"going on from {checkpoint.name}")
        with disk_errors(folder):
            result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    datasets = trainer.tally.facts()
    for name, numbers in datasets.items():
        if gone := removed(numbers):
            progress.say(f"{stage.name}, {name}: pairs removed as no negatives: {gone}")
    return {
        "name": stage.name,
        "steps": int(result.global_step),
        "seconds": round(time.monotonic() - start, 2),
        "loss": round(float(result.training_loss), 6),
        "pairs": trainer.tally.rows,
        "datasets": datasets,
    }


def training_arguments(recipe: Recipe, number: int, folder: Path) -> Any:
    """The stage's `train` as SentenceTransformerTrainingArguments; what is not said has quiet, local defaults.

    raises   RecipeError: a name that TrainingArguments has not, or a value it refuses
    """
    from dataclasses import fields

    import torch
    from sentence_transformers import SentenceTransformerTrainingArguments

    from vecsmith.training.encoding import world

    given = recipe.stages[number].train
    known = {each.name for each in fields(SentenceTransformerTrainingArguments)} - {"output_dir"}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise recipe.error(
                f'unknown key "{name}" in train{hint} (it takes the names of TrainingArguments)',
                "stages",
                number,
                "train",
                name,
            )
    quiet = {
        "seed": recipe.seed,
        "save_strategy": "no",
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_strategy": "steps",
        "logging_steps": 20,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": False,
        # Said outright: on a machine without an accelerator it would otherwise not join the process group of torchrun.
        "use_cpu": not torch.accelerator.is_available(),
    }
    try:
        arguments = SentenceTransformerTrainingArguments(output_dir=str(folder), **{**quiet, **given})
        ranks = arguments.world_size
    except (TypeError, ValueError) as error:
        raise recipe.error(f"TrainingArguments refuses this: {error}", "stages", number, "train") from error
    if ranks != world()[1]:
        raise recipe.error(
            f"TrainingArguments sees {ranks} processes, the process group has {world()[1]}: gradients would not be "
            "summed. Leave use_cpu out, or set it as the machine is",
            "stages",
            number,
            "train",
        )
    return arguments


def _with_teachers(
    recipe: Recipe, sets: "list[TrainingSet]", run: RunFolder, progress: Progress
) -> "list[TrainingSet]":
    """The sets, those whose data name a teacher with its vectors; encoded once, kept in the run's folder."""
    from vecsmith.training.distillation import with_teacher

    teachers = {spec.set_name: spec.teacher for spec in recipe.data}
    taught = []
    for number, each in enumerate(sets):
        teacher = teachers.get(each.columns.name.split("/")[0])
        folder = run.work / f"teacher-{number}"
        taught.append(with_teacher(each, teacher, folder, progress) if teacher else each)
    return taught


def _start_model(
    recipe: Recipe, model: "SentenceTransformer | None", sets: "list[TrainingSet]"
) -> "tuple[SentenceTransformer, dict[str, Any]]":
    """The model to train, its modules, adapters and frozen parts set, and what the lock says of it."""
    from transformers import set_seed

    set_seed(recipe.seed)
    if model is None:
        from vecsmith.models.load import load

        model = load(recipe.model.base)
    base = {"name": recipe.model.base, **_facts_of(model)}
    if recipe.model.modules:
        from vecsmith.training.distillation import built_start

        model = built_start(model, recipe.model.modules, sets)
    if recipe.model.max_seq_length:
        model.max_seq_length = recipe.model.max_seq_length
    if recipe.prompts:
        model.prompts = {**model.prompts, **recipe.prompts}
    if recipe.model.peft:
        try:
            add_adapter(model, recipe.model.peft)
        except (TypeError, ValueError) as error:
            raise recipe.error(f"LoraConfig refuses this: {error}", "model", "peft") from error
    freeze(recipe, model)
    return model, base


def _facts_of(model: "SentenceTransformer") -> dict[str, Any]:
    """Fingerprint and licence of a start model that has a contract; nothing for one built in memory."""
    try:
        contract: Any = model.contract
    except (AttributeError, ContractError):
        return {"fingerprint": None}
    licence = contract.record.get("licence")
    return {"fingerprint": contract.fingerprint, **({"licence": licence} if licence else {})}


def _write_model(
    recipe: Recipe, encoder: "SentenceTransformer", lock: dict[str, Any], stages: list[dict[str, Any]], run: RunFolder
) -> None:
    """The model folder, whole or not at all; written by rank 0."""
    from vecsmith.models.save import save

    if is_first():
        encoder.eval()
        merge_adapters(encoder)
        lineage = (recipe.model.base,)
        save(encoder, run.output, name=recipe.name, licence=recipe.licence, lineage=lineage, replace=True)
        facts = {
            "dimension": encoder.get_embedding_dimension(),
            "max_length": encoder.max_seq_length,
            "stages": stages,
        }
        write_text(run.output / "README.md", card(recipe, lock, facts))
        write_text(run.output / "recipe.yaml", recipe.to_yaml())
        write_json(run.output / "training.json", {"stages": stages})
        write_lock(run.output, lock)  # last: a folder with a lock is finished
        shutil.rmtree(run.work, ignore_errors=True)
    barrier()


def _join_ranks() -> None:
    """Under torchrun, set up the process group now: files are written by the first rank only."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available())


def _require_training() -> None:
    try:
        import accelerate  # noqa: F401
        import datasets  # noqa: F401
    except ImportError as error:
        raise MissingExtra("train", "training") from error
