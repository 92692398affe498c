"""InfoNCE over the distinct documents of a batch, as a pipeline of four functions: candidates, mask, reweigh, reduce.

van den Oord et al., 2018 (arXiv 1807.03748); in-batch negatives with cosine and temperature as in Qwen3-Embedding and
KaLM-Embedding. [ours]: each distinct document is one column however many rows carry it, so a duplicate changes
nothing; several positives of a row are a mean of -log p, each without the row's other positives below the line.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from vecsmith.data.batch import Batch
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.loss import Loss

__all__ = ["info_nce"]


def info_nce(
    queries: Tensor,
    documents: Tensor,
    batch: Batch,
    *,
    temperature: float = 0.05,
    own_negatives: bool = True,
    other_positives: bool = True,
    other_negatives: bool = True,
    query_query: bool = False,
    document_document: bool = False,
    margin: float | None = None,
    mask_known: bool = True,
    mask_labels: bool = True,
    mask_groups: bool = True,
) -> Loss:
    """-log of the share a row's positive has among its candidates; the weighted mean over the rows of the batch.

    queries     float [Uq, d], one per distinct query, before any Normalize module
    documents   float [Ud, d], one per distinct document
    temperature what cosines are divided by, > 0; 0.05 is the usual scale of 20
    own_negatives, other_positives, other_negatives
                which documents are candidates of a row besides its positive; the last two count only where
                `batch.in_batch`
    query_query, document_document
                adds the other queries against the query, the other documents against the positive; in-batch only
    margin      drops a candidate that scores above the row's best positive + margin (Qwen3: 0.1); None keeps all
    mask_known  drops known positives of the row that this batch holds as another's
    mask_labels drops candidates of the row's class; mask_groups those of other rows of the row's group
    returns     value, and parts: `accuracy` (share of rows whose every positive stands first), `candidates` (mean per
                row), `removed_key`, `removed_known`, `removed_label`, `removed_group`, `removed_margin` (pairs)
    raises      NotEnoughData: no row has a positive, or no row has any candidate left ("all rows masked")

    A document with the key of the row's query or of one of its positives is never a negative. The positive is never
    masked. A row without candidates costs 0; a row without positives is left out. Worked by hand: a positive at
    cosine 1, one negative at cosine 0, temperature 1: log(1 + e^-1) = 0.3133.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it divides cosines and must be above 0")
    in_batch = batch.in_batch
    with torch.autocast(queries.device.type, enabled=False):
        table = candidates(
            queries,
            documents,
            batch,
            own_negatives=own_negatives,
            other_positives=other_positives and in_batch,
            other_negatives=other_negatives and in_batch,
            query_query=query_query and in_batch,
            document_document=document_document and in_batch,
        )
        table, removed = mask(
            table, batch, margin=margin, mask_known=mask_known, mask_labels=mask_labels, mask_groups=mask_groups
        )
        if not table.allowed.any():
            raise NotEnoughData(_all_masked(table, removed))
        positive_logits, other_logits = reweigh(table, temperature)
        return reduce(table, positive_logits, other_logits, batch.weights, removed)


@dataclass(frozen=True)
class Candidates:
    """Rows against columns. Columns are the batch's documents [Ud], then, where asked, its queries [Uq].

    positive   float [B, P]      cosine of the row's query and positive; 0 where absent
    present    bool [B, P]
    columns    float [B, C]      cosine of the row's query and each column
    allowed    bool [B, 1 or P, C + (Ud)]  which are candidates; the last Ud are documents against the positive
    between    float [B, P, Ud] or None    cosine of the row's positive and each document
    """

    positive: Tensor
    present: Tensor
    columns: Tensor
    allowed: Tensor
    between: Tensor | None = None

    def scores(self) -> Tensor:
        """Cosines of all candidates, in the shape of `allowed`."""
        if self.between is None:
            return self.columns[:, None, :]
        spread = self.columns[:, None, :].expand(-1, self.between.shape[1], -1)
        return torch.cat([spread, self.between], dim=2)


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
    """Cosines of every row with every distinct column, and which of them the switches make candidates."""
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
    wanted = wanted & ~own_positive
    own = query_units[batch.query_index]
    columns = own @ units.T
    positive = torch.where(present, columns.gather(1, batch.positives.clamp_min(0)), 0.0)
    if query_query:
        columns = torch.cat([columns, own @ query_units.T], dim=1)
        others = torch.ones(rows, len(query_units), dtype=torch.bool, device=wanted.device)
        wanted = torch.cat([wanted, others.scatter(1, batch.query_index[:, None], False)], dim=1)
    allowed, between = wanted[:, None, :], None
    if document_document:
        between = units[batch.positives.clamp_min(0)] @ units.T  # [B, P, Ud]
        among = (own_positive.any(dim=0) | own_negative.any(dim=0)) & ~own_positive
        among = among[:, None, :] & present[:, :, None]
        allowed = torch.cat([allowed.expand(-1, present.shape[1], -1), among], dim=2)
    return Candidates(positive, present, columns, allowed & present.any(dim=1)[:, None, None], between)


