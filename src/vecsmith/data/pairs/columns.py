"""Pairs that a table already holds: one column asks, another answers."""

from vecsmith.data.pairs.pair import Pair

__all__ = ["column_pair"]


def column_pair(query: str | None, document: str) -> Pair | None:
    """The row's query and document; None where either is blank, or both are the same text."""
    query, document = (query or "").strip(), document.strip()
    return Pair(query, document, "column") if query and document and query != document else None
