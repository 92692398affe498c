"""What may be no negative of a row: equal keys, known positives, its class, its group, what scores too high.

Second of the four functions of `info_nce`. Score margin: Qwen3-Embedding (arXiv 2506.05176), delta 0.1. Guide:
GISTEmbed (Solatorio, 2024, arXiv 2402.16829). Class mask: QZhou-Embedding (arXiv 2508.21632). Blocks are [ours].
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vecsmith.data.batch import Batch
from vecsmith.objectives.candidates import Candidates, scatter, similarities, unit
from vecsmith.objectives.draws import uniform

__all__ = ["Masks", "mask", "same_label", "same_thing"]


@dataclass(frozen=True)
class Masks:
    """Which reasons count; the fields are the options of `info_nce` of the same names."""

    margin: float | None = None
    known: bool = True
    labels: bool = True
    groups: bool = True
    guide: bool = False
    guide_margin: float = 0.0
    block: int | None = None


def mask(table: Candidates, batch: Batch, chosen: Masks) -> tuple[Candidates, dict[str, float]]:
    """Drop what may be no negative, and count the pairs that each reason removed that none before it had.

    returns   the table, and `removed_block`, `removed_key`, `removed_known`, ..., of the reasons asked for
    raises    ValueError: a guide without its vectors, or a block below 1
    """
    documents, queries = batch.documents, batch.queries
    with_queries = table.columns.shape[1] > len(documents)
    keys = torch.cat([documents.keys, queries.keys]) if with_queries else documents.keys
    labels = torch.cat([documents.labels, queries.labels]) if with_queries else documents.labels
    reasons = {}
    if chosen.block is not None and batch.in_batch:
        reasons["block"] = other_block(batch, chosen.block, with_queries)
    reasons["key"] = same_thing(batch, keys)
    if chosen.known and len(batch.known):
        reasons["known"] = _known(batch, keys)
    if chosen.labels:
        reasons["label"] = same_label(batch, labels)
    if chosen.groups and batch.groups is not None:
        reasons["group"] = _same_group(batch, with_queries)
    if chosen.margin is not None:
        reasons["margin"] = _above(table, chosen.margin)
    if chosen.guide:
        reasons["guide"] = _above(_guided(table, batch, with_queries), chosen.guide_margin)
    allowed, removed = table.allowed, {}
    for name, drop in reasons.items():
        if drop.dim() == 2:
            drop = drop[:, None, :]
            if table.between is not None:  # the documents against the positive: the same reasons, the same columns
                drop = torch.cat([drop, drop[:, :, : len(documents)]], dim=2)
        removed[f"removed_{name}"] = float(torch.count_nonzero(allowed & drop))
        allowed = allowed & ~drop
    return replace(table, allowed=allowed), removed


def same_thing(batch: Batch, keys: Tensor) -> Tensor:
    """bool [B, C]: the column's key is that of the row's query or of one of its positives."""
    codes, column_codes, own = _codes(batch, keys)
    table = torch.zeros(len(own), codes + 1, dtype=torch.bool, device=keys.device)
    table.scatter_(1, own, True)
    table[:, codes] = False
    return table[:, column_codes]


def same_label(batch: Batch, labels: Tensor) -> Tensor:
    """bool [B, C]: the column is of the class of the row's query or of one of its positives; -1 is no class."""
    positives = torch.where(batch.positives >= 0, batch.documents.labels[batch.positives.clamp_min(0)], -1)
    own = torch.cat([batch.queries.labels[batch.query_index][:, None], positives], dim=1)  # [B, 1 + P]
    result = torch.zeros(len(own), len(labels), dtype=torch.bool, device=labels.device)
    for place in range(own.shape[1]):  # P is small; [B, P, C] at once would not be
        result |= (own[:, place, None] == labels) & (own[:, place, None] >= 0)
    return result


def other_block(batch: Batch, size: int, with_queries: bool) -> Tensor:
    """bool [B, C]: no row of the row's block has this column. Blocks are `size` rows in the order of query keys.

    Rows of equal query keys follow the keys of their documents, so that no block hangs on positions. Own negatives
    stay, since the row itself is of its block.
    """
    if size < 1:
        raise ValueError(f"block is {size}; give a number of rows, at least 1, or leave it out")
    names = torch.cat([batch.positives, batch.negatives], dim=1)
    content = torch.where(names >= 0, batch.documents.keys[names.clamp_min(0)], 0)
    scrambled = (uniform(0, content) * (names >= 0)).sort(dim=1).values.sum(dim=1)  # the same in whatever order
    order = scrambled.argsort(stable=True)
    asked = batch.queries.keys[batch.query_index]
    order = order[asked[order].argsort(stable=True)]
    block = torch.empty_like(order)
    block[order] = torch.arange(len(order), device=order.device) // size
    members = _members(block, names, len(batch.documents))
    if with_queries:
        members = torch.cat([members, _members(block, batch.query_index[:, None], len(batch.queries))], dim=1)
    return ~members[block]


def _members(code: Tensor, names: Tensor, width: int) -> Tensor:
    """bool [codes, width]: which columns the rows of a code name; code int64 [B], names int64 [B, K], -1 absent."""
    members = torch.zeros(int(code.max()) + 1, width + 1, dtype=torch.bool, device=names.device)
    members[code[:, None].expand_as(names), torch.where(names >= 0, names, width)] = True
    return members[:, :width]


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


def _same_group(batch: Batch, with_queries: bool) -> Tensor:
    """bool [B, C]: the column comes with another row of the row's group; a row's own negatives stay."""
    assert batch.groups is not None
    count = len(batch.documents)
    _, code = torch.unique(batch.groups, return_inverse=True)
    names = torch.cat([batch.positives, batch.negatives], dim=1)
    drop = _members(code, names, count)[code] & ~scatter(batch.negatives, count)
    if with_queries:
        asked = _members(code, batch.query_index[:, None], len(batch.queries))
        drop = torch.cat([drop, asked[code]], dim=1)
    return drop & (batch.groups >= 0)[:, None]


def _above(table: Candidates, margin: float) -> Tensor:
    """bool, the shape of `allowed`: scores above the row's best positive + margin."""
    best = torch.where(table.present, table.positive, -2.0).amax(dim=1)
    return table.scores().detach() > (best.detach() + margin)[:, None, None]


def _guided(table: Candidates, batch: Batch, with_queries: bool) -> Candidates:
    """The table with the cosines that the guide sees in place of the student's."""
    queries, documents = batch.queries.teacher, batch.documents.teacher
    if queries is None or documents is None:
        raise ValueError('guide needs its vectors of both sides (Block.teacher); name it at the data: "teacher: MODEL"')
    positive, columns, between = similarities(
        unit(queries), unit(documents), batch, query_query=with_queries, document_document=table.between is not None
    )
    return replace(table, positive=positive, columns=columns, between=between)
