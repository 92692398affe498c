"""What a run hung on besides its recipe: versions, hashes of the data and of the start model, seeds."""

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from vecsmith import __version__
from vecsmith.atomic import write_text
from vecsmith.errors import RecipeError

__all__ = ["make_lock", "read_lock", "recipe_hash", "write_lock"]

PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers", "accelerate", "peft", "numpy", "pyarrow")
LOCK = "recipe.lock.yaml"


def recipe_hash(recipe_yaml: str) -> str:
    """sha256 of a resolved recipe, as hex."""
    return hashlib.sha256(recipe_yaml.encode("utf-8", "surrogatepass")).hexdigest()


def make_lock(
    recipe_yaml: str, *, seed: int, base: Mapping[str, Any], data: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The lock of a run.

    base   {"name", "fingerprint"} of the start model
    data   name -> {"fingerprint", "records", "kind"}
    """
    return {
        "recipe": recipe_hash(recipe_yaml),
        "seed": seed,
        "base": dict(base),
        "data": {name: dict(facts) for name, facts in data.items()},
        "versions": {
            "vecsmith": __version__,
            "python": platform.python_version(),
            **{name: found for name in PACKAGES if (found := _version(name))},
        },
    }


def write_lock(folder: Path, lock: Mapping[str, Any]) -> None:
    write_text(folder / LOCK, yaml.safe_dump(dict(lock), sort_keys=False, allow_unicode=True))


def read_lock(folder: Path) -> dict[str, Any] | None:
    """The lock of a folder, or None where there is none."""
    try:
        value = yaml.safe_load((folder / LOCK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        words = f"cannot be read ({error}); remove it, and the run begins anew"
        raise RecipeError(words, file=folder / LOCK) from error
    return value if isinstance(value, dict) else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
