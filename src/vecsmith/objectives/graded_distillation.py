"""Learn from a list graded by rewards: every candidate a positive against what is graded lower, and against the batch.

LLM-Embedder (Zhang et al., 2023, arXiv 2310.07554), its stabilised distillation; the same function is called
`m3_kd_loss` in FlagEmbedding. [ours]: several positives, ties, candidates without a reward, masks, row weights.
"""

import torch
from torch import Tensor

from vecsmith.data.batch import Batch
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.candidates import candidates
from vecsmith.objectives.loss import Loss
from vecsmith.objectives.masks import Masks, mask
from vecsmith.objectives.own_lists import OwnLists, own_lists, spread_of
from vecsmith.objectives.reduce import log_total, lowest
from vecsmith.objectives.soft_labels import above_zero, softened

__all__ = ["graded_distillation"]

NEEDS = {"graded_distillation": ("teacher_scores",)}


def graded_distillation(
    queries: Tensor,
    documents: Tensor,
    batch: Batch,
    *,
    temperature: float = 0.01,
    teacher_temperature: float = 1.0,
    positive_first: bool = True,
    reward_spread: float = 0.0,
    in_batch: bool = True,
    mask_known: bool = True,
    mask_labels: bool = True,
    mask_groups: bool = True,
) -> Loss:
    """sum_k w_k * -log(e^(s_k/t) / sum over the pool without c_1..c_(k-1) of e^(s/t)); the weighted mean over rows.

    queries, documents    float [Uq, d], [Ud, d], before any Normalize module
    batch                 `teacher_scores` float32 [B, P+N], the rewards r
    temperature           t, > 0; 0.01 as published
    teacher_temperature   w = softmax(r / it) over the row's own candidates; published code takes no notice of it: 1.0
    positive_first        a row's positives lead the list whatever their reward (a gold answer); False sorts all by
                          reward, as one must where the positive was drawn at random
    reward_spread         rows whose rewards lie closer together are left out (published for language modelling: 0.1)
    in_batch              whether other rows' documents are in the pool, where `batch.in_batch` allows
    mask_known, mask_labels, mask_groups   which of those leave the pool; as `info_nce`
    returns     value; parts `agreement` (share of rows whose best own candidate leads its list), `candidates` (other
                rows' documents per row), `left_out` (rows), `removed_key`, `removed_known`, ... (pairs)
    raises      NotEnoughData: no row is left; ValueError: a temperature that is not above 0

    The pool is a row's own candidates and the distinct documents of other rows. Of own candidates without a reward,
    negatives stay below the line for ever, positives are left out. Equal rewards stand in order of their keys. A row
    with one candidate is InfoNCE of it. Worked by hand: two candidates at cosine 0, rewards equal, no other rows:
    (log 2 + 0) / 2 = 0.3466, since the second has nothing left below it but itself.
    """
    above_zero(temperature=temperature, teacher_temperature=teacher_temperature)
    with torch.autocast(queries.device.type, enabled=False):
        lists = ranked(own_lists(queries, documents, batch, objective="graded_distillation"), positive_first)
        chosen = Masks(known=mask_known, labels=mask_labels, groups=mask_groups)
        others, removed = _other_documents(queries, documents, batch, lists, chosen, in_batch and batch.in_batch)
        counted = lists.scored.any(dim=1) & (spread_of(lists.scores, lists.scored) >= reward_spread)
        weights = batch.weights.to(lists.cosines.dtype) * counted
        if not (total := weights.sum()) > 0:
            limit = f", or rewards closer together than {reward_spread}" if reward_spread else ""
            raise NotEnoughData(f"all rows masked: each of {len(batch)} rows has no reward{limit} (or a weight of 0)")
        heat = torch.full_like(lists.scores[:, 0], teacher_temperature)
        shares = softened(lists.scores, lists.scored, heat).to(lists.cosines.dtype)
        each = (shares * costs(lists, *others, temperature)).sum(dim=1)
        value = (weights * each.masked_fill(~counted, 0.0)).sum() / total
    with torch.no_grad():
        leads = lists.cosines.masked_fill(~lists.scored, -2.0).argmax(dim=1) == 0
        parts = {
            "agreement": float((weights * leads).sum() / total),
            "candidates": float(others[1].sum() / len(batch)),
            "left_out": float((~counted).sum()),
        }
    return Loss(value, {**parts, **removed})


def ranked(lists: OwnLists, positive_first: bool) -> OwnLists:
    """The lists from best to worst: places with a reward first (positives leading them, where asked), then by reward,
    then by key; negatives without a reward last. Positives without a reward leave the list."""
    unknown = lists.positive & ~lists.scored
    behind = (~lists.scored).long() * 2 + ((~lists.positive) if positive_first else 0)
    order = lists.keys.argsort(dim=1)
    for column in (-lists.scores, behind):  # stable: the last counts most
        order = order.gather(1, column.gather(1, order).argsort(dim=1, stable=True))
    places = lists.places.masked_fill(unknown, -1)
    return OwnLists(
        places=places.gather(1, order),
        cosines=lists.cosines.gather(1, order),
        scores=lists.scores.gather(1, order),
        scored=lists.scored.gather(1, order),
        keys=lists.keys.gather(1, order),
        positive=lists.positive.expand_as(order).gather(1, order),
    )


def costs(lists: OwnLists, cosines: Tensor, allowed: Tensor, temperature: float) -> Tensor:
    """-log of each candidate's share of the pool without the better ones: float [B, K]; 0 where there is none.

    cosines, allowed   float, bool [B, C]: other rows' documents
    """
    nothing = lowest(cosines)
    own = (lists.cosines / temperature).masked_fill(lists.places < 0, nothing)
    rest = log_total(cosines / temperature, allowed).masked_fill(~allowed.any(dim=1), nothing)  # [B]
    width = own.shape[1]
    worse = torch.ones(width, width, dtype=torch.bool, device=own.device).triu()  # itself, and all behind it
    below = torch.logsumexp(own[:, None, :].masked_fill(~worse, nothing), dim=2)  # [B, K]
    return (torch.logaddexp(below, rest[:, None]) - own).masked_fill(~lists.scored, 0.0)


def _other_documents(
    queries: Tensor, documents: Tensor, batch: Batch, lists: OwnLists, chosen: Masks, wanted: bool
) -> tuple[tuple[Tensor, Tensor], dict[str, float]]:
    """Cosines with other rows' documents and which of them count, float and bool [B, Ud]; pairs that masks removed."""
    table = candidates(
        queries,
        documents,
        batch,
        own_negatives=False,
        other_positives=wanted,
        other_negatives=wanted,
        query_query=False,
        document_document=False,
    )
    table, removed = mask(table, batch, chosen)
    allowed = table.allowed[:, 0]
    again = torch.zeros_like(allowed)
    for place in range(lists.keys.shape[1]):  # K is small; [B, K, Ud] at once would not be
        present = lists.places[:, place, None] >= 0
        again |= present & (lists.keys[:, place, None] == batch.documents.keys)
    removed["removed_key"] = removed.get("removed_key", 0.0) + float((allowed & again).sum())
    return (table.columns, allowed & ~again), removed
