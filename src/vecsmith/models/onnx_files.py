"""What lies around an ONNX file and says how to use it: tokenizer, longest input, prompts, pooling. No onnxruntime."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecsmith.contract.contract import FILE_NAME, Contract
from vecsmith.contract.describe import max_length_of, pooling_modes
from vecsmith.contract.folder import ModelFolder, prompt_of, read_model_folder, read_object
from vecsmith.errors import ContractError

__all__ = ["OPENVINO_GRAPH", "OnnxFiles", "exported_files", "find_onnx", "is_onnx", "is_openvino"]

EMPTY = {"query": "", "document": ""}  # prompts that every model has
NAMES = ("model.onnx", "onnx/model.onnx")
OPENVINO_GRAPH = "openvino_model.xml"


@dataclass(frozen=True)
class OnnxFiles:
    """An ONNX file and its surroundings.

    file        the graph
    root        the folder with tokenizer.json, prompts and pooling: the file's own, or the one above
    contract    of an exported folder; None for a file from elsewhere
    limit       most tokens of an input, special tokens included; None where nothing says it
    prompts     by name, "query" and "document" among them; default_prompt: the name used without a role
    pooling     mode for graphs that end in token vectors; None where nothing says it
    is_unit     whether vectors have length 1; None where nothing says it
    stages      modules after the pooling that a graph of token vectors lacks, e.g. ("Dense",)
    """

    file: Path
    root: Path
    contract: Contract | None
    limit: int | None
    prompts: dict[str, str]
    default_prompt: str | None
    pooling: str | None
    is_unit: bool | None
    stages: tuple[str, ...] = ()

    def prompt_for(self, role: str | None) -> str:
        """The text put before an input, by sentence-transformers' rules.

        raises    ValueError: a name that is neither a role nor a prompt
        """
        return prompt_of(self.prompts, self.default_prompt, role)


def is_onnx(path: Path) -> bool:
    """Whether a path is an ONNX file, or a folder that holds one and no modules.json."""
    if path.is_file():
        return path.suffix == ".onnx"
    return path.is_dir() and not (path / "modules.json").is_file() and any(_graphs(path))


def is_openvino(path: Path) -> bool:
    """Whether a folder was written by `vecsmith export --to openvino`."""
    return path.is_dir() and not (path / "modules.json").is_file() and (path / OPENVINO_GRAPH).is_file()


def find_onnx(path: Path) -> OnnxFiles:
    """The ONNX file of a path and what lies around it.

    path      an .onnx file, or a folder that holds one
    raises    ContractError: no file, several, or no tokenizer.json beside it or above
    """
    file = path if path.is_file() else _one_of(path)
    root = next((folder for folder in (file.parent, file.parent.parent) if (folder / "tokenizer.json").is_file()), None)
    if root is None:
        raise ContractError(
            f"{file} has no tokenizer.json beside it or in the folder above, so no text can become token ids. Copy it "
            "there from the model that the file was made of"
        )
    if (file.parent / FILE_NAME).is_file() and not (file.parent / "modules.json").is_file():
        return exported_files(file, Contract.read(file.parent))
    if (root / "modules.json").is_file():
        return _of_model(file, read_model_folder(root))
    settings = read_object(root / "config_sentence_transformers.json", dict, missing={})
    pooling = _pooling_config(root)
    return OnnxFiles(
        file=file,
        root=root,
        contract=None,
        limit=_limit(root),
        prompts={**EMPTY, **{name: text for name, text in (settings.get("prompts") or {}).items() if text}},
        default_prompt=settings.get("default_prompt_name"),
        pooling=pooling,
        is_unit=None,
    )


def _graphs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.onnx")) or sorted((folder / "onnx").glob("*.onnx"))


def _one_of(folder: Path) -> Path:
    named = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if named is not None:
        return named
    found = _graphs(folder)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ContractError(f"{folder} holds no .onnx file; make one: vecsmith export MODEL --to onnx --output DIR")
    names = ", ".join(str(file.relative_to(folder)) for file in found[:8])
    raise ContractError(f"{folder} holds {len(found)} ONNX files ({names}); name the one to use")


def exported_files(file: Path, contract: Contract) -> OnnxFiles:
    """The surroundings of a graph that vecsmith wrote: all of it stands in its contract."""
    prompts = contract.space["prompts"]
    return OnnxFiles(
        file=file,
        root=file.parent,
        contract=contract,
        limit=contract.space["max_length"],
        prompts={**EMPTY, **prompts["texts"]},
        default_prompt=prompts["default"],
        pooling=None,
        is_unit=bool(contract.view["normalised"]),
    )


def _of_model(file: Path, model: ModelFolder) -> OnnxFiles:
    modes = [mode for entry in model.modules for mode in pooling_modes(entry)]
    kinds = [entry.kind for entry in model.modules]
    after = tuple(kind for kind in kinds[1:] if kind not in ("Pooling", "Normalize", "Dropout"))
    return OnnxFiles(
        file=file,
        root=model.path,
        contract=None,
        limit=max_length_of(model),
        prompts=model.prompts,
        default_prompt=model.default_prompt_name,
        pooling=modes[0] if len(modes) == 1 else None,
        is_unit=kinds[-1] == "Normalize",
        stages=after,
    )


def _pooling_config(root: Path) -> str | None:
    """The one mode of `1_Pooling/config.json`, by today's name."""
    from vecsmith.contract.folder import ModuleEntry

    config = read_object(root / "1_Pooling" / "config.json", dict, missing={})
    if not config:
        return None
    modes = pooling_modes(ModuleEntry("1", "1_Pooling", "sentence_transformers.models.Pooling", config))
    return modes[0] if len(modes) == 1 else None


def _limit(root: Path) -> int | None:
    """The smallest of what the files say about the longest input."""

    def value(name: str, key: str) -> Any:
        return read_object(root / name, dict, missing={}).get(key)

    cut = value("tokenizer.json", "truncation") or {}
    said = [
        value("sentence_bert_config.json", "max_seq_length"),
        value("tokenizer_config.json", "model_max_length"),
        value("config.json", "max_position_embeddings"),
        cut.get("max_length"),
    ]
    known = [int(limit) for limit in said if isinstance(limit, int | float) and 0 < limit < 1e9]
    return min(known) if known else None
