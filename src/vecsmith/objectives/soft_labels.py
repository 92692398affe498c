"""Give a student the order and the distances that a teacher sees within a row's own list of candidates.

KL of the teacher's softmax and the student's: Hinton et al., 2015 (arXiv 1503.02531); as the soft labels of
LG-ANNA-Embedding (arXiv 2506.07438), whose exact loss is not published: form, weight 1 and the temperature of the
teacher by its entropy are [ours]. With a fixed `teacher_temperature` it is the plain branch of LLM-Embedder
(arXiv 2310.07554): teacher 0.1, student 0.01 times its own temperature.
"""

from math import log

import torch
from torch import Tensor

from vecsmith.data.batch import Batch
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.loss import Loss
from vecsmith.objectives.own_lists import own_lists, spread_of

__all__ = ["half_entropy_temperatures", "soft_labels"]

NEEDS = {"soft_labels": ("teacher_scores",)}


def soft_labels(
    queries: Tensor,
    documents: Tensor,
    batch: Batch,
    *,
    temperature: float = 0.02,
    teacher_temperature: float | None = None,
    reward_spread: float = 0.0,
) -> Loss:
    """KL(softmax(r / T) || softmax(s / temperature)) over a row's own candidates; the weighted mean over rows.

    queries, documents    float [Uq, d], [Ud, d], before any Normalize module
    batch                 `teacher_scores` float32 [B, P+N], r; NaN where a candidate has none: it is left out
    temperature           divides the student's cosines s, > 0
    teacher_temperature   T, > 0; None finds it for each row, so that the teacher's entropy is half of log(list
                          length): `half_entropy_temperatures`. Scores of different scales then weigh the same [ours]
    reward_spread         rows whose scores lie closer together (highest - lowest) are left out (LLM-Embedder: 0.1)
    returns     value; parts `agreement` (share of rows whose best candidate is the teacher's), `entropy` (mean of the
                teacher's, as a share of log of the list length), `left_out` (rows)
    raises      NotEnoughData: no row is left; ValueError: a temperature that is not above 0

    Left out are rows with fewer than two scored candidates and, where T is None, rows of equal scores: no temperature
    gives those another entropy. Other rows' documents are no candidates, whatever `batch.in_batch` says: the teacher
    has not seen them beside this query.

    Worked by hand: scores 1 and 0 at T = 1 / log 3 aim at 3/4 and 1/4; a student with equal cosines costs
    log 2 - H(1/4) = 0.6931 - 0.5623 = 0.1308.
    """
    above_zero(temperature=temperature, teacher_temperature=teacher_temperature)
    with torch.autocast(queries.device.type, enabled=False):
        lists = own_lists(queries, documents, batch, objective="soft_labels")
        if teacher_temperature is None:
            heat = half_entropy_temperatures(lists.scores, lists.scored)
        else:
            heat = torch.full_like(lists.scores[:, 0], teacher_temperature)
        counted = (lists.scored.sum(dim=1) >= 2) & torch.isfinite(heat)
        counted &= spread_of(lists.scores, lists.scored) >= reward_spread
        weights = batch.weights.to(lists.cosines.dtype) * counted
        if not (total := weights.sum()) > 0:
            raise NotEnoughData(_none_left(len(batch), teacher_temperature, reward_spread))
        aim = softened(lists.scores, lists.scored, heat.nan_to_num(1.0)).to(lists.cosines.dtype)
        lowest = torch.finfo(lists.cosines.dtype).min / 4  # finite: a row without candidates has a gradient of 0
        seen = (lists.cosines / temperature).masked_fill(~lists.scored, lowest).log_softmax(dim=1)
        entropy = -torch.special.xlogy(aim, aim).sum(dim=1)
        each = -entropy - (aim * seen).sum(dim=1)
        value = (weights * each.masked_fill(~counted, 0.0)).sum() / total
    with torch.no_grad():
        agrees = aim.gather(1, seen.argmax(dim=1, keepdim=True))[:, 0] >= aim.amax(dim=1)
        share = entropy / lists.scored.sum(dim=1).clamp_min(2).to(entropy.dtype).log()
        parts = {
            "agreement": float((weights * agrees).sum() / total),
            "entropy": float((weights * share).sum() / total),
            "left_out": float((~counted).sum()),
        }
    return Loss(value, parts)


def half_entropy_temperatures(scores: Tensor, scored: Tensor) -> Tensor:
    """The T of each row at which softmax(r / T) has the entropy log(n) / 2, n the number of its scored candidates.

    scores    float64 [B, K]; scored   bool [B, K]
    returns   float64 [B]; NaN for rows with fewer than two scored candidates, or of equal scores

    Bisection of log T over the scores brought to a spread of 1: the result does not feel shift, and scales with the
    scores. Where the best score is shared by so many that they alone have more than that entropy, T goes towards 0 and
    the aim is even among them. Two candidates always aim at 0.89 and 0.11:

    >>> T = half_entropy_temperatures(torch.tensor([[7.0, 3.0]]).double(), torch.tensor([[True, True]]))
    >>> [round(p, 4) for p in (torch.tensor([7.0, 3.0]).double() / T).softmax(0).tolist()]
    [0.89, 0.11]
    """
    spread, count = spread_of(scores, scored), scored.sum(dim=1)
    wanted = count.clamp_min(1).double().log() / 2
    scale = torch.where(spread > 0, spread, 1.0)
    low = torch.full_like(spread, log(1e-10))
    high = torch.full_like(spread, log(2.0))  # at spread 1 and T = 2 no weight is below 0.6 of another: far above half
    for _ in range(60):
        middle = (low + high) / 2
        weights = softened(scores, scored, middle.exp() * scale)
        above = -torch.special.xlogy(weights, weights).sum(dim=1) > wanted
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return torch.where((count >= 2) & (spread > 0), high.exp() * scale, torch.nan)


def softened(scores: Tensor, scored: Tensor, temperature: Tensor) -> Tensor:
    """softmax(r / T) over a row's scored candidates, 0 elsewhere. float64 [B, K], bool [B, K], float64 [B]."""
    if not scores.shape[1]:
        return scores
    best = scores.masked_fill(~scored, -torch.inf).amax(dim=1, keepdim=True).nan_to_num(neginf=0.0)
    powers = ((scores - best) / temperature[:, None]).exp() * scored
    return powers / powers.sum(dim=1, keepdim=True).clamp_min(1.0)  # the best alone is 1


def above_zero(**temperatures: float | None) -> None:
    """ValueError by name, where a number that divides is not above 0; None is not given."""
    for name, value in temperatures.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} is {value}; it divides and must be above 0")


def _none_left(rows: int, teacher_temperature: float | None, reward_spread: float) -> str:
    reasons = "fewer than two candidates with a teacher score"
    if teacher_temperature is None:
        reasons += ", or equal scores"
    if reward_spread:
        reasons += f", or a spread below {reward_spread}"
    return f"all rows masked: each of {rows} rows has {reasons} (or a weight of 0); give the records scored negatives"
