"""The words of a filter text: names, strings, numbers and signs, each with its column."""

import re
from dataclasses import dataclass

from vecsmith.errors import WhereError

__all__ = ["Token", "tokens_of"]

MAX_TEXT = 1_000_000
MAX_DIGITS = 4_000
"""Python refuses to read an int of more than 4,300 digits."""

_SPACE = re.compile(r"\s+")
_PATTERNS = (
    ("number", re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)),
    ("name", re.compile(r"[A-Za-z_][A-Za-z0-9_]*")),
    ("parameter", re.compile(r":[A-Za-z_][A-Za-z0-9_]*")),
    ("sign", re.compile(r"==|!=|<>|<=|>=|[=<>(),]")),
)
_STRING = re.compile(r"'((?:[^']|'')*)'")
_QUOTED_NAME = re.compile(r"`((?:[^`]|``)*)`")

_REFUSED = {
    '"': "double quotes quote nothing here; a string takes single quotes: 'value', a field name with other characters "
    "takes backticks: `name`",
    ";": "one condition, not statements; remove the ;",
    "--": "comments are not part of a filter; remove the --",
    "/*": "comments are not part of a filter; remove the /*",
    "#": "comments are not part of a filter; a field name with other characters takes backticks: `name`",
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`, or `!=` to compare",
    "~": "patterns are not supported; `starts with 'text'` is",
    "[": "a list of values takes parentheses: in ('a', 'b')",
    "{": "the dict form is not a text; write: field = 'value'",
    ":": "a parameter is a colon and a name: :year",
    "‘": "a string takes straight single quotes: 'value'",
    "’": "a string takes straight single quotes: 'value'",
    "“": "a string takes straight single quotes: 'value'",
    "”": "a string takes straight single quotes: 'value'",
}
for _sign in "*/%+-^":
    _REFUSED[_sign] = "arithmetic is not part of a filter; compute the value first, or pass it as a parameter"
_REFUSED["-"] += "; a field name with - takes backticks: `a-b`"
_REFUSED["."] = "a field name with a point takes backticks: `a.b`"


@dataclass(frozen=True, slots=True)
class Token:
    """kind: name, quoted (a name in backticks), string, number, parameter, sign, end; column counts from 1."""

    kind: str
    text: str
    column: int

    @property
    def word(self) -> str:
        """The lower-case keyword this could be; empty for all but plain names."""
        return self.text.lower() if self.kind == "name" else ""

    def shown(self) -> str:
        """The token as it can stand in a message."""
        if self.kind == "end":
            return "the end"
        text = self.text if len(self.text) <= 40 else self.text[:37] + "..."
        return f"the string '{text}'" if self.kind == "string" else f"`{text}`"


def tokens_of(text: str) -> list[Token]:
    """All tokens and one of kind "end"; raises WhereError with the column of what cannot stand in a filter."""
    if len(text) > MAX_TEXT:
        raise WhereError(f"{len(text):,} characters; at most {MAX_TEXT:,}. Pass long lists as parameters: in :values")
    if broken := re.search("[\ud800-\udfff]", text):
        raise WhereError("broken unicode; no stored text can hold it", column=broken.start() + 1)
    tokens, at = [], 0
    while at < len(text):
        if space := _SPACE.match(text, at):
            at = space.end()
            continue
        token, at = _token(text, at)
        tokens.append(token)
    return [*tokens, Token("end", "", len(text) + 1)]


def _token(text: str, at: int) -> tuple[Token, int]:
    """The token that begins here, and where the next may begin."""
    column = at + 1
    if text[at] in "'`":
        return _quoted(text, at)
    for sign in (text[at : at + 2], text[at]):
        starts_number = re.match(r"[+-]?\.?[0-9]", text[at : at + 3])
        if (
            sign in _REFUSED
            and not starts_number
            and text[at : at + 2] != "!="
            and not re.match(r":[A-Za-z_]", text[at:])
        ):
            raise WhereError(_REFUSED[sign], column=column)
    for kind, pattern in _PATTERNS:
        if found := pattern.match(text, at):
            if kind == "number":
                _check_number(text, found)
            return Token(kind, found[0].removeprefix(":"), column), found.end()
    if text[at].isalpha():
        raise WhereError(f"{text[at]!r}: a field name with such characters takes backticks: `name`", column=column)
    raise WhereError(f"{text[at]!r} cannot stand in a filter; a string takes single quotes: 'value'", column=column)


def _quoted(text: str, at: int) -> tuple[Token, int]:
    quote = text[at]
    found = (_STRING if quote == "'" else _QUOTED_NAME).match(text, at)
    if not found:
        what = "string" if quote == "'" else "field name"
        raise WhereError(
            f"the {what} that opens here has no closing {quote}; inside it a {quote} is doubled: {quote}{quote}",
            column=at + 1,
        )
    content = found[1].replace(quote * 2, quote)
    return Token("string" if quote == "'" else "quoted", content, at + 1), found.end()


def _check_number(text: str, found: re.Match[str]) -> None:
    if len(found[0]) > MAX_DIGITS:
        raise WhereError(f"a number of {len(found[0]):,} digits; at most {MAX_DIGITS:,}", column=found.start() + 1)
    rest = re.compile(r"[A-Za-z0-9_.]+").match(text, found.end())
    if rest:
        raise WhereError(
            f"`{(found[0] + rest[0])[:40]}` is neither a number nor a name; a string takes single quotes: 'value'",
            column=found.start() + 1,
        )
