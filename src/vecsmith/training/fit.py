"""Run the stages of a recipe: a start model and data to a model folder. Killed, it goes on from its last checkpoint."""

import difflib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.atomic import write_json, write_text
from vecsmith.errors import MissingExtra, UsageError
from vecsmith.progress import SILENT, Progress
from vecsmith.training.card import card
from vecsmith.training.lock import make_lock, read_lock, recipe_hash, write_lock
from vecsmith.training.recipe import Recipe, StageSpec

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
    from vecsmith.training.sets import open_sets

    output = Path(output)
    run = _Run(recipe, output, output.with_name(f".{output.name}.run"))
    sets = open_sets(recipe, data, progress)
    lock_data = {
        each.columns.name: {
            "kind": each.columns.kind,
            "records": len(each.columns),
            "fingerprint": each.dataset.fingerprint(),
        }
        for each in sets
    }
    if run.check(lock_data, resume=resume, force=force) == "finished":
        progress.say(f"{output} is finished and nothing has changed")
        return output
    start = time.monotonic()
    encoder, base = _start_model(recipe, model)
    stages = run.stages()
    for number, stage in enumerate(recipe.stages):
        chosen = [each for each in sets if stage.data is None or each.columns.name in stage.data]
        if number < len(stages):
            run.load_stage(encoder, number)
            continue
        facts = _train_stage(recipe, number, stage, encoder, chosen, run, progress)
        judged = judge(encoder) if judge else None
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
    run: "_Run",
    progress: Progress,
) -> dict[str, Any]:
    """One stage, from its last checkpoint where there is one; returns its facts."""
    from vecsmith.training.objective import StageObjective
    from vecsmith.training.trainer import BatchTrainer, last_checkpoint

    folder = run.work / f"stage-{number}"
    arguments = training_arguments(recipe, number, folder)
    start = time.monotonic()
    with progress.task(f"training {stage.name}", unit="steps") as task:
        trainer = BatchTrainer(
            encoder,
            arguments,
            sets,
            StageObjective(stage.objective),
            prompts=dict(recipe.prompts),
            mini_batch_size=stage.cache,
            save_seconds=stage.checkpoint_seconds,
            task=task,
        )
        checkpoint = last_checkpoint(folder)
        if checkpoint:
            progress.say(f"going on from {checkpoint.name}")
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return {
        "name": stage.name,
        "steps": int(result.global_step),
        "seconds": round(time.monotonic() - start, 2),
        "loss": round(float(result.training_loss), 6),
        "pairs": int(result.global_step) * trainer.sampler.batch_size * arguments.gradient_accumulation_steps,
    }


def training_arguments(recipe: Recipe, number: int, folder: Path) -> Any:
    """The stage's `train` as SentenceTransformerTrainingArguments; what is not said has quiet, local defaults.

    raises   RecipeError: a name that TrainingArguments has not, or a value it refuses
    """
    from dataclasses import fields

    from sentence_transformers import SentenceTransformerTrainingArguments

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
    }
    try:
        return SentenceTransformerTrainingArguments(output_dir=str(folder), **{**quiet, **given})
    except (TypeError, ValueError) as error:
        raise recipe.error(f"TrainingArguments refuses this: {error}", "stages", number, "train") from error


def _start_model(recipe: Recipe, model: "SentenceTransformer | None") -> "tuple[SentenceTransformer, dict[str, Any]]":
    """The model to train, its adapters and frozen parts set, and what the lock says of it."""
    from transformers import set_seed

    set_seed(recipe.seed)
    if model is None:
        from vecsmith.models.load import load

        model = load(recipe.model.base)
    contract = getattr(model, "contract", None)
    base = {"name": recipe.model.base, "fingerprint": getattr(contract, "fingerprint", None)}
    if contract is not None and (licence := contract.record.get("licence")):
        base["licence"] = licence
    if recipe.model.max_seq_length:
        model.max_seq_length = recipe.model.max_seq_length
    if recipe.prompts:
        model.prompts = {**model.prompts, **recipe.prompts}
    if recipe.model.peft:
        _add_adapter(recipe, model)
    for number, pattern in enumerate(recipe.model.freeze):
        _freeze(recipe, model, pattern, number)
    return model, base


def _add_adapter(recipe: Recipe, model: "SentenceTransformer") -> None:
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise MissingExtra("dev", "a recipe with model.peft") from error
    try:
        model.add_adapter(LoraConfig(**(recipe.model.peft or {})))
    except (TypeError, ValueError) as error:
        raise recipe.error(f"LoraConfig refuses this: {error}", "model", "peft") from error


