"""Negatives that count by their difficulty, and by how far training is: the reweighing of PEG.

PEG (arXiv 2311.11691) says that the contribution of negatives is adjusted progressively by their difficulty; its
formula is not published. Both forms here are [ours]: a tilt of the logits by the similarity itself, whose strength a
schedule ramps up (constant, it is the `hardness_mode="all_negatives"` of sentence-transformers), and a curriculum like
CurricularFace (Huang et al., CVPR 2020, arXiv 2004.00288), the same laboratory's earlier work [mem?].
"""

from collections.abc import MutableMapping

import torch
from torch import Tensor

__all__ = ["curricular", "curricular_mean", "tilted"]

DECAY = 0.99
MEAN, TURN = "curricular_mean", "curricular_turn"


def tilted(logits: Tensor, similarities: Tensor, tilt: float) -> Tensor:
    """logits + tilt * stop_gradient(similarities): e^(tilt * s) times the weight of a negative of similarity s.

    tilt   0 leaves all as it is; above 0 hard negatives count more. The similarity is a constant for the gradient, or
           the model could lower the tilt instead of the similarity.

    Worked by hand: tilt 4 at similarity 0.5 multiplies the negative's share by e^2 = 7.389.
    """
    return logits if tilt == 0 else logits + tilt * similarities.detach()


def curricular(similarities: Tensor, positive: Tensor, mean: float) -> Tensor:
    """s for easy negatives, s (mean + s) for those nearer to the query than the positive is.

    similarities   float [B, 1 or P, C]
    positive       float [B, P]
    mean           running mean of the positives' similarity: near 0 early, so that hard negatives are damped; towards 1
                   later, so that they are amplified. No gradient flows through it, nor through the choice of the hard
    returns        float [B, P, C]; exactly `similarities` where none is hard

    Worked by hand: s = 0.8 against a positive at 0.6 becomes 0.64 at mean 0 and 1.04 at mean 0.5.
    """
    hard = similarities.detach() > positive.detach()[:, :, None]
    return torch.where(hard, similarities * (mean + similarities), similarities)


def curricular_mean(
    state: MutableMapping[str, Tensor], positive: Tensor, shares: Tensor, *, turn: tuple[int, float]
) -> float:
    """The running mean after this batch: 0.99 of what it was, 0.01 of this batch's; it starts at 0.

    state      `batch.state`; its "curricular_mean" is moved on in place, "curricular_turn" remembers the batch
    positive   float [B, P], similarity of query and positive
    shares     float [B, P], what each counts; 0 where absent
    turn       seed and progress of the batch. A second call for the same batch (another width of a Matryoshka, another
               term of a sum) and a call without gradient read the mean and do not move it

    Every rank computes the loss of the whole batch from the same gathered vectors, so all move it alike, and gradient
    caching calls the objective once a step.
    """
    # Seed and share of the run as whole numbers: compared bit by bit, and saved with the checkpoint as they are.
    seen = torch.tensor([_low_bits(turn[0]), round(turn[1] * 2**53)], dtype=torch.int64)
    before = float(state[MEAN]) if MEAN in state else 0.0
    if not torch.is_grad_enabled() or (TURN in state and torch.equal(state[TURN].cpu(), seen)):
        return before
    counted = float(shares.sum())
    if not counted > 0:
        return before
    here = float((positive.detach() * shares).sum()) / counted
    state[MEAN] = torch.tensor(DECAY * before + (1 - DECAY) * here, dtype=torch.float64)
    state[TURN] = seen
    return float(state[MEAN])


def _low_bits(seed: int) -> int:
    return seed & ((1 << 63) - 1)
