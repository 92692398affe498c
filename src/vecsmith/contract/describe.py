"""Write the contract of a model folder from its files alone: nothing is loaded, no torch."""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vecsmith.contract.contract import FILE_NAME, Contract
from vecsmith.contract.folder import ModelFolder, ModuleEntry, read_model_folder, read_object
from vecsmith.contract.hashes import hash_files
from vecsmith.contract.tensors import hash_tensors, read_header
from vecsmith.errors import ContractError

__all__ = ["contract_of", "max_length_of", "model_files", "pooling_modes", "width_of"]

# Files beside modules.json that decide vectors; a card, a recipe or a training state may change freely.
ROOT_PATTERNS = (
    "modules.json", "config.json", "config_sentence_transformers.json", "sentence_*_config.json", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt",
    "chat_template.jinja", "*processor_config.json", "*.model", "*.safetensors", "*.safetensors.index.json", "*.py",
)  # fmt: skip
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")
ARCHITECTURE = (
    "model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "intermediate_size", "hidden_act", "hidden_activation", "layer_norm_eps", "rms_norm_eps",
    "max_position_embeddings", "sliding_window", "position_embedding_type", "is_causal",
)  # fmt: skip
SHIFTED = ("roberta", "xlm-roberta", "camembert")  # their positions begin after the padding token's number
PACKAGES = ("vecsmith", "sentence-transformers", "transformers", "torch", "tokenizers", "numpy")
POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def contract_of(
    path: str | Path, *, name: str | None = None, licence: str | None = None, lineage: tuple[str, ...] = ()
) -> Contract:
    """The contract of a model folder, computed from its files; probes are not run.

    name      what people call it; by default the folder's name
    raises    ContractError: no model folder; Damaged: weights that cannot be read
    """
    model = read_model_folder(path)
    files = model_files(model)
    weights = [(_module_path(model, name), model.path / name) for name in files if name.endswith(".safetensors")]
    if not weights:
        raise ContractError(f"{path} holds no .safetensors weights; save the model again with model.save(PATH)")
    modules = list(model.modules)
    normalised = modules[-1].kind == "Normalize"
    if normalised:
        modules.pop()
    space = {
        "weights": hash_tensors(weights),
        "tokenizer": _tokenizer_hash(model),
        "modules": [_module_in_space(model, entry) for entry in modules],
        "pooling": "+".join(mode for entry in modules for mode in pooling_modes(entry)) or "none",
        "max_length": max_length_of(model),
        "attention": _attention(model),
        "prompts": _prompts(model),
    }
    view = {
        "width": width_of(model),
        "normalised": normalised,
        "dtype": "float32",
        "similarity": model.similarity,
        "prompt": None,
        "quantiser": None,
    }
    record = {
        "name": name or Path(path).resolve().name,
        "versions": _versions(),
        "licence": licence,
        "lineage": list(lineage),
        "files": hash_files(model.path, files),
    }
    return Contract(space, view, record)


def model_files(model: ModelFolder) -> list[str]:
    """Relative names of the files that decide the model's vectors, sorted."""
    found: set[str] = set()
    for pattern in ROOT_PATTERNS:
        found.update(path.name for path in model.path.glob(pattern) if path.is_file())
    for entry in model.modules:
        if entry.path:
            inside = (model.path / entry.path).rglob("*")
            found.update(path.relative_to(model.path).as_posix() for path in inside if path.is_file())
    found.discard(FILE_NAME)
    return sorted(found)


def width_of(model: ModelFolder) -> int:
    """Components of the vectors the model gives, after `truncate_dim`.

    raises    ContractError: no module tells
    """
    width: int | None = None
    for entry in model.modules:
        if entry.kind == "StaticEmbedding":
            header, _ = read_header(model.path / entry.path / "model.safetensors")
            width = next(int(t["shape"][1]) for key, t in header.items() if key in ("embedding.weight", "embeddings"))
        elif entry.kind == "Transformer":
            config = read_object(model.path / entry.path / "config.json", dict)
            config = config.get("text_config") or config
            width = config.get("hidden_size") or config.get("dim") or config.get("d_model")
        elif entry.kind == "Pooling":
            one = entry.config.get("embedding_dimension") or entry.config.get("word_embedding_dimension")
            width = int(one) * len(pooling_modes(entry)) if one else width
        elif "out_features" in entry.config:
            width = int(entry.config["out_features"])
    if width is None:
        kinds = ", ".join(entry.type for entry in model.modules)
        raise ContractError(f"{model.path}: none of its modules tells the width of its vectors ({kinds})")
    return min(width, model.truncate_dim) if model.truncate_dim else width


