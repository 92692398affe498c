"""InfoNCE over the distinct documents of a batch, as a pipeline of four functions: candidates, mask, reweigh, reduce.

van den Oord et al., 2018 (arXiv 1807.03748); in-batch negatives with cosine and temperature as in Qwen3-Embedding and
KaLM-Embedding. [ours]: each distinct document is one column however many rows carry it, so a duplicate changes
nothing; several positives of a row are a mean of -log p, each without the row's other positives below the line.
"""

from typing import Literal

import torch
from torch import Tensor

from vecsmith.data.batch import Batch
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.candidates import Candidates, candidates
from vecsmith.objectives.loss import Loss
from vecsmith.objectives.masks import Masks, mask
from vecsmith.objectives.negative_mixing import mixed_columns
from vecsmith.objectives.progressive import curricular, curricular_mean, tilted
from vecsmith.objectives.reduce import reduce

__all__ = ["info_nce"]

NEEDS = {
    "info_nce": ("positives",),
    "info_nce.mix_pairs": ("negatives",),
    "info_nce.mix_lists": ("negatives",),
    "info_nce.guide": ("teacher",),
}


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
    guide: bool = False,
    guide_margin: float = 0.0,
    block: int | None = None,
    tilt: float = 0.0,
    curriculum: Literal["curricular"] | None = None,
    mix_pairs: float = 0,
    mix_lists: float = 0,
    focal_gamma: float = 0.0,
    focal_detach: bool = False,
    focal_renormalise: bool = False,
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
    guide       drops a candidate that the guide (`Block.teacher`) has nearer than its best positive + guide_margin
    block       candidates of other rows only from blocks of so many rows, cut by the order of query keys [ours]
    tilt        PEG's first form: + tilt * stop_gradient(cosine) on every candidate's logit; `progressive.tilted`
    curriculum  "curricular": PEG's second form, by the running mean `batch.state["curricular_mean"]`
    mix_pairs, mix_lists
                columns per row mixed from two, from all of its own negatives (0 or 1); whole part counts;
                `negative_mixing`
    focal_gamma, focal_detach, focal_renormalise   weights (1 - p)^gamma; `focal.focal_weights`
    returns     value, and parts: `accuracy` (share of rows whose every positive stands first), `candidates` (mean per
                row), `removed_key`, `removed_known`, `removed_label`, `removed_group`, `removed_margin`,
                `removed_guide`, `removed_block` (pairs); `mixed` (per row), `focal` (mean weight), `curricular_mean`
    raises      NotEnoughData: no row has a positive, or no row has any candidate left ("all rows masked")
                ValueError: an option out of its range, or what it needs is not in the batch

    A document with the key of the row's query or of one of its positives is never a negative. The positive is never
    masked. A row without candidates costs 0; a row without positives is left out. Worked by hand: a positive at
    cosine 1, one negative at cosine 0, temperature 1: log(1 + e^-1) = 0.3133.
    """
    _check(temperature, curriculum, own_negatives, mix_pairs, mix_lists)
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
        chosen = Masks(margin, mask_known, mask_labels, mask_groups, guide, guide_margin, block)
        table, removed = mask(table, batch, chosen)
        if not table.allowed.any():
            raise NotEnoughData(_all_masked(table, removed))
        table = mixed_columns(table, batch, temperature, pairs=int(mix_pairs), lists=int(mix_lists))
        positive_logits, other_logits, parts = reweigh(table, batch, temperature, tilt=tilt, curriculum=curriculum)
        loss = reduce(
            table,
            positive_logits,
            other_logits,
            batch.weights,
            focal_gamma=focal_gamma,
            focal_detach=focal_detach,
            focal_renormalise=focal_renormalise,
        )
    if mix_pairs or mix_lists:
        parts["mixed"] = 0.0 if table.mixed_allowed is None else float(table.mixed_allowed.sum() / len(batch))
    return Loss(loss.value, {**loss.parts, **parts, **removed})


def reweigh(
    table: Candidates, batch: Batch, temperature: float, *, tilt: float = 0.0, curriculum: str | None = None
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Cosines to logits: positives [B, P], all columns [B, 1 or P, C + (Ud) + (M)], by difficulty; and parts."""
    similarities, _ = table.all_columns()
    shaped, parts = similarities, {}
    if curriculum == "curricular":
        shares = table.shares().double() * batch.weights[:, None]
        mean = curricular_mean(batch.state, table.positive, shares, turn=(batch.seed, batch.progress))
        shaped, parts["curricular_mean"] = curricular(similarities, table.positive, mean), mean
    return table.positive / temperature, tilted(shaped / temperature, similarities, tilt), parts


def _check(temperature: float, curriculum: str | None, own_negatives: bool, mix_pairs: float, mix_lists: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it divides cosines and must be above 0")
    if curriculum not in (None, "curricular"):
        way = "; a tilt that grows is tilt: {from: 0, to: 4}" if curriculum == "tilt" else ""
        raise ValueError(f'curriculum is "{curriculum}"; known: curricular, or leave it out{way}')
    if (mix_pairs or mix_lists) and not own_negatives:
        raise ValueError("mix_pairs and mix_lists mix a row's own negatives; own_negatives is off")


def _all_masked(table: Candidates, removed: dict[str, float]) -> str:
    reasons = ", ".join(
        f"{int(count):,} by {name.removeprefix('removed_')}" for name, count in removed.items() if count
    )
    return (
        f"all rows masked: none of {len(table.present)} rows has a negative left (removed: {reasons or 'none'}); "
        "give the records negatives, use larger batches, or loosen the masks"
    )
