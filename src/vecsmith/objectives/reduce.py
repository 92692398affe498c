"""From logits to a number: -log p per positive, its focal weight, the mean over positives, then over rows.

Last of the four functions of `info_nce`.
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from vecsmith.errors import NotEnoughData
from vecsmith.objectives.candidates import Candidates
from vecsmith.objectives.focal import focal_weights
from vecsmith.objectives.loss import Loss

__all__ = ["reduce"]


def reduce(
    table: Candidates,
    positive_logits: Tensor,
    other_logits: Tensor,
    weights: Tensor,
    *,
    focal_gamma: float = 0.0,
    focal_detach: bool = False,
    focal_renormalise: bool = False,
) -> Loss:
    """-log(e^p / (e^p + sum e^c)) = softplus(logsumexp(c) - p), the mean over a row's positives, then over rows.

    positive_logits   float [B, P]
    other_logits      float [B, 1 or P, C + (Ud) + (M)], the columns of `table.all_columns()`
    weights           float [B]
    returns           value; parts `accuracy`, `candidates`, and `focal` where gamma is not 0: the mean weight
    raises            NotEnoughData: no row has a positive with a weight above 0

    Several positives of a row: each has its own p, so each -log p its own focal weight [ours].
    """
    allowed = table.all_columns()[1] if table.mixed is not None else table.allowed
    below = log_total(other_logits, allowed)  # [B, 1 or P]
    none_left = ~allowed.any(dim=2)
    each = softplus((below - positive_logits).masked_fill(none_left, lowest(below)))  # softplus(lowest) is exactly 0
    share = table.shares()
    usable = weights.to(each.dtype) * table.present.any(dim=1)
    total = usable.sum()
    if not total > 0:
        raise NotEnoughData(f"no positives: none of {len(weights)} rows has a positive with a weight above 0")
    parts = _parts(table, usable, total)
    if focal_gamma:
        counted = usable[:, None] * share
        focal = focal_weights(-each, focal_gamma, detach=focal_detach, renormalise=focal_renormalise, shares=counted)
        each = each * focal
        parts["focal"] = float((focal.detach() * counted).sum() / total)
    return Loss((usable * (each * share).sum(dim=1)).sum() / total, parts)


def log_total(logits: Tensor, allowed: Tensor) -> Tensor:
    """log of the sum of e^x over the last dimension's allowed x; of a row without any, a number of no meaning.

    What lies 80 and more below a row's largest is raised to that: e^-80 is far below the last digit of the sum, and
    from e^-87 on a processor's exp takes 20 to 50 times as long.
    """
    with torch.no_grad():
        floor = logits.masked_fill(~allowed, lowest(logits)).amax(dim=-1, keepdim=True) - 80.0
        counts = allowed & (logits > floor)
    return torch.logsumexp(torch.where(counts, logits, floor), dim=-1)


def lowest(values: Tensor) -> float:
    """Stands for a masked logit: finite, since logsumexp over a block of -inf has a NaN gradient."""
    return torch.finfo(values.dtype).min / 4


def _parts(table: Candidates, usable: Tensor, total: Tensor) -> dict[str, float]:
    """Share of rows whose every positive is nearer than all candidates, and candidates per row; by plain cosines."""
    with torch.no_grad():
        nearest = table.scores().masked_fill(~table.allowed, -2.0).amax(dim=2)  # cosines are at least -1
        first = (nearest < table.positive) | ~table.present
        accuracy = float((first.all(dim=1) * usable).sum() / total)
        seen = float(table.allowed.any(dim=1).sum() / max(len(usable), 1))
    return {"accuracy": accuracy, "candidates": seen}