def max_length_of(model: ModelFolder) -> int | None:
    """Most tokens an input keeps, special tokens included; None where nothing is cut."""
    first = model.modules[0]
    root = model.path / first.path
    if first.kind == "StaticEmbedding":
        cut = read_object(root / "tokenizer.json", dict).get("truncation")
        return int(cut["max_length"]) if cut else None
    if first.config.get("max_seq_length"):
        return int(first.config["max_seq_length"])
    config = read_object(root / "config.json", dict, missing={})
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and config.get("model_type") in SHIFTED:
        positions -= int(config.get("pad_token_id") or 0) + 1
    limits = [read_object(root / "tokenizer_config.json", dict, missing={}).get("model_max_length"), positions]
    known = [int(limit) for limit in limits if isinstance(limit, int | float) and 0 < limit < 1e9]
    return min(known) if known else None


def pooling_modes(entry: ModuleEntry) -> tuple[str, ...]:
    """How a module reduces tokens to one vector: ("mean",) for Pooling by mean and for static models, () for others."""
    if entry.kind == "StaticEmbedding":
        return ("mean",)
    if entry.kind != "Pooling":
        return ()
    mode = entry.config.get("pooling_mode")
    if mode is None:
        return tuple(new for old, new in POOLING_KEYS.items() if entry.config.get(old)) or ("mean",)
    return (mode,) if isinstance(mode, str) else tuple(mode)


def _module_in_space(model: ModelFolder, entry: ModuleEntry) -> dict[str, Any]:
    """A module's kind and the options that change vectors, the same whichever version wrote the folder."""
    config = entry.config
    if entry.kind == "StaticEmbedding":
        return {"kind": entry.kind}
    if entry.kind == "Transformer":
        found = read_object(model.path / entry.path / "config.json", dict, missing={})
        shape = {key: found[key] for key in ARCHITECTURE if found.get(key) is not None}
        return {"kind": entry.kind, **shape, **_rotary(found)}
    if entry.kind == "Pooling":
        include = config.get("include_prompt", True)
        return {"kind": entry.kind, "modes": list(pooling_modes(entry)), "include_prompt": include}
    if entry.kind == "Dense":
        kept = {key: config.get(key) for key in ("in_features", "out_features", "bias")}
        activation = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
        return {"kind": entry.kind, **kept, "activation": activation, "residual": config.get("use_residual", False)}
    return {"kind": entry.kind if entry.is_stock else entry.type, **config}


def _rotary(config: dict[str, Any]) -> dict[str, Any]:
    """Rotary positions under one name: older configs split them into `rope_theta` and `rope_scaling`."""
    merged = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    if config.get("rope_theta") is not None:
        merged.setdefault("rope_theta", config["rope_theta"])
    if merged:
        merged.setdefault("rope_type", "default")
    return {"rope": merged} if merged else {}


def _attention(model: ModelFolder) -> str:
    first = model.modules[0]
    if first.kind != "Transformer":
        return "none"
    config = read_object(model.path / first.path / "config.json", dict, missing={})
    if "is_causal" in config:
        return "causal" if config["is_causal"] else "bidirectional"
    return f"as {config.get('model_type', 'unknown')} does"


def _prompts(model: ModelFolder) -> dict[str, Any]:
    """Prompts that say something; an empty one is the same as none."""
    texts = {name: text for name, text in sorted(model.prompts.items()) if text}
    return {"texts": texts, "default": model.default_prompt_name}


def _tokenizer_hash(model: ModelFolder) -> str:
    """sha256 of what the tokenizer does; padding and truncation are left out, since the caller sets them.

    `tokenizer.json` is hashed by content, not by bytes: library versions order its keys differently.
    """
    root, digest = model.path / model.modules[0].path, hashlib.sha256()
    if (root / "tokenizer.json").is_file():
        content = {
            k: v for k, v in read_object(root / "tokenizer.json", dict).items() if k not in ("padding", "truncation")
        }
        digest.update(json.dumps(content, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
    for path in [root / name for name in TOKENIZER_FILES] + sorted(root.glob("*.model")):
        if path.is_file():
            digest.update(path.name.encode() + b"\n" + path.read_bytes())
    return digest.hexdigest()


def _module_path(model: ModelFolder, name: str) -> str:
    folder = Path(name).parent.as_posix()
    return "" if folder == "." else next((e.name for e in model.modules if e.path == folder), folder)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
