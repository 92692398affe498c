"""A docstring as three texts: the words of its name, its summary line, its body."""

from dataclasses import dataclass

from vecsmith.data.inputs import content_digest
from vecsmith.data.pairs.docstrings import identifier_words
from vecsmith.data.passages import squeeze
from vecsmith.data.readers.docstrings import Docstring

__all__ = ["ID_BYTES", "BedDoc", "as_doc", "short_id"]

ID_BYTES = 6  # of the content id: among 100,000 docstrings two share a name once in 50,000 lists
BODY_CHARACTERS = 1000  # about what 256 word pieces hold


@dataclass(frozen=True)
class BedDoc:
    """words, summary and body are different views of one thing; `package` is its class."""

    id: bytes
    package: str
    words: str
    summary: str
    body: str


def short_id(text: str) -> bytes:
    """The first 6 bytes of a docstring's content id."""
    return content_digest(text)[:ID_BYTES]


def as_doc(found: Docstring) -> BedDoc | None:
    """The three texts of a docstring; None where one says too little.

    A name of one word ("fit") takes the words of its class; a summary has 4 to 40 words, a body 5 or more.
    """
    words = identifier_words(found.identifier)
    if len(words) < 2:
        words = identifier_words(found.parent) + words
    head, _, body = found.text.strip().partition("\n\n")
    summary, body = squeeze(head), squeeze(body)[:BODY_CHARACTERS]
    if len(words) < 2 or not 4 <= len(summary.split()) <= 40 or len(body.split()) < 5:
        return None
    return BedDoc(short_id(found.text), found.package, " ".join(words), summary, body)
