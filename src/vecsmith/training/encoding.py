"""Encode each distinct input of a batch once, over all ranks, whole or by gradient caching.

Gradient caching (Gao et al., 2021, arXiv 2101.06983) is sentence-transformers' engine; the flat features of static
models, which it cannot cut, are cut here. Under DDP each rank encodes its share of the distinct inputs, the vectors
are gathered, and every rank computes the whole loss: only its own share carries a graph, so the sum of the ranks'
gradients is the gradient of one process with the whole batch, for any objective.

A wrapper may ask for *views*: the vectors after fewer layers. Then a side's vectors are a stack [V, n, d], view 0 the
whole model, and so it is cached and gathered.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as distributed
from sentence_transformers.base.losses.gradcache import CachedLossMixin, RandContext, _create_minibatch
from torch import Tensor, nn

from vecsmith.data.batch import Batch
from vecsmith.models.layers import layer_stack, layer_views, view_key
from vecsmith.models.packed import can_pack, packed_forward, unpadded_ids
from vecsmith.objectives.loss import Loss

__all__ = ["EncodedLoss", "gather_shards", "shard", "world"]

BEFORE_NORMALIZE = "embedding_before_normalize"
LAYERS = "view_layers"  # a key of features: the layers to see besides the last
Views = Callable[[int, int], tuple[int, ...]]


class EncodedLoss(CachedLossMixin, nn.Module):
    """Features of both sides and a batch to a scalar whose `backward` reaches the model.

    model             a SentenceTransformer, or its DDP wrapper
    objective         (queries, documents, batch) -> Loss on vectors [U, d]; with `views` (queries, documents, batch,
                      layers) on [V, U, d] and the layer of each view, of which the first is the number of layers
    mini_batch_size   None encodes each side at once; a number caches gradients over chunks of so many inputs
    views             (seed of the batch, number of layers) -> the shallow layers to see in this step
    raises            UsageError: views of a model whose layers cannot be seen one by one, such as a static one
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Callable[..., Loss],
        mini_batch_size: int | None = None,
        views: Views | None = None,
    ) -> None:
        super().__init__()
        if mini_batch_size is not None and mini_batch_size < 1:
            raise ValueError(f"mini_batch_size is {mini_batch_size}; give at least 1, or None to encode all at once")
        self.model, self.objective = model, objective
        self.mini_batch_size = mini_batch_size or 0
        self.uses_gradient_cache = mini_batch_size is not None
        self.parts: dict[str, float] = {}
        self.views = views
        self.depth = len(layer_stack(_bare(model))) if views else 0
        self._batch: Batch | None = None
        self._layers: tuple[int, ...] = ()

    def forward(self, batch: Batch) -> Tensor:
        """The loss; the numbers of its objective are in `parts` afterwards."""
        sides = [dict(batch.queries.features or {}), dict(batch.documents.features or {})]
        self._batch = batch
        if self.views:
            self._layers = self.views(batch.seed, self.depth)
            sides = [{**side, LAYERS: self._layers} for side in sides]
        if self.uses_gradient_cache:
            return self.forward_cached([with_lengths(side) for side in sides])
        return self._whole([self._vectors(side) for side in sides])

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The objective on the vectors of all chunks; the engine's hook."""
        value = self._whole([torch.cat(side, dim=-2) for side in reps])
        if with_backward:
            value.backward()
            value = value.detach()
        return value

    def _whole(self, sides: list[Tensor]) -> Tensor:
        batch, (_, ranks) = self._batch, world()
        assert batch is not None
        queries, documents = (
            gather_shards(side, len(block)) for side, block in zip(sides, (batch.queries, batch.documents), strict=True)
        )
        seen = ((self.depth, *self._layers),) if self.views else ()
        loss = self.objective(queries, documents, batch, *seen)
        self.parts = loss.parts
        # A rank whose share is empty encoded a stand-in: it must stay in the graph, or DDP waits for it for ever.
        value = loss.value + sum(side.sum() * 0.0 for side in sides)
        # DDP takes the mean over ranks of gradients that are parts of one sum; the reported value stays as it is.
        return value if ranks == 1 else value.detach() + (value - value.detach()) * ranks

    def embed_minibatch(
        self,
        sentence_feature: dict[str, Tensor],
        begin: int,
        end: int,
        with_grad: bool,
        copy_random_state: bool,
        random_state: RandContext | None = None,
    ) -> tuple[Tensor, RandContext | None]:
        """Encode inputs begin..end; the engine's hook."""
        chunk = without_lengths(_create_minibatch(sentence_feature, begin, end))
        with random_state or nullcontext(), torch.enable_grad() if with_grad else torch.no_grad():
            state = RandContext(*chunk.values()) if copy_random_state else None
            return self._vectors(chunk), state

    def _vectors(self, features: dict[str, Any]) -> Tensor:
        layers: tuple[int, ...] | None = features.pop(LAYERS, None)
        seen: AbstractContextManager[None] = nullcontext()
        if layers:
            seen = layer_views(_bare(self.model), layers, before_normalize)
        with seen:
            output = self._packed(features) if self._packs(features) else self.model(features)
        vectors = before_normalize(output)
        if layers is None:
            return vectors
        return torch.stack([vectors, *(output[view_key(layer)].to(vectors.dtype) for layer in layers)])

    def _packs(self, features: Mapping[str, Any]) -> bool:
        """Whether padding can be left out: for padded texts, each with a token, of a model that packed rows fit."""
        mask = features.get("attention_mask")
        return mask is not None and mask.ndim == 2 and can_pack(_bare(self.model)) and bool(mask.any(dim=1).all())

    def _packed(self, features: Mapping[str, Any]) -> dict[str, Any]:
        length = features.get("prompt_length")
        length = int(length[0]) if isinstance(length, Tensor) else length
        return packed_forward(_bare(self.model), unpadded_ids(features), prompt_length=length, through=self.model)


