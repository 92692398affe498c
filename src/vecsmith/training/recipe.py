"""The schema of a recipe: data that says how a model is made. Loading imports no torch.

Order, later wins: extends < the file < profile < --set a.b=c.
"""

import difflib
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, Field, PrivateAttr, ValidationError, field_validator

from vecsmith.errors import RecipeError
from vecsmith.training.data_spec import DataSpec, Kind, MineSpec, ScoreSpec
from vecsmith.training.resolve import declared_options, home_of, is_wrapper
from vecsmith.training.yaml_lines import Lines, merge, read_yaml, set_value

__all__ = ["DataSpec", "ModelSpec", "Recipe", "SamplingSpec", "StageSpec", "load_recipe"]

Entry = dict[str, dict[str, Any] | None]


class ModelSpec(BaseModel, extra="forbid"):
    """Where to start: `base` is anything `vs.load` takes; `peft` is a LoRA configuration.

    modules   functions of the room "models", (model, texts, **options) -> model, called in order on the base
    """

    base: str = "default"
    modules: list[Entry] = []
    max_seq_length: int | None = Field(default=None, gt=0)
    peft: dict[str, Any] | None = None
    freeze: list[str] = []


class SamplingSpec(BaseModel, extra="forbid"):
    """How batches are drawn from several sets; see `data.sampler.EpochSampler`.

    temperature   T: a set's share of an epoch is as weight x size^T
    mixed_share   that share of the rows is drawn across sets that agree in kind, in_batch and teacher
    batch_tokens  tokens of a global batch, in place of its rows
    """

    temperature: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    mixed_share: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    batch_tokens: int | None = Field(default=None, gt=0)


class StageSpec(BaseModel, extra="forbid"):
    """One training run.

    objective            kind -> [{name: options}], a sum
    train                TrainingArguments verbatim
    relative_rate        learning_rate is a share of the root mean square of the start weights of a static model:
                         cosines do not feel the scale of its vectors, but steps of a fixed size do
    cache                inputs of a chunk for gradient caching
    checkpoint_seconds   a checkpoint so often, unless `train` has a save_strategy
    data                 names of the recipe's data; all where absent
    sampling             temperature, mixed_share, batch_tokens
    freeze               parameters whose name holds one of these are not trained in this stage
    """

    name: str = "train"
    objective: dict[str, list[Entry]]
    wrap: list[Entry] = []
    train: dict[str, Any] = {}
    relative_rate: bool = False
    cache: int | None = Field(default=None, gt=0)
    checkpoint_seconds: float | None = Field(default=30.0, ge=0)
    data: list[str] | None = None
    sampling: SamplingSpec = Field(default_factory=SamplingSpec)
    freeze: list[str] = []

    @field_validator("objective")
    @classmethod
    def _kinds(cls, value: dict[str, list[Entry]]) -> dict[str, list[Entry]]:
        return {_one_of(kind, get_args(Kind), "kind"): entries for kind, entries in value.items()}

    @field_validator("objective", "wrap", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """A bare name stands for itself without options."""
        if isinstance(value, dict):
            return {kind: cls._named(entries) for kind, entries in value.items()}
        if isinstance(value, str):
            return [{value: None}]
        if isinstance(value, list):
            return [{entry: None} if isinstance(entry, str) else entry for entry in value]
        return value


class EvaluateSpec(BaseModel, extra="forbid"):
    """A suite to judge the trained model by, whole or some of its tasks; its data lie under the data root."""

    suite: str
    tasks: list[str] | None = None


class Recipe(BaseModel, extra="forbid"):
    """A whole recipe, resolved: no `extends` and no profiles are left in it."""

    name: str
    paper: dict[str, str] | None = None
    seed: int = Field(default=0, ge=0)
    licence: str = "unknown"
    prompts: dict[str, str] = {}
    model: ModelSpec = Field(default_factory=ModelSpec)
    data: list[DataSpec] = []
    stages: list[StageSpec] = Field(min_length=1)
    merge: dict[str, Any] | None = None
    evaluate: list[EvaluateSpec] = []
    notes: str | None = None

    @field_validator("prompts")
    @classmethod
    def _sides(cls, value: dict[str, str]) -> dict[str, str]:
        return {_one_of(side, ("query", "document"), "prompt"): text for side, text in value.items()}

    _lines: Lines = PrivateAttr(default_factory=dict)
    _file: Path | None = PrivateAttr(default=None)
    _data_root: Path | None = PrivateAttr(default=None)

    @property
    def data_root(self) -> Path | None:
        """Where bare names of data sets are looked up, as the caller said or VECSMITH_DATA does."""
        return self._data_root or _environment_root()

    def error(self, message: str, *path: str | int) -> RecipeError:
        """A RecipeError that names the file and line of a key of this recipe."""
        file, line = _place(self._lines, path)
        return RecipeError(message, file=file or self._file, line=line)

    def to_yaml(self) -> str:
        """The resolved recipe, keys in the order of the schema, defaults left out."""
        values = self.model_dump(exclude_defaults=True, exclude_none=True, by_alias=True)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)

    def locate(self, path: str) -> Path:
        """The file or folder that a `path` of the recipe means; the recipe's folder, then the data root.

        raises   RecipeError: nothing there; names the places looked at
        """
        here = self._file.parent if self._file else Path.cwd()
        roots = [root for root in (self._data_root, _environment_root()) if root]
        tried = [Path(path)] if Path(path).is_absolute() else [here / path, *(root / path for root in roots)]
        for place in tried:
            if place.exists():
                return place
        hint = "" if roots else "; for a bare name set --data-root or VECSMITH_DATA"
        looked = ", ".join(map(str, tried))
        number = next((i for i, spec in enumerate(self.data) if spec.path == path), 0)
        raise self.error(f'no data at "{path}" (looked at {looked}){hint}', "data", number, "path")