def mask(
    table: Candidates, batch: Batch, *, margin: float | None, mask_known: bool, mask_labels: bool, mask_groups: bool
) -> tuple[Candidates, dict[str, float]]:
    """Drop what may be no negative at all, and count the pairs that each reason removed."""
    documents, queries = batch.documents, batch.queries
    with_queries = table.columns.shape[1] > len(documents)
    keys = torch.cat([documents.keys, queries.keys]) if with_queries else documents.keys
    labels = torch.cat([documents.labels, queries.labels]) if with_queries else documents.labels
    reasons = {"key": same_thing(batch, keys)}
    if mask_known and len(batch.known):
        reasons["known"] = _known(batch, keys)
    if mask_labels:
        reasons["label"] = same_label(batch, labels)
    if mask_groups and batch.groups is not None:
        reasons["group"] = _same_group(batch, with_queries)
    if margin is not None:
        best = torch.where(table.present, table.positive, -2.0).amax(dim=1)
        reasons["margin"] = table.scores().detach() > (best.detach() + margin)[:, None, None]
    allowed, removed = table.allowed, {}
    for name, drop in reasons.items():
        if drop.dim() == 2:
            drop = drop[:, None, :]
            if table.between is not None:  # the documents against the positive: the same reasons, the same columns
                drop = torch.cat([drop, drop[:, :, : len(documents)]], dim=2)
        removed[f"removed_{name}"] = float((allowed & drop).sum())
        allowed = allowed & ~drop
    return replace(table, allowed=allowed), removed


def reweigh(table: Candidates, temperature: float) -> tuple[Tensor, Tensor]:
    """Cosines to logits: positives [B, P], candidates [B, 1 or P, C]. The place for tilts and mixed columns."""
    return table.positive / temperature, table.scores() / temperature


def reduce(
    table: Candidates, positive_logits: Tensor, other_logits: Tensor, weights: Tensor, removed: dict[str, float]
) -> Loss:
    """-log(e^p / (e^p + sum e^c)) = softplus(logsumexp(c) - p), the mean over a row's positives, then over rows."""
    lowest = torch.finfo(other_logits.dtype).min / 4  # finite: logsumexp over a block of -inf has a NaN gradient
    below = torch.logsumexp(other_logits.masked_fill(~table.allowed, lowest), dim=2)  # [B, 1 or P]
    none_left = ~table.allowed.any(dim=2)
    each = softplus((below - positive_logits).masked_fill(none_left, lowest))  # softplus(lowest) is exactly 0
    share = table.present / table.present.sum(dim=1, keepdim=True).clamp_min(1)
    usable = weights.to(each.dtype) * table.present.any(dim=1)
    total = usable.sum()
    if not total > 0:
        raise NotEnoughData(f"no positives: none of {len(weights)} rows has a positive with a weight above 0")
    value = (usable * (each * share).sum(dim=1)).sum() / total
    with torch.no_grad():
        first = (other_logits.masked_fill(~table.allowed, lowest).amax(dim=2) < positive_logits) | ~table.present
        accuracy = float((first.all(dim=1) * usable).sum() / total)
        seen = float(table.allowed.any(dim=1).sum() / max(len(weights), 1))
    return Loss(value, {"accuracy": accuracy, "candidates": seen, **removed})