def _freeze(recipe: Recipe, model: "SentenceTransformer", pattern: str, number: int) -> None:
    """Parameters whose name contains the pattern are not trained."""
    names = [name for name, _ in model.named_parameters() if pattern in name]
    if not names:
        raise recipe.error(f'no parameter has "{pattern}" in its name', "model", "freeze", number)
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.requires_grad_(False)


def _write_model(
    recipe: Recipe, encoder: "SentenceTransformer", lock: dict[str, Any], stages: list[dict[str, Any]], run: "_Run"
) -> None:
    """The model folder, whole or not at all; written by rank 0."""
    from vecsmith.training.encoding import world

    if world()[0] == 0:
        encoder.eval()
        run.output.parent.mkdir(parents=True, exist_ok=True)
        encoder.save(str(run.output))
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
    _barrier()


@dataclass(frozen=True)
class _Run:
    """A run's own folder beside its output: the resolved recipe, finished stages, checkpoints."""

    recipe: Recipe
    output: Path
    work: Path

    def check(self, data: Mapping[str, Any], *, resume: bool, force: bool) -> str:
        """ "finished", "going on" or "new"; a changed recipe or other data are refused with what changed."""
        text, now = self.recipe.to_yaml(), {name: each["fingerprint"] for name, each in data.items()}
        lock = read_lock(self.output)
        if self.output.exists() and any(self.output.iterdir()) and lock is None and not force:
            raise UsageError(f"{self.output} is there and is no model of vecsmith train; choose another --output")
        if lock is not None and resume:
            before = {name: each["fingerprint"] for name, each in lock["data"].items()}
            if lock["recipe"] == recipe_hash(text) and before == now:
                return "finished"
            if not force:
                old = (self.output / "recipe.yaml").read_text(encoding="utf-8")
                raise UsageError(_changed(self.output, old, text, before, now))
        state = self._state()
        if state and resume:
            if (state["recipe"] != text or state["data"] != now) and not force:
                raise UsageError(_changed(self.output, state["recipe"], text, state["data"], now))
            if state["recipe"] == text and state["data"] == now:
                return "going on"
        if _first():
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir(parents=True)
            write_json(self.work / "run.json", {"recipe": text, "data": now, "stages": []})
        _barrier()
        return "new"

    def stages(self) -> list[dict[str, Any]]:
        """Facts of the finished stages."""
        return list((self._state() or {"stages": []})["stages"])

    def finish_stage(self, encoder: "SentenceTransformer", number: int, facts: dict[str, Any]) -> list[dict[str, Any]]:
        """Keep the weights after a stage, then say that it is finished, then drop its checkpoints."""
        from safetensors.torch import save_file

        from vecsmith.training.trainer import own_copies, trained

        state = self._state() or {"stages": []}
        state["stages"] = [*state["stages"][:number], facts]
        if _first():
            self.work.mkdir(parents=True, exist_ok=True)
            save_file(own_copies(trained(encoder)), self.work / f"stage-{number}.safetensors")
            write_json(self.work / "run.json", state)
            shutil.rmtree(self.work / f"stage-{number}", ignore_errors=True)
        _barrier()
        return list(state["stages"])

    def load_stage(self, encoder: "SentenceTransformer", number: int) -> None:
        """The weights after a finished stage."""
        from vecsmith.training.trainer import load_trained

        load_trained(encoder, self.work / f"stage-{number}.safetensors")

    def _state(self) -> dict[str, Any] | None:
        try:
            value: dict[str, Any] = json.loads((self.work / "run.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return value


def _changed(output: Path, old: str, new: str, old_data: Mapping[str, Any], new_data: Mapping[str, Any]) -> str:
    lines = list(
        difflib.unified_diff(old.splitlines(), new.splitlines(), "the run's recipe", "this recipe", "", "", 1, "")
    )
    data = [name for name in {**old_data, **new_data} if old_data.get(name) != new_data.get(name)]
    what = "\n".join(lines) + (f"\ndata that changed: {', '.join(data)}" if data else "")
    return f"{output} is a run of another recipe or other data:\n{what}\nStart over with --force, or choose another --output"


def _first() -> bool:
    from vecsmith.training.encoding import world

    return world()[0] == 0


def _barrier() -> None:
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()


def _require_training() -> None:
    try:
        import accelerate  # noqa: F401
        import datasets  # noqa: F401
    except ImportError as error:
        raise MissingExtra("train", "training") from error
