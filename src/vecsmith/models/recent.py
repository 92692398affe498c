"""Vectors of texts seen lately, so that copies far apart in a stream are encoded once: bounded memory."""

import numpy as np
import xxhash
from numpy.typing import NDArray

__all__ = ["Recent"]

Float = NDArray[np.float32]

BYTES = 64_000_000  # of vectors; the keys take about half as much again at a width of 384


class Recent:
    """Text -> vector for the last texts that fit; the oldest go first.

    width   components of a vector
    bytes   most memory for vectors
    """

    def __init__(self, width: int, size: int = BYTES) -> None:
        self.room = max(1, size // (4 * max(1, width)))
        self.vectors: Float = np.empty((self.room, width), dtype=np.float32)  # pages are taken when they are written
        self.places: dict[bytes, int] = {}
        self.keys: list[bytes] = []  # the key at each place
        self.next = 0

    def find(self, texts: list[str]) -> tuple[NDArray[np.int64], Float]:
        """Rows of `texts` that are known, int64 [m], and their vectors, float32 [m, width]."""
        held = [(row, self.places.get(_key(text))) for row, text in enumerate(texts)]
        known = [(row, place) for row, place in held if place is not None]
        rows = np.array([row for row, _ in known], dtype=np.int64)
        return rows, self.vectors[[place for _, place in known]]

    def add(self, texts: list[str], vectors: Float) -> None:
        """Remember vectors, float32 [len(texts), width], of texts that `find` did not know."""
        for text, vector in zip(texts[-self.room :], vectors[-self.room :], strict=True):
            key = _key(text)
            if len(self.keys) < self.room:
                self.keys.append(key)
            else:
                self.places.pop(self.keys[self.next], None)
                self.keys[self.next] = key
            self.vectors[self.next] = vector
            self.places[key] = self.next
            self.next = (self.next + 1) % self.room


def _key(text: str) -> bytes:
    return xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))
