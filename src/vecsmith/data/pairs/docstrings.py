"""Pairs from docstrings: the words of a name, or the summary line, ask for the body; a docstring asks for its code.

What a query is made from leaves the text that it asks for: the summary, and the name itself where it is more than one
word ("parse_date"; a one-word name such as "copy" is an ordinary word of the text).
"""

import re

import xxhash

from vecsmith.data.pairs.pair import Pair, count_words, without
from vecsmith.data.passages import squeeze

__all__ = ["code_pair", "docstring_pair", "identifier_words"]

FEWEST_WORDS = 2  # of a query from a name
FEWEST_SUMMARY_WORDS, MOST_SUMMARY_WORDS = 4, 40
FEWEST_BODY_WORDS = 5
FEWEST_DOCUMENT_WORDS = 3  # of what a name asks for

_JOINT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+")
_SIGNATURE = re.compile(r"[\w.]+\(.*\)")


def docstring_pair(text: str, identifier: str, parent: str = "", *, seed: int = 0) -> Pair | None:
    """The one query of a docstring; None where neither name nor summary says enough.

    Where both would do, (seed, text) decides, not the name: copies of a text in other packages are cut alike.
    """
    by_name = _name_pair(text, identifier, parent)
    by_summary = _summary_pair(text, identifier)
    if by_name and by_summary:
        heads = xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"), seed=seed % 2**64) & 1
        return by_summary if heads else by_name
    return by_name or by_summary


def code_pair(code: str, docstring: str, summary: str, name: str) -> Pair | None:
    """A definition without its docstring, asked for by the docstring's summary, else by the words of its name.

    code       the definition's text; docstring: the stretch of it that is the docstring, quotes included ("" if none)
    """
    positive = squeeze(without(code, docstring) if docstring else code)
    if count_words(positive) < FEWEST_BODY_WORDS:
        return None
    if FEWEST_SUMMARY_WORDS <= count_words(summary) <= 2 * MOST_SUMMARY_WORDS:
        return Pair(summary, positive, "docstring")
    parent, _, identifier = name.rpartition(".")
    return _name_pair(positive, identifier, parent.rpartition(".")[2])


def identifier_words(name: str) -> list[str]:
    """The words of a name, split by case and underscore, in lower case.

    >>> identifier_words("parseHTTPHeaders_v2"), identifier_words("__init__")
    (['parse', 'http', 'headers', 'v2'], ['init'])
    """
    return [word.lower() for word in _JOINT.split(name) if word]


def _name_pair(text: str, identifier: str, parent: str) -> Pair | None:
    """The words of the name; of a one-word name, with those of the class or module that holds it."""
    words = identifier_words(identifier)
    if len(words) < FEWEST_WORDS:
        words = identifier_words(parent) + words
    positive = _without_name(text, identifier)
    if count_words(" ".join(words)) < FEWEST_WORDS or count_words(positive) < FEWEST_DOCUMENT_WORDS:
        return None
    return Pair(" ".join(words), positive, "identifier")


def _summary_pair(text: str, identifier: str) -> Pair | None:
    """The first paragraph, and what stands below it."""
    head, _, body = text.strip().partition("\n\n")
    summary = squeeze(head)
    if not FEWEST_SUMMARY_WORDS <= count_words(summary) <= MOST_SUMMARY_WORDS or _SIGNATURE.match(summary):
        return None
    positive = without(_without_name(body, identifier), summary)
    if count_words(positive) < FEWEST_BODY_WORDS:
        return None
    return Pair(summary, positive, "summary")


def _without_name(text: str, identifier: str) -> str:
    """The text, squeezed, without a name of several words."""
    if len(identifier_words(identifier)) < FEWEST_WORDS:
        return squeeze(text)
    return squeeze(re.sub(rf"(?<!\w){re.escape(identifier)}(?!\w)", " ", text))
