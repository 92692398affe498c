"""What a model reads: text in canonical form, and the name (content id) that equal things share.

Canonical form is Unicode NFC, so that "é" as one code point and as two is one input. Nothing else is changed: case,
spaces and line ends are content.
"""

import unicodedata
from dataclasses import dataclass

import xxhash

from vecsmith.errors import DataError

__all__ = ["CONTENT_BYTES", "Input", "content_digest", "content_id", "content_key", "normalise"]

CONTENT_BYTES = 16


@dataclass(frozen=True)
class Input:
    """A text, the bytes of an image file, or both; `text` is kept in canonical form.

    >>> Input("cafe\\u0301") == Input("caf\\u00e9")
    True
    """

    text: str | None = None
    image: bytes | None = None

    def __post_init__(self) -> None:
        if self.text is None and self.image is None:
            raise DataError("an input needs a text, an image or both; this one has neither")
        if self.text is not None:
            object.__setattr__(self, "text", normalise(self.text))

    @classmethod
    def of(cls, value: "str | Input") -> "Input":
        """A plain string as an input; an input as it is. A string is always text: a path in it is never opened."""
        return value if isinstance(value, Input) else cls(value)

    @property
    def digest(self) -> bytes:
        """16 bytes of xxh3-128: of the text, of the image, or of the digests of both."""
        if self.image is None:
            return content_digest(self.text or "")
        image = xxhash.xxh3_128_digest(self.image)
        return image if self.text is None else xxhash.xxh3_128_digest(content_digest(self.text) + image)


def normalise(text: str) -> str:
    """NFC form of a text."""
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    return unicodedata.normalize("NFC", text)


def content_digest(text: str) -> bytes:
    """xxh3-128 of the NFC text in UTF-8, 16 bytes, big-endian as everywhere here.

    raises    DataError: a half of a surrogate pair, which no encoding can hold
    """
    try:
        return xxhash.xxh3_128_digest(normalise(text).encode("utf-8"))
    except UnicodeEncodeError as error:
        found = f"U+{ord(text[error.start]):04X}" if error.start < len(text) else "a half"
        raise DataError(
            f"{found} at character {error.start} is half of a surrogate pair, which is no text. "
            'Re-encode the source, or read it with errors="replace"'
        ) from error


def content_id(text: str) -> str:
    """The name of a text: `content_digest` as 32 hex digits.

    >>> content_id("")
    '99aa06d3014798d86001c324468d497f'
    """
    return content_digest(text).hex()


def content_key(text: str) -> int:
    """The first 64 bits of the content id as a signed integer: what batches compare.

    >>> content_key("") == int.from_bytes(bytes.fromhex(content_id("")[:16]), "big", signed=True)
    True
    """
    return int.from_bytes(content_digest(text)[:8], "big", signed=True)
