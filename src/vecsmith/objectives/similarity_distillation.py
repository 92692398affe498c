"""Give a student the similarities that a teacher sees within a batch, whatever the widths of the two.

[ours] in this form; matching similarities instead of vectors: Tung and Mori, ICCV 2019 (arXiv 1907.09682).
"""

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, softmax

from vecsmith.data.batch import Batch
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.candidates import unit
from vecsmith.objectives.loss import Loss

__all__ = ["similarity_distillation"]


def similarity_distillation(
    queries: Tensor,
    documents: Tensor,
    batch: Batch,
    *,
    mse: float = 1.0,
    kl: float = 0.0,
    temperature: float = 0.05,
) -> Loss:
    """mse * mean squared difference of cosines + kl * KL(teacher's neighbours || student's), without the diagonal.

    queries      float [U, d], the distinct texts of the batch, before any Normalize module; `documents` is not read
    batch        `batch.queries.teacher` float32 [U, dt], the teacher's vectors of the same texts
    mse, kl      weights of the two terms, at least 0; a term at 0 is not computed
    temperature  divides cosines before the softmax over a text's neighbours; only for `kl`
    returns      value and parts `mse`, `kl`: the terms unweighted
    raises       ValueError: the batch has no teacher vectors; NotEnoughData: fewer than two texts

    Worked by hand: two texts at cosine 1 that the teacher has at cosine 0 cost 1.
    """
    teacher = batch.queries.teacher
    if teacher is None:
        raise ValueError("similarity_distillation needs teacher vectors (batch.queries.teacher); this batch has none")
    if len(queries) < 2:
        raise NotEnoughData(f"all rows masked: {len(queries)} text has no neighbour; use batches of at least 2 texts")
    with torch.autocast(queries.device.type, enabled=False):
        units, targets = unit(queries), unit(teacher).to(queries.dtype if queries.dtype == torch.float64 else None)
        seen, wanted = units @ units.T, targets @ targets.T
        itself = torch.eye(len(units), dtype=torch.bool, device=units.device)
        value, parts = units.sum() * 0.0, {}
        if mse:
            squared = (seen - wanted).masked_fill(itself, 0.0).square().sum() / (len(units) * (len(units) - 1))
            value, parts["mse"] = value + mse * squared, float(squared.detach())
        if kl:
            lowest = torch.finfo(seen.dtype).min / 4
            student = log_softmax((seen / temperature).masked_fill(itself, lowest), dim=1)
            aim = softmax((wanted / temperature).masked_fill(itself, lowest), dim=1)
            # The diagonal is 0 under the teacher: 0 * (log 0 - finite) is taken as 0 by kl_div.
            divergence = kl_div(student, aim, reduction="batchmean")
            value, parts["kl"] = value + kl * divergence, float(divergence.detach())
    return Loss(value, parts)
