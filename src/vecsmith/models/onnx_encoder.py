"""An ONNX file as an encoder, on onnxruntime: no torch, no transformers.

Reads what `vecsmith export --to onnx` wrote, and files from elsewhere that have a tokenizer.json beside them.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from vecsmith.contract.contract import Contract
from vecsmith.contract.hashes import file_hash, verify_files
from vecsmith.contract.probes import Probes, check_once
from vecsmith.errors import ContractError, Damaged, MissingExtra
from vecsmith.models.onnx_files import OnnxFiles, find_onnx
from vecsmith.models.onnx_texts import GraphTexts
from vecsmith.models.static import unit_rows, unknown_share
from vecsmith.models.token_pooling import POOLING_MODES, pool_tokens
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["OnnxEncoder", "default_threads"]

Float = NDArray[np.float32]
Ids = NDArray[np.int64]

SENTENCES = ("sentence_embedding", "sentence_embeddings", "text_embeds")
TOKENS = ("token_embeddings", "last_hidden_state")
NUMBERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
PADDING = ("[PAD]", "<pad>", "<|endoftext|>")


class OnnxEncoder:
    """Texts to vectors by an ONNX file: `encode`, `encode_query`, `encode_document` give float32 [n, dimension].

    Attributes: `dimension`; `max_length`; `token_limit`; `contract`; `name`; `folder`: of an export of ours.
    """

    is_padded = True

    def __init__(
        self,
        files: OnnxFiles,
        *,
        truncate_dim: int | None = None,
        threads: int | None = None,
        pooling: str | None = None,
        on_truncation: str = "warn",
    ) -> None:
        from tokenizers import Tokenizer

        self.files = files
        self.folder: Path | None = files.root if files.contract is not None else None
        self.on_truncation = on_truncation
        self.token_limit = files.limit
        own = Tokenizer.from_file(str(files.root / "tokenizer.json"))
        self._pad = _padding(own)
        self._counter, self._cutter = _without_limits(own), _without_limits(own)
        if files.limit is not None:
            self._cutter.enable_truncation(files.limit)
        self._session = self._start(files.file, threads or default_threads())
        self._inputs = self._given(files.file)
        self._output, shape = self._wanted(files.file)
        self._pooling = None if len(shape) == 2 else _pooling(files, pooling, self._output)
        self._width, self.is_unit = self._seen(shape[-1])
        self.truncate_dim = truncate_dim if truncate_dim and truncate_dim < self._width else None
        self.dimension = self.truncate_dim or self._width
        self._contract = files.contract

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        truncate_dim: int | None = None,
        threads: int | None = None,
        pooling: str | None = None,
        on_truncation: str = "warn",
        verify: bool = True,
    ) -> Self:
        """Open an exported folder, or an .onnx file with a tokenizer.json beside it or in the folder above.

        threads    of one matrix product; by default OMP_NUM_THREADS, torch's setting where torch is loaded, all cores
        pooling    for a file that ends in token vectors and has no 1_Pooling/config.json near it: "mean", "cls", ...
        verify     check files and probe vectors against `embedding.json`, where there is one
        raises     MissingExtra; ContractError: no graph or tokenizer, unknown inputs or outputs, no pooling;
                   Damaged: a file that onnxruntime cannot read; Tampered: files are not those of the contract
        """
        files = cls.find(Path(path))
        contract = files.contract
        if verify and contract is not None:
            verify_files(files.root, contract.record.get("files", {}))
        encoder = cls(files, truncate_dim=truncate_dim, threads=threads, pooling=pooling, on_truncation=on_truncation)
        if verify and contract is not None and contract.probes is not None and encoder.dimension == contract.width:
            encoder._check_probes(contract, contract.probes)
        return encoder

    @classmethod
    def find(cls, path: Path) -> OnnxFiles:
        """The graph of a path and what lies around it."""
        return find_onnx(path)

    def _start(self, file: Path, threads: int) -> Any:
        return _session(file, threads)

    def _given(self, file: Path) -> dict[str, type]:
        return _inputs(self._session, file)

    def _wanted(self, file: Path) -> tuple[str, list[Any]]:
        return _output(self._session, file)

    def _call(self, feeds: dict[str, Any]) -> Float:
        found: Float = self._session.run([self._output], feeds)[0].astype(np.float32, copy=False)
        return found

    @staticmethod
    def _version() -> str:
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"

    def _check_probes(self, contract: Contract, probes: Probes) -> None:
        import tokenizers

        from vecsmith.models.encode import encode

        check_once(
            lambda texts, role: encode(self, texts, prompt=role, on_truncation="cut"),
            probes,
            folder=self.files.root,
            fingerprint=contract.fingerprint,
            versions=(self._version(), f"tokenizers {tokenizers.__version__}"),
            dtype=contract.view["dtype"],
        )

    def cut_to(self, width: int | None) -> "OnnxEncoder":
        """The same encoder with vectors of another width; the session is shared."""
        import copy

        found = copy.copy(self)
        found.truncate_dim = width if width and width < self._width else None
        found.dimension = found.truncate_dim or self._width
        return found

    def _seen(self, width: Any) -> tuple[int, bool]:
        """Full width, and whether vectors have length 1; what no file says is seen on two texts."""
        if isinstance(width, int) and self.files.is_unit is not None:
            return width, self.files.is_unit
        vectors = self._run(["a", "two words"])
        return vectors.shape[1], bool(np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-4)

    @property
    def tokenizer(self) -> "Tokenizer":
        """The tokenizer, cutting at the model's limit and not padding."""
        return self._cutter

    @property
    def full_width(self) -> int:
        """Components of a vector before `truncate_dim`."""
        return self._width

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        return tuple(self._inputs)

    @property
    def contract(self) -> Contract:
        """The folder's contract; for a file from elsewhere one that is computed from its hashes."""
        if self._contract is None:
            self._contract = _foreign_contract(self.files, self._pooling, self.dimension, self.is_unit)
        return self._contract.seen(width=self.dimension)

    @property
    def name(self) -> str:
        return self.contract.name

    @property
    def max_length(self) -> int:
        """Tokens that a passage is best cut to; 512 where the model has no limit."""
        return self.token_limit or 512

    def encode(self, texts: Iterable[str], *, prompt: str | None = None, progress: Progress = SILENT) -> Float:
        """float32 [n, dimension]; `prompt` is a role, "query" or "document", or a prompt's name."""
        from vecsmith.models.encode import encode

        return encode(self, texts, prompt=prompt, on_truncation=self.on_truncation, progress=progress)

    def encode_query(self, texts: Sequence[str], progress: Progress = SILENT) -> Float:
        """Vectors of queries, with the query prompt where the model has one."""
        return self.encode(texts, prompt="query", progress=progress)

    def encode_document(self, texts: Sequence[str], progress: Progress = SILENT) -> Float:
        """Vectors of documents, with the document prompt where the model has one."""
        return self.encode(texts, prompt="document", progress=progress)

    def prompt_for(self, role: str | None) -> str:
        """The text put before an input of this role."""
        return self.files.prompt_for(role)

    def count_tokens(self, text: str) -> int:
        """Tokens of one text, without prompt, special tokens included."""
        return int(self.count([text], "")[0])

    def unknown_share(self, texts: Iterable[str]) -> float:
        """Share of tokens outside the vocabulary, 0..1; 0 for no tokens."""
        return unknown_share(self._counter, texts)

    def count(self, texts: list[str], prompt: str = "") -> Ids:
        """Tokens of each text before any cut, prompt and special tokens included: int64 [n]."""
        found = self._counter.encode_batch_fast([prompt + text for text in texts] if prompt else texts)
        return np.fromiter((len(encoding.ids) for encoding in found), dtype=np.int64, count=len(found))

    def hold(self, texts: list[str], prompt: str, role: str | None) -> GraphTexts:
        """Texts tokenised once, to be run in groups of equal length."""
        return GraphTexts(
            texts,
            prompt,
            counter=self._counter,
            cutter=self._cutter,
            limit=self.token_limit,
            run=lambda features: self.shorten(self.run(features)),
        )

    def embed(self, texts: list[str], prompt: str = "", role: str | None = None) -> Float:
        """Vectors of one batch, padded to its longest text: float32 [n, dimension]."""
        return self.shorten(self._run([prompt + text for text in texts] if prompt else texts))

    def shorten(self, vectors: Float) -> Float:
        """Cut to `truncate_dim`, of length 1 again where vectors have it."""
        if self.truncate_dim is None:
            return vectors
        vectors = vectors[:, : self.truncate_dim]
        return unit_rows(vectors) if self.is_unit else np.ascontiguousarray(vectors)

    def pieces(self, text: str, prompt: str) -> list[tuple[str, int]]:
        """A text cut at word borders into pieces within the token limit, each with its tokens."""
        from vecsmith.models.encode import cut_at_words

        if self.token_limit is None:
            return [(text, 1)]
        size = max(1, self.token_limit - int(self.count([""], prompt)[0]))
        encoding = self._counter.encode(text, add_special_tokens=False)
        runs = cut_at_words(encoding.offsets, encoding.word_ids, size)
        return [(text[start:stop], tokens) for start, stop, tokens in runs] or [(text, 1)]

    def tokenize(self, texts: list[str]) -> dict[str, Ids]:
        """What the graph takes: int64 [n, longest] for each of its inputs."""
        found = self._cutter.encode_batch_fast(texts)
        lengths = [max(1, len(encoding.ids)) for encoding in found]
        pad_id, pad_type, left = self._pad
        shape = (len(texts), max(lengths))
        features = {
            "input_ids": np.full(shape, pad_id, dtype=np.int64),
            "attention_mask": np.zeros(shape, dtype=np.int64),
            "token_type_ids": np.full(shape, pad_type, dtype=np.int64),
        }
        for row, encoding in enumerate(found):
            place = slice(shape[1] - len(encoding.ids), None) if left else slice(len(encoding.ids))
            features["input_ids"][row, place] = encoding.ids
            features["attention_mask"][row, place] = 1
            features["token_type_ids"][row, place] = encoding.type_ids
        return {name: features[name] for name in self._inputs}

    def run(self, features: dict[str, Ids]) -> Float:
        """Vectors of tokenised texts before any cut: float32 [n, full width]."""
        feeds: dict[str, Any] = {
            name: features[name].astype(number, copy=False) for name, number in self._inputs.items()
        }
        found = self._call(feeds)
        if self._pooling is None:
            return found
        pooled = pool_tokens(found, features["attention_mask"], self._pooling)
        return unit_rows(pooled) if self.files.is_unit else pooled

    def _run(self, texts: list[str]) -> Float:
        return self.run(self.tokenize(texts))


