"""Where the reading of a filter text stands, and its smallest parts: words, comparisons, values, lists, parameters."""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

from vecsmith.errors import WhereError
from vecsmith.index.where_lexer import Token
from vecsmith.index.where_literals import read_date, read_number, read_timestamp
from vecsmith.index.where_tree import MAX_VALUES, Value, literal

if TYPE_CHECKING:
    from vecsmith.index.schema import Schema

__all__ = ["Cursor"]

_SPELLINGS = {"==": "=", "<>": "!="}


class Cursor:
    """The tokens and the place in them; every method begins at `self.token` and ends after what it read."""

    def __init__(self, tokens: list[Token], schema: "Schema | None", parameters: dict[str, object]) -> None:
        self.tokens, self.schema, self.parameters = tokens, schema, parameters
        self.at = self.depth = 0
        self.used: set[str] = set()

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    @property
    def next(self) -> Token:
        return self.tokens[min(self.at + 1, len(self.tokens) - 1)]

    def take(self) -> Token:
        """The token here; go on to the next."""
        token = self.token
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def accept(self, *words: str) -> bool:
        """Go past these keywords or signs where they stand here in this order."""
        here = self.tokens[self.at : self.at + len(words)]
        fits = len(here) == len(words) and all(
            (token.word or (token.text if token.kind == "sign" else "")) == word
            for token, word in zip(here, words, strict=True)
        )
        self.at += len(words) if fits else 0
        return fits

    def fail(self, words: str, token: Token | None = None) -> NoReturn:
        raise WhereError(words, column=(token or self.token).column)

    def is_comparison(self, token: Token) -> bool:
        return token.kind == "sign" and token.text not in ("(", ")", ",")

    def operator(self) -> str:
        if self.token.text == "=" and self.next.text in (">", "<"):
            self.fail(f"`={self.next.text}` is no comparison; write `{self.next.text}=`")
        op = self.take().text
        return _SPELLINGS.get(op, op)

    def at_literal(self) -> bool:
        token = self.token
        if token.word in ("date", "timestamp"):
            return self.next.kind == "string"
        return token.kind in ("string", "number", "parameter") or token.word in ("true", "false")

    def take_value(self, name: Token | None, op: str) -> tuple[Value, Token]:
        """One literal and its token."""
        token = self.token
        if token.word == "null":
            shown = name.text if name else "field"
            self.fail(f"nothing equals null; write `{shown} is {'not null' if op == '!=' else 'null'}`")
        if not self.at_literal():
            self._not_a_value(token, name)
        self.take()
        if token.word in ("date", "timestamp"):
            read = read_date if token.word == "date" else read_timestamp
            return read(self.take().text, token.column), token
        if token.kind == "parameter":
            value = self.parameter(token)
            if isinstance(value, (list, tuple, set, frozenset)):
                self.fail(f":{token.text} is a list; one value can stand here. Use `in :{token.text}`", token)
            return literal(value, field=f":{token.text}", column=token.column), token
        if token.kind == "number":
            return read_number(token.text), token
        return (token.text if token.kind == "string" else token.word == "true"), token

    def _not_a_value(self, token: Token, name: Token | None) -> NoReturn:
        if self.next.text == "(" and token.kind == "name":
            self.fail(f"functions such as {token.text}(...) are not part of a filter; compute the value first")
        if token.text == "(":
            self.fail("subqueries and parentheses cannot stand for a value; several values take `in (...)`")
        if token.kind in ("name", "quoted"):
            known = self.schema is not None and token.text in self.schema.types
            what = "two fields cannot be compared" if known else "a string takes single quotes"
            self.fail(
                f"found {token.shown()}, expected a value; {what}: {name.text if name else 'field'} = '{token.text}'"
            )
        self.fail(f"found {token.shown()}, expected a value: 'text', a number, true, false, date '2015-01-31' or :name")

    def take_list(self) -> list[Value]:
        """`(literal, ...)` or a parameter that holds a list."""
        start = self.token
        if start.kind == "parameter":
            self.take()
            values = self.parameter(start)
            if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
                self.fail(f":{start.text} is {type(values).__name__}; a list can stand here", start)
            return [literal(value, field=f":{start.text}", column=start.column) for value in values]
        if not self.accept("("):
            self.fail(f"found {start.shown()}, expected a list: ('a', 'b')")
        if self.token.text == ")" and self.token.kind == "sign":
            self.fail("an empty list holds nothing; write `false`, or give it a value")
        if self.token.word == "select":
            self.fail("subqueries are not part of a filter; pass the values as a parameter: in :values")
        found = [self.take_value(None, "in")[0]]
        while self.accept(","):
            found.append(self.take_value(None, "in")[0])
            if len(found) > MAX_VALUES:
                self.fail(f"a list of more than {MAX_VALUES:,} values; split the search", start)
        if not self.accept(")"):
            self.fail(
                f"found {self.token.shown()}, expected `,` or `)` in the list that opens in column {start.column}"
            )
        return found

    def take_text(self) -> str:
        token = self.token
        value, _ = self.take_value(None, "=")
        return value if isinstance(value, str) else self.fail("only a string in single quotes can stand here", token)

    def take_texts(self) -> tuple[str, ...]:
        start = self.token
        values = self.take_list()
        if not all(isinstance(value, str) for value in values):
            self.fail("only strings in single quotes can stand in this list", start)
        return tuple(str(value) for value in values)

    def parameter(self, token: Token) -> object:
        if token.text not in self.parameters:
            near = difflib.get_close_matches(token.text, self.parameters, n=1)
            hint = f"did you mean :{near[0]}? " if near else ""
            given = ", ".join(sorted(self.parameters)) or "none"
            self.fail(f"the parameter :{token.text} has no value; {hint}(given: {given})", token)
        self.used.add(token.text)
        return self.parameters[token.text]