def load_recipe(
    source: str | os.PathLike[str],
    profile: str | None = None,
    overrides: Sequence[str] = (),
    data_root: str | os.PathLike[str] | None = None,
) -> Recipe:
    """Read a recipe by path, or by the name of one that ships with vecsmith, and check all of it.

    profile     one of the recipe's `profiles`, laid over it
    overrides   `a.b=c` each, laid over that; the value is YAML; list items by number: `stages.0.cache=32`
    data_root   where bare names of data sets are looked up; also VECSMITH_DATA
    raises      RecipeError: with file, line, what was found, the nearest known name
    """
    file = find_recipe(source)
    values, lines = _extended(file, ())
    profiles = values.pop("profiles", {}) or {}
    if profile is not None:
        if profile not in profiles:
            known = ", ".join(profiles) or "none"
            raise RecipeError(f'no profile "{profile}"{_near(profile, profiles)} (known: {known})', file=file)
        values = merge(values, profiles[profile])
        lines |= {path[2:]: place for path, place in lines.items() if path[:2] == ("profiles", profile) and path[2:]}
    for assignment in overrides:
        set_value(values, assignment, lines)
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise _first_error(error, lines, file) from None
    recipe._lines, recipe._file = lines, file
    recipe._data_root = Path(data_root) if data_root is not None else None
    _check_objectives(recipe)
    return recipe


def find_recipe(source: str | os.PathLike[str]) -> Path:
    """A path as it is; else the recipe of this name in the package. RecipeError names the nearest."""
    path = Path(source)
    if path.suffix in (".yaml", ".yml") or path.exists():
        if path.is_dir() and (path / "recipe.yaml").exists():
            return path / "recipe.yaml"
        if not path.is_file():
            raise RecipeError("no such file", file=path)
        return path
    folder = Path(str(files("vecsmith") / "recipes"))
    shipped = sorted(each.stem for each in folder.glob("*.yaml"))
    if str(source) in shipped:
        return folder / f"{source}.yaml"
    raise RecipeError(f'no recipe "{source}"{_near(str(source), shipped)} (shipped: {", ".join(shipped)})')


def _extended(file: Path, seen: tuple[Path, ...]) -> tuple[dict[str, Any], Lines]:
    """The values of a file over those of the recipe it extends."""
    if file in seen:
        raise RecipeError(f"extends itself: {' -> '.join(map(str, (*seen, file)))}", file=file)
    values, lines = read_yaml(file)
    base = values.pop("extends", None)
    if base is None:
        return values, lines
    beside = file.parent / base
    parent = beside if beside.is_file() else find_recipe(base)
    below, below_lines = _extended(parent, (*seen, file))
    return merge(below, values), {**below_lines, **lines}


