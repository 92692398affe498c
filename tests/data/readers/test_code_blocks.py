"""Definitions of a Python file, found by `ast` and placed in characters."""

import ast
import inspect
import json.decoder
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.data.readers.code_blocks import code_blocks, definitions

CODE = '''"""Module."""
import os

ÄÖ = "ünï"; X = 1


@cache
def first(a):
    """Say é.

    More.
    """
    return a


class Thing(Base):
    """A thing."""

    size = 3

    async def go(self): return 'né'  # ü

    class Inner:
        def deep(self):
            pass
'''


def test_definitions_are_found_with_their_docstrings():
    parts = definitions(CODE)
    assert [part.name for part in parts] == ["first", "Thing", "Thing.go", "Thing.Inner", "Thing.Inner.deep"]
    assert CODE[parts[0].start : parts[0].end].startswith("@cache\ndef first")
    assert CODE[slice(*parts[0].docstring)].startswith('"""Say é.')
    assert parts[0].summary == "Say é."
    assert CODE[parts[1].start : parts[1].end].strip().endswith("size = 3")
    assert parts[2].docstring is None
    assert CODE[parts[2].start : parts[2].end] == "async def go(self): return 'né'"


@given(st.integers(0, 3))
def test_no_definition_overlaps_another(shift):
    text = "\n" * shift + CODE.replace("\n", ["\n", "\r\n", "\r", "\n"][shift])
    last = 0
    for part in definitions(text):
        assert last <= part.start < part.end <= len(text)
        last = part.end
    assert "".join(block.text for block in code_blocks(text, definitions(text)) if not block.level).count("def ") == 3


def test_functions_are_those_that_inspect_shows():
    text = inspect.getsource(json.decoder)
    parts = {part.name: text[part.start : part.end] for part in definitions(text)}
    for name, value in [
        ("JSONDecoder.decode", json.decoder.JSONDecoder.decode),
        ("py_scanstring", json.decoder.py_scanstring),
    ]:
        shown = textwrap.dedent(inspect.getsource(value)).strip()
        assert textwrap.dedent(" " * 4 * name.count(".") + parts[name]).strip() == shown


def test_blocks_lie_in_the_file():
    for block in code_blocks(CODE, definitions(CODE)):
        if not block.level:
            assert CODE[block.start : block.end] == block.text
            assert block.lines


def test_what_is_no_python_raises():
    with pytest.raises(SyntaxError):
        definitions("def :")
    assert ast.parse("") is not None
