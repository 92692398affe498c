"""Token vectors to one vector per text, in numpy: for ONNX files that end before their pooling."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["POOLING_MODES", "pool_tokens"]

Float = NDArray[np.float32]

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def pool_tokens(tokens: Float, mask: NDArray[np.int64], mode: str) -> Float:
    """float32 [n, d]: sentence-transformers' pooling of the same name.

    tokens    float32 [n, length, d]
    mask      int64 [n, length], 1 for tokens and 0 for padding; each row has a 1
    mode      one of `POOLING_MODES`
    raises    ValueError: another mode

    >>> pool_tokens(np.array([[[1.0], [3.0], [9.0]]], dtype=np.float32), np.array([[1, 1, 0]]), "mean").tolist()
    [[2.0]]
    """
    rows, length = np.arange(len(tokens)), tokens.shape[1]
    weights = mask.astype(np.float32)[:, :, None]
    if mode == "cls":
        return tokens[rows, mask.argmax(axis=1)]
    if mode == "lasttoken":
        return tokens[rows, length - 1 - mask[:, ::-1].argmax(axis=1)]
    if mode == "max":
        found: Float = np.where(weights > 0, tokens, -np.inf).max(axis=1)
        return found
    if mode == "weightedmean":
        first = mask.argmax(axis=1)[:, None]  # padding may stand in front
        weights = weights * (np.arange(1, length + 1)[None] - first)[:, :, None].astype(np.float32)
    elif mode not in ("mean", "mean_sqrt_len_tokens"):
        raise ValueError(f'pooling "{mode}" is not known; known: {", ".join(POOLING_MODES)}')
    count = np.maximum(weights.sum(axis=1), 1e-9)
    sums: Float = (tokens * weights).sum(axis=1) / (np.sqrt(count) if mode == "mean_sqrt_len_tokens" else count)
    return sums