def unit(vectors: Tensor) -> Tensor:
    """Rows at length 1, in float32 (float64 stays); a zero row stays zero and passes a bounded gradient."""
    exact = vectors if vectors.dtype == torch.float64 else vectors.float()
    return exact / exact.norm(dim=1, keepdim=True).clamp_min(1e-6)


def scatter(index: Tensor, width: int) -> Tensor:
    """int64 [B, K] with -1 for absent -> bool [B, width]: which columns a row names."""
    padded = torch.zeros(len(index), width + 1, dtype=torch.bool, device=index.device)
    return padded.scatter_(1, torch.where(index >= 0, index, width), True)[:, :width]


def same_thing(batch: Batch, keys: Tensor) -> Tensor:
    """bool [B, C]: the column's key is that of the row's query or of one of its positives."""
    codes, column_codes, own = _codes(batch, keys)
    table = torch.zeros(len(own), codes + 1, dtype=torch.bool, device=keys.device)
    table.scatter_(1, own, True)
    table[:, codes] = False
    return table[:, column_codes]


def _codes(batch: Batch, keys: Tensor) -> tuple[int, Tensor, Tensor]:
    """Keys as small numbers: their count, those of the columns [C], those of query and positives of each row."""
    both = torch.cat([keys, batch.documents.keys, batch.queries.keys])
    values, inverse = torch.unique(both, return_inverse=True)
    columns, documents, queries = inverse.split([len(keys), len(batch.documents.keys), len(batch.queries.keys)])
    nowhere = len(values)
    positives = torch.where(batch.positives >= 0, documents[batch.positives.clamp_min(0)], nowhere)
    return nowhere, columns, torch.cat([queries[batch.query_index][:, None], positives], dim=1)


def _known(batch: Batch, keys: Tensor) -> Tensor:
    """bool [B, C]: the column's key is that of a known positive of the row, sampled or not."""
    known_keys = batch.documents.keys[batch.known[:, 1]]
    values, inverse = torch.unique(torch.cat([keys, known_keys]), return_inverse=True)
    table = torch.zeros(len(batch.query_index), len(values), dtype=torch.bool, device=keys.device)
    table[batch.known[:, 0], inverse[len(keys) :]] = True
    return table[:, inverse[: len(keys)]]


def same_label(batch: Batch, labels: Tensor) -> Tensor:
    """bool [B, C]: the column is of the class of the row's query or of one of its positives; -1 is no class."""
    positives = torch.where(batch.positives >= 0, batch.documents.labels[batch.positives.clamp_min(0)], -1)
    own = torch.cat([batch.queries.labels[batch.query_index][:, None], positives], dim=1)  # [B, 1 + P]
    result = torch.zeros(len(own), len(labels), dtype=torch.bool, device=labels.device)
    for place in range(own.shape[1]):  # P is small; [B, P, C] at once would not be
        result |= (own[:, place, None] == labels) & (own[:, place, None] >= 0)
    return result


def _same_group(batch: Batch, with_queries: bool) -> Tensor:
    """bool [B, C]: the column comes with another row of the row's group; a row's own negatives stay."""
    assert batch.groups is not None
    count = len(batch.documents)
    values, code = torch.unique(batch.groups, return_inverse=True)
    names = torch.cat([batch.positives, batch.negatives], dim=1)
    members = torch.zeros(len(values), count + 1, dtype=torch.bool, device=names.device)
    members[code[:, None].expand_as(names), torch.where(names >= 0, names, count)] = True
    drop = members[:, :count][code] & ~scatter(batch.negatives, count)
    if with_queries:
        asked = torch.zeros(len(values), len(batch.queries), dtype=torch.bool, device=names.device)
        asked[code, batch.query_index] = True
        drop = torch.cat([drop, asked[code]], dim=1)
    return drop & (batch.groups >= 0)[:, None]


def _all_masked(table: Candidates, removed: dict[str, float]) -> str:
    reasons = ", ".join(
        f"{int(count):,} by {name.removeprefix('removed_')}" for name, count in removed.items() if count
    )
    return (
        f"all rows masked: none of {len(table.present)} rows has a negative left (removed: {reasons or 'none'}); "
        "give the records negatives, use larger batches, or loosen the masks"
    )
