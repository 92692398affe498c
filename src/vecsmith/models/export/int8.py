"""The products of a graph in 8 bits: weights rounded once, activations by the range of each batch.

Weights are rounded per output channel. What they are multiplied with is rounded by the smallest and largest number of
the whole batch, so a text's vector depends a little on the texts beside it. The token table stays as it is: rounding it
costs accuracy on every input and saves no time.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vecsmith.errors import MissingExtra

__all__ = ["METHOD", "NOT_MEASURED", "has_wide_sums", "known_loss", "quantise_graph"]

METHOD = "onnxruntime dynamic quantisation of matrix products: weights int8 per channel, activations uint8 per batch"
NOT_MEASURED = "loss not measured"
LARGEST_FILE = 1_800_000_000


def has_wide_sums() -> bool:
    """Whether this processor adds products of 8-bit numbers in 32 bits at once (VNNI, or ARM's dot product).

    Others add pairs in 16 bits, where two large products overflow; weights of 7 bits cannot.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return os.uname().machine in ("arm64", "aarch64") if hasattr(os, "uname") else False
    return any(flag in flags for flag in ("avx512_vnni", "avx_vnni", "asimddp"))


def known_loss(fingerprint: str, bits: int) -> Any:
    """What int8 costs a model that was measured before vecsmith was released, with where; else `NOT_MEASURED`.

    fingerprint   of the model's space; bits: of a weight, which must be those of the measurement
    """
    with open(Path(__file__).with_name("losses.json"), encoding="utf-8") as file:
        entry = json.load(file).get(fingerprint)
    if entry is None or entry["weight_bits"] != bits:
        return NOT_MEASURED
    return {"measured": "before release", "processor": entry["processor"], **entry["loss"]}


def quantise_graph(source: Path, target: Path, *, bits: int = 8) -> None:
    """Write `source` with its matrix products in 8 bits.

    bits      of a weight: 8, or 7 for processors without `has_wide_sums`
    raises    MissingExtra
    """
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        raise MissingExtra("onnx", "int8") from None
    size = sum(file.stat().st_size for file in source.parent.glob(f"{source.name}*"))
    with _quiet():
        quantize_dynamic(
            str(source),
            str(target),
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=bits == 7,
            weight_type=QuantType.QInt8,
            use_external_data_format=size > LARGEST_FILE,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime advises through the root logger to prepare the graph, which the exporter has done."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
