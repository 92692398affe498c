"""Pairs that a table already holds: one column asks, another answers."""

from vecsmith.data.pairs.pair import Pair

__all__ = ["column_pair"]


def column_pair(query: str | None, document: str) -> Pair | None:
    """The row's query and document; None where either is blank, or both are the same text."""
    if not query or query.isspace() or document.isspace() or query == document:
        return None
    return Pair(query, document, "column")
