"""From what people write to a model folder: a path, "default", a name of names.toml, or "hub:NAME"."""

import difflib
import importlib
import importlib.util
import os
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from vecsmith.errors import MissingExtra, UsageError

__all__ = ["known_names", "resolve_name"]

PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def resolve_name(name: str | os.PathLike[str]) -> Path:
    """The folder of a model.

    name      a PathLike, taken as it is; or text, looked up in this order: "default" (shipped with vecsmith), the names
              of names.toml (models that are installed as packages), "hub:NAME" (fetched), a path
    raises    MissingExtra: a known name whose package is not installed
              UsageError: nothing of this name, with the nearest names
    """
    if not isinstance(name, str):
        return Path(name)
    if name == "default":
        return PACKAGE_FOLDER / "assets" / "default"
    if name in known_names():
        return _from_package(name, known_names()[name])
    if name.startswith("hub:"):
        return _from_hub(name.removeprefix("hub:"))
    path = Path(name).expanduser()
    if path.exists():
        return path
    names = ["default", *known_names()]
    near = difflib.get_close_matches(name.rpartition("/")[2], names, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(
        f'no model "{name}": no such folder and no such name.{hint} Names: {", ".join(names)}, hub:NAME for the hub'
    )


@lru_cache
def known_names() -> Mapping[str, Mapping[str, str]]:
    """The table of names.toml: name -> {"package", "folder" or "function", "extra"}."""
    with open(Path(__file__).with_name("names.toml"), "rb") as file:
        return tomllib.load(file)


def _from_package(name: str, entry: Mapping[str, str]) -> Path:
    try:
        spec = importlib.util.find_spec(entry["package"])
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(entry["extra"], f"the model {name}")
    if "folder" in entry:
        return Path(next(iter(spec.submodule_search_locations))) / entry["folder"]
    return Path(getattr(importlib.import_module(entry["package"]), entry["function"])())


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except Exception as error:  # every network, login and name error of the hub's client ends as one refusal
        raise UsageError(
            f"hub:{name} could not be fetched: {str(error).splitlines()[0]}. Check the name and the network, or fetch "
            "the folder elsewhere and give its path"
        ) from error
