"""Random numbers that hang on what they are drawn for: a hash of a seed and keys, the same on every device and rank.

SplitMix64, the finaliser of Steele, Lea and Flood, OOPSLA 2014. [ours]: as a draw by content, so that the order of
rows, the cut into chunks and the number of ranks change no draw.
"""

import torch
from torch import Tensor

__all__ = ["beta_2_2", "uniform"]

GOLDEN = -0x61C8864680B583EB  # 0x9E3779B97F4A7C15 as a signed number, as are the two below
FIRST = -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9
SECOND = -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB


def uniform(seed: int, *keys: Tensor, salt: int = 0) -> Tensor:
    """A number in the open interval (0, 1) per element, a function of (seed, keys, salt) alone.

    seed      any whole number; only its lowest 64 bits count
    keys      int64 tensors that broadcast against each other; their order matters; none gives one number
    salt      tells apart several draws for the same keys
    returns   float64, the shape of the keys together, on their device
    raises    TypeError: keys that are not int64

    >>> round(float(uniform(7, torch.tensor(1), torch.tensor(2))), 6)
    0.874509
    >>> bool(uniform(7, torch.tensor(1)) == uniform(7, torch.tensor([1, 5]))[0])
    True
    """
    for key in keys:
        if key.dtype != torch.int64:
            raise TypeError(f"keys are {key.dtype}; draws hang on int64 keys")
    device = keys[0].device if keys else None
    state = _scrambled(torch.tensor(_signed(seed), device=device))
    state = _scrambled(state ^ _signed(salt))
    for key in keys:
        state = _scrambled(state ^ key)
    # 52 bits and a half: with 53 the largest would round to 1.
    return (_shifted(state, 12).double() + 0.5) * 2.0**-52


def beta_2_2(seed: int, *keys: Tensor, salt: int = 0) -> Tensor:
    """Beta(2, 2), density 6 x (1 - x): the median of three uniforms; arguments and result as for `uniform`.

    The middle of three independent uniforms has the density of their second order statistic, which is Beta(2, 2).
    """
    first, second, third = (
        uniform(seed, *keys, torch.tensor(turn, device=keys[0].device if keys else None), salt=salt)
        for turn in range(3)
    )
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    return torch.maximum(low, torch.minimum(high, third))


def _scrambled(value: Tensor) -> Tensor:
    """The next state's output of SplitMix64: int64, wrapping around."""
    value = value + GOLDEN
    value = (value ^ _shifted(value, 30)) * FIRST
    value = (value ^ _shifted(value, 27)) * SECOND
    return value ^ _shifted(value, 31)


def _shifted(value: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros; torch's own shift of a signed number fills with its sign."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """The lowest 64 bits as a signed number."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
