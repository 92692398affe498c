"""A task says what to read and how to judge it; a suite is a list of tasks in a YAML file."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vecsmith.errors import RecipeError, UsageError

__all__ = ["Suite", "Task", "known_suites", "load_suite", "root_of"]

SUITES = Path(__file__).with_name("suites")
KINDS = ("scored", "retrieval", "pair_classification", "classification", "clustering")
COLUMNS = {
    "scored": ("left", "right", "score"),
    "pair_classification": ("left", "right", "label"),
    "classification": ("text", "label"),
    "clustering": ("text", "label"),
    "retrieval": (),
}
METRICS = {"scored": "spearman", "pair_classification": "ap", "classification": "accuracy", "clustering": "v_measure"}


@dataclass(frozen=True)
class Task:
    """One line of a suite.

    name         unique in its suite
    kind         scored, pair_classification, classification, clustering (tables), or retrieval (a folder in the layout
                 of BEIR)
    path         below the data root; several tables are read one after the other
    columns      table columns by part: left, right, score | left, right, label | text, label
    where        only rows whose cells have these values
    split        retrieval: the file of `qrels/`; classification: the test side, in the column `split`, against "train"
    score_range  the scale of the scores
    metric       the main one
    options      further arguments of the judge, e.g. {samples_per_label: 16}; classification: also classifier, logistic
                 (default) or nearest; clustering: also most or share, the documents that are sampled
    published    name of a model -> its published score
    """

    name: str
    kind: str
    path: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    split: str = "test"
    score_range: tuple[float, float] = (0.0, 1.0)
    metric: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)

    def definition(self) -> dict[str, Any]:
        """What decides the score, published figures left out."""
        return {
            "kind": self.kind,
            "path": list(self.path),
            "columns": dict(self.columns),
            "where": dict(self.where),
            "split": self.split,
            "score_range": list(self.score_range),
            "metric": self.metric,
            "options": dict(self.options),
        }


@dataclass(frozen=True)
class Suite:
    """Tasks in the order in which they are run and printed."""

    name: str
    tasks: tuple[Task, ...]
    about: str = ""

    def only(self, names: list[str]) -> "Suite":
        """The suite with these tasks alone. UsageError: a name it does not have."""
        known = [task.name for task in self.tasks]
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
                hint = f' Did you mean "{near[0]}"?' if near else ""
                raise UsageError(f'suite {self.name} has no task "{name}".{hint} Tasks: {", ".join(known)}')
        return Suite(self.name, tuple(task for task in self.tasks if task.name in names), self.about)


def known_suites() -> list[str]:
    """Names of the suites that ship with vecsmith."""
    return sorted(file.stem for file in SUITES.glob("*.yaml"))


def load_suite(name_or_path: str | os.PathLike[str]) -> Suite:
    """A suite that ships with vecsmith, by name, or a YAML file.

    raises   UsageError: no such suite; RecipeError: not a suite, an unknown key, two tasks of one name
    """
    from vecsmith.training.yaml_lines import read_yaml

    path = SUITES / f"{name_or_path}.yaml" if str(name_or_path) in known_suites() else Path(name_or_path)
    if not path.is_file():
        raise UsageError(
            f'no suite "{name_or_path}": no such name and no such file. Suites: {", ".join(known_suites())}'
        )
    content, _ = read_yaml(path)
    if not isinstance(content.get("tasks"), list) or not content["tasks"]:
        raise RecipeError("a suite has a list of tasks under the key `tasks`", file=path)
    tasks = tuple(_task(entry, path) for entry in content["tasks"])
    names = [task.name for task in tasks]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise RecipeError(f'two tasks are called "{min(doubled)}"; results are kept by name', file=path)
    return Suite(str(content.get("name", path.stem)), tasks, str(content.get("about", "")))


def root_of(data_root: str | os.PathLike[str] | None) -> Path:
    """The folder that paths of tasks start from: the argument, else VECSMITH_DATA. UsageError: there is none."""
    named = data_root if data_root is not None else os.environ.get("VECSMITH_DATA")
    if named is None:
        raise UsageError("a suite reads its data below a data root; name it: --data-root FOLDER, or set VECSMITH_DATA")
    if not Path(named).is_dir():
        raise UsageError(f"the data root {named} is no folder")
    return Path(named)


def _check_parts(entry: dict[str, Any], where: str, file: Path) -> None:
    paths, scale = entry["path"], entry.get("score_range", (0, 1))
    if not paths or not all(isinstance(path, str) for path in ([paths] if not isinstance(paths, list) else paths)):
        raise RecipeError(f"{where}: path is {paths!r:.80}; it is a path or a list of paths", file=file)
    for key in ("columns", "where", "options", "published"):
        if not isinstance(entry.get(key, {}), dict):
            raise RecipeError(f"{where}: {key} is {entry[key]!r:.80}; it is a mapping of names", file=file)
    if not isinstance(scale, list | tuple) or len(scale) != 2 or not all(isinstance(end, int | float) for end in scale):
        raise RecipeError(f"{where}: score_range is {scale!r:.80}; it is two numbers, [least, greatest]", file=file)


def _task(entry: Any, file: Path) -> Task:
    if not isinstance(entry, dict) or not {"name", "kind", "path"} <= entry.keys():
        raise RecipeError(f"a task has at least name, kind and path; got {entry!r:.80}", file=file)
    where = f'task "{entry["name"]}"'
    known = list(Task.__dataclass_fields__)
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise RecipeError(f'{where}: unknown key "{key}"{hint} (known: {", ".join(known)})', file=file)
    kind, paths = entry["kind"], entry["path"]
    if kind not in KINDS:
        raise RecipeError(f'{where}: kind is "{kind}"; known: {", ".join(KINDS)}', file=file)
    _check_parts(entry, where, file)
    if missing := [part for part in COLUMNS[kind] if part not in entry.get("columns", {})]:
        raise RecipeError(f"{where}: columns lack {', '.join(missing)}; a {kind} task names them", file=file)
    fields = {
        **entry,
        "path": (paths,) if isinstance(paths, str) else tuple(paths),
        "where": {key: str(value) for key, value in entry.get("where", {}).items()},
        "score_range": tuple(entry.get("score_range", (0.0, 1.0))),
        "metric": entry.get("metric") or METRICS.get(kind, "ndcg@10"),
    }
    return Task(**fields)
