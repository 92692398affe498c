"""What reaches a terminal: control characters in texts, names and paths are shown, never obeyed."""

from typing import Any, TextIO

__all__ = ["PrintableStream", "printable"]

# Escape sequences begin with one of these; the form \\u001b is also what JSON calls the character.
_SHOWN = {code: f"\\u{code:04x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    r"""The text with control characters (line feed and tab aside) and halves of surrogate pairs as \uXXXX.

    >>> print(printable("red: \x1b[31m"))
    red: \u001b[31m
    """
    return text.translate(_SHOWN).encode("utf-8", "backslashreplace").decode("utf-8")


class PrintableStream:
    """A text stream that writes what is `printable`; everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
