"""Our model with one step changed: what a program that runs it wrongly would give.

Token vectors are kept per list of token ids, so that a change of pooling, Dense or Normalize costs no new run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer
from torch import Tensor, nn

from vecsmith.models.encode import encode
from vecsmith.models.torch_encoder import TorchEncoder

__all__ = ["Change", "Variants", "pool"]

Float = NDArray[np.float32]
Inputs = Sequence[tuple[str, str | None]]  # (text, role)


@dataclass(frozen=True)
class Change:
    """What is done otherwise; the defaults change nothing.

    text        what is done to a text before its prompt is put before it
    prompt      role -> the text put before; None: the model's own rule
    tokenizer   a tokenizer in JSON; None: the model's own
    special     special tokens are added, where the model does
    limit       tokens kept; 0: all that the model can read; None: the model's own limit
    keep_end    cut the beginning instead of the end
    pieces      read a long input in pieces and take their mean
    pooling     how tokens become one vector; None: the model's own way
    without     numbers of modules that are left out
    linear      numbers of Dense modules that leave out their activation
    width       components kept
    """

    text: Callable[[str], str] | None = None
    prompt: Callable[[str | None], str] | None = None
    tokenizer: str | None = None
    special: bool = True
    limit: int | None = None
    keep_end: bool = False
    pieces: bool = False
    pooling: str | None = None
    without: frozenset[int] = frozenset()
    linear: frozenset[int] = frozenset()
    width: int | None = None

    @property
    def is_of_text(self) -> bool:
        """Whether only texts and prompts change, so that any model can be run so."""
        return replace(self, text=None, prompt=None) == Change()

    def __or__(self, other: "Change") -> "Change":
        """Both changes; where both set a field, the other's."""
        empty = Change()
        return replace(
            self,
            **{f.name: value for f in fields(other) if (value := getattr(other, f.name)) != getattr(empty, f.name)},
        )


