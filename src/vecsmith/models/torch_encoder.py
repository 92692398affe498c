"""A SentenceTransformer as an encoder: what the driver asks of it, and the interface of `Encoder`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from tokenizers import Tokenizer

from vecsmith.contract.contract import Contract
from vecsmith.errors import ContractError, Damaged
from vecsmith.models.bert_layers import Memory
from vecsmith.models.encode import Held, HeldTexts, cut_at_words, encode
from vecsmith.models.packed import can_pack, layers_of, packed_encode, packed_forward
from vecsmith.models.static import unknown_share
from vecsmith.models.token_ids import ExactIds, exact_ids, plain_tokenizer
from vecsmith.progress import SILENT, Progress

__all__ = ["TorchEncoder"]

Float = NDArray[np.float32]
Rows = NDArray[np.int64]


class TorchEncoder:
    """Texts to vectors by a SentenceTransformer; holds no state but what it derives from the model."""

    def __init__(self, model: SentenceTransformer) -> None:
        self.model = model
        self.is_padded = not isinstance(model[0], StaticEmbedding)
        self.is_unit = isinstance(model[-1], Normalize)
        self.truncate_dim = model.truncate_dim
        self._rows = _table_rows(model)

    @property
    def _counter(self) -> Tokenizer | None:
        return plain_tokenizer(self.model)

    @property
    def dimension(self) -> int:
        return int(self.model.get_embedding_dimension() or 0)

    @property
    def token_limit(self) -> int | None:
        if not self.is_padded:
            rule: dict[str, Any] | None = cast(Tokenizer, self.model[0].tokenizer).truncation
            return int(rule["max_length"]) if rule else None
        limit = self.model.max_seq_length
        return int(limit) if limit is not None and limit < 1e9 else None

    def prompt_for(self, role: str | None) -> str:
        """sentence-transformers' rules: "document" falls back to "passage", then "corpus"; None is the default."""
        prompts, default = self.model.prompts, self.model.default_prompt_name
        if role is None:
            return (prompts.get(default) or "") if default else ""
        for name in ("document", "passage", "corpus") if role == "document" else (role,):
            if name in prompts:
                return prompts[name] or ""
        if role in ("query", "document"):
            return ""
        raise ValueError(f'no prompt is named "{role}"; this model has: {", ".join(sorted(prompts)) or "none"}')

    def count(self, texts: list[str], prompt: str) -> Rows:
        counter = self._counter
        if counter is None:  # no tokenizer to ask: characters order inputs by length just as well
            return np.array([1 + (len(prompt) + len(text)) // 4 for text in texts], dtype=np.int64)
        found = counter.encode_batch_fast([prompt + text for text in texts], add_special_tokens=self.is_padded)
        return np.fromiter((len(encoding.ids) for encoding in found), dtype=np.int64, count=len(found))

    def embed(self, texts: list[str], prompt: str, role: str | None) -> Float:
        """Vectors of one batch by the model's own preprocessing."""
        task: dict[str, Any] = {"task": role} if role in ("query", "document") else {}
        self.model.eval()
        with torch.inference_mode():
            return self._run(self.model.preprocess(texts, prompt=prompt or None, **task), task)

    def hold(self, texts: list[str], prompt: str, role: str | None) -> Held:
        """Texts tokenised once where `exact_ids` knows how; else counted here and tokenised again by `embed`."""
        exact = exact_ids(self.model) if self.is_padded else None
        if any(module.training for module in self.model.modules()):  # setting it costs as much as half a short text
            self.model.eval()
        return HeldTexts(self, texts, prompt, role) if exact is None else _Ids(self, exact, texts, prompt, role)

    def _run(self, features: dict[str, Any], task: dict[str, Any]) -> Float:
        model = self.model
        if isinstance(features.get("input_ids"), torch.Tensor) and features["input_ids"].numel():
            self._check_ids(int(features["input_ids"].max()))
        features = {k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in features.items()}
        return self._view(model(features, **task)["sentence_embedding"])

    def _check_ids(self, highest: int) -> None:
        if self._rows is not None and highest >= self._rows:
            raise Damaged(
                f"the tokenizer gives the id {highest:,}, the weights have {self._rows:,} token vectors: they are "
                "of two models; copy the model again"
            )

    def _view(self, vectors: torch.Tensor) -> Float:
        """The components that are kept, of unit length where the model's vectors are."""
        vectors = vectors.float()
        width = self.model.truncate_dim
        if width is not None and width < vectors.shape[1]:
            vectors = vectors[:, :width]
            if self.is_unit:
                vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return vectors.cpu().numpy()

    def pieces(self, text: str, prompt: str) -> list[tuple[str, int]]:
        limit = self.token_limit
        counter = self._counter
        if counter is None or limit is None:
            return [(text, 1)]
        size = max(1, limit - int(self.count([""], prompt)[0]))
        encoding = counter.encode(text, add_special_tokens=False)
        runs = cut_at_words(encoding.offsets, encoding.word_ids, size)
        return [(text[start:stop], tokens) for start, stop, tokens in runs] or [(text, 1)]

    @property
    def max_length(self) -> int:
        """Tokens that a passage is best cut to; 512 where the model has no limit."""
        return self.token_limit or 512

    @property
    def contract(self) -> Contract:
        """The model's contract.

        raises    ContractError: a plain SentenceTransformer, which has none
        """
        found = getattr(self.model, "contract", None)
        if not isinstance(found, Contract):
            raise ContractError("this model has no contract; load it with vecsmith.load(PATH)")
        return found

    @property
    def folder(self) -> Path | None:
        """Where the model lies; None for one that was built in memory or changed since it was loaded."""
        return getattr(self.model, "folder", None)

    @property
    def name(self) -> str:
        return self.contract.name

    def encode(self, texts: Iterable[str], *, prompt: str | None = None, progress: Progress = SILENT) -> Float:
        """float32 [n, dimension]; `prompt` is a role, "query" or "document", or a prompt's name."""
        on_truncation = getattr(self.model, "on_truncation", "warn")
        return encode(self, texts, prompt=prompt, on_truncation=on_truncation, progress=progress)

    def encode_query(self, texts: Sequence[str], progress: Progress = SILENT) -> Float:
        """Vectors of queries, with the query prompt where the model has one."""
        return self.encode(texts, prompt="query", progress=progress)

    def encode_document(self, texts: Sequence[str], progress: Progress = SILENT) -> Float:
        """Vectors of documents, with the document prompt where the model has one."""
        return self.encode(texts, prompt="document", progress=progress)

    def count_tokens(self, text: str) -> int:
        """Tokens of one text, without prompt, special tokens included."""
        return int(self.count([text], "")[0])

    def unknown_share(self, texts: Iterable[str]) -> float:
        """Share of tokens outside the vocabulary, 0..1; 0 for no tokens."""
        counter = self._counter
        return 0.0 if counter is None else unknown_share(counter, texts)


def _table_rows(model: SentenceTransformer) -> int | None:
    """Rows of the table of token vectors; None where the first module has none that it shows."""
    first: Any = model[0]
    table = getattr(first, "embedding", None)
    if table is None and hasattr(first, "auto_model"):
        table = first.auto_model.get_input_embeddings()
    found = getattr(table, "num_embeddings", None)
    return found if isinstance(found, int) else None


class _Ids:
    """Token ids of texts, run without padding where the model can (`can_pack`), in padded batches elsewhere."""

    def __init__(self, encoder: TorchEncoder, exact: ExactIds, texts: list[str], prompt: str, role: str | None) -> None:
        self.encoder, self.exact = encoder, exact
        self.tokens = exact.tokens(texts, prompt)
        self.counts = self.tokens.counts
        encoder._check_ids(int(self.tokens.flat.max(initial=0)))
        self.prompt_length = exact.prompt_length(encoder.model, prompt)
        self.task: dict[str, Any] = {"task": role} if role in ("query", "document") else {}
        # Not proven on accelerators, where many small attention calls cost more than padding does.
        # A text without a token (a tokenizer that adds none, an empty text) has no place in a pack.
        self.is_packed = (
            encoder.model.device.type == "cpu" and can_pack(encoder.model) and bool((self.counts > 0).all())
        )
        self.layers = layers_of(encoder.model) if self.is_packed else None
        self.memory = Memory()

    def embed(self, rows: Rows) -> Float:
        encoder, ids = self.encoder, self.tokens.of(rows)
        with torch.inference_mode():
            if not self.is_packed:
                return encoder._run(self.exact.padded(ids, self.prompt_length), self.task)
            length = self.prompt_length
            if self.layers is None:
                return encoder._view(packed_forward(encoder.model, ids, prompt_length=length)["sentence_embedding"])
            vectors = packed_encode(encoder.model, ids, layers=self.layers, memory=self.memory, prompt_length=length)
            return encoder._view(vectors)