def before_normalize(output: Mapping[str, Any]) -> Tensor:
    """The vectors that an objective sees, of what all modules gave."""
    vectors: Tensor = output.get(BEFORE_NORMALIZE, output["sentence_embedding"])
    return vectors


def _bare(model: nn.Module) -> Any:
    """The SentenceTransformer itself, out of the wrapper that DDP puts around it."""
    return getattr(model, "module", model)


def with_lengths(features: Mapping[str, Any]) -> dict[str, Any]:
    """Flat features (input_ids, offsets) as the engine's flattened kind, which it knows to count and to cut."""
    if "offsets" not in features or "attention_mask" in features:
        return dict(features)
    ids, offsets = features["input_ids"], features["offsets"]
    ends = torch.cat([offsets, offsets.new_tensor([len(ids)])])
    return {"input_ids": ids, "cu_seq_lens_q": ends, "flat": True}


def without_lengths(features: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `with_lengths`, for a chunk."""
    if not features.get("flat"):
        return features
    return {"input_ids": features["input_ids"], "offsets": features["cu_seq_lens_q"][:-1]}


def world() -> tuple[int, int]:
    """This process's rank and the number of ranks; (0, 1) without a process group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def shard(total: int, rank: int, ranks: int) -> slice:
    """The share of `total` inputs that a rank encodes; equal parts, the last shorter or empty."""
    size = -(-total // ranks)
    return slice(min(rank * size, total), min((rank + 1) * size, total))


def gather_shards(own: Tensor, total: int) -> Tensor:
    """All ranks' vectors [(V,) total, d] from each rank's share; gradients flow into this rank's share only."""
    rank, ranks = world()
    if ranks == 1:
        return own
    here = shard(total, rank, ranks)
    own = own[..., : here.stop - here.start, :]  # an empty share was encoded as one stand-in
    size = -(-total // ranks)
    padded = own.new_zeros(*own.shape[:-2], size, own.shape[-1])
    padded[..., : own.shape[-2], :] = own.detach()
    parts = [torch.empty_like(padded) for _ in range(ranks)]
    distributed.all_gather(parts, padded)
    return torch.cat(list(_with_own(parts, own, rank, total)), dim=-2)


def _with_own(parts: list[Tensor], own: Tensor, rank: int, total: int) -> Iterator[Tensor]:
    for other, part in enumerate(parts):
        place = shard(total, other, len(parts))
        yield own if other == rank else part[..., : place.stop - place.start, :]
