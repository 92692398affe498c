"""The driver's view of a SentenceTransformer: count tokens, embed one batch."""

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from tokenizers import Tokenizer

from vecsmith.models.encode import cut_at_words

__all__ = ["TorchBackend"]

Float = NDArray[np.float32]


class TorchBackend:
    """A SentenceTransformer as `Backend`; holds no state but what it derives from the model."""

    def __init__(self, model: SentenceTransformer) -> None:
        self.model = model
        self.is_padded = not isinstance(model[0], StaticEmbedding)
        self.is_unit = isinstance(model[-1], Normalize)
        self.truncate_dim = model.truncate_dim
        self._counter = _counter(model)

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

    def count(self, texts: list[str], prompt: str) -> NDArray[np.int64]:
        if self._counter is None:  # no tokenizer to ask: characters order inputs by length just as well
            return np.array([1 + (len(prompt) + len(text)) // 4 for text in texts], dtype=np.int64)
        found = self._counter.encode_batch_fast([prompt + text for text in texts], add_special_tokens=self.is_padded)
        return np.fromiter((len(encoding.ids) for encoding in found), dtype=np.int64, count=len(found))

    def embed(self, texts: list[str], prompt: str, role: str | None) -> Float:
        model = self.model
        task: dict[str, Any] = {"task": role} if role in ("query", "document") else {}
        model.eval()
        with torch.inference_mode():
            features = model.preprocess(texts, prompt=prompt or None, **task)
            features = {k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in features.items()}
            vectors = model(features, **task)["sentence_embedding"].float()
            if model.truncate_dim is not None and model.truncate_dim < vectors.shape[1]:
                vectors = vectors[:, : model.truncate_dim]
                if self.is_unit:
                    vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return vectors.cpu().numpy()

    def pieces(self, text: str, prompt: str) -> list[tuple[str, int]]:
        limit = self.token_limit
        if self._counter is None or limit is None:
            return [(text, 1)]
        size = max(1, limit - int(self.count([""], prompt)[0]))
        encoding = self._counter.encode(text, add_special_tokens=False)
        runs = cut_at_words(encoding.offsets, encoding.word_ids, size)
        return [(text[start:stop], tokens) for start, stop, tokens in runs] or [(text, 1)]

    def unknown_share(self, texts: list[str]) -> float:
        """Share of tokens outside the vocabulary, 0..1."""
        if self._counter is None:
            return 0.0
        unknown_token = getattr(self._counter.model, "unk_token", None)
        unknown_id = self._counter.token_to_id(unknown_token) if unknown_token else None
        unknown = total = 0
        for at in range(0, len(texts), 1024):
            for encoding in self._counter.encode_batch_fast(texts[at : at + 1024], add_special_tokens=False):
                total += len(encoding.ids)
                unknown += encoding.ids.count(unknown_id) if unknown_id is not None else 0
        return unknown / total if total else 0.0


def _counter(model: SentenceTransformer) -> Tokenizer | None:
    """A copy of the model's tokenizer that neither cuts nor pads; the model's own keeps its settings."""
    tokenizer = getattr(model, "tokenizer", None)
    own = tokenizer if isinstance(tokenizer, Tokenizer) else getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(own, Tokenizer):
        return None
    copy = Tokenizer.from_str(own.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy
