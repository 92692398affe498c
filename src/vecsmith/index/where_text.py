"""Filters as text: `package = 'json' and kind in ('function', 'method') and length > 40`.

    expr   := and ("or" and)*                and := not ("and" not)*         not := "not" not | atom
    atom   := "(" expr ")" ["is" ["not"] "true"] | "true" | "false" | test
    test   := field cmp literal | literal cmp field
            | field "is" ["not"] "null" | field "is" ["not"] "distinct" "from" literal
            | field ["not"] "between" literal "and" literal
            | field ["not"] "in" list | field ["not"] "starts" "with" string
            | string ["not"] "in" field | field ["not"] "has" string | field "has" ("any" | "all") list
            | field                          (a bool field alone)
            | "id" ("=" | "!=" | ["not"] "in") string or list
    cmp    := "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">="
    field  := name | `any text`
    literal := 'text' | number | true | false | date '...' | timestamp '...' | :name
    list   := "(" literal ("," literal)* ")" | :name

Keywords in any case; a quote inside a string is doubled, nothing else escapes. No functions, arithmetic, subqueries or
comments. `(...) is not true` and tests of `id` are [ours]: they write what a tree can hold. `:name` binds a parameter,
so that values of any text need no quoting.
"""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

from vecsmith.errors import WhereError
from vecsmith.index.values import article
from vecsmith.index.where_check import check, check_leaf
from vecsmith.index.where_lexer import Token, tokens_of
from vecsmith.index.where_literals import read_date, read_number, read_timestamp
from vecsmith.index.where_tree import (
    MAX_DEPTH,
    MAX_VALUES,
    And,
    Between,
    Compare,
    Distinct,
    Everything,
    HasAll,
    HasAny,
    Ids,
    In,
    IsNull,
    Leaf,
    Not,
    Nothing,
    NotTrue,
    Or,
    StartsWith,
    Tree,
    Value,
    check_limits,
    literal,
)

if TYPE_CHECKING:
    from vecsmith.index.schema import Schema

__all__ = ["RESERVED_WORDS", "parse_where"]

RESERVED_WORDS = frozenset({"and", "or", "not", "in", "is", "null", "true", "false", "between"})
_FLIPPED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SPELLINGS = {"==": "=", "<>": "!="}
_PATTERN_WORDS = frozenset({"like", "ilike", "regexp", "rlike", "similar", "matches", "glob"})


def parse_where(text: str, schema: "Schema | None" = None, /, **parameters: object) -> Tree:
    """The tree of a filter text.

    schema       fields and types to check against; None checks the syntax only
    parameters   values of `:name`; a list where a list can stand; each must be used
    raises       WhereError with the column, what was found and what could stand there, the nearest name
    >>> parse_where("year >= :y and kind in ('a', 'b')", y=2019)
    And(xs=(Compare(field='year', op='>=', value=2019), In(field='kind', values=('a', 'b'))))
    """
    if not isinstance(text, str):
        raise WhereError(f"a filter text is a str, not {type(text).__name__}")
    if not text.strip():
        raise WhereError("empty; leave the filter out to let everything through, or write `true`", column=1)
    parser = _Parser(tokens_of(text), schema, parameters)
    tree = parser.whole()
    check_limits(tree) if schema is None else check(tree, schema)
    return tree


class _Parser:
    """One descent over the tokens; every method begins at `self.token` and ends after what it read."""

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

    def whole(self) -> Tree:
        tree = self.either()
        if self.token.kind != "end":
            hint = ""
            if self.token.text == ")":
                hint = "; it closes nothing"
            elif self.token.word in _PATTERN_WORDS:
                hint = "; patterns are not supported, `starts with 'text'` is"
            self.fail(f"found {self.token.shown()}, expected `and`, `or` or the end{hint}")
        unused = sorted(set(self.parameters) - self.used)
        if unused:
            raise WhereError(f"the parameter {unused[0]!r} is not used; write :{unused[0]} where it belongs")
        return tree

    def either(self) -> Tree:
        parts = [self.both()]
        while self.accept("or"):
            parts.append(self.both())
        return Or(tuple(parts)) if len(parts) > 1 else parts[0]

    def both(self) -> Tree:
        parts = [self.negated()]
        while self.accept("and"):
            parts.append(self.negated())
        return And(tuple(parts)) if len(parts) > 1 else parts[0]

    def negated(self) -> Tree:
        self.depth += 1  # of `not` and parentheses alike: this is where the descent recurses
        if self.depth > 2 * MAX_DEPTH:
            self.fail(f"conditions nest deeper than {MAX_DEPTH}; flatten the parentheses")
        tree = Not(self.negated()) if self.accept("not") else self.atom()
        self.depth -= 1
        return tree

    def atom(self) -> Tree:
        opening = self.token
        if self.accept("("):
            if self.token.word in ("select", "with"):
                self.fail("subqueries are not part of a filter; pass the values as a parameter: in :values")
            tree = self.either()
            if not self.accept(")"):
                self.fail(f"found {self.token.shown()}, expected `)` for the `(` in column {opening.column}")
            if self.accept("is", "not", "true"):
                return NotTrue(tree)
            return NotTrue(NotTrue(tree)) if self.accept("is", "true") else tree
        if self.token.word in ("true", "false") and not self._is_comparison(self.next):
            return Everything() if self.take().word == "true" else Nothing()
        return self.test()

    def test(self) -> Tree:
        if self._at_literal():
            return self.value_first()
        name = self.field()
        negated = self.accept("not")
        if name.text == "id" and name.kind == "name":
            tree = self.ids()
        elif self._is_comparison(self.token) and not negated:
            tree = self.compared(name)
        elif self.token.word in ("in", "between", "starts", "has"):
            tree = getattr(self, f"after_{self.take().word}")(name)
        elif self.token.word == "is" and not negated:
            return self.after_is(name)
        elif negated:
            self.fail(f"found {self.token.shown()}, expected `in`, `between`, `starts with` or `has` after `not`")
        else:
            return self.alone(name)
        return Not(tree) if negated else tree

    def field(self) -> Token:
        token = self.token
        if token.kind == "quoted" or (token.kind == "name" and token.word not in RESERVED_WORDS):
            if token.kind == "name" and self.next.text == "(" and self.next.kind == "sign":
                what = "subqueries" if token.word == "select" else f"functions such as {token.text}(...)"
                self.fail(f"{what} are not part of a filter; compare the field itself with a value")
            if token.word == "select":
                self.fail("subqueries and statements are not part of a filter; write only the condition")
            return self.take()
        self.fail(f"found {token.shown()}, expected a field, a value, `not` or `(`{self._word_hint(token)}")

    def _word_hint(self, token: Token) -> str:
        return f"; a field of that name takes backticks: `{token.text}`" if token.word else ""

    def compared(self, name: Token) -> Tree:
        op = self._operator()
        value = self.take_value(name, op)
        return self.checked(Compare(name.text, op, value[0]), name, value[1])

    def value_first(self) -> Tree:
        start = self.token
        value, at = self.take_value(None, "=")
        negated = self.accept("not")
        if self.accept("in"):
            name = self.field()
            if not isinstance(value, str):
                self.fail("only a string can be a member of a set field", at)
            tree = self.checked(HasAny(name.text, (value,)), name, at)
            return Not(tree) if negated else tree
        if negated or not self._is_comparison(self.token):
            self.fail(f"found {self.token.shown()}, expected a comparison such as `=`, or `in` and a set field")
        op = self._operator()
        if self._at_literal():
            self.fail("two values are compared; one side must be a field", start)
        name = self.field()
        return self.checked(Compare(name.text, _FLIPPED[op], value), name, at)

    def ids(self) -> Tree:
        words = "ids are asked by `id = 'a'`, `id != 'a'` or `id in ('a', 'b')`"
        if self._is_comparison(self.token):
            op_token, op = self.token, self._operator()
            if op not in ("=", "!="):
                self.fail(words, op_token)
            value, at = self.take_value(None, op)
            tree = Ids((value,)) if isinstance(value, str) else self.fail("an id is a string in single quotes", at)
            return tree if op == "=" else Not(tree)
        if not self.accept("in"):
            self.fail(f"found {self.token.shown()}; {words}")
        return Ids(self.take_texts())

    def after_in(self, name: Token) -> Tree:
        start = self.token
        return self.checked(In(name.text, tuple(self.take_list())), name, start)

    def after_between(self, name: Token) -> Tree:
        low, at = self.take_value(name, "between")
        if not self.accept("and"):
            self.fail(f"found {self.token.shown()}, expected `and` and the upper end of `between`")
        high, at_high = self.take_value(name, "between")
        self.checked(Compare(name.text, "<=", high), name, at_high)
        return self.checked(Between(name.text, low, high), name, at)

    def after_starts(self, name: Token) -> Tree:
        if not self.accept("with"):
            self.fail(f"found {self.token.shown()}, expected `with`: {name.text} starts with 'text'")
        return self.checked(StartsWith(name.text, self.take_text()), name, self.token)

    def after_has(self, name: Token) -> Tree:
        kind = self.token.word
        if kind in ("any", "all"):
            self.take()
            node = HasAny if kind == "any" else HasAll
            return self.checked(node(name.text, self.take_texts()), name, self.token)
        if self.token.text == "(":
            self.fail(f"several members take `has any (...)` or `has all (...)`: {name.text} has any ('a', 'b')")
        return self.checked(HasAny(name.text, (self.take_text(),)), name, self.token)

    def after_is(self, name: Token) -> Tree:
        self.take()
        negated = self.accept("not")
        if self.accept("null"):
            tree = self.checked(IsNull(name.text), name, name)
            return Not(tree) if negated else tree
        if self.accept("distinct", "from"):
            if self.token.word == "null":
                self.fail(f"write `{name.text} is {'null' if negated else 'not null'}`")
            value, at = self.take_value(name, "=")
            return self.checked(Distinct(name.text, value, negated), name, at)
        self.fail(f"found {self.token.shown()}, expected `null` or `distinct from` after `is`")

    def alone(self, name: Token) -> Tree:
        """A bool field by itself, or the start of something that is no test."""
        if self.token.word in _PATTERN_WORDS:
            self.fail(f"patterns are not supported; write {name.text} starts with 'text'")
        if self.token.word in ("contains", "includes"):
            self.fail(f"write {name.text} has 'value' (a set field), or {name.text} starts with 'text'")
        if self.schema is not None and (kind := self.schema.types.get(name.text, "bool")) != "bool":
            self.fail(f'"{name.text}" is {article(kind)} and needs a comparison, such as = or is not null', name)
        if self.token.kind != "end" and self.token.text != ")" and self.token.word not in ("and", "or"):
            self.fail(f"found {self.token.shown()}, expected a comparison such as `=`, `in`, `is null` or `has`")
        return self.checked(Compare(name.text, "=", True), name, name)

    def checked(self, leaf: Leaf, name: Token, value: Token) -> Leaf:
        if self.schema is not None:
            check_leaf(leaf, self.schema, at_field=name.column, at_value=value.column)
        return leaf

    # values

    def _is_comparison(self, token: Token) -> bool:
        return token.kind == "sign" and token.text not in ("(", ")", ",")

    def _operator(self) -> str:
        op = self.take().text
        return _SPELLINGS.get(op, op)

    def _at_literal(self) -> bool:
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
        if not self._at_literal():
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
