"""Give a student the distances between a positive and negatives that a teacher sees.

MarginMSE (Hofstaetter et al., 2020, arXiv 2010.02666). [ours]: several positives, row weights, `scale`.
"""

import torch
from torch import Tensor

from vecsmith.data.batch import Batch
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.loss import Loss
from vecsmith.objectives.own_lists import own_lists

__all__ = ["margin_mse"]

NEEDS = {"margin_mse": ("positives", "negatives", "teacher_scores")}


def margin_mse(queries: Tensor, documents: Tensor, batch: Batch, *, scale: float = 1.0) -> Loss:
    """Mean of (scale * (s_p - s_n) - (r_p - r_n))^2 over a row's positives p and negatives n; weighted mean over rows.

    queries, documents   float [Uq, d], [Ud, d], before any Normalize module
    batch                `teacher_scores` float32 [B, P+N], r; pairs without both scores are left out
    scale                what cosines are multiplied by, > 0: a teacher's margins may be of any size [ours]
    returns     value; parts `pairs` (of positive and negative), `left_out` (rows without any)
    raises      NotEnoughData: no row has a positive and a negative with scores; ValueError: scale is not above 0

    Other rows' documents have no teacher score and take no part. Worked by hand: cosines 0.5 and 0.1, scores 1 and 0:
    (0.4 - 1)^2 = 0.36.
    """
    if not scale > 0:
        raise ValueError(f"scale is {scale}; it multiplies cosines and must be above 0")
    with torch.autocast(queries.device.type, enabled=False):
        lists = own_lists(queries, documents, batch, objective="margin_mse")
        count = batch.positives.shape[1]
        wanted, seen = lists.scores.to(lists.cosines.dtype), lists.cosines * scale
        gap = (seen[:, :count, None] - seen[:, None, count:]) - (wanted[:, :count, None] - wanted[:, None, count:])
        both = lists.scored[:, :count, None] & lists.scored[:, None, count:]
        pairs = both.sum(dim=(1, 2))
        weights = batch.weights.to(gap.dtype) * (pairs > 0)
        if not (total := weights.sum()) > 0:
            raise NotEnoughData(
                f"all rows masked: none of {len(batch)} rows has a positive and a negative with teacher scores "
                "(or a weight above 0); give the records scored negatives"
            )
        each = (gap.square() * both).sum(dim=(1, 2)) / pairs.clamp_min(1)
        value = (weights * each).sum() / total
    return Loss(value, {"pairs": float(pairs.sum()), "left_out": float((pairs == 0).sum())})
