"""Static models in numpy: a text's vector is the mean of its tokens' vectors. No torch, no transformers.

Equal to `SentenceTransformer.encode` on the same folder within 2e-6, and opened in a fraction of a second: the weights
are memory-mapped. Reads folders whose modules are StaticEmbedding, then any of Dense and Normalize.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.contract.contract import FILE_NAME, Contract
from vecsmith.contract.folder import ModelFolder, ModuleEntry, read_model_folder
from vecsmith.contract.hashes import verify_files
from vecsmith.contract.probes import Probes, check_once
from vecsmith.contract.tensors import map_tensors
from vecsmith.errors import ContractError, Damaged
from vecsmith.models.token_means import token_means
from vecsmith.models.word_pieces import ids_of
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["PASSAGE_TOKENS", "StaticEncoder", "is_static"]

Float = NDArray[np.float32]

PASSAGE_TOKENS = 256  # a static model reads texts of any length; longer passages blur into one mean
BATCH_ROWS = 1_024  # texts tokenised at once
ERF = np.vectorize(math.erf, otypes=[np.float32])
ACTIVATIONS: dict[str, Callable[[Float], Float]] = {
    "Identity": lambda x: x,
    "Tanh": lambda x: np.tanh(x),
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: (1 / (1 + np.exp(-x))).astype(np.float32),
    "GELU": lambda x: (x * 0.5 * (1 + ERF(x / math.sqrt(2)))).astype(np.float32),
}


def is_static(model: ModelFolder) -> bool:
    """Whether `StaticEncoder` can run this model."""
    first, *rest = model.modules
    return first.kind == "StaticEmbedding" and first.is_stock and all(_is_readable(entry) for entry in rest)


def _is_readable(entry: ModuleEntry) -> bool:
    plain = all(
        entry.config.get(k) in (None, "sentence_embedding") for k in ("module_input_name", "module_output_name")
    )
    if entry.kind == "Dense":
        activation = str(entry.config.get("activation_function", "Tanh"))
        return plain and entry.is_stock and activation.rpartition(".")[2] in ACTIVATIONS
    return plain and entry.is_stock and entry.kind == "Normalize"


@dataclass(frozen=True)
class _Layer:
    """A Dense module: y = f(x W^T + b) [+ x or x R^T]."""

    weight: Float
    bias: Float | None
    activation: Callable[[Float], Float]
    residual: Float | None
    is_residual: bool

    def __call__(self, x: Float) -> Float:
        y = x @ self.weight.T
        y = self.activation(y if self.bias is None else y + self.bias)
        if not self.is_residual:
            return y
        return y + (x if self.residual is None else x @ self.residual.T)


class StaticEncoder:
    """A static model: `encode`, `encode_query`, `encode_document` give float32 [n, dimension].

    Attributes: `dimension`; `max_length`, the tokens a passage is best cut to (the tokenizer's own limit, else 256; an
    input above the latter is still read whole); `contract`; `name`.
    """

    def __init__(self, model: ModelFolder, *, truncate_dim: int | None = None) -> None:
        from tokenizers import Tokenizer

        self.folder = model.path
        self.is_padded = False
        self._model = model
        root = model.path / model.modules[0].path
        self._tokenizer: Tokenizer = open_tokenizer(root / "tokenizer.json")
        self._tokenizer.no_padding()
        self._limit, self._keeps_end = _truncation(self._tokenizer)
        self._tokenizer.no_truncation()  # cut here, on ids, so that what was cut can be counted
        self._ids = ids_of(self._tokenizer)
        self._table = np.asarray(_token_table(root / "model.safetensors"))
        self._layers = [_layer(model, entry) for entry in model.modules[1:]]
        self.is_unit = model.modules[-1].kind == "Normalize"
        full = self._full_dimension()
        width = truncate_dim or model.truncate_dim
        self.truncate_dim = width if width and width < full else None
        self.dimension = self.truncate_dim or full
        self.max_length = self._limit or PASSAGE_TOKENS
        self._contract: Contract | None = None

    @classmethod
    def open(cls, path: str | Path, *, truncate_dim: int | None = None, verify: bool = True) -> "StaticEncoder":
        """Open a static model folder.

        verify    check files and probe vectors against `embedding.json`, where the folder has one
        raises    ContractError: no model folder, one with other modules, or probe vectors differ; Tampered; Damaged
        """
        model = read_model_folder(path)
        if not is_static(model):
            kinds = " -> ".join(entry.kind for entry in model.modules)
            raise ContractError(f"{path} is {kinds}, no static model; open it with vs.load(PATH)")
        contract = Contract.read(path) if (model.path / FILE_NAME).is_file() else None
        if verify and contract is not None:
            verify_files(model.path, contract.record.get("files", {}))
        encoder = cls(model, truncate_dim=truncate_dim)
        encoder._contract = contract
        if verify and contract is not None and contract.probes is not None and encoder.dimension == contract.width:
            encoder._check_probes(contract.probes, contract.fingerprint)
        return encoder

    def _check_probes(self, probes: Probes, fingerprint: str) -> None:
        import tokenizers

        versions = (f"numpy {np.__version__}", f"tokenizers {tokenizers.__version__}")
        check_once(
            lambda texts, role: self.encode(texts, prompt=role),
            probes,
            folder=self.folder,
            fingerprint=fingerprint,
            versions=versions,
        )

    @property
    def contract(self) -> Contract:
        """The folder's contract, computed from its files where it has no `embedding.json`."""
        if self._contract is None:
            from vecsmith.contract.describe import contract_of

            self._contract = contract_of(self.folder)
        return self._contract.seen(width=self.dimension)

    @property
    def name(self) -> str:
        return self.contract.name

    def encode(self, texts: Iterable[str], *, prompt: str | None = None, progress: Progress = SILENT) -> Float:
        """Vectors of texts: float32 [n, dimension]; each distinct text is computed once.

        prompt    "query", "document" or another prompt's name; None means the model's default prompt
        """
        from vecsmith.models.encode import encode

        return encode(self, texts, prompt=prompt, progress=progress)

    def encode_query(self, texts: Sequence[str], progress: Progress = SILENT) -> Float:
        """Vectors of queries, with the query prompt where the model has one."""
        return self.encode(texts, prompt="query", progress=progress)

    def encode_document(self, texts: Sequence[str], progress: Progress = SILENT) -> Float:
        """Vectors of documents, with the document prompt where the model has one."""
        return self.encode(texts, prompt="document", progress=progress)

    def prompt_for(self, role: str | None) -> str:
        """The text put before an input of this role."""
        return self._model.prompt_for(role)

    def count_tokens(self, text: str) -> int:
        """Tokens of one text, without prompt."""
        return len(self._ids([text])[0])

    def unknown_share(self, texts: Iterable[str]) -> float:
        """Share of tokens that the vocabulary does not know, 0..1; 0 for no tokens."""
        return unknown_share(self._tokenizer, texts)

    def count(self, texts: list[str], prompt: str = "") -> NDArray[np.int64]:
        """Tokens of each text before any cut, prompt included: int64 [n]."""
        found = self._ids([prompt + text for text in texts])
        return np.fromiter(map(len, found), dtype=np.int64, count=len(found))

    def embed(self, texts: list[str], prompt: str = "", role: str | None = None) -> Float:
        """Vectors of one batch: float32 [n, dimension]; the driver's door, which neither counts nor removes copies."""
        ids = self._ids([prompt + text for text in texts] if prompt else texts)
        if self._limit is not None:
            ids = [found[-self._limit :] if self._keeps_end else found[: self._limit] for found in ids]
        vectors = self._mean(ids)
        for layer in self._layers:
            vectors = unit_rows(vectors) if layer is None else layer(vectors)
        if self.truncate_dim is not None:
            vectors = vectors[:, : self.truncate_dim]
            vectors = unit_rows(vectors) if self.is_unit else np.ascontiguousarray(vectors)
        return vectors

    def pieces(self, text: str, prompt: str) -> list[tuple[str, int]]:
        """A text cut at word borders into pieces within the token limit, each with its tokens."""
        from vecsmith.models.encode import cut_at_words

        if self._limit is None:
            return [(text, 1)]
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        size = max(1, self._limit - self.count_tokens(prompt))
        runs = cut_at_words(encoding.offsets, encoding.word_ids, size)
        return [(text[start:stop], tokens) for start, stop, tokens in runs] or [(text, 1)]

    @property
    def token_limit(self) -> int | None:
        """Tokens after which an input is cut; None: never."""
        return self._limit

    def _mean(self, ids: list[list[int]]) -> Float:
        """Mean of token vectors of each text, 0 for a text without tokens: float32 [n, token width]."""
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        flat = np.fromiter(chain.from_iterable(ids), dtype=np.int64, count=int(lengths.sum()))
        try:
            return token_means(self._table, flat, lengths)
        except IndexError:
            raise Damaged(
                f"{self.folder}: the tokenizer gives token {int(flat.max())}, the table has {len(self._table)} rows; "
                "tokenizer and weights are of different models"
            ) from None

    def _full_dimension(self) -> int:
        width = self._table.shape[1]
        for layer in self._layers:
            width = width if layer is None else len(layer.weight)
        return int(width)


