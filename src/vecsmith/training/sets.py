"""From the `data` of a recipe, or datasets at hand, to training sets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.data.columns import RecordColumns
from vecsmith.data.in_context import InContext
from vecsmith.errors import NotEnoughData
from vecsmith.progress import SILENT, Progress
from vecsmith.training.collate import TrainingSet
from vecsmith.training.recipe import DataSpec, Entry, Recipe

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset

__all__ = ["of_stage", "open_sets"]

# Which documents are taken and on which side they stand must not follow the recipe's seed: runs that differ in the seed
# alone would train and be judged on other data, and what one held out the next would have trained on.
DATA_SEED = 0


def open_sets(
    recipe: Recipe, data: "Mapping[str, Dataset] | None" = None, progress: Progress = SILENT
) -> list[TrainingSet]:
    """Every data set of the recipe, one training set per kind of record that some stage has an objective for.

    data     name -> Dataset; these are used in place of the recipe's own, whose options stay for equal names
    raises   RecipeError: data that is not there, no data at all; NotEnoughData: records without an objective
    """
    if data is None:
        if not recipe.data:
            raise recipe.error('no data: the recipe has no "data", and none was handed over', "data")
        opened = {spec.set_name: (spec, _open(recipe, spec, progress)) for spec in recipe.data}
    else:
        named = {spec.name or spec.path: spec for spec in recipe.data}
        opened = {name: (named.get(name) or DataSpec(path=name), dataset) for name, dataset in data.items()}
    trained_kinds: set[str] = {kind for stage in recipe.stages for kind in stage.objective}
    return [each for name, (spec, dataset) in opened.items() for each in _sets(name, spec, dataset, trained_kinds)]


def of_stage(recipe: Recipe, number: int, sets: list[TrainingSet]) -> list[TrainingSet]:
    """The sets that a stage trains on: of its `data`, where it names some, those of a kind it has an objective for.

    raises   RecipeError: a name that is no data set, or nothing left
    """
    stage, names = recipe.stages[number], {each.columns.name for each in sets}
    for place, name in enumerate(stage.data or []):
        if name not in names:
            raise recipe.error(
                f'no data set "{name}" (there are: {", ".join(sorted(names))})', "stages", number, "data", place
            )
    chosen = [each for each in sets if each.columns.kind in stage.objective]
    chosen = [each for each in chosen if stage.data is None or each.columns.name in stage.data]
    chosen = [replace(each, bucketed=_wants_buckets(stage.objective[each.columns.kind])) for each in chosen]
    if not chosen:
        kinds = ", ".join(stage.objective)
        raise recipe.error(
            f"stage {stage.name}: none of its data is of a kind it has an objective for ({kinds})",
            "stages",
            number,
            "objective",
        )
    return chosen


def _sets(name: str, spec: DataSpec, dataset: "Dataset", trained_kinds: set[str]) -> list[TrainingSet]:
    found = [kind for kind in dataset.records.column("kind").unique().to_pylist() if kind in trained_kinds]
    kinds = [spec.kind] if spec.kind else sorted(found)
    if not kinds or not dataset.records.num_rows:
        has = sorted(set(dataset.records.column("kind").to_pylist())) or ["none"]
        raise NotEnoughData(
            f"dataset {name}: no positives to train on: its records are of kind {', '.join(has)}; "
            f"the recipe has objectives for {', '.join(sorted(trained_kinds))}"
        )
    result = []
    for kind in kinds:
        columns = RecordColumns(dataset, kind=kind)
        columns.name = name if len(kinds) == 1 else f"{name}/{kind}"
        result.append(
            TrainingSet(
                dataset,
                columns,
                in_batch=spec.in_batch,
                weight=spec.weight,
                distinct_groups=spec.distinct_groups,
                taught=spec.teacher,
                batch_size=spec.batch_size,
                cap=spec.cap,
                in_context=InContext.of(spec.in_context) if spec.in_context else None,
            )
        )
    return result


def _wants_buckets(entries: Sequence[Entry]) -> bool:
    """Whether an objective reads tables without gaps: then rows of a batch have equally many negatives."""
    if all("stock_loss" not in entry for entry in entries):
        return False
    from vecsmith.objectives.stock_catalogue import wants_buckets

    return bool(wants_buckets(entries))


def _open(recipe: Recipe, spec: DataSpec, progress: Progress) -> "Dataset":
    """What `vecsmith.read` reads, a folder of documents, `docstrings:stdlib`, or `distillation_texts`; of the split."""
    from vecsmith.data.formats import find
    from vecsmith.data.pairs.transform import TRANSFORM_OPTIONS, transformed
    from vecsmith.data.read import read

    if spec.path == "distillation_texts":
        from vecsmith.data.readers.distillation_texts import read_distillation_texts

        root = recipe.locate("wordnet").parent
        return read_distillation_texts(root, limit=spec.limit, seed=recipe.seed, progress=progress)
    path = None if spec.path.startswith("docstrings:") else recipe.locate(spec.path)
    config = spec.columns.get("config")
    found = None if path is None else find(path, format=spec.format, config=config).format
    if path is None or found == "documents" or (found == "unknown" and path.is_dir()):
        dataset = _read_source(spec.path if path is None else path, spec, progress)
    else:
        # Retrieval sets are of one kind; a kind named here only chooses their records.
        kind = None if found in ("beir", "mteb_retrieval") else spec.kind
        options: dict[str, Any] = {"kind": kind, "format": spec.format}
        columns = {
            name: value for name, value in spec.columns.items() if not (spec.transform and name in TRANSFORM_OPTIONS)
        }
        dataset = read(path, **columns, **{name: value for name, value in options.items() if value})
    dataset = dataset.split(spec.split) if spec.split else dataset
    return transformed(dataset, spec.transform, spec.columns) if spec.transform else dataset


def _read_source(source: str | Path, spec: DataSpec, progress: Progress) -> "Dataset":
    """Documents or docstrings, with the pairs that the text itself gives."""
    from vecsmith.data.dataset import Dataset
    from vecsmith.data.source import open_source
    from vecsmith.models.names import resolve_name
    from vecsmith.models.static import StaticEncoder

    count_tokens = StaticEncoder.open(resolve_name("default")).count_tokens
    found = open_source(source, limit=spec.limit, seed=DATA_SEED, count_tokens=count_tokens)
    with Dataset.build(name=found.name) as builder:
        found.write(builder, progress=progress)
        dataset = builder.finish()
    return found.settle(dataset, seed=DATA_SEED)[0]
