"""A row's own candidates as a list: cosines beside the scores that a teacher gave them, each thing once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vecsmith.data.batch import Batch
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.candidates import unit

__all__ = ["OwnLists", "own_lists", "spread_of"]


@dataclass(frozen=True)
class OwnLists:
    """K = P + N places of a row: its positives, then its negatives.

    places    int64 [B, K]     row -> document block; -1 where absent or a repeat
    cosines   float [B, K]     of query and candidate; 0 where absent
    scores    float64 [B, K]   the teacher's; 0 where it gave none
    scored    bool [B, K]      present and with a score
    keys      int64 [B, K]
    positive  bool [B, K]      which places are positives
    """

    places: Tensor
    cosines: Tensor
    scores: Tensor
    scored: Tensor
    keys: Tensor
    positive: Tensor


def own_lists(queries: Tensor, documents: Tensor, batch: Batch, *, objective: str) -> OwnLists:
    """The own lists of all rows, with `batch.teacher_scores`.

    queries, documents   float [Uq, d], [Ud, d], of any length
    objective            for messages
    raises   NotEnoughData: the batch has no teacher scores at all

    A key that a list holds twice counts once: the place with a score, of several the first.
    """
    if batch.teacher_scores is None or not bool(torch.isfinite(batch.teacher_scores).any()):
        raise NotEnoughData(
            f"{objective} needs teacher_scores; none of {len(batch)} rows has any. "
            "Score the records first: vecsmith data score DATA --teacher NAME --output DIR"
        )
    places = torch.cat([batch.positives, batch.negatives], dim=1)
    scores = batch.teacher_scores.double()
    keys = batch.documents.keys[places.clamp_min(0)]
    scored = (places >= 0) & torch.isfinite(scores)
    places = places.masked_fill(_repeats(keys, places >= 0, scored), -1)
    scored = scored & (places >= 0)
    own, units = unit(queries)[batch.query_index], unit(documents)
    cosines = torch.einsum("bd,bkd->bk", own, units[places.clamp_min(0)]).masked_fill(places < 0, 0.0)
    positive = torch.arange(places.shape[1], device=places.device) < batch.positives.shape[1]
    return OwnLists(places, cosines, torch.where(scored, scores, 0.0), scored, keys, positive.expand_as(scored))


def spread_of(scores: Tensor, scored: Tensor) -> Tensor:
    """Highest minus lowest score of each row; 0 where it has none. float64 [B, K], bool [B, K] -> float64 [B]."""
    if not scores.shape[1]:
        return scores.new_zeros(len(scores))
    high = scores.masked_fill(~scored, -torch.inf).amax(dim=1)
    low = scores.masked_fill(~scored, torch.inf).amin(dim=1)
    return torch.where(scored.any(dim=1), high - low, 0.0)


def _repeats(keys: Tensor, present: Tensor, scored: Tensor) -> Tensor:
    """bool [B, K]: another place of the row has this key and stands before it; scored ones stand before others."""
    width = keys.shape[1]
    rank = torch.arange(width, device=keys.device) + width * (~scored)
    same = (keys[:, :, None] == keys[:, None, :]) & present[:, :, None] & present[:, None, :]
    return (same & (rank[:, None, :] < rank[:, :, None])).any(dim=2)
