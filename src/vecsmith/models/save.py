"""Write a model folder that every reader of the layout can open: plain sentence-transformers, and older runtimes.

Stock modules get the type paths and option names of earlier versions beside today's, weights are safetensors only, and
`embedding.json` says what the vectors are made by.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.atomic import disk_errors, new_folder
from vecsmith.contract.contract import FILE_NAME, Contract
from vecsmith.contract.describe import POOLING_KEYS, contract_of, max_length_of
from vecsmith.contract.folder import read_model_folder
from vecsmith.errors import ContractError, UsageError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from vecsmith.models.model import Model

__all__ = ["save", "stamp"]

# Names that sentence_transformers.models had in every version since 2.0; readers outside match on them.
OLD_NAMES = {
    "BoW", "CLIPModel", "CNN", "Dense", "Dropout", "LSTM", "LayerNorm", "Normalize", "Pooling", "Router",
    "StaticEmbedding", "Transformer", "WeightedLayerPooling", "WordEmbeddings", "WordWeights",
}  # fmt: skip
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}


def save(
    model: "SentenceTransformer",
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    licence: str | None = None,
    lineage: tuple[str, ...] = (),
    card: bool = False,
    replace: bool = False,
    in_place: bool = False,
    probes: bool = True,
    train_datasets: list[str] | None = None,
) -> Contract:
    """Save a model and its contract.

    name, licence, lineage   for the contract's record; lineage: what the model was made from, oldest first
    card       also write sentence-transformers' README.md
    replace    exchange an existing model folder, whole
    in_place   write into an existing folder that holds other files too (a trainer's checkpoint); not atomic: the
               contract goes first and comes back last, so a killed save leaves a folder without one
    probes     run the 16 probe inputs and keep their vectors
    returns    the contract that was written
    raises     FileExistsError: a folder is there, without `replace` and `in_place`
               ContractError: a module wrote weights that are no safetensors; DiskFull
    """
    target = Path(path)
    if in_place and target.is_dir() and any(target.iterdir()):
        (target / FILE_NAME).unlink(missing_ok=True)
        label = name or target.resolve().name
        with disk_errors(target):
            contract = _fill(model, target, label, licence, lineage, card, probes, train_datasets)
    else:
        if replace and target.is_dir() and any(target.iterdir()) and not (target / "modules.json").is_file():
            raise UsageError(f"{target} is no model folder, so it is not replaced; give another path")
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        with new_folder(target, replace=replace) as folder:
            label = name or target.resolve().name
            contract = _fill(model, folder, label, licence, lineage, card, probes, train_datasets)
    if isinstance(model, _model_class()):
        model.adopt(target)
    return contract


def stamp(
    model: "SentenceTransformer | None",
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    licence: str | None = None,
    lineage: tuple[str, ...] = (),
) -> Contract:
    """Write the contract of a folder as it lies there.

    model     the loaded model, to run the probes; None leaves them out
    """
    from dataclasses import replace as changed

    from vecsmith.contract.probes import probe_vectors
    from vecsmith.models.encode import encode

    contract = contract_of(Path(path), name=name, licence=licence, lineage=lineage)
    if model is not None:
        # The long probe is cut by most models, which is its purpose: no warning.
        found = probe_vectors(lambda texts, role: encode(model, texts, prompt=role, on_truncation="cut"))
        contract = changed(contract, probes=found)
    contract.write(path)
    return contract


def _fill(
    model: "SentenceTransformer",
    folder: Path,
    name: str,
    licence: str | None,
    lineage: tuple[str, ...],
    card: bool,
    probes: bool,
    train_datasets: list[str] | None,
) -> Contract:
    if isinstance(model, _model_class()):
        model.stock_save(str(folder), card=card, train_datasets=train_datasets)
    else:
        model.save(str(folder), create_model_card=card, train_datasets=train_datasets)
    _refuse_pickles(folder)
    _widen(folder)
    return stamp(model if probes else None, folder, name=name, licence=licence, lineage=lineage)


def _model_class() -> "type[Model]":
    from vecsmith.models.model import Model

    return Model


def _refuse_pickles(folder: Path) -> None:
    listed = read_model_folder(folder)
    for entry in listed.modules:
        for path in sorted((folder / entry.path).iterdir()):
            if path.suffix in PICKLES and path.name not in ("training_args.bin", "optimizer.pt", "scheduler.pt"):
                raise ContractError(
                    f"the module {entry.type} wrote its weights as {path.name}, a pickle, which vecsmith will not open "
                    "again; give it a save() that writes safetensors"
                )


def _widen(folder: Path) -> None:
    """Add what older readers look for: type paths, pooling switches, max_seq_length."""
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    for entry in modules:
        kind = entry["type"].rpartition(".")[2]
        if entry["type"].startswith("sentence_transformers.") and kind in OLD_NAMES:
            entry["type"] = f"sentence_transformers.models.{kind}"
        if kind == "Pooling":
            _change(folder / entry["path"] / "config.json", _pooling_names)
        elif kind == "Transformer":
            # A null stops text-embeddings-inference at its start; a missing key makes vLLM look elsewhere.
            limit = max_length_of(read_model_folder(folder))
            older = {"do_lower_case": False, **({"max_seq_length": limit} if limit else {})}
            _change(folder / entry["path"] / "sentence_bert_config.json", lambda now, old=older: {**old, **now})
    _write(folder / "modules.json", modules)


def _pooling_names(config: dict[str, Any]) -> dict[str, Any]:
    """Both sets of names. The width keeps its old name alone: today's reader takes that silently, and where both stand
    it logs a notice at every load."""
    config = dict(config)
    width = config.pop("embedding_dimension", None) or config.get("word_embedding_dimension")
    modes = config["pooling_mode"] if isinstance(config["pooling_mode"], list) else [config["pooling_mode"]]
    switches = {old: new in modes for old, new in POOLING_KEYS.items()}
    return {"word_embedding_dimension": width, **config, **switches}


def _change(path: Path, change: Any) -> None:
    _write(path, change(_json(path)))


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write(path: Path, value: Any) -> None:
    # Plain writes: the whole folder is new and takes its name only when complete.
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
