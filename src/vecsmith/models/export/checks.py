"""Does what was exported give the vectors of its model? Probes by the driver, and one batch of very unlike lengths."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith.contract.parity import ParityReport, compare_vectors, verdict_of
from vecsmith.contract.probes import PROBES, TOLERANCES, probe_vectors
from vecsmith.models.encode import Backend, backend_of, encode

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["MIXED", "check_export", "reference_vectors"]

Float = NDArray[np.float32]

_WORDS = ("the", "old", "stone", "bridge", "crosses", "a", "wide", "river", "near", "seven", "quiet", "villages", "now")
# From nothing to more than most models read: in one batch the shortest is nearly all padding.
MIXED = tuple(
    " ".join(_WORDS[(word * size) % len(_WORDS)] for word in range(size)) for size in (0, 1, 2, 3, 5, 13, 55, 144, 600)
)


class Exported(Protocol):
    """What runs the exported file: a backend of the driver."""

    def embed(self, texts: list[str], prompt: str = "", role: str | None = None) -> Float: ...


def reference_vectors(model: "SentenceTransformer | Backend") -> Float:
    """The model's own vectors of the probes and of each text of `MIXED` alone, so without padding: float32 [25, d]."""
    backend = backend_of(model)
    alone = [backend.embed([text], backend.prompt_for(None), None) for text in MIXED]
    return np.concatenate([_probes(backend), *alone])


def check_export(
    expected: Float, exported: "Exported | Backend", *, model: str, target: str, dtype: str
) -> ParityReport:
    """Compare with what `reference_vectors` gave.

    dtype     how the exported file computes, which decides the tolerance
    returns   a report; `.same` says whether every vector is within the tolerance
    """
    backend: Backend = exported  # type: ignore[assignment]
    before = backend.prompt_for(None)
    together = backend.embed(list(MIXED), before, None)
    found = np.concatenate([_probes(backend), together])
    # A batch of one text is a shape of its own, at both ends of the lengths.
    for row in (0, len(MIXED) - 1):
        single = backend.embed([MIXED[row]], before, None)[0]
        place = len(PROBES) + row
        if np.abs(single - expected[place]).max() > np.abs(found[place] - expected[place]).max():
            found[place] = single
    names = [name for name, _, _ in PROBES] + [f"text {row + 1}" for row in range(len(MIXED))]
    found = np.where(np.isfinite(found), found, np.float32(1e30))
    verdict, worst = verdict_of(expected, found, TOLERANCES[dtype])
    rows = tuple(compare_vectors(expected, found, names))
    widths = (expected.shape[1], found.shape[1])
    return ParityReport(model, target, verdict, rows, TOLERANCES[dtype], worst, widths)


def _probes(backend: Backend) -> Float:
    run: Callable[[Sequence[str], str | None], Float] = lambda texts, role: encode(  # noqa: E731
        backend, texts, prompt=role, on_truncation="cut"
    )
    return probe_vectors(run).vectors
