"""Which column of a table is what: as declared, else by the names that published data sets use.

A column that is neither is an error: text that nobody named never slips into training.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from vecsmith.errors import DataError, UsageError

__all__ = ["ALL", "Columns", "resolve_columns", "with_later"]

ALL = "*"

# In order of preference; matched in lower case, with spaces and dashes as underscores.
KNOWN = {
    "query": ("query", "question", "anchor", "sentence1", "sentence_1", "sentence_a", "question1", "text1", "premise"),
    "document": (
        *("document", "answer", "passage", "positive", "pos", "sentence2", "sentence_2", "sentence_b", "question2"),
        *("text2", "hypothesis", "doc", "response", "context", "text", "abstract", "body", "content", "sentence"),
    ),
    "id": ("id", "_id", "document_id", "doc_id", "docid", "pid"),
    "group": ("group",),
    "score": ("score", "similarity", "sim", "similarity_score", "relatedness_score"),
    "label": ("label", "labels", "is_duplicate"),
    "split": ("split",),
    "weight": ("weight",),
}
SYMMETRIC = ({"sentence1", "sentence2"}, {"sentence_1", "sentence_2"}, {"sentence_a", "sentence_b"})
SYMMETRIC += ({"question1", "question2"}, {"text1", "text2"})  # type: ignore[assignment]
NEGATIVE = re.compile(r"((hard_)?neg(ative)?s?|rejected(_response)?)(_?\d+)?\Z")


@dataclass(frozen=True)
class Columns:
    """What each column of a table is; None or () where there is none."""

    query: str | None = None
    document: str | None = None
    id: str | None = None
    attributes: tuple[str, ...] = ()
    group: str | None = None
    score: str | None = None
    label: str | None = None
    negatives: tuple[str, ...] = ()
    split: str | None = None
    weight: str | None = None
    ignored: tuple[str, ...] = ()
    rest: str | None = None  # "attributes" or "ignore": what a column is that first appears in a later row

    @cached_property
    def known(self) -> frozenset[str]:
        single = (self.query, self.document, self.id, self.group, self.score, self.label, self.split, self.weight)
        return frozenset(filter(None, (*single, *self.attributes, *self.negatives, *self.ignored)))

    @property
    def is_symmetric(self) -> bool:
        """Whether both sides are the same kind of text (sentence1, sentence2)."""
        return {_plain(self.query or ""), _plain(self.document or "")} in SYMMETRIC

    def describe(self) -> str:
        """One line for people: 'question is the query, answer the document, year an attribute'."""
        parts = [f"{getattr(self, role)} is the {role}" for role in KNOWN if getattr(self, role)]
        parts += [f"negatives: {', '.join(self.negatives)}"] if self.negatives else []
        parts += [f"attributes: {', '.join(self.attributes)}"] if self.attributes else []
        return "; ".join(parts)


def resolve_columns(
    found: Iterable[str],
    *,
    file: Path | None = None,
    attributes: Sequence[str] | str | None = None,
    negatives: Sequence[str] | str | None = None,
    ignore: Sequence[str] | str = (),
    **declared: str | None,
) -> Columns:
    """Give each column of a table its part.

    found         names of the columns
    declared      query, document, id, group, score, label, split, weight: a column each
    attributes    columns, or "*": all that have no other part; a column may be attribute and group or label at once
    ignore        columns, or "*"
    raises        DataError: a declared column that is not there (nearest name); columns without a part; no text
    """
    names = list(dict.fromkeys(found))
    if unknown := sorted(declared.keys() - KNOWN.keys()):
        known = ", ".join((*KNOWN, "attributes", "negatives", "ignore"))
        raise UsageError(f'"{unknown[0]}" is no part of a table; known: {known}')
    listed = {"attributes": _listed(attributes), "negatives": _listed(negatives), "ignore": _listed(ignore)}
    taken = {*filter(None, declared.values()), *(name for values in listed.values() for name in values)} - {ALL}
    if missing := sorted(taken - set(names)):
        raise DataError(_missing(missing[0], names), file=file)
    parts = dict(declared)
    free = {_plain(name): name for name in reversed(names) if name not in taken}
    _recognise(parts, free)
    used = taken | set(filter(None, parts.values()))
    if not listed["negatives"]:
        listed["negatives"] = tuple(name for name in names if name not in used and NEGATIVE.match(_plain(name)))
    rest = [name for name in names if name not in used and name not in listed["negatives"]]
    rest_role = next((role for role in ("attributes", "ignore") if ALL in listed[role]), None)
    if rest_role is not None:
        listed[rest_role] = (*(name for name in listed[rest_role] if name != ALL), *rest)
        rest = []
    if rest:
        raise DataError(_undeclared(rest), file=file, column=rest[0])
    if not parts.get("document"):
        raise DataError(
            f"no column is recognised as the text ({', '.join(names)}). Name it: document=..., or --document", file=file
        )
    return Columns(
        **{role: parts.get(role) for role in KNOWN},
        attributes=listed["attributes"],
        negatives=listed["negatives"],
        ignored=listed["ignore"],
        rest=rest_role,
    )


def with_later(columns: Columns, names: Iterable[str], *, file: Path, row: int) -> Columns:
    """The columns and those that first appear in this row: negatives, or what "*" makes of them, else an error."""
    for name in sorted(names):
        if NEGATIVE.match(_plain(name)):
            columns = replace(columns, negatives=(*columns.negatives, name))
        elif columns.rest == "attributes":
            columns = replace(columns, attributes=(*columns.attributes, name))
        elif columns.rest == "ignore":
            columns = replace(columns, ignored=(*columns.ignored, name))
        else:
            raise DataError(_undeclared([name]), file=file, row=row, column=name)
    return columns


def _recognise(parts: dict[str, str | None], free: dict[str, str]) -> None:
    """Fill the parts that are not declared from the columns that are free."""
    for role, words in KNOWN.items():
        if parts.get(role) is None and (word := next((word for word in words if word in free), None)) is not None:
            parts[role] = free.pop(word)
    # A title asks for its text where no query does.
    if parts.get("query") is None and parts.get("document") is not None and "title" in free:
        parts["query"] = free.pop("title")


def _listed(value: Sequence[str] | str | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _missing(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f'no column "{name}"{f"; did you mean {near[0]!r}?" if near else ""} (columns: {", ".join(names)})'


def _undeclared(rest: list[str]) -> str:
    joined, quoted = ",".join(rest), ", ".join(f'"{name}"' for name in rest)
    also = f" (and {', '.join(rest[1:])})" if len(rest) > 1 else ""
    return (
        f"neither declared nor recognised{also}. Keep it for filters: attributes=[{quoted}], --attributes {joined}; "
        f'or leave it out: ignore=[{quoted}], --ignore {joined}; "*" stands for all such columns'
    )