def _check_objectives(recipe: Recipe) -> None:
    """Every objective and module is a name of its room, every option one of its arguments; nothing is imported."""
    for turn, entry in enumerate(recipe.model.modules):
        _check_entry(recipe, "models", entry, ("model", "modules", turn))
    for number, stage in enumerate(recipe.stages):
        for kind, entries in stage.objective.items():
            for turn, entry in enumerate(entries):
                _check_entry(recipe, "objectives", entry, ("stages", number, "objective", kind, turn), wraps=False)
        for turn, entry in enumerate(stage.wrap):
            _check_entry(recipe, "objectives", entry, ("stages", number, "wrap", turn), wraps=True)
    if recipe.merge is not None:
        raise recipe.error('"merge" is not there yet; take it out, or merge the models yourself', "merge")


def _check_entry(
    recipe: Recipe, room: str, entry: Entry, path: tuple[str | int, ...], *, wraps: bool | None = None
) -> None:
    if len(entry) != 1:
        raise recipe.error(f"one name an item, as - name: {{options}}; found {', '.join(entry)}", *path)
    ((name, options),) = entry.items()
    try:
        home_of(room, name)
    except RecipeError as error:
        raise recipe.error(str(error), *path, name) from None
    if wraps is not None and is_wrapper(name) != wraps:
        words = "is an objective; name it in the stage's objective" if wraps else "wraps objectives; name it in wrap"
        raise recipe.error(f"{name} {words}", *path, name)
    known = declared_options(room, name)
    for option in options or {}:
        if option not in known and (option != "weight" or wraps):
            raise recipe.error(
                f'unknown key "{option}" in {name}{_near(option, known)} (known: {", ".join(sorted(known))})',
                *path,
                name,
                option,
            )


def _first_error(error: ValidationError, lines: Lines, file: Path) -> RecipeError:
    """The first complaint of the schema in our words."""
    first = error.errors()[0]
    path: tuple[str | int, ...] = tuple(first["loc"])
    where, line = _place(lines, path)
    dotted = ".".join(map(str, path))
    if first["type"] == "extra_forbidden":
        known = _fields_at(path[:-1])
        room = f" in {dotted.rpartition('.')[0]}" if len(path) > 1 else ""
        words = f'unknown key "{path[-1]}"{room}{_near(str(path[-1]), known)} (known: {", ".join(sorted(known))})'
    elif first["type"] == "missing":
        words = f'"{dotted}" is missing'
    elif first["type"] == "value_error":
        words = f"{dotted}: {first['ctx']['error']}"
    else:
        words = f"{dotted} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"
    return RecipeError(words, file=where or file, line=line)


def _fields_at(path: tuple[str | int, ...]) -> list[str]:
    """Keys that the schema knows at a place."""
    models: dict[str, type[BaseModel]] = {"model": ModelSpec, "data": DataSpec, "stages": StageSpec}
    if not path:
        return [*Recipe.model_fields, "extends", "profiles"]
    if path[0] == "stages" and path[-1] == "sampling":
        return list(SamplingSpec.model_fields)
    if path[0] == "data" and path[-1] in ("mine", "score"):
        return list((MineSpec if path[-1] == "mine" else ScoreSpec).model_fields)
    return list(models[str(path[0])].model_fields) if path[0] in models else []


def _place(lines: Lines, path: Sequence[str | int]) -> tuple[str | None, int | None]:
    """Where a key stands; the nearest key above it where it has no place of its own."""
    for end in range(len(path), -1, -1):
        if (found := lines.get(tuple(path[:end]))) is not None:
            return found
    return None, None


def _one_of(name: str, known: Sequence[str], what: str) -> str:
    if name not in known:
        raise ValueError(f'"{name}" is no {what}{_near(name, known)} (known: {", ".join(known)})')
    return name


def _near(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, [str(each) for each in known], n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _environment_root() -> Path | None:
    value = os.environ.get("VECSMITH_DATA")
    return Path(value) if value else None
