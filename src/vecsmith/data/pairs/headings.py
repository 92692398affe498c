"""Pairs from headings: a heading asks for the passages below it, from which it is left out."""

import re

from vecsmith.data.pairs.pair import Pair, count_words

__all__ = ["heading_pair", "heading_query"]

FEWEST_WORDS = 2  # of a query: "Usage" asks for nothing
WORDS_ALONE = 3  # a shorter heading is asked for with the title of its file: "requests installation"
FEWEST_WORDS_BELOW = 5
LONGEST = 300  # characters of a heading that are read

_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|:\w+:`([^`<]*)(?:<[^>]*>)?`")
_NUMBER = re.compile(r"^(?:(?:chapter|section|part)\s+)?(?:\d+|[IVXLC]+|[A-Z])(?:\.\d+)*[.):]\s+", re.IGNORECASE)
_MARKUP = re.compile(r"[`*]+|\{#[^}]*\}|<[^>]+>|(?<!\w)_+|_+(?!\w)")


def heading_pair(heading: str, title: str, text: str) -> Pair | None:
    """What the heading of a passage asks; None where it says too little or the passage is nearly empty."""
    query = heading_query(heading, title)
    return Pair(query, text, "heading") if query and count_words(text) >= FEWEST_WORDS_BELOW else None


def heading_query(heading: str, title: str) -> str | None:
    """A heading as a query: without markup and numbers; with its title before it where it is short.

    >>> heading_query("2.1. `Installation`", "Requests")
    'Requests Installation'
    >>> heading_query("How to reset the router", "Manual")
    'How to reset the router'
    """
    query, title = _plain(heading[:LONGEST]), _plain(title[:LONGEST])
    if query and count_words(query) < WORDS_ALONE and title.casefold() not in query.casefold():
        query = f"{title} {query}"
    return query if count_words(query) >= FEWEST_WORDS else None


def _plain(text: str) -> str:
    text = _LINK.sub(lambda found: found.group(1) or found.group(2) or "", text)
    text = _MARKUP.sub("", text)
    return " ".join(_NUMBER.sub("", text.strip()).split())
