"""Fit a start model to the pairs of a source, by the recipe `forge`; and measure beforehand how fast that goes."""

import json
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vecsmith.atomic import write_text
from vecsmith.contract.folder import read_model_folder
from vecsmith.data.dataset import Dataset
from vecsmith.forging.plan import ModelPlan, Rates
from vecsmith.models.encoder import Encoder
from vecsmith.models.names import resolve_name
from vecsmith.models.static import is_static
from vecsmith.progress import SILENT, Progress
from vecsmith.training.fit import fit
from vecsmith.training.recipe import Recipe, load_recipe

__all__ = ["fit_model", "forge_recipe", "measure_rates", "slug_of"]

SAMPLE = 4096
SECONDS = 1.0
FEWEST_TIMED = 16


def slug_of(model: str) -> str:
    """A folder name for a model's name or path; two paths with one last part stay apart by the caller's numbering.

    >>> slug_of("models/My Model.v2")
    'my-model-v2'
    """
    return re.sub(r"[^a-z0-9]+", "-", Path(model).name.lower()).strip("-") or "model"


def forge_recipe(model: str, *, data: str, seed: int, steps: int | None = None, batch_size: int | None = None) -> Recipe:
    """The recipe `forge` for one start model: static models and transformers have their own settings.

    data   path of the dataset, relative to where the recipe will lie
    """
    folder = resolve_name(model)
    overrides = [
        f"name=forge_{slug_of(model).replace('-', '_')}",
        f"seed={seed}",
        f"model.base={json.dumps(model)}",
        f"data=[{{path: {json.dumps(data)}, name: pairs, split: train, kind: retrieval}}]",
    ]
    overrides += [f"stages.0.train.max_steps={steps}"] if steps else []
    overrides += [f"stages.0.train.per_device_train_batch_size={batch_size}"] if batch_size else []
    return load_recipe("forge", None if is_static(read_model_folder(folder)) else "transformer", overrides)


def measure_rates(
    model: str, encoder: Encoder, dataset: Dataset, texts: Sequence[str], *, seed: int, progress: Progress = SILENT
) -> Rates:
    """Documents encoded and steps trained per wall second on this machine, each measured for about a second or two.

    dataset   its "train" split is what the steps are taken from; too few records give the rate of none
    texts     some documents, more than one batch
    """
    train = forge_recipe(model, data="data", seed=seed).stages[0].train
    batch_size, epochs = int(train["per_device_train_batch_size"]), float(train["num_train_epochs"])
    with progress.task(f"Measure {model}") as task:
        documents = _documents_per_second(encoder, texts[:SAMPLE])
        task.note(f"{documents:,.0f} documents a second")
        steps = _steps_per_second(model, dataset, min(batch_size, max(2, dataset.records.num_rows)), seed)
        task.note(f"{documents:,.0f} documents and {steps:.3g} steps a second")
    return Rates(documents_per_second=documents, steps_per_second=steps, batch_size=batch_size, epochs=epochs)


def _documents_per_second(encoder: Encoder, texts: Sequence[str]) -> float:
    """Growing samples, until one takes long enough to be trusted."""
    encoder.encode_document(list(texts[:FEWEST_TIMED]))  # what happens only once is not a rate
    count = FEWEST_TIMED
    while True:
        start = time.monotonic()
        encoder.encode_document(list(texts[:count]))
        seconds = max(time.monotonic() - start, 1e-6)
        if seconds >= SECONDS / 2 or count >= len(texts):
            return min(count, len(texts)) / seconds
        count = min(len(texts), max(2 * count, int(count * SECONDS / seconds)))


def _steps_per_second(model: str, dataset: Dataset, batch_size: int, seed: int) -> float:
    """From two short runs: what differs is steps alone, not starting up or saving."""
    static = is_static(read_model_folder(resolve_name(model)))
    few, many = (2, 12) if static else (1, 3)
    seconds = []
    with tempfile.TemporaryDirectory(prefix="vecsmith-measure-") as folder:
        for turn, steps in enumerate((few, few, many)):
            recipe = forge_recipe(model, data="data", seed=seed, steps=steps, batch_size=batch_size)
            start = time.monotonic()
            fit(recipe, data={"pairs": dataset}, output=Path(folder) / f"run-{turn}")
            seconds.append(time.monotonic() - start)
            shutil.rmtree(Path(folder) / f"run-{turn}")
    return (many - few) / max(seconds[2] - seconds[1], 1e-3)


def fit_model(
    plan: ModelPlan, folder: Path, *, work: Path, seed: int, progress: Progress = SILENT
) -> dict[str, Any]:
    """Train and write the model folder; a killed run goes on from its last checkpoint.

    work      holds `data`, the dataset; the recipe is written beside it
    returns   JSON: steps, seconds, loss, pairs, as training.json of the folder says
    """
    recipe = forge_recipe(plan.model, data="data", seed=seed, steps=plan.steps, batch_size=plan.batch_size)
    file = work / f"recipe-{folder.name}.yaml"
    write_text(file, recipe.to_yaml())
    fit(load_recipe(file), output=folder, progress=progress, force=True)
    stages = json.loads((folder / "training.json").read_text(encoding="utf-8"))["stages"]
    return dict(stages[-1])