def unit_rows(vectors: Float) -> Float:
    """Rows of length 1; a row of zeros stays zeros."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return vectors / np.maximum(lengths, 1e-12)[:, None]


def open_tokenizer(file: Path) -> "Tokenizer":
    """A `tokenizer.json`.

    raises    Damaged: missing, or not what the library `tokenizers` writes
    """
    from tokenizers import Tokenizer

    if not file.is_file():
        raise Damaged(f"{file} is missing; copy the model again")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise Damaged(f"{file} is no tokenizer that can be read ({error}); copy the model again") from error


def _truncation(tokenizer: "Tokenizer") -> tuple[int | None, bool]:
    """The tokenizer's own limit, and whether it keeps the end of a text instead of its beginning."""
    rule: dict[str, Any] | None = tokenizer.truncation
    return (int(rule["max_length"]), rule.get("direction") == "left") if rule else (None, False)


def _token_table(file: Path) -> "NDArray[Any]":
    """One row per token id: mapped where stored so, folded for model2vec's `embeddings`, `mapping` and `weights`."""
    if not file.is_file():
        raise Damaged(f"{file} is missing; copy the model again")
    tensors = map_tensors(file)
    if "embedding.weight" in tensors:
        return _floats(tensors, "embedding.weight", 2, file)
    if "embeddings" not in tensors:
        raise Damaged(f"{file} holds {', '.join(tensors) or 'nothing readable'}; expected embedding.weight")
    table = _floats(tensors, "embeddings", 2, file)
    if "mapping" in tensors:
        rows = tensors["mapping"]
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or not ((rows >= 0) & (rows < len(table))).all():
            raise Damaged(f"{file}: mapping names rows that embeddings does not have; copy the model again")
        table = table[rows]
    if "weights" in tensors:
        weights = _floats(tensors, "weights", 1, file)
        if len(weights) != len(table):
            raise Damaged(f"{file}: {len(weights)} weights for {len(table)} tokens; copy the model again")
        table = table.astype(np.float32) * weights.astype(np.float32)[:, None]
    return table


