"""The model of an index: stored with it, opened when a text must become a vector, and held to the contract."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vecsmith.errors import ContractError, SchemaError, SpaceMismatch, UsageError

if TYPE_CHECKING:
    from vecsmith.contract.contract import Contract
    from vecsmith.models.encoder import Encoder

__all__ = ["check_contract", "given_vectors", "open_maker", "open_stored", "store_model"]

MOST_COPIED_BYTES = 100_000_000


def open_maker(model: "str | os.PathLike[str] | Encoder | Any") -> "Encoder":
    """An encoder from a path, a name, an encoder, or a sentence-transformers model of vecsmith."""
    if isinstance(model, (str, os.PathLike)):
        from vecsmith.models.encoder import open_encoder

        return open_encoder(model)
    if hasattr(model, "dimension") and hasattr(model, "encode_document"):
        encoder: Encoder = model
        return encoder
    if hasattr(model, "contract") and hasattr(model, "encode"):
        from vecsmith.models.encode import backend_of

        return cast("Encoder", backend_of(model))  # what wraps a model is both
    raise UsageError(
        f"model is {type(model).__name__}; pass a path, a name, an encoder, or what vs.load gives (a plain "
        "SentenceTransformer has no contract: load its folder with vs.load)"
    )


def store_model(encoder: "Encoder", given: object, index: Path) -> dict[str, Any]:
    """Copy the model into the index, or note where it is when it is over 100 MB; returns the note for the settings."""
    name, fingerprint = encoder.name, encoder.contract.fingerprint
    source = _folder_of(encoder, given)
    if source is None:
        save = getattr(getattr(encoder, "model", None), "save", None) or getattr(given, "save", None)
        if save is None:
            return {"name": name, "fingerprint": fingerprint, "path": None, "copied": False}
        save(str(index / "model"))
        return {"name": name, "fingerprint": fingerprint, "path": "model", "copied": True}
    size = sum(file.stat().st_size for file in source.rglob("*") if file.is_file())
    if size > MOST_COPIED_BYTES:
        return {"name": name, "fingerprint": fingerprint, "path": str(source.resolve()), "copied": False}
    shutil.copytree(source, index / "model")
    return {"name": name, "fingerprint": fingerprint, "path": "model", "copied": True}


def _folder_of(encoder: "Encoder", given: object) -> Path | None:
    if isinstance(given, (str, os.PathLike)):
        from vecsmith.models.names import resolve_name

        return resolve_name(given)
    folder = getattr(encoder, "folder", None)
    return folder if isinstance(folder, Path) and folder.is_dir() else None


def open_stored(index: Path, note: Mapping[str, Any] | None, held: "Contract | None") -> "Encoder":
    """The model that an index was made with.

    raises   UsageError: there is none; ContractError: it is gone; SpaceMismatch: its folder holds another one now
    """
    if note is None:
        raise UsageError(
            f"{index} has no model, so a text cannot become a vector; search in mode lexical, or pass a vector"
        )
    if note["path"] is None:
        raise ContractError(
            f"{index} was made with {note['name']}, which was never saved; open the index with model=..."
        )
    path = index / note["path"] if note["copied"] else Path(note["path"])
    if not path.is_dir():
        raise ContractError(
            f"{index} was made with {note['name']}, which is no longer at {path}; put it back, or open the index with "
            "--model PATH (its contract is checked)"
        )
    from vecsmith.models.encoder import open_encoder

    truncate_dim = held.width if held is not None else None
    encoder = open_encoder(path, truncate_dim=truncate_dim)
    if held is not None:
        check_contract(held, encoder.contract, index)
    return encoder


def check_contract(held: "Contract | None", offered: "Contract", index: Path) -> None:
    """Refuse a model that did not make the vectors of the index.

    raises   SpaceMismatch naming every field that differs; ContractError: the index holds no contract to check against
    """
    if held is None:
        raise ContractError(
            f"{index} was made without a model, so nobody can say whether its vectors are those of {offered.name}; "
            "open it without model, or make a new index with this model: vecsmith index create NEW SOURCE --model MODEL"
        )
    from vecsmith.contract.compare import Different, compare, require_same

    difference = compare(offered, held)
    if isinstance(difference, Different):
        require_same(held, offered, where=str(index))
    if held.width != offered.width:
        raise SpaceMismatch(
            f"{index} holds vectors {held.width} wide; this model gives {offered.width}. Open it cut to that width: "
            f"vs.load(MODEL, truncate_dim={held.width})",
            fields=["width"],
        )


def given_vectors(index: Path, held: "Contract | None", vectors: Any) -> Any:
    """Vectors that a caller brings to an index: numbers as they are; those of `Shards` after comparing contracts.

    returns   what `Index.add` stores: float [n, width], int8 codes of the index's own ranges, or None
    raises    SpaceMismatch: shards of another model, prompt or quantiser; ContractError: shards for an index without a
              contract; SchemaError: codes without a contract, which say nothing of their ranges
    """
    if vectors is None:
        return None
    offered = getattr(vectors, "contract", None)
    if offered is None:
        if getattr(vectors, "dtype", None) in ("int8", "uint8"):
            raise SchemaError(
                f"vectors are {vectors.dtype} codes, and an array says nothing of the ranges they stand for; pass the "
                "folder that vecsmith encode --precision wrote: add(documents, vectors=Shards.open(FOLDER))"
            )
        return vectors
    from vecsmith.contract.compare import Convertible, compare, require_same

    if held is None:
        raise ContractError(f"{index} was made without a model, so shards of {offered.name} cannot be compared with it")
    verdict = compare(offered, held)
    own_steps = ("normalise to unit length", "quantise to int8 by the stored ranges")
    if not isinstance(verdict, Convertible) or not set(verdict.steps) <= set(own_steps):
        require_same(held, offered, where=str(index))
    wanted, used = held.space["prompts"]["texts"].get("document", ""), offered.view.get("prompt") or ""
    if used != wanted:
        raise SpaceMismatch(
            f"{index} holds documents with the prompt {wanted!r}; these vectors were encoded with {used!r}. Encode "
            "again with --prompt document",
            fields=["prompt"],
        )
    return vectors.array()
