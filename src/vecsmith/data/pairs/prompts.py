"""Prompts of synthesis as data: a YAML file of steps, each with its words and the places to be filled."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vecsmith.errors import DataError, UsageError

__all__ = ["PLACES", "Message", "Prompt", "load_prompts"]

SHIPPED = Path(__file__).parents[1] / "prompts" / "synthesis.yaml"
LONGEST = 20_000  # characters of one prompt's own words

Message = dict[str, str]

# What each step's `user` has to hold; it may hold {count} too.
PLACES: dict[str, tuple[str, ...]] = {
    "paraphrase": ("text",),
    "augment": ("query", "passage"),
    "hard-negatives": ("query", "passage"),
    "queries": ("passage",),
    "relabel": ("query", "passages"),
}
_PLACE = re.compile(r"\{(text|query|passage|passages|count)\}")


@dataclass(frozen=True)
class Prompt:
    """The words of a step; `system` may be empty."""

    step: str
    user: str
    system: str = ""

    def messages(self, **values: str | int) -> list[Message]:
        """What is sent: every {name} filled once, so that a text with "{count}" in it stays as it is.

        >>> Prompt("paraphrase", "Rewrite {count} times: {text}").messages(text="use {count}", count=2)
        [{'role': 'user', 'content': 'Rewrite 2 times: use {count}'}]
        """
        content = _PLACE.sub(lambda found: str(values.get(found.group(1), found.group(0))), self.user)
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": content}]


def load_prompts(path: str | Path | None = None) -> dict[str, Prompt]:
    """The prompts that ship with vecsmith, those of a file in their place.

    path      YAML: step -> {user, system}; steps that it does not name keep theirs
    raises    UsageError: no such file; DataError: no YAML, an unknown step or key, a `user` without a place it needs
    """
    prompts = _read(SHIPPED)
    if path is not None:
        if not Path(path).is_file():
            raise UsageError(f"{path}: no such file; it is to hold prompts, as {SHIPPED.name} does")
        prompts |= _read(Path(path))
    return prompts


def _read(file: Path) -> dict[str, Prompt]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise DataError(f"no YAML: {error}", file=file) from error
    if not isinstance(content, dict):
        raise DataError("a file of prompts is a mapping: paraphrase: {user: ...}", file=file)
    return {str(step): _prompt(str(step), entry, file) for step, entry in content.items()}


def _prompt(step: str, entry: Any, file: Path) -> Prompt:
    if step not in PLACES:
        raise DataError(f'"{step}" is no step{_near(step, PLACES)} (known: {", ".join(PLACES)})', file=file)
    if not isinstance(entry, dict) or not isinstance(entry.get("user"), str):
        raise DataError(f'step "{step}" has no text under `user`', file=file)
    for key, value in entry.items():
        if key not in ("user", "system"):
            raise DataError(f'step "{step}": unknown key "{key}" (known: user, system)', file=file)
        if not isinstance(value, str) or len(value) > LONGEST:
            raise DataError(f'step "{step}": {key} is to be text of at most {LONGEST:,} characters', file=file)
    for place in PLACES[step]:
        if f"{{{place}}}" not in entry["user"]:
            raise DataError(f'step "{step}": `user` lacks {{{place}}}, so the model would not see it', file=file)
    return Prompt(step, entry["user"], entry.get("system", ""))


def _near(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean "{close[0]}"?' if close else ""