def _floats(tensors: "dict[str, NDArray[Any]]", name: str, dimensions: int, file: Path) -> "NDArray[Any]":
    """The tensor of this name, which has to be there, of floats, and of so many dimensions."""
    found = tensors.get(name)
    if found is None or found.ndim != dimensions or found.dtype.kind != "f" or 0 in found.shape:
        what = "is missing" if found is None else f"is {found.dtype} {list(found.shape)}"
        raise Damaged(f"{file}: {name} {what}; floats of {dimensions} dimensions are needed. Copy the model again")
    return found


def _layer(model: ModelFolder, entry: ModuleEntry) -> _Layer | None:
    """A Dense module's map; None stands for Normalize."""
    if entry.kind == "Normalize":
        return None
    file = model.path / entry.path / "model.safetensors"
    if not file.is_file():
        raise Damaged(f"{file} is missing; copy the model again")
    tensors = map_tensors(file)
    if unknown := set(tensors) - {"linear.weight", "linear.bias", "residual.weight"}:
        raise Damaged(f"{file} holds {min(unknown)}, which a Dense module does not have; copy the model again")
    layer = _Layer(
        weight=_floats(tensors, "linear.weight", 2, file),
        bias=_floats(tensors, "linear.bias", 1, file) if "linear.bias" in tensors else None,
        activation=ACTIVATIONS[str(entry.config.get("activation_function", "Tanh")).rpartition(".")[2]],
        residual=_floats(tensors, "residual.weight", 2, file) if "residual.weight" in tensors else None,
        is_residual=bool(entry.config.get("use_residual", False)),
    )
    wanted = entry.config.get("in_features"), entry.config.get("out_features"), entry.config.get("bias", True)
    wide, deep = layer.weight.shape
    fits = layer.bias is None or len(layer.bias) == wide
    fits = fits and (layer.residual is None or layer.residual.shape == (wide, deep))
    if (deep, wide, layer.bias is not None) != wanted or not fits:
        raise Damaged(f"{file} does not hold the tensors that its config.json names; copy the model again")
    return layer


def unknown_share(tokenizer: "Tokenizer", texts: Iterable[str]) -> float:
    """Share of tokens that a vocabulary does not know, 0..1; 0 for no tokens, and where nothing is unknown to it."""
    unknown_id = _unknown_id(tokenizer)
    unknown = total = 0
    ids_of_batch = ids_of(tokenizer)
    for batch in _batches(texts, BATCH_ROWS):
        for ids in ids_of_batch(batch):
            total += len(ids)
            unknown += ids.count(unknown_id) if unknown_id is not None else 0
    return unknown / total if total else 0.0


def _unknown_id(tokenizer: "Tokenizer") -> int | None:
    token = getattr(tokenizer.model, "unk_token", None)
    if token is not None:
        return tokenizer.token_to_id(token)
    return next((found for name in ("[UNK]", "<unk>") if (found := tokenizer.token_to_id(name)) is not None), None)


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
