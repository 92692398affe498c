"""Rows against columns: which of a batch's distinct vectors a row's positive is compared with, and how near they are.

First of the four functions of `info_nce`. [ours]: each distinct document is one column however many rows carry it.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vecsmith.data.batch import Batch

__all__ = ["Candidates", "candidates", "scatter", "unit"]


@dataclass(frozen=True)
class Candidates:
    """Cosines of rows with columns. Columns are the batch's documents [Ud], then, where asked, its queries [Uq].

    queries, documents   float [Uq, d], [Ud, d], at length 1
    positive   float [B, P]      cosine of the row's query and positive; 0 where absent
    present    bool [B, P]
    columns    float [B, C]      cosine of the row's query and each column
    allowed    bool [B, 1 or P, C + (Ud)]  which are candidates; the last Ud are documents against the positive
    between    float [B, P, Ud] or None    cosine of the row's positive and each document
    mixed, mixed_allowed         float, bool [B, M] or None: columns that only this row has, see `negative_mixing`
    """

    queries: Tensor
    documents: Tensor
    positive: Tensor
    present: Tensor
    columns: Tensor
    allowed: Tensor
    between: Tensor | None = None
    mixed: Tensor | None = None
    mixed_allowed: Tensor | None = None

    def scores(self) -> Tensor:
        """Cosines of all candidates, in the shape of `allowed`; mixed columns are not among them."""
        return _joined(self.columns, self.between)

    def shares(self) -> Tensor:
        """What each positive counts in its row, [B, P]: one by their number; 0 where absent."""
        present = self.present.to(self.positive.dtype)
        return present / present.sum(dim=1, keepdim=True).clamp_min(1)

    def all_columns(self) -> tuple[Tensor, Tensor]:
        """Cosines and whether they count, float and bool [B, 1 or P, C + (Ud) + (M)]: mixed columns come last."""
        scores, allowed = self.scores(), self.allowed
        if self.mixed is None or self.mixed_allowed is None:
            return scores, allowed
        more, counts = (each[:, None, :].expand(-1, scores.shape[1], -1) for each in (self.mixed, self.mixed_allowed))
        return torch.cat([scores, more], dim=2), torch.cat([allowed, counts], dim=2)

    def with_mixed(self, mixed: Tensor, allowed: Tensor) -> "Candidates":
        return replace(self, mixed=mixed, mixed_allowed=allowed)


def candidates(
    queries: Tensor,
    documents: Tensor,
    batch: Batch,
    *,
    own_negatives: bool,
    other_positives: bool,
    other_negatives: bool,
    query_query: bool,
    document_document: bool,
) -> Candidates:
    """Cosines of every row with every distinct column, and which of them the switches make candidates.

    queries, documents   float [Uq, d], [Ud, d], of any length
    """
    query_units, units = unit(queries), unit(documents)
    count, rows = len(units), len(batch.query_index)
    present = batch.positives >= 0
    own_positive = scatter(batch.positives, count)  # [B, Ud]
    own_negative = scatter(batch.negatives, count)
    wanted = own_negative if own_negatives else torch.zeros_like(own_negative)
    if other_positives:
        wanted = wanted | (own_positive.any(dim=0) & ~own_negative)
    if other_negatives:
        wanted = wanted | (own_negative.any(dim=0) & ~own_negative)
    wanted = wanted & ~own_positive & present.any(dim=1)[:, None]
    if query_query:
        others = torch.ones(rows, len(query_units), dtype=torch.bool, device=wanted.device)
        others = others.scatter(1, batch.query_index[:, None], False) & present.any(dim=1)[:, None]
        wanted = torch.cat([wanted, others], dim=1)
    allowed = wanted[:, None, :]
    if document_document:
        among = (own_positive.any(dim=0) | own_negative.any(dim=0)) & ~own_positive
        among = among[:, None, :] & present[:, :, None]
        allowed = torch.cat([allowed.expand(-1, present.shape[1], -1), among], dim=2)
    positive, columns, between = similarities(
        query_units, units, batch, query_query=query_query, document_document=document_document
    )
    return Candidates(query_units, units, positive, present, columns, allowed, between)


def similarities(
    queries: Tensor, documents: Tensor, batch: Batch, *, query_query: bool, document_document: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """`positive`, `columns` and `between` of `Candidates`, of vectors at length 1: a student's or a guide's."""
    own = queries[batch.query_index]
    columns = own @ documents.T
    places = batch.positives.clamp_min(0)
    positive = torch.where(batch.positives >= 0, columns.gather(1, places), 0.0)
    if query_query:
        columns = torch.cat([columns, own @ queries.T], dim=1)
    return positive, columns, documents[places] @ documents.T if document_document else None


def unit(vectors: Tensor) -> Tensor:
    """Rows at length 1, in float32 (float64 stays); a zero row stays zero and passes a bounded gradient."""
    exact = vectors if vectors.dtype == torch.float64 else vectors.float()
    return exact / exact.norm(dim=1, keepdim=True).clamp_min(1e-6)


def scatter(index: Tensor, width: int) -> Tensor:
    """int64 [B, K] with -1 for absent -> bool [B, width]: which columns a row names."""
    padded = torch.zeros(len(index), width + 1, dtype=torch.bool, device=index.device)
    return padded.scatter_(1, torch.where(index >= 0, index, width), True)[:, :width]


def _joined(columns: Tensor, between: Tensor | None) -> Tensor:
    """[B, C] and [B, P, Ud] or None -> [B, 1 or P, C + (Ud)]."""
    if between is None:
        return columns[:, None, :]
    return torch.cat([columns[:, None, :].expand(-1, between.shape[1], -1), between], dim=2)
