"""Texts of any lengths in one row without padding, through the stock transformers model.

    ids of n texts -> sorted by length, laid end to end: [1, T] -> the model's own layers -> pooled by segment: [n, d]

Everything but attention works on single tokens, so it needs no change. Attention is replaced by one that cuts the row
into runs of texts of equal length and calls PyTorch's kernel on each run without a mask. It works under autograd and in
training mode; the padded result is met within rounding (tests compare values and gradients).
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Dropout, LayerNorm, Pooling
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from vecsmith.models.bert_layers import BertLayers, Memory

__all__ = [
    "Pack",
    "can_pack",
    "first_position_of",
    "layers_of",
    "pack",
    "packed_attention",
    "packed_encode",
    "packed_forward",
    "unpadded_ids",
]

Ids = Sequence[Sequence[int]] | Sequence[NDArray[np.int64]]

NAME = "vecsmith_packed"
CHECK_LENGTHS = (3, 9, 9, 4, 2, 17, 150, 9, 3)  # uneven, equal, longer than the local window of layers that have one
LARGEST_DIFFERENCE = 2e-5  # of a component, relative to the larger of 1 and the largest: rounding stays below 1e-5
_AFTER_POOLING = (Dense, Dropout, LayerNorm, Normalize)
_current: ContextVar["Pack | None"] = ContextVar("vecsmith_pack", default=None)
_switch = threading.Lock()
_users: dict[int, int] = {}  # id of a model's config -> packed forward passes that are running


@dataclass(frozen=True)
class Pack:
    """Texts laid end to end, in order of length.

    input_ids      int64 [1, T]
    position_ids   int64 [1, T], restarting at each text from what the model counts from
    ends           int32 [n + 1], where each text ends and the next begins, from 0
    segments       int64 [T], the text each token belongs to
    runs           (first token, texts, tokens of each): texts of equal length side by side
    places         int64 [n], where the text given as number i lies
    """

    input_ids: Tensor
    position_ids: Tensor
    ends: Tensor
    segments: Tensor
    runs: tuple[tuple[int, int, int], ...]
    places: Tensor

    def features(self, prompt_length: int | None = None) -> dict[str, Any]:
        """What `model.forward` takes; its vectors come in the order of length: `vectors[pack.places]` is yours."""
        found: dict[str, Any] = {
            "input_ids": self.input_ids,
            "position_ids": self.position_ids,
            "cu_seq_lens_q": self.ends,
            "seq_idx": self.segments[None],
            "modality": "text",
        }
        if prompt_length is not None:
            found["prompt_length"] = prompt_length
        return found

    def to(self, device: torch.device | str) -> "Pack":
        names = ("input_ids", "position_ids", "ends", "segments", "places")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})


def pack(ids: Ids, *, first_position: int = 0) -> Pack:
    """Lay texts end to end.

    ids              token ids of each text, special tokens included, 1 or more each
    first_position   the position of a text's first token: 0, but 2 for RoBERTa and its kin (`first_position_of`)
    raises           ValueError: no text, or one without a token
    """
    lengths = np.fromiter((len(each) for each in ids), dtype=np.int64, count=len(ids))
    if not len(lengths) or lengths.min() < 1:
        raise ValueError("a pack needs one text or more, each of one token or more")
    order = np.argsort(lengths, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    flat = np.concatenate([np.asarray(ids[row], dtype=np.int64) for row in order.tolist()])
    sorted_lengths = lengths[order]
    ends = np.concatenate([[0], np.cumsum(sorted_lengths)])
    segments = np.repeat(np.arange(len(order)), sorted_lengths)
    positions = np.arange(len(flat)) - ends[:-1][segments] + first_position
    found, first, counts = np.unique(sorted_lengths, return_index=True, return_counts=True)
    runs = tuple(zip(ends[first].tolist(), counts.tolist(), found.tolist(), strict=True))
    return Pack(
        torch.from_numpy(flat)[None],
        torch.from_numpy(positions)[None],
        torch.from_numpy(ends.astype(np.int32)),
        torch.from_numpy(segments),
        runs,
        torch.from_numpy(places),
    )


def unpadded_ids(features: Mapping[str, Any]) -> list[NDArray[np.int64]]:
    """Token ids of each text, from what a tokenizer padded: `input_ids` and `attention_mask`, int64 [n, length]."""
    ids, mask = features["input_ids"].cpu().numpy(), features["attention_mask"].cpu().numpy().astype(bool)
    return [row[kept] for row, kept in zip(ids, mask, strict=True)]


def packed_forward(
    model: SentenceTransformer,
    ids: Ids,
    *,
    prompt_length: int | None = None,
    through: nn.Module | None = None,
) -> dict[str, Any]:
    """Run a model on texts without padding; gradients flow as through the padded batch.

    model           one for which `can_pack` is true, in training or evaluation mode
    ids             token ids of each text, special tokens included, already cut to the model's limit
    prompt_length   tokens of the prompt, for models that leave it out of pooling
    through         what to call with the features instead of `model` itself, e.g. its DDP wrapper
    returns         what `model.forward` returns, with every value that has a row per text in the order of `ids`:
                    "sentence_embedding" float [n, d]; "token_embeddings" stays packed, float [1, T, width]
    """
    transformer = cast(Transformer, model[0])
    packed = pack(ids, first_position=first_position_of(transformer)).to(model.device)
    inputs = set(packed.features(prompt_length)) | {transformer.module_output_name}
    with packed_attention(transformer, packed):
        found = (through or model)(packed.features(prompt_length))
    return {
        key: value[packed.places] if isinstance(value, Tensor) and key not in inputs else value
        for key, value in found.items()
    }


def packed_encode(
    model: SentenceTransformer,
    ids: Ids,
    *,
    layers: BertLayers,
    memory: Memory,
    prompt_length: int | None = None,
) -> Tensor:
    """`packed_forward` for encoding only, through `layers_of(model)`: float [n, d] in the order of `ids`."""
    packed = pack(ids, first_position=first_position_of(cast(Transformer, model[0])))
    features = packed.features(prompt_length)
    features["token_embeddings"] = layers(packed, memory)[None]
    for module in list(model)[1:]:
        features = module(features)
    return cast(Tensor, features["sentence_embedding"])[packed.places]


def layers_of(model: SentenceTransformer) -> BertLayers | None:
    """The quick way through a model for which `can_pack` is true; None where it has adapters, hooks or other layers."""
    first = cast(Transformer, model[0])
    if any(each._forward_hooks or each._forward_pre_hooks for each in (model, first)):
        return None
    return BertLayers.of(first.model)  # found anew each time: parts may have been replaced


@contextmanager
def packed_attention(transformer: Transformer, packed: Pack) -> Iterator[None]:
    """Within it, forward passes of this thread attend within the texts of `packed`; other threads see nothing of it."""
    config = transformer.model.config
    # The name is shared by all threads, the pack is not; the name goes when the last user does. A thread without a
    # pack that meets the name gets PyTorch's own attention and masks.
    with _switch:
        _users[id(config)] = _users.get(id(config), 0) + 1
        if config._attn_implementation != NAME:
            config._attn_implementation = NAME
    token = _current.set(packed)
    try:
        yield
    finally:
        _current.reset(token)
        with _switch:
            _users[id(config)] -= 1
            if not _users[id(config)]:
                del _users[id(config)]
                config._attn_implementation = "sdpa"


def first_position_of(transformer: Transformer) -> int:
    """The position a text's first token has: after the padding index where positions are a table that has one."""
    kept = transformer.__dict__.get("_vecsmith_first_position")
    if kept is None:
        kept = transformer.__dict__["_vecsmith_first_position"] = int(transformer._infer_flatten_position_offset())
    return int(kept)


