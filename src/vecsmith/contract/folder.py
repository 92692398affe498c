"""What a model folder says about itself, read from its JSON files: no weights, no torch.

The layout is that of sentence-transformers: `modules.json` lists modules (type, subfolder), each subfolder has a
`config.json`, and `config_sentence_transformers.json` holds prompts, similarity and width.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from vecsmith.errors import ContractError

__all__ = ["ModelFolder", "ModuleEntry", "prompt_of", "read_model_folder", "read_object"]

TRANSFORMER_CONFIGS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")


@dataclass(frozen=True)
class ModuleEntry:
    """One module: `type` as written, `kind` its last part ("Pooling"), `path` its subfolder, `config` its options."""

    name: str
    path: str
    type: str
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.type.rpartition(".")[2]

    @property
    def is_stock(self) -> bool:
        """Whether plain sentence-transformers has this module."""
        return self.type.startswith("sentence_transformers.")


@dataclass(frozen=True)
class ModelFolder:
    """A model folder as its JSON files describe it."""

    path: Path
    modules: tuple[ModuleEntry, ...]
    prompts: dict[str, str]
    default_prompt_name: str | None
    similarity: str
    truncate_dim: int | None

    def prompt_for(self, role: str | None) -> str:
        """The text put before an input: role "query", "document", another prompt's name, or None for the default.

        The rules are sentence-transformers': "document" falls back to "passage", then "corpus"; a role without a
        prompt means none.
        raises    ValueError: a name that is neither a role nor a prompt
        """
        return prompt_of(self.prompts, self.default_prompt_name, role)


def prompt_of(prompts: Mapping[str, str], default: str | None, role: str | None) -> str:
    """The prompt of a role among named prompts; see `ModelFolder.prompt_for`."""
    if role is None:
        return prompts.get(default, "") if default else ""
    if role in prompts:
        return prompts[role]
    if role in ("query", "document"):
        return ""
    raise ValueError(f'no prompt is named "{role}"; this model has: {", ".join(sorted(prompts)) or "none"}')


def read_model_folder(path: str | Path) -> ModelFolder:
    """Read what a model folder says about itself.

    raises    ContractError: no folder, no `modules.json`, JSON that cannot be read, or a module path outside the folder
    """
    folder = Path(path)
    if not (folder / "modules.json").is_file():
        what = "has no modules.json" if folder.is_dir() else "does not exist"
        raise ContractError(
            f"{folder} {what}; a model is a folder in sentence-transformers' layout. Save one with "
            "model.save(PATH), or give a name: default, all-MiniLM-L6-v2"
        )
    listed = read_object(folder / "modules.json", list)
    modules = tuple(_module(folder, entry) for entry in listed)
    if not modules:
        raise ContractError(f"{folder}/modules.json lists no module")
    settings = read_object(folder / "config_sentence_transformers.json", dict, missing={})
    # sentence-transformers gives every model these two prompts, empty unless the folder fills them.
    prompts = {
        "query": "",
        "document": "",
        **{k: v for k, v in (settings.get("prompts") or {}).items() if v is not None},
    }
    return ModelFolder(
        path=folder,
        modules=modules,
        prompts=prompts,
        default_prompt_name=settings.get("default_prompt_name"),
        similarity=settings.get("similarity_fn_name") or "cosine",
        truncate_dim=settings.get("truncate_dim"),
    )


def _module(folder: Path, entry: Any) -> ModuleEntry:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("name", "path", "type")):
        raise ContractError(f"{folder}/modules.json: a module needs name, path and type as strings, found {entry!r}")
    parts = PurePosixPath(entry["path"].replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or max(map(len, parts.parts), default=0) > 200:
        raise ContractError(f'{folder}/modules.json: module path "{entry["path"]}" leads out of the model folder')
    names = ["config.json"]
    if entry["type"].endswith(".Transformer"):
        names = [f"sentence_{name}_config.json" for name in TRANSFORMER_CONFIGS]
    elif entry["type"].endswith(".StaticEmbedding"):
        names = []
    found = next((folder / parts / name for name in names if (folder / parts / name).is_file()), None)
    config = read_object(found, dict) if found else {}
    return ModuleEntry(name=entry["name"], path=entry["path"], type=entry["type"], config=config)


def read_object(path: Path, kind: type, missing: Any = None) -> Any:
    """A JSON file whose outermost value is a list or object; `missing` where there is no such file, if given.

    raises    ContractError: unreadable or of another kind
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise ContractError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:  # thousands of brackets in one another
        raise ContractError(f"{path} is no JSON file: {error}") from error
    if not isinstance(value, kind):
        raise ContractError(f"{path} holds a {type(value).__name__} where a {kind.__name__} is expected")
    return value
