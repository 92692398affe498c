"""Vectors as bytes or bits by ranges that were measured once and are stored, never by those of the batch at hand.

The codes are those of sentence-transformers' `quantize_embeddings` with the same ranges. A component's code depends on
its value and its range alone, so rows that were quantised years apart may be compared.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.contract.contract import Contract
from vecsmith.errors import ContractError, UsageError

__all__ = [
    "PRECISIONS",
    "Quantiser",
    "calibrate",
    "dequantise",
    "quantise",
    "quantiser_of",
    "steps_of",
    "stored_quantiser",
    "with_ranges",
]

Float = NDArray[np.float32]
Codes = NDArray[np.int8] | NDArray[np.uint8]

PRECISIONS = ("int8", "uint8", "binary", "ubinary")
LEVELS = 255


def calibrate(vectors: Float, ranges: Float | None = None) -> Float:
    """Smallest and largest value of each component: float32 [2, d].

    vectors   float32 [n, d], finite; a few thousand of the kind that will be stored
    ranges    float32 [2, d] of earlier vectors, to go on from
    raises    UsageError: no vectors, another shape, or NaN
    """
    found = np.asarray(vectors, dtype=np.float32)
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise UsageError(f"ranges need a matrix of finite vectors; got shape {found.shape}")
    measured = np.stack([found.min(axis=0), found.max(axis=0)])
    if ranges is None:
        return measured
    return np.stack([np.minimum(measured[0], ranges[0]), np.maximum(measured[1], ranges[1])])


def quantise(vectors: Float, precision: str, ranges: Float | None = None) -> tuple[Codes, int]:
    """Codes of vectors, and how many components lay outside their range and were cut to it.

    vectors    float32 [n, d], finite
    precision  "int8" (-128..127), "uint8" (0..255), "binary" or "ubinary" (a bit per component: value > 0)
    ranges     float32 [2, d]; for int8 and uint8
    returns    int8 or uint8 [n, d]; for bits [n, ceil(d / 8)]
    raises     UsageError: an unknown precision, no or other ranges, or a vector with NaN

    With the range 0..255 a step is 1: 3.7 gets code 3 as uint8, -125 as int8.

    >>> quantise(np.array([[3.7, -9.0]], dtype=np.float32), "uint8", np.array([[0, 0], [255, 255]]))
    (array([[3, 0]], dtype=uint8), 1)
    """
    found = np.asarray(vectors, dtype=np.float32)
    if precision not in PRECISIONS:
        raise UsageError(f'precision is "{precision}"; known: float32, {", ".join(PRECISIONS)}')
    if found.ndim != 2 or not np.isfinite(found).all():
        raise UsageError(f"codes need a matrix of finite vectors; got shape {found.shape}, or NaN in it")
    if precision in ("binary", "ubinary"):
        bits = np.packbits(found > 0, axis=-1)
        return (bits if precision == "ubinary" else (bits - 128).astype(np.int8)), 0
    starts, steps = _grid(precision, ranges, found.shape[1])
    with np.errstate(over="ignore"):  # far outside a tiny range: infinity, which is cut like the rest
        levels = np.floor((found - starts) / steps)
    outside = int(((found < starts) | (found > np.asarray(ranges, dtype=np.float32)[1])).sum())
    levels = np.clip(levels, 0, LEVELS)
    return (levels.astype(np.uint8) if precision == "uint8" else (levels - 128).astype(np.int8)), outside


def dequantise(codes: Codes, precision: str, ranges: Float | None = None, *, width: int | None = None) -> Float:
    """Vectors of codes, each component in the middle of its step: float32 [n, d].

    ranges   float32 [2, d]; for int8 and uint8
    width    d; for bits, which come back as 1 and -1
    raises   UsageError: an unknown precision, or no or other ranges

    A value inside its range comes back within half a step.
    """
    if precision in ("binary", "ubinary"):
        raw = (np.asarray(codes).astype(np.int16) + (128 if precision == "binary" else 0)).astype(np.uint8)
        bits = np.unpackbits(raw, axis=-1, count=width)
        return (2.0 * bits - 1.0).astype(np.float32)
    if precision not in PRECISIONS:
        raise UsageError(f'precision is "{precision}"; known: {", ".join(PRECISIONS)}')
    starts, steps = _grid(precision, ranges, np.asarray(codes).shape[-1])
    levels = np.asarray(codes).astype(np.float32) + (128 if precision == "int8" else 0)
    given = np.asarray(ranges, dtype=np.float32)
    # A component that never changed has no step to stand in the middle of.
    middle = np.where((given[1] - given[0]) / LEVELS == 0, np.float32(0), np.float32(0.5))
    vectors: Float = (levels + middle) * steps + starts
    return vectors


def steps_of(ranges: Float) -> tuple[Float, Float]:
    """int8 codes as a line per component: value = offset + code * step, both float32 [d].

    ranges   float32 [2, d]
    """
    starts, steps = _grid("int8", ranges, ranges.shape[1])
    middle = np.where((ranges[1] - ranges[0]) / LEVELS == 0, np.float32(0), np.float32(0.5))
    return (starts + (128 + middle) * steps).astype(np.float32), steps


def _grid(precision: str, ranges: Float | None, width: int) -> tuple[Float, Float]:
    """Where the codes of each component begin, and how wide a step is: float32 [d] each."""
    if ranges is None:
        raise UsageError(f"{precision} codes need the ranges of the components: calibrate(vectors)")
    given = np.asarray(ranges, dtype=np.float32)
    if given.shape != (2, width) or not np.isfinite(given).all() or (given[0] > given[1]).any():
        raise UsageError(f"ranges are of shape {given.shape}; vectors {width} wide need [2, {width}], lowest first")
    steps = (given[1] - given[0]) / LEVELS
    return given[0], np.where(steps == 0, np.float32(1), steps)


@dataclass(frozen=True)
class Quantiser:
    """How vectors of one width are stored: a precision, and for int8 and uint8 the ranges, float32 [2, width]."""

    precision: str
    width: int
    ranges: Float | None = None

    def quantise(self, vectors: Float) -> tuple[Codes, int]:
        """Codes, and how many components were cut to their range; see `quantise`."""
        return quantise(vectors, self.precision, self.ranges)

    def dequantise(self, codes: Codes) -> Float:
        """float32 [n, width]; see `dequantise`."""
        return dequantise(codes, self.precision, self.ranges, width=self.width)

    @property
    def dtype(self) -> str:
        """numpy's name of a code's type."""
        return "int8" if self.precision in ("int8", "binary") else "uint8"

    @property
    def code_width(self) -> int:
        """Codes of one vector."""
        return self.width if self.ranges is not None else (self.width + 7) // 8

    def to_json(self) -> dict[str, Any]:
        """What a contract's `view["quantiser"]` holds of vectors that are stored so."""
        ranges = {} if self.ranges is None else {"ranges": {str(self.width): _packed(self.ranges)}}
        return {"precision": self.precision, **ranges}