def default_threads() -> int:
    """OMP_NUM_THREADS, else torch's setting where torch is loaded, else the cores this process may use."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if said.isdigit() and int(said) > 0:
        return int(said)
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _session(file: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("onnx", f"reading {file.name}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # A plan of memory is kept for every shape that was ever seen; batches here have ever new shapes.
    options.enable_mem_pattern = False
    # Threads that spin while they wait take the cores of whoever shares the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Damaged(
            f"{file} cannot be opened by onnxruntime: {words[:300]}. Copy it again with the files beside it, or export "
            "the model again: vecsmith export MODEL --to onnx --output DIR"
        ) from error


def _inputs(session: Any, file: Path) -> dict[str, type]:
    known = ("input_ids", "attention_mask", "token_type_ids")
    found = {given.name: given.type for given in session.get_inputs()}
    if "input_ids" not in found or any(name not in known or kind not in NUMBERS for name, kind in found.items()):
        given = ", ".join(f"{name} {kind}" for name, kind in found.items())
        raise ContractError(f"{file} reads {given}; an encoder of texts reads {', '.join(known)}, as whole numbers")
    return {name: NUMBERS[kind] for name, kind in found.items()}


def _output(session: Any, file: Path) -> tuple[str, list[Any]]:
    """Name and shape of the output to use."""
    outputs = {given.name: list(given.shape) for given in session.get_outputs()}
    for names, dimensions in ((SENTENCES, 2), (TOKENS, 3)):
        for name in names:
            if len(outputs.get(name, ())) == dimensions:
                return name, outputs[name]
    given = ", ".join(f"{name} {shape}" for name, shape in outputs.items())
    raise ContractError(
        f"{file} gives {given}; expected {SENTENCES[0]} [batch, width], or {' or '.join(TOKENS)} [batch, length, "
        "width]. Export the model: vecsmith export MODEL --to onnx --output DIR"
    )


def _pooling(files: OnnxFiles, asked: str | None, output: str) -> str:
    mode = asked or files.pooling
    if mode is None:
        raise ContractError(
            f"{files.file} ends in {output}, and nothing near it says how token vectors become one vector. Put the "
            f"model's 1_Pooling/config.json beside tokenizer.json, or pass pooling=: {', '.join(POOLING_MODES)}"
        )
    if mode not in POOLING_MODES:
        raise ContractError(f'pooling is "{mode}"; known: {", ".join(POOLING_MODES)}')
    if files.stages:
        raise ContractError(
            f"{files.file} ends in {output}, before the model's {', '.join(files.stages)}. Export the whole model: "
            f"vecsmith export {files.root} --to onnx --output DIR"
        )
    return mode


def _without_limits(tokenizer: "Tokenizer") -> "Tokenizer":
    copy = type(tokenizer).from_str(tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def _padding(tokenizer: "Tokenizer") -> tuple[int, int, bool]:
    """Number and type of the padding piece, and whether padding stands in front."""
    rule: dict[str, Any] | None = tokenizer.padding
    if rule:
        return int(rule["pad_id"]), int(rule["pad_type_id"]), rule["direction"] == "left"
    found = (tokenizer.token_to_id(name) for name in PADDING)
    return next((number for number in found if number is not None), 0), 0, False


def _foreign_contract(files: OnnxFiles, pooling: str | None, width: int, is_unit: bool) -> Contract:
    beside = sorted(files.file.parent.glob(f"{files.file.name}*"))
    weights = "+".join(file_hash(path) for path in beside)
    space = {
        "weights": weights,
        "tokenizer": file_hash(files.root / "tokenizer.json"),
        "modules": [{"kind": "Onnx"}],
        "pooling": pooling or "in the graph",
        "max_length": files.limit,
        "attention": "in the graph",
        "prompts": {
            "texts": {name: text for name, text in sorted(files.prompts.items()) if text},
            "default": files.default_prompt,
        },
    }
    view = {
        "width": width,
        "normalised": is_unit,
        "dtype": "float32",
        "similarity": "cosine",
        "prompt": None,
        "quantiser": None,
    }
    name = files.file.stem if files.file.stem != "model" else files.root.resolve().name
    return Contract(space, view, {"name": name, "versions": {}, "licence": None, "lineage": [], "files": {}})
