"""Which script a letter belongs to, and which characters are odd in a text: one class per code point, as a table.

Scripts tell languages apart as far as letters can: Greek is Greek, Devanagari is Hindi, Marathi or Nepali. Only letters
count (Unicode categories L*), so that digits, punctuation and emoji belong to no script. Blocks as in Unicode 15.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np

__all__ = ["CLASSES", "FAMILIES", "ODD", "SCRIPTS", "class_counts", "class_table"]

# Blocks, not the Scripts property: shared blocks are given to the script that nearly all of their letters have.
BLOCKS: tuple[tuple[str, tuple[tuple[int, int], ...]], ...] = (
    (
        "Latin",
        (
            *((0x0041, 0x024F), (0x0250, 0x02AF), (0x1D00, 0x1DBF), (0x1E00, 0x1EFF), (0x2C60, 0x2C7F)),
            *((0xA720, 0xA7FF), (0xAB30, 0xAB6F), (0xFB00, 0xFB06), (0xFF21, 0xFF5A)),
        ),
    ),
    ("Greek", ((0x0370, 0x03FF), (0x1F00, 0x1FFF))),
    ("Cyrillic", ((0x0400, 0x052F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F))),
    ("Armenian", ((0x0530, 0x058F), (0xFB13, 0xFB17))),
    ("Hebrew", ((0x0590, 0x05FF), (0xFB1D, 0xFB4F))),
    ("Arabic", ((0x0600, 0x06FF), (0x0750, 0x077F), (0x0870, 0x08FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFE))),
    ("Syriac", ((0x0700, 0x074F), (0x0860, 0x086F))),
    ("Thaana", ((0x0780, 0x07BF),)),
    ("Devanagari", ((0x0900, 0x097F), (0xA8E0, 0xA8FF))),
    ("Bengali", ((0x0980, 0x09FF),)),
    ("Gurmukhi", ((0x0A00, 0x0A7F),)),
    ("Gujarati", ((0x0A80, 0x0AFF),)),
    ("Oriya", ((0x0B00, 0x0B7F),)),
    ("Tamil", ((0x0B80, 0x0BFF),)),
    ("Telugu", ((0x0C00, 0x0C7F),)),
    ("Kannada", ((0x0C80, 0x0CFF),)),
    ("Malayalam", ((0x0D00, 0x0D7F),)),
    ("Sinhala", ((0x0D80, 0x0DFF),)),
    ("Thai", ((0x0E00, 0x0E7F),)),
    ("Lao", ((0x0E80, 0x0EFF),)),
    ("Tibetan", ((0x0F00, 0x0FFF),)),
    ("Myanmar", ((0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F))),
    ("Georgian", ((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F))),
    ("Hangul", ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF), (0xFFA0, 0xFFDC))),
    ("Ethiopic", ((0x1200, 0x139F), (0x2D80, 0x2DDF), (0xAB00, 0xAB2F))),
    ("Cherokee", ((0x13A0, 0x13FF), (0xAB70, 0xABBF))),
    ("Khmer", ((0x1780, 0x17FF),)),
    ("Mongolian", ((0x1800, 0x18AF),)),
    ("Tifinagh", ((0x2D30, 0x2D7F),)),
    ("Hiragana", ((0x3041, 0x309F), (0x1B001, 0x1B11F))),
    ("Katakana", ((0x30A0, 0x30FA), (0x30FD, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF6F), (0xFF71, 0xFF9D))),
    ("Bopomofo", ((0x3105, 0x312F), (0x31A0, 0x31BF))),
    ("Han", ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))),
    ("Yi", ((0xA000, 0xA48F),)),
)
SCRIPTS = (*(name for name, _ in BLOCKS), "other letters")

ODD = (
    "NUL",
    "replacement character",
    "control character",
    "half of a surrogate pair",
    "direction mark",
    "invisible character",
    "private use character",
)
_ODD_RANGES = {
    "NUL": ((0, 0),),
    "replacement character": ((0xFFFD, 0xFFFD),),
    "control character": ((0x01, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0x9F)),
    "half of a surrogate pair": ((0xD800, 0xDFFF),),
    "direction mark": ((0x061C, 0x061C), (0x200E, 0x200F), (0x202A, 0x202E), (0x2066, 0x2069)),
    # not the joiners U+200C and U+200D: Persian, Indic scripts and emoji need them
    "invisible character": ((0x00AD, 0x00AD), (0x200B, 0x200B), (0x2060, 0x2064), (0xFEFF, 0xFEFF)),
    "private use character": ((0xE000, 0xF8FF), (0xF0000, 0x10FFFF)),
}

CLASSES = ("", *SCRIPTS, *ODD)  # class 0: digits, punctuation, spaces, marks, emoji

# Scripts that one language mixes in one sentence.
FAMILIES = {name: name for name in SCRIPTS} | dict.fromkeys(("Hiragana", "Katakana", "Bopomofo"), "Han")


@cache
def class_table() -> np.ndarray:
    """uint8 [0x110000]: the class of each code point, a place in `CLASSES`. Made once, in about 0.1 s."""
    table = np.zeros(0x110000, dtype=np.uint8)
    for low in range(0, 0x20000, 0x100):  # letters of the first two planes that stand in no block of ours
        for point in range(low, low + 0x100):
            if unicodedata.category(chr(point)) in _LETTERS:
                table[point] = CLASSES.index("other letters")
    table[0x20000:0x323B0] = CLASSES.index("Han")  # 70,000 at once; the gaps between them are no characters
    for name, blocks in BLOCKS:
        _mark(table, name, blocks)
    for name, ranges in _ODD_RANGES.items():
        for low, high in ranges:
            table[low : high + 1] = CLASSES.index(name)
    table.setflags(write=False)
    return table


_LETTERS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo"})


def _mark(table: np.ndarray, name: str, blocks: tuple[tuple[int, int], ...]) -> None:
    """Give the letters of these blocks (those that have a class already) the class of a script."""
    for low, high in blocks:
        part = table[low : high + 1]
        part[part > 0] = CLASSES.index(name)


def class_counts(texts: Sequence[str]) -> np.ndarray:
    """int32 [n, len(CLASSES)]: how many characters of each class each text has.

    >>> counts = class_counts(["abc \\u0431", "42"])
    >>> [int(counts[0, CLASSES.index(name)]) for name in ("Latin", "Cyrillic")], int(counts[1].sum())
    ([3, 1], 2)
    """
    counts = np.zeros((len(texts), len(CLASSES)), dtype=np.int32)
    if not texts:
        return counts
    joined = "".join(texts)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    if joined.isascii():
        points = np.frombuffer(joined.encode("ascii"), dtype=np.uint8)
    else:
        points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    classes = class_table()[points]
    owner = np.repeat(np.arange(len(texts), dtype=np.int64) * len(CLASSES), lengths)
    flat = np.bincount(owner + classes, minlength=counts.size)
    counts[:] = flat.reshape(counts.shape)
    return counts
