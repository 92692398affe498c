"""Weights that make a loss listen to what is still hard: (1 - p)^gamma, p the share that the positive already has.

Lin et al., ICCV 2017 (arXiv 1708.02002); in a contrastive loss, with gamma 0.5, KaLM-Embedding-V2 (arXiv 2506.20923).
"""

import torch
from torch import Tensor

__all__ = ["focal_weights"]

SMALLEST = 1e-6


def focal_weights(
    log_p: Tensor, gamma: float, *, detach: bool = False, renormalise: bool = False, shares: Tensor | None = None
) -> Tensor:
    """w = (1 - p)^gamma for each log p; the loss is then -w log p.

    log_p         float, any shape, <= 0
    gamma         >= 0; 0 gives ones. The paper has 0.5
    detach        False, as published: the gradient also flows through w. True: w only scales the gradient
    renormalise   divides by the mean of w (a constant for the gradient), so that the step size stays with plain
                  SGD; [ours], off by default: Adam takes no notice of the scale
    shares        float, the shape of log_p, >= 0: what each element counts in that mean; None counts all alike
    returns       float, the shape of log_p
    raises        ValueError: gamma below 0

    1 - p is kept above 1e-6, since for gamma < 1 the slope is infinite at p = 1. Worked by hand, gamma 0.5, p 0.75:

    >>> round(float(focal_weights(torch.tensor(0.75).log(), 0.5)), 6)
    0.5
    """
    if gamma < 0:
        raise ValueError(f"focal gamma is {gamma}; below 0 it would favour what is already learnt. Give 0 or more")
    if gamma == 0:
        return torch.ones_like(log_p)
    weights = (-torch.expm1(log_p)).clamp_min(SMALLEST) ** gamma
    if detach:
        weights = weights.detach()
    if renormalise:
        counted = torch.ones_like(log_p) if shares is None else shares
        weights = weights / ((weights.detach() * counted).sum() / counted.sum())
    return weights
