"""What a model can be compared with: a folder, an ONNX file, a server, or a Python object, seen in one way."""

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.contract.contract import FILE_NAME, Contract
from vecsmith.contract.describe import contract_of
from vecsmith.contract.folder import read_model_folder
from vecsmith.errors import DataError, UsageError, VecsmithError
from vecsmith.models.endpoint import EndpointEncoder
from vecsmith.models.names import resolve_name
from vecsmith.models.onnx_files import is_onnx, is_openvino

__all__ = ["READERS", "Target", "open_target"]

Float = NDArray[np.float32]
Answer = tuple[Float, dict[int, str]]

READERS = ("vecsmith", "sentence-transformers")


@dataclass(frozen=True)
class Target:
    """name: how it is called in words; encode: (texts, role) -> vectors float32 [n, d] and row -> why it was refused;
    contract: what its files say, where it has any."""

    name: str
    encode: Callable[[Sequence[str], str | None], Answer]
    contract: Contract | None = None


def open_target(target: Any, *, reader: str = "vecsmith", trust_remote_code: bool = False, **endpoint: Any) -> Target:
    """Open what stands against a model.

    target    a folder or name of a model; an .onnx file or a folder that holds one and no modules.json;
              http(s)://...; python:MODULE:OBJECT, or the object itself: something with encode_query and
              encode_document, with embed_query and embed_documents (LangChain), with encode, or a function of texts
    reader    what opens a folder: "vecsmith" or "sentence-transformers"
    endpoint  options of `EndpointEncoder`
    raises    UsageError: nothing of the kind; what opening it raises
    """
    if reader not in READERS:
        raise UsageError(f'reader is "{reader}"; known: {", ".join(READERS)}')
    if not isinstance(target, (str, os.PathLike)):
        return _object(target, type(target).__name__)
    words = os.fspath(target)
    if words.startswith(("http://", "https://")):
        client = EndpointEncoder(words, **endpoint)
        return Target(client.name, client.encode_or_refuse)
    if words.startswith("python:"):
        return _object(_imported(words), words)
    path = Path(words).expanduser()
    if path.suffix == ".onnx" and not path.exists():
        raise DataError("no such file", file=path)
    if is_onnx(path) or is_openvino(path):
        return _runtime(path)
    folder = resolve_name(target)
    return _sentence_transformers(folder) if reader == "sentence-transformers" else _folder(folder, trust_remote_code)


def _folder(folder: Path, trust_remote_code: bool) -> Target:
    """A model folder as vecsmith opens it; its files may differ from its contract, which the probes will show."""
    from vecsmith.models.encode import encode
    from vecsmith.models.load import load

    model = load(folder, trust_remote_code=trust_remote_code, verify=False)

    def run(texts: Sequence[str], role: str | None) -> Answer:
        return encode(model, list(texts), prompt=role, on_truncation="cut"), {}

    return Target(str(folder), run, _contract(folder))


def _sentence_transformers(folder: Path) -> Target:
    """A model folder as plain sentence-transformers opens it."""
    from sentence_transformers import SentenceTransformer

    from vecsmith.models.load import check_folder

    check_folder(read_model_folder(folder))
    model = SentenceTransformer(str(folder), local_files_only=True)

    def run(texts: Sequence[str], role: str | None) -> Answer:
        call = {"query": model.encode_query, "document": model.encode_document}.get(role or "", model.encode)
        return _matrix(call(list(texts), show_progress_bar=False), len(texts), str(folder)), {}

    return Target(f"{folder} (sentence-transformers)", run, _contract(folder))


def _contract(folder: Path) -> Contract | None:
    """What the files of a folder say now, whatever its embedding.json says."""
    try:
        return contract_of(folder)
    except VecsmithError:
        return Contract.read(folder) if (folder / FILE_NAME).is_file() else None


def _runtime(path: Path) -> Target:
    """An exported folder or an .onnx file; the probes, not the hashes, are to say whether it gives the vectors."""
    from vecsmith.models.encode import encode
    from vecsmith.models.encoder import runtime_encoder

    encoder = runtime_encoder(path, verify=False)

    def run(texts: Sequence[str], role: str | None) -> Answer:
        return encode(encoder, list(texts), prompt=role, on_truncation="cut"), {}

    return Target(str(path), run, _declared(path if path.is_dir() else path.parent))


def _declared(folder: Path) -> Contract | None:
    try:
        return Contract.read(folder)
    except VecsmithError:
        return None


def _imported(words: str) -> Any:
    """The object of `python:MODULE:OBJECT`; a class is called without arguments."""
    parts = words.split(":")
    if len(parts) != 3 or not all(parts):
        raise UsageError(f'"{words}" is not python:MODULE:OBJECT, e.g. python:my_app.embeddings:embedder')
    try:
        found: Any = importlib.import_module(parts[1])
        for name in parts[2].split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{words}: {error}; the module must be importable from here (PYTHONPATH=.)") from error
    return found() if isinstance(found, type) else found


def _object(thing: Any, name: str) -> Target:
    """What frameworks call an embedder; LangChain's and LlamaIndex's names are known."""

    def method(*names: str) -> Any:
        return next((found for wanted in names if callable(found := getattr(thing, wanted, None))), None)

    both = method("encode", "embed", "embed_documents", "embed_document", "get_text_embedding_batch")
    if both is None and callable(thing):
        both = thing
    documents = method("encode_document", "embed_documents", "get_text_embedding_batch") or both
    queries = method("encode_query") or (
        (lambda texts, one=one: [one(text) for text in texts])
        if (one := method("embed_query", "get_query_embedding"))
        else both
    )
    if both is None:
        raise UsageError(f"{name} has none of encode, embed_documents, embed_query, and is no function of texts")

    def run(texts: Sequence[str], role: str | None) -> Answer:
        call = {"query": queries, "document": documents}.get(role or "", both)
        return _matrix(call(list(texts)), len(texts), name), {}

    return Target(name, run)


def _matrix(found: Any, count: int, name: str) -> Float:
    """float32 [count, d] of what a framework returns: an array, a tensor, lists, or a stream of arrays."""
    if hasattr(found, "detach"):
        found = found.detach().float().cpu().numpy()
    try:
        matrix = np.asarray(found if isinstance(found, np.ndarray | list) else list(found), dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"gives no matrix of numbers: {error}", file=name) from error
    if matrix.ndim != 2 or len(matrix) != count:
        raise DataError(
            f"gives an array of shape {matrix.shape} for {count} texts; expected one row per text", file=name
        )
    if not np.isfinite(matrix).all():
        raise DataError("gives NaN or infinity", file=name)
    return matrix
