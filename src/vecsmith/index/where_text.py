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

from typing import TYPE_CHECKING

from vecsmith.errors import WhereError
from vecsmith.index.values import article
from vecsmith.index.where_check import check, check_leaf
from vecsmith.index.where_cursor import Cursor
from vecsmith.index.where_lexer import Token, tokens_of
from vecsmith.index.where_tree import (
    MAX_DEPTH,
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
    check_limits,
)

if TYPE_CHECKING:
    from vecsmith.index.schema import Schema

__all__ = ["RESERVED_WORDS", "parse_where"]

RESERVED_WORDS = frozenset({"and", "or", "not", "in", "is", "null", "true", "false", "between"})
_FLIPPED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
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


class _Parser(Cursor):
    """One descent over the tokens; every method begins at `self.token` and ends after what it read."""

    def whole(self) -> Tree:
        tree = self.either()
        if self.token.kind != "end":
            hint = ""
            if self.token.text == ")":
                hint = "; it closes nothing"
            elif self.is_comparison(self.token):
                hint = "; comparisons do not chain, write `between 3 and 5`"
            elif self.token.text == ",":
                hint = "; a list takes `in (...)`, and numbers a decimal point"
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
        if self.token.word in ("true", "false") and not self.is_comparison(self.next):
            return Everything() if self.take().word == "true" else Nothing()
        return self.test()

    def test(self) -> Tree:
        if self.at_literal():
            return self.value_first()
        name = self.field()
        negated = self.accept("not")
        if name.text == "id" and name.kind == "name":
            tree = self.ids()
        elif self.is_comparison(self.token) and not negated:
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
        op = self.operator()
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
        if negated or not self.is_comparison(self.token):
            self.fail(
                f"found {self.token.shown()}, expected a comparison such as `=`, or `in` and a set field; `or` takes "
                "a whole test on each side, several values of one field take `in (...)`"
            )
        op = self.operator()
        if self.at_literal():
            self.fail("two values are compared; one side must be a field", start)
        name = self.field()
        return self.checked(Compare(name.text, _FLIPPED[op], value), name, at)

    def ids(self) -> Tree:
        words = "ids are asked by `id = 'a'`, `id != 'a'` or `id in ('a', 'b')`"
        if self.is_comparison(self.token):
            op_token, op = self.token, self.operator()
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
        self.fail(
            f"found {self.token.shown()}, expected `null` or `distinct from` after `is`; a value is compared by `=`"
        )

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
