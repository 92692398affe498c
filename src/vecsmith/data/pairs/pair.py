"""A query made from a source, and the text that answers it."""

import re
from dataclasses import dataclass

__all__ = ["Pair", "count_words", "without"]

_WORD = re.compile(r"[^\W\d_]+")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff]")  # kana, han, Thai, Lao


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and its positive.

    positive   the text to be judged and trained on: what the query was made from is not in it
    made_from  "column", "heading", "docstring", "identifier", "summary" or "sentence"
    """

    query: str
    positive: str
    made_from: str


def count_words(text: str) -> int:
    """Words with letters; of scripts that write without spaces, two characters count as one word.

    >>> count_words("Return 3 of the items."), count_words("東京都に住む")
    (4, 3)
    """
    unspaced = len(_UNSPACED.findall(text))
    if not unspaced:
        return len(_WORD.findall(text))
    return len(_WORD.findall(_UNSPACED.sub(" ", text))) + unspaced // 2


def without(text: str, part: str) -> str:
    """The text without any occurrence of a part, also none that the removal itself brings together; white space of
    both counts as single spaces.

    >>> without("a b. Find it. c", "Find it.")
    'a b. c'
    """
    text, part = " ".join(text.split()), " ".join(part.split())
    while part and part in text:
        text = " ".join(text.replace(part, " ").split())
    return text