def quantiser_of(contract: Contract) -> Quantiser | None:
    """How the vectors of a contract are stored; None for plain numbers.

    raises    ContractError: ranges that cannot be read
    """
    held = contract.view.get("quantiser") or {}
    if not held.get("precision"):
        return None
    return stored_quantiser(contract, held["precision"], contract.width)


def stored_quantiser(contract: Contract, precision: str, width: int) -> Quantiser:
    """The quantiser that a contract's ranges give for vectors of a width.

    raises    ContractError: no ranges for this width, with the way to get them; UsageError: unknown precision
    """
    if precision not in PRECISIONS:
        raise UsageError(f'precision is "{precision}"; known: float32, {", ".join(PRECISIONS)}')
    if precision in ("binary", "ubinary"):
        return Quantiser(precision, width)
    held = (contract.view.get("quantiser") or {}).get("ranges") or {}
    entry = held.get(str(width))
    if entry is None:
        known = f"It has ranges for width {', '.join(held)}. " if held else ""
        raise ContractError(
            f"{contract.name} has no stored ranges for vectors {width} wide, which {precision} needs: ranges taken "
            f"from the batch at hand would give each batch other codes. {known}Measure them once, on a few thousand "
            "typical texts: model.calibrate(texts), or: vecsmith calibrate MODEL TEXTS"
        )
    return Quantiser(precision, width, _unpacked(entry, width, contract.name))


def with_ranges(contract: Contract, ranges: Float, inputs: int) -> Contract:
    """The contract with ranges for vectors of their width, float32 [2, width]; those of other widths stay.

    inputs    how many vectors they were measured on
    """
    held = (contract.view.get("quantiser") or {}).get("ranges") or {}
    entry = {**_packed(ranges), "inputs": int(inputs)}
    merged = dict(sorted({**held, str(ranges.shape[1]): entry}.items(), key=lambda item: -int(item[0])))
    return replace(contract, view={**contract.view, "quantiser": {"ranges": merged}})


def _packed(ranges: Float) -> dict[str, Any]:
    return {"float32_le_base64": base64.b64encode(np.asarray(ranges, dtype="<f4").tobytes()).decode("ascii")}


def _unpacked(entry: Mapping[str, Any], width: int, name: str) -> Float:
    try:
        values = np.frombuffer(base64.b64decode(entry["float32_le_base64"], validate=True), dtype="<f4")
        ranges: Float = values.reshape(2, width).astype(np.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError(f"the ranges of {name} cannot be read ({error}); calibrate it again") from error
    return ranges
