"""Order pairs by their grades, near and far by the angle between halves of vectors taken as complex numbers.

AnglE (Li and Li, 2023, arXiv 2309.12871). The sign is that of the authors' code, which sentence-transformers follows;
the paper's equation 3 subtracts the other way round.
"""

import torch
from torch import Tensor

from vecsmith.data.batch import Batch
from vecsmith.objectives.candidates import unit
from vecsmith.objectives.cosent import graded_pairs, ordering
from vecsmith.objectives.loss import Loss

__all__ = ["angle", "angle_similarity"]

NEEDS = {"angle": ("positives", "scores")}


def angle(queries: Tensor, documents: Tensor, batch: Batch, *, temperature: float = 0.05) -> Loss:
    """The loss of `cosent` with `angle_similarity` in place of the cosine.

    queries, documents   float [Uq, d], [Ud, d], before any Normalize module
    batch, temperature, returns, raises   as `cosent`; 0.05 is the scale of 20 in AnglE and sentence-transformers

    AnglE's own objective is a sum in the recipe: [{cosent: {}}, {angle: {}}, {info_nce: {}}], each with a `weight`.
    """
    with torch.autocast(queries.device.type, enabled=False):
        rows, places = graded_pairs(batch, objective="angle")
        asked, found = unit(queries)[batch.query_index[rows]], unit(documents)[places]
        return ordering(angle_similarity(asked, found), batch, rows, temperature)


def angle_similarity(left: Tensor, right: Tensor) -> Tensor:
    """|sum of real and imaginary part of z / w| for complex z, w of the halves of vectors at length 1: [n, d] -> [n].

    The first half are real parts, the second imaginary ones; a zero is added to an odd width. For unit vectors the real
    part sums to the cosine, the imaginary one to sum(z_im w_re - z_re w_im).

    >>> round(angle_similarity(torch.tensor([[0.6, 0.8]]), torch.tensor([[1.0, 0.0]])).item(), 4)  # 0.6 + 0.8
    1.4
    """
    if left.shape[1] % 2:
        left, right = (torch.nn.functional.pad(each, (0, 1)) for each in (left, right))
    (left_re, left_im), (right_re, right_im) = left.chunk(2, dim=1), right.chunk(2, dim=1)
    real = (left_re * right_re + left_im * right_im).sum(dim=1)
    imaginary = (left_im * right_re - left_re * right_im).sum(dim=1)
    return (real + imaginary).abs()
