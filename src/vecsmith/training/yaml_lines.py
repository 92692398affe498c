"""YAML whose every key remembers its file and line, so that an error can say where it stands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vecsmith.errors import RecipeError

__all__ = ["Lines", "Place", "merge", "read_yaml", "set_value"]

MOST_KEYS = 20_000  # a few lines of aliases of aliases stand for billions
Path_ = tuple[str | int, ...]
Place = tuple[str, int | None]  # file, line from 1 (None for what came by --set)
Lines = dict[Path_, Place]


def read_yaml(file: Path) -> tuple[dict[str, Any], Lines]:
    """A mapping and the place of every key and list item in it.

    raises   RecipeError: no such file, no YAML, a duplicate key, or no mapping at the top
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot be read: {error}", file=file) from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: Lines = {}
        if node is not None:
            _walk(node, (), lines, file)
        values = yaml.safe_load(text)
    except RecipeError:
        raise
    except RecursionError as error:
        raise RecipeError("holds itself, or too many brackets in one another", file=file) from error
    except ValueError as error:  # a date such as 2020-13-01
        raise RecipeError(f"is no YAML: {error}", file=file) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise RecipeError(f"is no YAML: {problem}", file=file, line=mark.line + 1 if mark else None) from error
    if not isinstance(values, dict):
        words = "a recipe is a mapping of keys (name, model, data, stages, ...), and so is a suite"
        raise RecipeError(words, file=file, line=1)
    return values, lines


def _walk(node: yaml.Node, path: Path_, lines: Lines, file: Path) -> None:
    lines.setdefault(path, (str(file), node.start_mark.line + 1))
    if len(lines) > MOST_KEYS:
        raise RecipeError(f"has more than {MOST_KEYS:,} keys and items, each alias written out", file=file)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise RecipeError("a key is a word, no list or mapping", file=file, line=key.start_mark.line + 1)
            if key.value in seen:
                raise RecipeError(f'key "{key.value}" stands twice', file=file, line=key.start_mark.line + 1)
            seen.add(key.value)
            lines[(*path, key.value)] = (str(file), key.start_mark.line + 1)
            _walk(value, (*path, key.value), lines, file)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            lines[(*path, number)] = (str(file), value.start_mark.line + 1)
            _walk(value, (*path, number), lines, file)


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `under`: mappings key by key, anything else (lists too) replaced."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return result


def set_value(values: dict[str, Any], assignment: str, lines: Lines) -> None:
    """Apply one `--set a.b=c` in place; a number names a list item; the value is read as YAML.

    raises   RecipeError: no "=", a list item that is not there, a path through something that is no mapping
    """
    where, found, text = assignment.partition("=")
    source = f"--set {assignment}"
    if not found or not where:
        raise RecipeError(f'"{assignment}": write it as a.b=c', file="--set")
    keys = [int(part) if part.isdigit() else part for part in where.strip().split(".")]
    place: Any = values
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(place, list):
            if not isinstance(key, int) or key >= len(place):
                raise RecipeError(f"{_dotted(keys[:depth])} is a list of {len(place)}; no item {key}", file=source)
        elif not isinstance(place, dict):
            raise RecipeError(f"{_dotted(keys[:depth])} is {place!r}; no {key} below it", file=source)
        if last:
            place[key] = _value(text, source)
        else:
            place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
        lines[tuple(keys[: depth + 1])] = lines.get(tuple(keys[: depth + 1]), (source, None))
    lines[tuple(keys)] = (source, None)


def _value(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text) if text.strip() else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{text[:60]!r} is no YAML value", file=source) from error


def _dotted(keys: list[str | int]) -> str:
    return ".".join(map(str, keys)) or "the recipe"
