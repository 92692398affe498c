"""Fit a start model to the pairs of a source, by the recipe `forge`; and measure beforehand how fast that goes."""

import json
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecsmith.atomic import open_atomic, write_text
from vecsmith.contract.folder import read_model_folder
from vecsmith.data.dataset import Dataset
from vecsmith.forging.plan import FEWEST_TRAIN_PAIRS, ModelPlan, Rates
from vecsmith.models.encoder import Encoder
from vecsmith.models.names import resolve_name
from vecsmith.models.static import is_static
from vecsmith.progress import SILENT, Progress
from vecsmith.training.fit import fit
from vecsmith.training.recipe import Recipe, load_recipe

__all__ = ["fit_model", "fit_or_keep", "forge_recipe", "measure_rates", "slug_of"]

SAMPLE = 4096
SECONDS = 1.0
FEWEST_TIMED = 16
CHANGED_REFITS_ABOVE = 0.05


def slug_of(model: str) -> str:
    """A folder name for a model's name or path; two paths with one last part stay apart by the caller's numbering.

    >>> slug_of("models/My Model.v2")
    'my-model-v2'
    """
    return re.sub(r"[^a-z0-9]+", "-", Path(model).name.lower()).strip("-") or "model"


def forge_recipe(
    model: str, *, data: str, seed: int, steps: int | None = None, batch_size: int | None = None
) -> Recipe:
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
    model: str,
    encoder: Encoder,
    dataset: Dataset | None,
    texts: Sequence[str],
    *,
    seed: int,
    progress: Progress = SILENT,
) -> Rates:
    """Documents encoded and steps trained per wall second on this machine, each measured for about a second or two.

    dataset   the training side; None where there are no pairs: then no step is measured, and the rate is 1
    texts     some documents, more than one batch
    """
    train = forge_recipe(model, data="data", seed=seed).stages[0].train
    batch_size, epochs = int(train["per_device_train_batch_size"]), float(train["num_train_epochs"])
    with progress.task(f"Measure {model}") as task:
        documents = _documents_per_second(encoder, texts[:SAMPLE])
        task.note(f"{documents:,.0f} documents a second")
        steps = 1.0
        if dataset is not None and dataset.records.num_rows >= FEWEST_TRAIN_PAIRS:
            steps = _steps_per_second(model, dataset, min(batch_size, dataset.records.num_rows), seed)
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
    plan: ModelPlan, model: str, folder: Path, *, work: Path, seed: int, progress: Progress = SILENT
) -> dict[str, Any]:
    """Train and write the model folder; a killed run goes on from its last checkpoint.

    model     name or path of the start model
    work      holds `data`, the dataset; the recipe is written beside it
    returns   JSON: steps, seconds, loss, pairs, as training.json of the folder says
    """
    recipe = forge_recipe(model, data="data", seed=seed, steps=plan.steps, batch_size=plan.batch_size)
    file = work / f"recipe-{folder.name}.yaml"
    write_text(file, recipe.to_yaml())
    fit(load_recipe(file), output=folder, progress=progress, force=True)
    stages = json.loads((folder / "training.json").read_text(encoding="utf-8"))["stages"]
    return dict(stages[-1])


def fit_or_keep(
    plan: ModelPlan,
    model: str,
    folder: Path,
    *,
    work: Path,
    start: str,
    seed: int,
    refit: bool,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Fit, or keep what was fitted before where the training pairs are nearly the same: then the index can be upserted.

    start    fingerprint of the start model; another one fits anew
    refit    fit in any case
    returns  as `fit_model`, with `kept_pairs`: the share of training pairs that are those it was fitted on
    """
    dataset, marks = Dataset.open(work / "data"), work / f"fitted-{folder.name}.npz"
    pairs, share = _pair_keys(dataset, ("train",)), 0.0
    if marks.exists() and (folder / "training.json").exists() and not refit:
        with np.load(marks) as before:
            # What was trained on and is held out now would flatter the model: then it is fitted anew.
            is_clean = not np.isin(_pair_keys(dataset, ("dev", "test")), before["pairs"]).any()
            if str(before["start"]) == start and is_clean:
                share = 1 - len(np.setxor1d(pairs, before["pairs"])) / max(1, len(pairs))
    if share >= 1 - CHANGED_REFITS_ABOVE:
        if share < 1:
            progress.say(
                f"{100 * (1 - share):.1f} % of the training pairs changed (under {100 * CHANGED_REFITS_ABOVE:.0f} %): "
                f"the fitted {plan.model} is kept; --refit fits anew"
            )
        facts = dict(json.loads((folder / "training.json").read_text(encoding="utf-8"))["stages"][-1])
    else:
        facts = fit_model(plan, model, folder, work=work, seed=seed, progress=progress)
        with open_atomic(marks) as file:
            np.savez(file, pairs=pairs, start=np.array(start))
        share = 1.0
    return {**facts, "kept_pairs": round(share, 4)}


def _pair_keys(dataset: Dataset, sides: Sequence[str]) -> NDArray[np.uint64]:
    """A sorted 64-bit key per distinct pair of some sides: of its query and its first positive."""
    records = dataset.records.filter(pc.is_in(dataset.records["split"], pa.array(sides)))
    if not records.num_rows:
        return np.zeros(0, dtype=np.uint64)
    positives = records["positives"].combine_chunks()
    first = np.asarray(positives.values)[np.asarray(positives.offsets)[:-1]]
    queries = dataset.keys(records["query"].to_numpy()).view(np.uint64)
    return np.unique(queries * np.uint64(0x9E3779B97F4A7C15) ^ dataset.keys(first).view(np.uint64))