def can_pack(model: SentenceTransformer) -> bool:
    """Whether packed rows give this model's vectors: by its parts, and by comparing token vectors once.

    Compared once per model and kept on it. Never with gradient checkpointing, which runs layers again later, with a
    compiled model, or with another attention than PyTorch's ("sdpa").
    """
    first = model[0]
    if not isinstance(first, Transformer) or _recomputes(first.model) or model._compiled_call_impl is not None:
        return False
    if first.model.config._attn_implementation not in ("sdpa", NAME):
        return False
    known = first.__dict__.get("_vecsmith_can_pack")
    if known is None:
        known = _parts_fit(model) and _agrees(first)
        first.__dict__["_vecsmith_can_pack"] = known
    return bool(known)


def _recomputes(inner: nn.Module) -> bool:
    return any(module.__dict__.get("gradient_checkpointing") for module in inner.modules())


def _parts_fit(model: SentenceTransformer) -> bool:
    first, rest = cast(Transformer, model[0]), list(model)[1:]
    text: dict[str, Any] = dict(first.modality_config.get("text") or {})
    is_plain = (
        first.backend == "torch"
        and first.transformer_task == "feature-extraction"
        and "message" not in first.modality_config
        and text.get("method") == "forward"
        and text.get("method_output_name") in ("last_hidden_state", ["last_hidden_state"], ("last_hidden_state",))
        and first.module_output_name == "token_embeddings"
        and first.query_expansion is None
        and type(first) is Transformer
    )
    poolings = [module for module in rest if type(module) is Pooling]
    others = [module for module in rest if type(module) is not Pooling]
    on_sentences = all(isinstance(module, _AFTER_POOLING) for module in others) and all(
        getattr(module, "module_input_name", "sentence_embedding") == "sentence_embedding" for module in others
    )
    return (
        is_plain
        and len(poolings) == 1
        and type(rest[0]) is Pooling
        and on_sentences
        and bool(getattr(first.model, "is_backend_compatible", lambda: False)())
    )