@dataclass
class Variants:
    """Runs a model under changes. `inputs` are (text, role) with role None, "query" or "document"."""

    model: SentenceTransformer
    _tokenizers: dict[str, Tokenizer] = field(default_factory=dict)
    _states: dict[tuple[tuple[int, ...], tuple[int, ...]], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.encoder = TorchEncoder(self.model)
        self.model.eval()
        own: Any = self.model.tokenizer if hasattr(self.model[0], "tokenizer") else None
        own = own if isinstance(own, Tokenizer) else getattr(own, "backend_tokenizer", None)
        self.tokenizer_json: str | None = own.to_str() if isinstance(own, Tokenizer) else None
        stock = isinstance(self.model[0], Transformer) and len(self.model) > 1 and isinstance(self.model[1], Pooling)
        # Whether the modules can be run one by one.
        self.is_open = self.tokenizer_json is not None and (isinstance(self.model[0], StaticEmbedding) or stock)

    def own_vectors(self, inputs: Inputs) -> Float:
        """What the model gives by the driver, cut inputs and all: float32 [n, d]."""
        return self._by_driver(inputs, Change())

    def vectors(self, inputs: Inputs, change: Change) -> Float:
        """What the model gives under a change: float32 [n, width after it].

        A model of other modules than Transformer, Pooling and what follows them, or StaticEmbedding, is only run under
        changes of texts; for others ValueError.
        """
        if change.pieces or (change.is_of_text and not self.is_open):
            return self._by_driver(inputs, change)
        if not self.is_open:
            raise ValueError("the model's modules cannot be run one by one")
        with torch.inference_mode():
            rows = [self._vector(text, role, change) for text, role in inputs]
        return torch.stack(rows).float().cpu().numpy()

    def close_unless_equal(self, inputs: Inputs, expected: Float, tolerance: float) -> None:
        """Give up running modules one by one where that does not give the model's own vectors, float32 [n, d]."""
        if self.is_open:
            found = self.vectors(inputs, Change())
            lengths = np.maximum(1.0, np.linalg.norm(expected, axis=1, keepdims=True))
            self.is_open = found.shape == expected.shape and bool(
                (np.abs(found - expected) <= tolerance * lengths).all()
            )

    @property
    def modes(self) -> tuple[str, ...]:
        """How tokens become one vector: ("mean",), or several whose vectors stand side by side."""
        if isinstance(self.model[0], StaticEmbedding):
            return ("mean",)
        mode: Any = self.model[1].pooling_mode
        return (mode,) if isinstance(mode, str) else tuple(mode)

    @property
    def most_tokens(self) -> int | None:
        """Positions the model has; None where it reads any number of tokens."""
        if isinstance(self.model[0], StaticEmbedding):
            return None
        config: Any = getattr(self.model[0].model, "config", None)
        positions = getattr(config, "max_position_embeddings", None)
        offset = 2 if getattr(config, "model_type", "") in ("roberta", "xlm-roberta", "camembert", "mpnet") else 0
        return None if not positions else int(positions) - offset

    def modules(self) -> list[tuple[int, nn.Module]]:
        """What follows the pooling, with their numbers."""
        return list(enumerate(self.model))[1 if isinstance(self.model[0], StaticEmbedding) else 2 :]

    def count(self, text: str, role: str | None) -> int:
        """Tokens of an input before any cut."""
        return int(self.encoder.count([text], self.encoder.prompt_for(role))[0])

    def _by_driver(self, inputs: Inputs, change: Change) -> Float:
        before = change.prompt or self.encoder.prompt_for
        edit = change.text or str
        cut = "chunk" if change.pieces else "cut"
        found: dict[int, Any] = {}
        for role in dict.fromkeys(role for _, role in inputs):
            places = [place for place, (_, wanted) in enumerate(inputs) if wanted == role]
            texts = [edit(inputs[place][0]) for place in places]
            vectors = encode(self.encoder, texts, prompt=role, prompt_text=before(role), on_truncation=cut)
            found.update(zip(places, vectors, strict=True))
        return np.stack([found[place] for place in range(len(inputs))])

    def _vector(self, text: str, role: str | None, change: Change) -> Tensor:
        before = (change.prompt or self.encoder.prompt_for)(role)
        edited = change.text(text) if change.text else text
        encoding = self._tokenizer(change).encode(before + edited, add_special_tokens=change.special and self._specials)
        states = self._token_vectors(tuple(encoding.ids), tuple(encoding.type_ids))
        skipped = 0
        if not isinstance(self.model[0], StaticEmbedding) and not self.model[1].include_prompt and before:
            skipped = self._prompt_tokens(before, change)
        modes = (change.pooling,) if change.pooling else self.modes
        features = {"sentence_embedding": torch.cat([pool(states, mode, skipped) for mode in modes])[None]}
        for number, module in self.modules():
            if number not in change.without:
                features = _run(module, features, number in change.linear)
        return self._cut(features["sentence_embedding"][0], change.width)

    def _cut(self, vector: Tensor, width: int | None) -> Tensor:
        width = width or self.model.truncate_dim
        if width is None or width >= len(vector):
            return vector
        is_unit = isinstance(self.model[-1], Normalize)
        return nn.functional.normalize(vector[:width], dim=-1) if is_unit else vector[:width]

    @property
    def _specials(self) -> bool:
        return not isinstance(self.model[0], StaticEmbedding)

    def _prompt_tokens(self, prompt: str, change: Change) -> int:
        """Tokens of a prompt that pooling leaves out: all but a special one at the end."""
        encoding = self._tokenizer(change).encode(prompt, add_special_tokens=change.special and self._specials)
        return len(encoding.ids) - int(bool(encoding.special_tokens_mask) and encoding.special_tokens_mask[-1])

    def _tokenizer(self, change: Change) -> Tokenizer:
        limit = self.encoder.token_limit if change.limit is None else change.limit or self.most_tokens
        described = change.tokenizer or self.tokenizer_json or ""
        if described not in self._tokenizers:
            self._tokenizers[described] = Tokenizer.from_str(described)
            self._tokenizers[described].no_padding()
        tokenizer = self._tokenizers[described]
        tokenizer.no_truncation()
        if limit is not None:
            tokenizer.enable_truncation(limit, direction="left" if change.keep_end else "right")
        return tokenizer

    def _token_vectors(self, ids: tuple[int, ...], types: tuple[int, ...]) -> Tensor:
        """Vectors of tokens: [tokens, d]."""
        first = self.model[0]
        if isinstance(first, StaticEmbedding):
            return first.embedding.weight[list(ids)]
        if not ids:
            return torch.zeros((0, cast(int, self.model[1].embedding_dimension)), device=self.model.device)
        if (ids, types) not in self._states:
            row = torch.tensor([ids], device=self.model.device)
            features: dict[str, Any] = {"input_ids": row, "attention_mask": torch.ones_like(row), "modality": "text"}
            if "token_type_ids" in self.model.tokenizer.model_input_names:
                features["token_type_ids"] = torch.tensor([types], device=self.model.device)
            self._states[ids, types] = first(features)["token_embeddings"][0]
        return self._states[ids, types]


def pool(states: Tensor, mode: str, skipped: int = 0) -> Tensor:
    """One vector of token vectors, as sentence-transformers' Pooling makes it.

    states    [tokens, d]; none gives zeros
    mode      cls, mean, max, lasttoken, mean_sqrt_len_tokens or weightedmean; "sum" is of no model, and a known fault
    skipped   tokens at the beginning that do not count
    """
    kept = states[skipped:].float()
    if not len(kept):
        return torch.zeros(states.shape[1], device=states.device)
    if mode in ("cls", "lasttoken"):
        return kept[0 if mode == "cls" else -1]
    if mode == "max":
        return kept.amax(dim=0)
    if mode == "weightedmean":
        weights = torch.arange(1 + skipped, len(states) + 1, device=states.device, dtype=torch.float32)
        return weights @ kept / weights.sum()
    total = kept.sum(dim=0)
    return total / {"mean": len(kept), "mean_sqrt_len_tokens": len(kept) ** 0.5, "sum": 1}[mode]


def _run(module: nn.Module, features: dict[str, Tensor], linear: bool) -> dict[str, Tensor]:
    if linear and isinstance(module, Dense):
        return {**features, module.module_output_name: module.linear(features[module.module_input_name])}
    return module(dict(features))
