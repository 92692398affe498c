"""Python files as blocks: one heading per function and class, so that each definition is a section."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from vecsmith.data.passages import Block, paragraphs

__all__ = ["Definition", "code_blocks", "definitions"]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")  # as Python counts lines; str.splitlines splits at more
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NESTED = (ast.ClassDef, *_FUNCTIONS)
_Node = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Definition:
    """A function or the head of a class: text[start:end]; `docstring` is the stretch of its docstring, if any."""

    name: str
    start: int
    end: int
    docstring: tuple[int, int] | None
    summary: str  # the docstring's first paragraph, "" where there is none


def code_blocks(text: str, parts: list[Definition]) -> Iterator[Block]:
    """Definitions (`parts`, of this text) under headings of their qualified names, and the code between them.

    The heading of a definition is a block without extent: the name is not cut out of the file. The code between
    definitions (imports, constants) stands under the heading "", which ends the section above.
    """
    place = 0
    for part in parts:
        if text[place : part.start].strip():
            yield Block(place, place, "", 1)
            yield from _code(text, place, part.start)
        yield Block(part.start, part.start, part.name, 1)
        yield from _code(text, part.start, part.end)
        place = part.end
    if text[place:].strip():
        yield Block(place, place, "", 1)
        yield from _code(text, place, len(text))


def definitions(text: str) -> list[Definition]:
    """Functions, methods and heads of classes in the order of the file; none overlaps another.

    A class is its head down to its first method; a function holds what is nested in it.
    raises    SyntaxError, ValueError, RecursionError: text that is no Python
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SyntaxWarning of other people's escapes
        tree = ast.parse(text)
    offsets = _Offsets(text)
    found: list[Definition] = []
    _collect(tree.body, "", offsets, found)
    return found


class _Offsets:
    """From (line, UTF-8 column) of a node to characters of the text."""

    def __init__(self, text: str) -> None:
        self.lines = _LINE.findall(text)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def of(self, line: int, column: int) -> int:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        inside = column if text.isascii() else len(text.encode()[:column].decode("utf-8", "ignore"))
        return self.starts[line - 1] + inside

    def span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.of(node.lineno, node.col_offset), self.of(node.end_lineno, node.end_col_offset)


def _collect(body: list[ast.stmt], prefix: str, offsets: _Offsets, found: list[Definition]) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef):
            end = offsets.span(node)[1]
            inner = [child for child in node.body if isinstance(child, _NESTED)]
            head_end = min((_first(child, offsets) for child in inner), default=end)
            found.append(_definition(node, prefix, _first(node, offsets), head_end, offsets))
            _collect(node.body, f"{prefix}{node.name}.", offsets, found)
        elif isinstance(node, _FUNCTIONS):
            found.append(_definition(node, prefix, _first(node, offsets), offsets.span(node)[1], offsets))


def _first(node: _Node, offsets: _Offsets) -> int:
    """Where a definition starts: at its first decorator."""
    places = [offsets.span(item)[0] for item in node.decorator_list]
    return min([place - 1 for place in places] + [offsets.span(node)[0]])


def _definition(node: _Node, prefix: str, start: int, end: int, offsets: _Offsets) -> Definition:
    text = ast.get_docstring(node)
    docstring = offsets.span(node.body[0]) if text and text.strip() else None
    summary = text.strip().split("\n\n")[0] if text else ""
    return Definition(prefix + node.name, start, end, docstring, " ".join(summary.split()))


def _code(text: str, start: int, end: int) -> Iterator[Block]:
    for block in paragraphs(text, start, end):
        yield Block(block.start, block.end, block.text, lines=True)
