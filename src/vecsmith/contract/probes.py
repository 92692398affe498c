"""Sixteen inputs whose vectors tell whether two machines run the same model.

Weights may agree and vectors still differ: another attention kernel, tokenizer version or dtype. The probes catch it.
"""

import base64
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.contract.cache import add_to_cache, read_cache
from vecsmith.errors import ContractError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PROBES", "TOLERANCES", "ProbeReport", "Probes", "check", "check_once", "probe_vectors"]

# (name, text, role): role None is the model's default prompt, "query" and "document" are its prompts for those.
PROBES: tuple[tuple[str, str, str | None], ...] = (
    ("empty", "", None),
    ("space", " \t\n ", None),
    ("word", "embedding", None),
    ("sentence", "The cat sat on the warm stone wall.", None),
    ("upper", "THE CAT SAT ON THE WARM STONE WALL.", None),
    ("padded", "  The cat  sat on\tthe warm stone wall. \n", None),
    ("numbers", "3.14159, -40 °C, 2026-01-31, 0x1F, 1,000,000", None),
    ("code", "def parse_date(text: str) -> datetime: return datetime.fromisoformat(text)", None),
    ("accents", "Übergrößenträger, naïve façade, señor, Žluťoučký kůň", None),
    ("decomposed", "e\u0301te\u0301 a\u0300 la plage", None),
    ("cjk", "東京都の天気は晴れです。机器学习", None),
    ("right_to_left", "السلام عليكم ורחמת", None),
    ("emoji", "👩‍🚀 launches 🚀 to 🌍", None),
    ("long", "A stone bridge crosses the river where the old mill stood. " * 60, None),
    ("query", "how do I reset the router?", "query"),
    ("document", "Hold the reset button for ten seconds.", "document"),
)

# Largest difference of any component, relative to the longer of 1 and the vector's length.
TOLERANCES = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2, "int8": 5e-2}

Encode = Callable[[list[str], str | None], "NDArray[np.float32]"]


@dataclass(frozen=True)
class Probes:
    """Vectors of the probe inputs: float32 [16, d], kept as base64 of little-endian bytes until looked at."""

    width: int
    data: str
    names: tuple[str, ...] = tuple(name for name, _, _ in PROBES)

    @property
    def vectors(self) -> "NDArray[np.float32]":
        """float32 [len(names), width]."""
        import numpy as np

        return np.frombuffer(base64.b64decode(self.data), dtype="<f4").reshape(len(self.names), self.width)

    def to_json(self) -> dict[str, Any]:
        return {"names": list(self.names), "width": self.width, "float32_le_base64": self.data}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Probes":
        probes = cls(width=int(value["width"]), data=value["float32_le_base64"], names=tuple(value["names"]))
        if len(base64.b64decode(probes.data, validate=True)) != 4 * probes.width * len(probes.names):
            raise ValueError(f"the probe vectors are not {len(probes.names)} of {probes.width} float32 numbers")
        return probes


@dataclass(frozen=True)
class ProbeReport:
    """Largest difference over all probes, the probe that shows it, and what is allowed."""

    worst: float
    name: str
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.worst <= self.tolerance

    def require(self, what: str) -> None:
        """Raise ContractError unless passed; `what` opens the message."""
        if not self.passed:
            raise ContractError(
                f'{what} gives other vectors than its contract: probe "{self.name}" differs by {self.worst:.2g}, '
                f"allowed {self.tolerance:.2g}. Library versions or attention settings differ from those of the "
                "contract's record; install those, or re-embed with what is installed now"
            )


def probe_vectors(encode: Encode) -> Probes:
    """Run the probes: `encode(texts, role) -> float [n, d]`, role None, "query" or "document".

    raises    ContractError: a vector that is not finite (the probe is named)
    """
    import numpy as np

    vectors = _run(encode, [(text, role) for _, text, role in PROBES])
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise ContractError(
            f'probe "{PROBES[int((~finite).argmax())][0]}" gives NaN or infinity; the weights are broken'
        )
    return Probes(width=vectors.shape[1], data=base64.b64encode(vectors.astype("<f4").tobytes()).decode("ascii"))


def check(encode: Encode, probes: Probes, *, dtype: str = "float32") -> ProbeReport:
    """Run the probes and compare with stored vectors.

    encode    (texts, role) -> float [n, d]
    dtype     how the model computes, which decides the tolerance
    raises    ContractError: other width, or probes of a version that is not known here
    """
    import numpy as np

    known = {name: (text, role) for name, text, role in PROBES}
    if unknown := [name for name in probes.names if name not in known]:
        raise ContractError(f"the contract has probes unknown here: {', '.join(unknown)}; upgrade vecsmith")
    expected, found = probes.vectors, _run(encode, [known[name] for name in probes.names])
    if found.shape != expected.shape:
        raise ContractError(f"the model gives vectors of width {found.shape[1]}, its contract has {expected.shape[1]}")
    lengths = np.maximum(1.0, np.linalg.norm(expected, axis=1))
    differences = np.abs(found - expected).max(axis=1) / lengths
    differences = np.where(np.isfinite(differences), differences, np.inf)
    worst = int(differences.argmax())
    return ProbeReport(float(differences[worst]), probes.names[worst], TOLERANCES[dtype])


def check_once(
    encode: Encode, probes: Probes, *, folder: Path, fingerprint: str, versions: tuple[str, ...], dtype: str = "float32"
) -> None:
    """Run the probes unless this machine ran them for the same folder, contract and library versions.

    versions   what else decides the vectors here, e.g. ("torch 2.13.0", "cpu"): a change runs the probes again
    raises     ContractError: the model gives other vectors than its contract
    """
    key, stamp = (
        os.path.abspath(folder),
        [fingerprint, hashlib.sha256(probes.data.encode()).hexdigest(), *versions, dtype],
    )
    if read_cache("probed").get(key) == stamp:
        return
    check(encode, probes, dtype=dtype).require(str(folder))
    add_to_cache("probed", {key: list(stamp)})


def _run(encode: Encode, inputs: Sequence[tuple[str, str | None]]) -> "NDArray[np.float32]":
    import numpy as np

    rows: dict[int, Any] = {}
    for role in (None, "query", "document"):
        places = [place for place, (_, wanted) in enumerate(inputs) if wanted == role]
        if places:
            vectors = np.asarray(encode([inputs[place][0] for place in places], role), dtype=np.float32)
            rows.update(zip(places, vectors, strict=True))
    return np.stack([rows[place] for place in range(len(inputs))])