def _agrees(transformer: Transformer) -> bool:
    """Compare token vectors of a few made-up texts, packed and alone (alone, so that no padding mask is needed)."""
    inner = transformer.model
    was_training = inner.training
    inner.eval()
    try:
        with torch.no_grad():
            return _largest_difference(transformer) <= LARGEST_DIFFERENCE
    except (TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError, IndexError):
        return False  # whatever a model cannot do with packed rows, padded rows can
    finally:
        inner.train(was_training)


def _largest_difference(transformer: Transformer) -> float:
    config, inner = transformer.model.config, transformer.model
    limit = min(int(transformer.max_seq_length or 512), max(CHECK_LENGTHS))
    top = int(config.get_text_config().vocab_size)
    draw = np.random.default_rng(0)
    ids = [draw.integers(top // 2, top, size=min(length, limit)) for length in CHECK_LENGTHS]
    packed = pack(ids, first_position=first_position_of(transformer)).to(inner.device)
    with packed_attention(transformer, packed):
        row = inner(input_ids=packed.input_ids, position_ids=packed.position_ids).last_hidden_state[0].float()
    worst = 0.0
    for number, each in enumerate(ids):
        tokens = torch.from_numpy(each)[None].to(inner.device)
        alone = inner(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state[0].float()
        place = int(packed.places[number])
        here = row[packed.ends[place] : packed.ends[place + 1]]
        scale = max(1.0, float(alone.abs().max()))
        worst = max(worst, float((here - alone).abs().max()) / scale)
    exact = inner.dtype in (torch.float32, torch.float64)
    return worst if exact else worst / 500  # half precision: the same bound in its own rounding


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query float [1, heads, T, width] -> float [1, T, heads, width]."""
    packed = _current.get()
    if packed is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **options)
    if options.get("softcap") is not None or options.get("position_bias") is not None or query.shape[0] != 1:
        raise NotImplementedError("packed rows know neither soft caps nor position biases")
    causal = options.get("is_causal")
    causal = bool(getattr(module, "is_causal", True) if causal is None else causal)
    window = options.get("sliding_window")
    parts = []
    for first, texts, length in packed.runs:
        band = None if window is None or window > length else _band(length, int(window), causal, query.device)
        part = nn.functional.scaled_dot_product_attention(
            _run(query, first, texts, length),
            _run(key, first, texts, length),
            _run(value, first, texts, length),
            attn_mask=band,
            dropout_p=dropout,
            scale=scaling,
            is_causal=causal and band is None and length > 1,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        parts.append(part.transpose(1, 2).reshape(texts * length, query.shape[1], value.shape[-1]))
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[None], None


def _run(tensor: Tensor, first: int, texts: int, length: int) -> Tensor:
    """The texts of one run: [1, heads, T, width] -> [texts, heads, length, width], without a copy."""
    return tensor[0, :, first : first + texts * length].unflatten(1, (texts, length)).transpose(0, 1)


def _band(length: int, window: int, causal: bool, device: torch.device) -> Tensor:
    """Which tokens see which in a layer with a local window of `window - 1` on each side: bool [length, length]."""
    places = torch.arange(length, device=device)
    distance = places[:, None] - places[None]
    return (distance < window) & ((distance >= 0) if causal else (distance > -window))


def _mask(*arguments: Any, **options: Any) -> Tensor | None:
    """transformers' mask interface: a pack needs no mask."""
    return None if _current.get() is not None else sdpa_mask(*arguments, **options)


ALL_ATTENTION_FUNCTIONS.register(NAME, _attend)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, _mask)
