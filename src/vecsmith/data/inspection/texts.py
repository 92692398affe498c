"""One pass over the distinct texts of a dataset: what can be said of each text alone, as arrays of a few bytes each."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from vecsmith.data.scripts import CLASSES, FAMILIES, ODD, SCRIPTS, class_counts

__all__ = ["MARKUP", "MOJIBAKE", "SIGNS", "TextFacts", "folded", "near_key", "text_facts"]

# Signs of a text that was written or read the wrong way, beside the odd characters of `scripts.ODD`.
SIGNS = (*ODD, "UTF-8 read as Windows-1252", "HTML markup")
MOJIBAKE = re.compile(
    "[\u00c2\u00c3\u00d0\u00d1\u00e0\u00e2][\u0080-\u00bf\u20ac\u2122\u0153\u2013\u2014\u201c\u201d\u2018\u2019\u201e]"
)
MARKUP = re.compile(
    r"&(amp|lt|gt|quot|nbsp|#\d{2,5}|#x[0-9a-f]{2,5});|</?(p|br|div|span|li|ul|ol|b|i|a|em|strong)\b[^<>]{0,200}>", re.I
)
_MIXED_FROM = 0.1  # share of the letters that the second script needs


@dataclass(frozen=True)
class TextFacts:
    """Of n distinct texts, in the order of their rows.

    characters    int64 [n]
    near          uint64 [n]: equal for texts that agree after case folding and with white space made one
    signs         uint16 [n]: bit i: the text has `SIGNS[i]`
    script        uint8 [n]: the script of most of its letters, a place in `CLASSES`; 0: no letters
    is_mixed      bool [n]: a tenth of its letters or more belong to a second script
    letters       int64 [len(CLASSES)]: characters of each class in all texts
    """

    characters: np.ndarray
    near: np.ndarray
    signs: np.ndarray
    script: np.ndarray
    is_mixed: np.ndarray
    letters: np.ndarray

    def __len__(self) -> int:
        return len(self.characters)


def folded(text: str) -> str:
    """The text after case folding, every run of white space one space.

    >>> folded(" The  STRASSE\\n")
    'the strasse'
    >>> folded("Stra\\u00dfe") == folded("STRASSE")
    True
    """
    return " ".join(text.casefold().split())


def near_key(text: str) -> int:
    """64 bits of the folded text."""
    return xxhash.xxh3_64_intdigest(folded(text).encode("utf-8", "surrogatepass"))


def text_facts(batches: Iterable[Sequence[str]]) -> TextFacts:
    """Facts of texts that come in batches; a few thousand texts, or a few million characters, at once are held."""
    parts: list[tuple[np.ndarray, ...]] = []
    letters = np.zeros(len(CLASSES), dtype=np.int64)
    for texts in batches:
        counts = class_counts(texts)
        letters += counts.sum(axis=0, dtype=np.int64)
        script, is_mixed = _scripts(counts[:, 1 : 1 + len(SCRIPTS)])
        characters = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        near = np.fromiter(map(near_key, texts), dtype=np.uint64, count=len(texts))
        parts.append((characters, near, _signs(texts, counts), script, is_mixed))
    kinds = (np.int64, np.uint64, np.uint16, np.uint8, np.bool_)
    columns = [
        np.concatenate([part[place] for part in parts]) if parts else np.zeros(0, kind)
        for place, kind in enumerate(kinds)
    ]
    characters, near, signs, script, is_mixed = columns
    return TextFacts(characters, near, signs, script, is_mixed, letters)


def _signs(texts: Sequence[str], counts: np.ndarray) -> np.ndarray:
    bits = np.zeros(len(texts), dtype=np.uint16)
    for place, name in enumerate(ODD):
        bits |= (counts[:, CLASSES.index(name)] > 0).astype(np.uint16) << place
    for row, text in enumerate(texts):
        if not text.isascii() and MOJIBAKE.search(text):
            bits[row] |= 1 << len(ODD)
        if ("&" in text or "<" in text) and MARKUP.search(text):
            bits[row] |= 2 << len(ODD)
    return bits


_FAMILY = [FAMILIES[name] for name in SCRIPTS]
_FAMILIES = sorted(set(_FAMILY))
_TO_FAMILY = np.array([[family == other for other in _FAMILIES] for family in _FAMILY], dtype=np.int64)


def _scripts(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Main script of each text, and whether a second one has a share of it; counts int [n, len(SCRIPTS)]."""
    main = (counts.argmax(axis=1) + 1).astype(np.uint8)
    main[counts.sum(axis=1) == 0] = 0
    families = np.sort(counts.astype(np.int64) @ _TO_FAMILY, axis=1)
    return main, families[:, -2] > np.maximum(1, _MIXED_FROM * families.sum(axis=1))
