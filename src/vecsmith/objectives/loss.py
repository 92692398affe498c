"""What every objective returns: a scalar to go down, and the few numbers a person wants to see beside it."""

from dataclasses import dataclass, field

from torch import Tensor

__all__ = ["Loss"]


@dataclass(frozen=True)
class Loss:
    """The value of an objective on one batch.

    value   scalar tensor, float32 (float64 for float64 vectors), with its graph
    parts   numbers to report, by name: shares are 0..1, counts are per batch
    """

    value: Tensor
    parts: dict[str, float] = field(default_factory=dict)
