"""BERT's layers over a packed row, for encoding only: the stock modules' weights, few calls, memory used again.

The stock forward pass allocates every product anew and spends a third of a single text's time in Python. Here the same
PyTorch functions run in the same order on the same weights (nothing is copied or fused ahead, so that a weight that
changes is seen), products go into memory that is kept for the call, and sums and GELU happen in place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from vecsmith.models.packed import Pack

__all__ = ["BertLayers", "Memory"]

KINDS = ("BertModel", "RobertaModel", "XLMRobertaModel", "CamembertModel")
PLAIN = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.Dropout)
Run = Callable[[Tensor, int, int, int], Tensor]


@dataclass(frozen=True)
class _Layer:
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attended: nn.Linear
    attended_norm: nn.LayerNorm
    inner: nn.Linear
    outer: nn.Linear
    outer_norm: nn.LayerNorm


class BertLayers:
    """The encoder of one BERT-like model; made by `of`."""

    def __init__(self, model: nn.Module) -> None:
        whole = cast(Any, model)
        self.model, config = model, whole.config
        self.heads = int(config.num_attention_heads)
        self.width = int(config.hidden_size)
        self.wide = int(config.intermediate_size)
        self.embeddings = whole.embeddings
        self.activation = whole.encoder.layer[0].intermediate.intermediate_act_fn
        self.is_gelu = config.hidden_act == "gelu"
        self.layers = [_layer(layer) for layer in whole.encoder.layer]

    @classmethod
    def of(cls, model: nn.Module) -> "BertLayers | None":
        """The layers of a stock model; None for other architectures and for models with foreign parts."""
        if type(model).__name__ not in KINDS or not type(model).__module__.startswith("transformers.models."):
            return None
        config = cast(Any, model).config
        if getattr(config, "is_decoder", False) or getattr(config, "add_cross_attention", False):
            return None
        try:
            found = cls(model)
        except AttributeError:
            return None
        return found if found.is_stock() else None

    def is_stock(self) -> bool:
        """Whether every part is PyTorch's own and nobody listens: adapters and hooks need the stock forward pass."""
        for module in self.model.modules():
            if module._forward_hooks or module._forward_pre_hooks:
                return False
            if type(module) not in PLAIN and any(each is not None for each in module._parameters.values()):
                return False
        return all(type(part) in PLAIN for layer in self.layers for part in vars(layer).values())

    def __call__(self, packed: "Pack", memory: "Memory | None" = None) -> Tensor:
        """Token vectors: float [T, width]. Call it in inference mode."""
        memory = memory or Memory()
        states = self._embed(packed.input_ids[0], packed.position_ids[0])
        tokens, dtype = len(states), states.dtype
        q, k, v, sums = (memory.take(name, tokens, self.width, dtype) for name in ("q", "k", "v", "sums"))
        wide = memory.take("wide", tokens, self.wide, dtype)
        for layer in self.layers:
            for part, into in ((layer.query, q), (layer.key, k), (layer.value, v)):
                _product(part, states, into)
            attended = self._attend(q, k, v, packed, memory)
            states = _norm(layer.attended_norm, _product(layer.attended, attended, sums).add_(states))
            _product(layer.inner, states, wide)
            active = torch.ops.aten.gelu_(wide) if self.is_gelu else self.activation(wide)
            states = _norm(layer.outer_norm, _product(layer.outer, active, sums).add_(states))
        return states

    def _embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        tables = self.embeddings
        states = nn.functional.embedding(ids, tables.word_embeddings.weight)
        states += tables.token_type_embeddings.weight[0]
        states += nn.functional.embedding(positions, tables.position_embeddings.weight)
        return _norm(tables.LayerNorm, states)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, packed: "Pack", memory: "Memory") -> Tensor:
        parts = []
        for first, texts, length in packed.runs:
            rows = slice(first, first + texts * length)
            cut = [each[rows].view(texts, length, self.heads, -1).transpose(1, 2) for each in (q, k, v)]
            part = nn.functional.scaled_dot_product_attention(cut[0], cut[1], cut[2])
            parts.append(part.transpose(1, 2).reshape(texts * length, self.width))
        if len(parts) == 1:
            return parts[0]
        return torch.cat(parts, out=memory.take("attended", len(q), self.width, q.dtype))


class Memory:
    """Matrices that are used again by the next batch; one per call of `encode`, never shared by threads."""

    def __init__(self) -> None:
        self.held: dict[str, Tensor] = {}

    def take(self, name: str, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        """float [rows, columns], with whatever was in it."""
        held = self.held.get(name)
        if held is None or held.numel() < rows * columns or held.dtype != dtype:
            held = self.held[name] = torch.empty(rows * columns, dtype=dtype)
        return held[: rows * columns].view(rows, columns)


def _layer(layer: Any) -> _Layer:
    attention = layer.attention
    return _Layer(
        attention.self.query,
        attention.self.key,
        attention.self.value,
        attention.output.dense,
        attention.output.LayerNorm,
        layer.intermediate.dense,
        layer.output.dense,
        layer.output.LayerNorm,
    )


def _product(part: nn.Linear, states: Tensor, into: Tensor) -> Tensor:
    return torch.addmm(part.bias, states, part.weight.t(), out=into)


def _norm(part: nn.LayerNorm, states: Tensor) -> Tensor:
    return nn.functional.layer_norm(states, part.normalized_shape, part.weight, part.bias, part.eps)
